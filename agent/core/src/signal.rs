//! Signals and their samples: a physical value, or the reason why there is none.

use std::fmt;
use telltale_wire::record::IndeterminateReason;

/// A signal of the catalog, by its place in the catalog's list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SignalId(pub u16);

impl SignalId {
    /// The place in the catalog's list.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Why a signal has no value. It never turns into zero on its way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum NoData {
    /// It has not arrived since the start or the last gap.
    NotReceived,
    /// It arrived, but too long ago.
    Stale,
    /// It lies outside the range that the catalog gives.
    OutOfRange,
    /// It holds a value by which the sender says "no value": signal not available, error, initial.
    SensorFault,
}

impl NoData {
    /// What a verdict says when this is why it says nothing.
    #[must_use]
    pub const fn reason(self) -> IndeterminateReason {
        match self {
            NoData::NotReceived => IndeterminateReason::NotReceived,
            NoData::Stale => IndeterminateReason::Stale,
            NoData::OutOfRange => IndeterminateReason::OutOfRange,
            NoData::SensorFault => IndeterminateReason::SensorFault,
        }
    }
}

impl fmt::Display for NoData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason().as_str())
    }
}

/// Takes the samples of a frame, in no particular order. The decoder is generic over it, so that nothing
/// stands between a decoded value and the window that it falls into.
pub trait SampleSink {
    /// The signal has this physical value, in its catalog unit.
    fn value(&mut self, signal: SignalId, value: f64);
    /// The signal arrived without a value.
    fn absent(&mut self, signal: SignalId, why: NoData);
}
