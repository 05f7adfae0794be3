//! What a person asks of the updates, over the control socket or offline, and what is told of them.

use super::depot::{Depot, DepotError};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use telltale_core::update::{Event, Family, Place, Release};
use telltale_wire::bundle::BundleName;
use tokio::sync::{mpsc, oneshot};

/// Orders that wait. One at a time is usual.
const MAX_ORDERS: usize = 8;

/// What can be asked of a family's updates.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelOrder {
    /// What is known of each.
    List,
    /// Stay at what runs, or follow again.
    Pin {
        /// The family.
        family: String,
        /// Whether to stay.
        on: bool,
    },
    /// Go back to the model before.
    Rollback {
        /// The family.
        family: String,
        /// Only if this release is what runs.
        release: Option<u32>,
    },
    /// Take what a folder brings, such as a USB stick.
    Install {
        /// The folder, an absolute path.
        folder: PathBuf,
    },
    /// Delete a release, and hold it to be bad no longer.
    Forget {
        /// The family.
        family: String,
        /// Its release.
        release: u32,
    },
}

impl ModelOrder {
    /// Whether it only looks.
    #[must_use]
    pub const fn only_looks(&self) -> bool {
        matches!(self, ModelOrder::List)
    }

    /// Carries it out on what is kept.
    pub(crate) fn apply(&self, depot: &Depot) -> Result<(), DepotError> {
        let (family, event) = match self {
            // The updates' thread installs; without it there is nobody who would watch what comes of it.
            ModelOrder::List | ModelOrder::Install { .. } => return Ok(()),
            ModelOrder::Pin { family, on } => (family, Event::Pin(*on)),
            ModelOrder::Rollback { family, release } => (family, Event::RollBack(*release)),
            ModelOrder::Forget { family, release } => (family, Event::Forget(*release)),
        };
        let name = BundleName::new(family).map_err(|_| DepotError::NoFamily(family.clone()))?;
        depot.handle(&name, event)
    }
}

/// An order with the way back.
pub(super) struct Order {
    pub(super) order: ModelOrder,
    pub(super) done: oneshot::Sender<Result<(), String>>,
}

/// The way to the updates' thread.
#[derive(Clone)]
pub(crate) struct Orders(mpsc::Sender<Order>);

/// The thread's end.
pub(crate) struct Inbox(pub(super) mpsc::Receiver<Order>);

/// Both ends.
pub(crate) fn orders() -> (Orders, Inbox) {
    let (sender, receiver) = mpsc::channel(MAX_ORDERS);
    (Orders(sender), Inbox(receiver))
}

impl Orders {
    /// Has an order carried out.
    ///
    /// # Errors
    /// A sentence on why it was not.
    pub(crate) async fn give(&self, order: ModelOrder) -> Result<(), String> {
        let (done, answer) = oneshot::channel();
        let ended = || "the updates have ended".to_owned();
        self.0.send(Order { order, done }).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// What is known of a family's updates.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct UpdateFacts {
    /// The family: the name of the configured model.
    pub family: String,
    /// What speaks: `configured model`, or a release.
    pub speaks: String,
    /// The release that speaks; 0 for the configured model.
    pub release: u32,
    /// Whether it speaks on trial.
    pub is_trial: bool,
    /// The release that a rollback would bring back; `configured model` where there is none.
    pub before: String,
    /// The latest update, `release 7 (1.4.0)`; absent if there was none.
    pub update: Option<String>,
    /// Where it stands, or how it ended.
    pub state: Option<String>,
    /// Windows and seconds of the stage under way, as of the latest checkpoint, and how many it takes.
    pub progress: Option<[u64; 4]>,
    /// Starts that were counted in it.
    pub attempts: u8,
    /// The highest release that was committed.
    pub floor: u32,
    /// Releases that failed here, each with its reason.
    pub bad: Vec<String>,
    /// Whether it stays where it is.
    pub is_pinned: bool,
}

impl UpdateFacts {
    pub(super) fn of(family: &Family) -> UpdateFacts {
        let kept = family.kept();
        let named = |release: Option<&Release>| {
            release.map_or_else(|| "configured model".to_owned(), ToString::to_string)
        };
        let at = |place: Place| match place {
            Place::Factory => None,
            Place::Slot(slot) => kept.slot(slot),
        };
        let speaks = at(family.arrangement().speaks);
        let other = match kept.active {
            Place::Factory => None,
            Place::Slot(slot) => kept.slot(slot.other()).filter(|_| kept.open().is_none()),
        };
        let is_trial = family.arrangement().speaks != kept.active;
        let progress = family
            .progress()
            .map(|(done, stage)| [done.windows, stage.windows, done.ran_s, stage.time.as_secs()]);
        UpdateFacts {
            family: kept.family.to_string(),
            speaks: named(speaks),
            release: speaks.map_or(0, |release| release.number),
            is_trial,
            before: named(if is_trial { at(kept.active) } else { other }),
            update: kept.update.as_ref().map(|update| update.release.to_string()),
            state: kept.update.as_ref().map(|update| update.state.to_string()),
            progress,
            attempts: kept.open().map_or(0, |update| update.attempts),
            floor: kept.floor,
            bad: kept.bad.iter().map(|bad| format!("{} ({})", bad.number, bad.reason)).collect(),
            is_pinned: kept.is_pinned,
        }
    }
}
