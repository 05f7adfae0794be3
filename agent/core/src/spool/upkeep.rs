//! What keeps the log going: rotating, syncing, replacing what failed, making room, and settling losses.
//!
//! The order in [`Spool::settle`] is the heart of it: the loss records become durable, then the cursor, and
//! only then are files cut or removed.

use super::cursor::{self, Cursor};
use super::lane::{Active, Pending, Segment};
use super::ledger::{self, MAX_LOSS_ENTRY};
use super::segment::{self, ENTRY_OVERHEAD, HEADER_LEN, Header, SegmentId};
use super::{LOSS_RESERVE, RETRY_AFTER, Repair, Spool, Storage, StorageError};
use telltale_wire::ids::Lane;
use telltale_wire::record::{LossStage, LostRange, Record};
use telltale_wire::time::Stamp;

/// How often settling starts over because writing the losses made new ones.
const SETTLE_ROUNDS: usize = 4;

impl<S: Storage> Spool<S> {
    /// Writes a record; `Ok` and `Err` give the number that it took.
    pub(super) fn write_record(&mut self, now: Stamp, lane: Lane, payload: &[u8]) -> Result<u64, u64> {
        let reserve = if lane == Lane::Critical { LOSS_RESERVE } else { 0 };
        let len = ENTRY_OVERHEAD + payload.len() + reserve;
        if self.turns_away(lane, len) {
            return Err(self.turn_away(now, lane));
        }
        if !self.make_room(now, lane, len) {
            let seq = self.take_seq(lane);
            self.lose(
                now,
                LossStage::SpoolWrite,
                ledger::range(self.boot, lane, seq, seq),
                "the disk refused to take records",
            );
            return Err(seq);
        }
        self.put(now, lane, payload)
    }

    /// Sees to an active segment with room for `len` bytes; false if the disk does not give one.
    fn make_room(&mut self, now: Stamp, lane: Lane, len: usize) -> bool {
        if self.broken_until.is_some_and(|until| now.mono < until) {
            return false;
        }
        if self.lane(lane).active_takes(len) {
            return true;
        }
        // What is pending lives in the old segment and becomes durable there.
        self.sync_lane(now, lane);
        let created = self.create_active(now, lane);
        if !created {
            self.broken_until = Some(now.mono.plus(RETRY_AFTER));
        }
        self.enforce_cap(now, lane);
        created
    }

    pub(super) fn take_seq(&mut self, lane: Lane) -> u64 {
        let log = self.lane_mut(lane);
        log.next_seq += 1;
        log.next_seq - 1
    }

    /// Writes a record into the active segment, which has room for it.
    fn put(&mut self, now: Stamp, lane: Lane, payload: &[u8]) -> Result<u64, u64> {
        let seq = self.take_seq(lane);
        let id = SegmentId { lane, index: 0, boot: self.boot };
        let entry = segment::encode_entry(id, seq, payload);
        let log = self.lane_mut(lane);
        log.pending.push(Pending { seq, entry });
        log.pending_since.get_or_insert(now.mono);
        if self.write_pending(lane, 1) || self.replace_active(now, lane) { Ok(seq) } else { Err(seq) }
    }

    /// Writes the last `count` pending records behind what the active segment holds.
    fn write_pending(&mut self, lane: Lane, count: usize) -> bool {
        let log = &mut self.lanes[lane as usize];
        let Some(active) = &mut log.active else { return false };
        let skip = log.pending.len().saturating_sub(count);
        let bytes: Vec<u8> = log.pending.iter().skip(skip).flat_map(|p| p.entry.iter().copied()).collect();
        let written = self.storage.write_at(&active.segment.id.name(), active.written, &bytes);
        if written.is_ok() {
            active.written += bytes.len() as u64;
            active.next_seq += (log.pending.len() - skip) as u64;
        }
        self.went_well(written)
    }

    /// Makes the pending records of a lane durable; false if they had to be given up.
    pub(super) fn sync_lane(&mut self, now: Stamp, lane: Lane) -> bool {
        if self.lane(lane).pending.is_empty() {
            return true;
        }
        if self.sync_active(lane) || (self.replace_active(now, lane) && self.sync_active(lane)) {
            return true;
        }
        self.give_up_pending(now, lane);
        false
    }

    fn sync_active(&mut self, lane: Lane) -> bool {
        let log = &mut self.lanes[lane as usize];
        let Some(active) = &mut log.active else { return false };
        let mut synced = self.storage.sync_data(&active.segment.id.name());
        if synced.is_ok() && !active.in_directory {
            synced = self.storage.sync_dir();
        }
        if synced.is_ok() {
            active.in_directory = true;
            active.segment.end = active.written;
            if let Some(last) = log.pending.last() {
                active.segment.last = last.seq;
                log.durable = last.seq;
            }
            log.pending.clear();
            log.pending_since = None;
            self.stats.commits += 1;
            if lane == Lane::Critical {
                self.ledger.mark_durable();
            }
        }
        self.went_well(synced)
    }

