//! How far what a vehicle's models are fed has come from what they were trained on.

use super::page::{count, when};
use crate::drift::DriftLine;
use maud::{Markup, html};

/// Rows on the page; the JSON answer has more.
const ROWS: usize = 20;

/// Nothing where no model tells of drift.
pub(super) fn render(drift: &[DriftLine]) -> Markup {
    let drifted = drift.iter().filter(|line| line.severity != "none");
    let shown: Vec<&DriftLine> = drifted.collect();
    html! {
        @if !drift.is_empty() {
            section class="card scroll" id="drift" {
                h2 { "Drift" }
                @if shown.is_empty() {
                    p class="quiet" { "None: " (count(drift.len() as u64)) " inputs and horizons lie as the training did." }
                } @else {
                    table {
                        caption class="quiet" { "Inputs beyond what the training's vehicles differed by, the worst first. Verdicts on them rest on less." }
                        thead {
                            tr {
                                th scope="col" { "Input" } th scope="col" { "Severity" } th scope="col" { "Horizon" }
                                th scope="col" class="n" { "Index" } th scope="col" class="n" { "moderate from" }
                                th scope="col" class="n" { "Never seen" } th scope="col" { "Since" } th scope="col" { "Model" }
                            }
                        }
                        tbody { @for line in shown.iter().take(ROWS) { (row(line)) } }
                    }
                }
            }
        }
    }
}

fn row(line: &DriftLine) -> Markup {
    html! {
        tr {
            th scope="row" { (line.input) }
            td { span class="warn" { (line.severity) } }
            td { (line.horizon) }
            td class="n" { (format!("{:.2}", line.index)) }
            td class="n" { (format!("{:.2}", line.limit)) }
            td class="n" { (format!("{:.0} %", line.outside * 100.0)) }
            td { (when(&line.when)) }
            td { (line.model) " " span class="quiet" { (line.digest) } }
        }
    }
}
