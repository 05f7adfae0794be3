//! A vehicle's buses: how each stands, what was lost and odd on it, and what happened over time. A section of its page.

use super::page::{self, bytes, count, when};
use super::signals_section::percent;
use crate::buses::{BusCounts, BusEvent, BusView, MissingLine, identifier};
use crate::report::VehicleReport;
use crate::signals::BusLine;
use maud::{Markup, html};

/// Rows of the table of events; the JSON answer has more.
const ROWS: usize = 40;
/// Names of one kind that a bus lists.
const NAMED: usize = 5;

pub(super) fn render(report: &VehicleReport, loads: &[BusLine]) -> Markup {
    let json = format!("/api/vehicle/{}", report.line.vehicle);
    let unheard = loads.iter().filter(|load| report.buses.iter().all(|bus| bus.bus != load.name));
    html! {
        section class="card scroll" {
            h2 { "Buses" }
            @if report.buses.is_empty() && loads.is_empty() {
                p class="quiet" { "No data: no record of a bus has arrived." }
            } @else {
                table {
                    thead {
                        tr {
                            th scope="col" { "Bus" } th scope="col" { "State" } th scope="col" { "Load" }
                            th scope="col" class="n" { "Frames" } th scope="col" class="n" { "Lost" }
                            th scope="col" { "Errors" } th scope="col" { "Odd" }
                        }
                    }
                    tbody {
                        @for bus in &report.buses { (row(bus, loads.iter().find(|load| load.name == bus.bus))) }
                        @for load in unheard {
                            tr {
                                th scope="row" { (load.name) }
                                td { span class="quiet" { "not told" } }
                                td { (busy(load)) } td class="n" { (count(load.frames)) }
                                td {} td {} td {}
                            }
                        }
                    }
                }
                (events(&report.bus_events, &json))
            }
        }
    }
}

fn row(bus: &BusView, load: Option<&BusLine>) -> Markup {
    html! {
        tr {
            th scope="row" { (bus.bus) }
            td {
                span class=[(bus.state != "active").then_some("warn")] { (bus.state) }
                br; span class="quiet" { "since " (when(&bus.since)) ", told " (when(&bus.told)) }
            }
            td { @if let Some(load) = load { (busy(load)) } @else { span class="quiet" { "not told" } } }
            @match &bus.counts {
                Some(counts) => {
                    td class="n" { (count(counts.frames)) }
                    td class="n" { (lost(counts)) }
                    td { (errors(counts)) }
                    td { (odd(counts)) }
                },
                None => td colspan="4" class="quiet" { "nothing counted yet in boot " (bus.boot) },
            }
        }
    }
}

fn busy(load: &BusLine) -> Markup {
    html! {
        (percent(load.load)) ", busiest second " (percent(Some(load.peak)))
        br; span class="quiet" {
            "with the most stuffed bits " (percent(load.load_worst)) " and " (percent(Some(load.peak_worst))) "; "
            (count(load.frames)) " frames, " (bytes(load.bits / 8)) " of bits, longest silence "
            (page::value(load.longest_silence_s as f32)) " s"
        }
    }
}

/// What the controller or its driver lost. What the receive buffer lost stands under the losses.
fn lost(counts: &BusCounts) -> Markup {
    html! {
        @match counts.lost {
            None => span class="quiet" { "not told" },
            Some(0) => "0",
            Some(lost) => span class="warn" { (count(lost)) },
        }
    }
}

