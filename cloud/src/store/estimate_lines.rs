//! What a vehicle estimates, as lines of a report.

use super::lines::{Origin, clip_name, finite, when};
use crate::report::{EstimateLine, MAX_SUBJECTS, SubjectEstimateLine};
use telltale_wire::estimate::{EstimateRecord, SubjectEstimate};

pub(super) fn line(record: &EstimateRecord, origin: Origin) -> EstimateLine {
    let prefix = clip_name(&record.prefix);
    EstimateLine {
        when: when(record.at, origin.received),
        boot: origin.boot.to_string(),
        model: clip_name(&record.model.name),
        digest: record.model.digest.to_string(),
        quantity: record.quantity.as_str(),
        unit: record.quantity.unit(),
        coverage: finite(record.coverage),
        subjects: record
            .subjects
            .iter()
            .take(MAX_SUBJECTS)
            .enumerate()
            .map(|(index, told)| subject(&format!("{prefix}{}", index + 1), told))
            .collect(),
    }
}

fn subject(name: &str, told: &SubjectEstimate) -> SubjectEstimateLine {
    let interval = told.value.ok();
    SubjectEstimateLine {
        name: name.to_owned(),
        value: interval.and_then(|i| finite(i.value)),
        low: interval.and_then(|i| finite(i.low)),
        high: interval.and_then(|i| finite(i.high)),
        reason: told.value.err().map(telltale_wire::record::IndeterminateReason::as_str),
        resistance_ohm: told.resistance_ohm.and_then(finite),
    }
}
