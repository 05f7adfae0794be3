//! Batches as they fill: what one request may carry, and what of the lanes goes into it.

use super::segment::SegmentId;
use telltale_wire::ids::Seq;
use telltale_wire::record::RawRecord;
use telltale_wire::sync::{Batch, MAX_BATCHES};

/// How much one request may carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchLimits {
    /// The most records.
    pub records: usize,
    /// The most bytes of records; the first record goes whatever its size.
    pub bytes: usize,
}

/// How much one request may carry, lane by lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowance {
    /// For all lanes together.
    pub limits: BatchLimits,
    /// The most bytes of records of each lane, by its index; nothing is taken from a lane of 0. The first record of
    /// any other goes whatever its size.
    pub lanes: [usize; 4],
}

impl From<BatchLimits> for Allowance {
    /// The lanes are not bounded one by one.
    fn from(limits: BatchLimits) -> Self {
        Self { limits, lanes: [usize::MAX; 4] }
    }
}

/// Whether batches take more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    Left,
    /// Nothing more of this lane.
    LaneFull,
    Full,
}

/// Batches as they fill.
pub(super) struct Batches {
    allowance: Allowance,
    records: usize,
    bytes: usize,
    lane_bytes: usize,
    pub(super) done: Vec<Batch>,
}

impl Batches {
    pub(super) fn new(allowance: Allowance) -> Self {
        Self { allowance, records: 0, bytes: 0, lane_bytes: 0, done: Vec::new() }
    }

    pub(super) fn begin_lane(&mut self) {
        self.lane_bytes = 0;
    }

    /// Adds a record to the batch that it continues or to a new one, unless that would pass a limit.
    pub(super) fn push(&mut self, id: SegmentId, seq: u64, record: RawRecord, len: usize) -> Room {
        let Allowance { limits, lanes } = self.allowance;
        let fits = self.records < limits.records && self.bytes.saturating_add(len) <= limits.bytes;
        if self.records > 0 && !fits {
            return Room::Full;
        }
        if self.lane_bytes > 0 && self.lane_bytes.saturating_add(len) > lanes[id.lane as usize] {
            return Room::LaneFull;
        }
        let continues = |batch: &&mut Batch| {
            (batch.boot, batch.lane) == (id.boot, id.lane)
                && batch.first_seq.0 + batch.records.len() as u64 == seq
        };
        if let Some(batch) = self.done.last_mut().filter(|batch| continues(batch)) {
            batch.records.push(record);
        } else if self.done.len() < MAX_BATCHES {
            self.done.push(Batch {
                boot: id.boot,
                lane: id.lane,
                first_seq: Seq(seq),
                records: vec![record],
            });
        } else {
            return Room::Full;
        }
        self.records += 1;
        self.bytes += len;
        self.lane_bytes += len;
        Room::Left
    }
}
