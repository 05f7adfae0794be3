//! When a control unit sends what: periods and phases on the unit's own clock, which may run fast or slow.

/// One message's place in time.
struct Task<M> {
    what: M,
    period_ns: i64,
    phase_ns: i64,
    due_ns: i64,
}

/// The messages of one unit.
pub(crate) struct Schedule<M> {
    tasks: Vec<Task<M>>,
    /// How fast the clock runs, of 1.
    pace: f64,
    /// The task to look at next.
    cursor: usize,
}

impl<M: Copy> Schedule<M> {
    /// Messages with period and phase in microseconds.
    pub(crate) fn new(messages: impl IntoIterator<Item = (M, u64, u64)>) -> Schedule<M> {
        let task = |(what, period_us, phase_us): (M, u64, u64)| Task {
            what,
            period_ns: period_us as i64 * 1_000,
            phase_ns: phase_us as i64 * 1_000,
            due_ns: 0,
        };
        Schedule { tasks: messages.into_iter().map(task).collect(), pace: 1.0, cursor: 0 }
    }

    /// The unit wakes: every message falls due at its phase.
    pub(crate) fn wake(&mut self, now_us: i64) {
        for task in &mut self.tasks {
            task.due_ns = now_us * 1_000 + task.phase_ns;
        }
    }

    /// The clock runs fast by so many parts in a million, until told otherwise.
    pub(crate) fn skew(&mut self, ppm: f64) {
        self.pace = 1.0 + ppm / 1e6;
    }

    /// The next message that falls due before a time, with its time; by message, and each one's in order.
    pub(crate) fn pop(&mut self, before_us: i64) -> Option<(M, i64)> {
        while let Some(task) = self.tasks.get_mut(self.cursor) {
            if task.due_ns < before_us * 1_000 {
                let due_us = task.due_ns / 1_000;
                task.due_ns += (task.period_ns as f64 / self.pace) as i64;
                return Some((task.what, due_us));
            }
            self.cursor += 1;
        }
        self.cursor = 0;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(schedule: &mut Schedule<char>, what: char, before_us: i64) -> usize {
        std::iter::from_fn(|| schedule.pop(before_us)).filter(|(sent, _)| *sent == what).count()
    }

    #[test]
    fn messages_keep_period_and_phase_and_a_fast_clock_shrinks_them() {
        let mut schedule = Schedule::new([('a', 100_000, 0), ('b', 1_000_000, 50_000)]);
        schedule.wake(5_000_000);
        assert_eq!(count(&mut schedule, 'b', 5_050_000), 0);
        assert_eq!(count(&mut schedule, 'b', 5_050_001), 1);
        schedule.wake(0);
        assert_eq!(count(&mut schedule, 'a', 60_000_000), 600);
        schedule.wake(0);
        schedule.skew(10_000.0);
        assert_eq!(count(&mut schedule, 'a', 60_000_000), 607);
    }
}
