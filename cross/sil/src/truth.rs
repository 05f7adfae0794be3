//! The ground truth of a simulated recording: what was made to fail, where and when. It is written beside the log,
//! never into it.

use crate::fault::{Fault, Kind};
use crate::pack::{Pack, RC_SHARE, TAU_S};
use crate::spec::{Spec, SpecError};
use serde::Serialize;

/// A cell group's equivalent circuit as it is at one moment, by its age and temperature.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CellTruth {
    /// Which: `Cell42`.
    pub cell: String,
    /// What it holds when full, in ampere hours.
    pub capacity_ah: f64,
    /// Its series resistance, in ohms.
    pub ohmic_ohm: f64,
    /// The pairs of resistance and capacitance behind it, in ohms and seconds: after a step of the current their share grows
    /// as `ohm * (1 - exp(-t / tau_s))`.
    pub pairs: Vec<Pair>,
}

/// A resistance beside a capacitance.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Pair {
    /// Ohms.
    pub ohm: f64,
    /// The time constant, in seconds.
    pub tau_s: f64,
}

/// Every cell of a pack.
pub(crate) fn cells(pack: &Pack) -> Vec<CellTruth> {
    let cell = |(n, (ohmic_ohm, per_ampere_second)): (usize, (&f64, &f64))| CellTruth {
        cell: format!("Cell{}", n + 1),
        capacity_ah: 1.0 / per_ampere_second / 3_600.0,
        ohmic_ohm: *ohmic_ohm,
        pairs: TAU_S.map(|tau_s| Pair { ohm: ohmic_ohm * RC_SHARE, tau_s }).to_vec(),
    };
    pack.ohm.iter().zip(&pack.per_ampere_second).enumerate().map(cell).collect()
}

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
