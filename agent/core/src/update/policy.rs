//! How long a candidate is watched, and what it may not do.

use super::family::Failure;
use super::state::Progress;
use crate::pipeline::Comparison;
use std::time::Duration;
use telltale_wire::update::UpdateReason;

/// Runs over the budget that are forgiven: a busy machine has hiccups.
const FORGIVEN_SLOW: u64 = 2;

/// The share of runs over the budget that is forgiven, in percent.
const FORGIVEN_SLOW_PERCENT: u64 = 5;

/// How long a stage lasts: until both are reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage {
    /// Windows that both models have judged.
    pub windows: u64,
    /// Time that both have run.
    pub time: Duration,
}

/// What there is before a candidate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Before {
    /// A model at all times: that of the configuration, or a release. A candidate runs beside it first.
    #[default]
    Model,
    /// A release, or nothing: the configuration names no model of the family. The first release has no shadow.
    Release,
    /// What can't run beside another, such as a signal catalog: no candidate has a shadow.
    Setting,
}

/// How long a candidate is watched, and what it may not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// What there is before a candidate.
    pub before: Before,
    /// Beside the active model.
    pub shadow: Stage,
    /// As the active one.
    pub trial: Stage,
    /// How often the agent may end in a stage without having said so before, from 1.
    pub attempts: u8,
    /// The share of verdicts that may differ from the model before, in percent.
    pub differ_percent: u8,
    /// Windows before that share is judged, or as many as the stage has.
    pub judge_after: u64,
    /// How much of a stage a power cut may cost.
    pub checkpoint: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        let stage = Stage { windows: 12, time: Duration::from_secs(3_600) };
        Policy {
            before: Before::Model,
            shadow: stage,
            trial: stage,
            attempts: 5,
            differ_percent: 5,
            judge_after: 6,
            checkpoint: Duration::from_secs(300),
        }
    }
}

impl Policy {
    /// What the candidate did that it may not; `total` counts the earlier starts of the stage too. No stage ends
    /// without its share having been judged.
    pub(super) fn breach(&self, now: &Comparison, total: Progress, stage: Stage) -> Option<Failure> {
        let ran = &now.candidate_ran;
        let failed = |reason, why| Some(Failure { reason, why });
        if ran.no_output > 0 {
            return failed(UpdateReason::NoOutput, format!("{} of {} runs", ran.no_output, ran.inferences));
        }
        if ran.not_finite > 0 {
            return failed(UpdateReason::NotFinite, format!("{} of {} runs", ran.not_finite, ran.inferences));
        }
        if ran.too_slow > FORGIVEN_SLOW && ran.too_slow * 100 > ran.inferences * FORGIVEN_SLOW_PERCENT {
            let why = format!(
                "{} of {} runs over the budget, the longest {} us",
                ran.too_slow, ran.inferences, ran.max_us
            );
            return failed(UpdateReason::TooSlow, why);
        }
        let share =
            u128::from(total.differ) * 100 > u128::from(total.compared) * u128::from(self.differ_percent);
        if total.windows >= self.judge_after.min(stage.windows) && share {
            let why = format!(
                "{} of {} verdicts differ, {} % may",
                total.differ, total.compared, self.differ_percent
            );
            return failed(UpdateReason::Disagrees, why);
        }
        None
    }
}

impl Stage {
    pub(super) const fn is_over(&self, total: Progress) -> bool {
        total.windows >= self.windows && total.ran_s >= self.time.as_secs()
    }
}
