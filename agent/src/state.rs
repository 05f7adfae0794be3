//! Small state that must outlive a power cut: written aside, synced, renamed, and the directory synced.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use telltale_wire::ids::BootId;
use thiserror::Error;

/// The longest state file that is read, in bytes.
const MAX_STATE: u64 = 1024 * 1024;

/// State could not be kept.
#[derive(Debug, Error)]
#[error("{what} {}: check that its directory exists, is writable and has space", .path.display())]
pub struct StateError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Replaces a file so that after a power cut it is either the old one or the new one, whole.
///
/// # Errors
/// [`StateError`]; the old file is still there then.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let failed = |source| StateError { what: "cannot replace", path: path.to_owned(), source };
    let aside = path.with_extension("new");
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(failed)?;
    let mut file = File::create(&aside).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&aside, path).map_err(failed)?;
    File::open(parent).and_then(|directory| directory.sync_all()).map_err(failed)
}

/// Reads a state file; `None` if there is none.
///
/// # Errors
/// [`StateError`] if it is there and cannot be read.
pub fn read_file(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    let failed = |source| StateError { what: "cannot read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_STATE).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

/// Counts this start in `<directory>/boot` and gives it its id. The count is durable before it returns; on a disk that
/// is full or read-only it is not, and the nonce alone keeps the id from being given twice: an agent that can store
/// nothing can still send what it holds.
///
/// # Errors
/// [`StateError`] if the count is there and cannot be read, or there is no randomness.
pub fn next_boot(directory: &Path) -> Result<BootId, StateError> {
    let path = directory.join("boot");
    let before = read_file(&path)?;
    let text = before.as_deref().map(String::from_utf8_lossy);
    let counter = match text.as_deref().map(|text| text.trim().parse::<u32>()) {
        None => 0,
        Some(Ok(counter)) => counter,
        Some(Err(_)) => {
            log::warn!("{} holds no number: boots are counted from 1 again", path.display());
            0
        }
    };
    let counter = counter.saturating_add(1);
    let nonce =
        nonce().map_err(|source| StateError { what: "no randomness for", path: path.clone(), source })?;
    if let Err(error) = replace_file(&path, format!("{counter}\n").as_bytes()) {
        log::error!("this boot is not counted: {error}: {}", error.source);
    }
    Ok(BootId::new(counter, nonce))
}

fn nonce() -> io::Result<u32> {
    let mut bytes = [0; 4];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
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
    fn a_disk_that_takes_nothing_costs_the_count_and_not_the_start() {
        let path = Path::new("/proc/nowhere");
        let error = replace_file(&path.join("boot"), b"1").unwrap_err().to_string();
        assert!(error.contains("/proc/nowhere/boot"), "{error}");
        assert_ne!(next_boot(path).unwrap(), next_boot(path).unwrap());
    }
}
