//! The latest sample of every signal, for whoever looks on. The windows keep those of the signals that they use,
//! which is nearly all of the traffic and costs the loop a store a sample; here stand the others'.

use super::Watcher;
use crate::feature::Samples;
use crate::signal::{NoData, SampleSink, SignalId};
use telltale_wire::time::MonoTime;

/// The latest sample of a signal: 32 bytes, 128 kB for the most signals that a catalog may have.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Latest {
    /// The value, or why there is none. Staleness is not looked at: what makes a value stale stands in the catalog.
    /// Of a signal that a model uses the value has single precision.
    pub value: Result<f64, NoData>,
    /// When the latest value came, which may lie before the latest sample; `None` if there was none.
    pub at: Option<MonoTime>,
}

impl Latest {
    /// No sample yet.
    pub(super) const NONE: Latest = Latest { value: Err(NoData::NotReceived), at: None };
}

/// Where samples go, and whether they are used there.
pub(super) trait Offered {
    fn offer(&mut self, signal: SignalId, value: f64) -> bool;
    fn offer_absent(&mut self, signal: SignalId, why: NoData) -> bool;
}

impl Offered for Samples<'_> {
    #[inline]
    fn offer(&mut self, signal: SignalId, value: f64) -> bool {
        Samples::offer(self, signal, value)
    }

    #[inline]
    fn offer_absent(&mut self, signal: SignalId, why: NoData) -> bool {
        Samples::offer_absent(self, signal, why)
    }
}

/// Hands each sample of a frame to every watcher.
pub(super) struct Fan<'a> {
    pub(super) at: MonoTime,
    pub(super) watchers: &'a mut [Watcher],
}

impl Offered for Fan<'_> {
    fn offer(&mut self, signal: SignalId, value: f64) -> bool {
        let at = self.at;
        let take = |used, watcher: &mut Watcher| {
            watcher.extractor.take(at, |samples| samples.offer(signal, value)) || used
        };
        self.watchers.iter_mut().fold(false, take)
    }

    fn offer_absent(&mut self, signal: SignalId, why: NoData) -> bool {
        let at = self.at;
        let take = |used, watcher: &mut Watcher| {
            watcher.extractor.take(at, |samples| samples.offer_absent(signal, why)) || used
        };
        self.watchers.iter_mut().fold(false, take)
    }
}

/// Notes the samples of a frame that are not used where they are offered.
pub(super) struct Noting<'a, S> {
    pub(super) rest: &'a mut [Latest],
    pub(super) at: MonoTime,
    pub(super) next: &'a mut S,
}

impl<S: Offered> SampleSink for Noting<'_, S> {
    #[inline]
    fn value(&mut self, signal: SignalId, value: f64) {
        if !self.next.offer(signal, value)
            && let Some(latest) = self.rest.get_mut(signal.index())
        {
            *latest = Latest { value: Ok(value), at: Some(self.at) };
        }
    }

    #[inline]
    fn absent(&mut self, signal: SignalId, why: NoData) {
        if !self.next.offer_absent(signal, why)
            && let Some(latest) = self.rest.get_mut(signal.index())
        {
            latest.value = Err(why);
        }
    }
}

/// Writes down the latest sample of every signal.
pub(super) fn collect(rest: &[Latest], watchers: &[Watcher], into: &mut Vec<Latest>) {
    into.clear();
    into.extend_from_slice(rest);
    for (signal, value, at) in watchers.iter().flat_map(|watcher| watcher.extractor.latest()) {
        if let Some(latest) = into.get_mut(signal.index()) {
            *latest = Latest { value: value.map(f64::from), at };
        }
    }
}
