//! The director: signs what each vehicle is to have, when it changes, and serves both repositories' metadata.
//!
//! What a vehicle is to have follows from the rollouts and commands in the database; this room turns it into signed
//! targets, keeps what it signed, and signs again before it ends. A version never has two contents: what was kept first
//! counts. The image repository's metadata are files that were signed offline; they are passed on as they are.

use crate::store::Store;
use crate::store::ota::{Issue, OtaError, Wanted, WantedBundle};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use telltale_repository::director::{
    Director as Signer, Issued, TARGETS_DAYS, TIMESTAMP_DAYS, Versions, expires,
};
use telltale_repository::key::SigningKey;
use telltale_repository::metadata::{Custom, Envelope, Expires, Metadata, Root, Target};
use telltale_repository::{Repository, RepositoryError};
use telltale_seal::WrappedKey;
use telltale_wire::bundle::IndexPath;
use telltale_wire::desired::{self, DesiredError, DesiredState};
use telltale_wire::ids::VehicleId;
use telltale_wire::time::WallTime;

/// The longest metadata file that is passed on, in bytes: what a vehicle takes of a targets role.
const MAX_METADATA: u64 = 512 * 1024;
/// Roots that are followed to the newest.
const MAX_ROOTS: u32 = 10_000;
/// How often a lost race for the same vehicle is run again.
const RACES: usize = 3;
const DAY_US: i64 = 86_400_000_000;

/// Where the signed files and the online key are.
#[derive(Clone, Debug)]
pub struct OtaConfig {
    /// The repository's folder, with `image` and `director` in it.
    pub repository: PathBuf,
    /// The director's private key.
    pub key: PathBuf,
}

