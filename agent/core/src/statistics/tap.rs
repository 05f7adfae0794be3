//! What is written at every sample: the one part of the statistics that the loop pays for by the frame.

use crate::signal::{NoData, SampleSink, SignalId};
use telltale_wire::time::MonoTime;

/// The latest sample of one signal, and what came since the stretch began. One cache line, 256 kB for the largest
/// catalog.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Tally {
    /// The latest sample; NaN if it had no value.
    pub(super) latest: f64,
    /// When the latest value came, in microseconds; [`NEVER`] before the first.
    pub(super) at: u64,
    /// The least value.
    pub(super) min: f64,
    /// The greatest.
    pub(super) max: f64,
    /// Samples with a value.
    pub(super) samples: u32,
    /// Samples out of range.
    pub(super) out_of_range: u32,
    /// Samples by which the sender said "no value".
    pub(super) sensor_fault: u32,
    /// Why the latest sample without a value had none.
    pub(super) why: NoData,
    /// When that came.
    absent_at: u64,
    /// The value before it.
    held: f64,
}

/// No value has come.
const NEVER: u64 = u64::MAX;

impl Tally {
    pub(super) const NEW: Tally = Tally {
        latest: f64::NAN,
        at: NEVER,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
        samples: 0,
        out_of_range: 0,
        sensor_fault: 0,
        why: NoData::NotReceived,
        absent_at: 0,
        held: f64::NAN,
    };

    /// Begins a stretch: the latest sample stays.
    pub(super) const fn begin(&mut self) {
        (self.min, self.max) = (f64::INFINITY, f64::NEG_INFINITY);
        (self.samples, self.out_of_range, self.sensor_fault) = (0, 0, 0);
    }

    /// Takes a value into the extremes.
    #[inline]
    pub(super) fn widen(&mut self, value: f64) {
        if value < self.min {
            self.min = value;
        }
        if value > self.max {
            self.max = value;
        }
    }

    /// The latest sample; [`NoData::NotReceived`] before the first.
    pub(super) const fn latest(&self) -> Result<f64, NoData> {
        if self.latest.is_nan() { Err(self.why) } else { Ok(self.latest) }
    }

    /// When the latest value came.
    pub(super) fn at(&self) -> Option<MonoTime> {
        (self.at != NEVER).then_some(MonoTime(self.at))
    }

    /// When the latest sample came, with a value or without; zero before the first.
    pub(super) const fn heard_at(&self) -> MonoTime {
        MonoTime(if self.latest.is_nan() { self.absent_at } else { self.at })
    }

    /// The latest value, whatever came behind it; NaN before the first.
    pub(super) const fn latest_value(&self) -> f64 {
        if self.latest.is_nan() { self.held } else { self.latest }
    }

    #[inline]
    fn note(&mut self, value: f64, at: MonoTime) {
        self.latest = value;
        self.at = at.as_micros();
        self.samples = self.samples.wrapping_add(1);
        self.widen(value);
    }

    fn note_absent(&mut self, why: NoData, at: MonoTime) {
        self.held = self.latest_value();
        self.latest = f64::NAN;
        (self.absent_at, self.why) = (at.as_micros(), why);
        let count = if why == NoData::OutOfRange { &mut self.out_of_range } else { &mut self.sensor_fault };
        *count = count.wrapping_add(1);
    }
}

/// Notes each sample of a frame in its signal's tally, and hands it on.
pub(crate) struct Tap<'a, S> {
    pub(crate) tallies: &'a mut [Tally],
    pub(crate) at: MonoTime,
    pub(crate) next: &'a mut S,
}

impl<S: SampleSink> SampleSink for Tap<'_, S> {
    #[inline]
    fn value(&mut self, signal: SignalId, value: f64) {
        if let Some(tally) = self.tallies.get_mut(signal.index()) {
            tally.note(value, self.at);
        }
        self.next.value(signal, value);
    }

    #[inline]
    fn absent(&mut self, signal: SignalId, why: NoData) {
        if let Some(tally) = self.tallies.get_mut(signal.index()) {
            tally.note_absent(why, self.at);
        }
        self.next.absent(signal, why);
    }
}
