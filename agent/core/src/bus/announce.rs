//! Which changes of a bus's state are told: all, until there are too many.
//!
//! A controller on a bad bus may go from warning to active and back a hundred times a second. Changes spend tokens;
//! those for which there is none are counted, and the next one told says how many there were.

use std::time::Duration;
use telltale_wire::bus::BusState;
use telltale_wire::time::MonoTime;

/// Changes that are told one right after another.
const BURST: u32 = 8;
/// After so long one more may be told: at most 2,880 a day on each bus.
const REFILL: Duration = Duration::from_secs(30);

/// What of the changes of one bus has been told.
#[derive(Clone, Debug)]
pub(super) struct Announcer {
    tokens: u32,
    /// When `tokens` was right; later refills have yet to be added.
    counted_at: MonoTime,
    /// The state that was told last.
    told: BusState,
    suppressed: u32,
}

/// A change that is to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Announcement {
    pub(super) before: BusState,
    pub(super) suppressed: u32,
}

impl Announcer {
    pub(super) const fn new() -> Announcer {
        Announcer { tokens: BURST, counted_at: MonoTime(0), told: BusState::Unknown, suppressed: 0 }
    }

    /// The state has changed to `state`. Gives what to tell, if it is to be told now.
    pub(super) fn changed(&mut self, now: MonoTime, state: BusState) -> Option<Announcement> {
        if self.spend(now) {
            return Some(self.tell(state));
        }
        self.suppressed = self.suppressed.saturating_add(1);
        None
    }

    /// Gives what was held back, once it may be told.
    pub(super) fn catch_up(&mut self, now: MonoTime, state: BusState) -> Option<Announcement> {
        (self.suppressed > 0 && self.spend(now)).then(|| {
            // The latest of those held back is the one that is told.
            self.suppressed -= 1;
            self.tell(state)
        })
    }

    /// When [`Announcer::catch_up`] will give something; `None` if nothing is held back.
    pub(super) fn due(&self) -> Option<MonoTime> {
        (self.suppressed > 0).then(|| self.counted_at.plus(REFILL))
    }

    fn tell(&mut self, state: BusState) -> Announcement {
        let before = std::mem::replace(&mut self.told, state);
        Announcement { before, suppressed: std::mem::take(&mut self.suppressed) }
    }

    fn spend(&mut self, now: MonoTime) -> bool {
        let refills = now.since(self.counted_at).as_micros() / REFILL.as_micros();
        self.tokens = self.tokens.saturating_add(refills.try_into().unwrap_or(u32::MAX)).min(BURST);
        if self.tokens == BURST {
            self.counted_at = self.counted_at.max(now);
        } else {
            self.counted_at =
                self.counted_at.plus(REFILL.saturating_mul(refills.try_into().unwrap_or(u32::MAX)));
        }
        let spent = self.tokens.checked_sub(1);
        self.tokens = spent.unwrap_or(0);
        spent.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    #[test]
    fn a_flapping_bus_is_told_now_and_then_and_every_change_is_accounted_for() {
        let mut announcer = Announcer::new();
        let (mut told, mut suppressed, mut last) = (0, 0, BusState::Unknown);
        // A change each 10 ms for ten minutes.
        for n in 0..60_000_u64 {
            let state = if n % 2 == 0 { BusState::Warning } else { BusState::Active };
            if let Some(said) = announcer.changed(MonoTime(100 * S + n * 10_000), state) {
                told += 1;
                suppressed += u64::from(said.suppressed);
                assert_eq!(said.before, last, "what is told joins on to what was told before");
                last = state;
            }
        }
        assert_eq!(told, u64::from(BURST) + 19);
        let due = announcer.due().unwrap();
        assert_eq!(announcer.catch_up(MonoTime(due.as_micros() - 1), BusState::Active), None);
        let said = announcer.catch_up(due, BusState::Active).unwrap();
        assert_eq!(told + suppressed + u64::from(said.suppressed) + 1, 60_000);
        assert_eq!((announcer.due(), announcer.catch_up(MonoTime(u64::MAX), BusState::Active)), (None, None));
    }

    #[test]
    fn tokens_come_back() {
        let mut announcer = Announcer::new();
        for _ in 0..2 * BURST {
            announcer.changed(MonoTime(0), BusState::Off);
        }
        let later = MonoTime(3_600 * S);
        let told = (0..2 * BURST).filter(|_| announcer.changed(later, BusState::Active).is_some()).count();
        assert_eq!(told, BURST as usize);
    }
}
