//! `/vehicle/{id}`: one vehicle, from what is wrong now down to how far each lane is acknowledged.

use super::page::{self, Frame, badge, bytes, count, time, when};
use super::update_section::Updates;
use super::{
    buses_section, chart, condition_section, drift_section, estimates_section, heat_map, signals_section,
    snapshot_page, trips_section, update_section,
};
use crate::report::{AgentEventLine, EvidenceLine, ModelView, State, StatusLine, VehicleReport, VerdictLine};
use crate::signals::SignalsReport;
use crate::store::ota::AheadLine;
use crate::trips::TripsReport;
use maud::{Markup, html};
use telltale_wire::estimate::Quantity;
use telltale_wire::time::WallTime;

/// Onsets drawn in a chart.
const ONSETS: usize = 12;
/// Rows of a table on the page; the JSON answer has more.
const ROWS: usize = 40;

/// What stands on the page beside the report.
pub(super) struct Sections<'a> {
    pub(super) signals: &'a SignalsReport,
    pub(super) trips: &'a TripsReport,
    pub(super) updates: &'a Updates,
    /// What the range is foretold with by somebody's word.
    pub(super) ahead: Option<&'a AheadLine>,
}

pub(super) fn render(report: &VehicleReport, sections: &Sections<'_>, now: WallTime, live: bool) -> Markup {
    let Sections { signals, trips, updates, ahead } = sections;
    let of_range = [Quantity::EnergyPerDistance, Quantity::RemainingRange].map(Quantity::as_str);
    let estimates = report.estimates.iter().cloned();
    let (of_cells, rest): (Vec<_>, Vec<_>) =
        estimates.partition(|line| line.quantity == Quantity::StateOfHealth.as_str());
    let (of_range, of_drive): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|line| of_range.contains(&line.quantity));
    let main = html! {
        (head(report, now))
        @for view in &report.models { (model(view, &report.events)) }
        @if report.models.is_empty() { (no_model(report)) }
        (trips_section::render(trips, &of_range, *ahead))
        (estimates_section::render(&of_cells))
        (condition_section::render(&of_drive))
        (drift_section::render(&report.drift))
        (events(report))
        (update_section::render(updates))
        (agent_events(&report.agent_events))
        (buses_section::render(report, &signals.buses))
        (signals_section::render(&report.line.vehicle, signals))
        (snapshot_page::list(&report.line.vehicle, &report.snapshots))
        (losses(report))
        div class="pair" { (status(report)) (boots(report)) }
        (streams(report))
    };
    let json = format!("/api/vehicle/{}", report.line.vehicle);
    Frame { title: &report.line.vehicle, trail: &report.line.vehicle, json: &json, now, live }.render(&main)
}

fn head(report: &VehicleReport, now: WallTime) -> Markup {
    let line = &report.line;
    let counts = &line.counts;
    html! {
        div class="head" {
            h1 { (line.vehicle) }
            (badge(line.state))
            @if line.revoked { span class="badge revoked" { "revoked: its requests are refused" } }
            p {
                @if line.open_anomalies.is_empty() { (line.reason) }
                @for (index, event) in line.open_anomalies.iter().enumerate() {
                    @if index > 0 { ", " } b { (event.subject) } " since " (when(&event.since))
                }
            }
        }
        dl class="facts" {
            div {
                dt { "Last contact" }
                dd {
                    @match (&line.last_contact, line.last_contact_us) {
                        (Some(at), Some(us)) => { (page::ago(us, now)) " " small { (time(at)) } },
                        _ => "never",
                    }
                }
            }
            (fact("Records stored", counts.records, false))
            (fact("Requests", counts.requests, false))
            (fact("Came again", counts.duplicates, false))
            (fact("Conflicts", counts.conflicts, true))
            (fact("Unknown kind", counts.unknown, false))
            (fact("Malformed", counts.malformed, true))
            (fact("Frames lost", counts.lost_frames, true))
            (fact("Records lost", counts.lost_records, true))
            (fact("Unexplained gaps", counts.unexplained_gaps, true))
        }
    }
}

fn fact(name: &str, number: u64, bad: bool) -> Markup {
    html! { div { dt { (name) } dd class=[(bad && number > 0).then_some("warn")] { (count(number)) } } }
}

