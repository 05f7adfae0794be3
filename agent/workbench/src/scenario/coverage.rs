//! What of the operating design domain a set of scenarios has been through: hours in bins of temperature, state of charge
//! and C-rate, and scenarios by kind of fault and temperature.

use serde::Serialize;
use std::collections::BTreeMap;

/// Lower ends of the bins of temperature, in degrees Celsius; the last is open.
const CELSIUS: [f64; 9] = [-40.0, -20.0, -10.0, 0.0, 10.0, 20.0, 30.0, 40.0, 50.0];
/// Of the state of charge, in percent.
const CHARGE: [f64; 10] = [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0];
/// Of the current over the capacity, per hour; discharge is negative, as in VSS.
const C_RATE: [f64; 9] = [-20.0, -1.0, -0.5, -0.2, -0.05, 0.05, 0.2, 0.5, 1.0];

/// A moment of a drive.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Moment {
    pub(super) celsius: f64,
    pub(super) charge_percent: f64,
    pub(super) per_hour: f64,
}

/// Seconds in the bins of three dimensions, and scenarios by fault.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Coverage {
    celsius_s: [f64; CELSIUS.len()],
    charge_s: [f64; CHARGE.len()],
    c_rate_s: [f64; C_RATE.len()],
    /// Kinds of faults, `none` among them, by the bin of the highest temperature that the scenario saw.
    faults: BTreeMap<String, [u64; CELSIUS.len()]>,
    #[serde(skip)]
    warmest: Option<usize>,
}

/// A dimension with its bins, for a report.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Dimension {
    /// What.
    pub name: &'static str,
    /// Its bins: from where, in the dimension's unit, and the hours there.
    pub bins: Vec<Bin>,
}

/// A bin.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Bin {
    /// Its lower end; the next bin's lower end is its upper one.
    pub from: f64,
    /// Hours spent there.
    pub hours: f64,
}

impl Coverage {
    /// Counts so many seconds in a state.
    pub(super) fn add(&mut self, moment: Moment, seconds: f64) {
        let warm = bin(&CELSIUS, moment.celsius);
        self.celsius_s[warm] += seconds;
        self.charge_s[bin(&CHARGE, moment.charge_percent)] += seconds;
        self.c_rate_s[bin(&C_RATE, moment.per_hour)] += seconds;
        self.warmest = self.warmest.max(Some(warm));
    }

    /// Counts the scenario by its kinds of faults.
    pub(super) fn close(&mut self, kinds: &[String]) {
        let Some(warm) = self.warmest else { return };
        let none = ["none".to_owned()];
        for kind in if kinds.is_empty() { &none[..] } else { kinds } {
            self.faults.entry(kind.clone()).or_default()[warm] += 1;
        }
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Coverage) {
        let sum = |to: &mut [f64], from: &[f64]| to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        sum(&mut self.celsius_s, &other.celsius_s);
        sum(&mut self.charge_s, &other.charge_s);
        sum(&mut self.c_rate_s, &other.c_rate_s);
        for (kind, counts) in &other.faults {
            let held = self.faults.entry(kind.clone()).or_default();
            held.iter_mut().zip(counts).for_each(|(to, from)| *to += from);
        }
    }

    /// The dimensions with their bins.
    #[must_use]
    pub fn dimensions(&self) -> [Dimension; 3] {
        let bins = |ends: &[f64], seconds: &[f64]| {
            ends.iter().zip(seconds).map(|(from, s)| Bin { from: *from, hours: s / 3_600.0 }).collect()
        };
        [
            Dimension { name: "cell temperature, degC", bins: bins(&CELSIUS, &self.celsius_s) },
            Dimension { name: "state of charge, %", bins: bins(&CHARGE, &self.charge_s) },
            Dimension { name: "C-rate, 1/h (discharge below zero)", bins: bins(&C_RATE, &self.c_rate_s) },
        ]
    }

    /// Kinds of faults with their scenarios by the warmest temperature's bin: its lower end, and how many.
    #[must_use]
    pub fn faults(&self) -> Vec<(&str, Vec<(f64, u64)>)> {
        let row = |counts: &[u64]| CELSIUS.iter().copied().zip(counts.iter().copied()).collect();
        self.faults.iter().map(|(kind, counts)| (kind.as_str(), row(counts))).collect()
    }
}

fn bin(ends: &[f64], value: f64) -> usize {
    ends.iter().rposition(|from| *from <= value).unwrap_or(0)
}