    /// The active segment refused a write or a sync: it keeps what is durable in it, and the pending records go to
    /// a new one. False if that fails too; they are lost then.
    fn replace_active(&mut self, now: Stamp, lane: Lane) -> bool {
        self.seal_active(lane);
        let count = self.lane(lane).pending.len();
        if self.create_active(now, lane) && self.write_pending(lane, count) {
            return true;
        }
        self.give_up_pending(now, lane);
        false
    }

    fn give_up_pending(&mut self, now: Stamp, lane: Lane) {
        self.broken_until = Some(now.mono.plus(RETRY_AFTER));
        self.seal_active(lane);
        self.lose_pending(now, lane, "the disk refused to make the records durable");
    }

    pub(super) fn lose_pending(&mut self, now: Stamp, lane: Lane, why: &str) {
        let log = self.lane_mut(lane);
        log.pending_since = None;
        let pending = std::mem::take(&mut log.pending);
        if lane == Lane::Critical {
            // Loss records may have been among them.
            self.ledger.rewind();
        }
        if let (Some(first), Some(last)) = (pending.first(), pending.last()) {
            self.lose(now, LossStage::SpoolWrite, ledger::range(self.boot, lane, first.seq, last.seq), why);
        }
    }

    /// Closes the active segment behind its last durable record.
    pub(super) fn seal_active(&mut self, lane: Lane) {
        let log = &mut self.lanes[lane as usize];
        let Some(Active { mut segment, written, .. }) = log.active.take() else { return };
        if segment.is_done() {
            self.repairs.push(Repair::Remove(segment.id.name()));
            return;
        }
        if written > segment.end {
            self.repairs.push(Repair::Truncate(segment.id.name(), segment.end));
            segment.disk_len = segment.end;
        }
        log.sealed.push(segment);
    }

    /// Makes a new active segment; the old one is sealed once the new one exists, so that its loss reserve serves
    /// until then.
    pub(super) fn create_active(&mut self, now: Stamp, lane: Lane) -> bool {
        let Some(id) = self.create_file(now, lane) else { return false };
        let name = id.name();
        if self.lane(lane).active.is_some() {
            // Making room may have written losses to this very lane.
            self.sync_lane(now, lane);
        }
        let log = self.lane(lane);
        let first = log.pending.first().map_or(log.next_seq, |pending| pending.seq);
        // Losses that are still in memory only must show as a gap to the next start.
        let accounted_from = if self.ledger.is_empty() { log.durable + 1 } else { first };
        let header = Header { first, accounted_from };
        let written = self.storage.write_at(&name, 0, &segment::encode_header(id, header));
        let overtaken = self.lane(lane).next_index != id.index + 1;
        if !self.went_well(written) || overtaken {
            self.repairs.push(Repair::Remove(name));
            return false;
        }
        self.seal_active(lane);
        let disk_len = self.config.segment_len;
        let end = HEADER_LEN as u64;
        let segment =
            Segment { id, first, last: first - 1, end, disk_len, acked: first - 1, holes: Vec::new() };
        self.lane_mut(lane).active =
            Some(Active { segment, written: end, next_seq: first, in_directory: false });
        true
    }

    /// Creates a segment file, at the cost of less urgent records if need be.
    fn create_file(&mut self, now: Stamp, lane: Lane) -> Option<SegmentId> {
        loop {
            // A new index for each attempt: the cursor, which making room writes, may lie behind the last one.
            let log = self.lane_mut(lane);
            log.next_index += 1;
            let id = SegmentId { lane, index: log.next_index - 1, boot: self.boot };
            let created = self.storage.create(&id.name(), self.config.segment_len);
            let full = matches!(created, Err(StorageError::NoSpace(_)));
            if self.went_well(created) {
                return Some(id);
            }
            if !full || !self.reclaim(now, lane) {
                return None;
            }
        }
    }

    /// Marks sealed segments of which nothing is wanted for removal; true if there were any.
    pub(super) fn retire_done(&mut self) -> bool {
        let before = self.repairs.len();
        for log in &mut self.lanes {
            let done = log.sealed.extract_if(.., |segment| segment.is_done());
            self.repairs.extend(done.map(|segment| Repair::Remove(segment.id.name())));
        }
        self.repairs.len() > before
    }

