//! Why an index or a chunk was refused.

use super::{MAX_INDEX, MAX_LENGTH, SEAL_SCHEME, SEALED_FORMAT};
use core::fmt;

/// Why an index was not written or read, or a chunk not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BundleError {
    /// Longer than [`MAX_INDEX`].
    TooLong {
        /// The length in bytes.
        len: usize,
    },
    /// A newer builder made it.
    NewerFormat(u16),
    /// A newer builder sealed it, by this scheme.
    NewerSeal(u8),
    /// The bytes are no index.
    Malformed,
    /// Too few or too many of something.
    Count {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// The fewest.
        least: usize,
        /// The most.
        most: usize,
    },
    /// A rule of the index is broken.
    Rule(&'static str),
    /// All parts together are longer than [`MAX_LENGTH`].
    TooLarge {
        /// The length in bytes.
        len: u64,
    },
    /// The parts and the digests do not belong together.
    ChunkCount {
        /// How many chunks the parts have.
        parts: usize,
        /// How many digests there are.
        digests: usize,
    },
    /// The bundle has no chunk of this number.
    NoChunk(usize),
    /// A chunk of another length than the index says: cut, or padded.
    ChunkLength {
        /// Which.
        chunk: usize,
        /// The length that the index says, in bytes.
        expected: usize,
        /// The length that came.
        found: usize,
    },
    /// A chunk of other bytes than those that were signed for.
    ChunkDigest {
        /// Which.
        chunk: usize,
    },
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len } => {
                write!(f, "the bundle's index has {len} bytes, at most {MAX_INDEX} are taken")
            }
            Self::NewerFormat(format) => {
                write!(
                    f,
                    "the bundle's index has format {format}, this reads {SEALED_FORMAT}: update the agent first"
                )
            }
            Self::NewerSeal(scheme) => {
                write!(
                    f,
                    "the bundle is sealed by scheme {scheme}, this opens {SEAL_SCHEME}: update the agent first"
                )
            }
            Self::Malformed => f.write_str("the bytes are no bundle's index"),
            Self::Count { what, count, least, most } => {
                write!(f, "the bundle's index has {count} {what}; {least} to {most} are taken")
            }
            Self::Rule(rule) => write!(f, "the bundle's index breaks a rule: {rule}"),
            Self::TooLarge { len } => write!(f, "the bundle has {len} bytes, at most {MAX_LENGTH} are taken"),
            Self::ChunkCount { parts, digests } => {
                write!(f, "the bundle's parts make {parts} chunks, but its index has {digests} digests")
            }
            Self::NoChunk(chunk) => write!(f, "the bundle has no chunk {chunk}"),
            Self::ChunkLength { chunk, expected, found } => {
                write!(
                    f,
                    "chunk {chunk} has {found} bytes instead of {expected}: it was cut or padded on the way"
                )
            }
            Self::ChunkDigest { chunk } => {
                write!(f, "chunk {chunk} is not the one that was signed for: its digest differs")
            }
        }
    }
}

impl core::error::Error for BundleError {}
