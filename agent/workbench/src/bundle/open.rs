//! A bundle in a folder, as `build` writes it and the repository publishes it.

use super::BuildError;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use telltale_seal::ContentKey;
use telltale_wire::bundle::{BundleIndex, PartKind};
use telltale_wire::digest::Digest;

/// An index, and where its chunks are.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The index.
    pub index: BundleIndex,
    /// The length of the index in bytes.
    pub index_length: usize,
    /// The digest of the index, which names the bundle exactly.
    pub digest: Digest,
    chunks: PathBuf,
}

impl Bundle {
    /// Reads the index `FOLDER/index/FAMILY/NAME-RELEASE.index`; its chunks are in `FOLDER/chunk`.
    ///
    /// # Errors
    /// If it can't be read or is none.
    pub fn open(path: &Path) -> Result<Self, BuildError> {
        let bytes = fs::read(path).map_err(BuildError::io("read", path))?;
        let index = BundleIndex::decode(&bytes)
            .map_err(|source| BuildError::Bundle { path: path.to_owned(), source })?;
        let folder = path.ancestors().nth(3).unwrap_or(Path::new(""));
        let digest = Digest::of(&bytes);
        Ok(Self { index, index_length: bytes.len(), digest, chunks: folder.join("chunk") })
    }

    /// The bytes of a part, every chunk held against the index, and opened where it is sealed; `None` if the bundle has no
    /// such part.
    ///
    /// # Errors
    /// For a chunk that is missing, cut or changed; [`BuildError::NoKey`] and [`BuildError::Seal`] without the right key.
    pub fn part(&self, kind: PartKind, key: Option<&ContentKey>) -> Result<Option<Vec<u8>>, BuildError> {
        let Some(place) = self.index.place(kind) else { return Ok(None) };
        let mut part = Vec::with_capacity(place.length);
        for number in place.chunks {
            part.extend(self.chunk(number)?);
        }
        match (&self.index.seal, key) {
            (None, _) => Ok(Some(part)),
            (Some(_), Some(key)) => Ok(Some(key.open_part(&self.index, &part)?)),
            (Some(seal), None) => Err(BuildError::NoKey(seal.key_id.short())),
        }
    }

    /// Holds every chunk against the index, and the features against the digest that the index binds; of a sealed bundle
    /// the features only if there is a key, with which every part is then opened.
    ///
    /// # Errors
    /// For the first that is missing, cut or changed, or does not open.
    pub fn verify(&self, key: Option<&ContentKey>) -> Result<(), BuildError> {
        for chunk in self.index.chunks() {
            self.chunk(chunk.number)?;
        }
        if self.index.seal.is_some() {
            let Some(key) = key else { return Ok(()) };
            for part in &self.index.parts {
                self.part(part.kind, Some(key))?;
            }
        }
        if self.index.is_configuration() {
            return Ok(());
        }
        let features = self.part(PartKind::Features, key)?.unwrap_or_default();
        if Digest::of(&features) == self.index.features {
            return Ok(());
        }
        let problem = format!("its feature specification is not {}", self.index.features);
        Err(BuildError::File { path: self.index.path().to_string().into(), problem })
    }

    fn chunk(&self, number: usize) -> Result<Vec<u8>, BuildError> {
        let name = self.index.chunk(number).map(|chunk| chunk.digest.to_hex()).unwrap_or_default();
        let path = self.chunks.join(name);
        let bytes = fs::read(&path).map_err(BuildError::io("read", &path))?;
        match self.index.check_chunk(number, &bytes) {
            Ok(_) => Ok(bytes),
            Err(source) => Err(BuildError::Bundle { path, source }),
        }
    }
}

/// A file's bytes; `None` if it is not there.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, BuildError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BuildError::Io { action: "read", path: path.to_owned(), source }),
    }
}
