//! Two clocks that must never be taken for each other: monotonic and wall.

use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Microseconds on a clock that never goes back. Its zero is the boot (live) or the log's own zero (replay):
/// only differences mean something, and only within one boot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct MonoTime(pub u64);

impl MonoTime {
    /// From whole microseconds.
    #[must_use]
    pub const fn from_micros(us: u64) -> Self {
        Self(us)
    }

    /// Microseconds since this clock's zero.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: MonoTime) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This time plus a duration, saturating.
    #[must_use]
    pub const fn plus(self, d: Duration) -> MonoTime {
        let us = d.as_micros();
        let us = if us > u64::MAX as u128 { u64::MAX } else { us as u64 };
        MonoTime(self.0.saturating_add(us))
    }
}

/// Microseconds since 1970-01-01T00:00:00Z on a clock that may step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct WallTime(pub i64);

impl WallTime {
    /// From whole microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix_micros(us: i64) -> Self {
        Self(us)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_unix_micros(self) -> i64 {
        self.0
    }
}

/// `2019-05-10T08:44:57.000Z` (RFC 3339, milliseconds, UTC), for years 0 to 9999; raw microseconds beyond.
impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, us) = (self.0.div_euclid(86_400_000_000), self.0.rem_euclid(86_400_000_000));
        let (y, m, d) = civil_from_days(days);
        if !(0..=9999).contains(&y) {
            return write!(f, "{}us", self.0);
        }
        let ms = us / 1_000;
        let (h, min, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        write!(f, "{y:04}-{m:02}-{d:02}T{h:02}:{min:02}:{s:02}.{:03}Z", ms % 1_000)
    }
}

/// The proleptic Gregorian date of a day number (0 is 1970-01-01), after H. Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms": eras of 400 years that start on 1 March.
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let doe = shifted.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, doy - (153 * mp + 2) / 5 + 1)
}

/// When something happened: always on the monotonic clock, on the wall clock where that one was known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Stamp {
    /// The monotonic time within the boot.
    pub mono: MonoTime,
    /// The wall time; `None` while the vehicle has not yet learnt it.
    pub wall: Option<WallTime>,
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn wall_time_prints_rfc_3339() {
        for (us, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_557_477_897_250_000, "2019-05-10T08:44:57.250Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(WallTime(us).to_string(), text);
        }
        assert!(WallTime(i64::MAX).to_string().ends_with("us"));
        assert!(WallTime(i64::MIN).to_string().ends_with("us"));
    }

    #[test]
    fn monotonic_differences_never_wrap() {
        let (a, b) = (MonoTime(5), MonoTime(9));
        assert_eq!(b.since(a), Duration::from_micros(4));
        assert_eq!(a.since(b), Duration::ZERO);
        assert_eq!(MonoTime(1).plus(Duration::MAX), MonoTime(u64::MAX));
    }
}
