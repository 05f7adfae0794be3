//! The estimate that is pinned: one subject with a value, one without.

use super::{Case, plain};
use telltale_wire::estimate::*;
use telltale_wire::record::{IndeterminateReason, ModelRef};
use telltale_wire::time::Stamp;

/// Each quantity's number.
pub(crate) fn quantities() -> Vec<Case> {
    Quantity::ALL.into_iter().map(|quantity| plain(&format!("{quantity:?}"), quantity)).collect()
}

pub(crate) fn estimate(at: Stamp, model: ModelRef) -> EstimateRecord {
    let value = Interval { value: 0.875, low: 0.75, high: 1.0 };
    EstimateRecord {
        at,
        model,
        quantity: Quantity::StateOfHealth,
        coverage: 0.5,
        subjects: vec![
            SubjectEstimate { value: Ok(value), resistance_ohm: Some(0.0625) },
            SubjectEstimate { value: Err(IndeterminateReason::OutsideTrainingRegime), resistance_ohm: None },
        ],
        prefix: "Cell".into(),
    }
}
