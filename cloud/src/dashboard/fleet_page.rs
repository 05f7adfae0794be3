//! `/`: the fleet in one table, what needs a look first.

use super::page::{self, Frame, badge, count, time};
use crate::report::{FleetReport, State, VehicleLine, VerdictLine};
use maud::{Markup, html};
use telltale_wire::time::WallTime;

/// Open anomalies named in a row; the rest is counted.
const NAMED: usize = 3;

pub(super) fn render(report: &FleetReport, now: WallTime, live: bool) -> Markup {
    let main = html! {
        h1 { "Fleet" }
        (tiles(report))
        @if report.vehicles.is_empty() { (empty()) } @else { (table(report, now)) }
    };
    Frame { title: "Fleet", trail: "", json: "/api/vehicles", now, live }.render(&main)
}

fn tiles(report: &FleetReport) -> Markup {
    let of = |state: State| report.vehicles.iter().filter(|line| line.state == state).count() as u64;
    html! {
        ul class="tiles" aria-label="Vehicles by state" {
            li { b { (count(report.vehicles_total)) } " vehicles" }
            @for state in [State::Anomalous, State::Indeterminate, State::NoData, State::Nominal] {
                li class=(page::class(state)) { b { (count(of(state))) } " " (state.word()) }
            }
        }
    }
}

fn empty() -> Markup {
    html! {
        section class="card" {
            h2 { "No vehicle has called yet" }
            p { "Enroll one, give it the three files, and start its agent:" }
            pre { code { "telltale-cloud enroll --pki pki --vehicle bench-01" } }
        }
    }
}

fn table(report: &FleetReport, now: WallTime) -> Markup {
    let shown = report.vehicles.len() as u64;
    html! {
        div class="card scroll" {
            table {
                caption class="quiet" {
                    @if shown < report.vehicles_total { "The first " (count(shown)) " of " (count(report.vehicles_total)) " vehicles" }
                    @else { "The anomalous first, then the latest contact" }
                }
                thead {
                    tr {
                        th scope="col" { "Vehicle" }
                        th scope="col" { "State" }
                        th scope="col" { "Why" }
                        th scope="col" { "Drift" }
                        th scope="col" { "Last contact" }
                        th scope="col" class="n" { "Boots" }
                        th scope="col" class="n" { "Records" }
                        th scope="col" class="n" { "Lost" }
                    }
                }
                tbody { @for line in &report.vehicles { (row(line, now)) } }
            }
        }
    }
}

fn row(line: &VehicleLine, now: WallTime) -> Markup {
    html! {
        tr {
            th scope="row" {
                a href={ "/vehicle/" (line.vehicle) } { (line.vehicle) }
                @if line.revoked { " " span class="badge revoked" { "revoked" } }
            }
            td { (badge(line.state)) }
            td { @if line.open_anomalies.is_empty() { span class="quiet" { (line.reason) } } @else { (open(line)) } }
            td {
                @match line.drift {
                    Some(severity @ ("moderate" | "severe")) => a class="warn" href={ "/vehicle/" (line.vehicle) "#drift" } { (severity) },
                    Some(severity) => span class="quiet" { (severity) },
                    None => span class="quiet" { "not told" },
                }
            }
            td {
                @match (&line.last_contact, line.last_contact_us) {
                    (Some(at), Some(us)) => { (page::ago(us, now)) br; span class="quiet" { (time(at)) } },
                    _ => span class="quiet" { "never" },
                }
            }
            td class="n" { (count(line.boots)) }
            td class="n" { (count(line.counts.records)) }
            td class="n" { (lost(line)) }
        }
    }
}

fn open(line: &VehicleLine) -> Markup {
    let more = line.open_total.saturating_sub(NAMED as u64);
    html! {
        ul class="plain" {
            @for event in line.open_anomalies.iter().take(NAMED) { li { (anomaly(event)) } }
            @if more > 0 { li class="quiet" { "and " (count(more)) " more" } }
        }
    }
}

fn anomaly(event: &VerdictLine) -> Markup {
    html! {
        b { (event.subject) } " anomalous since " (page::when(&event.since))
        @if let Some(departure) = event.departure { ": " (departure) }
        span class="quiet" { " · " (event.model) ", score " (page::score(event.score)) }
    }
}

fn lost(line: &VehicleLine) -> Markup {
    let counts = &line.counts;
    let parts =
        [(counts.lost_frames, "frames"), (counts.lost_records, "records"), (counts.unexplained_gaps, "gaps")];
    html! {
        @if parts.iter().all(|(number, _)| *number == 0) { span class="quiet" { "0" } }
        @for (number, what) in parts { @if number > 0 { span class="warn" { (count(number)) " " (what) @if number > 1 { "s" } } br; } }
    }
}
