//! How the chunks of a bundle are sealed, as far as whoever has no key must know.

use super::{BundleError, BundleIndex};
use crate::digest::Digest;
use serde::{Deserialize, Serialize};

/// The one scheme that is known: XChaCha20-Poly1305 under a content key of the family, with a nonce made from the chunk.
pub const SEAL_SCHEME: u8 = 1;

/// By how many bytes a sealed chunk is longer than what is in it: a nonce of 24 and a tag of 16.
pub const SEAL_OVERHEAD: usize = 40;

/// How the chunks of a bundle are sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seal {
    /// The scheme: [`SEAL_SCHEME`]. Append only.
    pub scheme: u8,
    /// The digest that names the content key.
    pub key_id: Digest,
}

impl BundleIndex {
    /// How many bytes a chunk holds of its part: less than [`BundleIndex::chunk_size`] where it is sealed.
    #[must_use]
    pub const fn content_size(&self) -> usize {
        match self.seal {
            None => self.chunk_size(),
            Some(_) => self.chunk_size() - SEAL_OVERHEAD,
        }
    }

    pub(super) fn check_seal(&self) -> Result<(), BundleError> {
        match self.seal {
            None => Ok(()),
            Some(Seal { scheme: SEAL_SCHEME, .. }) => {
                let holds = |chunk: super::Chunk| chunk.length > SEAL_OVERHEAD;
                let rule = BundleError::Rule("a sealed chunk is longer than its nonce and its tag");
                if self.chunks().all(holds) { Ok(()) } else { Err(rule) }
            }
            Some(Seal { scheme, .. }) => Err(BundleError::NewerSeal(scheme)),
        }
    }
}
