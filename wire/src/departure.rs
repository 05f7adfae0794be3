//! What kind of departure a subject's is: in which way it falls away from its peers, by a rule whose numbers travel along.

use crate::record::Evidence;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// The kinds. Append only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum DepartureKind {
    /// It stands apart, by about as much as before: an imbalance, or an offset of its sensor.
    SteadyOffset,
    /// It moves away while the vehicle operates, and not while it is parked, as far as that was seen.
    VoltageDrift,
    /// It loses charge at all times, parked too: self-discharge or an internal short.
    SelfDischarge,
    /// It stands apart in proportion to the current: its resistance, or that of a connector.
    Resistance,
    /// Its reading does not move while those of its peers do.
    SensorStuck,
    /// Its reading scatters whether current flows or not.
    SensorNoisy,
    /// Its sensor says itself that it has no value.
    SensorAbsent,
}

impl DepartureKind {
    /// All kinds, in encoding order.
    pub const ALL: [DepartureKind; 7] = [
        Self::SteadyOffset,
        Self::VoltageDrift,
        Self::SelfDischarge,
        Self::Resistance,
        Self::SensorStuck,
        Self::SensorNoisy,
        Self::SensorAbsent,
    ];

    /// A few words for a person.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SteadyOffset => "steady offset",
            Self::VoltageDrift => "voltage drift",
            Self::SelfDischarge => "self-discharge or internal short",
            Self::Resistance => "resistance or connector",
            Self::SensorStuck => "sensor stuck",
            Self::SensorNoisy => "sensor noisy",
            Self::SensorAbsent => "sensor without a value",
        }
    }
}

impl fmt::Display for DepartureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a verdict adds: the kind, and the numbers that the rule went by.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Departure {
    /// Which kind.
    pub kind: DepartureKind,
    /// The numbers, each with what it would be if nothing were wrong or where the rule's limit lies.
    pub numbers: Vec<Evidence>,
}