/// Why the director can't work.
#[derive(Debug, thiserror::Error)]
pub enum DirectorError {
    /// The repository's files or the key.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// No root to work under.
    #[error("no root of the director is published in {}: make one with `telltale-cloud repository init`", .0.display())]
    NoRoot(PathBuf),
    /// A file can't be read.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The database.
    #[error(transparent)]
    Ota(#[from] OtaError),
    /// The commands.
    #[error("the commands can't be sent: {0}")]
    Desired(#[from] DesiredError),
    /// There is nothing to write for this vehicle.
    #[error("no rollout offers {0} anything, no command waits for it, or it has never called")]
    Nothing(String),
    /// Other requests of the same vehicle were faster, several times.
    #[error("the vehicle asks too often at once")]
    Race,
}

/// Signs for vehicles, and passes files on.
#[derive(Clone, Debug)]
pub(crate) struct Director {
    store: Store,
    signer: Arc<Signer>,
    folder: PathBuf,
}

impl Director {
    /// Reads the key and the newest root, which must name it.
    pub(crate) fn open(store: Store, config: &OtaConfig) -> Result<Self, DirectorError> {
        let folder = config.repository.clone();
        let root = newest_root(&folder.join("director"))?;
        let signer = Arc::new(Signer::new(&root, SigningKey::read(&config.key)?)?);
        Ok(Self { store, signer, folder })
    }

    /// The version of what this vehicle is to have, signed if it is news; 0 while nothing was ever wanted of it.
    pub(crate) async fn version(&self, vehicle: &VehicleId, now: WallTime) -> Result<u64, DirectorError> {
        let issue = self.current(vehicle, now, Need::News).await?;
        Ok(issue.map_or(0, |issue| issue.targets_v.unsigned_abs()))
    }

    /// The version that was signed last, for when nothing can be signed now; 0 if there is none, or it can't be read.
    pub(crate) async fn last_version(&self, vehicle: &VehicleId) -> u64 {
        let version = self.store.issued_version(vehicle).await;
        version.ok().flatten().map_or(0, i64::unsigned_abs)
    }

    /// A file of the director's, for this vehicle.
    pub(crate) async fn file(
        &self,
        vehicle: &VehicleId,
        name: &str,
        now: WallTime,
    ) -> Result<Option<Vec<u8>>, DirectorError> {
        if name.ends_with(".root.json") {
            return self.published("director", name).await;
        }
        let Some(issue) = self.current(vehicle, now, Need::Files).await? else { return Ok(None) };
        Ok(match name {
            desired::TARGET => issue.desired,
            "timestamp.json" => Some(issue.timestamp),
            _ if name == format!("{}.snapshot.json", issue.snapshot_v) => Some(issue.snapshot),
            _ if name == format!("{}.targets.json", issue.targets_v) => Some(issue.targets),
            // Signed anew while the vehicle was asking: it read a timestamp that names the one before.
            _ => self.store.earlier_file(vehicle, name).await?,
        })
    }

    /// Writes a USB stick with what this vehicle is to have now, commands included; gives the version of it. It is signed
    /// and kept as for the vehicle's own question, so that a vehicle may be told by stick and by server in any order.
    ///
    /// # Errors
    /// [`DirectorError::Nothing`] if nothing was ever wanted of it.
    pub(crate) async fn export(
        &self,
        vehicle: &VehicleId,
        out: &Path,
        now: WallTime,
    ) -> Result<Exported, DirectorError> {
        let nothing = || DirectorError::Nothing(vehicle.to_string());
        let issue = self.current(vehicle, now, Need::Files).await?.ok_or_else(nothing)?;
        let Metadata::Targets(targets) = Envelope::parse(&issue.targets, "targets")?.metadata()? else {
            return Err(nothing());
        };
        let paths = targets.targets.keys().filter(|path| *path != desired::TARGET);
        let bundles: Vec<IndexPath> = paths.filter_map(|path| path.parse().ok()).collect();
        let Issue { targets, snapshot, timestamp, desired, .. } = issue.clone();
        let issued = Issued { versions: versions(Some(&issue)), targets, snapshot, timestamp };
        let repository = Repository::open(&self.folder);
        repository.write_stick(out, &issued, &bundles)?;
        if let Some(desired) = &desired {
            repository.write_desired(out, desired)?;
        }
        Ok(Exported { version: issued.versions.targets, ends: expires(&issued.timestamp)?, bundles })
    }

    /// A file of the image repository's.
    pub(crate) async fn image(&self, name: &str) -> Result<Option<Vec<u8>>, DirectorError> {
        self.published("image", name).await
    }

    async fn published(&self, side: &str, name: &str) -> Result<Option<Vec<u8>>, DirectorError> {
        if !is_file_name(name) {
            return Ok(None);
        }
        let path = self.folder.join(side).join(name);
        let task = tokio::task::spawn_blocking(move || read(&path));
        task.await.unwrap_or(Ok(None))
    }

    /// What is signed for a vehicle, after signing what has changed or ends soon.
    async fn current(
        &self,
        vehicle: &VehicleId,
        now: WallTime,
        need: Need,
    ) -> Result<Option<Issue>, DirectorError> {
        for _ in 0..RACES {
            let Some(wanted) = self.store.wanted(vehicle, now).await? else { return Ok(None) };
            let held = self.store.issue(wanted.vehicle).await?;
            let next = match (&held, need) {
                (None, Need::News) if wanted.is_empty() => return Ok(None),
                (Some(held), _) if held.wanted == wanted.fingerprint.0 => {
                    self.renewed(vehicle, held, now, need)?
                }
                _ => None,
            };
            let next = match (next, held) {
                (Some(Renewal::Good), held) => return Ok(held),
                (Some(Renewal::Signed(issue)), _) => issue,
                (None, held) => self.signed(vehicle, &wanted, held.as_ref(), now)?,
            };
            if self.store.keep_issue(wanted.vehicle, &next).await? {
                return Ok(Some(next));
            }
        }
        Err(DirectorError::Race)
    }

    /// The same content, still good or with a new timestamp; `None` if its targets end soon.
    fn renewed(
        &self,
        vehicle: &VehicleId,
        held: &Issue,
        now: WallTime,
        need: Need,
    ) -> Result<Option<Renewal>, DirectorError> {
        let half = |days: u32| now.0.saturating_add(i64::from(days) * DAY_US / 2);
        if expires(&held.targets)?.0 < half(TARGETS_DAYS) {
            return Ok(None);
        }
        if need == Need::News || expires(&held.timestamp)?.0 >= half(TIMESTAMP_DAYS) {
            return Ok(Some(Renewal::Good));
        }
        let issued = Issued {
            versions: versions(Some(held)),
            targets: held.targets.clone(),
            snapshot: held.snapshot.clone(),
            timestamp: held.timestamp.clone(),
        };
        let issued = self.signer.renew(vehicle, issued, now)?;
        Ok(Some(Renewal::Signed(issue(issued, held.wanted.clone(), held.desired.clone()))))
    }

    /// What is wanted now, as the next version.
    fn signed(
        &self,
        vehicle: &VehicleId,
        wanted: &Wanted,
        held: Option<&Issue>,
        now: WallTime,
    ) -> Result<Issue, DirectorError> {
        let before = versions(held);
        let mut targets: BTreeMap<String, Target> =
            wanted.bundles.iter().map(|bundle| (bundle.path.clone(), target(bundle))).collect();
        let desired = if wanted.commands.is_empty() {
            None
        } else {
            let state = DesiredState {
                version: before.targets + 1,
                issued: now,
                expires: Expires::after(now, TARGETS_DAYS).at(),
                commands: wanted.commands.clone(),
            };
            let bytes = state.to_bytes()?;
            targets.insert(desired::TARGET.to_owned(), Target::of(&bytes, None));
            Some(bytes)
        };
        let issued = self.signer.issue(vehicle, before, &targets, now)?;
        Ok(issue(issued, wanted.fingerprint.0.to_vec(), desired))
    }
}

/// What a stick holds.
pub(crate) struct Exported {
    pub(crate) version: u64,
    /// From then on the vehicle refuses it.
    pub(crate) ends: WallTime,
    pub(crate) bundles: Vec<IndexPath>,
}

/// What a request needs of what is signed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// To know whether there is news.
    News,
    /// Files that are good for a while.
    Files,
}

enum Renewal {
    Good,
    Signed(Issue),
}

fn target(bundle: &WantedBundle) -> Target {
    let index = &bundle.index;
    let custom = Custom {
        hardware_ids: index.hardware.clone(),
        release: index.release,
        family: index.family.clone(),
        content_key: bundle.wrapped.as_ref().map(WrappedKey::to_hex),
    };
    Target::of(&bundle.body, Some(custom))
}

fn versions(held: Option<&Issue>) -> Versions {
    held.map_or_else(Versions::default, |held| Versions {
        targets: held.targets_v.unsigned_abs(),
        snapshot: held.snapshot_v.unsigned_abs(),
        timestamp: held.timestamp_v.unsigned_abs(),
    })
}

fn issue(issued: Issued, wanted: Vec<u8>, desired: Option<Vec<u8>>) -> Issue {
    let Issued { versions, targets, snapshot, timestamp } = issued;
    Issue {
        wanted,
        targets_v: versions.targets.cast_signed(),
        snapshot_v: versions.snapshot.cast_signed(),
        timestamp_v: versions.timestamp.cast_signed(),
        targets,
        snapshot,
        timestamp,
        desired,
    }
}

fn newest_root(folder: &Path) -> Result<Root, DirectorError> {
    let mut newest = None;
    for version in 1..=MAX_ROOTS {
        let path = folder.join(format!("{version}.root.json"));
        let Some(bytes) = read(&path)? else { break };
        if let Metadata::Root(root) = Envelope::parse(&bytes, &path.display().to_string())?.metadata()? {
            newest = Some(root);
        }
    }
    newest.ok_or_else(|| DirectorError::NoRoot(folder.to_owned()))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, DirectorError> {
    let unreadable = |source| DirectorError::Unreadable { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_METADATA + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_METADATA {
        return Err(unreadable(io::Error::other("it is longer than any vehicle takes")));
    }
    Ok(Some(bytes))
}

/// `timestamp.json`, `3.snapshot.json`, `3.cell-fault.json`: the name of a metadata file, and of nothing beside or above.
fn is_file_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.ends_with(".json") && name.len() <= 100 && !name.starts_with('.') && name.bytes().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_metadata_files_are_looked_for() {
        for good in ["timestamp.json", "1.root.json", "12.cell-fault.json"] {
            assert!(is_file_name(good), "{good}");
        }
        for bad in ["", "../x.json", "a/b.json", ".json", "key.pem", "x.json/..", "\\x.json"] {
            assert!(!is_file_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_folder_without_a_root_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = newest_root(dir.path()).unwrap_err();
        assert!(error.to_string().contains("no root of the director"), "{error}");
    }
}
