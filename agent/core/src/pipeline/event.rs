//! A changed verdict as the record that tells it.

use super::stamp;
use crate::clock::ClockAnchor;
use crate::verdict::Change;
use telltale_wire::departure::Departure;
use telltale_wire::record::{Evidence, ModelRef, VerdictCode, VerdictEvent};
use telltale_wire::time::{MonoTime, Stamp, WallTime};

/// What an event says besides who and of what.
pub(super) struct Told {
    pub(super) change: Change,
    pub(super) score: Option<f32>,
    pub(super) at: MonoTime,
    pub(super) evidence: Vec<Evidence>,
    pub(super) departure: Option<Departure>,
}

pub(super) fn event(
    model: &ModelRef,
    subject: &str,
    told: Told,
    anchor: Option<ClockAnchor>,
) -> VerdictEvent {
    let Told { change, score, at, evidence, departure } = told;
    VerdictEvent {
        at: stamp(at, anchor),
        model: model.clone(),
        subject: subject.into(),
        verdict: change.verdict,
        score: score.unwrap_or(0.0),
        confidence: confidence(change.verdict, score),
        since: since_stamp((change.since, change.since_wall), anchor),
        evidence,
        departure,
    }
}

/// A moment of this start, or the wall time of an earlier one.
pub(super) fn since_stamp((mono, wall): (MonoTime, Option<WallTime>), anchor: Option<ClockAnchor>) -> Stamp {
    match wall {
        Some(wall) => Stamp { mono, wall: Some(wall) },
        None => stamp(mono, anchor),
    }
}

/// A calibrated score is the probability of an anomaly.
fn confidence(verdict: VerdictCode, score: Option<f32>) -> f32 {
    match (verdict, score) {
        (VerdictCode::Anomalous, Some(p)) => p,
        (VerdictCode::Nominal, Some(p)) => 1.0 - p,
        _ => 0.0,
    }
}
