//! Lines over time or over a count as an SVG: the frame, the axes, and marks. Colours here are stand-ins that the style
//! sheet maps to the page's own, light or dark.

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use telltale_wire::time::WallTime;

const SIZE: (u32, u32) = (1_200, 300);
/// The most lines in one plot: there are so many colours.
pub(super) const MAX_LINES: usize = 4;
const LINES: [RGBColor; MAX_LINES] =
    [RGBColor(1, 0, 0), RGBColor(2, 0, 0), RGBColor(3, 0, 0), RGBColor(4, 0, 0)];
const MARK: RGBColor = RGBColor(7, 0, 0);
const GRID: RGBColor = RGBColor(9, 0, 0);
const TEXT: RGBColor = RGBColor(8, 0, 0);
const MICROS_A_DAY: f64 = 86_400e6;
/// The most labels on the axis of time.
const TICKS: f64 = 8.0;
/// The distances that labels may have, in seconds: what a person reads without arithmetic. Then days, doubled.
const STEPS: [f64; 14] = [
    1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 10_800.0, 21_600.0, 43_200.0,
    86_400.0,
];

/// The unbroken stretches of a line, each of points: where there was no value there is no line.
pub(super) type Runs = Vec<Vec<(f64, f64)>>;

/// What is drawn, and within which bounds.
pub(super) struct Plot {
    /// What runs from left to right.
    pub(super) across: Across,
    /// The lowest and the highest value.
    pub(super) values: (f64, f64),
    /// A value as the axis shows it, and how many pixels that takes.
    pub(super) label: (fn(f64) -> String, u32),
    /// Lines from one point to another that mark something, below the others.
    pub(super) marks: Vec<[(f64, f64); 2]>,
    /// Each with the number of its colour, below [`MAX_LINES`]; the first is drawn over the others.
    pub(super) lines: Vec<(usize, Runs)>,
}

impl Plot {
    /// # Errors
    /// What plotters says of bounds that it cannot draw.
    pub(super) fn svg(self) -> Result<String, Box<dyn std::error::Error>> {
        let ((low, high), (label, label_px)) = (self.values, self.label);
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            let mut chart = ChartBuilder::on(&area)
                .margin(8)
                .margin_right(40)
                .x_label_area_size(34)
                .y_label_area_size(label_px)
                .build_cartesian_2d(self.across, low..high)?;
            chart
                .configure_mesh()
                .disable_x_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(GRID)
                .axis_style(GRID)
                .y_labels(5)
                .y_label_formatter(&|value| label(*value))
                .label_style(("sans-serif", 20).into_font().color(&TEXT))
                .draw()?;
            for mark in self.marks {
                chart.draw_series(LineSeries::new(mark, MARK.stroke_width(2)))?;
            }
            for (colour, runs) in self.lines.into_iter().rev() {
                for run in runs {
                    chart.draw_series(LineSeries::new(run, LINES[colour % MAX_LINES].stroke_width(3)))?;
                }
            }
            area.present()?;
        }
        Ok(svg)
    }
}

/// The axis from left to right, from the first to the last.
pub(super) enum Across {
    /// Unix microseconds. Plotters would put its labels at round numbers of microseconds.
    Time(f64, f64),
    /// How many of something.
    Count(f64, f64),
}

impl Ranged for Across {
    type ValueType = f64;
    type FormatOption = NoDefaultFormatting;

    fn range(&self) -> std::ops::Range<f64> {
        let (Self::Time(first, last) | Self::Count(first, last)) = *self;
        first..last
    }

    fn map(&self, value: &f64, (left, right): (i32, i32)) -> i32 {
        let (Self::Time(first, last) | Self::Count(first, last)) = *self;
        let share = (value - first) / (last - first);
        left + (share * f64::from(right - left)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        match *self {
            Self::Time(first, last) => ticks(first, last),
            Self::Count(first, last) => RangedCoordf64::from(first..last).key_points(TICKS as usize),
        }
    }
}

impl ValueFormatter<f64> for Across {
    fn format(value: &f64) -> String {
        value.to_string()
    }

    fn format_ext(&self, value: &f64) -> String {
        match *self {
            Self::Time(first, last) => tick(*value, last - first),
            Self::Count(..) => format!("{value:.0}"),
        }
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
