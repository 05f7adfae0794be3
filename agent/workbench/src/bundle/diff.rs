//! What a vehicle that holds one bundle fetches of another.

use super::Bundle;
use std::collections::BTreeSet;
use telltale_wire::bundle::PartKind;
use telltale_wire::digest::Digest;

/// What there is to fetch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// By part.
    pub parts: Vec<PartDifference>,
    /// The length of the new index in bytes, which is always fetched.
    pub index: usize,
}

/// What there is to fetch of one part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartDifference {
    /// Which.
    pub kind: PartKind,
    /// Its length in bytes.
    pub length: usize,
    /// How many of its chunks are new.
    pub chunks: usize,
    /// How many bytes they have.
    pub bytes: usize,
}

impl Difference {
    /// All bytes to fetch, the index included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.index + self.parts.iter().map(|part| part.bytes).sum::<usize>()
    }

    /// All bytes of the new bundle, its index included.
    #[must_use]
    pub fn whole(&self) -> usize {
        self.index + self.parts.iter().map(|part| part.length).sum::<usize>()
    }
}

/// What a vehicle that holds `old` fetches of `new`. A chunk that stands there twice is fetched once.
#[must_use]
pub fn difference(old: &Bundle, new: &Bundle) -> Difference {
    let mut held: BTreeSet<Digest> = old.index.chunks.iter().copied().collect();
    let chunks: Vec<_> = new.index.chunks().collect();
    let part = |place: telltale_wire::bundle::PartPlace| {
        let ours = chunks.iter().filter(|chunk| place.chunks.contains(&chunk.number));
        let fetched: Vec<usize> =
            ours.filter(|chunk| held.insert(chunk.digest)).map(|chunk| chunk.length).collect();
        let (kind, length) = (place.kind, place.length);
        PartDifference { kind, length, chunks: fetched.len(), bytes: fetched.iter().sum() }
    };
    Difference { parts: new.index.places().map(part).collect(), index: new.index_length }
}
