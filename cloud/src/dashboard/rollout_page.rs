//! `/rollouts` and `/rollout/{id}`: waves with their progress, what the tests say, decisions, and every vehicle.

use super::page::{Frame, count, time};
use super::{curve, models_page};
use crate::rollout::stage::Stage;
use crate::rollout::{Phase, Wave};
use crate::store::ota::{RolloutLine, RolloutReport, WaveLine};
use maud::{Markup, html};
use telltale_wire::time::WallTime;

/// Vehicles on the page; the JSON answer has more.
const ROWS: usize = 200;

pub(super) fn list(rollouts: &[RolloutLine], now: WallTime, live: bool) -> Markup {
    let main = html! {
        h1 { "Rollouts" }
        @if rollouts.is_empty() {
            section class="card" {
                h2 { "No rollout has been written yet" }
                pre { code { "telltale-cloud rollout example > plan.toml\ntelltale-cloud rollout create --db fleet.db --by ann --model FAMILY/NAME-RELEASE.index --plan plan.toml" } }
            }
        } @else {
            div class="card scroll" {
                table {
                    thead {
                        tr {
                            th scope="col" class="n" { "No." } th scope="col" { "Model" } th scope="col" { "State" }
                            th scope="col" class="n" { "Wave" } th scope="col" { "Why" } th scope="col" { "Written" }
                        }
                    }
                    tbody {
                        @for line in rollouts {
                            tr {
                                td class="n" { a href={ "/rollout/" (line.rollout) } { (line.rollout) } }
                                th scope="row" { a href={ "/rollout/" (line.rollout) } { (line.model) } }
                                td { (badge(line.phase)) }
                                td class="n" { (line.wave.unwrap_or(0)) " of " (line.waves) }
                                td { (line.why) }
                                td { (time(&line.created)) br; span class="quiet" { "by " (line.author) } }
                            }
                        }
                    }
                }
            }
        }
    };
    Frame { title: "Rollouts", trail: "", json: "/api/rollouts", now, live }.render(&main)
}

fn badge(phase: Phase) -> Markup {
    let class = match phase {
        Phase::Draft | Phase::Approved => "plain",
        Phase::Running => "go",
        Phase::Paused => "paused",
        Phase::Stopped => "stopped",
        Phase::Completed => "nominal",
    };
    html! { span class={ "badge " (class) } { (phase.word()) } }
}

pub(super) fn one(report: &RolloutReport, now: WallTime, live: bool) -> Markup {
    let line = &report.line;
    let main = html! {
        div class="head" {
            h1 { "Rollout " (line.rollout) } (badge(line.phase))
            p { a href={ "/model/" (line.model) } { (line.model) } " " (line.version) ", written by " (line.author) }
        }
        section class="card" { h2 { "Why it stands where it stands" } p { (line.why) } }
        (waves(report))
        section class="card" {
            h2 { "Is the new model worse than allowed?" }
            p class="quiet" {
                "One observation a vehicle. The true share lies between the outer lines, at all times together with a probability of "
                (format!("{:.1} %", 100.0 * (1.0 - report.tests.first().map_or(0.0, |test| test.error_rate))))
                ", however often one looks; a rollout halts when it is proven to lie above the limit."
            }
            @for test in &report.tests { (curve::render(test)) }
        }
        (models_page::decisions(&report.decisions))
        (vehicles(report))
    };
    let title = format!("Rollout {}", line.rollout);
    let json = format!("/api/rollout/{}", line.rollout);
    Frame { title: &title, trail: &title, json: &json, now, live }.render(&main)
}

