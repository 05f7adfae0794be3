//! Dates as loggers write them: the words of the machine's language, in the order of its habits.
//!
//! `Thu, 09 Nov 2023 20:36:33 GMT`, `Sam Sep 30 15:06:13.191 2017`, `Wed Sep 30 03:06:13.191 pm 2017`,
//! `30.09.2017 15:06:13`, `2017-09-30 15:06:13`. A date of digits and slashes could be of two kinds and is refused
//! unless one of its numbers cannot be a month.

use super::field;
use telltale_wire::time::WallTime;

/// A moment, and whether the text said in which zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Date {
    pub(super) wall: WallTime,
    pub(super) has_zone: bool,
}

/// The moment that the text names; UTC where it names no zone.
pub(super) fn parse(text: &[u8]) -> Option<Date> {
    let mut parts = Parts::default();
    let words = text.split(|b| b.is_ascii_whitespace() || *b == b',').filter(|w| !w.is_empty());
    for word in words.take(MAX_WORDS) {
        parts.take(word)?;
    }
    parts.finish()
}

/// No date has more words; the rest of an endless line is not looked at.
const MAX_WORDS: usize = 12;

#[derive(Default)]
struct Parts {
    year: Option<u32>,
    month: Option<u32>,
    day: Option<u32>,
    time_us: Option<i64>,
    afternoon: Option<bool>,
    offset_min: Option<i64>,
}

impl Parts {
    fn take(&mut self, word: &[u8]) -> Option<()> {
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        if word.contains(&b':') {
            self.time_us = Some(clock(word)?);
        } else if let [sign @ (b'+' | b'-'), digits @ ..] = word {
            self.offset_min = Some(offset(*sign, digits)?);
        } else if word[0].is_ascii_digit() {
            self.take_digits(word)?;
        } else if is(b"am") || is(b"a.m.") {
            self.afternoon = Some(false);
        } else if is(b"pm") || is(b"p.m.") {
            self.afternoon = Some(true);
        } else if is(b"gmt") || is(b"utc") || is(b"z") {
            self.offset_min = Some(0);
        } else if let Some(month) = month(word) {
            // Some languages shorten a weekday and a month alike ("mar"): the weekday comes first.
            self.month = Some(month);
        }
        Some(())
    }

    fn take_digits(&mut self, word: &[u8]) -> Option<()> {
        let number = |w: &[u8]| field::number(w, field::Base::Dec);
        let by = |separator: u8| {
            let mut parts = word.split(move |&b| b == separator).map(number);
            Some((parts.next()??, parts.next()??, parts.next()??)).filter(|_| parts.next().is_none())
        };
        if let Some((day, month, year)) = by(b'.') {
            (self.day, self.month, self.year) = (Some(day), Some(month), Some(year));
        } else if let Some((year, month, day)) = by(b'-') {
            (self.day, self.month, self.year) = (Some(day), Some(month), Some(year));
        } else if let Some((a, b, year)) = by(b'/') {
            let (day, month) = if a > 12 {
                (a, b)
            } else if b > 12 {
                (b, a)
            } else {
                return None;
            };
            (self.day, self.month, self.year) = (Some(day), Some(month), Some(year));
        } else {
            let digits = word.strip_suffix(b".").unwrap_or(word);
            let value = number(digits)?;
            if digits.len() == 4 { self.year = Some(value) } else { self.day = Some(value) }
        }
        Some(())
    }

    fn finish(self) -> Option<Date> {
        let (year, month, day) = (self.year?, self.month?, self.day?);
        let days = days_from_civil(year, month, day)?;
        let mut time_us = self.time_us?;
        if let Some(afternoon) = self.afternoon {
            let hour = time_us / HOUR_US;
            if !(1..=12).contains(&hour) {
                return None;
            }
            time_us = time_us % (12 * HOUR_US) + if afternoon { 12 * HOUR_US } else { 0 };
        }
        let us = days * 24 * HOUR_US + time_us - self.offset_min.unwrap_or(0) * 60_000_000;
        Some(Date { wall: WallTime::from_unix_micros(us), has_zone: self.offset_min.is_some() })
    }
}

const HOUR_US: i64 = 3_600_000_000;