    pub(super) fn lose(&mut self, now: Stamp, stage: LossStage, range: LostRange, why: &str) {
        self.stats.lost += (range.last.0 - range.first.0).saturating_add(1);
        self.ledger.add_range(now, stage, range, why);
    }

    pub(super) fn has_unsettled(&self) -> bool {
        !self.ledger.is_empty() || !self.repairs.is_empty()
    }

    /// Makes all losses durable, then the cursor, then carries out the repairs. Losses that the critical lane cannot
    /// take stand in the cursor until it can. False if any of it failed; it is tried again later.
    pub(super) fn settle(&mut self, now: Stamp) -> bool {
        if self.settling {
            return false;
        }
        self.settling = true;
        let written = self.settle_losses(now);
        let settled = self.persist_cursor() && self.carry_out_repairs() && written;
        self.settling = false;
        self.settle_after = (!settled).then(|| now.mono.plus(RETRY_AFTER));
        settled
    }

    fn settle_losses(&mut self, now: Stamp) -> bool {
        for _ in 0..SETTLE_ROUNDS {
            while self.ledger.next().is_some() {
                if !self.make_room(now, Lane::Critical, MAX_LOSS_ENTRY) {
                    return false;
                }
                let Some(loss) = self.ledger.next().cloned() else { break };
                self.ledger.mark_written();
                let raw = Record::Loss(loss).to_raw().ok();
                let Some(payload) = raw.and_then(|raw| postcard::to_allocvec(&raw).ok()) else { continue };
                if self.put(now, Lane::Critical, &payload).is_err() {
                    self.ledger.rewind();
                    return false;
                }
            }
            if !self.sync_lane(now, Lane::Critical) {
                return false;
            }
            if self.ledger.is_empty() {
                return true;
            }
        }
        false
    }

    /// Writes the cursor with what is in the ledger.
    pub(super) fn persist_cursor(&mut self) -> bool {
        if self.cursor_dirty_since.is_none() && !self.has_unsettled() {
            return true;
        }
        let written = self.write_cursor();
        self.went_well(written)
    }

    /// Writes the next slot of the cursor's file. A first file gets its name only when a slot of it is durable, so that
    /// a file whose slots are both unreadable has decayed: a start that finds none knows that nothing was ever removed.
    pub(super) fn write_cursor(&mut self) -> Result<(), StorageError> {
        let next = Cursor {
            generation: self.cursor_generation + 1,
            lanes: Lane::ALL.map(|lane| self.lane_cursor(lane)),
            losses: self.ledger.entries().to_vec(),
            dropped: self.lanes.iter().flat_map(|log| log.dropped_between().copied()).collect(),
        };
        let too_long = || StorageError::Failed("the cursor outgrew its slot".into());
        let slot = next.encode().ok_or_else(too_long)?;
        if self.cursor_file {
            self.storage.write_at(cursor::NAME, next.offset(), &slot)?;
            self.storage.sync_data(cursor::NAME)?;
        } else {
            self.create_cursor_aside()?;
            self.storage.write_at(cursor::ASIDE, next.offset(), &slot)?;
            self.storage.sync_data(cursor::ASIDE)?;
            self.storage.rename(cursor::ASIDE, cursor::NAME)?;
            self.storage.sync_dir()?;
            self.cursor_file = true;
        }
        // Only now: after a failure the same slot is written again and the other stays whole.
        self.cursor_generation = next.generation;
        self.cursor_dirty_since = None;
        Ok(())
    }

    fn create_cursor_aside(&mut self) -> Result<(), StorageError> {
        self.storage.remove(cursor::ASIDE)?;
        let created = self.storage.create(cursor::ASIDE, cursor::FILE_LEN);
        if !matches!(created, Err(StorageError::NoSpace(_))) {
            return created;
        }
        // What has that name cannot be read, or this would not be made.
        self.storage.remove(cursor::NAME)?;
        self.storage.create(cursor::ASIDE, cursor::FILE_LEN)
    }

    pub(super) fn carry_out_repairs(&mut self) -> bool {
        for repair in std::mem::take(&mut self.repairs) {
            let done = match &repair {
                Repair::Remove(name) => self.storage.remove(name),
                Repair::Truncate(name, len) => {
                    self.storage.truncate(name, *len).and_then(|()| self.storage.sync_data(name))
                }
            };
            if !self.went_well(done) {
                self.repairs.push(repair);
            }
        }
        self.repairs.is_empty()
    }

    /// Counts and logs a refusal of the storage.
    pub(super) fn went_well(&mut self, result: Result<(), StorageError>) -> bool {
        if let Err(error) = &result {
            self.stats.storage_errors += 1;
            log::error!("spool: {error}");
        }
        result.is_ok()
    }
}
