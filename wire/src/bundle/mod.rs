//! Bundles: a model or a configuration on its way to vehicles, as an index and chunks.
//!
//! The index ([`BundleIndex`]) is small and is what gets signed: it says what the bundle needs of a vehicle, which parts
//! it has, and the SHA-256 of every chunk of them. Chunks are named by that digest and travel apart, so that each is
//! verified when it arrives, a cut download goes on where it was, and a vehicle fetches only the chunks that it does
//! not hold from an earlier release. A part begins at a chunk boundary: a change in one shifts no other.
//!
//! Its bytes: the format (a postcard varint) and the index in postcard, without anything behind it. A reader refuses a
//! newer format; a new field needs one. What is not sealed is written in the first, [`FORMAT`], and stays readable for
//! every agent; in [`SEALED_FORMAT`] a [`Seal`] stands behind the index. Names in it are also names of files and of roles,
//! so their letters are few ([`BundleName`]).

mod documents;
mod error;
mod layout;
mod name;
mod part;
mod seal;

pub use documents::{Document, Documents, MAX_DOCUMENTS};
pub use error::BundleError;
pub use layout::{Chunk, PartPlace, chunk_exponent, chunks_of};
pub use name::{AgentVersion, BundleName, HardwareId, IndexPath, InvalidName};
pub use part::{Part, PartKind};
pub use seal::{SEAL_OVERHEAD, SEAL_SCHEME, Seal};

use crate::digest::Digest;
use crate::unit::Unit;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The family of the configurations: catalog and campaign, which are released apart from models. No model is in it.
pub const CONFIGURATION: &str = "configuration";

/// The format of an index whose chunks lie open; its first byte.
pub const FORMAT: u16 = 1;

/// The format of an index whose chunks are sealed. An agent that knows only [`FORMAT`] refuses it by its number.
pub const SEALED_FORMAT: u16 = 2;

/// The longest index in bytes; what decodes from it takes at most 4 MB.
pub const MAX_INDEX: usize = 128 * 1024;

/// The most parts. Nine kinds are known.
pub const MAX_PARTS: usize = 32;

/// The most chunks: 64 KiB of digests.
pub const MAX_CHUNKS: usize = 2_048;

/// The longest bundle, all parts together, in bytes: [`MAX_CHUNKS`] of 32 KiB.
pub const MAX_LENGTH: u64 = 64 * 1024 * 1024;

/// The smallest chunk, as a power of two: 1 KiB.
pub const MIN_CHUNK_EXPONENT: u8 = 10;

/// The largest chunk, as a power of two: 64 KiB.
pub const MAX_CHUNK_EXPONENT: u8 = 16;

/// The most hardware ids of a bundle.
pub const MAX_HARDWARE: usize = 16;

/// The most signals that a bundle asks of the catalog. A pattern counts once.
pub const MAX_NEEDS: usize = 256;

/// The longest VSS path of a need, in bytes.
pub const MAX_VSS: usize = 128;

/// The longest version text, in bytes.
pub const MAX_VERSION: usize = 32;

/// What a bundle is and needs, and the digests of its chunks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BundleIndex {
    /// What the model does; a vehicle has one active model of a family.
    pub family: BundleName,
    /// The model's name, as in its `model.toml`.
    pub name: BundleName,
    /// The model's version, for people: 1 to [`MAX_VERSION`] printable ASCII letters.
    pub version: String,
    /// Counts the family's releases from 1. A vehicle never goes below the one that it committed.
    pub release: u32,
    /// The hardware that it was made and tested for, ascending, none twice, at least one.
    pub hardware: Vec<HardwareId>,
    /// The oldest agent that runs it.
    pub min_agent: AgentVersion,
    /// The digest of the feature specification that the model was trained on: that of the part
    /// [`PartKind::Features`]. All zero for a configuration.
    pub features: Digest,
    /// The signals that the vehicle's catalog must have.
    pub needs: Vec<SignalNeed>,
    /// What it may take of the vehicle.
    pub budget: Budget,
    /// By how much an int8 output may differ from its golden vector, in steps; 0 for to the bit.
    pub golden_tolerance: u8,
    /// The size of a chunk as a power of two, [`MIN_CHUNK_EXPONENT`] to [`MAX_CHUNK_EXPONENT`]. The last chunk of each
    /// part is as long as what is left.
    pub chunk_exponent: u8,
    /// The parts, each kind once, none empty, in the order of their chunks.
    pub parts: Vec<Part>,
    /// The digests of all chunks, part after part.
    pub chunks: Vec<Digest>,
    /// How the chunks are sealed; `None` where they lie open. Lengths and digests are those of the sealed bytes, so that
    /// whoever stores, carries and verifies chunks needs no key.
    #[serde(skip)]
    pub seal: Option<Seal>,
}

