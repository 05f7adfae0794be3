//! Changes: each stages the next version of one role's metadata, unsigned.

use crate::RepositoryError;
use crate::files::{Repository, Side, read_bytes, write};
use crate::key::{KeyId, PublicKey};
use crate::metadata::{
    Custom, DelegatedRole, Delegations, Expires, Metadata, RoleKeys, Root, SPEC_VERSION, Target, Targets,
};
use std::collections::BTreeMap;
use std::path::Path;
use telltale_wire::bundle::{BundleError, BundleIndex, BundleName, IndexPath, MAX_INDEX};
use telltale_wire::time::WallTime;

/// For how many days a root holds.
pub const ROOT_DAYS: u32 = 365;
/// For how many days the metadata of offline keys holds: targets and families.
pub const TARGETS_DAYS: u32 = 180;

/// Who signs for each role of a new repository.
#[derive(Clone, Debug)]
pub struct Holders {
    /// The root's keys, offline, each with a person of its own.
    pub root: Vec<PublicKey>,
    /// How many of them must sign.
    pub root_threshold: usize,
    /// The key of targets: offline in the image repository, online in the director.
    pub targets: PublicKey,
    /// The key of snapshots.
    pub snapshot: PublicKey,
    /// The key of timestamps.
    pub timestamp: PublicKey,
}

impl Repository {
    /// Stages the first root of a repository, and for the image repository its first targets.
    ///
    /// # Errors
    /// [`RepositoryError::Exists`] if it has one, [`RepositoryError::Threshold`].
    pub fn init(&self, side: Side, holders: &Holders, now: WallTime) -> Result<(), RepositoryError> {
        if self.newest_root(side)?.is_some() {
            return Err(RepositoryError::Exists(self.dir.join(side.folder()).join("1.root.json")));
        }
        let one = |key: &PublicKey| RoleKeys { keyids: vec![key.id()], threshold: 1 };
        let ids: Vec<KeyId> = holders.root.iter().map(PublicKey::id).collect();
        let all = holders.root.iter().chain([&holders.targets, &holders.snapshot, &holders.timestamp]);
        let root = Root {
            spec_version: SPEC_VERSION.into(),
            version: 1,
            expires: Expires::after(now, ROOT_DAYS),
            consistent_snapshot: true,
            keys: all.map(|key| (key.id(), key.clone())).collect(),
            roles: BTreeMap::from([
                ("root".to_owned(), RoleKeys { keyids: ids, threshold: holders.root_threshold }),
                ("targets".to_owned(), one(&holders.targets)),
                ("snapshot".to_owned(), one(&holders.snapshot)),
                ("timestamp".to_owned(), one(&holders.timestamp)),
            ]),
        };
        root.roles.iter().try_for_each(|(role, who)| meets(role, who))?;
        self.stage(side, "root", &Metadata::Root(root))?;
        match side {
            Side::Image => self.stage(side, "targets", &Metadata::Targets(no_targets(now))),
            Side::Director => Ok(()),
        }
    }

    /// Stages a root in which `add` signs for the role too, and `revoke` no longer does.
    ///
    /// # Errors
    /// [`RepositoryError::NoRole`], [`RepositoryError::NotAKeyOf`] for a key to revoke that the role has not, and
    /// [`RepositoryError::Threshold`].
    pub fn rotate(
        &self,
        side: Side,
        role: &str,
        add: &[PublicKey],
        revoke: &[KeyId],
        threshold: Option<usize>,
        now: WallTime,
    ) -> Result<(), RepositoryError> {
        let mut root = self.root(side)?;
        let who = root.roles.get_mut(role).ok_or_else(|| RepositoryError::NoRole(role.into()))?;
        for key in revoke {
            if !who.keyids.contains(key) {
                return Err(RepositoryError::NotAKeyOf { role: role.into(), key: key.clone() });
            }
        }
        who.keyids.retain(|id| !revoke.contains(id));
        for key in add.iter().filter(|key| !who.keyids.contains(&key.id())).collect::<Vec<_>>() {
            who.keyids.push(key.id());
            root.keys.insert(key.id(), key.clone());
        }
        who.threshold = threshold.unwrap_or(who.threshold);
        meets(role, who)?;
        let used: Vec<KeyId> = root.roles.values().flat_map(|who| who.keyids.clone()).collect();
        root.keys.retain(|id, _| used.contains(id));
        self.stage(side, "root", &Metadata::Root(root).next(Expires::after(now, ROOT_DAYS)))
    }

    /// Stages targets that leave a family's paths to these keys, in place of those that had them before, and the family's
    /// own next version, which the new keys have to sign.
    ///
    /// # Errors
    /// [`RepositoryError::Threshold`], or if there is no repository.
    pub fn delegate(
        &self,
        family: &BundleName,
        keys: &[PublicKey],
        threshold: usize,
        now: WallTime,
    ) -> Result<(), RepositoryError> {
        let name = family.as_str();
        if matches!(name, "root" | "targets" | "snapshot" | "timestamp") {
            return Err(RepositoryError::NoRole(name.into()));
        }
        let who = RoleKeys { keyids: keys.iter().map(PublicKey::id).collect(), threshold };
        meets(name, &who)?;
        let none = || RepositoryError::NoRepository(self.dir.clone());
        let mut targets = self.targets("targets")?.ok_or_else(none)?;
        let delegations = targets.delegations.get_or_insert_with(Delegations::default);
        delegations.keys.extend(keys.iter().map(|key| (key.id(), key.clone())));
        delegations.roles.retain(|role| role.name != name);
        delegations.roles.push(DelegatedRole {
            name: name.to_owned(),
            keys: who,
            terminating: true,
            paths: vec![format!("{name}/*")],
        });
        let used: Vec<KeyId> = delegations.roles.iter().flat_map(|role| role.keys.keyids.clone()).collect();
        delegations.keys.retain(|id, _| used.contains(id));
        let expires = Expires::after(now, TARGETS_DAYS);
        self.stage(Side::Image, "targets", &Metadata::Targets(targets).next(expires))?;
        let family = self.targets(name)?.map(|role| Metadata::Targets(role).next(expires));
        self.stage(Side::Image, name, &family.unwrap_or_else(|| Metadata::Targets(no_targets(now))))
    }