fn waves(report: &RolloutReport) -> Markup {
    html! {
        section class="card scroll" {
            h2 { "Waves" }
            table {
                thead {
                    tr {
                        th scope="col" { "Wave" } th scope="col" { "Progress" } th scope="col" class="n" { "Vehicles" }
                        th scope="col" class="n" { "Waiting" } th scope="col" class="n" { "Under way" }
                        th scope="col" class="n" { "Committed" } th scope="col" class="n" { "Failed" }
                        th scope="col" class="n" { "Lost" } th scope="col" class="n" { "Passed over" }
                        th scope="col" class="n" { "Absent" } th scope="col" { "To go on" }
                    }
                }
                tbody {
                    @for (progress, wave) in report.progress.iter().zip(&report.plan.waves) {
                        (wave_row(progress, wave, report.line.wave))
                    }
                }
            }
        }
    }
}

fn wave_row(progress: &WaveLine, wave: &Wave, newest: Option<usize>) -> Markup {
    let tally = &progress.tally;
    let has_begun = newest.is_some_and(|newest| progress.wave <= newest);
    let cell = |number: u64, bad: bool| {
        html! { td class={ "n" @if bad && number > 0 { " warn" } } { (count(number)) } }
    };
    html! {
        tr {
            th scope="row" {
                (progress.wave) " " span class="quiet" {
                    @if let Some(percent) = wave.percent { (percent) " %" }
                    @for group in &wave.groups { " " (group) }
                }
                @if !has_begun { br; span class="quiet" { "not begun" } }
            }
            td { (bar(progress)) }
            (cell(tally.size, false)) (cell(tally.waiting, false)) (cell(tally.under_way, false)) (cell(tally.committed, false))
            (cell(tally.failed, true)) (cell(tally.lost, true)) (cell(tally.passed_over, false)) (cell(tally.absent, false))
            td class="quiet" {
                (count(u64::from(wave.min_executed))) " ended, " (format!("{:.0} %", wave.success * 100.0)) " well"
                @if wave.hold_minutes > 0 { ", for " (wave.hold_minutes) " min" }
                @if wave.approval { ", approved" }
            }
        }
    }
}

fn bar(progress: &WaveLine) -> Markup {
    let tally = &progress.tally;
    let whole = tally.size.max(1) as f64;
    let parts = [
        ("ok", tally.committed),
        ("bad", tally.faults()),
        ("way", tally.under_way),
        ("out", tally.passed_over + tally.absent),
    ];
    let mut from = 0.0;
    let placed = parts.map(|(class, number)| {
        let (at, width) = (from, 100.0 * number as f64 / whole);
        from += width;
        (class, at, width)
    });
    let label = format!("{} of {} committed, {} failed", tally.committed, tally.size, tally.faults());
    html! {
        svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label=(label) {
            rect x="0" y="0" width="100" height="6" {}
            @for (class, at, width) in placed { @if width > 0.0 {
                rect class=(class) x=(format!("{at:.2}")) y="0" width=(format!("{width:.2}")) height="6" {}
            } }
        }
    }
}

fn vehicles(report: &RolloutReport) -> Markup {
    let shown = report.vehicles.len().min(ROWS);
    html! {
        section class="card scroll" {
            h2 { "Vehicles" }
            @if report.vehicles.is_empty() { p class="quiet" { "None yet: they are drawn when the rollout starts." } } @else {
                table {
                    caption class="quiet" {
                        @if shown < report.vehicles.len() { "The first " (shown) ", what needs a look first" } @else { "What needs a look first" }
                    }
                    thead { tr { th scope="col" { "Vehicle" } th scope="col" class="n" { "Wave" } th scope="col" { "Stage" } th scope="col" { "Why" } th scope="col" { "Since" } } }
                    tbody {
                        @for line in report.vehicles.iter().take(ROWS) {
                            tr {
                                th scope="row" { a href={ "/vehicle/" (line.vehicle) } { (line.vehicle) } }
                                td class="n" { (line.wave) }
                                td {
                                    span class=[(line.stage == Stage::Failed).then_some("warn")] { (line.stage.word()) }
                                    @if line.is_silent { " " span class="badge nodata" { "silent" } }
                                }
                                td { (line.reason) }
                                td { @if let Some(at) = &line.changed { (time(at)) } @else { span class="quiet" { "–" } } }
                            }
                        }
                    }
                }
            }
        }
    }
}
