//! The life cycle of a model family's updates on the vehicle: from a signed offer to a committed model, or back.
//!
//! `Offered → Downloading → Staged → SelfTested → Shadow → Trial → Committed`, or `Refused`, or `RolledBack`. Driven
//! like the other machines of this crate: [`Family::handle`] takes an event and gives a [`Step`]: what is to be
//! persisted, and what is to be done after that. Each state is durable before its effect, every effect may be done
//! again, and a start counts an attempt before it lets a candidate run: whenever the power goes, the vehicle wakes up
//! with a model, and goes on or back.
//!
//! [`Shelf`] keeps state, indexes and chunks on a [`Storage`](crate::storage::Storage). It gives out nothing whose
//! digest is not the one in the state.

mod codec;
mod family;
mod policy;
mod shelf;
mod state;

#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod tests;

pub use codec::{CodecError, decode, encode};
pub use family::{Arrangement, Declined, Effect, Event, Failure, Family, Interest, Step, Told};
pub use policy::{Before, Policy, Stage};
pub use shelf::{MAX_KEY, Shelf, ShelfError};
pub use state::{Bad, Kept, MAX_BAD, Place, Progress, Release, Slot, State, Update};
