//! Signing what is staged, publishing what is signed, and how long it all holds.

use crate::RepositoryError;
use crate::files::{Repository, Side, write};
use crate::key::SigningKey;
use crate::metadata::{
    Envelope, Expires, MetaFile, Metadata, RoleKeys, Root, SPEC_VERSION, Snapshot, Targets, Timestamp,
};
use crate::{key::KeyId, key::PublicKey};
use std::collections::BTreeMap;
use std::path::PathBuf;
use telltale_wire::time::WallTime;

/// For how many days a snapshot holds.
pub const SNAPSHOT_DAYS: u32 = 14;
/// For how many days a timestamp holds. Somebody has to renew it more often than that: a timer, not a person.
pub const TIMESTAMP_DAYS: u32 = 3;

/// A role as it stands.
#[derive(Clone, Debug)]
pub struct RoleStatus {
    /// Whose.
    pub side: Side,
    /// Its name.
    pub role: String,
    /// Its version.
    pub version: u64,
    /// From then on vehicles refuse it.
    pub expires: WallTime,
    /// How many signatures it needs, and the keys that can give them.
    pub who: Option<RoleKeys>,
    /// What a staged version lacks; `None` for what is published.
    pub lacks: Option<String>,
}

/// The keys and roles under which metadata is judged: those that will hold once what is staged is published.
struct Authority {
    root: Root,
    targets: Option<Targets>,
}

impl Authority {
    fn of(&self, role: &str) -> Result<(&RoleKeys, &BTreeMap<KeyId, PublicKey>), RepositoryError> {
        if let Some(who) = self.root.roles.get(role) {
            return Ok((who, &self.root.keys));
        }
        let delegations = self.targets.as_ref().and_then(|targets| targets.delegations.as_ref());
        let found =
            delegations.and_then(|all| Some((all.roles.iter().find(|it| it.name == role)?, &all.keys)));
        found.map(|(it, keys)| (&it.keys, keys)).ok_or_else(|| RepositoryError::NoRole(role.into()))
    }
}

impl Repository {
    /// Signs everything staged with these keys, each where it may; gives what was signed: whose, role, key.
    ///
    /// # Errors
    /// If what is staged does not read or cannot be written.
    pub fn sign(&self, keys: &[SigningKey]) -> Result<Vec<(Side, String, KeyId)>, RepositoryError> {
        let mut done = Vec::new();
        for side in Side::ALL {
            let Some(authority) = self.authority(side)? else { continue };
            let before = self.newest_root(side)?;
            for (_, role, mut envelope) in self.staged()?.into_iter().filter(|(whose, ..)| *whose == side) {
                let (who, _) = authority.of(&role)?;
                // A new root is signed by the keys of the one before too.
                let earlier =
                    before.as_ref().filter(|_| role == "root").and_then(|root| root.roles.get("root"));
                for key in keys {
                    let id = key.id();
                    if who.keyids.contains(&id) || earlier.is_some_and(|who| who.keyids.contains(&id)) {
                        envelope.sign(key)?;
                        done.push((side, role.clone(), id));
                    }
                }
                write(&self.staged_path(side, &role), &envelope.to_bytes()?)?;
            }
        }
        Ok(done)
    }

    /// Publishes everything staged. For the image repository a new snapshot and a new timestamp are signed with those of
    /// `keys` that may, also if nothing is staged: that renews them.
    ///
    /// # Errors
    /// [`RepositoryError::NotSigned`] if a signature is missing; then nothing is published.
    pub fn publish(&self, keys: &[SigningKey], now: WallTime) -> Result<Vec<PathBuf>, RepositoryError> {
        let mut files = Vec::new();
        for side in Side::ALL {
            let Some(authority) = self.authority(side)? else { continue };
            let mut roles = BTreeMap::new();
            for (_, role, envelope) in self.staged()?.into_iter().filter(|(whose, ..)| *whose == side) {
                self.check(side, &role, &envelope, &authority)?;
                let (version, bytes) = (envelope.metadata()?.version(), envelope.to_bytes()?);
                if role != "root" {
                    roles.insert(format!("{role}.json"), MetaFile::of(&bytes, version));
                }
                files.push((side, format!("{version}.{role}.json"), bytes));
            }
            if side == Side::Image {
                files.extend(
                    self.renewed(roles, &authority, keys, now)?.map(|(name, bytes)| (side, name, bytes)),
                );
            }
        }
        // The timestamp comes last: until then vehicles see the state before.
        let mut paths = Vec::new();
        for (side, name, bytes) in files {
            let path = self.dir.join(side.folder()).join(name);
            write(&path, &bytes)?;
            paths.push(path);
        }
        for (side, role, _) in self.staged()? {
            let path = self.staged_path(side, &role);
            std::fs::remove_file(&path).map_err(RepositoryError::io("remove", &path))?;
        }
        Ok(paths)
    }

