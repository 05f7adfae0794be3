//! The spool: store-and-forward on flash, one append-only log a lane.
//!
//! A record gets its number in [`Spool::append`], becomes durable in [`Spool::sync`] (group commit), is handed out
//! by [`Spool::next_batch`] only then, and leaves by [`Spool::ack`] or by a loss record; there is no third way.
//!
//! - Each start of the agent writes segments of its own, numbered from 1: nothing is ever appended behind a tail
//!   that a power cut may have torn.
//! - Before anything is removed for want of space or for damage, the [`LossRecord`]
//!   that tells of it is durable in the critical lane. Each segment of that lane keeps room for such records, so
//!   that a full disk can be accounted for on the full disk. A cut between the two may let a record be counted
//!   as lost and yet arrive; never neither.
//! - A segment of which a write or a sync failed is not written again. What was not durable yet is written to
//!   the next one; where that fails too, it is lost and counted.
//!
//! The spool asks a [`Storage`] for files and the caller for the time. It blocks for as long as the storage does.

mod batch;
mod cap;
mod config;
mod cursor;
mod inspect;
mod lane;
mod ledger;
mod open;
mod segment;
mod upkeep;

#[cfg(test)]
mod tests;

pub use batch::{Allowance, BatchLimits};
pub use config::{DropPolicy, SpoolConfig};
pub use inspect::{CursorView, Inspection, SegmentView, inspect, records_of};
pub use open::{OpenError, OpenReport};

use crate::storage::{Storage, StorageError};
use batch::{Batches, Room};
use cursor::LaneCursor;
use lane::LaneLog;
use ledger::Ledger;
use segment::{ENTRY_OVERHEAD, HEADER_LEN, SegmentId};
use std::time::Duration;
use telltale_wire::ids::{BootId, Lane, Seq};
use telltale_wire::record::{LossRecord, LossStage, RawRecord, Record, RecordError};
use telltale_wire::sync::{Ack, Batch};
use telltale_wire::time::{MonoTime, Stamp};
use thiserror::Error;

/// The longest segment, and the most that is read of a file at once.
const MAX_SEGMENT_LEN: u64 = 1024 * 1024;

/// Room at the end of each critical segment that only loss records may use: more than a full ledger needs.
const LOSS_RESERVE: usize = 16 * 1024;

/// After a failed attempt to write to the disk, records are counted as lost for this long before the next attempt:
/// a dead disk must not cost the agent its time.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why a record was not taken.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AppendError {
    /// The record has no bytes to store. No number was used.
    #[error("the record cannot be stored")]
    Record(#[from] RecordError),
    /// The record is longer than a segment of this configuration. No number was used.
    #[error("a record of {len} bytes does not fit a segment of {segment_len}: raise the segment size")]
    TooLong {
        /// The length of its entry in bytes.
        len: usize,
        /// The configured segment size in bytes.
        segment_len: u64,
    },
    /// The disk refused it, or its lane keeps what is older. It has a number, and a loss record will tell of it.
    #[error("record {seq} of lane {lane} was not taken; it is counted as lost")]
    Lost {
        /// Its lane.
        lane: Lane,
        /// The number it would have had.
        seq: Seq,
    },
}

/// What the spool holds and what it has done since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpoolStats {
    /// Durable records that wait for an acknowledgement.
    pub waiting_records: u64,
    /// Records that are not durable yet.
    pub pending_records: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Records appended.
    pub appended: u64,
    /// Records counted as lost.
    pub lost: u64,
    /// Successful syncs of a segment.
    pub commits: u64,
    /// Operations that the storage refused.
    pub storage_errors: u64,
    /// What each lane holds, by its index.
    pub lanes: [LaneStats; 4],
}

/// What one lane holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LaneStats {
    /// Durable records that wait for an acknowledgement.
    pub waiting_records: u64,
    /// Records that are not durable yet.
    pub pending_records: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// The most bytes that it may take.
    pub cap_bytes: u64,
    /// Segment files.
    pub segments: u64,
}

/// The log of all lanes on one storage.
#[derive(Debug)]
pub struct Spool<S> {
    storage: S,
    config: SpoolConfig,
    boot: BootId,
    lanes: [LaneLog; 4],
    ledger: Ledger,
    /// Files to cut or to remove as soon as the ledger and the cursor are durable.
    repairs: Vec<Repair>,
    cursor_generation: u64,
    cursor_file: bool,
    cursor_dirty_since: Option<MonoTime>,
    /// The disk refused to take records: no attempt before this time.
    broken_until: Option<MonoTime>,
    /// Losses or repairs could not be settled: no attempt before this time.
    settle_after: Option<MonoTime>,
    /// Losses are being written; what is found meanwhile waits in the ledger.
    settling: bool,
    stats: SpoolStats,
}

/// What is to be done to a file once its losses are accounted for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Repair {
    Remove(String),
    Truncate(String, u64),
}

