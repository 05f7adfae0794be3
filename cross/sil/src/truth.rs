//! The ground truth of a simulated recording: what was made to fail, where and when. It is written beside the log,
//! never into it.

use crate::fault::{Fault, Kind};
use crate::spec::{Spec, SpecError};
use serde::Serialize;

/// One fault as it was laid into the recording.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Truth {
    /// What happens.
    pub fault: Kind,
    /// To what: `Cell42`, `Probe3`, `PackCurrent`, `Pack`, `bms`, `powertrain`, `0x180`.
    pub target: String,
    /// From when, in seconds after the recording's start.
    pub onset_s: f64,
    /// Until when; absent for good.
    pub until_s: Option<f64>,
    /// From when, in microseconds since 1970, as in the log.
    pub onset_unix_us: i64,
    /// How bad.
    pub size: f64,
    /// What `size` is: the key on the command line.
    pub size_is: &'static str,
}

/// The truth about a vehicle of this specification.
pub fn truth(spec: &Spec) -> Result<Vec<Truth>, SpecError> {
    let told = |fault: Fault| Truth {
        fault: fault.kind,
        target: fault.target.to_string(),
        onset_s: fault.onset_s,
        until_s: fault.until_s.is_finite().then_some(fault.until_s),
        onset_unix_us: spec.start().0.saturating_add((fault.onset_s * 1e6) as i64),
        size: fault.size,
        size_is: fault.kind.info().size,
    };
    Ok(spec.faults()?.into_iter().map(told).collect())
}
