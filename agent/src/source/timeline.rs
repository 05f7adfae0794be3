//! From the clock of a log, which may repeat, step back and start anew, to a clock that never goes back.

use telltale_wire::time::MonoTime;

/// A step back of up to this is disorder, as when a logger writes two channels from two buffers: the frame gets the
/// latest time. A longer one is a clock that was set or started anew: time goes on from where it was.
const MAX_DISORDER_US: u64 = 1_000_000;

/// What became of a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Placed {
    /// It stands as the log has it.
    AsLogged,
    /// It lay a little back and was moved up to the latest.
    MovedUp,
    /// The log's clock jumped back; from here on it counts from the latest time.
    StartedAnew,
}

/// The clock of the frames.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline {
    first: Option<MonoTime>,
    latest: MonoTime,
    /// What is added to the log's clock.
    offset: i128,
    latest_logged: i64,
}

impl Timeline {
    /// The time of a frame that the log puts there.
    pub(super) fn place(&mut self, logged: i64) -> (MonoTime, Placed) {
        self.latest_logged = logged;
        let logged = i128::from(logged);
        if self.first.is_none() {
            // The first time of all may be negative; monotonic time is not.
            self.offset = (-logged).max(0);
            self.latest = on_clock(logged + self.offset);
            self.first = Some(self.latest);
            return (self.latest, Placed::AsLogged);
        }
        let at = logged + self.offset;
        let back = i128::from(self.latest.as_micros()) - at;
        if back <= 0 {
            self.latest = on_clock(at);
            return (self.latest, Placed::AsLogged);
        }
        if back <= i128::from(MAX_DISORDER_US) {
            return (self.latest, Placed::MovedUp);
        }
        self.offset += back;
        (self.latest, Placed::StartedAnew)
    }

    /// The latest time of all.
    pub(super) const fn latest(&self) -> MonoTime {
        self.latest
    }

    /// The first time of all.
    pub(super) const fn first(&self) -> Option<MonoTime> {
        self.first
    }

    /// The log's own time of the latest frame, and that time on the frames' clock before it was moved up.
    pub(super) fn latest_pair(&self) -> Option<(i64, MonoTime)> {
        self.first?;
        Some((self.latest_logged, on_clock(i128::from(self.latest_logged) + self.offset)))
    }
}

/// A time that is held at the ends of the clock.
fn on_clock(us: i128) -> MonoTime {
    MonoTime(u64::try_from(us.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(times: &[i64]) -> Vec<(u64, Placed)> {
        let mut timeline = Timeline::default();
        let placed = times.iter().map(|&t| timeline.place(t));
        placed.map(|(at, how)| (at.as_micros(), how)).collect()
    }

    #[test]
    fn time_never_goes_back_and_small_disorder_keeps_the_log_clock() {
        use Placed::{AsLogged, MovedUp};
        assert_eq!(
            place(&[500, 400, 500, 600]),
            [(500, AsLogged), (500, MovedUp), (500, AsLogged), (600, AsLogged)]
        );
    }

    #[test]
    fn a_clock_that_starts_anew_goes_on_from_the_latest_time() {
        use Placed::{AsLogged, StartedAnew};
        assert_eq!(
            place(&[22_000_000, -364_210, -364_000]),
            [(22_000_000, AsLogged), (22_000_000, StartedAnew), (22_000_210, AsLogged)]
        );
    }

    #[test]
    fn the_ends_of_the_clock_hold() {
        let times = [i64::MIN, i64::MAX, i64::MIN, i64::MAX, 0];
        let placed = place(&times);
        assert!(placed.is_sorted_by_key(|(at, _)| *at), "{placed:?}");
        assert_eq!(placed[0].0, 0);
        let mut timeline = Timeline::default();
        assert_eq!(timeline.latest_pair(), None);
        timeline.place(-5);
        timeline.place(-6);
        assert_eq!(timeline.latest_pair(), Some((-6, MonoTime(0))));
    }
}
