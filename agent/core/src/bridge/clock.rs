//! From the bridge's clock to the vehicle's.
//!
//! A message arrives some time after the moment that it names, never before. The difference of the two clocks is
//! therefore the smallest that was seen: a delay only ever adds. What was seen long ago counts less and less, because
//! the clocks drift: the estimate may rise by the most that two quartzes drift apart, and falls at once.

use telltale_wire::time::MonoTime;

/// The most that two clocks drift apart, in millionths: 100 for the microcontroller's quartz over all temperatures, and
/// as much for the agent's.
const MAX_DRIFT_PPM: i64 = 200;

/// A beat is not older than this when it arrives, whatever waits on the line: if it seems to be, a clock was set.
const MAX_DELAY_US: i64 = 2_000_000;

/// How the two clocks stand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ClockMap {
    /// The vehicle's clock less the bridge's, and when that was estimated.
    offset: Option<(i64, MonoTime)>,
}

impl ClockMap {
    /// A beat that names this time of the bridge arrived.
    pub(super) fn observe_beat(&mut self, bridge_us: u64, arrived: MonoTime) {
        let before = self.offset.map(|(offset, _)| offset);
        let seen = difference(bridge_us, arrived);
        if before.is_some_and(|offset| seen.saturating_sub(offset) > MAX_DELAY_US) {
            self.offset = None;
        }
        self.observe(bridge_us, arrived);
    }

    /// A frame that names this time of the bridge arrived; it may have been kept there for long.
    pub(super) fn observe(&mut self, bridge_us: u64, arrived: MonoTime) {
        let seen = difference(bridge_us, arrived);
        let offset = match self.offset {
            None => seen,
            Some((offset, since)) => {
                // In thousandths of a second first, so that a year of silence does not overflow.
                let elapsed_ms = i64::try_from(arrived.since(since).as_millis()).unwrap_or(i64::MAX / 1_000);
                if elapsed_ms == 0 && seen >= offset {
                    return;
                }
                seen.min(offset.saturating_add(elapsed_ms.saturating_mul(MAX_DRIFT_PPM) / 1_000))
            }
        };
        self.offset = Some((offset, arrived));
    }

    /// The vehicle's time of a moment of the bridge; `now` while nothing is known.
    pub(super) fn to_mono(self, bridge_us: u64, now: MonoTime) -> MonoTime {
        let Some((offset, _)) = self.offset else { return now };
        let at = i128::from(bridge_us) + i128::from(offset);
        MonoTime(u64::try_from(at.max(0)).unwrap_or(u64::MAX))
    }
}

fn difference(bridge_us: u64, arrived: MonoTime) -> i64 {
    let difference = i128::from(arrived.as_micros()) - i128::from(bridge_us);
    difference.clamp(i128::from(i64::MIN / 2), i128::from(i64::MAX / 2)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// xorshift32.
    fn noise(state: &mut u32) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 17;
        *state ^= *state << 5;
        u64::from(*state)
    }

    #[test]
    fn the_shortest_way_gives_the_offset_and_drift_is_followed_both_ways() {
        for drift_ppm in [-100_i64, 0, 100] {
            let (mut map, mut state) = (ClockMap::default(), 1);
            let mut worst = 0;
            for second in 1..4_000_u64 {
                let bridge_us = second * 1_000_000;
                let truth = (bridge_us as i64 + 7_000_000 + bridge_us as i64 / 1_000_000 * drift_ppm) as u64;
                // Up to 20 ms of delay, and 200 us at least.
                let arrived = MonoTime(truth + 200 + noise(&mut state) % 20_000);
                map.observe(bridge_us, arrived);
                let at = map.to_mono(bridge_us, arrived);
                if second > 60 {
                    worst = worst.max(at.as_micros().abs_diff(truth));
                }
            }
            assert!(worst < 15_000, "{drift_ppm} ppm: {worst} us");
        }
    }

    #[test]
    fn one_quick_message_holds_for_as_long_as_drift_allows() {
        let mut map = ClockMap::default();
        map.observe(1_000_000, MonoTime(5_000_000));
        for second in 2..=101_u64 {
            map.observe(second * 1_000_000, MonoTime(second * 1_000_000 + 4_500_000));
        }
        let at = map.to_mono(101_000_000, MonoTime(u64::MAX)).as_micros();
        // 500 ms late from then on: after 100 s the estimate has given way by 20 ms at most.
        assert!((105_000_000..=105_020_200).contains(&at), "{at}");
    }

    #[test]
    fn a_clock_that_jumped_is_followed_by_the_next_beat_and_a_kept_frame_is_not_taken_for_a_jump() {
        let mut map = ClockMap::default();
        map.observe_beat(1_000_000, MonoTime(1_000_100));
        map.observe(1_000, MonoTime(9_000_000));
        assert!(map.to_mono(9_000_000, MonoTime(0)).as_micros() < 9_002_000, "an old frame moved the clock");
        map.observe(99_000_000, MonoTime(9_000_000));
        map.observe_beat(9_100_000, MonoTime(9_100_100));
        assert_eq!(map.to_mono(9_100_000, MonoTime(0)), MonoTime(9_100_100));
    }

    #[test]
    fn the_ends_of_the_clocks_hold() {
        let mut map = ClockMap::default();
        assert_eq!(map.to_mono(5, MonoTime(9)), MonoTime(9));
        map.observe(u64::MAX, MonoTime(0));
        map.observe(0, MonoTime(u64::MAX));
        map.observe(u64::MAX, MonoTime(u64::MAX));
        let _ = map.to_mono(u64::MAX, MonoTime(0));
        let _ = map.to_mono(0, MonoTime(0));
    }
}
