//! Intrusion detection on the bus: what of its traffic a vehicle's clean traffic does not explain.
//!
//! [`profile`] is what is known of the clean traffic, a document that [`learn`] makes of recordings; `relation` finds
//! checksums and counters for it. [`detector`] compares each frame with its identifier's profile, in some 260
//! instructions and without allocating, and counts what is odd; once a second [`second`] makes the counts of each bus
//! into a row of features for a small network, with a rule beside it, and [`family`] says what kind of attack they look
//! like and by which identifiers.

pub mod detector;
pub mod family;
pub mod learn;
pub mod profile;
mod relation;
pub mod second;
#[cfg(test)]
pub(crate) mod tests;

pub use detector::{Detector, FitError, Seconds};
pub use family::Family;
pub use learn::{Learner, Reading};
pub use profile::{BusProfile, Profile};
pub use second::{Count, Second, SecondSpec};
