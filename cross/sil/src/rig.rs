//! What the tests look at a simulated vehicle with: its frames, and its signals as the DBC files decode them.

use crate::{SimFrame, Spec, Vehicle};
use std::collections::BTreeMap;
use telltale_core::dbc::Database;

pub(crate) const BMS: &str = include_str!("../../../models/cell-fault/bms.dbc");
const POWERTRAIN: &str = include_str!("../powertrain.dbc");

/// Values of a signal with their seconds after the start.
pub(crate) type Series = Vec<(f64, f64)>;

/// A vehicle for so many hours with these faults.
pub(crate) fn spec(hours: f64, faults: &[&str]) -> Spec {
    Spec { hours, faults: faults.iter().map(|fault| (*fault).into()).collect(), ..Spec::default() }
}

/// The same, with its cells read every ten seconds.
pub(crate) fn slow(hours: f64, faults: &[&str]) -> Spec {
    let mut spec = spec(hours, faults);
    spec.periods.cells_ms = 10_000;
    spec
}

pub(crate) fn frames(spec: &Spec) -> Vec<SimFrame> {
    Vehicle::new(spec, 1).unwrap().collect()
}

pub(crate) fn number(frame: &SimFrame) -> u32 {
    frame.can.id.raw()
}

pub(crate) fn word(frame: &SimFrame, place: usize) -> u16 {
    u16::from_le_bytes([frame.can.payload()[2 * place], frame.can.payload()[2 * place + 1]])
}

/// Every reading in mV of one cell, counted from 1.
pub(crate) fn readings(frames: &[SimFrame], cell: usize) -> Vec<u16> {
    let id = 0x1A0 + (cell as u32 - 1) / 4;
    frames.iter().filter(|f| number(f) == id).map(|f| word(f, (cell - 1) % 4)).collect()
}

/// The DBC files of the two buses.
pub(crate) fn databases() -> [Database; 2] {
    [(BMS, "bms.dbc"), (POWERTRAIN, "powertrain.dbc")].map(|(text, name)| {
        let (database, diagnostics) = Database::parse(text, name);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        database
    })
}

/// What these signals said, decoded by the DBC files; a raw value of all ones says nothing.
pub(crate) fn signals(spec: &Spec, names: &[&str]) -> BTreeMap<String, Series> {
    let databases = databases();
    let mut heard: BTreeMap<String, Series> = names.iter().map(|name| ((*name).into(), Vec::new())).collect();
    let wanted = |message: &telltale_core::dbc::Message| {
        message.signals.iter().any(|signal| names.contains(&signal.name.as_str()))
    };
    for frame in Vehicle::new(spec, 1).unwrap() {
        let database = &databases[usize::from(frame.can.bus.0)];
        let Some(message) = database.message_by_id(frame.can.id).filter(|message| wanted(message)) else {
            continue;
        };
        let at_s = frame.can.at.as_micros() as f64 / 1e6;
        for decoded in message.decode(frame.can.payload()).unwrap() {
            let sentinel = decoded.value > decoded.signal.max;
            if let Some(series) = heard.get_mut(&decoded.signal.name).filter(|_| !sentinel) {
                series.push((at_s, decoded.value));
            }
        }
    }
    heard
}

/// The value that held at a time.
pub(crate) fn at(series: &Series, at_s: f64) -> f64 {
    series[series.partition_point(|(t, _)| *t <= at_s) - 1].1
}

/// The values between two times.
pub(crate) fn between(series: &Series, from_s: f64, to_s: f64) -> Vec<f64> {
    series.iter().filter(|(t, _)| (from_s..to_s).contains(t)).map(|(_, value)| *value).collect()
}
