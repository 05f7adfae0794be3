//! What a model that estimates makes of an event: one record, subject by subject, and what is held until the next.

use super::stamp;
use crate::clock::ClockAnchor;
use crate::estimate::{Estimation, Estimator};
use crate::feature::{FeatureSpec, FeatureTable};
use telltale_wire::estimate::{EstimateRecord, Interval, SubjectEstimate};
use telltale_wire::record::{IndeterminateReason, ModelRef};
use telltale_wire::time::MonoTime;

/// A subject's estimate, or why there is none.
pub(super) type Estimate = Result<Interval, IndeterminateReason>;

/// How a model's outputs are read, and what they last came to.
pub(super) struct Appraisal {
    estimator: Estimator,
    held: Vec<Estimate>,
}

impl Appraisal {
    pub(super) fn new(estimation: &Estimation, spec: &FeatureSpec, subjects: usize) -> Appraisal {
        Appraisal {
            estimator: Estimator::new(estimation.clone(), spec),
            held: vec![Err(IndeterminateReason::WarmingUp); subjects],
        }
    }

    pub(super) fn held(&self) -> &[Estimate] {
        &self.held
    }

    /// Reads the outputs of an event that ended at `at`.
    pub(super) fn appraise(
        &mut self,
        at: MonoTime,
        table: &FeatureTable,
        outputs: &[Result<f32, IndeterminateReason>],
        (model, prefix): (&ModelRef, &str),
        anchor: Option<ClockAnchor>,
    ) -> EstimateRecord {
        for (subject, (held, output)) in self.held.iter_mut().zip(outputs).enumerate() {
            *held = self.estimator.read(table, subject, *output);
        }
        let told = |(subject, value): (usize, &Estimate)| SubjectEstimate {
            value: *value,
            resistance_ohm: table.resistance(subject),
        };
        EstimateRecord {
            at: stamp(at, anchor),
            model: model.clone(),
            quantity: self.estimator.estimation().quantity,
            coverage: self.estimator.estimation().coverage,
            subjects: self.held.iter().enumerate().map(told).collect(),
            prefix: prefix.into(),
        }
    }
}