    /// Every role, published and staged.
    ///
    /// # Errors
    /// If something does not read.
    pub fn status(&self) -> Result<Vec<RoleStatus>, RepositoryError> {
        let mut all = Vec::new();
        for side in Side::ALL {
            let Some(authority) = self.authority(side)? else { continue };
            let mut push = |role: &str, metadata: Metadata, lacks: Option<String>| {
                let who = authority.of(role).ok().map(|(who, _)| who.clone());
                let (version, expires) = (metadata.version(), metadata.expires().at());
                all.push(RoleStatus { side, role: role.into(), version, expires, who, lacks });
            };
            if let Some(root) = self.newest_root(side)? {
                push("root", Metadata::Root(root), None);
            }
            if let Some(published) = self.published()?.filter(|_| side == Side::Image) {
                for name in published.snapshot.meta.keys() {
                    let role = name.strip_suffix(".json").unwrap_or(name);
                    if let Some(targets) = self.targets(role)? {
                        push(role, Metadata::Targets(targets), None);
                    }
                }
                push("snapshot", Metadata::Snapshot(published.snapshot), None);
                push("timestamp", Metadata::Timestamp(published.timestamp), None);
            }
            for (_, role, envelope) in self.staged()?.into_iter().filter(|(whose, ..)| *whose == side) {
                let lacks = self.check(side, &role, &envelope, &authority).err();
                let lacks = lacks.map_or_else(String::new, |error| error.to_string());
                push(&role, envelope.metadata()?, Some(lacks));
            }
        }
        Ok(all)
    }

    /// Who signs, once what is staged is published; `None` without any root.
    fn authority(&self, side: Side) -> Result<Option<Authority>, RepositoryError> {
        let mut root = self.newest_root(side)?;
        let mut targets = if side == Side::Image { self.targets("targets")? } else { None };
        for (whose, role, envelope) in self.staged()? {
            match envelope.metadata()? {
                Metadata::Root(next) if whose == side => root = Some(next),
                Metadata::Targets(next) if whose == side && role == "targets" => targets = Some(next),
                _ => {}
            }
        }
        Ok(root.map(|root| Authority { root, targets }))
    }

    fn check(
        &self,
        side: Side,
        role: &str,
        envelope: &Envelope,
        authority: &Authority,
    ) -> Result<(), RepositoryError> {
        let (who, keys) = authority.of(role)?;
        envelope.verify(role, who, keys)?;
        if role != "root" {
            return Ok(());
        }
        match self.newest_root(side)? {
            Some(before) => {
                let who = before.roles.get("root").ok_or_else(|| RepositoryError::NoRole("root".into()))?;
                envelope.verify("root, by the keys of the one before,", who, &before.keys)
            }
            None => Ok(()),
        }
    }

    /// The next snapshot, with these roles new, and the next timestamp.
    fn renewed(
        &self,
        roles: BTreeMap<String, MetaFile>,
        authority: &Authority,
        keys: &[SigningKey],
        now: WallTime,
    ) -> Result<impl Iterator<Item = (String, Vec<u8>)> + use<>, RepositoryError> {
        let before = self.published()?;
        let (last_snapshot, last_timestamp) =
            before.as_ref().map_or((0, 0), |it| (it.snapshot.version, it.timestamp.version));
        let mut meta = before.map(|it| it.snapshot.meta).unwrap_or_default();
        meta.extend(roles);
        let version = last_snapshot + 1;
        let snapshot = Metadata::Snapshot(Snapshot {
            spec_version: SPEC_VERSION.into(),
            version,
            expires: Expires::after(now, SNAPSHOT_DAYS),
            meta,
            vehicle: None,
        });
        let snapshot = signed("snapshot", &snapshot, authority, keys)?;
        let timestamp = Metadata::Timestamp(Timestamp {
            spec_version: SPEC_VERSION.into(),
            version: last_timestamp + 1,
            expires: Expires::after(now, TIMESTAMP_DAYS),
            meta: BTreeMap::from([("snapshot.json".to_owned(), MetaFile::of(&snapshot, version))]),
            vehicle: None,
        });
        let timestamp = signed("timestamp", &timestamp, authority, keys)?;
        let files =
            [(format!("{version}.snapshot.json"), snapshot), ("timestamp.json".to_owned(), timestamp)];
        Ok(files.into_iter())
    }
}

/// Signs with those keys that may, and refuses too few.
fn signed(
    role: &str,
    metadata: &Metadata,
    authority: &Authority,
    keys: &[SigningKey],
) -> Result<Vec<u8>, RepositoryError> {
    let (who, public) = authority.of(role)?;
    let mut envelope = Envelope::new(metadata)?;
    for key in keys.iter().filter(|key| who.keyids.contains(&key.id())) {
        envelope.sign(key)?;
    }
    envelope.verify(role, who, public)?;
    envelope.to_bytes()
}
