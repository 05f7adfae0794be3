//! What a vehicle's signals looked like, and how good the data is: sections of its page.

use super::page::{self, count, time};
use crate::signals::{PointLine, QualityLine, SeriesLine, SignalsReport};
use maud::{Markup, html};

/// Rows of the table; the JSON answer has all.
const ROWS: usize = 40;
/// The size of a row's chart, in its own units.
const WIDTH: f64 = 150.0;
const HEIGHT: f64 = 30.0;
/// Checks and regimes that are listed.
const LISTED: usize = 20;

pub(super) fn render(vehicle: &str, report: &SignalsReport) -> Markup {
    let json = format!("/api/vehicle/{vehicle}/signals");
    html! {
        section class="card scroll" {
            h2 { "Signals" }
            @if report.merged.records == 0 {
                p class="quiet" { "No data: no statistics of signals have arrived." }
            } @else {
                (basis(report))
                (table("Signal", &json, &odd_first(&report.signals)))
                @if !report.models.is_empty() { (table("Score of", &json, &odd_first(&report.models))) }
            }
        }
        @if let Some(quality) = &report.quality { (quality_card(quality)) }
    }
}

/// What the table rests on, with everything that it does not.
fn basis(report: &SignalsReport) -> Markup {
    let merged = &report.merged;
    let without = [
        (merged.records_left_out, "records are too many for one answer: ask for a shorter range"),
        (merged.records_unnamed, "records came without the names of their signals"),
        (merged.records_contradictory, "records contradict themselves or do not decode"),
        (merged.series_left_out, "series in them contradict themselves or are too many"),
    ];
    html! {
        p {
            "From " (time(&merged.from)) " to " (time(&merged.to)) ", " (count(merged.records_merged)) " records. "
            span class="quiet" { "Quantiles are shares of time. Another range: " code { "?from=2026-11-22T02:00:00Z&to=…" } " behind the address of the JSON." }
        }
        @for (number, what) in without { @if number > 0 { p class="warn" { (count(number)) " " (what) "." } } }
    }
}

/// Series with something odd come first: those that were absent longest, then those with refused samples.
fn odd_first(series: &[SeriesLine]) -> Vec<&SeriesLine> {
    let mut ranked: Vec<&SeriesLine> = series.iter().collect();
    ranked.sort_by(|a, b| {
        let refused = |line: &SeriesLine| line.out_of_range.saturating_add(line.sensor_fault);
        absent_share(b).total_cmp(&absent_share(a)).then(refused(b).cmp(&refused(a)))
    });
    ranked
}

fn absent_share(line: &SeriesLine) -> f64 {
    let absent = line.absent_total() as f64;
    if absent > 0.0 { absent / (absent + line.values as f64) } else { 0.0 }
}

fn table(what: &str, json: &str, series: &[&SeriesLine]) -> Markup {
    html! {
        table {
            caption class="quiet" {
                @if series.len() > ROWS {
                    "What is odd first, " (ROWS) " of " (count(series.len() as u64)) ": " a href=(json) { "all as JSON" }
                } @else { "What is odd first" }
            }
            thead {
                tr {
                    th scope="col" { (what) } th scope="col" { "Unit" } th scope="col" class="n" { "Least" }
                    th scope="col" class="n" { "1 %" } th scope="col" class="n" { "Median" } th scope="col" class="n" { "99 %" }
                    th scope="col" class="n" { "Greatest" } th scope="col" class="n" { "Last" }
                    th scope="col" { "Without value" } th scope="col" { "Over time" }
                }
            }
            tbody { @for line in series.iter().take(ROWS) { (row(line)) } }
        }
    }
}

fn row(line: &SeriesLine) -> Markup {
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| page::value(value as f32));
    html! {
        tr {
            th scope="row" { (line.name) }
            td { (line.unit) }
            @for value in [line.min, line.p1, line.p50, line.p99, line.max, line.last] { td class="n" { (number(value)) } }
            td { (absence(line)) }
            td { (band(line)) }
        }
    }
}

fn absence(line: &SeriesLine) -> Markup {
    let refused = [
        (line.out_of_range, "samples out of range"),
        (line.sensor_fault, "samples \u{201c}no value\u{201d}"),
    ];
    let share = absent_share(line);
    html! {
        @if share > 0.0 { span class="warn" { (percent(Some(share))) " of the time" } }
        @for absence in &line.absent { br; (absence.reason) ": " (count(absence.steps)) }
        @for (number, what) in refused { @if number > 0 { br; (count(number)) " " (what) } }
        @if share == 0.0 && line.out_of_range == 0 && line.sensor_fault == 0 { span class="quiet" { "never" } }
    }
}

