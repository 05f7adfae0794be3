//! Snapshots: the frames around a moment that somebody should look at, sent in the DBC's own integers.
//!
//! A `ring::Ring` keeps the last frames that the catalog asks for. A trigger marks a moment; when the time after it
//! has passed, the frames before and after it are read out of the ring part by part ([`pack::Packer`]), a part at a
//! time so that capture never waits long. Time, frames and triggers come in; records go out.

mod pack;
mod recorder;
mod ring;

pub use pack::Packer;
pub use recorder::{Recorder, SnapshotRequest, Triggered};
pub use ring::SLOT;

use crate::signal::SignalId;
use std::time::Duration;
use telltale_wire::snapshot::MAX_SIGNALS;

/// The least memory of the ring that is not none, and the most, in bytes.
pub const MEMORY_RANGE: std::ops::RangeInclusive<usize> = 64 * 1024..=1024 * 1024 * 1024;
/// The longest time before a trigger, and after it.
pub const MAX_SIDE: Duration = Duration::from_secs(3_600);
/// The most snapshots an hour. Each one's time is kept for an hour: 8 bytes.
pub const MAX_PER_HOUR: u16 = 60;

/// Settings of the snapshots.
#[derive(Clone, Debug)]
pub struct SnapshotConfig {
    /// Bytes of the ring: all the memory that waiting for a trigger takes. Zero turns snapshots off.
    pub memory: usize,
    /// How much time before a trigger.
    pub before: Duration,
    /// How much time after it.
    pub after: Duration,
    /// How many snapshots an hour; what goes beyond is counted as lost.
    pub per_hour: u16,
    /// Which signals: see [`Packer::select`].
    pub signals: Vec<String>,
}

impl Default for SnapshotConfig {
    /// 2 MiB, a minute before and half a minute after, at most 6 an hour, all signals.
    fn default() -> Self {
        SnapshotConfig {
            memory: 2 * 1024 * 1024,
            before: Duration::from_secs(60),
            after: Duration::from_secs(30),
            per_hour: 6,
            signals: Vec::new(),
        }
    }
}

/// Which signals of the catalog a snapshot holds. 512 bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selection(Box<[u64; MAX_SIGNALS / 64]>);

impl Selection {
    /// Every signal.
    #[must_use]
    pub fn all() -> Selection {
        Selection(Box::new([u64::MAX; MAX_SIGNALS / 64]))
    }

    pub(self) fn none() -> Selection {
        Selection(Box::new([0; MAX_SIGNALS / 64]))
    }

    pub(self) fn add(&mut self, signal: SignalId) {
        let (word, bit) = pack::bit(signal);
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    pub(self) fn add_all(&mut self, other: &Selection) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(word, more)| *word |= more);
    }

    /// Whether it holds a signal.
    #[must_use]
    pub fn contains(&self, signal: SignalId) -> bool {
        let (word, bit) = pack::bit(signal);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}

#[cfg(test)]
mod tests;
