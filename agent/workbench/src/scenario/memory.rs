//! A disk for the spool that is memory: what is written is there, and nothing fails.

use std::collections::BTreeMap;
use telltale_core::storage::{Storage, StorageError};

/// The files by name.
#[derive(Default)]
pub(super) struct Memory(BTreeMap<String, Vec<u8>>);

impl Memory {
    fn file(&mut self, name: &str) -> Result<&mut Vec<u8>, StorageError> {
        self.0.get_mut(name).ok_or_else(|| StorageError::Failed(format!("{name} is not there")))
    }
}

impl Storage for Memory {
    fn list(&mut self) -> Result<Vec<String>, StorageError> {
        Ok(self.0.keys().cloned().collect())
    }

    fn create(&mut self, name: &str, len: u64) -> Result<(), StorageError> {
        self.0.insert(name.to_owned(), vec![0; len as usize]);
        Ok(())
    }

    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, StorageError> {
        let file = self.file(name)?;
        let from = (offset as usize).min(file.len());
        Ok(file[from..from.saturating_add(len).min(file.len())].to_vec())
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let (file, from) = (self.file(name)?, offset as usize);
        file.resize(file.len().max(from + bytes.len()), 0);
        file[from..from + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, name: &str, len: u64) -> Result<(), StorageError> {
        self.file(name)?.truncate(len as usize);
        Ok(())
    }

    fn sync_data(&mut self, _name: &str) -> Result<(), StorageError> {
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), StorageError> {
        let bytes = std::mem::take(self.file(from)?);
        self.0.remove(from);
        self.0.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn sync_dir(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), StorageError> {
        self.0.remove(name);
        Ok(())
    }
}
