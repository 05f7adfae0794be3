//! One lane of the log as the spool holds it in memory: which segments there are, how far each is good, durable
//! and acknowledged, and the records that wait for their sync.

use super::segment::SegmentId;
use serde::{Deserialize, Serialize};
use telltale_wire::ids::{BootId, Lane};
use telltale_wire::time::MonoTime;

/// The most holes that are kept for one segment; with more, what follows is given up as one hole.
pub(super) const MAX_HOLES: usize = 32;

/// One segment file.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) id: SegmentId,
    /// The number of its first record.
    pub(super) first: u64,
    /// The number of its last durable record; `first - 1` while there is none.
    pub(super) last: u64,
    /// The end of that record in the file.
    pub(super) end: u64,
    /// What the file takes on the disk.
    pub(super) disk_len: u64,
    /// Everything up to here is acknowledged; `first - 1` at the start.
    pub(super) acked: u64,
    /// Numbers between `first` and `last` that are lost and accounted for, ascending and apart.
    pub(super) holes: Vec<(u64, u64)>,
}

impl Segment {
    /// The first number that is neither acknowledged nor lost; beyond `last` if there is none.
    pub(super) fn next_wanted(&self) -> u64 {
        let mut next = self.acked + 1;
        for (first, last) in &self.holes {
            if (*first..=*last).contains(&next) {
                next = last + 1;
            }
        }
        next
    }

    /// Nothing of it is wanted any more.
    pub(super) fn is_done(&self) -> bool {
        self.next_wanted() > self.last
    }

    pub(super) fn is_hole(&self, seq: u64) -> bool {
        self.holes.iter().any(|(first, last)| (*first..=*last).contains(&seq))
    }

    /// What is neither acknowledged nor lost, as ascending ranges.
    pub(super) fn wanted(&self) -> Vec<(u64, u64)> {
        let mut ranges = Vec::new();
        let mut next = self.acked + 1;
        for (first, last) in &self.holes {
            if next < *first {
                ranges.push((next, first - 1));
            }
            next = next.max(last + 1);
        }
        if next <= self.last {
            ranges.push((next, self.last));
        }
        ranges
    }

    /// How many records wait in it.
    pub(super) fn waiting(&self) -> u64 {
        self.wanted().iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Notes the numbers that are missing among `found` (ascending) as holes, and returns the new ones.
    pub(super) fn note_missing(&mut self, found: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
        let mut fresh = Vec::new();
        let mut expected = self.first;
        for seq in found.chain([self.last + 1]) {
            for missing in expected..seq {
                if missing > self.acked && !self.is_hole(missing) {
                    extend(&mut fresh, missing);
                }
            }
            expected = seq.saturating_add(1);
        }
        if self.holes.len() + fresh.len() > MAX_HOLES {
            let first = fresh.first().map_or(self.last, |hole| hole.0);
            let gone = self.wanted().into_iter().filter(|range| range.1 >= first);
            fresh = gone.map(|range| (range.0.max(first), range.1)).collect();
            self.holes.retain(|hole| hole.0 < first);
            self.add_hole((first, self.last));
        } else {
            fresh.iter().for_each(|hole| self.add_hole(*hole));
        }
        fresh
    }

    pub(super) fn add_hole(&mut self, hole: (u64, u64)) {
        self.holes.push(hole);
        self.holes.sort_unstable();
        self.holes.dedup();
    }
}

fn extend(ranges: &mut Vec<(u64, u64)>, seq: u64) {
    match ranges.last_mut() {
        Some(range) if range.1 + 1 == seq => range.1 = seq,
        _ => ranges.push((seq, seq)),
    }
}

/// A record that is written but not yet durable, kept so that it can be written again elsewhere.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) seq: u64,
    /// Its entry. The checksum depends on boot and lane only, so it fits any segment of this lane and boot.
    pub(super) entry: Vec<u8>,
}

/// The segment that is being written.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: Segment,
    /// The end of the last entry written, durable or not.
    pub(super) written: u64,
    /// The number that it takes next: those of a segment are dense.
    pub(super) next_seq: u64,
    /// Whether its directory entry is durable.
    pub(super) in_directory: bool,
}

