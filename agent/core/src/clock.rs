//! Where the monotonic clock and the wall clock meet. Frames carry monotonic time alone; an anchor turns it into
//! wall time for whoever reads a record later.

use telltale_wire::time::{MonoTime, Stamp, WallTime};

/// One moment, read on both clocks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClockAnchor {
    /// The moment on the monotonic clock.
    pub mono: MonoTime,
    /// The same moment on the wall clock.
    pub wall: WallTime,
}

impl ClockAnchor {
    /// The wall time of another moment, as long as neither clock has been set since. Saturates at the ends.
    #[must_use]
    pub const fn wall_at(self, at: MonoTime) -> WallTime {
        let (at, mono) = (at.as_micros() as i128, self.mono.as_micros() as i128);
        let wall = self.wall.as_unix_micros() as i128 + at - mono;
        let wall = if wall > i64::MAX as i128 {
            i64::MAX
        } else if wall < i64::MIN as i128 {
            i64::MIN
        } else {
            wall as i64
        };
        WallTime::from_unix_micros(wall)
    }
}

/// A moment as records state it: with the wall time if an anchor is known.
pub(crate) fn stamp(at: MonoTime, anchor: Option<ClockAnchor>) -> Stamp {
    Stamp { mono: at, wall: anchor.map(|a| a.wall_at(at)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_follows_the_monotonic_clock_both_ways() {
        let anchor = ClockAnchor { mono: MonoTime(1_000), wall: WallTime(50) };
        assert_eq!(anchor.wall_at(MonoTime(1_500)), WallTime(550));
        assert_eq!(anchor.wall_at(MonoTime(0)), WallTime(-950));
        assert_eq!(anchor.wall_at(MonoTime(u64::MAX)), WallTime(i64::MAX));
    }
}