fn errors(counts: &BusCounts) -> Markup {
    let e = &counts.errors;
    let told = [
        (e.bus.max(e.protocol), "bus errors"),
        (e.no_ack, "not acknowledged"),
        (e.off, "times bus-off"),
        (e.passive, "times passive"),
        (e.transceiver, "of the wire"),
        (e.rx_overflow, "receive overflows"),
        (e.tx_overflow, "transmit overflows"),
        (e.tx_timeout, "send time-outs"),
        (u64::from(counts.restarts_asked), "restarts by the agent"),
        (u64::from(counts.link_losses), "times the interface went"),
    ];
    html! {
        @if let Some(counters) = counts.counters { "counters " (counters.tx) " sending, " (counters.rx) " receiving" }
        @else { span class="quiet" { "counters not told" } }
        @if e.frames > 0 { br; span class="warn" { (count(e.frames)) " error frames" } }
        @for (number, what) in told { @if number > 0 { br; (count(number)) " " (what) } }
        @if let Some(error) = &counts.last_error { br; span class="quiet" { "last " (when(&error.at)) ": " (error.what) } }
    }
}

/// Frames that are not as the DBC file and the catalog say.
fn odd(counts: &BusCounts) -> Markup {
    let numbers = [
        (counts.remote, "remote frames"),
        (counts.short, "frames too short"),
        (counts.long, "frames too long"),
        (counts.unknown_frames, "frames of unknown identifiers"),
    ];
    let is_quiet = numbers.iter().all(|(number, _)| *number == 0)
        && counts.suspicious.is_empty()
        && counts.missing_total == 0;
    let ids: Vec<String> = counts.unknown.iter().take(NAMED).map(identifier).collect();
    html! {
        @if is_quiet { span class="quiet" { "nothing" } }
        @for (number, what) in numbers { @if number > 0 { div { (count(number)) " " (what) } } }
        @if !ids.is_empty() { div class="quiet" { "most of late: " (ids.join(", ")) } }
        @for message in counts.suspicious.iter().take(NAMED) {
            div {
                b { (message.message) } ": "
                span class="warn" { (count(message.wrong_checksum)) " wrong checksums, " (count(message.wrong_sequence)) " out of sequence" }
                ", " (count(message.repeated)) " repeated, " (count(message.ok)) " good"
            }
        }
        @if counts.missing_total > 0 {
            div { span class="warn" { (count(u64::from(counts.missing_total))) " messages overdue" } ": " (overdue(&counts.missing)) }
        }
        @if counts.checked > 0 { div class="quiet" { (count(counts.checked)) " frames checked by counter and checksum" } }
    }
}

fn overdue(missing: &[MissingLine]) -> String {
    let silent = |message: &MissingLine| match message.silent_ms {
        Some(ms) => format!("{} for {:.1} s", message.message, ms as f64 / 1e3),
        None => format!("{} never heard", message.message),
    };
    let mut named: Vec<String> = missing.iter().take(NAMED).map(silent).collect();
    if missing.len() > NAMED {
        named.push("…".to_owned());
    }
    named.join(", ")
}

fn events(events: &[BusEvent], json: &str) -> Markup {
    html! {
        h3 { "What happened on them" }
        @if events.is_empty() { p class="quiet" { "Nothing was told." } } @else {
            table {
                caption class="quiet" {
                    "The latest first. What was counted is of the stretch that ends at the time. "
                    @if events.len() > ROWS { (ROWS) " of " (count(events.len() as u64)) ": " a href=(json) { "all as JSON" } }
                }
                thead {
                    tr {
                        th scope="col" { "Time" } th scope="col" { "Bus" } th scope="col" { "What" }
                        th scope="col" class="n" { "How many" } th scope="col" { "Why or which" } th scope="col" { "Boot" }
                    }
                }
                tbody {
                    @for event in events.iter().take(ROWS) {
                        tr {
                            td {
                                (when(&event.when))
                                @if let Some(seconds) = event.stretch_s { br; span class="quiet" { "within " (page::value(seconds as f32)) " s" } }
                            }
                            th scope="row" { (event.bus) }
                            td { span class=[event.is_fault.then_some("warn")] { (event.what) } }
                            td class="n" { @if let Some(number) = event.count { (count(number)) } }
                            td { @if let Some(why) = &event.why { (why) } }
                            td { (event.boot) }
                        }
                    }
                }
            }
        }
    }
}
