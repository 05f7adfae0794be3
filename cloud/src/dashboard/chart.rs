//! Scores over time as an SVG. Colours here are stand-ins that the style sheet maps to the page's own, light or dark.

use super::page;
use crate::report::{ModelView, Series};
use maud::{Markup, PreEscaped, html};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use telltale_wire::time::WallTime;

pub(super) const SIZE: (u32, u32) = (1_200, 300);
/// One stand-in for each of [`crate::report::MAX_SERIES`] lines.
pub(super) const LINES: [RGBColor; 4] =
    [RGBColor(1, 0, 0), RGBColor(2, 0, 0), RGBColor(3, 0, 0), RGBColor(4, 0, 0)];
pub(super) const ONSET: RGBColor = RGBColor(7, 0, 0);
pub(super) const GRID: RGBColor = RGBColor(9, 0, 0);
pub(super) const TEXT: RGBColor = RGBColor(8, 0, 0);
const MICROS_A_DAY: f64 = 86_400e6;
/// The most labels on the axis of time.
const TICKS: f64 = 8.0;
/// The distances that labels may have, in seconds: what a person reads without arithmetic. Then days, doubled.
const STEPS: [f64; 14] = [
    1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 10_800.0, 21_600.0, 43_200.0,
    86_400.0,
];

/// The chart with its legend; a sentence where there is nothing to draw. `onsets` are the times, in Unix
/// microseconds, at which the model called something anomalous.
pub(super) fn render(view: &ModelView, onsets: &[i64]) -> Markup {
    let series = &view.history;
    let Some(range) = range(series) else {
        return html! { p class="quiet" { "No scores over time yet: fewer than two summaries hold one." } };
    };
    let Ok(svg) = draw(series, range, onsets) else {
        return html! { p class="quiet" { "The chart could not be drawn." } };
    };
    html! {
        figure class="chart" {
            div role="img" aria-label={ "Scores over time of " (names(series)) } { (PreEscaped(svg)) }
            figcaption {
                "Highest score of each stretch, 0 to 1:"
                @for (index, series) in series.iter().enumerate() {
                    span class={ "line s" (index + 1) } { (series.name) " " (page::score(latest(series))) }
                }
                @if !onsets.is_empty() { span class="line onset" { "called anomalous" } }
            }
        }
    }
}

fn names(series: &[Series]) -> String {
    series.iter().map(|series| series.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn latest(series: &Series) -> Option<f32> {
    series.points.last().and_then(|(_, score)| *score)
}

/// The time that the scores span; `None` for less than two.
fn range(series: &[Series]) -> Option<(f64, f64)> {
    let times = || {
        series.iter().flat_map(|s| &s.points).filter(|(_, score)| score.is_some()).map(|(us, _)| *us as f64)
    };
    let (first, last) = (times().fold(f64::INFINITY, f64::min), times().fold(f64::NEG_INFINITY, f64::max));
    (first < last).then_some((first, last))
}

fn draw(
    series: &[Series],
    (first, last): (f64, f64),
    onsets: &[i64],
) -> Result<String, Box<dyn std::error::Error>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .margin_right(40)
            .x_label_area_size(34)
            .y_label_area_size(48)
            .build_cartesian_2d(TimeAxis { first, last }, 0.0..1.0)?;
        let text = ("sans-serif", 20).into_font().color(&TEXT);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .y_labels(5)
            .y_label_formatter(&|score| format!("{score:.1}"))
            .label_style(text)
            .draw()?;
        for onset in onsets.iter().map(|us| *us as f64).filter(|us| (first..=last).contains(us)) {
            chart.draw_series(LineSeries::new([(onset, 0.0), (onset, 1.0)], ONSET.stroke_width(2)))?;
        }
        for (series, colour) in series.iter().zip(LINES).rev() {
            for run in runs(series) {
                chart.draw_series(LineSeries::new(run, colour.stroke_width(3)))?;
            }
        }
        area.present()?;
    }
    Ok(svg)
}

/// The unbroken stretches of a series: where there was no score there is no line.
fn runs(series: &Series) -> Vec<Vec<(f64, f64)>> {
    let with_score = series.points.split(|(_, score)| score.is_none());
    let point = |(us, score): &(i64, Option<f32>)| Some((*us as f64, f64::from((*score)?)));
    with_score
        .map(|run| run.iter().filter_map(point).collect())
        .filter(|run: &Vec<_>| !run.is_empty())
        .collect()
}

