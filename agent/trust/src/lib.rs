//! What the vehicle believes: which models were signed for it, and that bytes are those that were signed for.
//!
//! The shape is Uptane's. The director says what this vehicle shall have, the image repository what there is; both
//! speak TUF metadata, and what is taken is what both say alike ([`Verifier::check`]). The TUF client is `sigstore-tuf`,
//! kept behind [`Refreshed`] and the crate's own [`Transport`] and store; cryptography is `ring`.
//!
//! ```text
//! check() -> Offer -> index(bytes) -> Verified<BundleIndex> -> check_chunk(number, bytes) -> Verified<&[u8]>
//! ```
//!
//! Each arrow refuses with a reason of its own ([`TrustError`], [`Refusal`], `BundleError`). A [`Stick`] is read by the
//! same code. Files are written durably and in passing, so a check belongs on no thread that must not wait for a disk.

mod error;
pub mod limits;
mod provider;
mod refresh;
mod stick;
mod store;
mod time;
mod transport;
mod verified;
mod verifier;

pub use error::{Distrust, Refusal, Side, TrustError};
pub use limits::Limits;
pub use refresh::{Refreshed, Target, check_root};
pub use stick::Stick;
pub use transport::{FetchError, Fetched, Folder, Transport};
pub use verified::{Offer, Pin, Verified};
pub use verifier::{Answer, Floors, Identity, Roots, Verifier};
