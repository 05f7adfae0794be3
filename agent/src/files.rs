//! What must outlive a power cut, on real files: `fallocate`, `pwrite`, `fdatasync`, `rename`, and for the spool a lock
//! that keeps a second agent out.

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use telltale_core::storage::{Storage, StorageError};
use thiserror::Error;

/// Written files kept open: the active segment of each lane and the cursor, with a little room.
const MAX_OPEN: usize = 8;

/// Why a directory could not be used.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// The directory or its lock could not be made.
    #[error("the directory {} cannot be used: check that it exists or can be made, and is writable", .path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds the lock.
    #[error("the spool directory {} is in use by another agent: stop that one or give this one a directory of its own", .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

/// A directory of real files.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    directory: File,
    /// Held for its lock, which the kernel releases with the process, however that ends.
    _lock: Option<File>,
    open: Vec<(String, File)>,
}

impl Directory {
    /// Makes the directory if need be. Others may write there too, other files.
    ///
    /// # Errors
    /// [`DirectoryError::Unusable`].
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        let unusable = |source| DirectoryError::Unusable { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(unusable)?;
        let directory = File::open(path).map_err(unusable)?;
        Ok(Self { path: path.to_owned(), directory, _lock: None, open: Vec::new() })
    }

    /// Makes the directory if need be, and locks it: a spool has one writer.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub fn lock(path: &Path) -> Result<Self, DirectoryError> {
        let unusable = |source| DirectoryError::Unusable { path: path.to_owned(), source };
        let directory = Self::open(path)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.join("lock"));
        // On a disk that became read-only, what waits there can still be sent.
        let lock =
            lock.or_else(|error| File::open(path.join("lock")).map_err(|_| error)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: Some(lock), ..directory }),
            Err(TryLockError::WouldBlock) => Err(DirectoryError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// The open file for writing; the one used longest ago is closed for it.
    fn writable(&mut self, name: &str) -> io::Result<&File> {
        let at = self.open.iter().position(|(open, _)| open == name);
        let entry = match at {
            Some(at) => self.open.remove(at),
            None => {
                self.open.truncate(MAX_OPEN - 1);
                (name.to_owned(), OpenOptions::new().write(true).open(self.path.join(name))?)
            }
        };
        self.open.insert(0, entry);
        match self.open.first() {
            Some((_, file)) => Ok(file),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn create_reserved(&mut self, name: &str, len: u64) -> io::Result<()> {
        let file = OpenOptions::new().create_new(true).write(true).open(self.path.join(name))?;
        if len > 0 {
            reserve(&file, len)?;
        }
        self.open.truncate(MAX_OPEN - 1);
        self.open.insert(0, (name.to_owned(), file));
        Ok(())
    }

    fn failed(&self, what: &str, name: &str, error: &io::Error) -> StorageError {
        let text = format!("{what} {}: {error}", self.path.join(name).display());
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StorageError::NoSpace(text),
            _ => StorageError::Failed(text),
        }
    }
}

/// Reserves blocks; a file system that cannot is given zeros to the same effect.
fn reserve(file: &File, len: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, len) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            let zeros = [0; 4096];
            let mut at = 0;
            while at < len {
                let part = (len - at).min(zeros.len() as u64) as usize;
                file.write_all_at(zeros.get(..part).unwrap_or_default(), at)?;
                at += part as u64;
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

impl Storage for Directory {
    fn list(&mut self) -> Result<Vec<String>, StorageError> {
        let names = std::fs::read_dir(&self.path).and_then(|entries| {
            entries.map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default())).collect()
        });
        names.map_err(|e| self.failed("listing", "", &e))
    }

    fn create(&mut self, name: &str, len: u64) -> Result<(), StorageError> {
        self.create_reserved(name, len).map_err(|e| {
            if e.kind() != ErrorKind::AlreadyExists {
                let _ = std::fs::remove_file(self.path.join(name));
            }
            self.failed("creating", name, &e)
        })
    }

    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, StorageError> {
        let read = File::open(self.path.join(name)).and_then(|file| {
            let there = file.metadata()?.len().saturating_sub(offset).min(len as u64);
            let mut bytes = vec![0; there as usize];
            file.read_exact_at(&mut bytes, offset)?;
            Ok(bytes)
        });
        read.map_err(|e| self.failed("reading", name, &e))
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let written = self.writable(name).and_then(|file| file.write_all_at(bytes, offset));
        written.map_err(|e| self.failed("writing", name, &e))
    }

    fn truncate(&mut self, name: &str, len: u64) -> Result<(), StorageError> {
        let cut = self.writable(name).and_then(|file| file.set_len(len));
        cut.map_err(|e| self.failed("truncating", name, &e))
    }

    fn sync_data(&mut self, name: &str) -> Result<(), StorageError> {
        let synced = self.writable(name).and_then(File::sync_data);
        synced.map_err(|e| self.failed("syncing", name, &e))
    }

    fn sync_dir(&mut self) -> Result<(), StorageError> {
        self.directory.sync_all().map_err(|e| self.failed("syncing the directory", "", &e))
    }

    fn remove(&mut self, name: &str) -> Result<(), StorageError> {
        self.open.retain(|(open, _)| open != name);
        match std::fs::remove_file(self.path.join(name)) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(self.failed("removing", name, &e)),
            _ => Ok(()),
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), StorageError> {
        self.open.retain(|(open, _)| open != from && open != to);
        let renamed = std::fs::rename(self.path.join(from), self.path.join(to));
        renamed.map_err(|e| self.failed("renaming", from, &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_kept_out_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = Directory::lock(dir.path()).unwrap();
        assert!(matches!(Directory::lock(dir.path()), Err(DirectoryError::InUse { .. })));
        drop(first);
        assert!(Directory::lock(dir.path()).is_ok());
    }

    #[test]
    fn files_do_what_is_asked_of_a_storage() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Directory::lock(dir.path()).unwrap();
        files.create("a", 8192).unwrap();
        assert!(files.create("a", 1).is_err(), "a file is never made twice");
        files.write_at("a", 100, b"frames").unwrap();
        files.sync_data("a").unwrap();
        files.sync_dir().unwrap();
        assert_eq!(files.read_at("a", 99, 8).unwrap(), b"\0frames\0");
        files.truncate("a", 103).unwrap();
        assert_eq!(files.read_at("a", 100, 8).unwrap(), b"fra");
        for n in 0..2 * MAX_OPEN {
            files.create(&format!("b{n}"), 1).unwrap();
        }
        files.write_at("a", 0, b"x").unwrap();
        files.remove("a").unwrap();
        files.remove("a").unwrap();
        let told = files.write_at("a", 0, b"x").unwrap_err().to_string();
        assert!(told.contains("writing") && told.contains("/a"), "{told}");
        assert_eq!(files.list().unwrap().len(), 2 * MAX_OPEN + 1);
        files.write_at("b0", 0, b"y").unwrap();
        files.rename("b0", "b1").unwrap();
        files.write_at("b1", 0, b"z").unwrap();
        assert_eq!(files.read_at("b1", 0, 9).unwrap(), b"z");
        assert!(files.rename("b0", "b1").is_err() && files.read_at("b0", 0, 9).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_reserved_says_that_the_disk_is_full_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Directory::lock(dir.path()).unwrap();
        let full = files.create("huge", 1 << 52);
        assert!(full.is_err());
        assert_eq!(files.list().unwrap(), ["lock"]);
    }
}
