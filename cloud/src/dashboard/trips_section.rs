//! Trips of a vehicle: one row each, the latest first.

use super::page::{count, time, when};
use crate::report::EstimateLine;
use crate::store::ota::AheadLine;
use crate::trips::{TripLine, TripsReport};
use maud::{Markup, html};
use telltale_wire::estimate::Quantity;

/// Rows on the page; the JSON answer has more.
const ROWS: usize = 20;

/// Nothing where no trip was told.
pub(super) fn render(report: &TripsReport, range: &[EstimateLine], told: Option<&AheadLine>) -> Markup {
    html! {
        @if !report.trips.is_empty() {
            section class="card scroll" id="trips" {
                h2 { "Trips" }
                (ahead(range))
                @if let Some(told) = told { (foretold_with(told)) }
                table {
                    caption class="quiet" {
                        "The latest first, " (count(report.trips_total)) " in all: "
                        a href={ "/api/vehicle/" (report.vehicle) "/trips" } { "JSON" } ", "
                        a href={ "/api/vehicle/" (report.vehicle) "/trips.csv" } { "CSV" }
                        ". From the first movement to the last; energy at the battery's terminals."
                        @if let Some(harsh) = report.trips.iter().find_map(harsh) { " Harsh is " (harsh) "." }
                    }
                    thead {
                        tr {
                            th scope="col" { "Start" } th scope="col" class="n" { "Distance" } th scope="col" class="n" { "Duration" }
                            th scope="col" class="n" { "Standing" } th scope="col" class="n" { "Used" }
                            th scope="col" class="n" { "Recuperated" } th scope="col" class="n" { "kWh/100 km" }
                            th scope="col" class="n" { "Charge" } th scope="col" class="n" { "Outside" }
                            th scope="col" { "Harsh" } th scope="col" { "End" }
                        }
                    }
                    tbody { @for trip in report.trips.iter().take(ROWS) { (row(trip)) } }
                }
            }
        }
    }
}

/// What a kilometre takes and how many there are, as of the latest trip. The lines are the latest first.
fn ahead(range: &[EstimateLine]) -> Markup {
    let newest = |quantity: Quantity| {
        let line = range.iter().find(|line| line.quantity == quantity.as_str())?;
        Some((line, line.subjects.first()?))
    };
    html! {
        @for (quantity, decimals) in [(Quantity::RemainingRange, 0), (Quantity::EnergyPerDistance, 0)] {
            @if let Some((line, told)) = newest(quantity) {
                p {
                    (quantity.as_str()) " "
                    @match (told.value, told.low, told.high) {
                        (Some(value), Some(low), Some(high)) => {
                            b { (format!("{value:.decimals$}")) " " (line.unit) }
                            ", between " (format!("{low:.decimals$}")) " and " (format!("{high:.decimals$}"))
                            @if let Some(coverage) = line.coverage { " in " (format!("{:.0}", coverage * 100.0)) " of 100 cases" }
                        },
                        _ => { "indeterminate: " (told.reason.unwrap_or("no reason given")) },
                    }
                    ". As of " (when(&line.when)) "."
                }
            }
        }
    }
}

/// What somebody said is ahead.
fn foretold_with(told: &AheadLine) -> Markup {
    html! {
        p class="quiet" {
            "Foretold for " b { (told.what) } " until " (time(&told.until)) ": command " (told.command) " of " (told.who) "."
        }
    }
}

fn row(trip: &TripLine) -> Markup {
    let minutes = |seconds: Option<f64>| told(seconds.map(|s| s / 60.0), 0, " min", None);
    let kwh = |value: Option<f32>| told(value.map(f64::from), 2, " kWh", trip.energy_absent);
    let charge = |value: Option<f32>| told(value.map(f64::from), 1, "", trip.charge_absent);
    html! {
        tr {
            th scope="row" { (when(&trip.from)) }
            td class="n" { (told(trip.distance_km, 2, " km", None)) }
            td class="n" { (minutes(trip.duration_s)) }
            td class="n" { (minutes(trip.standing_s.map(f64::from))) ", " (trip.stops) " stops" }
            td class="n" { (kwh(trip.used_kwh)) }
            td class="n" { (kwh(trip.recuperated_kwh)) }
            td class="n" { (told(trip.kwh_per_100_km, 1, "", trip.energy_absent)) }
            td class="n" { (charge(trip.charge_from)) @if trip.charge_to.is_some() { " to " (charge(trip.charge_to)) " %" } }
            td class=[trip.ambient_c.map(|_| "n")] { (told(trip.ambient_c.map(f64::from), 1, " °C", trip.ambient_absent)) }
            @if knows_acceleration(trip) {
                td class="n" title=[harsh(trip)] {
                    (trip.harsh_braking) " braking" br; (trip.harsh_acceleration) " acceleration"
                }
            } @else {
                td class="quiet" { "not known: the speed comes too seldom" }
            }
            td {
                (trip.end)
                @if trip.unknown_s.is_some_and(|seconds| seconds > 0.0) {
                    br; span class="quiet" { "speed unknown for " (told(trip.unknown_s.map(f64::from), 0, " s", None)) }
                }
            }
        }
    }
}

/// From where on something is counted as harsh.
fn harsh(trip: &TripLine) -> Option<String> {
    let (braking, acceleration) = trip.braking_threshold.zip(trip.acceleration_threshold)?;
    Some(format!("braking over {braking} m/s² and acceleration over {acceleration} m/s²"))
}

/// Whether the speed came often enough for most of the way.
fn knows_acceleration(trip: &TripLine) -> bool {
    trip.acceleration_known_s.zip(trip.moving_s).is_some_and(|(known, moved)| known >= 0.5 * moved)
}

fn told(value: Option<f64>, decimals: usize, unit: &str, why: Option<&'static str>) -> String {
    match value {
        Some(value) => format!("{value:.decimals$}{unit}"),
        None => why.unwrap_or("no data").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trips::tests::trip;

    #[test]
    fn a_trip_stands_with_its_units_and_an_absence_with_its_reason() {
        let of = |trips: Vec<TripLine>| {
            let told = AheadLine {
                command: 3,
                what: "-5.0 °C, motorway".into(),
                who: "ann".into(),
                until: "2026-01-01T22:00:00.000Z".into(),
            };
            let report = TripsReport { vehicle: "v".into(), trips_total: 1, trips };
            render(&report, &[], Some(&told)).into_string()
        };
        let page = of(vec![trip(true)]);
        for said in [
            "20.50 km",
            "30 min",
            "3.00 kWh",
            "13.5",
            "80.0 to 75.5 %",
            "signal not received",
            "over 3.5 m/s²",
            "<b>-5.0 °C, motorway</b>",
            "command 3 of ann",
        ] {
            assert!(page.contains(said), "{said}: {page}");
        }
        let page = of(vec![trip(false)]);
        assert!(
            page.contains("signal stale") && page.contains("too seldom") && !page.contains("kWh</td>"),
            "{page}"
        );
        assert_eq!(of(Vec::new()), "");
    }
}
