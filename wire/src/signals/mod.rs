//! What the signals, scores and buses of a stretch of time looked like: the statistics beside a summary.
//!
//! A [`Statistics`] names nothing: its series stand in the order of a [`Directory`], which the vehicle sends once a
//! start and which the statistics call by its id. A stretch is cut into steps of equal length. At the end of each
//! step a signal has a value (its latest one, as long as that is not stale) or a reason why not, so that the steps of
//! a series are its sketch's count and its absences together. Quantiles and the mean are over these values: a share
//! of q is a share of time, however often a signal is sent. Least and greatest are over every sample.
//!
//! The series are packed bit by bit, each against the one before it (`packed`); a catalog's neighbours, such as the
//! cells of a pack, look alike. The list ends a record, so that a stretch of many signals is spread over several.

mod directory;
mod packed;

pub use directory::{BusName, CheckName, Directory, Names, SeriesKind, SeriesName};

use crate::digest::ShortDigest;
use crate::record::IndeterminateReason;
use crate::sketch::Sketch;
use crate::time::Stamp;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The most series that a directory names: a catalog's 4,096 signals and the scores of a few models.
pub const MAX_SERIES: usize = 4_160;
/// The most decimals of a series.
pub const MAX_DECIMALS: u8 = 12;
/// The largest number of a series in units of its last decimal: an `f64` holds all below exactly.
pub const MAX_SCALED: i64 = 1 << 53;

/// One of the two bodies of kind 6. Append only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum SignalRecord {
    /// What the series, buses, checks and regimes are called.
    Directory(Directory),
    /// What they looked like.
    Statistics(Statistics),
}

/// The statistics of a stretch, or a part of them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Statistics {
    /// Start of the stretch.
    pub from: Stamp,
    /// Its end.
    pub to: Stamp,
    /// The directory that names what follows.
    pub directory: ShortDigest,
    /// How long a step is, in milliseconds.
    pub step_ms: u32,
    /// The buses in the directory's order; empty in all but the first part.
    pub buses: Vec<BusLoad>,
    /// How good the data is; in the first part only.
    pub quality: Option<Quality>,
    /// The series.
    pub series: SeriesRun,
}

/// Series that follow each other in the directory.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "packed::PackedRun", into = "packed::PackedRun")]
pub struct SeriesRun {
    /// How many steps the stretch has.
    pub steps: u32,
    /// The place of the first one in the directory.
    pub first: u16,
    /// The series.
    pub series: Vec<Series>,
}

/// One signal or score in a stretch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Series {
    /// Samples that came with a value.
    pub samples: u64,
    /// Samples that came with one outside the range that the catalog gives.
    pub out_of_range: u64,
    /// Samples by which the sender said "no value".
    pub sensor_fault: u64,
    /// Steps that ended without a value, by reason in the order of [`IndeterminateReason::ALL`].
    pub absent: [u64; IndeterminateReason::ALL.len()],
    /// The most steps in a row that brought no sample with a value.
    pub longest_gap: u32,
    /// The values; `None` if there was none.
    pub values: Option<Values>,
}

impl Series {
    /// A series that was never heard in a stretch of so many steps.
    #[must_use]
    pub fn unheard(steps: u32) -> Self {
        let mut absent = [0; IndeterminateReason::ALL.len()];
        absent[IndeterminateReason::NotReceived as usize] = u64::from(steps);
        Self { samples: 0, out_of_range: 0, sensor_fault: 0, absent, longest_gap: steps, values: None }
    }
}

/// The values of a series, in units of their last decimal: 3,712 with three decimals is 3.712.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Values {
    /// How many decimals, at most [`MAX_DECIMALS`]. They resolve the signal's own steps.
    pub decimals: u8,
    /// The least sample.
    pub min: i64,
    /// The greatest sample.
    pub max: i64,
    /// The last sample.
    pub last: i64,
    /// The mean over the steps that have a value.
    pub mean: i64,
    /// The values at the ends of the steps; for a score, those of all windows and subjects.
    pub sketch: Sketch,
}

impl Values {
    /// A number of this series in its unit.
    #[must_use]
    pub fn physical(&self, scaled: i64) -> f64 {
        scaled as f64 / power_of_ten(self.decimals)
    }
}

/// `10^decimals`.
#[must_use]
pub fn power_of_ten(decimals: u8) -> f64 {
    (0..decimals.min(MAX_DECIMALS)).fold(1.0, |power, _| power * 10.0)
}

/// One bus in a stretch. Loads are shares of the time, in thousandths, from frame lengths and the catalog's bitrates.
///
/// Stuffed bits are not seen by a receiver, hence two bounds: `nominal` counts one stuffed bit in 30, what random bits need,
/// `worst` the most that can occur (R. I. Davis et al., "Controller Area Network (CAN) schedulability analysis", 2007).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BusLoad {
    /// Frames that were received.
    pub frames: u64,
    /// Their bits, spaces between frames included, with nominal stuffing.
    pub nominal_bits: u64,
    /// Their bits with worst-case stuffing.
    pub worst_bits: u64,
    /// Load of the whole stretch with nominal stuffing.
    pub nominal_load: u16,
    /// Load of the busiest step with nominal stuffing.
    pub nominal_peak: u16,
    /// Load of the whole stretch with worst-case stuffing.
    pub worst_load: u16,
    /// Load of the busiest step with worst-case stuffing.
    pub worst_peak: u16,
    /// The most steps in a row without a frame.
    pub longest_silence: u32,
}

/// How good the data of a stretch is.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Quality {
    /// Steps of signals, all signals together.
    pub signal_steps: u64,
    /// Of these: with a value.
    pub valued_steps: u64,
    /// Samples that the cycle times of the catalog let expect; 0 if it states none.
    pub expected: u64,
    /// Samples of the signals with a cycle time that came, with a value or without, at most as many as expected of each.
    pub received: u64,
    /// Samples of all signals, with a value or without.
    pub samples: u64,
    /// Of these: with a value within its range.
    pub plausible: u64,
    /// The checks of signals against each other, in the directory's order.
    pub checks: Vec<CheckStatistics>,
    /// Steps spent in each regime, in the directory's order.
    pub regimes: Vec<u32>,
    /// Steps in none of them.
    pub other_regime: u32,
    /// Steps in which a signal was absent that the regimes need.
    pub unknown_regime: u32,
    /// The age of the oldest value that was used at the end of a step, in milliseconds, up to a step less.
    pub oldest_ms: u32,
    /// The longest time from the end of a model's window until it was judged, in milliseconds; `None` without a window.
    pub judged_after_ms: Option<u32>,
}

/// How one check of signals against each other fared.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct CheckStatistics {
    /// Steps in which all its signals had a value.
    pub compared: u32,
    /// Of these: with a difference beyond the tolerance.
    pub violated: u32,
    /// The largest difference, without its sign, in the check's unit.
    pub worst: f32,
}
