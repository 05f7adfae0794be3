//! What the fleet says is ahead of the vehicle: for the range's foretelling alone, until its end, over starts.

use std::time::Duration;
use telltale_wire::desired::{Ahead, RoadClass};
use telltale_wire::time::WallTime;

/// What the latest command said, in the file's words and the loop's. Nothing where none holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Outlook(Option<Ahead>);

/// What is ahead, and for how long.
pub(super) type AheadFor = (Ahead, Duration);

impl Outlook {
    /// Takes a command: one that tells nothing takes an earlier one back.
    pub(super) const fn set(&mut self, ahead: Ahead) {
        self.0 = if ahead.is_nothing() { None } else { Some(ahead) };
    }

    /// What is ahead at `now`, and for how long; `None` once it has ended.
    pub(super) fn at(&self, now: WallTime) -> Option<AheadFor> {
        let ahead = self.0?;
        let left_us = ahead.until.0.checked_sub(now.0).filter(|left| *left > 0)?;
        Some((ahead, Duration::from_micros(left_us.unsigned_abs())))
    }

    /// A line, as [`Outlook::read`] takes it; empty where nothing is ahead.
    pub(super) fn line(&self) -> String {
        self.0.map_or_else(String::new, |Ahead { until, decicelsius, road }| {
            let air = decicelsius.map_or_else(|| "-".to_owned(), |tenths| tenths.to_string());
            format!("ahead {} {air} {}\n", until.0, road.map_or("-", RoadClass::name))
        })
    }

    /// What lines of a file say; others are passed over, and so is one that is damaged.
    pub(super) fn read(text: &str) -> Outlook {
        Outlook(text.lines().find_map(|line| {
            let mut words = line.strip_prefix("ahead ")?.split(' ');
            let until = WallTime(words.next()?.parse().ok()?);
            let decicelsius = match words.next()? {
                "-" => None,
                tenths => Some(tenths.parse().ok()?),
            };
            let road = match words.next()? {
                "-" => None,
                name => Some(RoadClass::ALL.into_iter().find(|road| road.name() == name)?),
            };
            Some(Ahead { until, decicelsius, road })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_from_its_line_ends_by_itself_and_is_taken_back() {
        let all =
            Ahead { until: WallTime(5_000_000), decicelsius: Some(-55), road: Some(RoadClass::Motorway) };
        for ahead in [all, Ahead { road: None, ..all }, Ahead { decicelsius: None, ..all }] {
            let mut outlook = Outlook::default();
            outlook.set(ahead);
            let kept = Outlook::read(&format!("7 300 1\noff metrics\n{}", outlook.line()));
            assert_eq!(kept, outlook);
            assert_eq!(kept.at(WallTime(2_000_000)), Some((ahead, Duration::from_secs(3))));
            assert_eq!((kept.at(WallTime(5_000_000)), kept.at(WallTime(i64::MAX))), (None, None));
            outlook.set(Ahead { decicelsius: None, road: None, ..all });
            assert_eq!((outlook.at(WallTime(0)), outlook.line().as_str()), (None, ""));
        }
    }

    #[test]
    fn a_damaged_line_says_nothing() {
        for line in ["ahead", "ahead x - urban", "ahead 5 1x urban", "ahead 5 10 lane", "ahead 5 10"] {
            assert_eq!(Outlook::read(line), Outlook::default(), "{line}");
        }
    }
}
