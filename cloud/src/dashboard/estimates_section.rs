//! What a vehicle's models estimate: charge by charge, the subject that has least beside the middle one.

use super::page::{count, when};
use crate::report::{EstimateLine, SubjectEstimateLine};
use maud::{Markup, html};

/// Charges in the table; the JSON answer has more.
const ROWS: usize = 20;

/// Nothing where no model estimates.
pub(super) fn render(estimates: &[EstimateLine]) -> Markup {
    html! {
        @if let Some(newest) = estimates.first() {
            section class="card scroll" id="estimates" {
                h2 { "State of health" " " small class="quiet" { (newest.model) " " (newest.digest) } }
                (in_short(newest))
                table {
                    caption class="quiet" { "One row a charge, the latest first. Shares of the nominal capacity." }
                    thead {
                        tr {
                            th scope="col" { "End of the charge" } th scope="col" { "Least" } th scope="col" class="n" { "of" }
                            th scope="col" class="n" { "Interval" } th scope="col" class="n" { "Middle subject" }
                            th scope="col" class="n" { "Resistance, mOhm" } th scope="col" { "Without a number" } th scope="col" { "Model" }
                        }
                    }
                    tbody { @for line in estimates.iter().take(ROWS) { (row(line)) } }
                }
            }
        }
    }
}

fn in_short(line: &EstimateLine) -> Markup {
    html! {
        p {
            @match least(line) {
                Some((least, value)) => {
                    b { (least.name) } " has " b { (percent(Some(value))) } " of its nominal capacity"
                    @if let Some(coverage) = line.coverage {
                        ", between " (percent(least.low)) " and " (percent(least.high)) " in " (percent(Some(coverage))) " of such charges"
                    }
                    ". After the charge that ended " (when(&line.when)) "."
                },
                None => {
                    "Indeterminate: " (reasons(line)) ". After the charge that ended " (when(&line.when)) "."
                },
            }
        }
    }
}

fn row(line: &EstimateLine) -> Markup {
    let (least, values) = (least(line), values(line));
    html! {
        tr {
            td { (when(&line.when)) }
            th scope="row" { @match least { Some((least, _)) => (least.name), None => "none" } }
            td class="n" { (percent(least.map(|(_, value)| value))) }
            td class="n" { @if let Some((least, _)) = least { (percent(least.low)) " to " (percent(least.high)) } }
            td class="n" { (percent(middle(values))) }
            td class="n" { @match middle(resistances(line)) { Some(ohm) => (format!("{:.2}", ohm * 1e3)), None => "no data" } }
            td { @if without(line) > 0 { (count(without(line))) ": " (reasons(line)) } @else { "none" } }
            td { (line.model) br; span class="quiet" { "boot " (line.boot) } }
        }
    }
}

fn least(line: &EstimateLine) -> Option<(&SubjectEstimateLine, f32)> {
    let valued = line.subjects.iter().filter_map(|subject| Some((subject, subject.value?)));
    valued.min_by(|a, b| a.1.total_cmp(&b.1))
}

fn values(line: &EstimateLine) -> Vec<f32> {
    line.subjects.iter().filter_map(|subject| subject.value).collect()
}

fn resistances(line: &EstimateLine) -> Vec<f32> {
    line.subjects.iter().filter_map(|subject| subject.resistance_ohm).collect()
}

fn middle(mut values: Vec<f32>) -> Option<f32> {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied()
}

fn without(line: &EstimateLine) -> u64 {
    line.subjects.iter().filter(|subject| subject.value.is_none()).count() as u64
}

/// Every reason, once.
fn reasons(line: &EstimateLine) -> String {
    let mut reasons: Vec<&str> = line.subjects.iter().filter_map(|subject| subject.reason).collect();
    reasons.sort_unstable();
    reasons.dedup();
    if reasons.is_empty() { "no reason given".into() } else { reasons.join(", ") }
}

fn percent(share: Option<f32>) -> String {
    share.map_or_else(|| "no data".into(), |share| format!("{:.1} %", share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::When;

    fn subject(name: &str, value: Option<f32>) -> SubjectEstimateLine {
        SubjectEstimateLine {
            name: name.into(),
            value,
            low: value.map(|v| v - 0.03),
            high: value.map(|v| v + 0.03),
            reason: value.is_none().then_some("outside the training regime"),
            resistance_ohm: value.map(|_| 0.0021),
        }
    }

    fn line(subjects: Vec<SubjectEstimateLine>) -> EstimateLine {
        EstimateLine {
            when: When {
                at: "2026-01-01T10:00:00Z".into(),
                clock: "vehicle",
                mono_s: 1.0,
                unix_us: 1_767_261_600_000_000,
            },
            boot: "1-1".into(),
            model: "<b>soh</b>".into(),
            digest: "0001020304050607".into(),
            quantity: "state of health",
            unit: "",
            coverage: Some(0.9),
            subjects,
        }
    }

    #[test]
    fn the_least_subject_stands_first_and_absences_keep_their_reason() {
        let cells = vec![subject("Cell1", Some(0.91)), subject("Cell2", Some(0.84)), subject("Cell3", None)];
        let page = render(&[line(cells)]).into_string();
        let said =
            "<b>Cell2</b> has <b>84.0 %</b> of its nominal capacity, between 81.0 % and 87.0 % in 90.0 %";
        assert!(page.contains(said), "{page}");
        assert!(page.contains("2.10") && page.contains("1: outside the training regime"), "{page}");
        assert!(
            page.contains("&lt;b&gt;soh") && !page.contains("<b>soh"),
            "a vehicle's words are text: {page}"
        );
    }

    #[test]
    fn without_a_number_it_says_why_and_without_a_charge_nothing() {
        let page = render(&[line(vec![subject("Cell1", None)])]).into_string();
        assert!(page.contains("Indeterminate: outside the training regime"), "{page}");
        assert!(!page.contains("NaN"), "{page}");
        assert_eq!(render(&[]).into_string(), "");
    }
}
