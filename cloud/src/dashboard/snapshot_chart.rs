//! The samples of a snapshot's signals over time as an SVG, one chart for signals of one unit.

use super::page;
use super::plot::{Across, MAX_LINES, Plot, Runs};
use crate::snapshot::{SignalSamples, SnapshotReport};
use maud::{Markup, PreEscaped, html};

/// Stretches of time of which a line shows the lowest and the highest value: no more can be told apart.
const COLUMNS: f64 = 1_000.0;

/// A chart of these signals, with a mark at the trigger.
pub(super) fn render(report: &SnapshotReport, signals: &[&SignalSamples]) -> Markup {
    let lines: Vec<Runs> = signals.iter().map(|signal| line(report, signal)).collect();
    let Some(bounds) = Bounds::of(&lines) else {
        return html! { p class="quiet" { "Nothing to draw: fewer than two values." } };
    };
    let Ok(svg) = draw(lines, &bounds, report.line.when.unix_us as f64) else {
        return html! { p class="quiet" { "The chart could not be drawn." } };
    };
    let names = signals.iter().map(|signal| signal.name.as_str()).collect::<Vec<_>>().join(", ");
    let unit = signals.first().map_or("", |signal| signal.unit);
    html! {
        figure class="chart" {
            div role="img" aria-label={ "Values over time of " (names) } { (PreEscaped(svg)) }
            figcaption {
                @if unit.is_empty() { "Values" } @else { "In " (unit) ":" }
                @for (index, signal) in signals.iter().enumerate() {
                    span class={ "line s" (index + 1) } { (signal.name) }
                }
                span class="line onset" { "triggered" }
            }
        }
    }
}

fn line(report: &SnapshotReport, signal: &SignalSamples) -> Runs {
    let samples = || signal.at_us.iter().zip(&signal.value);
    let time = |at: &u64| report.unix_us(*at) as f64;
    let (first, last) = (signal.at_us.first().map_or(0.0, time), signal.at_us.last().map_or(0.0, time));
    let width = ((last - first) / COLUMNS).max(1.0);
    let (mut runs, mut run, mut column) = (Vec::new(), Vec::new(), Column::default());
    for (at, value) in samples() {
        let place = ((time(at) - first) / width).floor();
        if value.is_none() || place != column.place {
            column.end(&mut run);
            column.place = place;
        }
        match value {
            Some(value) => column.take((time(at), *value)),
            None => runs.push(std::mem::take(&mut run)),
        }
    }
    column.end(&mut run);
    runs.push(run);
    runs.retain(|run| !run.is_empty());
    runs
}

/// The first, lowest, highest and last value of a stretch of time.
#[derive(Default)]
struct Column {
    place: f64,
    points: Vec<(f64, f64)>,
}

impl Column {
    fn take(&mut self, point: (f64, f64)) {
        // Two of those between the first and the last can be told apart: the lowest and the highest.
        if let [first, .., last] = self.points[..]
            && self.points.len() == 4
        {
            let mut between = [self.points[1], self.points[2], last];
            between.sort_by(|a, b| a.1.total_cmp(&b.1));
            let mut kept = [between[0], between[2]];
            kept.sort_by(|a, b| a.0.total_cmp(&b.0));
            self.points = vec![first, kept[0], kept[1]];
        }
        self.points.push(point);
    }

    fn end(&mut self, run: &mut Vec<(f64, f64)>) {
        run.append(&mut self.points);
    }
}

/// What the chart spans.
struct Bounds {
    time: (f64, f64),
    values: (f64, f64),
}

impl Bounds {
    fn of(lines: &[Runs]) -> Option<Bounds> {
        let points = || lines.iter().flatten().flatten();
        let span = |of: fn(&(f64, f64)) -> f64| {
            points().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)))
        };
        let (time, values) = (span(|point| point.0), span(|point| point.1));
        let room = ((values.1 - values.0) * 0.05).max(values.1.abs() * 1e-6).max(1e-9);
        let values = (values.0 - room, values.1 + room);
        (time.0 < time.1 && values.0.is_finite() && values.1.is_finite()).then_some(Bounds { time, values })
    }
}

fn draw(lines: Vec<Runs>, bounds: &Bounds, trigger: f64) -> Result<String, Box<dyn std::error::Error>> {
    let ((first, last), (low, high)) = (bounds.time, bounds.values);
    let is_drawn = (first..=last).contains(&trigger);
    let plot = Plot {
        across: Across::Time(first, last),
        values: bounds.values,
        label: (|value| page::value(value as f32), 84),
        marks: is_drawn.then_some([(trigger, low), (trigger, high)]).into_iter().collect(),
        lines: lines.into_iter().enumerate().take(MAX_LINES).collect(),
    };
    plot.svg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowded_line_keeps_its_extremes() {
        let mut column = Column::default();
        for n in 0..10_000 {
            column.take((f64::from(n), if n == 5_000 { 99.0 } else { f64::from(n % 7) }));
        }
        assert!(column.points.len() <= 4);
        assert!(column.points.iter().any(|point| point.1 == 99.0), "{:?}", column.points);
    }

    #[test]
    fn values_at_the_ends_of_their_range_are_drawn_or_refused_without_a_panic() {
        for values in [[f64::MIN, f64::MAX], [0.0, 0.0], [1e-300, 1e300]] {
            let lines = [vec![values.iter().enumerate().map(|(n, v)| (n as f64, *v)).collect()]];
            if let Some(bounds) = Bounds::of(&lines) {
                draw(lines.to_vec(), &bounds, 0.5).unwrap();
            }
        }
        assert!(Bounds::of(&[vec![vec![(1.0, 1.0)]]]).is_none());
    }
}
