//! A sequential test as an SVG: the mean of what was observed, the range that holds the true share, and the limit.

use super::chart::{GRID, LINES, ONSET, SIZE, TEXT};
use crate::store::ota::TestLine;
use maud::{Markup, PreEscaped, html};
use plotters::prelude::*;

pub(super) fn render(test: &TestLine) -> Markup {
    html! {
        h3 { (title(test.metric.word())) }
        @if test.curve.len() < 2 {
            p class="quiet" { "Fewer than two observations yet." }
        } @else if let Ok(svg) = draw(test) {
            figure class="chart" {
                div role="img" aria-label={ (test.metric.word()) " by number of vehicles" } { (PreEscaped(svg)) }
                figcaption {
                    "By number of vehicles:"
                    span class="line s2" { "mean " (percent(test.mean)) }
                    span class="line s4" { "lies from " (percent(test.lower)) " to " (percent(test.upper)) }
                    span class="line onset" { "limit " (percent(test.limit)) }
                }
            }
        } @else { p class="quiet" { "The chart could not be drawn." } }
    }
}

fn title(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn percent(share: f64) -> String {
    super::page::minus(&format!("{:.2} %", share * 100.0))
}

fn draw(test: &TestLine) -> Result<String, Box<dyn std::error::Error>> {
    let last = test.curve.last().map_or(1.0, |point| point[0]).max(2.0);
    // Early ranges span everything; the limit and the newest range are what one wants to see.
    let top = (test.limit * 2.5).max(test.upper * 1.3).clamp(0.01, 1.0);
    let bottom = test.lower.min(test.mean).clamp(-1.0, 0.0);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .margin_right(40)
            .x_label_area_size(34)
            .y_label_area_size(70)
            .build_cartesian_2d(1.0..last, bottom..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .x_labels(8)
            .x_label_formatter(&|n| format!("{n:.0}"))
            .y_labels(5)
            .y_label_formatter(&|share| format!("{:.1} %", share * 100.0))
            .label_style(("sans-serif", 20).into_font().color(&TEXT))
            .draw()?;
        let line = |at: usize| test.curve.iter().map(move |point| (point[0], point[at].clamp(bottom, top)));
        chart.draw_series(LineSeries::new(
            [(1.0, test.limit.min(top)), (last, test.limit.min(top))],
            ONSET.stroke_width(2),
        ))?;
        for (at, colour) in [(2, LINES[3]), (3, LINES[3]), (1, LINES[1])] {
            chart.draw_series(LineSeries::new(line(at), colour.stroke_width(3)))?;
        }
        area.present()?;
    }
    Ok(svg)
}
