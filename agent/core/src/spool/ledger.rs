//! The ledger of losses: what is lost and not yet durably written as a loss record.
//!
//! Loss is data. An entry leaves the ledger only when the record that tells of it is durable.

use telltale_wire::ids::{BootId, Lane, Seq};
use telltale_wire::record::{LossRecord, LossStage, LostRange};
use telltale_wire::time::Stamp;

/// The most entries that are kept apart (about 10 kB). Further ones lose their range, never their count.
const MAX_ENTRIES: usize = 64;

/// The longest explanation in bytes (with the last letter whole).
const MAX_WHY: usize = 160;

/// The longest entry of a loss record in a segment: its numbers, each a varint, its explanation and the overhead.
pub(super) const MAX_LOSS_ENTRY: usize = MAX_WHY + 128;

/// Losses in the order in which they were noticed.
#[derive(Default, Debug)]
pub(super) struct Ledger {
    entries: Vec<LossRecord>,
    /// So many entries, from the front, are written but not yet durable.
    written: usize,
}

impl Ledger {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds records `first..=last` of a lane, joined with the entry before them where they continue it.
    pub(super) fn add_range(&mut self, at: Stamp, stage: LossStage, range: LostRange, why: &str) {
        let count = (range.last.0 - range.first.0).saturating_add(1);
        let open = self.entries.get_mut(self.written..).unwrap_or_default();
        let continued = open.iter_mut().rev().find(|entry| {
            entry.stage == stage
                && entry.range.is_some_and(|r| {
                    (r.boot, r.lane) == (range.boot, range.lane)
                        && r.last.0.checked_add(1) == Some(range.first.0)
                })
        });
        if let Some(entry) = continued {
            entry.count += count;
            entry.range = entry.range.map(|r| LostRange { last: range.last, ..r });
        } else {
            self.push(LossRecord { at, stage, count, range: Some(range), why: why.to_owned() });
        }
    }

    /// Adds a loss of which the numbers are not known, or that happened before numbers were given.
    pub(super) fn push(&mut self, mut loss: LossRecord) {
        if let Some((cut, _)) = loss.why.char_indices().find(|(at, _)| *at >= MAX_WHY) {
            loss.why.truncate(cut);
        }
        if self.entries.len() < MAX_ENTRIES {
            self.entries.push(loss);
            return;
        }
        let same_stage = |entry: &&mut LossRecord| entry.stage == loss.stage;
        let open = self.entries.get_mut(self.written..).unwrap_or_default();
        if let Some(entry) = open.iter_mut().rev().find(same_stage) {
            entry.count = entry.count.saturating_add(loss.count);
            entry.range = None;
        } else {
            // All entries are on their way to the disk or of other stages: a bounded few more.
            self.entries.push(loss);
        }
    }

    /// The next entry to write.
    pub(super) fn next(&self) -> Option<&LossRecord> {
        self.entries.get(self.written)
    }

    /// The entry that [`Ledger::next`] gave is written.
    pub(super) fn mark_written(&mut self) {
        self.written = (self.written + 1).min(self.entries.len());
    }

    /// What was written did not become durable: it is to be written again.
    pub(super) fn rewind(&mut self) {
        self.written = 0;
    }

    /// What was written is durable.
    pub(super) fn mark_durable(&mut self) {
        self.entries.drain(..self.written);
        self.written = 0;
    }

    /// All losses that are not durable yet.
    pub(super) fn entries(&self) -> &[LossRecord] {
        &self.entries
    }
}

/// A range from plain numbers.
pub(super) fn range(boot: BootId, lane: Lane, first: u64, last: u64) -> LostRange {
    LostRange { boot, lane, first: Seq(first), last: Seq(last) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use telltale_wire::time::MonoTime;

    const NOW: Stamp = Stamp { mono: MonoTime(1), wall: None };

    #[test]
    fn neighbours_join_and_nothing_is_uncounted_when_full() {
        let mut ledger = Ledger::default();
        let one = |seq| range(BootId(1), Lane::Bulk, seq, seq);
        ledger.add_range(NOW, LossStage::SpoolWrite, one(5), "x");
        ledger.add_range(NOW, LossStage::SpoolWrite, one(6), "x");
        assert_eq!((ledger.entries().len(), ledger.entries()[0].count), (1, 2));
        for seq in 0..500 {
            ledger.add_range(NOW, LossStage::SpoolWrite, one(10 + 2 * seq), "x");
        }
        assert_eq!(ledger.entries().len(), MAX_ENTRIES);
        assert_eq!(ledger.entries().iter().map(|l| l.count).sum::<u64>(), 502);
    }

    #[test]
    fn an_entry_stays_until_it_is_durable() {
        let mut ledger = Ledger::default();
        ledger.add_range(NOW, LossStage::SpoolCap, range(BootId(1), Lane::Bulk, 1, 9), "x");
        ledger.mark_written();
        assert!(ledger.next().is_none() && !ledger.is_empty());
        ledger.rewind();
        assert!(ledger.next().is_some());
        ledger.mark_written();
        ledger.mark_durable();
        assert!(ledger.is_empty());
    }
}
