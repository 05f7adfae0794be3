//! The latest sample of every signal, for whoever looks on. Two stores a sample, so that it costs the loop little.

use crate::signal::{NoData, SampleSink, SignalId};
use telltale_wire::time::MonoTime;

/// The latest sample of a signal: 16 bytes, 64 kB for the most signals that a catalog may have.
#[derive(Clone, Copy, Debug)]
pub struct Latest {
    /// The value; a reason for its absence is a NaN with that reason in its lowest bits.
    bits: f64,
    /// When it came; means nothing while the reason is [`NoData::NotReceived`].
    at: MonoTime,
}

const NOT_A_NUMBER: u64 = f64::NAN.to_bits() & !0xff;

impl Latest {
    /// No sample yet.
    pub(super) const NONE: Latest = Latest::absent(NoData::NotReceived, MonoTime(0));

    const fn absent(why: NoData, at: MonoTime) -> Latest {
        Latest { bits: f64::from_bits(NOT_A_NUMBER | why as u64), at }
    }

    /// The value, or why there is none. A value that is no number counts as a sensor fault. Staleness is not looked
    /// at: what makes a value stale stands in the catalog.
    pub const fn get(self) -> Result<f64, NoData> {
        if !self.bits.is_nan() {
            return Ok(self.bits);
        }
        Err(match self.bits.to_bits() & 0xff {
            n if n == NoData::NotReceived as u64 => NoData::NotReceived,
            n if n == NoData::Stale as u64 => NoData::Stale,
            n if n == NoData::OutOfRange as u64 => NoData::OutOfRange,
            _ => NoData::SensorFault,
        })
    }

    /// When the sample came; `None` if there was none.
    #[must_use]
    pub const fn at(self) -> Option<MonoTime> {
        match self.get() {
            Err(NoData::NotReceived) => None,
            _ => Some(self.at),
        }
    }
}

/// Notes the samples of a frame on their way to `next`.
pub(super) struct Noting<'a, S> {
    pub(super) latest: &'a mut [Latest],
    pub(super) at: MonoTime,
    pub(super) next: &'a mut S,
}

impl<S: SampleSink> SampleSink for Noting<'_, S> {
    #[inline]
    fn value(&mut self, signal: SignalId, value: f64) {
        if let Some(latest) = self.latest.get_mut(signal.index()) {
            *latest = Latest { bits: value, at: self.at };
        }
        self.next.value(signal, value);
    }

    #[inline]
    fn absent(&mut self, signal: SignalId, why: NoData) {
        if let Some(latest) = self.latest.get_mut(signal.index()) {
            *latest = Latest::absent(why, self.at);
        }
        self.next.absent(signal, why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nowhere;

    impl SampleSink for Nowhere {
        fn value(&mut self, _: SignalId, _: f64) {}
        fn absent(&mut self, _: SignalId, _: NoData) {}
    }

    #[test]
    fn a_sample_is_its_value_or_its_reason_and_none_is_not_received() {
        let mut latest = [Latest::NONE; 2];
        assert_eq!((latest[0].get(), latest[0].at()), (Err(NoData::NotReceived), None));
        let mut note = |at, what: Result<f64, NoData>| {
            let mut sink = Noting { latest: &mut latest, at: MonoTime(at), next: &mut Nowhere };
            // A signal beyond the table is none of the catalog's.
            for signal in [SignalId(1), SignalId(9)] {
                match what {
                    Ok(value) => sink.value(signal, value),
                    Err(why) => sink.absent(signal, why),
                }
            }
            (latest[1].get(), latest[1].at())
        };
        assert_eq!(note(5, Ok(-1.5)), (Ok(-1.5), Some(MonoTime(5))));
        for why in [NoData::Stale, NoData::OutOfRange, NoData::SensorFault] {
            assert_eq!(note(6, Err(why)), (Err(why), Some(MonoTime(6))));
        }
        assert_eq!(note(7, Ok(f64::INFINITY)).0, Ok(f64::INFINITY));
        assert_eq!(note(8, Ok(-f64::NAN)).0, Err(NoData::SensorFault));
    }
}
