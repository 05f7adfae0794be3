//! Intrusion detection on the bus: what of its traffic a vehicle's clean traffic does not explain.
//!
//! [`profile`] is what is known of the clean traffic, a document that [`learn`] makes of recordings; `relation` finds
//! checksums and counters for it. [`detector`] compares each frame with its identifier's profile, without
//! allocating, and counts what is odd; once a second [`second`] makes the [`count`]s of each bus into a row of features
//! ([`spec`]) for a small network, with a [`rule`] beside it, and [`family`] says what kind of attack they look like and by
//! which identifiers.

pub mod count;
pub mod detector;
pub mod family;
mod known;
pub mod learn;
mod places;
pub mod profile;
mod relation;
pub mod rule;
pub mod second;
pub mod spec;
#[cfg(test)]
pub(crate) mod tests;
mod track;

pub use count::Count;
pub use detector::{Detector, FitError, Seconds};
pub use family::Family;
pub use learn::{Learner, Reading};
pub use profile::{BusProfile, Profile};
pub use rule::Rule;
pub use second::Second;
pub use spec::SecondSpec;
