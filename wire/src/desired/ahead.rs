//! What lies ahead of a vehicle, as somebody at the fleet's desk knows it: what its range is foretold with, and nothing else.

use super::DesiredError;
use crate::time::WallTime;
use core::fmt;
use serde::{Deserialize, Serialize};

/// The coldest and the warmest air that is taken, in tenths of a degree Celsius.
pub const AHEAD_DECICELSIUS: [i16; 2] = [-600, 600];

/// Foretell the range with what lies ahead. What is absent is taken from the vehicle's own recent trips; with nothing
/// told, an earlier one is taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ahead {
    /// From then on it holds no longer.
    pub until: WallTime,
    /// The air outside, in tenths of a degree Celsius, within [`AHEAD_DECICELSIUS`].
    pub decicelsius: Option<i16>,
    /// The road.
    pub road: Option<RoadClass>,
}

/// What kind of road. How fast a vehicle is on it, and how often it stops, the vehicle's range model says. Append only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum RoadClass {
    /// Within a town.
    Urban,
    /// Through its outskirts.
    Suburban,
    /// From one town to another.
    Rural,
    /// With separated carriageways and no crossings.
    Motorway,
}

impl RoadClass {
    /// All of them, in encoding order.
    pub const ALL: [RoadClass; 4] = [Self::Urban, Self::Suburban, Self::Rural, Self::Motorway];

    /// The word for a command line and a page.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Urban => "urban",
            Self::Suburban => "suburban",
            Self::Rural => "rural",
            Self::Motorway => "motorway",
        }
    }
}

impl fmt::Display for RoadClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Ahead {
    /// Whether it takes an earlier one back.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.decicelsius.is_none() && self.road.is_none()
    }

    /// The air outside, in degrees Celsius.
    #[must_use]
    pub fn celsius(&self) -> Option<f64> {
        self.decicelsius.map(|tenths| f64::from(tenths) / 10.0)
    }

    pub(super) fn check(&self) -> Result<(), DesiredError> {
        let [coldest, warmest] = AHEAD_DECICELSIUS;
        match self.decicelsius {
            Some(tenths) if !(coldest..=warmest).contains(&tenths) => Err(DesiredError::Malformed(
                alloc::format!("{tenths} tenths of a degree lie beyond {coldest} to {warmest}"),
            )),
            _ => Ok(()),
        }
    }
}

/// What is told, such as `-5.0 °C, motorway`; `nothing` where nothing is.
impl fmt::Display for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let air = self.celsius().map(|celsius| alloc::format!("{celsius:.1} °C"));
        match (air, self.road) {
            (Some(air), Some(road)) => write!(f, "{air}, {road}"),
            (Some(air), None) => f.write_str(&air),
            (None, Some(road)) => f.write_str(road.name()),
            (None, None) => f.write_str("nothing"),
        }
    }
}
