//! One window of the byte budget: what left in the last day, hour by hour.

use super::BudgetConfig;
use std::time::Duration;

/// What a window forgets at once.
pub(super) const SLOT: Duration = Duration::from_secs(3_600);

/// The running hour and the 24 before it: at any moment they cover the last day.
pub(super) const SLOTS: usize = 25;

/// A window that was used up opens again with this much, or with a twenty-fourth of a day if that is less: single
/// records in requests of their own would cost more than they weigh.
const QUANTUM: i64 = 16 * 1024;

/// What left in the last day. Memory: 200 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Window {
    /// The most bytes in a day.
    pub(super) capacity: i64,
    /// Bytes of the running hour, then of those before it, newest first.
    pub(super) spent: [u64; SLOTS],
}

impl Window {
    pub(super) fn new(capacity: u64) -> Self {
        Self { capacity: capacity.clamp(1, BudgetConfig::MAX) as i64, spent: [0; SLOTS] }
    }

    /// So many hours begin.
    pub(super) fn shift(&mut self, hours: usize) {
        let hours = hours.min(SLOTS);
        self.spent.rotate_right(hours);
        self.spent.iter_mut().take(hours).for_each(|slot| *slot = 0);
    }

    pub(super) fn spend(&mut self, bytes: u64) {
        let [running, ..] = &mut self.spent;
        *running = running.saturating_add(bytes.min(BudgetConfig::MAX));
    }

    /// What may be spent; below zero it is owed.
    pub(super) fn left(&self) -> i64 {
        let spent = self.spent.iter().fold(0_u64, |sum, slot| sum.saturating_add(*slot));
        self.capacity.saturating_sub_unsigned(spent)
    }

    /// The hours that have to end until it opens; 0 if it is open.
    pub(super) fn opens_after(&self) -> usize {
        let quantum = (self.capacity / 24).clamp(1, QUANTUM);
        let (mut left, mut hours) = (self.left(), 0);
        if left > 0 {
            return 0;
        }
        for slot in self.spent.iter().rev() {
            if left >= quantum {
                break;
            }
            left = left.saturating_add_unsigned(*slot);
            hours += 1;
        }
        hours
    }

    /// Whether it has spent as much as `other` and `bytes` more, now and whenever hours are forgiven.
    pub(super) fn covers(&self, other: &Window, bytes: u64) -> bool {
        let (mut ours, mut theirs) = (0_u64, bytes);
        self.spent.iter().zip(other.spent).all(|(our, their)| {
            ours = ours.saturating_add(*our);
            theirs = theirs.saturating_add(their);
            ours >= theirs
        })
    }
}