/// The band from 1 % to 99 % with the median in it.
fn band(line: &SeriesLine) -> Markup {
    let points = &line.points;
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return html! { span class="quiet" { "nothing" } };
    };
    if first.unix_us >= last.unix_us {
        return html! { span class="quiet" { "one point" } };
    }
    let low = points.iter().map(|point| point.p1).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|point| point.p99).fold(f64::NEG_INFINITY, f64::max);
    let span = (last.unix_us as f64) - (first.unix_us as f64);
    let at = |point: &PointLine, value: f64| {
        let x = (point.unix_us as f64 - first.unix_us as f64) / span * WIDTH;
        // A constant is drawn in the middle.
        let share = if high > low { (value - low) / (high - low) } else { 0.5 };
        format!("{x:.1},{:.1}", 1.0 + (1.0 - share) * (HEIGHT - 2.0))
    };
    let middle: Vec<String> = points.iter().map(|point| at(point, point.p50)).collect();
    let above = points.iter().map(|point| at(point, point.p99));
    let below = points.iter().rev().map(|point| at(point, point.p1));
    let outline: Vec<String> = above.chain(below).collect();
    let label =
        format!("1 to 99 % from {} to {} {}", page::value(low as f32), page::value(high as f32), line.unit);
    html! {
        svg class="band" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(label) {
            polygon points=(outline.join(" ")) {}
            polyline points=(middle.join(" ")) {}
        }
    }
}

fn quality_card(quality: &QualityLine) -> Markup {
    let shares = [
        ("Completeness", quality.completeness, "samples that came, of those that the cycle times let expect"),
        ("Coverage", quality.coverage, "of the time, over all signals, with a value"),
        ("Plausibility", quality.plausibility, "samples with a value within its range"),
        ("Consistency", quality.consistency, "comparisons of signals with each other that held"),
    ];
    html! {
        section class="card scroll" {
            h2 { "Data quality" }
            table class="list" {
                tbody {
                    @for (name, share, what) in shares {
                        tr { th scope="row" { (name) } td class="n" { (percent(share)) } td class="quiet" { (what) } }
                    }
                    tr {
                        th scope="row" { "Timeliness" }
                        td class="n" { (count(u64::from(quality.oldest_ms))) " ms" }
                        td class="quiet" {
                            "the oldest value used"
                            @if let Some(ms) = quality.judged_after_ms { "; a window was judged at most " (count(u64::from(ms))) " ms after its end" }
                        }
                    }
                    @for check in quality.checks.iter().take(LISTED) {
                        tr {
                            th scope="row" { (check.name) }
                            td class="n" { (count(check.violated)) " of " (count(check.compared)) }
                            td class="quiet" {
                                "steps beyond the tolerance of " (number(check.tolerance)) " " (check.unit) ", at worst " (number(check.worst)) " " (check.unit)
                            }
                        }
                    }
                }
            }
            @if !quality.regimes.is_empty() || quality.other_regime_s > 0.0 {
                p {
                    "Regimes: "
                    @for regime in quality.regimes.iter().take(LISTED) { (regime.name) " " (hours(regime.seconds)) ", " }
                    "none of them " (hours(quality.other_regime_s)) ", not known " (hours(quality.unknown_regime_s)) "."
                }
            }
        }
    }
}

fn number(value: Option<f32>) -> String {
    value.map_or_else(|| "–".to_owned(), page::value)
}

/// A share as a percentage; one that is not quite all is not rounded up to it.
pub(super) fn percent(share: Option<f64>) -> String {
    match share {
        None => "–".to_owned(),
        Some(share) if share < 1.0 => format!("{:.1} %", (share * 1e3).floor() / 10.0),
        Some(share) => format!("{:.1} %", share * 100.0),
    }
}

fn hours(seconds: f64) -> String {
    if seconds < 7_200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3_600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_not_rounded_up_to_all() {
        assert_eq!([percent(Some(0.999_9)), percent(Some(1.0)), percent(None)], ["99.9 %", "100.0 %", "–"]);
        assert_eq!([hours(90.0), hours(9_000.0)], ["2 min", "2.5 h"]);
    }
}
