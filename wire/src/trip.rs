//! Trips: what one drive came to, from the first movement to the last.

use crate::record::IndeterminateReason;
use crate::time::Stamp;
use core::fmt;
use serde::{Deserialize, Serialize};

/// One trip. It reaches from the first movement to the last: what follows that, standing, belongs to no trip.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct TripRecord {
    /// When the vehicle first moved.
    pub from: Stamp,
    /// When it last moved.
    pub to: Stamp,
    /// Why the trip is over.
    pub end: TripEnd,
    /// How far, in metres, by the speed signal.
    pub distance_m: f64,
    /// For how long it moved, in seconds.
    pub moving_s: f32,
    /// For how long it stood between two movements, in seconds.
    pub standing_s: f32,
    /// For how long the speed was not known, in seconds. These add nothing to the distance.
    pub unknown_s: f32,
    /// How often it stood between two movements.
    pub stops: u32,
    /// The highest speed, in km/h.
    pub top_kmh: f32,
    /// Energy of the traction battery, or why it is not told.
    pub energy: Result<TripEnergy, IndeterminateReason>,
    /// State of charge at the start and at the end, in percent.
    pub charge: Result<[f32; 2], IndeterminateReason>,
    /// The mean temperature outside, in degrees Celsius.
    pub ambient_c: Result<f32, IndeterminateReason>,
    /// Harsh braking.
    pub braking: Behaviour,
    /// Harsh acceleration.
    pub acceleration: Behaviour,
}

impl TripRecord {
    /// How long it lasted, in seconds.
    #[must_use]
    pub fn duration_s(&self) -> f64 {
        self.to.mono.since(self.from.mono).as_secs_f64()
    }

    /// What the battery gave less what it got back, in kWh over 100 km; `None` without energy or distance.
    #[must_use]
    pub fn kwh_per_100_km(&self) -> Option<f64> {
        let energy = self.energy.ok()?;
        let net_wh = f64::from(energy.used_wh) - f64::from(energy.recuperated_wh);
        (self.distance_m > 0.0).then(|| 100.0 * net_wh / self.distance_m)
    }
}

/// Energy at the traction battery's terminals.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct TripEnergy {
    /// What the battery gave, in watt hours, that of the stops included.
    pub used_wh: f32,
    /// What it got back while the vehicle moved, in watt hours.
    pub recuperated_wh: f32,
    /// Of `used_wh`: while the vehicle stood.
    pub standing_wh: f32,
    /// For how long the power was not known, in seconds. These add nothing.
    pub unknown_s: f32,
}

/// How often the driver went beyond a threshold.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Behaviour {
    /// How often.
    pub count: u32,
    /// Beyond what, in m/s2, as an amount.
    pub threshold: f32,
    /// The most of the trip, in m/s2, as an amount.
    pub hardest: f32,
    /// For how long the acceleration was known, in seconds: a speed that comes seldom tells of none.
    pub known_s: f32,
}

/// Why a trip is over. Append only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum TripEnd {
    /// The vehicle stood for so long that a trip is over.
    Standstill,
    /// The vehicle stood and its traction battery was disconnected.
    Disconnected,
    /// The speed signal was not there for as long: the buses sleep.
    Silence,
    /// The agent stopped, or its input ended, on the way.
    Cut,
}

impl TripEnd {
    /// All ends, in encoding order.
    pub const ALL: [TripEnd; 4] = [Self::Standstill, Self::Disconnected, Self::Silence, Self::Cut];

    /// A few words for a person.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standstill => "stood still",
            Self::Disconnected => "battery disconnected",
            Self::Silence => "buses asleep",
            Self::Cut => "cut off on the way",
        }
    }
}

impl fmt::Display for TripEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
