//! A sequential test as an SVG: the mean of what was observed, the range that holds the true share, and the limit.

use super::plot::{Across, Plot, Runs};
use crate::store::ota::TestLine;
use maud::{Markup, PreEscaped, html};

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
    let line = |at: usize| -> Runs {
        vec![test.curve.iter().map(|point| (point[0], point[at].clamp(bottom, top))).collect()]
    };
    let limit = test.limit.min(top);
    let plot = Plot {
        across: Across::Count(1.0, last),
        values: (bottom, top),
        label: (|share| format!("{:.1} %", share * 100.0), 70),
        marks: vec![[(1.0, limit), (last, limit)]],
        lines: vec![(1, line(1)), (3, line(3)), (3, line(2))],
    };
    plot.svg()
}
