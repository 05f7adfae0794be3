//! Snapshots as the pages and scripts get them: lines of a list, and one snapshot's samples by signal, in raw and in
//! physical values. What scales them came with them: no DBC file is needed here.

use crate::report::When;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::Write as _;
use telltale_wire::snapshot::{SampleState, SnapshotBlock, SnapshotSignal};
use telltale_wire::time::WallTime;

/// The most snapshots that a vehicle's report lists.
pub const MAX_SNAPSHOTS: usize = 50;

/// The most samples that are given at once: about 100 MB of CSV, 24 MB here. A full ring of 2 MiB has about 600,000.
pub const MAX_SAMPLES: usize = 1_000_000;

/// The most parts that are read of one snapshot.
pub const MAX_PARTS: usize = 512;

/// One snapshot in a list.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SnapshotLine {
    /// Its number in addresses.
    pub n: u64,
    /// The boot that took it.
    pub boot: String,
    /// Its number within that boot.
    pub number: u64,
    /// What triggered it, in words.
    pub cause: String,
    /// What the trigger is about, such as `Cell82`; may be empty.
    pub subject: String,
    /// When.
    pub when: When,
    /// How many more triggers fell into it.
    pub merged: u64,
    /// Milliseconds that it covers before the trigger.
    pub before_ms: u64,
    /// And after it.
    pub after_ms: u64,
    /// Milliseconds before the trigger that the vehicle could not hold any more.
    pub missing_ms: u64,
    /// The parts that it has.
    pub parts: u64,
    /// The parts that arrived.
    pub parts_received: u64,
    /// Whether all of them did.
    pub complete: bool,
    /// Samples that arrived.
    pub samples: u64,
    /// Bytes that they took as records.
    pub bytes: u64,
}

/// One snapshot with its samples.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SnapshotReport {
    /// Its line.
    #[serde(flatten)]
    pub line: SnapshotLine,
    /// Parts that arrived but do not unpack, each with the reason.
    pub unreadable: Vec<String>,
    /// The signals asked for, those with samples; in the order of the vehicle's catalog.
    pub signals: Vec<SignalSamples>,
}

/// One signal's samples, column by column.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SignalSamples {
    /// Its VSS path.
    pub name: String,
    /// The unit of its values.
    pub unit: &'static str,
    /// `value` = number of the raw bits x `factor` + `offset`.
    pub factor: f64,
    /// See `factor`.
    pub offset: f64,
    /// When each sample was received, in microseconds on the vehicle's monotonic clock.
    pub at_us: Vec<u64>,
    /// Its bits as they stood on the bus.
    pub raw: Vec<u64>,
    /// Its physical value; `null` where there is none.
    pub value: Vec<Option<f64>>,
    /// Why there is none; empty where there is one.
    pub absent: Vec<&'static str>,
}

/// Gathers the samples of a snapshot's parts, which come in their order.
#[derive(Default)]
pub(crate) struct Gathering {
    signals: Vec<SignalSamples>,
    places: HashMap<String, usize>,
    samples: usize,
}

/// There are more than [`MAX_SAMPLES`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Gathering {
    /// Takes the samples of the signals that `wanted` names.
    pub(crate) fn take(&mut self, block: &SnapshotBlock, wanted: &Wanted) -> Result<(), TooMany> {
        for message in &block.messages {
            let places: Vec<Option<usize>> = message
                .signals
                .iter()
                .map(|signal| wanted.names(&signal.name).then(|| self.place(signal)))
                .collect();
            for (at, samples) in message.rows() {
                for sample in samples {
                    let place = usize::from(sample.signal);
                    let (Some(Some(series)), Some(signal)) = (places.get(place), message.signals.get(place))
                    else {
                        continue;
                    };
                    self.samples += 1;
                    if self.samples > MAX_SAMPLES {
                        return Err(TooMany);
                    }
                    let series = &mut self.signals[*series];
                    let value = Some(signal.physical(sample.raw)).filter(|value| value.is_finite());
                    series.at_us.push(at);
                    series.raw.push(sample.raw);
                    series.value.push(value.filter(|_| sample.state == SampleState::Value));
                    series.absent.push(sample.state.as_str());
                }
            }
        }
        Ok(())
    }

    fn place(&mut self, signal: &SnapshotSignal) -> usize {
        if let Some(place) = self.places.get(&signal.name) {
            return *place;
        }
        self.signals.push(SignalSamples {
            name: signal.name.clone(),
            unit: signal.unit.symbol(),
            factor: signal.factor,
            offset: signal.offset,
            at_us: Vec::new(),
            raw: Vec::new(),
            value: Vec::new(),
            absent: Vec::new(),
        });
        self.places.insert(signal.name.clone(), self.signals.len() - 1);
        self.signals.len() - 1
    }

    pub(crate) fn finish(mut self) -> Vec<SignalSamples> {
        self.signals.retain(|signal| !signal.at_us.is_empty());
        self.signals
    }
}

