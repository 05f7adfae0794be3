//! From a folder to a bundle: finds the index, reads its chunks, and checks every byte before anything is stored.

use super::{MAX_PROVENANCE, author};
use crate::store::ota::NewModel;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use telltale_seal::{ContentKey, SealError};
use telltale_wire::bundle::{BundleError, BundleIndex, MAX_INDEX, PartKind, PartPlace};
use telltale_wire::digest::Digest;

/// How deep below the folder an index may lie: `index/FAMILY/NAME-RELEASE.index`.
const MAX_DEPTH: usize = 3;
/// Entries of folders that are looked at.
const MAX_ENTRIES: usize = 20_000;
/// The longest card that is kept, in bytes.
const MAX_CARD: usize = 256 * 1024;

/// Why a folder gave no bundle.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No index in it.
    #[error("no index (NAME-RELEASE.index) lies in {}: give the folder that `telltale bundle build` wrote", .0.display())]
    NoIndex(PathBuf),
    /// Too much in it.
    #[error("{} holds more than {MAX_ENTRIES} files: give the folder of the bundle alone", .0.display())]
    TooManyFiles(PathBuf),
    /// A file can't be read.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The index is none.
    #[error("{}: {source}", .path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: BundleError,
    },
    /// A chunk is not there.
    #[error("chunk {digest} of {} is missing: it is looked for in `chunk` and beside the index", .index.display())]
    NoChunk {
        /// The index.
        index: PathBuf,
        /// Its name.
        digest: Digest,
    },
    /// A chunk is another one.
    #[error("{}: {source}", .path.display())]
    Chunk {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: BundleError,
    },
    /// It is sealed, and nobody gave its key.
    #[error("{} is sealed with the content key {key_id}: give its file with --content-key", .index.display())]
    NoKey {
        /// The index.
        index: PathBuf,
        /// The key's name.
        key_id: Digest,
    },
    /// A part does not open with the key that the index names.
    #[error("{}: {source}", .index.display())]
    Seal {
        /// The index.
        index: PathBuf,
        /// Why not.
        source: SealError,
    },
    /// The provenance is no JSON object.
    #[error("the provenance of {} is no JSON object of at most {MAX_PROVENANCE} bytes", .0.display())]
    Provenance(PathBuf),
}

/// Reads every bundle of a folder, wholly checked. Sealed ones are opened with the one of `keys` that they name: what
/// could not be opened here would be opened by no vehicle.
///
/// # Errors
/// Every [`ImportError`]; then nothing of the folder is to be stored.
pub fn import(dir: &Path, keys: &[Arc<ContentKey>]) -> Result<Vec<NewModel>, ImportError> {
    let mut indexes = Vec::new();
    let mut seen = 0;
    find(dir, MAX_DEPTH, &mut seen, &mut indexes)?;
    indexes.sort();
    if indexes.is_empty() {
        return Err(ImportError::NoIndex(dir.to_owned()));
    }
    indexes.into_iter().map(|path| bundle(dir, &path, keys)).collect()
}

fn find(dir: &Path, depth: usize, seen: &mut usize, found: &mut Vec<PathBuf>) -> Result<(), ImportError> {
    let unreadable = |source| ImportError::Unreadable { path: dir.to_owned(), source };
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        *seen += 1;
        if *seen > MAX_ENTRIES {
            return Err(ImportError::TooManyFiles(dir.to_owned()));
        }
        let kind = entry.file_type().map_err(unreadable)?;
        if kind.is_dir() && depth > 1 {
            find(&entry.path(), depth - 1, seen, found)?;
        } else if kind.is_file() && entry.path().extension().is_some_and(|end| end == "index") {
            found.push(entry.path());
        }
    }
    Ok(())
}

fn bundle(dir: &Path, path: &Path, keys: &[Arc<ContentKey>]) -> Result<NewModel, ImportError> {
    let body = read(path, MAX_INDEX)?;
    let index =
        BundleIndex::decode(&body).map_err(|source| ImportError::Index { path: path.to_owned(), source })?;
    let key = index.seal.map(|seal| {
        let key = keys.iter().find(|key| key.id() == seal.key_id).cloned();
        key.ok_or_else(|| ImportError::NoKey { index: path.to_owned(), key_id: seal.key_id })
    });
    let key = key.transpose()?;
    let beside = path.parent().unwrap_or(dir);
    let places = [dir.join("chunk"), beside.to_owned(), dir.to_owned()];
    let mut chunks = Vec::with_capacity(index.chunks.len());
    for chunk in index.chunks() {
        let name = chunk.digest.to_hex();
        let file = places.iter().map(|place| place.join(&name)).find(|file| file.is_file());
        let file = file.ok_or(ImportError::NoChunk { index: path.to_owned(), digest: chunk.digest })?;
        let bytes = read(&file, index.chunk_size())?;
        let checked = index.check_chunk(chunk.number, &bytes);
        checked.map_err(|source| ImportError::Chunk { path: file, source })?;
        chunks.push((chunk.digest, bytes));
    }
    let opened = |place: PartPlace| -> Result<Vec<u8>, ImportError> {
        let held = chunks.get(place.chunks).unwrap_or_default();
        let bytes: Vec<u8> = held.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        let Some(key) = &key else { return Ok(bytes) };
        key.open_part(&index, &bytes).map_err(|source| ImportError::Seal { index: path.to_owned(), source })
    };
    if key.is_some() {
        index.places().try_for_each(|place| opened(place).map(drop))?;
    }
    let part = |kind: PartKind, most: usize| {
        index.place(kind).filter(|place| place.length <= most).map(&opened).transpose()
    };
    let provenance = match (index.place(PartKind::Provenance), part(PartKind::Provenance, MAX_PROVENANCE)?) {
        (None, _) => None,
        (Some(_), bytes) => {
            let value = bytes.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            let value = value.filter(Value::is_object);
            Some(value.ok_or_else(|| ImportError::Provenance(path.to_owned()))?)
        }
    };
    let card = part(PartKind::Card, MAX_CARD)?.and_then(|bytes| String::from_utf8(bytes).ok());
    let author = provenance.as_ref().and_then(author).map(str::to_owned);
    Ok(NewModel { body, index, chunks, provenance, card, author, key })
}

/// A file's bytes; one more than `most`, so that a longer one is refused by its length and not read to its end.
fn read(path: &Path, most: usize) -> Result<Vec<u8>, ImportError> {
    let unreadable = |source| ImportError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
