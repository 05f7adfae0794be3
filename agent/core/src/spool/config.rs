//! How the spool is set up.

use std::time::Duration;

/// How the spool writes and how much it may hold.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// The size of a segment file in bytes, at most 1 MiB. Also the bound of what a lane keeps in memory.
    pub segment_len: u64,
    /// The most bytes on disk for each lane, by its index; at least two segments each.
    pub lane_caps: [u64; 4],
    /// What goes when a lane reaches its cap, by its index.
    pub drop: [DropPolicy; 4],
    /// This many records that are not durable cause a sync.
    pub commit_records: usize,
    /// A record that is not durable for this long causes a sync.
    pub commit_after: Duration,
}

/// What goes when a lane reaches its cap. Every drop is a loss record that names the numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DropPolicy {
    /// The oldest segment.
    Oldest,
    /// What would be appended, until there is room again. For the critical lane this counts as [`DropPolicy::Oldest`]:
    /// losses have to be told.
    Newest,
    /// The oldest segments except each n-th, so that a long stretch stays covered, with holes; once only such are
    /// left, the oldest. A segment is some hours of summaries. 0 and 1 count as [`DropPolicy::Oldest`].
    Thin(u32),
}

impl Default for SpoolConfig {
    /// 256 KiB segments; 8, 2, 16 and 32 MiB for the lanes; commits of 10 records or 5 s.
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            segment_len: 256 * 1024,
            lane_caps: [8 * MIB, 2 * MIB, 16 * MIB, 32 * MIB],
            drop: [DropPolicy::Oldest; 4],
            commit_records: 10,
            commit_after: Duration::from_secs(5),
        }
    }
}
