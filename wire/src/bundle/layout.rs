//! Which bytes of which part a chunk is, and whether given bytes are it.

use super::{
    BundleError, BundleIndex, MAX_CHUNK_EXPONENT, MAX_CHUNKS, MAX_LENGTH, MIN_CHUNK_EXPONENT, PartKind,
};
use crate::digest::Digest;
use core::ops::Range;

/// Where a part lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartPlace {
    /// What it is.
    pub kind: PartKind,
    /// Its length in bytes.
    pub length: usize,
    /// Its chunks, by number.
    pub chunks: Range<usize>,
}

/// One chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// Its number in the bundle, from 0.
    pub number: usize,
    /// The part that it belongs to.
    pub kind: PartKind,
    /// Where it begins in the part, in bytes.
    pub offset: usize,
    /// Its length in bytes.
    pub length: usize,
    /// Its name: the digest of its bytes.
    pub digest: Digest,
}

/// The chunk size for a bundle of this many bytes, as a power of two.
///
/// A run of changed bytes costs about one chunk more than itself, and each chunk 32 bytes of index, so the sum is
/// smallest at the square root of 32 times the length: 1 KiB up to 32 KiB, 8 KiB at 1 MiB, 64 KiB at 64 MiB.
#[must_use]
pub const fn chunk_exponent(length: u64) -> u8 {
    let mut exponent = MIN_CHUNK_EXPONENT;
    while exponent < MAX_CHUNK_EXPONENT && (1 << (2 * exponent)) < length.saturating_mul(32) {
        exponent += 1;
    }
    exponent
}

/// A part's bytes, cut into chunks.
pub fn chunks_of(part: &[u8], exponent: u8) -> impl Iterator<Item = &[u8]> {
    part.chunks(1 << if exponent > MAX_CHUNK_EXPONENT { MAX_CHUNK_EXPONENT } else { exponent })
}

impl BundleIndex {
    /// The size of every chunk but the last of a part, in bytes.
    #[must_use]
    pub const fn chunk_size(&self) -> usize {
        1 << if self.chunk_exponent > MAX_CHUNK_EXPONENT { MAX_CHUNK_EXPONENT } else { self.chunk_exponent }
    }

    /// All parts together, in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.parts.iter().map(|part| u64::from(part.length)).sum()
    }

    /// Where each part lies.
    pub fn places(&self) -> impl Iterator<Item = PartPlace> {
        let mut first = 0;
        self.parts.iter().map(move |part| {
            let chunks = first..first + (part.length as usize).div_ceil(self.chunk_size());
            first = chunks.end;
            PartPlace { kind: part.kind, length: part.length as usize, chunks }
        })
    }

    /// Where this part lies, if the bundle has it.
    #[must_use]
    pub fn place(&self, kind: PartKind) -> Option<PartPlace> {
        self.places().find(|place| place.kind == kind)
    }

    /// All chunks, in order.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk> {
        let size = self.chunk_size();
        let numbered = self.places().flat_map(move |place| {
            let PartPlace { kind, length, chunks } = place;
            let first = chunks.start;
            chunks.map(move |number| {
                let offset = (number - first) * size;
                (number, kind, offset, size.min(length - offset))
            })
        });
        numbered.zip(&self.chunks).map(|((number, kind, offset, length), digest)| Chunk {
            number,
            kind,
            offset,
            length,
            digest: *digest,
        })
    }

    /// This chunk, if the bundle has it.
    #[must_use]
    pub fn chunk(&self, number: usize) -> Option<Chunk> {
        let place = self.places().find(|place| place.chunks.contains(&number))?;
        let offset = (number - place.chunks.start) * self.chunk_size();
        let length = self.chunk_size().min(place.length - offset);
        Some(Chunk { number, kind: place.kind, offset, length, digest: *self.chunks.get(number)? })
    }

    /// Whether these bytes are that chunk.
    ///
    /// # Errors
    /// [`BundleError::NoChunk`], [`BundleError::ChunkLength`] or [`BundleError::ChunkDigest`].
    pub fn check_chunk(&self, number: usize, bytes: &[u8]) -> Result<Chunk, BundleError> {
        let chunk = self.chunk(number).ok_or(BundleError::NoChunk(number))?;
        if bytes.len() != chunk.length {
            let (expected, found) = (chunk.length, bytes.len());
            return Err(BundleError::ChunkLength { chunk: number, expected, found });
        }
        if Digest::of(bytes) != chunk.digest {
            return Err(BundleError::ChunkDigest { chunk: number });
        }
        Ok(chunk)
    }

    pub(super) fn check_layout(&self) -> Result<(), BundleError> {
        if !(MIN_CHUNK_EXPONENT..=MAX_CHUNK_EXPONENT).contains(&self.chunk_exponent) {
            return Err(BundleError::Rule("a chunk has 1 to 64 KiB"));
        }
        for (at, part) in self.parts.iter().enumerate() {
            if part.length == 0 {
                return Err(BundleError::Rule("no part is empty"));
            }
            if self.parts.iter().take(at).any(|before| before.kind == part.kind) {
                return Err(BundleError::Rule("each part stands there once"));
            }
        }
        let has = |kind: &PartKind| self.parts.iter().any(|part| part.kind == *kind);
        if self.is_configuration() {
            if !PartKind::CONFIGURATION.iter().any(has) {
                return Err(BundleError::Rule("a configuration has a catalog or a campaign"));
            }
            if PartKind::REQUIRED.iter().any(has) || self.features != Digest([0; 32]) {
                return Err(BundleError::Rule("a configuration has no model and no features"));
            }
        } else if !PartKind::REQUIRED.iter().all(has) {
            return Err(BundleError::Rule("model, manifest, features and golden vectors are there"));
        } else if PartKind::CONFIGURATION.iter().any(has) {
            return Err(BundleError::Rule("a model has no catalog and no campaign"));
        }
        if self.length() > MAX_LENGTH {
            return Err(BundleError::TooLarge { len: self.length() });
        }
        let (count, digests) = (self.places().last().map_or(0, |place| place.chunks.end), self.chunks.len());
        if count > MAX_CHUNKS {
            return Err(BundleError::Count { what: "chunks", count, least: 1, most: MAX_CHUNKS });
        }
        if count != digests {
            return Err(BundleError::ChunkCount { parts: count, digests });
        }
        Ok(())
    }
}
