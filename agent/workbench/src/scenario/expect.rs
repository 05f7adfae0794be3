//! What is expected of a scenario, and how its outcome falls short.

use super::run::{Event, Outcome};
use serde::{Deserialize, Serialize};
use std::fmt;

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
            Failure::LateAtCloud { .. } | Failure::Broken { .. } => None,
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
            Failure::Broken { what } => write!(f, "broken: {what}"),
        }
    }
}

/// Holds an outcome against what was expected. `may` lists subjects that may be called anomalous as well; `*` is all.
pub(super) fn failures(expected: &[Expectation], may: &[String], outcome: &Outcome) -> Vec<Failure> {
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
    failures.extend(outcome.broken.iter().map(|what| Failure::Broken { what: what.clone() }));
    failures
}