fn model(view: &ModelView, events: &[VerdictLine]) -> Markup {
    let called = events.iter().filter(|event| event.model == view.model && event.verdict == State::Anomalous);
    let onsets: Vec<i64> = called.take(ONSETS).map(|event| event.when.unix_us).collect();
    let of = |state: State| view.subjects.iter().filter(|subject| subject.state == state).count() as u64;
    html! {
        section class="card" {
            h2 { (view.model) " " small class="quiet" { (view.digest) } }
            p {
                @if let Some(reference) = view.reference {
                    "Reference " b { (page::value(reference)) " " (view.unit) } ", "
                } @else { "No reference, " }
                "at " (when(&view.when)) ": "
                @for (index, state) in [State::Anomalous, State::Indeterminate, State::NoData, State::Nominal].into_iter().enumerate() {
                    @if index > 0 { ", " } (count(of(state))) " " (state.word())
                }
                "."
            }
            h3 { "Each subject against the reference" }
            (heat_map::render(view))
            h3 { "Scores of what stands out" }
            (chart::render(view, &onsets))
        }
    }
}

fn no_model(report: &VehicleReport) -> Markup {
    html! { section class="card" { h2 { "Models" } p class="quiet" { "No data: " (report.line.reason) "." } } }
}

fn events(report: &VehicleReport) -> Markup {
    html! {
        section class="card scroll" {
            h2 { "Verdict events" }
            @if report.events.is_empty() { p class="quiet" { "None: no verdict has changed." } } @else {
                table {
                    caption class="quiet" { (shown(report.events.len(), report.events_total)) }
                    thead {
                        tr {
                            th scope="col" { "Time" } th scope="col" { "Subject" } th scope="col" { "Verdict" }
                            th scope="col" class="n" { "Score" } th scope="col" class="n" { "Confidence" }
                            th scope="col" { "Evidence" } th scope="col" { "Since" } th scope="col" { "Model" }
                        }
                    }
                    tbody { @for event in report.events.iter().take(ROWS) { (event_row(event)) } }
                }
            }
        }
    }
}

