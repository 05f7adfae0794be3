//! The trips that are pinned: one with everything, one without energy, charge and temperature.

use super::{Case, plain, record};
use telltale_wire::record::{IndeterminateReason, Record};
use telltale_wire::time::Stamp;
use telltale_wire::trip::*;

pub(crate) fn records(at: Stamp) -> [Case; 2] {
    [record("trip", Record::Trip(trip(at))), record("trip-poor", Record::Trip(poor_trip(at)))]
}

/// Each end's number.
pub(crate) fn ends() -> Vec<Case> {
    TripEnd::ALL.into_iter().map(|end| plain(&format!("{end:?}"), end)).collect()
}

fn trip(at: Stamp) -> TripRecord {
    TripRecord {
        from: at,
        to: at,
        end: TripEnd::Standstill,
        distance_m: 12_345.5,
        moving_s: 600.25,
        standing_s: 30.5,
        unknown_s: 0.0,
        stops: 3,
        top_kmh: 96.5,
        energy: Ok(TripEnergy {
            used_wh: 2_000.0,
            recuperated_wh: 250.0,
            standing_wh: 12.5,
            unknown_s: 0.25,
        }),
        charge: Ok([80.0, 77.5]),
        ambient_c: Ok(-5.5),
        braking: Behaviour { count: 2, threshold: 3.5, hardest: 5.25, known_s: 600.0 },
        acceleration: Behaviour { count: 0, threshold: 2.5, hardest: 1.5, known_s: 0.0 },
    }
}

fn poor_trip(at: Stamp) -> TripRecord {
    TripRecord {
        end: TripEnd::Cut,
        energy: Err(IndeterminateReason::NotReceived),
        charge: Err(IndeterminateReason::Stale),
        ambient_c: Err(IndeterminateReason::SensorFault),
        ..trip(at)
    }
}
