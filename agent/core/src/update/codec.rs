//! The bytes of a family's state file: `"TTUP"`, the format (u16, little-endian), the CRC-32 of what follows, and the
//! state in postcard. A file is read whole or not at all.

use super::state::{Kept, MAX_BAD};
use thiserror::Error;

const MAGIC: [u8; 4] = *b"TTUP";

/// The format that this agent writes. Another one reads what it knows, and nothing else.
const FORMAT: u16 = 1;

/// The longest file, in bytes. A full one, with sixteen bad releases, takes about 1 kB.
const MAX_LEN: usize = 8 * 1024;

/// The longest version text of a release, in bytes.
const MAX_VERSION: usize = 64;

/// Why bytes are no state.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CodecError {
    /// Not such a file, or not all of one.
    #[error("it is no state file of an update, or was cut")]
    NoState,
    /// A newer agent wrote it.
    #[error("it has format {0}, this agent reads {FORMAT}: a newer agent wrote it")]
    NewerFormat(u16),
    /// It was damaged.
    #[error("its checksum does not fit: it was damaged")]
    Damaged,
    /// It contradicts itself.
    #[error("it contradicts itself: {0}")]
    Contradiction(&'static str),
}

/// The file's bytes.
#[must_use]
pub fn encode(kept: &Kept) -> Vec<u8> {
    // Plain data into memory has no way to fail.
    let body = postcard::to_allocvec(kept).unwrap_or_default();
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// Reads a file.
///
/// # Errors
/// Every [`CodecError`].
pub fn decode(bytes: &[u8]) -> Result<Kept, CodecError> {
    let (magic, rest) = bytes.split_first_chunk::<4>().ok_or(CodecError::NoState)?;
    if *magic != MAGIC || bytes.len() > MAX_LEN {
        return Err(CodecError::NoState);
    }
    let (format, rest) = rest.split_first_chunk::<2>().ok_or(CodecError::NoState)?;
    match u16::from_le_bytes(*format) {
        FORMAT => {}
        newer => return Err(CodecError::NewerFormat(newer)),
    }
    let (crc, body) = rest.split_first_chunk::<4>().ok_or(CodecError::NoState)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return Err(CodecError::Damaged);
    }
    let kept: Kept = postcard::from_bytes(body).map_err(|_| CodecError::NoState)?;
    check(&kept)?;
    Ok(kept)
}

/// What the machine relies on.
fn check(kept: &Kept) -> Result<(), CodecError> {
    let releases = kept.slots.iter().flatten().chain(kept.update.iter().map(|update| &update.release));
    let rules = [
        ("the active slot is empty", kept.active == super::Place::Factory || kept.active_release().is_some()),
        (
            "the update is in the active slot",
            kept.open().is_none_or(|u| kept.active != super::Place::Slot(u.slot)),
        ),
        ("too many bad releases", kept.bad.len() <= MAX_BAD),
        ("a version is too long", releases.into_iter().all(|release| release.version.len() <= MAX_VERSION)),
    ];
    rules
        .into_iter()
        .find(|(_, holds)| !holds)
        .map_or(Ok(()), |(rule, _)| Err(CodecError::Contradiction(rule)))
}
