//! What the cloud wants besides models: commands out of the file that the director signed for this vehicle. Each is
//! carried out and acknowledged; that it was is kept after the acknowledgement is durable, so that a power cut in
//! between has it carried out and acknowledged again, never lost.
//!
//! None reaches an actuator: what a command can touch is what [`Ties`] holds, and no source is among it; and none of the
//! vehicle's programs sends a frame at all (`cargo xtask tidy`, rule `listens-only`).

use super::outlook::Outlook;
use super::switches::Switches;
use super::worker::Ties;
use crate::config::UpdateSettings;
use crate::{logging, state};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use telltale_core::snapshot::{SnapshotRequest, Triggered};
use telltale_core::update::Event;
use telltale_wire::bundle::BundleName;
use telltale_wire::command::{CommandAck, CommandOutcome};
use telltale_wire::desired::{
    Ahead, Command, DesiredError, DesiredState, Feature, FeatureSwitch, Installed, LogLevel, ModelSwitch,
    Pin, RawCommand, Rollback, SnapshotNow,
};
use telltale_wire::record::Record;
use telltale_wire::time::WallTime;

/// What was dealt with, over starts: `version id 1`, a line `off THING` for each thing that is switched off, and a line
/// `ahead ...` while the range is foretold with what the fleet says.
pub(super) struct Commands {
    file: PathBuf,
    version: u64,
    through: u64,
    /// What is switched off.
    pub(super) switches: Switches,
    outlook: Outlook,
}

/// Where that is kept.
pub(super) fn commands_file(settings: &UpdateSettings) -> PathBuf {
    settings.dir.join("desired")
}

type Outcome = (CommandOutcome, String);

impl Commands {
    /// What is kept of earlier starts.
    pub(super) fn open(file: PathBuf) -> Commands {
        let kept = state::read_file(&file).unwrap_or_else(|error| {
            log::warn!("which commands were dealt with is not known: {error}");
            None
        });
        let text = kept.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let mut words = text.split_whitespace();
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (version, through, whole) = (number(), number(), number());
        if !text.is_empty() && whole.is_none() {
            log::warn!("{} is damaged: commands may be carried out again", file.display());
        }
        let (version, through) = (version.unwrap_or(0), through.unwrap_or(0));
        let (switches, outlook) = (Switches::read(&text), Outlook::read(&text));
        Commands { file, version, through, switches, outlook }
    }

    /// Whether updates are taken.
    pub(super) fn updates_on(&self) -> bool {
        self.switches.is_on(Feature::Updates)
    }

    /// Takes a file, verified. `now` is the time that the metadata was believed under.
    pub(super) async fn take(&mut self, bytes: &[u8], now: WallTime, ties: &Ties) {
        let desired = match DesiredState::read(bytes) {
            Ok(desired) => desired,
            Err(error) => return log::error!("what the cloud wants can't be read: {error}"),
        };
        let stale = (desired.version < self.version).then_some(CommandOutcome::Superseded);
        let over = (desired.expires <= now).then_some(CommandOutcome::Expired);
        let through = self.through;
        for command in desired.commands.iter().filter(|command| command.id > through) {
            let (outcome, why) = match stale.or(over) {
                Some(CommandOutcome::Superseded) => {
                    (CommandOutcome::Superseded, format!("version {} was taken before", self.version))
                }
                Some(outcome) => (outcome, format!("the whole file ended at {}", desired.expires)),
                None => self.obey(command, now, ties).await,
            };
            log::info!("command {}: {outcome}{}{why}", command.id, if why.is_empty() { "" } else { ": " });
            let at = (ties.clock)();
            let ack = CommandAck { at, desired_state: desired.version, id: command.id, outcome, why };
            ties.store.append(at, Record::Command(ack));
        }
        let highest = desired.commands.iter().map(|command| command.id).max().unwrap_or(0);
        self.through = self.through.max(highest);
        self.version = self.version.max(desired.version);
        // Without the acknowledgement on the disk the cloud would wait for ever.
        if ties.store.flush().await.is_ok() {
            self.keep();
        }
    }

    fn keep(&self) {
        let lines = self.switches.lines() + &self.outlook.line();
        let text = format!("{} {} 1\n{lines}", self.version, self.through);
        if let Err(error) = state::replace_file(&self.file, text.as_bytes()) {
            log::warn!("after a restart commands may be carried out again: {error}");
        }
    }

    async fn obey(&mut self, raw: &RawCommand, now: WallTime, ties: &Ties) -> Outcome {
        if raw.expires <= now {
            return (CommandOutcome::Expired, format!("at {}", raw.expires));
        }
        match raw.parse() {
            Ok(Command::LogLevel(LogLevel { filter })) => match logging::change(&filter) {
                Ok(()) => done(),
                Err(error) => (CommandOutcome::Refused, error.to_string()),
            },
            Ok(Command::Snapshot(order)) => snapshot(order, ties).await,
            Ok(Command::Feature(switch)) => self.switch_feature(switch, ties).await,
            Ok(Command::Model(switch)) => self.switch_model(switch, ties).await,
            Ok(Command::Ahead(ahead)) => self.look_ahead(ahead, now, ties).await,
            Ok(Command::Pin(Pin { family, pinned })) => models(ties, &family, Event::Pin(pinned)),
            Ok(Command::Rollback(Rollback { family, release })) => {
                models(ties, &family, Event::RollBack(Some(release)))
            }
            Ok(Command::Catalog(Installed { digest })) => {
                let found = ties.reloader.catalog.lock().await.catalog.digest();
                if found == digest { done() } else { refused(&format!("the catalog {found} is installed")) }
            }
            Ok(Command::Campaign(Installed { digest })) => {
                match ties.reloader.catalog.lock().await.campaign {
                    Some(found) if found == digest => {}
                    Some(found) => return refused(&format!("the campaign {found} is installed")),
                    None => return refused("no campaign is installed"),
                }
                self.switch_feature(FeatureSwitch { feature: Feature::Campaign, on: true }, ties).await
            }
            Err(DesiredError::UnknownKind(kind)) => (CommandOutcome::Unknown, format!("kind {kind}")),
            Err(error) => (CommandOutcome::Refused, error.to_string()),
        }
    }
}

