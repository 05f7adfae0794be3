//! Making room: what goes when a lane reaches its cap or the file system is full, and the account of it.

use super::lane::{Dropped, MAX_DROPPED, Segment};
use super::{DropPolicy, Repair, Spool, Storage, ledger, segment};
use std::time::Duration;
use telltale_wire::ids::Lane;
use telltale_wire::record::{LossStage, RawRecord, Record};
use telltale_wire::time::Stamp;

/// Records that are turned away are told together, this long after the first of them.
const TELL_AFTER: Duration = Duration::from_secs(30);

impl<S: Storage> Spool<S> {
    /// Drops segments of a lane that is over its cap, as its policy says.
    pub(super) fn enforce_cap(&mut self, now: Stamp, lane: Lane) {
        let cap = self.config.lane_caps[lane as usize];
        let stage = self.cap_stage(lane);
        while self.lane(lane).disk_bytes() > cap && !self.lane(lane).sealed.is_empty() {
            let place = self.victim(lane);
            let why = match (place, stage) {
                (0, LossStage::Budget) => {
                    "the line's budget lets the lane wait, and it reached its cap; the oldest go first"
                }
                (0, _) => "the lane reached its cap; the oldest records go first",
                _ => "the lane reached its cap and is thinned out",
            };
            let log = self.lane_mut(lane);
            let segment = log.sealed.remove(place);
            if place > 0 {
                log.dropped.push(Dropped::of(&segment));
            }
            self.condemn(now, &segment, stage, why);
        }
    }

    /// The place of the sealed segment that the lane's policy gives up next.
    fn victim(&self, lane: Lane) -> usize {
        let log = self.lane(lane);
        let thinned = match self.config.drop[lane as usize] {
            DropPolicy::Thin(n) if n > 1 && log.dropped.len() < MAX_DROPPED => {
                log.sealed.iter().position(|segment| segment.id.index % u64::from(n) != 0)
            }
            _ => None,
        };
        thinned.unwrap_or(0)
    }

    /// Whether a lane that keeps its oldest records has no room for another.
    pub(super) fn turns_away(&self, lane: Lane, len: usize) -> bool {
        let log = self.lane(lane);
        self.config.drop[lane as usize] == DropPolicy::Newest
            && lane != Lane::Critical
            && !log.active_takes(len)
            && !log.sealed.is_empty()
            && log.disk_bytes() + self.config.segment_len > self.config.lane_caps[lane as usize]
    }

    /// Loses a record that is not taken. It is told with those that follow it, not one by one.
    pub(super) fn turn_away(&mut self, now: Stamp, lane: Lane) -> u64 {
        let seq = self.take_seq(lane);
        let quiet = !self.has_unsettled();
        let why = "the lane reached its cap and keeps its oldest records";
        self.lose(now, self.cap_stage(lane), ledger::range(self.boot, lane, seq, seq), why);
        if quiet {
            self.settle_after = Some(now.mono.plus(TELL_AFTER));
        }
        seq
    }

    /// Whether it is the line's budget that filled the lane.
    fn cap_stage(&self, lane: Lane) -> LossStage {
        if self.lane(lane).unpaid { LossStage::Budget } else { LossStage::SpoolCap }
    }

    /// Frees disk space for `lane` at the cost of the least urgent lane that has any. False if nothing is left.
    pub(super) fn reclaim(&mut self, now: Stamp, lane: Lane) -> bool {
        const WHY: &str = "the file system is full; the least urgent records go first";
        for victim in Lane::ALL.into_iter().rev().take_while(|victim| *victim >= lane) {
            if self.lane(victim).sealed.is_empty() && victim != lane {
                self.lose_pending(now, victim, WHY);
                self.seal_active(victim);
            }
            if self.lane(victim).sealed.is_empty() {
                continue;
            }
            let oldest = self.lane_mut(victim).sealed.remove(0);
            self.condemn(now, &oldest, LossStage::SpoolWrite, WHY);
            return self.free_condemned(now);
        }
        // Segments that are done but not removed yet also take space.
        !self.repairs.is_empty() && self.free_condemned(now)
    }

    /// Removes what is condemned. Where there is no room even for the loss records, or they are being written just
    /// now, the cursor's copy of the ledger stands for them.
    fn free_condemned(&mut self, now: Stamp) -> bool {
        self.settle(now) || (self.persist_cursor() && self.carry_out_repairs())
    }

    /// Accounts for what is wanted of a segment and marks its file for removal.
    pub(super) fn condemn(&mut self, now: Stamp, segment: &Segment, stage: LossStage, why: &str) {
        if segment.id.lane == Lane::Critical {
            self.keep_losses_of(segment);
        }
        for (first, last) in segment.wanted() {
            self.lose(now, stage, ledger::range(segment.id.boot, segment.id.lane, first, last), why);
        }
        self.repairs.push(Repair::Remove(segment.id.name()));
    }

    /// Puts the loss records of a segment that goes back into the ledger: an account is not lost with its record.
    fn keep_losses_of(&mut self, segment: &Segment) {
        let bytes = self.storage.read_at(&segment.id.name(), 0, segment.end as usize).unwrap_or_default();
        for entry in segment::scan(segment.id, &bytes).entries {
            let wanted =
                entry.seq > segment.acked && entry.seq <= segment.last && !segment.is_hole(entry.seq);
            let raw = postcard::from_bytes::<RawRecord>(entry.payload).ok().filter(|_| wanted);
            if let Some(Ok(Record::Loss(loss))) = raw.map(|raw| raw.parse()) {
                self.ledger.push(loss);
            }
        }
    }
}
