//! The latest sample of every signal, for whoever looks on; and samples that go to several models.

use super::Watcher;
use crate::drift::Conditions;
use crate::signal::{NoData, SampleSink, SignalId};
use crate::statistics::Statistics;
use std::time::Duration;
use telltale_wire::time::MonoTime;

/// The latest sample of a signal: 32 bytes, 128 kB for the most signals that a catalog may have.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Latest {
    /// The value, or why there is none. Staleness is not looked at: what makes a value stale stands in the catalog.
    pub value: Result<f64, NoData>,
    /// When the latest value came, which may lie before the latest sample; `None` if there was none.
    pub at: Option<MonoTime>,
}

/// The latest samples as they stand at the end of a window.
pub(super) struct At<'a> {
    pub(super) statistics: &'a Statistics,
    pub(super) at: MonoTime,
}

impl Conditions for At<'_> {
    fn value(&self, signal: SignalId, no_older: Duration) -> Option<f64> {
        let (value, at) = self.statistics.latest_of(signal);
        value.ok().filter(|_| at.is_some_and(|at| self.at.since(at) <= no_older))
    }
}

/// Hands each sample of a frame to every watcher.
pub(super) struct Fan<'a> {
    pub(super) at: MonoTime,
    pub(super) watchers: &'a mut [Watcher],
}

impl SampleSink for Fan<'_> {
    #[inline]
    fn value(&mut self, signal: SignalId, value: f64) {
        for watcher in self.watchers.iter_mut() {
            watcher.extractor.take(self.at, |samples| samples.value(signal, value));
        }
    }

    #[inline]
    fn absent(&mut self, signal: SignalId, why: NoData) {
        for watcher in self.watchers.iter_mut() {
            watcher.extractor.take(self.at, |samples| samples.absent(signal, why));
        }
    }
}
