//! Keeps what was verified, so that nobody can lead the vehicle back behind it, through power cuts too: each file is
//! written beside, synced, renamed into place, and its folder synced.
//!
//! What is read back is verified again from the pinned root on, so that a changed file costs a download, not trust.

use crate::error::chain;
use crate::transport::{plain, read};
use sigstore_tuf::{Error, MetadataStore};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The longest file that is read back, in bytes.
const MAX_FILE: usize = 8 * 1024 * 1024;

/// A folder of verified metadata.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    path: PathBuf,
    /// The first write that failed: the TUF client only logs it, but without it the vehicle could be led back.
    failed: Arc<Mutex<Option<String>>>,
    /// Snapshots and targets that wait for a last look, while one is due.
    waiting: Arc<Mutex<Option<Files>>>,
}

/// Files by name, in the order in which they were verified.
type Files = Vec<(String, Vec<u8>)>;

impl Store {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), failed: Arc::default(), waiting: Arc::default() }
    }

    /// From now on, snapshots and targets wait.
    pub(crate) fn hold(&self) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    }

    /// Writes what waits, or forgets it.
    pub(crate) fn release(&self, write: bool) {
        let waited = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        for (name, bytes) in waited.into_iter().flatten().filter(|_| write) {
            // A failure is remembered, and asked for by `take_failure`.
            let _ = self.store(&name, &bytes);
        }
    }

    /// The first write that failed since this was asked last.
    pub(crate) fn take_failure(&self) -> Option<String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn place(&self, name: &str) -> Result<PathBuf, Error> {
        let file = name.strip_prefix("root_history/").unwrap_or(name);
        if plain(file) {
            Ok(self.path.join(name))
        } else {
            Err(Error::Malformed(format!("{name:?} is no name of a metadata file")))
        }
    }
}

impl MetadataStore for Store {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        read(&self.place(name)?, MAX_FILE).map_err(|error| Error::transport_with_source(name, error))
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        // The newest of each role is kept under its plain name; of roots also each version, in a folder of their own.
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            return Ok(());
        }
        if matches!(name, "snapshot.json" | "targets.json")
            && let Some(waiting) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
        {
            waiting.push((name.to_owned(), bytes.to_vec()));
            return Ok(());
        }
        let path = self.place(name)?;
        // Flash wears by writing, and most checks bring nothing new.
        if self.load(name).is_ok_and(|held| held.as_deref() == Some(bytes)) {
            return Ok(());
        }
        write_durably(&path, bytes).map_err(|error| {
            let error = Error::io(format!("cannot write {}", path.display()), error);
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(chain(&error));
            error
        })
    }
}

/// Puts these bytes into a file: after a power cut at any moment it holds the old or the new ones, and once this
/// returns, the new ones.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_durably(folder)?;
    // Not a name that a role could have: those end in .json.
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

/// Makes a folder and those above it; each new one is synced into the one above.
fn make_durably(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        make_durably(above)?;
        fs::create_dir(folder)?;
        return File::open(above)?.sync_all();
    }
    fs::create_dir(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_back_and_versions_are_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("a/b"));
        for name in ["root.json", "root_history/2.root.json", "cell-fault.json", "%2e.json"] {
            assert_eq!(store.load(name).unwrap(), None);
            store.store(name, b"one").unwrap();
            store.store(name, b"two").unwrap();
            assert_eq!(store.load(name).unwrap().unwrap(), b"two");
        }
        store.store("2.snapshot.json", b"x").unwrap();
        let names = |path: &Path| {
            let mut names: Vec<String> = fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&store.path), ["%2e.json", "cell-fault.json", "root.json", "root_history"]);
        assert_eq!(names(&store.path.join("root_history")), ["2.root.json"]);
    }

    #[test]
    fn a_name_that_leaves_the_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("store"));
        for bad in ["../x.json", "/x.json", "root_history/../../x", "a/b.json", "", "root_history/"] {
            assert!(store.store(bad, b"x").is_err() && store.load(bad).is_err(), "{bad:?}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_write_that_fails_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), b"").unwrap();
        let store = Store::new(dir.path().join("file"));
        assert!(store.store("a.json", b"x").is_err());
        assert!(store.take_failure().unwrap().contains("a.json"));
        assert_eq!(store.take_failure(), None);
    }
}
