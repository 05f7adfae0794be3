//! Why a verdict: the subject's value against the pack's, then the features that it rests on.
//!
//! Which features a verdict rests on is asked of the model itself: each of those that stand out is set to the middle
//! subject's value, and what that takes from the logit is its weight in the verdict. A feature may stand far out and count
//! for nothing. That costs extra inferences, of which there is a fixed number a window.

use super::scorer::Scorer;
use crate::feature::FeatureTable;
use crate::feature::spec::{Feature, Op};
use crate::rules::Finding;
use telltale_wire::record::Evidence;
use telltale_wire::unit::Unit;

#[cfg(test)]
mod tests;

/// How many features an event names besides the subject's own value.
const FEATURES_IN_EVIDENCE: usize = 2;

/// So many features of an event are tried, those that stand out furthest.
pub const TRIALS_PER_EVENT: usize = 8;

/// So many events of a window have theirs tried; what stands out furthest has to do for the others.
pub const EVENTS_WITH_TRIALS: usize = 4;

/// A feature of a subject: how far it stands from the middle subject's, in units of its scale, and what it adds to the
/// logit.
struct Weighed {
    channel: usize,
    typical: f32,
    distance: f32,
    weight: f32,
}

/// Finds out what verdicts rest on.
pub(super) struct Witness {
    scratch: Vec<f32>,
    trials: usize,
}

impl Witness {
    pub(super) fn new(subjects: usize) -> Witness {
        Witness { scratch: Vec::with_capacity(subjects), trials: 0 }
    }

    /// A window begins.
    pub(super) const fn begin(&mut self) {
        self.trials = TRIALS_PER_EVENT * EVENTS_WITH_TRIALS;
    }

    /// The features that a subject's anomaly rests on, strongest first.
    pub(super) fn testify(
        &mut self,
        subject: usize,
        table: &FeatureTable,
        features: &[Feature],
        unit: Unit,
        scorer: &mut Scorer,
    ) -> Vec<Evidence> {
        let mut weighed: Vec<Weighed> = Vec::with_capacity(features.len());
        for (channel, feature) in features.iter().enumerate() {
            let typical = typical(table, channel, &mut self.scratch);
            let distance = ((table.physical_at(channel, subject) - typical) / feature.scale).abs();
            if distance > 0.0 {
                weighed.push(Weighed { channel, typical, distance, weight: 0.0 });
            }
        }
        weighed.sort_by(|a, b| b.distance.total_cmp(&a.distance).then(a.channel.cmp(&b.channel)));
        for candidate in weighed.iter_mut().take(TRIALS_PER_EVENT) {
            let Some(left) = self.trials.checked_sub(1) else { break };
            self.trials = left;
            let feature = &features[candidate.channel];
            let usual =
                ((candidate.typical - feature.offset) / feature.scale).clamp(-feature.clip, feature.clip);
            candidate.weight = scorer.weight_of(candidate.channel, subject, usual);
        }
        // Stable: of features that count alike, the one that stands out further comes first.
        weighed.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let told = weighed.into_iter().take(FEATURES_IN_EVIDENCE);
        told.map(|w| Evidence {
            what: features[w.channel].name.clone(),
            value: table.physical_at(w.channel, subject),
            reference: w.typical,
            unit: unit_of(&features[w.channel].op, unit),
        })
        .collect()
    }
}

/// What a limit was held against.
pub(super) fn of_limit(path: &str, unit: Unit, finding: &Finding) -> Evidence {
    Evidence { what: path.to_owned(), value: finding.worst, reference: finding.limit, unit }
}

/// The middle subject's value of a feature.
fn typical(table: &FeatureTable, channel: usize, scratch: &mut Vec<f32>) -> f32 {
    scratch.clear();
    let complete = |s: &usize| table.state(*s).is_ok();
    scratch.extend((0..table.subjects()).filter(complete).map(|s| table.physical_at(channel, s)));
    if scratch.is_empty() {
        return 0.0;
    }
    let middle = scratch.len() / 2;
    *scratch.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// The unit of a feature of members that have this one.
pub(super) const fn unit_of(op: &Op, member: Unit) -> Unit {
    match op {
        Op::Quantile(_) | Op::Mad | Op::Mean | Op::HalfChange | Op::PackMedian | Op::PackSpread => member,
        Op::SlopeOver { .. }
        | Op::ContextMean(_)
        | Op::ContextRange(_)
        | Op::ContextProduct(..)
        | Op::Charge(_) => Unit::None,
    }
}