/// The most segments dropped from between others that are remembered for each lane; beyond it the oldest go.
pub(super) const MAX_DROPPED: usize = 64;

/// A segment that went though older ones stay: its numbers are missing in the lane and told as lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Dropped {
    pub(super) lane: Lane,
    pub(super) index: u64,
    pub(super) boot: BootId,
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Dropped {
    pub(super) fn of(segment: &Segment) -> Self {
        let SegmentId { lane, index, boot } = segment.id;
        Self { lane, index, boot, first: segment.first, last: segment.last }
    }
}

/// One lane.
#[derive(Debug)]
pub(super) struct LaneLog {
    /// Full segments and those of earlier boots, oldest first.
    pub(super) sealed: Vec<Segment>,
    pub(super) active: Option<Active>,
    /// Records of the active segment, so at most its size in bytes.
    pub(super) pending: Vec<Pending>,
    pub(super) pending_since: Option<MonoTime>,
    pub(super) next_seq: u64,
    pub(super) next_index: u64,
    /// The highest number of this boot that is durable.
    pub(super) durable: u64,
    /// Segments that were dropped from between those that are here.
    pub(super) dropped: Vec<Dropped>,
    /// The line's budget allowed this lane nothing when it was last asked.
    pub(super) unpaid: bool,
}

impl LaneLog {
    pub(super) fn new(next_index: u64) -> Self {
        Self {
            sealed: Vec::new(),
            active: None,
            pending: Vec::new(),
            pending_since: None,
            next_seq: 1,
            next_index,
            durable: 0,
            dropped: Vec::new(),
            unpaid: false,
        }
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.sealed.iter().chain(self.active.as_ref().map(|active| &active.segment))
    }

    pub(super) fn segments_mut(&mut self) -> impl Iterator<Item = &mut Segment> {
        self.sealed.iter_mut().chain(self.active.as_mut().map(|active| &mut active.segment))
    }

    /// Whether the active segment has room for an entry of this length, and its numbers go on.
    pub(super) fn active_takes(&self, len: usize) -> bool {
        self.active.as_ref().is_some_and(|active| {
            active.next_seq == self.next_seq && active.written + len as u64 <= active.segment.disk_len
        })
    }

    /// What was dropped behind the oldest segment that is here.
    pub(super) fn dropped_between(&self) -> impl Iterator<Item = &Dropped> {
        let oldest = self.segments().next().map_or(u64::MAX, |segment| segment.id.index);
        self.dropped.iter().filter(move |dropped| dropped.index > oldest)
    }

    /// Numbers of this boot up to here are durable, or lost with an entry in the ledger.
    pub(super) fn accounted(&self) -> u64 {
        self.next_seq - 1 - self.pending.len() as u64
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.segments().map(|segment| segment.disk_len).sum()
    }

    /// The highest durable number of a boot, if any of its segments is here.
    pub(super) fn highest(&self, boot: BootId) -> Option<u64> {
        self.segments().filter(|s| s.id.boot == boot).map(|s| s.last).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(last: u64) -> Segment {
        let id = SegmentId { lane: Lane::Bulk, index: 1, boot: BootId(1) };
        Segment { id, first: 1, last, end: 0, disk_len: 0, acked: 0, holes: Vec::new() }
    }

    #[test]
    fn holes_are_noted_once_and_not_wanted() {
        let mut s = segment(9);
        assert_eq!(s.note_missing([1, 2, 5, 6, 9].into_iter()), [(3, 4), (7, 8)]);
        assert_eq!(s.note_missing([1, 2, 5, 6, 9].into_iter()), []);
        assert_eq!(s.wanted(), [(1, 2), (5, 6), (9, 9)]);
        s.acked = 2;
        assert_eq!((s.next_wanted(), s.waiting(), s.is_done()), (5, 3, false));
        s.acked = 9;
        assert!(s.is_done());
    }

    #[test]
    fn too_many_holes_give_up_the_rest_as_one() {
        let mut s = segment(1_000);
        let lost = s.note_missing((1..=1_000).filter(|n| n % 2 == 1));
        assert_eq!(lost.iter().map(|r| r.1 - r.0 + 1).sum::<u64>(), 999);
        assert_eq!((s.holes.len(), s.waiting()), (1, 1));
    }
}