/// Which signals are asked for: paths, or beginnings with `*` behind them; all if there is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted(Vec<String>);

impl Wanted {
    /// From an address: `?signals=Vehicle.Speed&signals=Vehicle.Cabin.*`. Paths need no escapes but the asterisk.
    pub(crate) fn of(query: Option<&str>) -> Wanted {
        let pairs = query.unwrap_or_default().split('&');
        let names = pairs.filter_map(|pair| pair.strip_prefix("signals=")).filter(|name| !name.is_empty());
        Wanted(names.map(|name| name.replace("%2A", "*").replace("%2a", "*")).collect())
    }

    pub(crate) fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn names(&self, signal: &str) -> bool {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => signal.starts_with(beginning),
            None => signal == pattern,
        };
        self.is_all() || self.0.iter().any(fits)
    }
}

impl SnapshotReport {
    /// The wall time of a moment of the snapshot, in microseconds since the Unix epoch; by the server's clock where the
    /// vehicle did not know it.
    #[must_use]
    pub fn unix_us(&self, at_us: u64) -> i64 {
        let trigger = (self.line.when.mono_s * 1e6).round() as i64;
        self.line.when.unix_us.saturating_add((at_us as i64).saturating_sub(trigger))
    }

    /// One line a sample, signal by signal, with a line of names.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut csv = String::from("signal,unit,mono_us,time,raw,value,absent\n");
        for signal in &self.signals {
            let (name, unit) = (quoted(&signal.name), quoted(signal.unit));
            let rows = signal.at_us.iter().zip(&signal.raw).zip(signal.value.iter().zip(&signal.absent));
            for ((at, raw), (value, absent)) in rows {
                let time = WallTime(self.unix_us(*at));
                let value = value.map(|value| value.to_string()).unwrap_or_default();
                // Writing to a String cannot fail.
                let _ = writeln!(csv, "{name},{unit},{at},{time},{raw},{value},{absent}");
            }
        }
        csv
    }
}

/// A field of CSV (RFC 4180). A vehicle chooses its names: one that a spreadsheet would take for a formula is defused.
fn quoted(text: &str) -> String {
    let defused = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if defused.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{defused}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use telltale_wire::snapshot::{Number, SnapshotMessage, SnapshotRow, SnapshotSample};
    use telltale_wire::unit::Unit;

    fn block(name: &str) -> SnapshotBlock {
        let signal = SnapshotSignal {
            name: name.into(),
            number: Number::Signed,
            bits: 8,
            unit: Unit::Volt,
            factor: 0.5,
            offset: 1.0,
        };
        let sample = |raw, state| SnapshotSample { signal: 0, state, raw };
        let samples = vec![sample(0xFE, SampleState::Value), sample(0x80, SampleState::SensorFault)];
        let rows = vec![SnapshotRow { at: 5, end: 1 }, SnapshotRow { at: 9, end: 2 }];
        SnapshotBlock { messages: vec![SnapshotMessage { signals: vec![signal], rows, samples }] }
    }

    #[test]
    fn parts_join_and_absence_has_no_value() {
        let mut gathering = Gathering::default();
        for _ in 0..2 {
            gathering.take(&block("Vehicle.A"), &Wanted::default()).unwrap();
        }
        let signals = gathering.finish();
        assert_eq!(signals.len(), 1);
        assert_eq!(signals[0].raw, [0xFE, 0x80, 0xFE, 0x80]);
        assert_eq!(signals[0].value, [Some(0.0), None, Some(0.0), None]);
        assert_eq!(signals[0].absent, ["", "sensor fault", "", "sensor fault"]);
    }

    #[test]
    fn signals_are_asked_for_by_path_or_beginning() {
        let wanted = |query| Wanted::of(Some(query));
        assert!(wanted("signals=Vehicle.A").names("Vehicle.A"));
        assert!(!wanted("signals=Vehicle.A").names("Vehicle.AB"));
        assert!(wanted("live&signals=X&signals=Vehicle.%2A").names("Vehicle.AB"));
        assert!(Wanted::of(None).names("anything"));
    }

    #[test]
    fn names_that_vehicles_choose_stay_one_field_and_no_formula() {
        assert_eq!(quoted("Vehicle.Speed"), "Vehicle.Speed");
        assert_eq!(quoted("a,\"b\"\nc"), "\"a,\"\"b\"\"\nc\"");
        assert_eq!(quoted("=1+1"), "\"'=1+1\"");
    }
}
