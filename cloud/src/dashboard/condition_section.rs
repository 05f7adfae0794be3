//! The condition of the drive: the latest level of each quantity with its interval, and how many were told.

use super::page::{count, when};
use crate::report::EstimateLine;
use maud::{Markup, html};

/// Nothing where nothing is followed. The lines are the latest first.
pub(super) fn render(estimates: &[EstimateLine]) -> Markup {
    let mut quantities: Vec<&'static str> = estimates.iter().map(|line| line.quantity).collect();
    quantities.sort_unstable();
    quantities.dedup();
    html! {
        @if !estimates.is_empty() {
            section class="card scroll" id="condition" {
                h2 { "Condition of the drive" }
                table {
                    caption class="quiet" { "Levels of the latest observations with the interval that holds them in nine of ten cases" }
                    thead {
                        tr {
                            th scope="col" { "Quantity" } th scope="col" class="n" { "Level" } th scope="col" class="n" { "Interval" }
                            th scope="col" { "As of" } th scope="col" class="n" { "Told" } th scope="col" { "By" }
                        }
                    }
                    tbody { @for quantity in quantities { (row(quantity, estimates)) } }
                }
            }
        }
    }
}

fn row(quantity: &str, estimates: &[EstimateLine]) -> Markup {
    let of: Vec<&EstimateLine> = estimates.iter().filter(|line| line.quantity == quantity).collect();
    html! {
        @if let Some(newest) = of.first() {
            @let subject = newest.subjects.first();
            @let number = |value: Option<f32>| value.map_or_else(|| "no data".to_owned(), |value| format!("{value:.4}"));
            tr {
                th scope="row" { (quantity) }
                td class="n" {
                    @match subject.and_then(|subject| subject.value) {
                        Some(value) => { (number(Some(value))) " " (newest.unit) },
                        None => { (subject.and_then(|subject| subject.reason).unwrap_or("no data")) },
                    }
                }
                td class="n" { @if let Some(subject) = subject { (number(subject.low)) " to " (number(subject.high)) " " (newest.unit) } }
                td { (when(&newest.when)) }
                td class="n" { (count(of.len() as u64)) }
                td { (newest.model) br; span class="quiet" { (newest.digest) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{SubjectEstimateLine, When};

    #[test]
    fn each_quantity_stands_once_with_its_latest_level_and_unit() {
        let line = |quantity, value: Option<f32>| EstimateLine {
            when: When { at: "2026-01-01T10:00:00Z".into(), clock: "vehicle", mono_s: 1.0, unix_us: 1 },
            boot: "1-1".into(),
            model: "<b>condition</b>".into(),
            digest: "0001020304050607".into(),
            quantity,
            unit: "ohm",
            coverage: Some(0.9),
            subjects: vec![SubjectEstimateLine {
                name: "Contactors1".into(),
                value,
                low: value.map(|v| v - 0.001),
                high: value.map(|v| v + 0.001),
                reason: value.is_none().then_some("warming up"),
                resistance_ohm: None,
            }],
        };
        let lines = [line("a", Some(0.06)), line("b", None), line("a", Some(0.01))];
        let page = render(&lines).into_string();
        assert!(page.contains("0.0600 ohm") && page.contains("0.0590 to 0.0610 ohm"), "{page}");
        assert!(!page.contains("0.0100") && page.contains("warming up"), "{page}");
        assert!(!page.contains("<b>condition"), "{page}");
        assert_eq!(render(&[]).into_string(), "");
    }
}
