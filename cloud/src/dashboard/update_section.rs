//! The part of a vehicle's page on its models and their updates: what it runs, what it is to have, what it was told.

use super::page;
use crate::store::Store;
use crate::store::ota::{CommandLine, InstalledLine, OtaError, ShadowLine};
use maud::{Markup, html};
use telltale_wire::ids::VehicleId;
use telltale_wire::time::WallTime;

/// Commands on the page; the command line lists more.
const ROWS: usize = 20;

/// What is known of a vehicle's updates.
pub(super) struct Updates {
    installed: Vec<InstalledLine>,
    wanted: Vec<String>,
    commands: Vec<CommandLine>,
}

impl Updates {
    pub(super) async fn of(store: &Store, vehicle: &str, now: WallTime) -> Result<Self, OtaError> {
        let wanted = match VehicleId::new(vehicle) {
            Ok(vehicle) => store.wanted(&vehicle, now).await?,
            Err(_) => None,
        };
        Ok(Self {
            installed: store.installed(vehicle).await?,
            wanted: wanted.map(|wanted| wanted.paths().map(str::to_owned).collect()).unwrap_or_default(),
            commands: store.commands(vehicle, now).await?,
        })
    }
}

/// Nothing where nothing was ever sent or told.
pub(super) fn render(updates: &Updates) -> Markup {
    let Updates { installed, wanted, commands } = updates;
    html! {
        @if !(installed.is_empty() && wanted.is_empty() && commands.is_empty()) {
            section class="card scroll" {
                h2 { "Updates over the air" }
                p {
                    @if wanted.is_empty() { "No rollout offers it a model." } @else { "It is offered " }
                    @for (index, path) in wanted.iter().enumerate() {
                        @if index > 0 { ", " } a href={ "/model/" (path) } { (path) }
                    }
                }
                @if installed.is_empty() { p class="quiet" { "It has told of no update." } } @else { (table(installed)) }
                @if !commands.is_empty() { (command_table(commands)) }
            }
        }
    }
}

fn table(installed: &[InstalledLine]) -> Markup {
    html! {
        table {
            caption class="quiet" { "Its models, by what it told last" }
            thead {
                tr {
                    th scope="col" { "Family" } th scope="col" class="n" { "Active release" } th scope="col" { "Newest step" }
                    th scope="col" { "Reason" } th scope="col" { "Beside the active model" } th scope="col" { "Received" }
                }
            }
            tbody {
                @for line in installed {
                    tr {
                        th scope="row" { (line.family) }
                        td class="n" { @if let Some(release) = line.committed { (release) } @else { span class="quiet" { "not told" } } }
                        td { (line.step) ", release " (line.release) " " span class="quiet" { (line.version) } }
                        td { @if line.reason.is_empty() { span class="quiet" { "none" } } @else { (line.reason) } }
                        td { @if let Some(shadow) = &line.shadow { (beside(shadow)) } @else { span class="quiet" { "no report" } } }
                        td { (page::time(&line.received)) }
                    }
                }
            }
        }
    }
}

fn beside(shadow: &ShadowLine) -> Markup {
    let count = |number: i64| page::count(number.unsigned_abs());
    html! {
        (count(shadow.differed)) " of " (count(shadow.compared)) " verdicts differ, " (count(shadow.failed))
        " runs failed, p99 " (count(shadow.p99_us)) " us"
        span class="quiet" { @if shadow.is_trial { " on trial" } @else { " in shadow" } }
    }
}

fn command_table(commands: &[CommandLine]) -> Markup {
    html! {
        table {
            caption class="quiet" { "Commands, the newest first" }
            thead {
                tr {
                    th scope="col" class="n" { "No." } th scope="col" { "What" } th scope="col" { "Asked" }
                    th scope="col" { "Why" } th scope="col" { "Outcome" }
                }
            }
            tbody {
                @for line in commands.iter().take(ROWS) {
                    tr {
                        td class="n" { (line.id) }
                        td { (line.what) }
                        td { (line.who) br; span class="quiet" { (page::time(&line.created)) } }
                        td { (line.why) }
                        td { b { (line.outcome) } @if !line.told.is_empty() { ": " (line.told) } }
                    }
                }
            }
        }
    }
}
