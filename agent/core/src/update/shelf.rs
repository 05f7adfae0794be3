//! Where bundles lie on the vehicle: the state of each family, the indexes of its slots, and chunks named by their
//! digests, which releases share. What is read is held against the digest that the state names, every time: a byte
//! that was never verified, or that the flash has lost since, is not given out.
//!
//! One flat directory: `FAMILY.state`, `FAMILY.a.index`, `FAMILY.b.index`, `HEX.chunk`; beside the index of a sealed bundle
//! `FAMILY.a.key`, which opens for this vehicle alone. Chunks lie there as they came: sealed ones sealed.

use super::codec::{self, CodecError};
use super::state::{Kept, Release, Slot};
use crate::storage::{Storage, StorageError, state};
use std::collections::BTreeSet;
use telltale_wire::bundle::{BundleError, BundleIndex, BundleName, Chunk, MAX_INDEX, PartKind};
use telltale_wire::digest::Digest;
use thiserror::Error;

const STATE: &str = ".state";
const INDEX: &str = ".index";
const CHUNK: &str = ".chunk";
const KEY: &str = ".key";

/// The longest wrapped key that is kept, in bytes.
pub const MAX_KEY: usize = 1024;

/// Why something could not be read from the shelf, or put there.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ShelfError {
    /// The disk refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The state file can't be used.
    #[error("{file}: {error}")]
    State {
        /// Its name.
        file: String,
        /// What is wrong.
        error: CodecError,
    },
    /// An index or a chunk is not the one that was signed for.
    #[error("{file}: {error}")]
    Bundle {
        /// Its name, or where it came from.
        file: String,
        /// What is wrong.
        error: BundleError,
    },
    /// An index is not the one that the state names.
    #[error("{0} is not the index that was verified: its digest differs")]
    OtherIndex(String),
    /// It is not there.
    #[error("{0} is missing")]
    Missing(String),
}

/// The shelf on a directory of its own.
pub struct Shelf<S> {
    storage: S,
}

impl<S: Storage> Shelf<S> {
    /// A shelf on this directory.
    pub const fn new(storage: S) -> Shelf<S> {
        Shelf { storage }
    }

    /// What is kept of a family; `None` if nothing is.
    ///
    /// # Errors
    /// [`ShelfError::Storage`], [`ShelfError::State`].
    pub fn kept(&mut self, family: &BundleName) -> Result<Option<Kept>, ShelfError> {
        let file = format!("{family}{STATE}");
        let Some(bytes) = state::read(&mut self.storage, &file)? else { return Ok(None) };
        let kept = codec::decode(&bytes).map_err(|error| ShelfError::State { file: file.clone(), error })?;
        if kept.family == *family {
            Ok(Some(kept))
        } else {
            Err(ShelfError::State { file, error: CodecError::Contradiction("it is of another family") })
        }
    }

    /// Keeps the state of a family: durable when this returns.
    ///
    /// # Errors
    /// [`StorageError`]; the state before it, or this one, is there.
    pub fn keep(&mut self, kept: &Kept) -> Result<(), StorageError> {
        state::replace(&mut self.storage, &format!("{}{STATE}", kept.family), &codec::encode(kept))
    }

