//! Freeze windows: when no vehicle may begin an update. What has begun goes on, and a stop is never frozen.

use crate::signals::moment;
use serde::{Deserialize, Serialize};
use telltale_wire::time::WallTime;

const MINUTE_US: i64 = 60_000_000;
const MINUTES_A_DAY: u32 = 24 * 60;
const MINUTES_A_WEEK: u32 = 7 * MINUTES_A_DAY;
/// 1970-01-01 was a Thursday: this many minutes after a Monday's midnight.
const EPOCH_IN_WEEK: i64 = 3 * MINUTES_A_DAY as i64;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A stretch in which nothing begins. In a plan: `weekly = "Fri 16:00 - Mon 06:00"`, or `from` and `to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Window", into = "Window")]
pub enum Freeze {
    /// Once.
    Once {
        /// From this time on.
        from: WallTime,
        /// Up to this time, not included.
        to: WallTime,
    },
    /// Every week, in UTC.
    Weekly {
        /// From this minute after Monday's midnight on.
        from: u32,
        /// Up to this minute, not included; a window that ends before it begins spans Sunday's midnight.
        to: u32,
    },
}

/// How a plan writes a window.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Window {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weekly: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

impl TryFrom<Window> for Freeze {
    type Error = &'static str;

    fn try_from(window: Window) -> Result<Self, Self::Error> {
        match (window.weekly, window.from, window.to) {
            (Some(text), None, None) => {
                Self::weekly(&text).ok_or("a weekly freeze is written as \"Fri 16:00 - Mon 06:00\", in UTC")
            }
            (None, Some(from), Some(to)) => {
                let time = |text: &str| {
                    let advice = "a time is written as \"2026-12-20\" or \"2026-12-20T06:00:00Z\"";
                    moment(text).map(WallTime).ok_or(advice)
                };
                let (from, to) = (time(&from)?, time(&to)?);
                if from < to { Ok(Self::Once { from, to }) } else { Err("a freeze begins before it ends") }
            }
            _ => Err("a freeze has either `weekly`, or `from` and `to`"),
        }
    }
}

impl From<Freeze> for Window {
    fn from(freeze: Freeze) -> Self {
        match freeze {
            Freeze::Once { from, to } => {
                Self { from: Some(from.to_string()), to: Some(to.to_string()), ..Self::default() }
            }
            Freeze::Weekly { from, to } => {
                Self { weekly: Some(format!("{} - {}", clock(from), clock(to))), ..Self::default() }
            }
        }
    }
}

fn clock(minute_of_week: u32) -> String {
    let (day, minute) = (minute_of_week / MINUTES_A_DAY, minute_of_week % MINUTES_A_DAY);
    format!("{} {:02}:{:02}", DAYS[day as usize % 7], minute / 60, minute % 60)
}

impl Freeze {
    /// Every week: `Fri 16:00 - Mon 06:00`.
    #[must_use]
    pub fn weekly(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (minute_of_week(from.trim())?, minute_of_week(to.trim())?);
        (from != to).then_some(Self::Weekly { from, to })
    }

    /// When this window ends, if `now` lies in it.
    #[must_use]
    pub fn until(&self, now: WallTime) -> Option<WallTime> {
        match *self {
            Self::Once { from, to } => (from..to).contains(&now).then_some(to),
            Self::Weekly { from, to } => {
                let minutes = now.0.div_euclid(MINUTE_US);
                let now_in_week = (minutes + EPOCH_IN_WEEK).rem_euclid(i64::from(MINUTES_A_WEEK)) as u32;
                let after = |start: u32, end: u32| (end + MINUTES_A_WEEK - start) % MINUTES_A_WEEK;
                let inside = after(from, now_in_week) < after(from, to);
                let left = i64::from(after(now_in_week, to));
                inside.then(|| WallTime((minutes + left) * MINUTE_US))
            }
        }
    }
}

/// When the last of these windows that hold `now` ends.
#[must_use]
pub fn frozen_until(windows: &[Freeze], now: WallTime) -> Option<WallTime> {
    windows.iter().filter_map(|window| window.until(now)).max()
}

fn minute_of_week(text: &str) -> Option<u32> {
    let (day, clock) = text.split_once(' ')?;
    let (hour, minute) = clock.trim().split_once(':')?;
    let day = DAYS.iter().position(|name| name.eq_ignore_ascii_case(day))? as u32;
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some(day * MINUTES_A_DAY + hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> WallTime {
        WallTime(moment(text).unwrap())
    }

    #[test]
    fn a_weekend_is_frozen_over_midnight_of_sunday() {
        let weekend = Freeze::weekly("Fri 16:00 - Mon 06:00").unwrap();
        // 2026-11-22 is a Sunday.
        assert_eq!(weekend.until(at("2026-11-22T10:00:00Z")), Some(at("2026-11-23T06:00:00Z")));
        assert_eq!(weekend.until(at("2026-11-20T16:00:00Z")), Some(at("2026-11-23T06:00:00Z")));
        assert_eq!(weekend.until(at("2026-11-20T15:59:59Z")), None);
        assert_eq!(weekend.until(at("2026-11-23T05:59:59Z")), Some(at("2026-11-23T06:00:00Z")));
        assert_eq!(weekend.until(at("2026-11-23T06:00:00Z")), None);
        assert_eq!(weekend.until(at("2026-11-25T12:00:00Z")), None);
    }

    #[test]
    fn the_window_that_ends_last_counts() {
        let holidays = Freeze::Once { from: at("2026-11-22"), to: at("2026-11-25") };
        let weekend = Freeze::weekly("Fri 16:00 - Mon 06:00").unwrap();
        assert_eq!(frozen_until(&[weekend, holidays], at("2026-11-22T10:00:00Z")), Some(at("2026-11-25")));
        assert_eq!(frozen_until(&[weekend, holidays], at("2026-11-25")), None);
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for bad in
            ["", "Fri 16:00", "Fri 16:00 - Fri 16:00", "Fre 16:00 - Mon 06:00", "Fri 24:00 - Mon 06:00"]
        {
            assert_eq!(Freeze::weekly(bad), None, "{bad}");
        }
        let read = |text: &str| toml::from_str::<Freeze>(text);
        for bad in [
            "",
            "weekly = \"x\"",
            "from = \"2026-11-22\"",
            "from = \"2026-11-22\"\nto = \"2026-11-21\"",
            "until = 3",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_window_is_written_as_it_is_read() {
        for text in [
            "weekly = \"Fri 16:00 - Mon 06:00\"\n",
            "from = \"2026-12-20T00:00:00.000Z\"\nto = \"2027-01-04T06:30:00.000Z\"\n",
        ] {
            assert_eq!(toml::to_string(&toml::from_str::<Freeze>(text).unwrap()).unwrap(), text);
        }
    }
}
