//! Small state that must outlive a power cut: written aside, synced, renamed, and the directory synced. Whoever reads
//! it finds the last that was reported as kept or one that was attempted after it, always whole.

use super::{Storage, StorageError};
use telltale_wire::ids::BootId;

/// The longest state that is read, in bytes.
pub const MAX_STATE: usize = 1024 * 1024;

/// The file that counts the starts.
pub const BOOT: &str = "boot";

/// What a file is called until it is whole. No state may have such a name itself.
const ASIDE: &str = ".new";

/// Replaces a state file so that after a power cut it is either the old one or the new one, whole. `Ok` says that it
/// is the new one.
///
/// # Errors
/// The disk refused: the old one is still there, or the new one and a power cut may undo it.
pub fn replace<S: Storage>(storage: &mut S, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
    let aside = format!("{name}{ASIDE}");
    // What an earlier attempt left is not continued: its pages may count as clean and yet never reach the flash.
    storage.remove(&aside)?;
    storage.create(&aside, bytes.len() as u64)?;
    storage.write_at(&aside, 0, bytes)?;
    storage.sync_data(&aside)?;
    storage.rename(&aside, name)?;
    storage.sync_dir()
}

/// Reads a state file, up to [`MAX_STATE`] bytes of it; `None` if there is none.
///
/// # Errors
/// It is there and cannot be read.
pub fn read<S: Storage>(storage: &mut S, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
    let is_there = storage.list()?.iter().any(|there| there == name);
    is_there.then(|| storage.read_at(name, 0, MAX_STATE)).transpose()
}

/// A start of the agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Boot {
    /// What no other start has.
    pub id: BootId,
    /// Whether its count is durable. Where the disk refused, the nonce alone (32 random bits) keeps the id from being
    /// given twice: an agent that can store nothing can still send what it holds.
    pub counted: Result<(), StorageError>,
}

/// Counts this start in [`BOOT`] and gives it its id.
///
/// # Errors
/// The count is there and cannot be read.
pub fn next_boot<S: Storage>(storage: &mut S, nonce: u32) -> Result<Boot, StorageError> {
    let before = read(storage, BOOT)?;
    let text = before.as_deref().map(String::from_utf8_lossy);
    let counter = match text.as_deref().map(|text| text.trim().parse::<u32>()) {
        None => 0,
        Some(Ok(counter)) => counter,
        Some(Err(_)) => {
            log::warn!("the file {BOOT} holds no number: boots are counted from 1 again");
            0
        }
    };
    let counter = counter.saturating_add(1);
    let counted = replace(storage, BOOT, format!("{counter}\n").as_bytes());
    Ok(Boot { id: BootId::new(counter, nonce), counted })
}