    /// Copies a bundle into the repository and stages the family's metadata that names it. `from` is a folder with
    /// `index/` and `chunk/`.
    ///
    /// # Errors
    /// [`RepositoryError::Bundle`] if it is not whole, [`RepositoryError::ReleaseTaken`] and
    /// [`RepositoryError::ReleaseOrder`], [`RepositoryError::NoRole`] if the family was never delegated.
    pub fn add(&self, from: &Path, path: &IndexPath, now: WallTime) -> Result<(), RepositoryError> {
        let file = from.join("index").join(path.to_string());
        let fault = |path: &Path| {
            let path = path.to_owned();
            move |source| RepositoryError::Bundle { path, source }
        };
        let missing = |path: &Path| RepositoryError::Io {
            action: "read",
            path: path.to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        };
        let bytes = read_bytes(&file, MAX_INDEX as u64 + 1)?.ok_or_else(|| missing(&file))?;
        let index = BundleIndex::decode(&bytes).map_err(fault(&file))?;
        if index.path() != *path {
            return Err(fault(&file)(BundleError::Rule("the index is the one that its path says")));
        }
        let family = path.family.as_str();
        let mut role = self.targets(family)?.ok_or_else(|| RepositoryError::NoRole(family.into()))?;
        if role.targets.contains_key(&path.to_string()) {
            return Err(RepositoryError::ReleaseTaken(path.to_string()));
        }
        let released = role.targets.values().filter_map(|target| target.custom.as_ref()).map(|it| it.release);
        if let Some(newest) = released.max().filter(|newest| *newest >= index.release) {
            return Err(RepositoryError::ReleaseOrder { family: family.into(), newest });
        }
        for chunk in index.chunks() {
            let name = chunk.digest.to_hex();
            let source = from.join("chunk").join(&name);
            let held = read_bytes(&source, chunk.length as u64 + 1)?.ok_or_else(|| missing(&source))?;
            index.check_chunk(chunk.number, &held).map_err(fault(&source))?;
            write(&self.dir.join("chunk").join(name), &held)?;
        }
        write(&self.dir.join("index").join(path.to_string()), &bytes)?;
        let custom = Custom {
            hardware_ids: index.hardware,
            release: index.release,
            family: index.family,
            content_key: None,
        };
        role.targets.insert(path.to_string(), Target::of(&bytes, Some(custom)));
        let next = Metadata::Targets(role).next(Expires::after(now, TARGETS_DAYS));
        self.stage(Side::Image, family, &next)
    }

    /// Stages the family's metadata without this bundle: no vehicle takes it any more. Its files stay.
    ///
    /// # Errors
    /// [`RepositoryError::NoRole`] if it is not published.
    pub fn withdraw(&self, path: &IndexPath, now: WallTime) -> Result<(), RepositoryError> {
        let none = || RepositoryError::NoRole(path.to_string());
        let mut role = self.targets(path.family.as_str())?.ok_or_else(none)?;
        role.targets.remove(&path.to_string()).ok_or_else(none)?;
        let next = Metadata::Targets(role).next(Expires::after(now, TARGETS_DAYS));
        self.stage(Side::Image, path.family.as_str(), &next)
    }

    /// Stages again, for longer, what ends within these days; gives the roles. Snapshot and timestamp are signed anew
    /// with every [`Repository::publish`].
    ///
    /// # Errors
    /// If the repository does not read.
    pub fn renew(&self, within_days: u32, now: WallTime) -> Result<Vec<(Side, String)>, RepositoryError> {
        let soon = Expires::after(now, within_days);
        let mut renewed = Vec::new();
        for side in Side::ALL {
            if let Some(root) = self.newest_root(side)?.filter(|root| root.expires <= soon) {
                self.stage(side, "root", &Metadata::Root(root).next(Expires::after(now, ROOT_DAYS)))?;
                renewed.push((side, "root".to_owned()));
            }
        }
        let names = self.published()?.map(|published| published.snapshot.meta).unwrap_or_default();
        for name in names.keys() {
            let role = name.strip_suffix(".json").unwrap_or(name);
            if let Some(targets) = self.targets(role)?.filter(|targets| targets.expires <= soon) {
                let next = Metadata::Targets(targets).next(Expires::after(now, TARGETS_DAYS));
                self.stage(Side::Image, role, &next)?;
                renewed.push((Side::Image, role.to_owned()));
            }
        }
        Ok(renewed)
    }
}

fn no_targets(now: WallTime) -> Targets {
    Targets {
        spec_version: SPEC_VERSION.into(),
        version: 1,
        expires: Expires::after(now, TARGETS_DAYS),
        targets: BTreeMap::new(),
        delegations: None,
        vehicle: None,
    }
}

fn meets(role: &str, who: &RoleKeys) -> Result<(), RepositoryError> {
    let keys = who.keyids.iter().collect::<std::collections::BTreeSet<_>>().len();
    if (1..=keys).contains(&who.threshold) {
        return Ok(());
    }
    Err(RepositoryError::Threshold { role: role.into(), threshold: who.threshold, keys })
}