impl<S: Storage> Spool<S> {
    /// Appends a record to its lane. It is durable after the next sync of that lane; see
    /// [`Spool::next_sync_deadline`].
    ///
    /// # Errors
    /// Every [`AppendError`]. The spool stays usable after each.
    pub fn append(&mut self, now: Stamp, record: &Record) -> Result<(Lane, Seq), AppendError> {
        let lane = record.lane();
        self.append_raw(now, lane, &record.to_raw()?)
    }

    /// Appends an encoded record to a lane of the caller's choice.
    ///
    /// # Errors
    /// Every [`AppendError`]. The spool stays usable after each.
    pub fn append_raw(
        &mut self,
        now: Stamp,
        lane: Lane,
        raw: &RawRecord,
    ) -> Result<(Lane, Seq), AppendError> {
        let payload = postcard::to_allocvec(raw)
            .map_err(|e| RecordError::Malformed { kind: raw.kind, why: e.to_string() })?;
        let len = ENTRY_OVERHEAD + payload.len();
        if payload.len() > segment::MAX_PAYLOAD {
            return Err(RecordError::TooLong { len: raw.body.len() }.into());
        }
        if (HEADER_LEN + LOSS_RESERVE + len) as u64 > self.config.segment_len {
            return Err(AppendError::TooLong { len, segment_len: self.config.segment_len });
        }
        self.stats.appended += 1;
        match self.write_record(now, lane, &payload) {
            Ok(seq) => Ok((lane, Seq(seq))),
            Err(seq) => Err(AppendError::Lost { lane, seq: Seq(seq) }),
        }
    }

    /// Accounts for something that was lost before it reached the spool.
    pub fn record_loss(&mut self, loss: LossRecord) {
        self.stats.lost = self.stats.lost.saturating_add(loss.count);
        self.ledger.push(loss);
    }

    /// When [`Spool::sync`] should next be called; a time in the past means now. `None` while all is durable.
    #[must_use]
    pub fn next_sync_deadline(&self) -> Option<MonoTime> {
        let lanes = Lane::ALL.into_iter().filter_map(|lane| self.lane_deadline(lane));
        let cursor = self.cursor_dirty_since.map(|since| since.plus(self.config.commit_after));
        let settle = self.has_unsettled().then_some(MonoTime(0));
        let settle = settle
            .or(cursor)
            .map(|due| due.max(self.broken_until.max(self.settle_after).unwrap_or_default()));
        lanes.chain(settle).min()
    }

    /// Makes durable what is due. May be called at any time.
    pub fn sync(&mut self, now: Stamp) {
        for lane in Lane::ALL {
            if self.lane_deadline(lane).is_some_and(|due| due <= now.mono) {
                self.sync_lane(now, lane);
            }
        }
        let cursor_due =
            self.cursor_dirty_since.is_some_and(|since| since.plus(self.config.commit_after) <= now.mono);
        let held_back = self.settle_after.is_some_and(|after| now.mono < after);
        if (cursor_due || self.has_unsettled()) && !held_back {
            self.settle(now);
        }
    }

    /// Makes everything durable now, whether due or not.
    pub fn flush(&mut self, now: Stamp) {
        (self.broken_until, self.settle_after) = (None, None);
        for lane in Lane::ALL {
            self.sync_lane(now, lane);
        }
        self.settle(now);
    }

    /// The records to send next: urgent lanes first, old boots first within a lane, durable ones only. The same
    /// again until they are acknowledged. Empty when all is acknowledged.
    ///
    /// A lane that is allowed nothing waits for the line's budget: what its cap costs until it is allowed something
    /// again is told as lost to the budget.
    pub fn next_batch(&mut self, now: Stamp, allowance: impl Into<Allowance>) -> Vec<Batch> {
        let allowance = allowance.into();
        let mut batches = Batches::new(allowance);
        for lane in Lane::ALL {
            self.lane_mut(lane).unpaid = allowance.lanes[lane as usize] == 0;
            if self.lane(lane).unpaid {
                continue;
            }
            batches.begin_lane();
            let unfinished: Vec<_> = self.lane(lane).segments().filter(|s| !s.is_done()).cloned().collect();
            for segment in unfinished {
                match self.read_segment(now, &segment, &mut batches) {
                    Room::Left => {}
                    Room::LaneFull => break,
                    Room::Full => return batches.done,
                }
            }
        }
        batches.done
    }

    /// Takes the cloud's word that records are safe there, and removes the segments that are done.
    /// An acknowledgement of what is not here, or not here any more, changes nothing; one that goes beyond
    /// what is durable here counts up to there.
    pub fn ack(&mut self, now: Stamp, acks: &[Ack]) {
        for ack in acks {
            let lane = self.lane_mut(ack.lane);
            if lane.highest(ack.boot).is_some_and(|highest| ack.through.0 > highest) {
                log::warn!(
                    "the cloud acknowledged record {} of lane {} and boot {}, which it cannot have",
                    ack.through,
                    ack.lane,
                    ack.boot
                );
            }
            for segment in lane.segments_mut().filter(|segment| segment.id.boot == ack.boot) {
                segment.acked = segment.acked.max(ack.through.0.min(segment.last));
                let acked = segment.acked;
                segment.holes.retain(|hole| hole.1 > acked);
            }
        }
        self.cursor_dirty_since.get_or_insert(now.mono);
        if self.retire_done() {
            self.settle(now);
        }
    }

