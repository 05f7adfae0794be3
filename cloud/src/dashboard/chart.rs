//! A model's scores over time, drawn.

use super::page;
use super::plot::{Across, MAX_LINES, Plot, Runs};
use crate::report::{ModelView, Series};
use maud::{Markup, PreEscaped, html};

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

fn draw(series: &[Series], time: (f64, f64), onsets: &[i64]) -> Result<String, Box<dyn std::error::Error>> {
    let (first, last) = time;
    let onsets = onsets.iter().map(|us| *us as f64).filter(|us| (first..=last).contains(us));
    let plot = Plot {
        across: Across::Time(first, last),
        values: (0.0, 1.0),
        label: (|score| format!("{score:.1}"), 48),
        marks: onsets.map(|onset| [(onset, 0.0), (onset, 1.0)]).collect(),
        lines: series.iter().map(runs).enumerate().take(MAX_LINES).collect(),
    };
    plot.svg()
}

/// The unbroken stretches of a series: where there was no score there is no line.
fn runs(series: &Series) -> Runs {
    let with_score = series.points.split(|(_, score)| score.is_none());
    let point = |(us, score): &(i64, Option<f32>)| Some((*us as f64, f64::from((*score)?)));
    with_score
        .map(|run| run.iter().filter_map(point).collect())
        .filter(|run: &Vec<_>| !run.is_empty())
        .collect()
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
}
