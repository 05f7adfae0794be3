//! Cuts the stream into stretches of equal length and accounts for each.

use super::stamp;
use crate::clock::ClockAnchor;
use std::time::Duration;
use telltale_wire::record::{Counts, ModelSummary, Summary};
use telltale_wire::time::MonoTime;

/// No time at all.
const NEVER: MonoTime = MonoTime(u64::MAX);

/// The stretch under way.
pub(super) struct SummaryBuilder {
    period: Duration,
    from: Option<MonoTime>,
    /// [`NEVER`] while nothing has been seen in it.
    due: MonoTime,
    to: MonoTime,
    before: Counts,
}

impl SummaryBuilder {
    pub(super) fn new(period: Duration) -> SummaryBuilder {
        SummaryBuilder { period, from: None, due: NEVER, to: MonoTime(0), before: Counts::default() }
    }

    /// Starts from these counts: what was counted before belongs to another's stretches.
    pub(super) fn count_from(&mut self, totals: &Counts) {
        self.before = *totals;
    }

    /// Begins a stretch at the time of its first frame; false if one is under way.
    pub(super) fn begin(&mut self, at: MonoTime) -> bool {
        let begins = self.from.is_none();
        if begins {
            self.from = Some(at);
            self.due = at.plus(self.period);
        }
        begins
    }

    #[inline]
    pub(super) fn saw_frame(&mut self, at: MonoTime) {
        self.to = at;
    }

    /// The time of the latest frame.
    pub(super) const fn latest(&self) -> MonoTime {
        self.to
    }

    /// When the stretch under way ends; `None` while nothing has been seen in it.
    pub(super) fn due(&self) -> Option<MonoTime> {
        (self.due != NEVER).then_some(self.due)
    }

    /// Closes the stretch; `None` if nothing was seen in it.
    pub(super) fn close(
        &mut self,
        totals: &Counts,
        anchor: Option<ClockAnchor>,
        models: impl FnOnce() -> Vec<ModelSummary>,
    ) -> Option<Summary> {
        let from = self.from.take()?;
        self.due = NEVER;
        let counts = difference(totals, &self.before);
        self.before = *totals;
        Some(Summary { from: stamp(from, anchor), to: stamp(self.to, anchor), counts, models: models() })
    }
}

fn difference(now: &Counts, before: &Counts) -> Counts {
    Counts {
        frames: now.frames - before.frames,
        decoded: now.decoded - before.decoded,
        filtered: now.filtered - before.filtered,
        unknown: now.unknown - before.unknown,
        malformed: now.malformed - before.malformed,
        samples: now.samples - before.samples,
        lost: now.lost - before.lost,
        windows: now.windows - before.windows,
        nominal: now.nominal - before.nominal,
        anomalous: now.anomalous - before.anomalous,
        indeterminate: now.indeterminate - before.indeterminate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_counts_only_its_own_and_an_empty_one_says_nothing() {
        let mut builder = SummaryBuilder::new(Duration::from_secs(60));
        let mut totals = Counts::default();
        assert!(builder.close(&totals, None, Vec::new).is_none());
        for (at, frames) in [(10, 5), (20, 9)] {
            totals.frames = frames;
            assert_eq!(builder.begin(MonoTime(at)), at == 10);
            builder.saw_frame(MonoTime(at));
        }
        assert_eq!(builder.due(), Some(MonoTime(60_000_010)));
        let first = builder.close(&totals, None, Vec::new).unwrap();
        assert_eq!((first.from.mono, first.to.mono, first.counts.frames), (MonoTime(10), MonoTime(20), 9));
        totals.frames = 11;
        assert!(builder.begin(MonoTime(70)));
        assert_eq!(builder.close(&totals, None, Vec::new).unwrap().counts.frames, 2);
        assert!(builder.close(&totals, None, Vec::new).is_none());
    }
}
