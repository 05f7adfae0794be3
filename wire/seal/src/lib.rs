//! Bundles that only the vehicles that they are for can read.
//!
//! ```text
//! content key (one a family) ──seals──► chunks            the builder, [`ContentKey::seal`]
//!      └─wrapped for one vehicle──► WrappedKey            the cloud, [`RecipientKey::wrap`]
//!           └─opened by its sealing key──► content key    the vehicle, [`SealingKey::unwrap`]
//! ```
//!
//! A chunk is sealed by XChaCha20-Poly1305. Its nonce is a MAC of what is in it, so that a chunk that did not change is the
//! same bytes in the next release, and is not fetched again; who sees two releases sees which chunks are equal, and nothing
//! else of them. A content key is wrapped by HPKE (RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
//! ChaCha20-Poly1305) for a vehicle, a family and a key: it opens in no other place.
//!
//! Nothing here says who wrote what: that is the business of signatures, over the sealed bytes and over the wrapped key.
//! Who may read the cloud's database, or a vehicle's memory, reads the models.

mod content;
mod error;
mod key_file;
mod keyring;
mod wrap;

pub use content::ContentKey;
pub use error::{KeyFileError, SealError};
pub use key_file::{Secret, create, read_content_key, read_sealing_key};
pub use keyring::Keyring;
pub use wrap::{Purpose, RecipientKey, SealingKey, WrappedKey};
