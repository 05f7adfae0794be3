//! Small state that must outlive a power cut, on the real disk: [`telltale_core::storage::state`] says how it is kept.

use crate::files::Directory;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use telltale_core::storage::StorageError;
use telltale_core::storage::state;
use telltale_wire::ids::BootId;
use thiserror::Error;

/// State could not be kept or read.
#[derive(Debug, Error)]
#[error("cannot {what} {}: check that its directory exists, is writable and has space", .path.display())]
pub struct StateError {
    what: &'static str,
    path: PathBuf,
    source: StorageError,
}

/// Replaces a file so that after a power cut it is either the old one or the new one, whole.
///
/// # Errors
/// [`StateError`]; the old file is still there then, or the new one and a power cut may undo it.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let replaced = directory_of(path).and_then(|(mut files, name)| state::replace(&mut files, &name, bytes));
    replaced.map_err(|source| StateError { what: "replace", path: path.to_owned(), source })
}

/// Reads a state file; `None` if there is none.
///
/// # Errors
/// [`StateError`] if it is there and cannot be read.
pub fn read_file(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    let read = directory_of(path).and_then(|(mut files, name)| state::read(&mut files, &name));
    read.map_err(|source| StateError { what: "read", path: path.to_owned(), source })
}

/// Counts this start in `<directory>/boot` and gives it its id. On a disk that does not take the count the nonce alone
/// keeps the id from being given twice, and the log says so.
///
/// # Errors
/// [`StateError`] if the count is there and cannot be read, or there is no randomness.
pub fn next_boot(directory: &Path) -> Result<BootId, StateError> {
    let path = directory.join(state::BOOT);
    let nonce =
        nonce().map_err(|source| StateError { what: "give a nonce to", path: path.clone(), source })?;
    let files = Directory::open(directory);
    let mut files = match files {
        Ok(files) => files,
        Err(error) => {
            log::error!("this boot is not counted: {}", told(&error));
            return Ok(BootId::new(1, nonce));
        }
    };
    let boot =
        state::next_boot(&mut files, nonce).map_err(|source| StateError { what: "read", path, source })?;
    if let Err(error) = boot.counted {
        log::error!("this boot is not counted: {error}");
    }
    Ok(boot.id)
}

fn directory_of(path: &Path) -> Result<(Directory, String), StorageError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| StorageError::Failed("this is no name of a file".into()))?;
    let files = Directory::open(parent).map_err(|error| StorageError::Failed(told(&error)))?;
    Ok((files, name.to_owned()))
}

fn nonce() -> Result<u32, StorageError> {
    const SOURCE: &str = "/dev/urandom";
    let mut bytes = [0; 4];
    let read = File::open(SOURCE).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| StorageError::Failed(format!("reading {SOURCE}: {error}")))?;
    Ok(u32::from_le_bytes(bytes))
}

/// An error with what caused it.
fn told(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_start_has_an_id_of_its_own_and_a_damaged_count_does_not_stop_the_agent() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let first = next_boot(&state).unwrap();
        let second = next_boot(&state).unwrap();
        assert_eq!((first.counter(), second.counter()), (1, 2));
        std::fs::write(state.join("boot"), [0xff, 0, 9]).unwrap();
        let third = next_boot(&state).unwrap();
        assert_eq!(third.counter(), 1);
        assert_ne!(third, first, "the nonce keeps them apart");
        assert_eq!(std::fs::read_dir(&state).unwrap().count(), 1, "nothing stays aside");
    }

    #[test]
    fn a_file_is_replaced_whole_whatever_its_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("budget");
        assert_eq!(read_file(&path).unwrap(), None);
        for bytes in [&b"a longer one"[..], b"", b"short"] {
            replace_file(&path, bytes).unwrap();
            assert_eq!(read_file(&path).unwrap().unwrap(), bytes);
        }
    }

    #[test]
    fn a_disk_that_takes_nothing_costs_the_count_and_not_the_start() {
        let path = Path::new("/proc/nowhere");
        let error = replace_file(&path.join("boot"), b"1").unwrap_err().to_string();
        assert!(error.contains("/proc/nowhere/boot"), "{error}");
        assert_ne!(next_boot(path).unwrap(), next_boot(path).unwrap());
    }
}