    /// The families of which something is kept.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn families(&mut self) -> Result<Vec<BundleName>, StorageError> {
        let names = self.storage.list()?;
        Ok(names.iter().filter_map(|name| BundleName::new(name.strip_suffix(STATE)?).ok()).collect())
    }

    /// Puts an index into a slot: durable when this returns.
    ///
    /// # Errors
    /// [`ShelfError::OtherIndex`] and [`ShelfError::Bundle`] if these bytes are not those of the release.
    pub fn hold_index(
        &mut self,
        family: &BundleName,
        slot: Slot,
        release: &Release,
        bytes: &[u8],
    ) -> Result<BundleIndex, ShelfError> {
        let file = index_name(family, slot);
        let index = read_index(&file, release, bytes)?;
        state::replace(&mut self.storage, &file, bytes)?;
        Ok(index)
    }

    /// Puts the wrapped key of a slot's bundle beside its index: durable when this returns. To be done before
    /// [`Shelf::hold_index`], so that no index waits for its key.
    ///
    /// # Errors
    /// [`StorageError`]; the key before it, or this one, is there.
    pub fn hold_key(&mut self, family: &BundleName, slot: Slot, wrapped: &[u8]) -> Result<(), StorageError> {
        state::replace(&mut self.storage, &key_name(family, slot), wrapped)
    }

    /// The wrapped key of a slot's bundle, whatever it is; `None` if there is none. Whether it fits, the seal says.
    ///
    /// # Errors
    /// [`ShelfError::Storage`].
    pub fn key_bytes(&mut self, family: &BundleName, slot: Slot) -> Result<Option<Vec<u8>>, ShelfError> {
        let bytes = state::read(&mut self.storage, &key_name(family, slot))?;
        Ok(bytes.filter(|bytes| bytes.len() <= MAX_KEY))
    }

    /// The index in a slot, if it is that of the release.
    ///
    /// # Errors
    /// [`ShelfError`].
    pub fn index(
        &mut self,
        family: &BundleName,
        slot: Slot,
        release: &Release,
    ) -> Result<BundleIndex, ShelfError> {
        read_index(&index_name(family, slot), release, &self.index_bytes(family, slot)?)
    }

    /// The bytes of the index in a slot, whatever they are.
    ///
    /// # Errors
    /// [`ShelfError::Missing`], [`ShelfError::Storage`].
    pub fn index_bytes(&mut self, family: &BundleName, slot: Slot) -> Result<Vec<u8>, ShelfError> {
        let file = index_name(family, slot);
        state::read(&mut self.storage, &file)?.ok_or(ShelfError::Missing(file))
    }

    /// The chunks that have to be fetched, by number, each digest once. What is damaged or half-written is among them.
    ///
    /// # Errors
    /// [`ShelfError::Storage`].
    pub fn missing(&mut self, index: &BundleIndex) -> Result<Vec<usize>, ShelfError> {
        let there: BTreeSet<String> = self.storage.list()?.into_iter().collect();
        let (mut seen, mut missing) = (BTreeSet::new(), Vec::new());
        for chunk in index.chunks() {
            if seen.insert(chunk.digest)
                && !(there.contains(&chunk_name(&chunk.digest)) && self.chunk(index, &chunk).is_ok())
            {
                missing.push(chunk.number);
            }
        }
        Ok(missing)
    }

    /// Puts a chunk on the shelf, if it is the one of this number. After [`Shelf::settle`] it is durable.
    ///
    /// # Errors
    /// [`ShelfError::Bundle`] if these bytes are others; nothing is written then.
    pub fn put(&mut self, index: &BundleIndex, number: usize, bytes: &[u8]) -> Result<(), ShelfError> {
        let chunk = index
            .check_chunk(number, bytes)
            .map_err(|error| ShelfError::Bundle { file: index.path().to_string(), error })?;
        let file = chunk_name(&chunk.digest);
        // What a power cut left half-written.
        self.storage.remove(&file)?;
        self.storage.create(&file, bytes.len() as u64)?;
        self.storage.write_at(&file, 0, bytes)?;
        Ok(self.storage.sync_data(&file)?)
    }

    /// Makes the chunks that were put durable.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn settle(&mut self) -> Result<(), StorageError> {
        self.storage.sync_dir()
    }

    /// A part of a bundle as it came, whole; every chunk of it is verified again. Of a sealed bundle it is sealed.
    ///
    /// # Errors
    /// [`ShelfError`].
    pub fn part(&mut self, index: &BundleIndex, kind: PartKind) -> Result<Vec<u8>, ShelfError> {
        let missing = || ShelfError::Missing(format!("the part {} of {}", kind.as_str(), index.path()));
        let place = index.place(kind).ok_or_else(missing)?;
        let mut bytes = Vec::with_capacity(place.length);
        for number in place.chunks {
            let chunk = index.chunk(number).ok_or_else(missing)?;
            bytes.extend(self.chunk(index, &chunk)?);
        }
        Ok(bytes)
    }

    /// Deletes indexes, keys and chunks that none of these families needs; gives how many files went.
    ///
    /// # Errors
    /// [`StorageError`]; some may have gone.
    pub fn sweep(&mut self, families: &[&Kept]) -> Result<usize, StorageError> {
        let mut needed = BTreeSet::new();
        for kept in families {
            for (slot, release) in kept.needed() {
                needed.insert(index_name(&kept.family, slot));
                if let Ok(index) = self.index(&kept.family, slot, release) {
                    if index.seal.is_some() {
                        needed.insert(key_name(&kept.family, slot));
                    }
                    needed.extend(index.chunks().map(|chunk| chunk_name(&chunk.digest)));
                }
            }
        }
        let mut gone = 0;
        for name in self.storage.list()? {
            let is_ours = [INDEX, CHUNK, KEY].iter().any(|end| name.ends_with(end));
            if is_ours && !needed.contains(&name) {
                self.storage.remove(&name)?;
                gone += 1;
            }
        }
        if gone > 0 {
            self.storage.sync_dir()?;
        }
        Ok(gone)
    }

    /// A chunk as it lies there, verified.
    fn chunk(&mut self, index: &BundleIndex, chunk: &Chunk) -> Result<Vec<u8>, ShelfError> {
        let file = chunk_name(&chunk.digest);
        let bytes = self.storage.read_at(&file, 0, chunk.length + 1)?;
        match index.check_chunk(chunk.number, &bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(ShelfError::Bundle { file, error }),
        }
    }
}

fn read_index(file: &str, release: &Release, bytes: &[u8]) -> Result<BundleIndex, ShelfError> {
    if bytes.len() > MAX_INDEX || Digest::of(bytes) != release.bundle {
        return Err(ShelfError::OtherIndex(file.to_owned()));
    }
    BundleIndex::decode(bytes).map_err(|error| ShelfError::Bundle { file: file.to_owned(), error })
}

fn index_name(family: &BundleName, slot: Slot) -> String {
    format!("{family}.{}{INDEX}", slot.letter())
}

fn key_name(family: &BundleName, slot: Slot) -> String {
    format!("{family}.{}{KEY}", slot.letter())
}

fn chunk_name(digest: &Digest) -> String {
    format!("{digest}{CHUNK}")
}
