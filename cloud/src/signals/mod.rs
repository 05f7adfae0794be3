//! Statistics of signals over any stretch of time, as the pages and scripts get them: what vehicles told stretch by
//! stretch, merged. Sketches merge without loss, so that a quantile over a day, or over a fleet, is as good as one over
//! a minute; `relative_error` says how good.

mod merge;
mod range;

pub(crate) use merge::{Gathering, Names, Stretch};
pub(crate) use range::moment;
pub use range::{Asked, BadRange};

use serde::Serialize;

/// The most records that one answer merges: a week of a record a minute. The newest count.
pub const MAX_RECORDS: u64 = 10_000;
/// The most bytes of records that one answer reads.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;
/// The most series of one answer. Each takes up to 16 kB for its sketch and 18 kB for its points: 70 MB at the worst.
pub const MAX_SERIES: usize = 2_048;
/// The most buckets of a merged sketch. One that needs more gets coarser, and says so.
pub const MAX_BUCKETS: usize = 1_024;
/// Points over time of each series.
pub const POINTS: usize = 24;
/// The most buckets of a point's sketch.
pub const POINT_BUCKETS: usize = 48;
/// The most buses, checks and regimes of one answer, each.
pub const MAX_NAMED: usize = 256;

/// The stretch of time that an answer covers: records that end after its start and not after its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    /// Microseconds since the Unix epoch.
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// The statistics of one vehicle.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SignalsReport {
    /// What was merged.
    #[serde(flatten)]
    pub merged: Merged,
    /// Signals, in the order of the vehicle's catalog.
    pub signals: Vec<SeriesLine>,
    /// The scores of its models, of all their subjects together.
    pub models: Vec<SeriesLine>,
    /// Its buses.
    pub buses: Vec<BusLine>,
    /// How good the data is; `null` if no record told.
    pub quality: Option<QualityLine>,
}

/// One signal, over all vehicles.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FleetSignalReport {
    /// Its path.
    pub signal: String,
    /// What was merged.
    #[serde(flatten)]
    pub merged: Merged,
    /// One entry for each unit in which vehicles send it.
    pub series: Vec<SeriesLine>,
}

/// What an answer rests on.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Merged {
    /// Start of the range, exclusive.
    pub from: String,
    /// Its end, inclusive.
    pub to: String,
    /// Vehicles whose records were merged.
    pub vehicles: u64,
    /// Records in the range.
    pub records: u64,
    /// Of these: merged.
    pub records_merged: u64,
    /// Of these: read, but about other signals.
    pub records_of_others: u64,
    /// Of these: older than the [`MAX_RECORDS`] or [`MAX_BYTES`] that one answer reads. Ask for a shorter range.
    pub records_left_out: u64,
    /// Of these: without the directory that names their series.
    pub records_unnamed: u64,
    /// Of these: contradicting themselves, or not decodable.
    pub records_contradictory: u64,
    /// Series (or a record's quality) in merged records that contradict themselves, or exceed [`MAX_SERIES`].
    pub series_left_out: u64,
}

/// One series.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SeriesLine {
    /// The signal's path, or the model's name.
    pub name: String,
    /// The unit's symbol.
    pub unit: &'static str,
    /// How often the catalog says that it is sent, in milliseconds; `null` if it does not say.
    pub cycle_ms: Option<u32>,
    /// Values behind the quantiles and the mean: of a signal one a step (a second) in which it had one, of a model
    /// one a window and subject.
    pub values: u64,
    /// Samples that came with a value.
    pub samples: u64,
    /// Samples outside the catalog's range.
    pub out_of_range: u64,
    /// Samples by which the sender said "no value".
    pub sensor_fault: u64,
    /// The least sample; `null` if there was none, as in all that follow.
    pub min: Option<f64>,
    /// The quantiles: shares of time.
    pub p1: Option<f64>,
    /// The median.
    pub p50: Option<f64>,
    /// See `p1`.
    pub p99: Option<f64>,
    /// The greatest sample.
    pub max: Option<f64>,
    /// The mean over time.
    pub mean: Option<f64>,
    /// The last sample.
    pub last: Option<f64>,
    /// The most that a quantile is off, as a share of it; below 0.000001 it is an absolute error of that size.
    pub relative_error: f64,
    /// Steps (of a model: windows) without a value, by reason.
    pub absent: Vec<AbsenceLine>,
    /// The longest stretch without a sample with a value, in seconds, within one record.
    pub longest_gap_s: f64,
    /// The same over time, in order, without the stretches of which there is nothing.
    pub points: Vec<PointLine>,
}

