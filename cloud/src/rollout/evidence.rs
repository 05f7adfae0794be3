//! What a rollout is judged by: how many vehicles of each wave stand where, and what each observation was.

use super::sequential::Observations;
use super::stage::Stage;
use serde::Serialize;
use telltale_wire::update::{RunFigures, ShadowReport};

/// How many vehicles of a wave stand where. Each vehicle is counted once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Tally {
    /// The wave's vehicles in all.
    pub size: u64,
    /// Not released to it yet.
    pub waiting: u64,
    /// Released to it, and not ended.
    pub under_way: u64,
    /// The model is the active one.
    pub committed: u64,
    /// The model, or its way there, failed.
    pub failed: u64,
    /// Silent for too long after the model ran there: counts as failed.
    pub lost: u64,
    /// The vehicle does not take it, by no fault of the model.
    pub passed_over: u64,
    /// Silent for too long without having run it: not waited for.
    pub absent: u64,
}

impl Tally {
    /// Counts a vehicle. `is_silent` says that it has not called for longer than the plan waits.
    pub fn count(&mut self, stage: Stage, is_silent: bool) {
        self.add(stage, is_silent, 1);
    }

    /// Counts several that stand alike.
    pub fn add(&mut self, stage: Stage, is_silent: bool, number: u64) {
        self.size += number;
        let place = match stage {
            Stage::Committed => &mut self.committed,
            Stage::Failed => &mut self.failed,
            Stage::PassedOver => &mut self.passed_over,
            Stage::Waiting => &mut self.waiting,
            stage if is_silent && stage.is_running_it() => &mut self.lost,
            _ if is_silent => &mut self.absent,
            _ => &mut self.under_way,
        };
        *place += number;
    }

    /// Vehicles whose update has ended and says something on the model.
    #[must_use]
    pub const fn executed(&self) -> u64 {
        self.committed + self.faults()
    }

    /// Of those: that speak against it.
    #[must_use]
    pub const fn faults(&self) -> u64 {
        self.failed + self.lost
    }

    /// Vehicles that may still end.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.waiting + self.under_way
    }

    /// Both together.
    #[must_use]
    pub const fn and(&self, other: &Self) -> Self {
        Self {
            size: self.size + other.size,
            waiting: self.waiting + other.waiting,
            under_way: self.under_way + other.under_way,
            committed: self.committed + other.committed,
            failed: self.failed + other.failed,
            lost: self.lost + other.lost,
            passed_over: self.passed_over + other.passed_over,
            absent: self.absent + other.absent,
        }
    }
}

/// What is observed once a vehicle. The numbers are stored: append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Metric {
    /// 1 where the update failed, 0 where it committed.
    Failure = 0,
    /// The share of verdicts in which the new model differed from the active one.
    Disagreement = 1,
    /// By what share of runs the new model failed more often than the active one, from -1 to 1, moved into 0 to 1.
    ExcessFailure = 2,
}

impl Metric {
    /// All of them, by number.
    pub const ALL: [Metric; 3] = [Self::Failure, Self::Disagreement, Self::ExcessFailure];

    /// The metric of a stored number.
    #[must_use]
    pub fn of_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| i64::from(*metric as u8) == number)
    }

    /// The words for a person.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Failure => "updates that fail",
            Self::Disagreement => "verdicts that differ in shadow",
            Self::ExcessFailure => "runs that fail beyond the active model's",
        }
    }
}

/// The observations of each metric since the rollout began, or was last resumed.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Readings(pub [Observations; Metric::ALL.len()]);

impl Readings {
    /// The observations of a metric.
    #[must_use]
    pub const fn of(&self, metric: Metric) -> &Observations {
        let [failure, disagreement, excess] = &self.0;
        match metric {
            Metric::Failure => failure,
            Metric::Disagreement => disagreement,
            Metric::ExcessFailure => excess,
        }
    }

    /// Takes an observation of a metric.
    pub fn push(&mut self, metric: Metric, x: f64) {
        self.0[metric as usize].push(x);
    }
}

/// All that a rollout is judged by at one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Evidence {
    /// One for each wave of the plan.
    pub waves: Vec<Tally>,
    /// What was observed.
    pub readings: Readings,
}

impl Evidence {
    /// A wave's tally.
    #[must_use]
    pub fn wave(&self, wave: usize) -> Tally {
        self.waves.get(wave).copied().unwrap_or_default()
    }

    /// All waves up to and including this one.
    #[must_use]
    pub fn through(&self, wave: usize) -> Tally {
        self.waves.iter().take(wave.saturating_add(1)).fold(Tally::default(), |sum, wave| sum.and(wave))
    }
}

/// What a shadow report comes to as observations; `None` for a metric that it says nothing on.
#[must_use]
pub fn observations(report: &ShadowReport) -> [(Metric, Option<f64>); 2] {
    let share = |part: u64, whole: u64| (whole > 0).then(|| (part as f64 / whole as f64).min(1.0));
    let failures = |figures: &RunFigures| {
        let failed = figures.no_output.saturating_add(figures.not_finite).saturating_add(figures.too_slow);
        share(failed, figures.inferences)
    };
    let excess = match (failures(&report.candidate), failures(&report.reference_ran)) {
        (Some(candidate), reference) => Some(excess(candidate - reference.unwrap_or(0.0))),
        (None, _) => None,
    };
    let disagreement = share(report.disagreements.total(), report.compared);
    [(Metric::Disagreement, disagreement), (Metric::ExcessFailure, excess)]
}

/// [`Metric::ExcessFailure`] as it is observed, from a difference of shares.
#[must_use]
pub const fn excess(difference: f64) -> f64 {
    f64::midpoint(1.0, difference)
}
