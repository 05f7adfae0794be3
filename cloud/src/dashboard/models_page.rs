//! `/models` and `/model/FAMILY/NAME-RELEASE.index`: the registry, and one model with its lineage.

use super::page::{Frame, bytes, count, time};
use crate::store::ota::{AuditLine, ModelLine};
use maud::{Markup, html};
use telltale_wire::time::WallTime;

pub(super) fn list(models: &[ModelLine], now: WallTime, live: bool) -> Markup {
    let main = html! {
        h1 { "Models" }
        @if models.is_empty() {
            section class="card" {
                h2 { "No model has been imported yet" }
                p { "Build a bundle, import it, and let a second person approve it:" }
                pre { code { "telltale bundle build models/cell-fault\ntelltale-cloud model import --db fleet.db --by ann DIR" } }
            }
        } @else {
            div class="card scroll" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Model" } th scope="col" { "Version" } th scope="col" { "State" }
                            th scope="col" { "Author" } th scope="col" { "Approved by" } th scope="col" { "Imported" }
                            th scope="col" class="n" { "Size" }
                        }
                    }
                    tbody { @for model in models { (row(model)) } }
                }
            }
        }
    };
    Frame { title: "Models", trail: "", json: "/api/models", now, live }.render(&main)
}

fn row(model: &ModelLine) -> Markup {
    html! {
        tr {
            th scope="row" { a href={ "/model/" (model.path) } { (model.path) } }
            td { (model.version) }
            td { (state(model)) }
            td { (model.author) }
            td { @if let Some(approver) = &model.approver { (approver) } @else { span class="quiet" { "nobody yet" } } }
            td { (time(&model.imported)) br; span class="quiet" { "by " (model.publisher) } }
            td class="n" { (bytes(model.bytes)) }
        }
    }
}

fn state(model: &ModelLine) -> Markup {
    let class = match model.state {
        "approved" => "nominal",
        "revoked" => "revoked",
        _ => "plain",
    };
    html! { span class={ "badge " (class) } { (model.state) } }
}

pub(super) fn one(model: &ModelLine, now: WallTime, live: bool) -> Markup {
    let facts = [
        ("Release", count(u64::from(model.release))),
        ("Version", model.version.clone()),
        ("Author", model.author.clone()),
        ("Imported by", model.publisher.clone()),
        ("Approved by", model.approver.clone().unwrap_or_else(|| "nobody yet".into())),
        ("Size", bytes(model.bytes)),
        ("Hardware", model.hardware.join(", ")),
        ("Oldest agent", model.min_agent.clone()),
        ("Latency budget", format!("{} us", count(u64::from(model.latency_us)))),
        ("Memory budget", bytes(u64::from(model.memory_bytes))),
    ];
    let main = html! {
        div class="head" { h1 { (model.path) } (state(model)) }
        dl class="facts" { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } }
        section class="card scroll" {
            h2 { "Where it comes from" }
            @if model.lineage.is_empty() { p class="quiet" { "The bundle says nothing of its origin." } } @else {
                table class="list" {
                    tbody { @for (name, value) in &model.lineage { tr { th scope="row" { (name) } td { (value) } } } }
                }
            }
            p class="quiet" { "Index " (model.digest) br; "Features " (model.features) }
        }
        @if !model.card.is_empty() { details class="card" { summary { "Model card" } pre { (model.card) } } }
        (decisions(&model.audit))
    };
    let json = format!("/api/model/{}", model.path);
    Frame { title: &model.path, trail: &model.path, json: &json, now, live }.render(&main)
}

/// Who decided what, when and why.
pub(super) fn decisions(audit: &[AuditLine]) -> Markup {
    html! {
        section class="card scroll" {
            h2 { "Decisions" }
            @if audit.is_empty() { p class="quiet" { "None." } } @else {
                table {
                    thead { tr { th scope="col" { "Time" } th scope="col" { "What" } th scope="col" { "Who" } th scope="col" { "Why" } } }
                    tbody {
                        @for line in audit {
                            tr {
                                td { (time(&line.at)) }
                                td { (line.act) @if let Some(wave) = line.wave { " " (count(wave.unsigned_abs())) } }
                                td { (line.who) }
                                td { (line.why) }
                            }
                        }
                    }
                }
            }
        }
    }
}
