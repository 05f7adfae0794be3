//! The repository's folder: what is published, what is staged, and writing either so that a reader sees all or nothing.
//!
//! `image/` and `director/` hold metadata, `index/` and `chunk/` bundles, all under the names by which vehicles ask for
//! them. `staged/` holds metadata that still wants signatures.

use crate::RepositoryError;
use crate::key::KeyId;
use crate::metadata::{Envelope, Metadata, Root, Snapshot, Target, Targets, Timestamp};
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use telltale_wire::bundle::IndexPath;

/// The longest metadata file that is read, in bytes.
pub(crate) const MAX_METADATA: u64 = 16 * 1024 * 1024;

/// Which of the two repositories.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// Says which bundles exist.
    Image,
    /// Says which of them a vehicle gets. In the folder it has roots only: the rest is signed for each vehicle.
    Director,
}

impl Side {
    /// Both.
    pub const ALL: [Side; 2] = [Side::Image, Side::Director];

    /// The name of its folder.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Side::Image => "image",
            Side::Director => "director",
        }
    }
}

/// A repository in a folder.
#[derive(Clone, Debug)]
pub struct Repository {
    pub(crate) dir: PathBuf,
}

/// The image repository's newest published state.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) timestamp: Timestamp,
    pub(crate) snapshot: Snapshot,
}

impl Repository {
    /// The repository in this folder, which may be empty still.
    #[must_use]
    pub fn open(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The newest published root.
    ///
    /// # Errors
    /// [`RepositoryError::NoRepository`] if there is none, or if it does not read.
    pub fn root(&self, side: Side) -> Result<Root, RepositoryError> {
        self.newest_root(side)?.ok_or_else(|| RepositoryError::NoRepository(self.dir.clone()))
    }

    /// The key of the newest root whose name begins with these digits, if there is exactly one.
    ///
    /// # Errors
    /// If there is no root.
    pub fn find_key(&self, side: Side, digits: &str) -> Result<Option<KeyId>, RepositoryError> {
        let root = self.root(side)?;
        let mut found = root.keys.into_keys().filter(|id| id.as_str().starts_with(digits));
        Ok(found.next().filter(|_| !digits.is_empty() && found.next().is_none()))
    }

    pub(crate) fn newest_root(&self, side: Side) -> Result<Option<Root>, RepositoryError> {
        let mut newest = None;
        for version in 1.. {
            let Some(envelope) = self.published_file(side, &format!("{version}.root.json"))? else { break };
            let Metadata::Root(root) = envelope.metadata()? else {
                return Err(RepositoryError::malformed(format!("{version}.root.json"), "it is no root"));
            };
            newest = Some(root);
        }
        Ok(newest)
    }

    /// What the image repository publishes under this path.
    ///
    /// # Errors
    /// If the repository is not published or does not read.
    pub fn target(&self, path: &IndexPath) -> Result<Option<Target>, RepositoryError> {
        let role = self.targets(path.family.as_str())?;
        Ok(role.and_then(|role| role.targets.get(&path.to_string()).cloned()))
    }

    /// Every bundle that the image repository publishes, by path.
    ///
    /// # Errors
    /// If the repository is not published or does not read.
    pub fn all_targets(&self) -> Result<Vec<(String, Target)>, RepositoryError> {
        let published = self.published()?.ok_or_else(|| RepositoryError::NoRepository(self.dir.clone()))?;
        let mut all = Vec::new();
        for name in published.snapshot.meta.keys() {
            let role = name.strip_suffix(".json").unwrap_or(name);
            all.extend(self.targets(role)?.into_iter().flat_map(|role| role.targets));
        }
        Ok(all)
    }

    /// The published metadata of `targets` or of a family; `None` if there is no such role.
    ///
    /// # Errors
    /// If it does not read.
    pub fn targets(&self, role: &str) -> Result<Option<Targets>, RepositoryError> {
        let Some(published) = self.published()? else { return Ok(None) };
        let Some(named) = published.snapshot.meta.get(&format!("{role}.json")) else { return Ok(None) };
        let name = format!("{}.{role}.json", named.version);
        match self.published_file(Side::Image, &name)?.map(|envelope| envelope.metadata()).transpose()? {
            Some(Metadata::Targets(targets)) => Ok(Some(targets)),
            _ => Err(RepositoryError::malformed(name, "it is missing, or no targets metadata")),
        }
    }

    pub(crate) fn published(&self) -> Result<Option<Published>, RepositoryError> {
        let Some(timestamp) = self.published_file(Side::Image, "timestamp.json")? else { return Ok(None) };
        let Metadata::Timestamp(timestamp) = timestamp.metadata()? else {
            return Err(RepositoryError::malformed("timestamp.json", "it is no timestamp"));
        };
        let version = timestamp.meta.get("snapshot.json").map_or(0, |named| named.version);
        let name = format!("{version}.snapshot.json");
        match self.published_file(Side::Image, &name)?.map(|envelope| envelope.metadata()).transpose()? {
            Some(Metadata::Snapshot(snapshot)) => Ok(Some(Published { timestamp, snapshot })),
            _ => Err(RepositoryError::malformed(name, "it is missing, or no snapshot")),
        }
    }

    /// Every staged file: whose, which role, and what stands in it.
    pub(crate) fn staged(&self) -> Result<Vec<(Side, String, Envelope)>, RepositoryError> {
        let mut staged = Vec::new();
        for side in Side::ALL {
            let folder = self.dir.join("staged").join(side.folder());
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(source) => return Err(RepositoryError::Io { action: "list", path: folder, source }),
            };
            for entry in entries {
                let path = entry.map_err(RepositoryError::io("list", &folder))?.path();
                let role = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json"));
                if let (Some(role), Some(envelope)) = (role, read(&path)?) {
                    staged.push((side, role.to_owned(), envelope));
                }
            }
        }
        staged.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        Ok(staged)
    }

    /// Stages metadata. What is staged already must be published or deleted first, or its signatures would be lost.
    pub(crate) fn stage(&self, side: Side, role: &str, metadata: &Metadata) -> Result<(), RepositoryError> {
        let path = self.staged_path(side, role);
        if path.exists() {
            return Err(RepositoryError::Staged(path.display().to_string()));
        }
        write(&path, &Envelope::new(metadata)?.to_bytes()?)
    }

    pub(crate) fn staged_path(&self, side: Side, role: &str) -> PathBuf {
        self.dir.join("staged").join(side.folder()).join(format!("{role}.json"))
    }

    fn published_file(&self, side: Side, name: &str) -> Result<Option<Envelope>, RepositoryError> {
        read(&self.dir.join(side.folder()).join(name))
    }
}

fn read(path: &Path) -> Result<Option<Envelope>, RepositoryError> {
    let bytes = read_bytes(path, MAX_METADATA)?;
    bytes.map(|bytes| Envelope::parse(&bytes, &path.display().to_string())).transpose()
}

/// A file's bytes, at most `limit` of them; `None` if it is not there.
pub(crate) fn read_bytes(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, RepositoryError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(RepositoryError::Io { action: "read", path: path.to_owned(), source }),
    };
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(RepositoryError::io("read", path))?;
    Ok(Some(bytes))
}

/// Writes a file beside and renames it into place, so that no vehicle is served half of it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), RepositoryError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let beside = path.with_extension("new");
    let written = fs::create_dir_all(folder).and_then(|()| {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(folder)?.sync_all()
    });
    written.map_err(RepositoryError::io("write", path))
}
