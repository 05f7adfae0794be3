//! What the cloud wants besides models: commands out of the file that the director signed for this vehicle. Each is
//! carried out and acknowledged; that it was is kept after the acknowledgement is durable, so that a power cut in
//! between has it carried out and acknowledged again, never lost. None reaches a bus.

use super::worker::Ties;
use crate::{logging, state};
use std::path::PathBuf;
use std::time::Duration;
use telltale_core::snapshot::{SnapshotRequest, Triggered};
use telltale_core::update::Event;
use telltale_wire::bundle::BundleName;
use telltale_wire::command::{CommandAck, CommandOutcome};
use telltale_wire::desired::{
    Command, DesiredError, DesiredState, Feature, FeatureSwitch, Installed, LogLevel, Pin, RawCommand,
    Rollback, SnapshotNow,
};
use telltale_wire::record::Record;
use telltale_wire::time::WallTime;

/// What was dealt with, over starts: `version id updates-on`.
pub(super) struct Commands {
    file: PathBuf,
    version: u64,
    through: u64,
    /// Whether updates are taken.
    pub(super) updates_on: bool,
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
        let (version, through, updates) = (number(), number(), number());
        if !text.is_empty() && updates.is_none() {
            log::warn!("{} is damaged: commands may be carried out again", file.display());
        }
        let (version, through) = (version.unwrap_or(0), through.unwrap_or(0));
        Commands { file, version, through, updates_on: updates != Some(0) }
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
        let text = format!("{} {} {}\n", self.version, self.through, u8::from(self.updates_on));
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
            Ok(Command::Feature(FeatureSwitch { feature: Feature::Updates, on })) => {
                self.updates_on = on;
                done()
            }
            Ok(Command::Feature(FeatureSwitch { feature, .. })) => {
                let why = format!("this agent can't switch {}: its configuration does", feature.name());
                (CommandOutcome::Refused, why)
            }
            Ok(Command::Pin(Pin { family, pinned })) => models(ties, &family, Event::Pin(pinned)),
            Ok(Command::Rollback(Rollback { family, release })) => {
                models(ties, &family, Event::RollBack(Some(release)))
            }
            Ok(Command::Catalog(Installed { digest })) => {
                let found = ties.reloader.catalog.lock().await.digest();
                if found == digest { done() } else { refused(&format!("the catalog {found} is installed")) }
            }
            Ok(Command::Campaign(_)) => refused("this agent runs no campaigns"),
            Err(DesiredError::UnknownKind(kind)) => (CommandOutcome::Unknown, format!("kind {kind}")),
            Err(error) => (CommandOutcome::Refused, error.to_string()),
        }
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
        assert_eq!((commands.version, commands.through, commands.updates_on), (0, 0, true));
        (commands.version, commands.through, commands.updates_on) = (7, 300, false);
        commands.keep();
        let again = Commands::open(file.clone());
        assert_eq!((again.version, again.through, again.updates_on), (7, 300, false));
        std::fs::write(&file, "7 x").unwrap();
        let damaged = Commands::open(file);
        assert_eq!((damaged.through, damaged.updates_on), (0, true), "again is better than never");
    }
}