    /// Gives up one record that the cloud will never take: it is accounted for as lost and not sent again.
    pub fn discard(&mut self, now: Stamp, boot: BootId, lane: Lane, seq: Seq, why: &str) {
        let wanted = |s: &&mut lane::Segment| {
            s.id.boot == boot && seq.0 > s.acked && seq.0 <= s.last && !s.is_hole(seq.0)
        };
        let Some(segment) = self.lane_mut(lane).segments_mut().find(wanted) else { return };
        segment.add_hole((seq.0, seq.0));
        self.lose(now, LossStage::Refused, ledger::range(boot, lane, seq.0, seq.0), why);
        self.cursor_dirty_since.get_or_insert(now.mono);
        self.retire_done();
        self.settle(now);
    }

    /// What the spool holds and has done.
    #[must_use]
    pub fn stats(&self) -> SpoolStats {
        let lanes = Lane::ALL.map(|lane| {
            let log = self.lane(lane);
            LaneStats {
                waiting_records: log.segments().map(lane::Segment::waiting).sum(),
                pending_records: log.pending.len() as u64,
                disk_bytes: log.disk_bytes(),
                cap_bytes: self.config.lane_caps[lane as usize],
                segments: log.segments().count() as u64,
            }
        });
        SpoolStats {
            waiting_records: lanes.iter().map(|lane| lane.waiting_records).sum(),
            pending_records: lanes.iter().map(|lane| lane.pending_records).sum(),
            disk_bytes: lanes.iter().map(|lane| lane.disk_bytes).sum(),
            lanes,
            ..self.stats
        }
    }

    /// The highest number of this boot that is durable in a lane; `None` before the first.
    #[must_use]
    pub fn durable_through(&self, lane: Lane) -> Option<Seq> {
        Some(Seq(self.lane(lane).durable)).filter(|seq| *seq >= Seq::FIRST)
    }

    /// The boot that this spool writes.
    #[must_use]
    pub fn boot(&self) -> BootId {
        self.boot
    }

    fn lane(&self, lane: Lane) -> &LaneLog {
        &self.lanes[lane as usize]
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut LaneLog {
        &mut self.lanes[lane as usize]
    }

    fn lane_deadline(&self, lane: Lane) -> Option<MonoTime> {
        let log = self.lane(lane);
        let since = log.pending_since?;
        let at_once = lane == Lane::Critical || log.pending.len() >= self.config.commit_records;
        Some(if at_once { MonoTime(0) } else { since.plus(self.config.commit_after) })
    }

    /// Adds a segment's records as long as there is room. A record that cannot be read back is lost here.
    fn read_segment(&mut self, now: Stamp, segment: &lane::Segment, batches: &mut Batches) -> Room {
        let id = segment.id;
        let bytes = self.storage.read_at(&id.name(), 0, segment.end as usize).unwrap_or_else(|error| {
            log::error!("a spool segment cannot be read: {error}");
            Vec::new()
        });
        let scan = segment::scan(id, &bytes);
        let found =
            || scan.entries.iter().filter(|entry| (segment.first..=segment.last).contains(&entry.seq));
        if found().count() as u64 != segment.last + 1 - segment.first {
            self.lose_missing(now, id, found().map(|entry| entry.seq));
        }
        for entry in found().filter(|entry| entry.seq > segment.acked && !segment.is_hole(entry.seq)) {
            match postcard::from_bytes::<RawRecord>(entry.payload) {
                Ok(record) => match batches.push(id, entry.seq, record, entry.payload.len()) {
                    Room::Left => {}
                    full => return full,
                },
                Err(_) => self.lose_missing(now, id, found().map(|e| e.seq).filter(|seq| *seq != entry.seq)),
            }
        }
        Room::Left
    }

    fn lose_missing(&mut self, now: Stamp, id: SegmentId, found: impl Iterator<Item = u64>) {
        let Some(segment) = self.lane_mut(id.lane).segments_mut().find(|segment| segment.id == id) else {
            return;
        };
        for (first, last) in segment.note_missing(found) {
            let range = ledger::range(id.boot, id.lane, first, last);
            self.lose(now, LossStage::SpoolCorrupt, range, "a spool segment could not be read back");
        }
        self.retire_done();
    }

    fn lane_cursor(&self, lane: Lane) -> LaneCursor {
        let log = self.lane(lane);
        match log.segments().next() {
            Some(oldest) => {
                LaneCursor { index: oldest.id.index, boot: oldest.id.boot, acked: oldest.next_wanted() - 1 }
            }
            None => LaneCursor { index: log.next_index, boot: self.boot, acked: log.accounted() },
        }
    }
}