/// A signal that a model needs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignalNeed {
    /// Its VSS path, 1 to [`MAX_VSS`] bytes of visible ASCII; `{n}` in it stands for numbers from 1 without gaps.
    pub vss: String,
    /// The unit that its values must have.
    pub unit: Unit,
}

/// What a model may take of a vehicle. The trial rolls back what takes more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Budget {
    /// The longest inference, in microseconds; above 0.
    pub latency_us: u32,
    /// The most memory that loading it may add, in bytes; above 0.
    pub memory_bytes: u32,
}

impl BundleIndex {
    /// The bytes of the index.
    ///
    /// # Errors
    /// Every [`BundleError`] on an index that breaks a rule of its type.
    pub fn encode(&self) -> Result<Vec<u8>, BundleError> {
        self.check()?;
        let bytes = match &self.seal {
            None => postcard::to_allocvec(&(FORMAT, self)),
            Some(seal) => postcard::to_allocvec(&(SEALED_FORMAT, self, seal)),
        };
        let bytes = bytes.map_err(|_| BundleError::Malformed)?;
        if bytes.len() > MAX_INDEX {
            return Err(BundleError::TooLong { len: bytes.len() });
        }
        Ok(bytes)
    }

    /// Reads an index. What it returns keeps every rule of its type.
    ///
    /// # Errors
    /// Every [`BundleError`]; the bytes may come from anyone.
    pub fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_INDEX {
            return Err(BundleError::TooLong { len: bytes.len() });
        }
        let (format, rest) = postcard::take_from_bytes::<u16>(bytes).map_err(|_| BundleError::Malformed)?;
        let read = match format {
            FORMAT => postcard::take_from_bytes::<Self>(rest),
            SEALED_FORMAT => postcard::take_from_bytes::<(Self, Seal)>(rest)
                .map(|((index, seal), behind)| (Self { seal: Some(seal), ..index }, behind)),
            0 => return Err(BundleError::Malformed),
            newer => return Err(BundleError::NewerFormat(newer)),
        };
        let (index, behind) = read.map_err(|_| BundleError::Malformed)?;
        if !behind.is_empty() {
            return Err(BundleError::Malformed);
        }
        index.check()?;
        Ok(index)
    }

    /// Whether it brings a configuration, and no model.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        self.family.as_str() == CONFIGURATION
    }

    /// The name under which the index is signed and fetched.
    #[must_use]
    pub fn path(&self) -> IndexPath {
        IndexPath { family: self.family.clone(), name: self.name.clone(), release: self.release }
    }

    /// The digest over the needs: two bundles with the same ask the same of a catalog.
    #[must_use]
    pub fn needs_digest(&self) -> Digest {
        // Serializing strings and a plain enum into memory has no way to fail.
        Digest::of(&postcard::to_allocvec(&self.needs).unwrap_or_default())
    }

    fn check(&self) -> Result<(), BundleError> {
        let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let count = |what, count: usize, range: core::ops::RangeInclusive<usize>| {
            let (least, most) = (*range.start(), *range.end());
            if range.contains(&count) { Ok(()) } else { Err(BundleError::Count { what, count, least, most }) }
        };
        let rule = |what, holds: bool| if holds { Ok(()) } else { Err(BundleError::Rule(what)) };
        count("letters of the version", self.version.len(), 1..=MAX_VERSION)?;
        rule("the version has visible ASCII letters only", visible(&self.version))?;
        rule("releases count from 1", self.release > 0)?;
        count("hardware ids", self.hardware.len(), 1..=MAX_HARDWARE)?;
        let ascends = self.hardware.windows(2).all(|pair| pair.first() < pair.last());
        rule("hardware ids ascend, none twice", ascends)?;
        count("needs", self.needs.len(), 0..=MAX_NEEDS)?;
        for need in &self.needs {
            count("bytes of a need's path", need.vss.len(), 1..=MAX_VSS)?;
            rule("a need's path has visible ASCII letters only", visible(&need.vss))?;
        }
        rule("a budget is above 0", self.budget.latency_us > 0 && self.budget.memory_bytes > 0)?;
        count("parts", self.parts.len(), 1..=MAX_PARTS)?;
        self.check_layout()?;
        self.check_seal()
    }
}

#[cfg(test)]
mod tests;
