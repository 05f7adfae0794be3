//! Which stretch of time is asked for: `?from=&to=`, each RFC 3339 in UTC or seconds since the Unix epoch.

use super::Range;
use time::{Date, Month, Time};

/// What is taken if the start is not given, in microseconds.
const DAY: i64 = 86_400_000_000;

/// A stretch of time as asked for, either end open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asked {
    from: Option<i64>,
    to: Option<i64>,
}

/// Why a question can't be answered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadRange {
    /// An end that is no time.
    #[error("`{0}` is no time: give 2026-11-22T02:10:00Z, 2026-11-22 or seconds since 1970")]
    NoTime(String),
    /// A parameter that there is not.
    #[error("there is no parameter `{0}`: `from` and `to` are known")]
    Unknown(String),
    /// The start does not come before the end.
    #[error("the range is empty: `from` is to come before `to`")]
    Empty,
}

impl Asked {
    /// From an address.
    ///
    /// # Errors
    /// [`BadRange`], in words for a person.
    pub fn of(query: Option<&str>) -> Result<Asked, BadRange> {
        let mut asked = Asked::default();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let end = match name {
                "from" => &mut asked.from,
                "to" => &mut asked.to,
                _ => return Err(BadRange::Unknown(shown(name))),
            };
            if !value.is_empty() {
                let text = value.replace("%3A", ":").replace("%3a", ":");
                *end = Some(moment(&text).ok_or_else(|| BadRange::NoTime(shown(&text)))?);
            }
        }
        match (asked.from, asked.to) {
            (Some(from), Some(to)) if from >= to => Err(BadRange::Empty),
            _ => Ok(asked),
        }
    }

    /// Both ends; one that is open reaches as far as there is time.
    pub(crate) fn ends(self) -> (i64, i64) {
        (self.from.unwrap_or(i64::MIN), self.to.unwrap_or(i64::MAX))
    }

    /// The range: up to `newest` if no end is given, and the day before the end if no start is.
    pub(crate) fn over(self, newest: i64) -> Range {
        let to = self.to.unwrap_or(newest);
        Range { from: self.from.unwrap_or(to.saturating_sub(DAY)), to }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Microseconds since the Unix epoch, from RFC 3339 in UTC, a date, or seconds.
pub(crate) fn moment(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds.abs() < 1e12).then_some((seconds * 1e6) as i64);
    }
    let (date, clock) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let [year, month, day] = numbers::<3>(date, '-')?;
    let clock = clock.strip_suffix('Z')?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers::<3>(clock, ':')?;
    let micros =
        (1..=6).contains(&fraction.len()).then(|| format!("{fraction:0<6}").parse::<u32>().ok())??;
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
    let part = |number: u32| u8::try_from(number).ok();
    let time = Time::from_hms_micro(part(hour)?, part(minute)?, part(second)?, micros).ok()?;
    i64::try_from(date.with_time(time).assume_utc().unix_timestamp_nanos() / 1_000).ok()
}

fn numbers<const N: usize>(text: &str, between: char) -> Option<[u32; N]> {
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?;
    let parts: Option<Vec<u32>> = text.split(between).map(digits).collect();
    parts?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        let us = 1_795_000_030_000_000;
        for good in
            ["1795000030", "2026-11-18T11:07:10Z", "2026-11-18T11%3A07%3A10.000Z", "2026-11-18T11:07:10.0Z"]
        {
            assert_eq!(Asked::of(Some(&format!("from={good}"))).unwrap().from, Some(us), "{good}");
        }
        assert_eq!(moment("1970-01-02"), Some(DAY));
        assert_eq!(moment("1969-12-31T23:59:59.999999Z"), Some(-1));
        assert_eq!(Asked::of(None).unwrap().over(5 * DAY), Range { from: 4 * DAY, to: 5 * DAY });
        assert_eq!(Asked::default().over(i64::MIN).from, i64::MIN);
    }

    #[test]
    fn what_is_no_range_is_refused_with_a_sentence() {
        for bad in [
            "from=yesterday",
            "from=2026-13-01",
            "to=2026-11-18T25:00:00Z",
            "to=1e300",
            "to=NaN",
            "to=inf",
            "from=2026-11-18T11:07:10",
            "from=2026-11-18T11:07:10.Z",
            "from=2026-+1-18",
            "from=2026-11-18T11:07Z",
            "form=1",
            "from=2&to=1",
            "from=1&to=1",
            "from=é",
        ] {
            let error = Asked::of(Some(bad)).unwrap_err().to_string();
            assert!(error.contains('`'), "{bad}: {error}");
        }
    }
}
