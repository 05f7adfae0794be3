//! Waits that grow and never fall into step: exponential back-off with full jitter.

use std::time::Duration;

/// Doublings after which a range no longer grows, whatever its end.
const MAX_DOUBLINGS: u32 = 20;

/// A back-off: the wait is drawn from zero to a range that doubles with each failure, up to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// The first range's end.
    pub first: Duration,
    /// The last range's end.
    pub max: Duration,
    /// The shortest wait: full jitter may roll a zero.
    pub min: Duration,
}

impl Backoff {
    /// The wait after so many failures before this one.
    pub fn wait(&self, failures: u32, dice: &mut Dice) -> Duration {
        let range = self.first.saturating_mul(1 << failures.min(MAX_DOUBLINGS)).min(self.max);
        range.mul_f64(dice.roll()).max(self.min)
    }
}

/// Numbers that differ from vehicle to vehicle and repeat in a test (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that roll the same numbers for the same seed.
    #[must_use]
    pub const fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// From 0 up to, but not including, 1.
    pub fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
