//! When a watchdog may be fed: only while every task of the firmware shows up in time, so that one task that hangs is
//! not covered up by another that lives.

/// Watches `TASKS` tasks.
#[derive(Clone, Debug)]
pub struct Vigil<const TASKS: usize> {
    seen_us: [u64; TASKS],
    limit_us: u64,
}

impl<const TASKS: usize> Vigil<TASKS> {
    /// A vigil that begins now; each task is to show up once in `limit_us` at least. The watchdog's own period should be longer.
    #[must_use]
    pub const fn new(now_us: u64, limit_us: u64) -> Self {
        Self { seen_us: [now_us; TASKS], limit_us }
    }

    /// The task did what it is for. A task that is not watched is ignored.
    pub fn seen(&mut self, task: usize, now_us: u64) {
        if let Some(seen) = self.seen_us.get_mut(task) {
            *seen = now_us;
        }
    }

    /// Whether the watchdog may be fed.
    #[must_use]
    pub fn may_feed(&self, now_us: u64) -> bool {
        self.seen_us.iter().all(|seen| now_us.saturating_sub(*seen) <= self.limit_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_task_that_hangs_starves_the_watchdog() {
        let mut vigil = Vigil::<2>::new(1_000, 500);
        assert!(vigil.may_feed(1_500));
        vigil.seen(0, 1_600);
        assert!(!vigil.may_feed(1_600), "task 1 has not shown up");
        vigil.seen(1, 1_600);
        vigil.seen(7, 1_600);
        assert!(vigil.may_feed(2_100));
        assert!(!vigil.may_feed(2_101));
    }
}
