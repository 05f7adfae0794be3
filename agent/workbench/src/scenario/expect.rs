//! What is expected of a scenario, and how its outcome falls short.

use super::run::{Event, Outcome};
use serde::{Deserialize, Serialize};
use std::fmt;
use telltale_wire::departure::DepartureKind;

/// The alphabet of verdicts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Word {
    /// A subject is called anomalous.
    Anomalous,
    /// A subject is called nominal again.
    Nominal,
    /// Nothing can be said of a subject.
    Indeterminate,
}

/// A verdict that is to come, within its time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectation {
    /// Of what, such as `Cell42`.
    pub(super) subject: String,
    /// What.
    pub(super) verdict: Word,
    /// By which model; any without it. `limits` is the catalog's.
    pub(super) model: Option<String>,
    /// Not before this many seconds from the start.
    #[serde(default)]
    pub(super) not_before_s: f64,
    /// Not later than this many seconds from the start.
    pub(super) by_s: f64,
    /// Not later at the cloud.
    pub(super) at_cloud_by_s: Option<f64>,
    /// What may be told as the kind of departure at the drive's end, the true one first; anything if empty.
    #[serde(default)]
    pub(super) departure: Vec<Departure>,
}

/// A kind of departure, as a scenario writes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Departure {
    /// See [`DepartureKind`], here and below.
    SteadyOffset,
    /// A voltage that moves while the vehicle operates.
    VoltageDrift,
    /// Or an internal short.
    SelfDischarge,
    /// Or a connector's.
    Resistance,
    /// A reading that stands still.
    SensorStuck,
    /// A reading that scatters.
    SensorNoisy,
    /// No reading.
    SensorAbsent,
}

impl Departure {
    pub(super) const fn of(kind: DepartureKind) -> Departure {
        match kind {
            DepartureKind::SteadyOffset => Departure::SteadyOffset,
            DepartureKind::VoltageDrift => Departure::VoltageDrift,
            DepartureKind::SelfDischarge => Departure::SelfDischarge,
            DepartureKind::Resistance => Departure::Resistance,
            DepartureKind::SensorStuck => Departure::SensorStuck,
            DepartureKind::SensorNoisy => Departure::SensorNoisy,
            DepartureKind::SensorAbsent => Departure::SensorAbsent,
        }
    }

    /// As a scenario writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Departure::SteadyOffset => "steady-offset",
            Departure::VoltageDrift => "voltage-drift",
            Departure::SelfDischarge => "self-discharge",
            Departure::Resistance => "resistance",
            Departure::SensorStuck => "sensor-stuck",
            Departure::SensorNoisy => "sensor-noisy",
            Departure::SensorAbsent => "sensor-absent",
        }
    }
}

impl Expectation {
    /// Whether it makes sense for a drive of so many seconds.
    pub(super) fn check(&self, seconds: f64) -> Result<(), String> {
        let Expectation { subject, not_before_s, by_s, .. } = self;
        if !(0.0 <= *not_before_s && not_before_s <= by_s) {
            return Err(format!(
                "{subject}: not before {not_before_s} s and by {by_s} s: the earlier comes first"
            ));
        }
        if *by_s > seconds {
            return Err(format!("{subject}: by {by_s} s lies behind the drive's end at {seconds} s"));
        }
        Ok(())
    }

    /// The kind that was told last of what it expects; `None` if no event or none with a kind came.
    pub(super) fn told(&self, outcome: &Outcome) -> Option<Departure> {
        let mut events = outcome.events.iter().rev();
        events.find(|event| self.is_met_by(event) && event.departure.is_some())?.departure
    }

    fn is_met_by(&self, event: &Event) -> bool {
        event.subject == self.subject
            && event.verdict == self.verdict
            && self.model.as_ref().is_none_or(|model| *model == event.model)
    }
}

/// How an outcome falls short, and the moment from which that was certain.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Failure {
    /// A subject was not given its verdict in time.
    Missed {
        /// The subject.
        subject: String,
        /// When it was due, in seconds.
        by_s: f64,
        /// When it came, if it did.
        came_s: Option<f64>,
    },
    /// A verdict came before what it tells of can have been there.
    Early {
        /// The subject.
        subject: String,
        /// When it came.
        at_s: f64,
        /// The earliest time.
        not_before_s: f64,
    },
    /// A subject was called anomalous that nobody expected.
    FalseAlarm {
        /// The subject.
        subject: String,
        /// The model.
        model: String,
        /// When.
        at_s: f64,
    },
    /// A verdict was not at the cloud in time.
    LateAtCloud {
        /// The subject.
        subject: String,
        /// When it was due.
        by_s: f64,
        /// When it came, if it did.
        came_s: Option<f64>,
    },
    /// A subject's departure was told as of another kind.
    OtherKind {
        /// The subject.
        subject: String,
        /// What it is.
        is: &'static str,
        /// What was told last.
        told: Option<&'static str>,
    },
    /// Inputs of the models drifted other than expected.
    Drift {
        /// Those that were to and did not.
        missing: Vec<String>,
        /// Those that did and were not to.
        surplus: Vec<String>,
    },
    /// Records that never came, came with other bytes, or lost frames.
    Broken {
        /// What.
        what: String,
    },
}

