//! The rule, first match wins. Limits were set on simulated faults of three seeds and are validated on others
//! (models/cell-fault/CARD.md).

use super::trend::Trend;
use telltale_wire::departure::{Departure, DepartureKind};
use telltale_wire::record::Evidence;
use telltale_wire::unit::Unit;

/// The share of the windows in which the pack moved and a stuck reading did not.
const STUCK: f32 = 0.8;
/// The share of the variance that follows the current, from which it is the resistance.
const EXPLAINED: f32 = 0.25;
/// The least excess resistance that counts, in ohms: an eighth of a cell's own.
const EXCESS_OHM: f32 = 0.0003;
/// The least swing under current that counts, in volts.
const SWING: f32 = 0.006;
/// The least scatter at rest that counts, in volts, and how many times that of the middle subject it has to be.
const SCATTER: (f32, f32) = (0.008, 3.0);
/// A deviation at rest that changes faster than this, in volts an hour, moves.
const MOVES: f32 = 0.005;
/// Hours off from which the change meanwhile says something.
const OFF_HOURS: f32 = 0.2;
/// A deviation that falls faster than this while parked, in volts an hour, loses charge at all times ...
const PARKED: f32 = -0.006;
/// ... if that is at least this share of the rate in operation. Of the voltage that is missing less shows where the
/// open-circuit curve is flat, so that in operation it may even seem to come back.
const PARKED_SHARE: f32 = 0.35;

/// The kind of a departure, given how much readings at rest scatter typically. Allocates nothing.
pub(super) fn kind(trend: &Trend, typical_scatter: f32) -> DepartureKind {
    if trend.still().is_some_and(|share| share >= STUCK) {
        return DepartureKind::SensorStuck;
    }
    if trend.slope() >= EXCESS_OHM && trend.explained() >= EXPLAINED && trend.swing() >= SWING {
        return DepartureKind::Resistance;
    }
    let scatter = trend.rest_scatter();
    if scatter >= SCATTER.0 && scatter >= SCATTER.1 * typical_scatter {
        return DepartureKind::SensorNoisy;
    }
    let (moving, (parked, hours)) = (trend.per_hour(), trend.per_hour_off());
    if hours >= OFF_HOURS && parked <= PARKED.min(PARKED_SHARE * moving) {
        DepartureKind::SelfDischarge
    } else if moving.abs() < MOVES {
        DepartureKind::SteadyOffset
    } else {
        DepartureKind::VoltageDrift
    }
}

/// The kind with the numbers that it goes by: each beside the rule's limit, or beside the middle subject's.
pub(super) fn departure(trend: &Trend, typical_scatter: f32) -> Departure {
    let kind = kind(trend, typical_scatter);
    let moving = trend.per_hour();
    let rate = ("change of the deviation at rest an hour of operation", moving, MOVES, Unit::Volt);
    let numbers = match kind {
        DepartureKind::SensorStuck => {
            let share = trend.still().unwrap_or(0.0);
            vec![("share of windows without any movement", share, STUCK, Unit::None)]
        }
        DepartureKind::Resistance => vec![
            ("excess resistance", trend.slope(), EXCESS_OHM, Unit::Ohm),
            ("share of its swing that follows the current", trend.explained(), EXPLAINED, Unit::None),
        ],
        DepartureKind::SensorNoisy => {
            vec![("scatter at rest", trend.rest_scatter(), typical_scatter, Unit::Volt)]
        }
        DepartureKind::SteadyOffset => vec![("deviation at rest", trend.at_rest(), 0.0, Unit::Volt), rate],
        DepartureKind::SelfDischarge | DepartureKind::VoltageDrift => match trend.per_hour_off() {
            (parked, hours) if hours >= OFF_HOURS => {
                vec![("change an hour parked", parked, PARKED.min(PARKED_SHARE * moving), Unit::Volt), rate]
            }
            _ => vec![rate],
        },
        DepartureKind::SensorAbsent => Vec::new(),
    };
    let number = |(what, value, reference, unit): (&str, f32, f32, Unit)| Evidence {
        what: what.to_owned(),
        value,
        reference,
        unit,
    };
    Departure { kind, numbers: numbers.into_iter().map(number).collect() }
}

/// The middle value; of an even number of them the upper one of the two. 0 of none.
pub(super) fn median(values: &mut [f32]) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}
