//! What becomes of the samples of a frame whose checksum does not fit.

use crate::signal::{NoData, SampleSink, SignalId};

/// Lets the values of a `WHOLE` frame pass; those of a torn one are absent, as those of a sensor that is at
/// fault: what else its bits say cannot be believed either.
pub(super) struct Trusted<S, const WHOLE: bool>(pub(super) S);

impl<S: SampleSink, const WHOLE: bool> SampleSink for Trusted<S, WHOLE> {
    #[inline(always)]
    fn value(&mut self, signal: SignalId, value: f64) {
        if WHOLE {
            self.0.value(signal, value);
        } else {
            self.0.absent(signal, NoData::SensorFault);
        }
    }

    #[inline(always)]
    fn absent(&mut self, signal: SignalId, why: NoData) {
        self.0.absent(signal, if WHOLE { why } else { NoData::SensorFault });
    }
}