impl SeriesLine {
    /// Steps without a value.
    #[must_use]
    pub fn absent_total(&self) -> u64 {
        self.absent.iter().fold(0, |sum, line| sum.saturating_add(line.steps))
    }
}

/// Why there was no value, and how long.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AbsenceLine {
    /// Why.
    pub reason: &'static str,
    /// Steps.
    pub steps: u64,
}

/// A series in a part of the range.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PointLine {
    /// The middle of the part.
    pub at: String,
    /// The same in microseconds since the Unix epoch.
    #[serde(skip)]
    pub unix_us: i64,
    /// Values in it.
    pub values: u64,
    /// The quantiles, within `relative_error`.
    pub p1: f64,
    /// See `p1`.
    pub p50: f64,
    /// See `p1`.
    pub p99: f64,
    /// The most that they are off.
    pub relative_error: f64,
}

/// One bus.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct BusLine {
    /// Its name.
    pub name: String,
    /// Bits a second.
    pub bitrate: u32,
    /// Frames.
    pub frames: u64,
    /// Bits with nominal stuffing.
    pub bits: u64,
    /// Bits with worst-case stuffing.
    pub bits_worst: u64,
    /// Mean load with nominal stuffing, 0 to 1; `null` without time.
    pub load: Option<f64>,
    /// The same with worst-case stuffing.
    pub load_worst: Option<f64>,
    /// Load of the busiest step (second) with nominal stuffing.
    pub peak: f64,
    /// The same with worst-case stuffing.
    pub peak_worst: f64,
    /// The longest time without a frame, in seconds, within one record.
    pub longest_silence_s: f64,
}

/// How good the data is.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct QualityLine {
    /// Samples that came, of those that the cycle times let expect, 0 to 1; `null` if the catalog states none.
    pub completeness: Option<f64>,
    /// Steps of signals that had a value, 0 to 1.
    pub coverage: Option<f64>,
    /// Samples with a value in its range, 0 to 1.
    pub plausibility: Option<f64>,
    /// Comparisons of signals with each other that held, 0 to 1; `null` without checks.
    pub consistency: Option<f64>,
    /// Check by check.
    pub checks: Vec<CheckLine>,
    /// Time in each operating regime.
    pub regimes: Vec<RegimeLine>,
    /// Seconds in none of them.
    pub other_regime_s: f64,
    /// Seconds in which it could not be told.
    pub unknown_regime_s: f64,
    /// The age of the oldest value that was used, in milliseconds.
    pub oldest_ms: u32,
    /// The longest time from the end of a window until it was judged, in milliseconds; `null` without a window.
    pub judged_after_ms: Option<u32>,
}

/// A check of signals against each other.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CheckLine {
    /// Its name.
    pub name: String,
    /// The unit of the difference.
    pub unit: &'static str,
    /// The difference that is still consistent.
    pub tolerance: Option<f32>,
    /// Steps compared.
    pub compared: u64,
    /// Of these: beyond the tolerance.
    pub violated: u64,
    /// The largest difference; `null` if nothing was compared.
    pub worst: Option<f32>,
}

/// Time in an operating regime.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RegimeLine {
    /// Its name.
    pub name: String,
    /// Seconds.
    pub seconds: f64,
}