/// What happened to the agent; nothing where nothing did.
fn agent_events(events: &[AgentEventLine]) -> Markup {
    html! {
        @if !events.is_empty() {
            section class="card scroll" {
                h2 { "Events of the agent" }
                table {
                    thead { tr { th scope="col" { "Time" } th scope="col" { "What" } th scope="col" { "Boot" } } }
                    tbody {
                        @for event in events.iter().take(ROWS) {
                            tr {
                                td { (when(&event.when)) }
                                td { span class=[event.is_fault.then_some("warn")] { (event.what) } @if let Some(why) = &event.why { ": " (why) } }
                                td { (event.boot) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn event_row(event: &VerdictLine) -> Markup {
    html! {
        tr {
            td { (when(&event.when)) }
            th scope="row" { (event.subject) }
            td { (badge(event.verdict)) @if let Some(reason) = event.reason { br; span class="quiet" { (reason) } } }
            td class="n" { (page::score(event.score)) }
            td class="n" { (page::score(event.confidence)) }
            td {
                @if event.evidence.is_empty() { span class="quiet" { "none given" } }
                ul class="plain" { @for evidence in &event.evidence { li { (evidence_line(evidence)) } } }
                @if let Some(departure) = event.departure {
                    b { (departure) }
                    ul class="plain" { @for number in &event.numbers { li { (evidence_line(number)) } } }
                }
            }
            td { (when(&event.since)) }
            td { (event.model) br; span class="quiet" { "boot " (event.boot) ", no. " (event.seq) } }
        }
    }
}

fn evidence_line(evidence: &EvidenceLine) -> Markup {
    let number = |value: Option<f32>| value.map_or_else(|| "no value".to_owned(), page::value);
    html! {
        (evidence.what) " " b { (number(evidence.value)) " " (evidence.unit) }
        span class="quiet" { " where " (number(evidence.reference)) " " (evidence.unit) " is expected" }
    }
}

fn losses(report: &VehicleReport) -> Markup {
    html! {
        section class="card scroll" {
            h2 { "Losses and gaps" }
            @if report.losses.is_empty() && report.gaps.is_empty() {
                p class="quiet" { "None: every record that the vehicle numbered has arrived, and it told of no loss." }
            }
            @if !report.loss_totals.is_empty() { (loss_totals(report)) }
            @if !report.losses.is_empty() { (loss_table(report)) }
            @if !report.gaps.is_empty() { (gap_table(report)) }
        }
    }
}

fn loss_totals(report: &VehicleReport) -> Markup {
    let open = report.gaps.iter().filter(|gap| !gap.explained).count() as u64;
    html! {
        p {
            (count(report.gaps.len() as u64)) " runs of numbers never arrived: "
            @if open == 0 { "losses explain all of them." }
            @else { span class="warn" { "no loss explains " (count(open)) " of them." } }
        }
        table class="list" {
            caption class="quiet" { "Lost in all, by lane and place" }
            thead { tr { th scope="col" { "Lane" } th scope="col" { "Where" } th scope="col" class="n" { "How many" } th scope="col" class="n" { "Told" } } }
            tbody {
                @for total in &report.loss_totals {
                    tr {
                        td { @if let Some(lane) = total.lane { (lane) } @else { span class="quiet" { "none" } } }
                        td { (total.stage) }
                        td class="n" { (count(total.count)) " " (total.of) }
                        td class="n" { (count(total.times)) " times" }
                    }
                }
            }
        }
    }
}

fn loss_table(report: &VehicleReport) -> Markup {
    html! {
        table {
            caption class="quiet" { "What the vehicle says it lost" }
            thead { tr { th scope="col" { "Time" } th scope="col" { "Where" } th scope="col" class="n" { "How many" } th scope="col" { "Which" } th scope="col" { "Why" } } }
            tbody {
                @for loss in report.losses.iter().take(ROWS) {
                    tr {
                        td { (when(&loss.when)) }
                        td { (loss.stage) }
                        td class="n" { (count(loss.count)) " " (loss.of) }
                        td {
                            @if let Some(range) = &loss.range { (range.lane) " " (range.first) " to " (range.last) ", boot " (range.boot) }
                            @else { span class="quiet" { "not known" } }
                        }
                        td { (loss.why) }
                    }
                }
            }
        }
    }
}

fn gap_table(report: &VehicleReport) -> Markup {
    html! {
        table {
            caption class="quiet" { "Numbers that never arrived" }
            thead { tr { th scope="col" { "Noticed" } th scope="col" { "Lane" } th scope="col" { "Numbers" } th scope="col" { "Boot" } th scope="col" { "Explained by a loss" } } }
            tbody {
                @for gap in report.gaps.iter().take(ROWS) {
                    tr {
                        td { (time(&gap.noticed)) }
                        td { (gap.range.lane) }
                        td { (gap.range.first) " to " (gap.range.last) }
                        td { (gap.range.boot) }
                        td { @if gap.explained { "yes" } @else { span class="warn" { "no" } } }
                    }
                }
            }
        }
    }
}

fn status(report: &VehicleReport) -> Markup {
    html! {
        section class="card" {
            h2 { "The agent" }
            @if let Some(status) = &report.status { (status_list(status)) } @else {
                p class="quiet" { "No data: no status record has arrived." }
            }
        }
    }
}

fn status_list(status: &StatusLine) -> Markup {
    let totals = &status.totals;
    let counted = [
        ("Frames received", totals.frames),
        ("decoded", totals.decoded),
        ("not asked for", totals.filtered),
        ("not described", totals.unknown),
        ("malformed", totals.malformed),
        ("Frames lost", totals.lost),
        ("Values decoded", totals.samples),
        ("Windows", totals.windows),
        ("Verdicts nominal", totals.nominal),
        ("Verdicts anomalous", totals.anomalous),
        ("Verdicts indeterminate", totals.indeterminate),
    ];
    html! {
        p { "At " (when(&status.when)) ", boot " (status.boot) ", since its start:" }
        table class="list" {
            tbody {
                @for (name, number) in counted { tr { th scope="row" { (name) } td class="n" { (count(number)) } } }
                tr { th scope="row" { "Waiting in the spool" } td class="n" { (bytes(status.spool_bytes)) } }
                tr {
                    th scope="row" { "Memory (PSS)" }
                    td class="n" { @if let Some(pss) = status.pss_bytes { (bytes(pss)) } @else { span class="quiet" { "not told" } } }
                }
            }
        }
    }
}

fn boots(report: &VehicleReport) -> Markup {
    html! {
        section class="card scroll" {
            h2 { "Boots" }
            @if report.boots_heard.is_empty() { p class="quiet" { "No data: no boot record has arrived." } } @else {
                table {
                    caption class="quiet" { (shown(report.boots_heard.len(), report.line.boots)) }
                    thead { tr { th scope="col" { "Boot" } th scope="col" { "Started" } th scope="col" { "Agent" } th scope="col" { "Models" } } }
                    tbody {
                        @for boot in report.boots_heard.iter().take(ROWS) {
                            tr {
                                th scope="row" { (boot.boot) }
                                td { (when(&boot.when)) }
                                td { (boot.agent_version) }
                                td { @for model in &boot.models { (model) br; } @if boot.models.is_empty() { span class="quiet" { "none" } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn streams(report: &VehicleReport) -> Markup {
    html! {
        details class="card" {
            summary { "How far each lane is acknowledged" }
            table class="list" {
                thead { tr { th scope="col" { "Boot" } th scope="col" { "Lane" } th scope="col" class="n" { "Through" } } }
                tbody {
                    @for stream in &report.streams {
                        tr { td { (stream.boot) } td { (stream.lane) } td class="n" { (count(stream.through)) } }
                    }
                }
            }
        }
    }
}

fn shown(rows: usize, total: u64) -> String {
    let rows = rows.min(ROWS) as u64;
    if rows < total {
        format!("The latest {rows} of {}", count(total))
    } else {
        "The latest first".to_owned()
    }
}
