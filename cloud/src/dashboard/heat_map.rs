//! Subjects as a heat map: each one's deviation from the reference, blue below and orange above.
//!
//! Colour never speaks alone: the number stands in each cell, an anomalous cell is framed and named, and what could
//! not be judged looks unlike anything that was.

use super::page::{class, minus};
use crate::report::{ModelView, State, SubjectView};
use maud::{Markup, html};

/// Colour steps on either side of "like the reference".
const STEPS: i32 = 4;
/// The widths that a step may have, in thousandths of the unit. Cells of a healthy pack differ by a few millivolts:
/// they look calm.
const WIDTHS: [i32; 8] = [5, 10, 20, 50, 100, 200, 500, 1_000];

pub(super) fn render(view: &ModelView) -> Markup {
    let width = step_width(&view.subjects);
    let unit = milli(view.unit);
    html! {
        ol class="heat" aria-label={ "Deviation from the reference, " (unit) } {
            @for subject in &view.subjects { (cell(subject, width, &unit)) }
        }
        (legend(width, &unit))
    }
}

fn cell(subject: &SubjectView, width: i32, unit: &str) -> Markup {
    let colour = subject.deviation_milli.map_or("none".to_owned(), |milli| colour(milli, width));
    let shown = subject.deviation_milli.map_or("–".to_owned(), signed);
    html! {
        li class={ "c " (colour) " " (class(subject.state)) } title=(describe(subject, unit)) {
            span class="nm" { (subject.name) @if subject.state == State::Anomalous { " " span class="flag" { "anomalous" } } }
            span class="dv" { (shown) @if subject.state == State::Indeterminate { " ?" } }
        }
    }
}

fn describe(subject: &SubjectView, unit: &str) -> String {
    let deviation =
        subject.deviation_milli.map_or("no value".to_owned(), |milli| format!("{} {unit}", signed(milli)));
    let score = subject.score.map_or("no score".to_owned(), |score| format!("score {score:.2}"));
    let why = subject.reason.map_or(String::new(), |reason| format!(" ({reason})"));
    format!("{}: {deviation}, {score}, {}{why}", subject.name, subject.state.word())
}

fn legend(width: i32, unit: &str) -> Markup {
    html! {
        p class="legend" {
            @for step in -STEPS..=STEPS {
                span class={ "key " (step_class(step)) } { (edge(step, width)) }
            }
            " " (unit) " from the reference"
            span class="key anomalous" { "anomalous" }
            span class="key indeterminate" { "? not judged" }
            span class="key nodata" { "– no data" }
        }
    }
}

/// The middle of a step, and that the outermost go on.
fn edge(step: i32, width: i32) -> String {
    let middle = match step * width {
        0 => "0".to_owned(),
        middle => minus(&format!("{middle:+}")),
    };
    match step.abs() {
        STEPS if step < 0 => format!("≤ {middle}"),
        STEPS => format!("≥ {middle}"),
        _ => middle,
    }
}

/// The narrowest step that leaves nine of ten subjects inside the scale, so that one outlier does not flatten all.
fn step_width(subjects: &[SubjectView]) -> i32 {
    let mut sizes: Vec<i32> = subjects
        .iter()
        .filter_map(|subject| subject.deviation_milli)
        .map(|milli| i32::from(milli).abs())
        .collect();
    sizes.sort_unstable();
    let usual = sizes.get(sizes.len() * 9 / 10).or(sizes.last()).copied().unwrap_or(0);
    WIDTHS.into_iter().find(|width| usual <= width * STEPS).unwrap_or(10_000)
}

fn colour(milli: i16, width: i32) -> String {
    let milli = i32::from(milli);
    let steps = (milli.abs() + width / 2) / width;
    step_class(steps.min(STEPS) * milli.signum())
}

fn step_class(step: i32) -> String {
    match step {
        0 => "d0".to_owned(),
        1.. => format!("p{step}"),
        _ => format!("m{}", -step),
    }
}

fn signed(milli: i16) -> String {
    if milli == 0 { "0".to_owned() } else { minus(&format!("{milli:+}")) }
}

/// A thousandth of a unit: mV for V.
fn milli(unit: &str) -> String {
    if unit.is_empty() { "thousandths".to_owned() } else { format!("m{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(milli: Option<i16>, state: State) -> SubjectView {
        SubjectView { name: "Cell1".into(), state, reason: None, deviation_milli: milli, score: None }
    }

    #[test]
    fn one_outlier_does_not_flatten_the_others() {
        let mut subjects: Vec<_> = (0..20).map(|n| subject(Some(n % 7 - 3), State::Nominal)).collect();
        subjects.push(subject(Some(-900), State::Anomalous));
        assert_eq!(step_width(&subjects), 5);
        assert_eq!([colour(-900, 5), colour(13, 5), colour(2, 5)], ["m4", "p3", "d0"]);
        assert_eq!(step_width(&[]), 5);
    }

    #[test]
    fn what_was_not_judged_says_so_in_words() {
        let missing = cell(&subject(None, State::NoData), 1, "mV").0;
        assert!(missing.contains("nodata") && missing.contains("no value, no score, no data"), "{missing}");
        let outlier = cell(&subject(Some(-84), State::Anomalous), 5, "mV").0;
        assert!(outlier.contains("−84") && outlier.contains("anomalous"), "{outlier}");
    }
}
