//! `/vehicle/{id}/snapshot/{n}`: what stood on the buses around a moment; and the list of a vehicle's snapshots.

use super::page::{self, Frame, bytes, count, when};
use super::plot::MAX_LINES;
use super::snapshot_chart;
use crate::snapshot::{SignalSamples, SnapshotLine, SnapshotReport, Wanted};
use maud::{Markup, html};
use telltale_wire::time::WallTime;

/// Rows of the table of signals.
const ROWS: usize = 1_000;

/// The vehicle's snapshots, for its page.
pub(super) fn list(vehicle: &str, snapshots: &[SnapshotLine]) -> Markup {
    html! {
        section class="card scroll" {
            h2 { "Snapshots" }
            @if snapshots.is_empty() { p class="quiet" { "None: nothing has triggered one." } } @else {
                table {
                    thead {
                        tr {
                            th scope="col" { "Snapshot" } th scope="col" { "Triggered" } th scope="col" { "By" }
                            th scope="col" { "Covers" } th scope="col" class="n" { "Samples" }
                            th scope="col" class="n" { "Size" } th scope="col" { "Complete" } th scope="col" { "As" }
                        }
                    }
                    tbody {
                        @for line in snapshots {
                            tr {
                                th scope="row" { a href={ "/vehicle/" (vehicle) "/snapshot/" (line.n) } { "No. " (line.n) } }
                                td { (when(&line.when)) }
                                td { (line.cause) @if line.merged > 0 { br; span class="quiet" { "and " (line.merged) " more" } } }
                                td { (covers(line)) }
                                td class="n" { (count(line.samples)) }
                                td class="n" { (bytes(line.bytes)) }
                                td { (complete(line)) }
                                td { (exports(vehicle, line.n)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The page of one.
pub(super) fn render(vehicle: &str, report: &SnapshotReport, wanted: &Wanted, now: WallTime) -> Markup {
    let line = &report.line;
    let chosen = chosen(report, wanted);
    let mut units: Vec<&str> = chosen.iter().map(|signal| signal.unit).collect();
    units.dedup();
    let main = html! {
        (head(vehicle, report))
        section class="card" {
            h2 { "Values" }
            @for unit in &units {
                (snapshot_chart::render(report, &chosen.iter().copied().filter(|s| s.unit == *unit).collect::<Vec<_>>()))
            }
            @if chosen.is_empty() { p class="quiet" { "No signal was chosen that has samples." } }
        }
        (signals(report))
    };
    let title = format!("{vehicle} snapshot {}", line.n);
    let json = format!("/api/vehicle/{vehicle}/snapshot/{}", line.n);
    Frame { title: &title, trail: &title, json: &json, now, live: false }.render(&main)
}

/// One that is too large for a page.
pub(super) fn too_large(vehicle: &str, line: &SnapshotLine, now: WallTime) -> Markup {
    let json = format!("/api/vehicle/{vehicle}/snapshot/{}", line.n);
    let main = html! {
        section class="card" {
            h1 { "Snapshot " (line.n) }
            p { (count(line.samples)) " samples are more than are given at once. Choose signals, by path or beginning:" }
            pre { code { (json) ".csv?signals=Vehicle.Speed&signals=Vehicle.Powertrain.*" } }
        }
    };
    let title = format!("{vehicle} snapshot {}", line.n);
    Frame { title: &title, trail: &title, json: &json, now, live: false }.render(&main)
}

fn head(vehicle: &str, report: &SnapshotReport) -> Markup {
    let line = &report.line;
    html! {
        div class="head" {
            h1 { "Snapshot " (line.n) " of " a href={ "/vehicle/" (vehicle) } { (vehicle) } }
            p { (line.cause) ", " (when(&line.when)) }
        }
        section class="card" {
            p {
                (covers(line)) ". " (count(line.samples)) " samples in " (bytes(line.bytes)) ", "
                @if line.samples > 0 { (page::value(line.bytes as f32 / line.samples as f32)) " bytes each. " }
                "Boot " (line.boot) ", its no. " (line.number) ". "
                @if line.merged > 0 { (line.merged) " more triggers fell into it. " }
                (exports(vehicle, line.n))
            }
            p { (complete(line)) }
            @for why in &report.unreadable { p class="warn" { (why) } }
        }
    }
}

fn covers(line: &SnapshotLine) -> Markup {
    let seconds = |ms: u64| page::value(ms as f32 / 1e3);
    html! {
        (seconds(line.before_ms)) " s before, " (seconds(line.after_ms)) " s after"
        @if line.missing_ms > 0 { br; span class="warn" { "the first " (seconds(line.missing_ms)) " s did not fit the vehicle's memory" } }
    }
}

fn complete(line: &SnapshotLine) -> Markup {
    html! {
        @if line.complete { "All " (line.parts) " parts arrived" }
        @else { span class="warn" { "Incomplete: " (line.parts_received) " of " (line.parts) " parts arrived" } }
    }
}

fn exports(vehicle: &str, n: u64) -> Markup {
    let address = format!("/api/vehicle/{vehicle}/snapshot/{n}");
    html! { a href={ (address) ".csv" } { "CSV" } " · " a href=(address) { "JSON" } }
}

/// The signals to draw: those asked for, else the trigger's subject and others of its unit that change.
fn chosen<'r>(report: &'r SnapshotReport, wanted: &Wanted) -> Vec<&'r SignalSamples> {
    let mut chosen: Vec<&SignalSamples> = Vec::new();
    if !wanted.is_all() {
        chosen.extend(report.signals.iter().filter(|signal| wanted.names(&signal.name)));
    } else {
        let subject = report.line.subject.as_str();
        let names = |signal: &&SignalSamples| signal.name.split('.').any(|word| word == subject);
        chosen.extend(report.signals.iter().filter(names));
        let changing = |signal: &&SignalSamples| extremes(signal).is_some_and(|(low, high)| low < high);
        let unit = chosen.first().or(report.signals.iter().find(changing).as_ref()).map(|signal| signal.unit);
        for signal in report.signals.iter().filter(changing).filter(|signal| Some(signal.unit) == unit) {
            if chosen.len() < MAX_LINES && !chosen.iter().any(|other| other.name == signal.name) {
                chosen.push(signal);
            }
        }
    }
    chosen.truncate(MAX_LINES);
    chosen.sort_by_key(|signal| signal.unit);
    chosen
}

fn extremes(signal: &SignalSamples) -> Option<(f64, f64)> {
    let values = || signal.value.iter().flatten().copied();
    values().next()?;
    Some((values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max)))
}

fn signals(report: &SnapshotReport) -> Markup {
    html! {
        section class="card scroll" {
            h2 { "Signals" }
            table {
                caption class="quiet" { "A name draws its signal; up to four by " code { "?signals=A&signals=B" } }
                thead {
                    tr {
                        th scope="col" { "Signal" } th scope="col" { "Unit" } th scope="col" class="n" { "Samples" }
                        th scope="col" class="n" { "Lowest" } th scope="col" class="n" { "Highest" }
                        th scope="col" class="n" { "Last" } th scope="col" class="n" { "Without value" }
                    }
                }
                tbody { @for signal in report.signals.iter().take(ROWS) { (row(signal)) } }
            }
        }
    }
}

fn row(signal: &SignalSamples) -> Markup {
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| page::value(value as f32));
    let bounds = extremes(signal);
    let absent = signal.value.iter().filter(|value| value.is_none()).count() as u64;
    html! {
        tr {
            th scope="row" { a href={ "?signals=" (signal.name) } { (signal.name) } }
            td { (signal.unit) }
            td class="n" { (count(signal.at_us.len() as u64)) }
            td class="n" { (number(bounds.map(|(low, _)| low))) }
            td class="n" { (number(bounds.map(|(_, high)| high))) }
            td class="n" { (number(signal.value.last().copied().flatten())) }
            td class="n" {
                @if absent > 0 {
                    span class="warn" { (count(absent)) } " "
                    (signal.absent.iter().find(|why| !why.is_empty()).copied().unwrap_or_default())
                } @else { "0" }
            }
        }
    }
}
