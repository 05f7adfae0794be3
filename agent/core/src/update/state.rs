//! What is kept of a family's updates over a power cut. These types are the state file's: their order is its format
//! (see [`super::codec`]).

use serde::{Deserialize, Serialize};
use std::fmt;
use telltale_wire::bundle::BundleName;
use telltale_wire::digest::Digest;
use telltale_wire::update::{UpdateReason, UpdateStep};

/// The most releases that are remembered as bad; the oldest is forgotten first. The floor forbids them anyway once a
/// newer one is committed.
pub const MAX_BAD: usize = 16;

/// One release of a family, named exactly by its bundle's index.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Release {
    /// Its number within the family, from 1.
    pub number: u32,
    /// Its version, for people.
    pub version: String,
    /// The digest of its bundle's index.
    pub bundle: Digest,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "release {}", self.number)?;
        if self.version.is_empty() { Ok(()) } else { write!(f, " ({})", self.version) }
    }
}

/// One of the two places for a bundle.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// Both.
    pub const BOTH: [Slot; 2] = [Slot::A, Slot::B];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Slot {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }

    /// Its letter in file names.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Slot::A => 'a',
            Slot::B => 'b',
        }
    }
}

/// Where a model is loaded from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Place {
    /// The folder that the configuration names: the last resort, which no update touches.
    Factory,
    /// A bundle of an update.
    Slot(Slot),
}

/// Where an update stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum State {
    /// Verified metadata offers it, and its index fits this vehicle.
    Offered,
    /// Its chunks are being fetched.
    Downloading,
    /// All of it is held.
    Staged,
    /// It passed its self-test.
    SelfTested,
    /// It runs beside the active model.
    Shadow,
    /// It is active on trial.
    Trial,
    /// It is the last known good one.
    Committed,
    /// The one before is active again.
    RolledBack(UpdateReason),
    /// It was not taken.
    Refused(UpdateReason),
}

impl State {
    /// Whether the update is under way.
    #[must_use]
    pub const fn is_open(self) -> bool {
        match self {
            State::Offered
            | State::Downloading
            | State::Staged
            | State::SelfTested
            | State::Shadow
            | State::Trial => true,
            State::Committed | State::RolledBack(_) | State::Refused(_) => false,
        }
    }

    /// Whether being in it means that the candidate's code runs, or is about to.
    #[must_use]
    pub const fn executes(self) -> bool {
        matches!(self, State::Staged | State::Shadow | State::Trial)
    }

    /// How a record calls it.
    #[must_use]
    pub const fn step(self) -> (UpdateStep, Option<UpdateReason>) {
        match self {
            State::Offered => (UpdateStep::Offered, None),
            State::Downloading => (UpdateStep::Downloading, None),
            State::Staged => (UpdateStep::Staged, None),
            State::SelfTested => (UpdateStep::SelfTested, None),
            State::Shadow => (UpdateStep::Shadow, None),
            State::Trial => (UpdateStep::Trial, None),
            State::Committed => (UpdateStep::Committed, None),
            State::RolledBack(why) => (UpdateStep::RolledBack, Some(why)),
            State::Refused(why) => (UpdateStep::Refused, Some(why)),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step() {
            (step, None) => write!(f, "{step}"),
            (step, Some(why)) => write!(f, "{step}: {why}"),
        }
    }
}

/// How far a shadow run or a trial has come, over all starts of the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Windows that both models judged.
    pub windows: u64,
    /// Verdicts compared.
    pub compared: u64,
    /// Verdicts that differ.
    pub differ: u64,
    /// Seconds that both ran.
    pub ran_s: u64,
}

impl Progress {
    pub(super) const fn plus(self, more: Progress) -> Progress {
        Progress {
            windows: self.windows.saturating_add(more.windows),
            compared: self.compared.saturating_add(more.compared),
            differ: self.differ.saturating_add(more.differ),
            ran_s: self.ran_s.saturating_add(more.ran_s),
        }
    }
}

/// The latest update of a family: under way, or how it ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Update {
    /// What it brings.
    pub release: Release,
    /// Where it is kept.
    pub slot: Slot,
    /// Where it stands.
    pub state: State,
    /// How often its code was let run in this state, counted before each time.
    pub attempts: u8,
    /// How far the state has come, as of the latest checkpoint.
    pub progress: Progress,
}

/// A release that failed here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bad {
    /// Its number.
    pub number: u32,
    /// The digest of its bundle's index.
    pub bundle: Digest,
    /// How it failed.
    pub reason: UpdateReason,
}

/// Everything that is kept of a family.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// The family.
    pub family: BundleName,
    /// The last known good model. While a candidate is on trial this is not what speaks.
    pub active: Place,
    /// What the slots hold, whole and verified.
    pub slots: [Option<Release>; 2],
    /// The latest update.
    pub update: Option<Update>,
    /// The highest release that was committed; nothing below it is taken.
    pub floor: u32,
    /// Releases that failed here, the oldest first; at most [`MAX_BAD`].
    pub bad: Vec<Bad>,
    /// Whether the family stays where it is.
    pub is_pinned: bool,
}

impl Kept {
    /// A family of which nothing is known: the configured model runs.
    #[must_use]
    pub const fn new(family: BundleName) -> Kept {
        Kept {
            family,
            active: Place::Factory,
            slots: [None, None],
            update: None,
            floor: 0,
            bad: Vec::new(),
            is_pinned: false,
        }
    }

    /// What a slot holds.
    #[must_use]
    pub const fn slot(&self, slot: Slot) -> Option<&Release> {
        let [a, b] = &self.slots;
        match slot {
            Slot::A => a.as_ref(),
            Slot::B => b.as_ref(),
        }
    }

    pub(super) const fn slot_mut(&mut self, slot: Slot) -> &mut Option<Release> {
        let [a, b] = &mut self.slots;
        match slot {
            Slot::A => a,
            Slot::B => b,
        }
    }

    /// The last known good release; `None` for the configured model.
    #[must_use]
    pub const fn active_release(&self) -> Option<&Release> {
        match self.active {
            Place::Factory => None,
            Place::Slot(slot) => self.slot(slot),
        }
    }

    /// The update that is under way.
    #[must_use]
    pub fn open(&self) -> Option<&Update> {
        self.update.as_ref().filter(|update| update.state.is_open())
    }

    /// The bundles whose chunks are still needed, with their slots.
    pub fn needed(&self) -> impl Iterator<Item = (Slot, &Release)> {
        let held = Slot::BOTH.into_iter().filter_map(|slot| Some((slot, self.slot(slot)?)));
        let coming = self.open().map(|update| (update.slot, &update.release));
        let coming = coming.filter(|(slot, _)| self.slot(*slot).is_none());
        held.chain(coming)
    }
}
