//! Why something sealed is not opened, each cause by its own name, and why a key's file is not read.

use crate::wrap::RecipientKey;
use std::io;
use std::path::PathBuf;

/// Why a bundle is not taken for what is sealed in it, or not read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealError {
    /// This vehicle takes sealed bundles only.
    #[error("the bundle is not sealed, and this vehicle takes sealed ones only (`update.require_sealed`)")]
    NotSealed,
    /// A vehicle that was given no sealing key.
    #[error(
        "the bundle is sealed, and this vehicle has no sealing key: name a file under `update.sealing_key`"
    )]
    NoSealingKey,
    /// The director signed no content key for this vehicle.
    #[error("the bundle is sealed, and no content key comes with it for this vehicle")]
    NoContentKey,
    /// The bytes are no wrapped key, or no key.
    #[error("the {0} does not read")]
    Malformed(&'static str),
    /// A public key that any shared secret could be told from.
    #[error("this public key is of low order: nothing can be wrapped for it")]
    WeakKey,
    /// The content key was wrapped for a sealing key that this vehicle does not have.
    #[error("the content key was wrapped for {theirs}, this vehicle's sealing key is {ours}")]
    OtherSealingKey {
        /// Whom it is for.
        theirs: RecipientKey,
        /// This vehicle's.
        ours: RecipientKey,
    },
    /// Changed on the way, or wrapped for another vehicle, family or content key.
    #[error("the wrapped content key does not open for this vehicle and this bundle")]
    NotThisPurpose,
    /// A content key opened, but the bundle names another one.
    #[error("the content key is not the one that the bundle is sealed with")]
    WrongContentKey,
    /// The bytes of a chunk are not what this content key sealed for this family.
    #[error("a sealed chunk does not open: it was sealed with another key or for another family, or changed")]
    NotOpened,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
}

/// Why the file of a key is not used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It can't be read or written.
    #[error("cannot {action} the key {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others than its owner may read it.
    #[error("others may read the key {0} (mode {1:o}): chmod 600 {0}", .path.display(), .mode)]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds no such key.
    #[error("{} holds no {what}: it is one line, `{what} HEX`", .path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
}
