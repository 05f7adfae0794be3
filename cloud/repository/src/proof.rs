//! Whether a bundle is really signed for: the image repository's chain from its newest root down to the family, as a
//! vehicle would follow it.

use crate::RepositoryError;
use crate::files::{Repository, Side};
use crate::metadata::{Envelope, MetaFile, Metadata, RoleKeys, Target};
use telltale_wire::bundle::IndexPath;
use telltale_wire::digest::Digest;
use telltale_wire::time::WallTime;

impl Repository {
    /// What the image repository says of this bundle, every signature and end on the way checked; `None` if it says
    /// nothing.
    ///
    /// # Errors
    /// [`RepositoryError::NotSigned`], [`RepositoryError::Malformed`] or [`RepositoryError::Ended`]: what a vehicle would
    /// refuse, and with it the bundle.
    pub fn proven_target(&self, path: &IndexPath, now: WallTime) -> Result<Option<Target>, RepositoryError> {
        let root = self.root(Side::Image)?;
        let role = |name: &str| {
            let gone = || RepositoryError::malformed("root", format!("it has no role {name}"));
            root.roles.get(name).ok_or_else(gone)
        };
        // Each newest root must be good by itself: vehicles followed the older ones.
        let newest = self.file(&format!("{}.root.json", root.version))?;
        check(&newest, "root", role("root")?, &root.keys, now)?;
        let published = self.published()?.ok_or_else(|| RepositoryError::NoRepository(self.dir.clone()))?;
        check(&self.file("timestamp.json")?, "timestamp", role("timestamp")?, &root.keys, now)?;
        let of = |named: Option<&MetaFile>, what: &str| {
            named.cloned().ok_or_else(|| RepositoryError::malformed(what, "it is not named"))
        };
        let named = of(published.timestamp.meta.get("snapshot.json"), "snapshot")?;
        let snapshot = self.named("snapshot", &named)?;
        check(&snapshot, "snapshot", role("snapshot")?, &root.keys, now)?;
        let named = of(published.snapshot.meta.get("targets.json"), "targets")?;
        let targets = self.named("targets", &named)?;
        check(&targets, "targets", role("targets")?, &root.keys, now)?;
        let Metadata::Targets(targets) = parse(&targets)?.metadata()? else {
            return Err(RepositoryError::malformed("targets", "it is no targets metadata"));
        };
        let (family, delegations) = (path.family.as_str(), targets.delegations.unwrap_or_default());
        let Some(delegated) = delegations.roles.iter().find(|role| role.name == family) else {
            return Ok(None);
        };
        let Some(named) = published.snapshot.meta.get(&format!("{family}.json")) else { return Ok(None) };
        let bytes = self.named(family, named)?;
        check(&bytes, family, &delegated.keys, &delegations.keys, now)?;
        match parse(&bytes)?.metadata()? {
            Metadata::Targets(targets) => Ok(targets.targets.get(&path.to_string()).cloned()),
            _ => Err(RepositoryError::malformed(family, "it is no targets metadata")),
        }
    }

    fn file(&self, name: &str) -> Result<Vec<u8>, RepositoryError> {
        let path = self.dir.join(Side::Image.folder()).join(name);
        let bytes = crate::files::read_bytes(&path, crate::files::MAX_METADATA)?;
        bytes.ok_or_else(|| RepositoryError::malformed(name, "it is missing"))
    }

    /// The file of this role, if it is the one that was named.
    fn named(&self, role: &str, named: &MetaFile) -> Result<Vec<u8>, RepositoryError> {
        let name = format!("{}.{role}.json", named.version);
        let bytes = self.file(&name)?;
        let digest = named.hashes.get("sha256").map(String::as_str);
        let is_it =
            bytes.len() as u64 == named.length && digest == Some(Digest::of(&bytes).to_hex().as_str());
        if is_it {
            Ok(bytes)
        } else {
            Err(RepositoryError::malformed(name, "it is not the file that was named"))
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Envelope, RepositoryError> {
    Envelope::parse(bytes, "metadata")
}

fn check(
    bytes: &[u8],
    role: &str,
    who: &RoleKeys,
    keys: &std::collections::BTreeMap<crate::key::KeyId, crate::key::PublicKey>,
    now: WallTime,
) -> Result<(), RepositoryError> {
    let envelope = parse(bytes)?;
    envelope.verify(role, who, keys)?;
    let ends = envelope.metadata()?.expires().at();
    if ends <= now { Err(RepositoryError::Ended { role: role.to_owned(), ends }) } else { Ok(()) }
}