/// An axis of Unix microseconds. Plotters would put its labels at round numbers of microseconds.
pub(super) struct TimeAxis {
    pub(super) first: f64,
    pub(super) last: f64,
}

impl Ranged for TimeAxis {
    type ValueType = f64;
    type FormatOption = NoDefaultFormatting;

    fn range(&self) -> std::ops::Range<f64> {
        self.first..self.last
    }

    fn map(&self, unix_us: &f64, (left, right): (i32, i32)) -> i32 {
        let share = (unix_us - self.first) / (self.last - self.first);
        left + (share * f64::from(right - left)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        ticks(self.first, self.last)
    }
}

impl ValueFormatter<f64> for TimeAxis {
    fn format(unix_us: &f64) -> String {
        WallTime::from_unix_micros(*unix_us as i64).to_string()
    }

    fn format_ext(&self, unix_us: &f64) -> String {
        tick(*unix_us, self.last - self.first)
    }
}

/// Times at whole steps of the UTC day between the ends.
fn ticks(first: f64, last: f64) -> Vec<f64> {
    let least = (last - first) / TICKS;
    let days = STEPS[STEPS.len() - 1] * 1e6;
    let step = STEPS.map(|seconds| seconds * 1e6).into_iter().find(|step| *step >= least);
    let step = step.unwrap_or_else(|| days * (least / days).log2().ceil().exp2());
    let begin = (first / step).ceil() * step;
    (0..=TICKS as u32).map(|n| begin + f64::from(n) * step).take_while(|us| *us <= last).collect()
}

/// A tick's label: the day where the chart spans days, the time of day where it does not.
fn tick(unix_us: f64, span_us: f64) -> String {
    let time = WallTime::from_unix_micros(unix_us as i64).to_string();
    let part = match span_us {
        s if s > 20.0 * MICROS_A_DAY => time.get(..10),
        s if s > MICROS_A_DAY => time.get(5..16),
        s if s > MICROS_A_DAY / 144.0 => time.get(11..16),
        _ => time.get(11..19),
    };
    part.map_or_else(|| time.clone(), |part| part.replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: &[(i64, Option<f32>)]) -> Series {
        Series { name: "Cell1".into(), points: points.to_vec() }
    }

    #[test]
    fn a_missing_score_breaks_the_line() {
        let broken = series(&[(0, Some(0.1)), (1, Some(0.2)), (2, None), (3, Some(0.3))]);
        let lengths: Vec<_> = runs(&broken).iter().map(Vec::len).collect();
        assert_eq!(lengths, [2, 1]);
    }

    #[test]
    fn times_at_the_ends_of_the_clock_are_drawn_without_a_panic() {
        let wild = [series(&[(i64::MIN, Some(0.0)), (0, Some(1.0)), (i64::MAX, Some(0.5))])];
        draw(&wild, range(&wild).unwrap(), &[i64::MIN, i64::MAX]).unwrap();
        assert_eq!(range(&[series(&[(5, Some(0.5))])]), None);
        assert_eq!(range(&[series(&[(5, None), (9, None)])]), None);
    }

    #[test]
    fn ticks_stand_at_whole_steps() {
        let hours = |ticks: Vec<f64>| ticks.iter().map(|us| us / 3_600e6).collect::<Vec<_>>();
        assert_eq!(hours(ticks(0.5 * 3_600e6, 6.5 * 3_600e6)), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(
            ticks(1.0, 100.0 * MICROS_A_DAY),
            (1..=6).map(|n| f64::from(n) * 16.0 * MICROS_A_DAY).collect::<Vec<_>>()
        );
    }

    #[test]
    fn ticks_show_what_differs() {
        let us = 1_557_477_897_250_000.0;
        assert_eq!(tick(us, 30.0 * MICROS_A_DAY), "2019-05-10");
        assert_eq!(tick(us, 2.0 * MICROS_A_DAY), "05-10 08:44");
        assert_eq!(tick(us, MICROS_A_DAY / 2.0), "08:44");
        assert_eq!(tick(us, 60e6), "08:44:57");
    }
}