impl Commands {
    async fn switch_feature(&mut self, switch: FeatureSwitch, ties: &Ties) -> Outcome {
        let is_campaign = switch.feature == Feature::Campaign;
        self.switches.set_feature(switch);
        ties.depot.set_switches(self.switches.clone());
        // What a loop collects is settled when it is made.
        let rearranged = match is_campaign {
            true => {
                ties.reloader.rearrange(Arc::clone(&ties.depot)).await.map_err(|error| format!("{error:#}"))
            }
            false => self.tell_loop(ties).await,
        };
        switched(rearranged)
    }

    async fn switch_model(&mut self, switch: ModelSwitch, ties: &Ties) -> Outcome {
        let outline = Arc::clone(&ties.reloader.catalog.lock().await.outline);
        if !switch.on && outline.models.iter().all(|model| model.model.name != switch.model) {
            return refused(&format!("no model {} runs", switch.model));
        }
        if let Err(why) = self.switches.set_model(switch) {
            return refused(&why);
        }
        ties.depot.set_switches(self.switches.clone());
        switched(self.tell_loop(ties).await)
    }

    async fn look_ahead(&mut self, ahead: Ahead, now: WallTime, ties: &Ties) -> Outcome {
        if ahead.until <= now {
            return (CommandOutcome::Expired, format!("at {}", ahead.until));
        }
        let mut outlook = Outlook::default();
        outlook.set(ahead);
        let told = ties.post.look_ahead(outlook.at(now)).await;
        if told == Ok(false) {
            return refused("no range is estimated: `[range]` is not configured");
        }
        self.outlook = outlook;
        switched(told.map(|_| ()).map_err(|error| error.to_string()))
    }

    /// Goes on with what an earlier start was told is ahead. Without the time of day nobody knows whether that has ended.
    pub(super) async fn resume(&self, ties: &Ties) {
        let ahead = (ties.clock)().wall.and_then(|now| self.outlook.at(now));
        if ahead.is_some()
            && let Err(error) = ties.post.look_ahead(ahead).await
        {
            log::warn!("the range is foretold without what the cloud said is ahead: {error}");
        }
    }

    async fn tell_loop(&self, ties: &Ties) -> Result<(), String> {
        ties.post.switch(self.switches.of_the_loop()).await.map_err(|error| error.to_string())
    }
}

/// A switch that the loop did not take now holds from the next start on.
fn switched(told: Result<(), String>) -> Outcome {
    match told {
        Ok(()) => done(),
        Err(why) => (CommandOutcome::Done, format!("from the next start on: {why}")),
    }
}

fn done() -> Outcome {
    (CommandOutcome::Done, String::new())
}

fn refused(why: &str) -> Outcome {
    (CommandOutcome::Refused, why.to_owned())
}

fn models(ties: &Ties, family: &str, event: Event) -> Outcome {
    let Ok(name) = BundleName::new(family) else { return refused("no such family") };
    match ties.depot.handle(&name, event) {
        Ok(()) => done(),
        Err(error) => refused(&error.to_string()),
    }
}

async fn snapshot(order: SnapshotNow, ties: &Ties) -> Outcome {
    let span = |ms: u32| Some(Duration::from_millis(u64::from(ms)));
    let request =
        SnapshotRequest { before: span(order.before_ms), after: span(order.after_ms), signals: Vec::new() };
    match ties.post.snapshot(order.why, request).await {
        Ok(Triggered::Begun(_) | Triggered::Merged(_)) => done(),
        Ok(Triggered::Suppressed) => refused("there were as many within the hour as may be"),
        Ok(Triggered::Off) => refused("snapshots are turned off"),
        Ok(Triggered::UnknownSignal(signal)) => refused(&format!("no signal {signal}")),
        Err(error) => (CommandOutcome::Failed, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dealt_with_outlives_the_agent() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("desired");
        let mut commands = Commands::open(file.clone());
        assert_eq!((commands.version, commands.through, commands.updates_on()), (0, 0, true));
        (commands.version, commands.through) = (7, 300);
        commands.switches.set_feature(FeatureSwitch { feature: Feature::Updates, on: false });
        commands.keep();
        let again = Commands::open(file.clone());
        assert_eq!((again.version, again.through, again.updates_on()), (7, 300, false));
        std::fs::write(&file, "7 x").unwrap();
        let damaged = Commands::open(file);
        assert_eq!((damaged.through, damaged.updates_on()), (0, true), "again is better than never");
    }
}
