//! What must outlive a power cut asks this of a file system: one flat directory of files, and two kinds of sync.
//!
//! The spool writes its segments through it, [`state`] what is small and changes. The agent implements it on real
//! files; the tests implement it as a disk with a volatile cache that loses, tears and refuses.

#[cfg(test)]
pub(crate) mod disk;
pub mod state;
#[cfg(test)]
pub(crate) mod tests;

use thiserror::Error;

/// Why the disk did not do as asked. The implementation logs nothing: the caller decides what a failure means.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum StorageError {
    /// The file system is full (`ENOSPC`, `EDQUOT`).
    #[error("{0}: no space left on the device")]
    NoSpace(String),
    /// Anything else. The text names the operation and the file.
    #[error("{0}")]
    Failed(String),
}

/// A directory of files. Nothing is durable until the sync that says so returns `Ok`.
pub trait Storage {
    /// The names of all files of the directory.
    ///
    /// # Errors
    /// The directory could not be read.
    fn list(&mut self) -> Result<Vec<String>, StorageError>;

    /// Makes a new file of `len` zero bytes with its blocks reserved, so that a later write within it needs no space.
    ///
    /// # Errors
    /// [`StorageError::NoSpace`] if the blocks cannot be reserved; no file stays behind then.
    fn create(&mut self, name: &str, len: u64) -> Result<(), StorageError>;

    /// Reads up to `len` bytes from `offset`; fewer at the end of the file.
    ///
    /// # Errors
    /// The file is not there or could not be read.
    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, StorageError>;

    /// Writes all of `bytes` at `offset`, into the volatile cache.
    ///
    /// # Errors
    /// Any part may then have been written.
    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), StorageError>;

    /// Cuts the file to `len` bytes and returns the rest to the file system.
    ///
    /// # Errors
    /// The file keeps its length.
    fn truncate(&mut self, name: &str, len: u64) -> Result<(), StorageError>;

    /// Makes the contents and the length of a file durable (`fdatasync`).
    ///
    /// # Errors
    /// Nothing written since the last success may be trusted, not even after a later success: the kernel marks
    /// pages clean when write-back fails.
    fn sync_data(&mut self, name: &str) -> Result<(), StorageError>;

    /// Gives a file another name, in the place of the file that has it, if there is one: whoever looks finds the
    /// one or the other, never none.
    ///
    /// # Errors
    /// Both files are as they were.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), StorageError>;

    /// Makes creations, removals and new names durable (`fsync` of the directory).
    ///
    /// # Errors
    /// They may be undone by a power cut.
    fn sync_dir(&mut self) -> Result<(), StorageError>;

    /// Removes a file. A file that is not there is no error.
    ///
    /// # Errors
    /// The file stays.
    fn remove(&mut self, name: &str) -> Result<(), StorageError>;
}