impl Failure {
    /// The second from which it was certain.
    #[must_use]
    pub fn certain_at_s(&self) -> Option<f64> {
        match self {
            Failure::Missed { by_s, .. } => Some(*by_s),
            Failure::Early { at_s, .. } | Failure::FalseAlarm { at_s, .. } => Some(*at_s),
            Failure::LateAtCloud { .. }
            | Failure::OtherKind { .. }
            | Failure::Drift { .. }
            | Failure::Broken { .. } => None,
        }
    }

    /// Its kind in one word: what stays the same while a scenario is shrunk.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Failure::Missed { .. } => "missed",
            Failure::Early { .. } => "early",
            Failure::FalseAlarm { .. } => "false alarm",
            Failure::LateAtCloud { .. } => "late at the cloud",
            Failure::OtherKind { .. } => "other kind",
            Failure::Drift { .. } => "drift",
            Failure::Broken { .. } => "broken",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let came = |came: &Option<f64>| came.map_or("never came".to_owned(), |s| format!("came at {s:.0} s"));
        match self {
            Failure::Missed { subject, by_s, came_s } => {
                write!(f, "missed: {subject} was due by {by_s:.0} s and {}", came(came_s))
            }
            Failure::Early { subject, at_s, not_before_s } => {
                write!(
                    f,
                    "early: {subject} was named at {at_s:.0} s, and not before {not_before_s:.0} s can it be known"
                )
            }
            Failure::FalseAlarm { subject, model, at_s } => {
                write!(f, "false alarm: {model} calls {subject} anomalous at {at_s:.0} s")
            }
            Failure::LateAtCloud { subject, by_s, came_s } => {
                write!(f, "late: {subject} was to be at the cloud by {by_s:.0} s and {}", came(came_s))
            }
            Failure::OtherKind { subject, is, told } => {
                write!(f, "other kind: {subject} has {is}, told was {}", told.unwrap_or("no kind"))
            }
            Failure::Drift { missing, surplus } => {
                write!(f, "drift: missing of {missing:?}, surplus of {surplus:?}")
            }
            Failure::Broken { what } => write!(f, "broken: {what}"),
        }
    }
}

/// Holds an outcome against what was expected. `may` lists subjects that may be called anomalous as well; `*` is all.
/// `drift` lists the inputs of models that are to drift, and no others, if it is given.
pub(super) fn failures(
    expected: &[Expectation],
    may: &[String],
    drift: Option<&[String]>,
    outcome: &Outcome,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    for expectation in expected {
        let Expectation { subject, by_s, not_before_s, .. } = expectation;
        let first = outcome.events.iter().find(|event| expectation.is_met_by(event));
        let came_s = first.map(|event| event.at_s);
        if let Some(at_s) = came_s.filter(|at_s| at_s < not_before_s) {
            failures.push(Failure::Early { subject: subject.clone(), at_s, not_before_s: *not_before_s });
        }
        if came_s.is_none_or(|at_s| at_s > *by_s) {
            failures.push(Failure::Missed { subject: subject.clone(), by_s: *by_s, came_s });
        }
        if let Some(is) = expectation.departure.first() {
            let told = expectation.told(outcome);
            if !told.is_some_and(|told| expectation.departure.contains(&told)) {
                let told = told.map(Departure::word);
                failures.push(Failure::OtherKind { subject: subject.clone(), is: is.word(), told });
            }
        }
        if let Some(by_s) = expectation.at_cloud_by_s {
            let came_s = first.and_then(|event| event.at_cloud_s);
            if came_s.is_none_or(|at_s| at_s > by_s) {
                failures.push(Failure::LateAtCloud { subject: subject.clone(), by_s, came_s });
            }
        }
    }
    let anomalous = outcome.events.iter().filter(|event| event.verdict == Word::Anomalous);
    for event in anomalous {
        let known = expected.iter().any(|e| e.verdict == Word::Anomalous && e.subject == event.subject);
        let allowed = may.iter().any(|subject| subject == "*" || *subject == event.subject);
        if !known && !allowed {
            let (subject, model) = (event.subject.clone(), event.model.clone());
            failures.push(Failure::FalseAlarm { subject, model, at_s: event.at_s });
        }
    }
    failures.extend(drift.and_then(|expected| drifted(expected, outcome)));
    failures.extend(outcome.broken.iter().map(|what| Failure::Broken { what: what.clone() }));
    failures
}

fn drifted(expected: &[String], outcome: &Outcome) -> Option<Failure> {
    let missing: Vec<String> =
        expected.iter().filter(|input| !outcome.drifted.contains(*input)).cloned().collect();
    let surplus: Vec<String> =
        outcome.drifted.iter().filter(|input| !expected.contains(input)).cloned().collect();
    (!missing.is_empty() || !surplus.is_empty()).then_some(Failure::Drift { missing, surplus })
}