/// `15:06:13.191` in microseconds since midnight.
fn clock(word: &[u8]) -> Option<i64> {
    let mut parts = word.split(|&b| b == b':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next().unwrap_or(b"0"));
    if parts.next().is_some() {
        return None;
    }
    let below =
        |w: &[u8], limit: u32| field::number(w, field::Base::Dec).filter(|&n| n < limit).map(i64::from);
    let dot = second.iter().position(|b| matches!(b, b'.' | b',')).unwrap_or(second.len());
    let us = field::fraction_micros(second.get(dot + 1..).unwrap_or_default())?;
    let second = below(&second[..dot], 61)?; // a leap second is a second
    Some(below(hour, 24)? * HOUR_US + below(minute, 60)? * 60_000_000 + second * 1_000_000 + us)
}

/// `+0200` in minutes.
fn offset(sign: u8, digits: &[u8]) -> Option<i64> {
    let hhmm = field::number(digits, field::Base::Dec).filter(|_| digits.len() == 4)?;
    let minutes = i64::from(hhmm / 100 * 60 + hhmm % 100);
    Some(if sign == b'-' { -minutes } else { minutes })
}

/// The month by its first letters in English, German, French, Spanish or Italian. Letters beyond ASCII, in whatever
/// encoding, are left out on both sides: `Mär` is `mr`.
fn month(word: &[u8]) -> Option<u32> {
    const NAMES: [&[&str]; 12] = [
        &["jan", "ene", "gen"],
        &["feb", "fev", "fvr"],
        &["mar", "mr", "maer"],
        &["apr", "avr", "abr"],
        &["may", "mai", "mag"],
        &["jun", "juin", "giu"],
        &["jul", "juil", "lug"],
        &["aug", "ao", "ago"],
        &["sep", "set"],
        &["oct", "okt", "ott"],
        &["nov"],
        &["dec", "dez", "dic", "dc"],
    ];
    let mut letters = [0_u8; 4];
    let ascii = word.iter().filter(|b| b.is_ascii_alphabetic());
    let count = letters.iter_mut().zip(ascii).map(|(slot, b)| *slot = b.to_ascii_lowercase()).count();
    let letters = &letters[..count];
    let month =
        NAMES.iter().zip(1..).find(|(names, _)| names.iter().any(|n| letters.starts_with(n.as_bytes())));
    month.map(|(_, number)| number)
}

/// Days since 1970-01-01 of a Gregorian date (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: u32, month: u32, day: u32) -> Option<i64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let longest = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1970..=9999).contains(&year) || !(1..=longest).contains(&day) {
        return None;
    }
    let (year, month, day) = (i64::from(year), i64::from(month), i64::from(day));
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(date: &str) -> Option<(String, bool)> {
        parse(date.as_bytes()).map(|d| (d.wall.to_string(), d.has_zone))
    }

    #[test]
    fn the_dates_of_many_machines_are_one_moment() {
        let local = Some(("2017-09-30T15:06:13.191Z".to_owned(), false));
        for date in [
            "Sat Sep 30 15:06:13.191 2017",
            "Sam Sep 30 15:06:13.191 2017",
            "Sat Sep 30 03:06:13.191 pm 2017",
            "Sat Sep 30 03:06:13.191 PM 2017",
            "sam. sept. 30 15:06:13.191 2017",
            "30.09.2017 15:06:13.191",
            "2017-09-30 15:06:13.191",
            "09/30/2017 03:06:13.191 PM",
        ] {
            assert_eq!(text(date), local, "{date}");
        }
        let gmt = Some(("2023-11-09T20:36:33.000Z".to_owned(), true));
        assert_eq!(text("Thu, 09 Nov 2023 20:36:33 GMT"), gmt);
        assert_eq!(text("Thu, 09 Nov 2023 22:36:33 +0200"), gmt);
    }

    #[test]
    fn months_in_other_languages_and_encodings_are_known() {
        for (date, month) in [
            ("Mon M\u{e4}r 27 10:00:00 2017".as_bytes().to_vec(), "03"),
            (b"Mon M\xE4r 27 10:00:00 2017".to_vec(), "03"),
            (b"mar. mars 28 10:00:00 2017".to_vec(), "03"),
            (b"mar. juil. 28 10:00:00 2017".to_vec(), "07"),
            (b"Don Dez 28 10:00:00 2017".to_vec(), "12"),
            (b"Mit Mai 28 10:00:00 2017".to_vec(), "05"),
            (b"mar dic 28 10:00:00 2017".to_vec(), "12"),
            ("ven. f\u{e9}vr. 03 10:00:00 2017".as_bytes().to_vec(), "02"),
            ("jeu. d\u{e9}c. 28 10:00:00 2017".as_bytes().to_vec(), "12"),
            ("mar. ao\u{fb}t 28 10:00:00 2017".as_bytes().to_vec(), "08"),
        ] {
            let wall = parse(&date).unwrap().wall.to_string();
            assert_eq!(&wall[5..7], month, "{}", String::from_utf8_lossy(&date));
        }
    }

    #[test]
    fn what_could_be_two_dates_or_none_is_refused() {
        for date in [
            "03/04/2017 10:00:00",
            "30 Feb 2017 10:00:00",
            "Sep 2017 10:00:00",
            "31 Sep 2017 24:00:00",
            "",
            "13:00:00 pm 1 Jan 2017",
            "99999999999 Jan 2017 1:1:1",
            "1 Jan 2017 1:1:1:1",
            "1 Jan 2017 +99x 1:1:1",
        ] {
            assert_eq!(text(date), None, "{date}");
        }
    }
}
