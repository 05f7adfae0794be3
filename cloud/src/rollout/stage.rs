//! Where one vehicle stands in a rollout, by what it tells of its update.

use serde::Serialize;
use telltale_wire::update::{UpdateReason, UpdateStep};

/// Where a vehicle stands. The numbers are stored: append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Stage {
    /// Its wave has not begun.
    Waiting = 0,
    /// Its wave has begun, and it has told nothing yet.
    Assigned = 1,
    /// It knows of the bundle.
    Offered = 2,
    /// It fetches the bundle.
    Downloading = 3,
    /// It holds the bundle.
    Staged = 4,
    /// The model gave its golden outputs there.
    SelfTested = 5,
    /// The model runs beside the active one.
    Shadow = 6,
    /// The model is active on trial.
    Trial = 7,
    /// The model is the active one.
    Committed = 8,
    /// The model, or its way there, failed.
    Failed = 9,
    /// The vehicle does not take it, by no fault of the model.
    PassedOver = 10,
}

impl Stage {
    /// All of them, by number.
    pub const ALL: [Stage; 11] = [
        Self::Waiting,
        Self::Assigned,
        Self::Offered,
        Self::Downloading,
        Self::Staged,
        Self::SelfTested,
        Self::Shadow,
        Self::Trial,
        Self::Committed,
        Self::Failed,
        Self::PassedOver,
    ];

    /// The stage of a stored number.
    #[must_use]
    pub fn of_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| i64::from(*stage as u8) == number)
    }

    /// The words for a person.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Assigned => "assigned",
            Self::Offered => "offered",
            Self::Downloading => "downloading",
            Self::Staged => "staged",
            Self::SelfTested => "self-tested",
            Self::Shadow => "in shadow",
            Self::Trial => "on trial",
            Self::Committed => "committed",
            Self::Failed => "failed",
            Self::PassedOver => "passed over",
        }
    }

    /// Whether the update has ended and says something on the model.
    #[must_use]
    pub const fn is_executed(self) -> bool {
        matches!(self, Self::Committed | Self::Failed)
    }

    /// Whether the model has run on the vehicle and its update goes on: who falls silent now may have been stopped by it.
    #[must_use]
    pub const fn is_running_it(self) -> bool {
        matches!(self, Self::SelfTested | Self::Shadow | Self::Trial)
    }

    /// Whether the vehicle is on its way, so that a pause lets it go on.
    #[must_use]
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::Offered | Self::Downloading | Self::Staged) || self.is_running_it()
    }
}

/// The stage that a step of an update leads to; `None` for steps that say nothing on this release.
#[must_use]
pub fn after(step: UpdateStep, reason: Option<UpdateReason>) -> Option<Stage> {
    Some(match step {
        UpdateStep::Offered => Stage::Offered,
        UpdateStep::Downloading => Stage::Downloading,
        UpdateStep::Staged => Stage::Staged,
        UpdateStep::SelfTested => Stage::SelfTested,
        UpdateStep::Shadow => Stage::Shadow,
        UpdateStep::Trial => Stage::Trial,
        UpdateStep::Committed => Stage::Committed,
        UpdateStep::RolledBack | UpdateStep::Refused => match reason {
            Some(reason) if !is_fault(reason) => Stage::PassedOver,
            // Without a reason nothing excuses it.
            Some(_) | None => Stage::Failed,
        },
        UpdateStep::Pinned | UpdateStep::Unpinned | UpdateStep::Forgotten => return None,
    })
}

/// Whether a reason speaks against the bundle or its way to the vehicle, rather than for a vehicle that it was not
/// meant for or a person who decided otherwise.
const fn is_fault(reason: UpdateReason) -> bool {
    match reason {
        UpdateReason::OtherHardware
        | UpdateReason::AgentTooOld
        | UpdateReason::CatalogLacks
        | UpdateReason::NotNewer
        | UpdateReason::Pinned
        | UpdateReason::Unconfirmed
        | UpdateReason::Asked
        | UpdateReason::Withdrawn
        | UpdateReason::NotConfigured
        | UpdateReason::NotSealed
        | UpdateReason::NoSealingKey
        | UpdateReason::NoContentKey
        | UpdateReason::OtherSealingKey => false,
        UpdateReason::OtherFeatures
        | UpdateReason::KnownBad
        | UpdateReason::NotVerified
        | UpdateReason::NotFetched
        | UpdateReason::NoSpace
        | UpdateReason::Damaged
        | UpdateReason::NotLoadable
        | UpdateReason::GoldenDiffers
        | UpdateReason::TooSlow
        | UpdateReason::TooLarge
        | UpdateReason::NoOutput
        | UpdateReason::NotFinite
        | UpdateReason::Disagrees
        | UpdateReason::AttemptsUsed
        | UpdateReason::WrongContentKey
        | UpdateReason::NotOpened => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_the_number_that_is_stored() {
        for (number, stage) in (0..).zip(Stage::ALL) {
            assert_eq!(Stage::of_number(number), Some(stage));
        }
        assert_eq!(Stage::of_number(11), None);
    }

    #[test]
    fn a_refusal_counts_against_the_model_only_where_it_is_to_blame() {
        let refused = |reason| after(UpdateStep::Refused, Some(reason));
        assert_eq!(refused(UpdateReason::GoldenDiffers), Some(Stage::Failed));
        assert_eq!(refused(UpdateReason::Pinned), Some(Stage::PassedOver));
        assert_eq!(after(UpdateStep::RolledBack, None), Some(Stage::Failed));
        assert_eq!(after(UpdateStep::RolledBack, Some(UpdateReason::Asked)), Some(Stage::PassedOver));
        assert_eq!(after(UpdateStep::Pinned, None), None);
    }
}
