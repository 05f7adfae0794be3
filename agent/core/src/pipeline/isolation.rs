//! A model that fails again and again is switched off for a while, so that it costs nothing and its neighbours go
//! on. Time is that of the windows: a replay isolates as the vehicle does.

use std::time::Duration;
use telltale_wire::time::MonoTime;

/// So many failures in a row are no accident.
pub const ISOLATE_AFTER: u32 = 3;

/// How long a model is off at first. The range doubles each time that it fails again when it is tried.
pub const FIRST_REST: Duration = Duration::from_secs(10 * 60);

/// The longest that a model is off.
pub const LONGEST_REST: Duration = Duration::from_secs(4 * 60 * 60);

/// What is known of a model's failures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Isolation {
    /// Failures in a row.
    pub in_a_row: u32,
    /// Failures since the start, slow runs included.
    pub failures: u64,
    /// Runs since the start that took longer than they may.
    pub slow: u64,
    /// Off, until this time.
    pub until: Option<MonoTime>,
    rest: Duration,
}

impl Isolation {
    /// Whether the model is to be run on a window that ends at `at`.
    pub(super) fn lets_run(&self, at: MonoTime) -> bool {
        self.until.is_none_or(|until| until <= at)
    }

    /// The model ran as it should; true if it had been off.
    pub(super) fn note_success(&mut self) -> bool {
        self.in_a_row = 0;
        self.until.take().is_some()
    }

    /// The model failed at `at`; how long it is off if this is what switched it off.
    pub(super) fn note_failure(&mut self, at: MonoTime) -> Option<Duration> {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.failures += 1;
        let was_off = self.until.is_some();
        if !was_off && self.in_a_row < ISOLATE_AFTER {
            return None;
        }
        self.rest = if was_off { (self.rest * 2).min(LONGEST_REST) } else { FIRST_REST };
        self.until = Some(at.plus(self.rest));
        (!was_off).then_some(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(n: u64) -> MonoTime {
        MonoTime(n * 60_000_000)
    }

    #[test]
    fn single_failures_are_forgiven_and_a_row_of_them_is_not() {
        let mut isolation = Isolation::default();
        for n in 0..20 {
            assert!(isolation.lets_run(minutes(n)));
            if n % 3 == 2 {
                assert!(!isolation.note_success());
            } else {
                assert_eq!(isolation.note_failure(minutes(n)), None);
            }
        }
        assert_eq!(isolation.failures, 14);
        isolation.note_failure(minutes(20));
        assert!(!isolation.lets_run(minutes(20)));
        assert!(isolation.lets_run(minutes(30)));
    }

    #[test]
    fn each_try_that_fails_doubles_the_rest_and_one_that_succeeds_ends_it() {
        let mut isolation = Isolation::default();
        let off: Vec<_> = (0..3).map(|_| isolation.note_failure(minutes(0))).collect();
        assert_eq!(off, [None, None, Some(FIRST_REST)]);
        let mut at = minutes(10);
        for rest in [20, 40, 80, 160, 240, 240] {
            assert!(isolation.lets_run(at));
            assert_eq!(isolation.note_failure(at), None, "it is told once");
            assert!(!isolation.lets_run(MonoTime(at.plus(Duration::from_secs(rest * 60)).0 - 1)));
            at = at.plus(Duration::from_secs(rest * 60));
        }
        assert!(isolation.note_success());
        assert!(isolation.lets_run(at) && isolation.in_a_row == 0);
        assert_eq!(isolation.note_failure(at), None, "it starts afresh");
    }
}
