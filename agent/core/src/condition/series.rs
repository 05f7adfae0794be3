//! Observations of one quantity over days: the level of the latest with its interval, and the trend of all.

use super::document::Limits;
use telltale_wire::time::WallTime;

/// The most observations that are held; the oldest go first.
const MOST: usize = 64;
/// How many of the latest make the level.
pub const RECENT: usize = 4;
/// Fewer make no level.
pub const ENOUGH: usize = 3;
/// Student's t that nine tenths lie within, by the degrees of freedom from 1 on; beyond, the normal's.
const T90: [f64; 10] = [6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812];
const NORMAL90: f64 = 1.645;
const DAY_US: f64 = 86_400e6;

/// A level with the interval that holds it in nine of ten cases.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Level {
    /// The mean of the latest observations.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// A change a day with the interval that holds it in nine of ten cases.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Trend {
    /// The least-squares slope.
    pub per_day: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// The observations, oldest first. Room for all is made at once: 1 KiB.
#[derive(Clone, Debug)]
pub struct Series {
    /// Wall time in microseconds, 0 where it was not known, and value.
    held: Vec<(i64, f64)>,
}

impl Default for Series {
    fn default() -> Self {
        Series::new()
    }
}

impl Series {
    /// Without observations.
    #[must_use]
    pub fn new() -> Series {
        Series { held: Vec::with_capacity(MOST) }
    }

    /// With the latest of these. What is no number is left out.
    #[must_use]
    pub fn of(observations: &[(i64, f64)]) -> Series {
        let mut series = Series::new();
        for (at, value) in observations {
            series.push(Some(WallTime(*at)), *value);
        }
        series
    }

    /// Adds an observation.
    pub fn push(&mut self, at: Option<WallTime>, value: f64) {
        if !value.is_finite() {
            return;
        }
        if self.held.len() == MOST {
            self.held.remove(0);
        }
        self.held.push((at.map_or(0, |at| at.0), value));
    }

    /// How many are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// All observations.
    #[must_use]
    pub fn kept(&self) -> Vec<(i64, f64)> {
        self.held.clone()
    }

    /// The level of the latest observations; `None` before there are [`ENOUGH`].
    #[must_use]
    pub fn level(&self) -> Option<Level> {
        let recent = &self.held[self.held.len().saturating_sub(RECENT)..];
        if recent.len() < ENOUGH {
            return None;
        }
        let n = recent.len() as f64;
        let mean = recent.iter().map(|(_, value)| value).sum::<f64>() / n;
        let squares: f64 = recent.iter().map(|(_, value)| (value - mean) * (value - mean)).sum();
        let half = t90(recent.len() - 1) * (squares / (n - 1.0) / n).sqrt();
        Some(Level { value: mean, low: mean - half, high: mean + half })
    }

    /// The trend of all observations whose time is known; `None` over less than a day.
    #[must_use]
    pub fn trend(&self) -> Option<Trend> {
        let timed = || self.held.iter().filter(|(at, _)| *at > 0);
        let (first, last) = (timed().next()?.0, timed().next_back()?.0);
        let n = timed().count();
        let spans_a_day = (last.saturating_sub(first)) as f64 >= DAY_US;
        if n < ENOUGH || !spans_a_day {
            return None;
        }
        let days = |at: i64| at.saturating_sub(first) as f64 / DAY_US;
        let (sx, sy) = timed().fold((0.0, 0.0), |(sx, sy), (at, y)| (sx + days(*at), sy + y));
        let (mx, my) = (sx / n as f64, sy / n as f64);
        let (sxx, sxy) = timed().fold((0.0, 0.0), |(sxx, sxy), (at, y)| {
            let x = days(*at) - mx;
            (sxx + x * x, sxy + x * (y - my))
        });
        let slope = sxy / sxx;
        let rest: f64 = timed().map(|(at, y)| (y - my - slope * (days(*at) - mx)).powi(2)).sum();
        let half = t90(n - 2) * (rest / (n - 2).max(1) as f64 / sxx).sqrt();
        let trend = Trend { per_day: slope, low: slope - half, high: slope + half };
        (sxx > 0.0).then_some(trend)
    }

    /// Since when the observations are all beyond their limits, or all within.
    #[must_use]
    pub fn since(&self, limits: &Limits, is_beyond: bool) -> Option<WallTime> {
        let turned = |(_, value): &&(i64, f64)| limits.is_beyond(*value) == is_beyond;
        let first = self.held.iter().rev().take_while(turned).last()?;
        Some(WallTime(first.0)).filter(|at| at.0 > 0)
    }
}

fn t90(freedom: usize) -> f64 {
    T90.get(freedom.max(1) - 1).copied().unwrap_or(NORMAL90)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    #[test]
    fn a_level_needs_enough_and_its_interval_follows_the_spread() {
        assert_eq!(Series::of(&[(1, 5.0), (2, 5.0)]).level(), None);
        let level = Series::of(&[(1, 99.0), (2, 4.0), (3, 5.0), (4, 6.0), (5, 5.0)]).level().unwrap();
        // The four latest: a deviation of 0.8165, t of 2.353 over a root of 4.
        assert!((level.value - 5.0).abs() < 1e-12 && (level.high - 5.9606).abs() < 1e-3, "{level:?}");
        assert!((level.low + level.high - 10.0).abs() < 1e-12);
    }

    #[test]
    fn a_trend_is_told_over_a_day_or_more() {
        let rising: Vec<(i64, f64)> = (0..20).map(|n| (1 + n * DAY / 2, 0.01 * n as f64)).collect();
        let trend = Series::of(&rising).trend().unwrap();
        assert!((trend.per_day - 0.02).abs() < 1e-9 && trend.high - trend.low < 1e-6, "{trend:?}");
        let wild: Vec<(i64, f64)> = (0..20).map(|n| (1 + n * DAY / 2, (n % 2) as f64)).collect();
        let trend = Series::of(&wild).trend().unwrap();
        assert!(trend.low < 0.0 && trend.high > 0.0, "{trend:?}");
        assert_eq!(Series::of(&[(1, 1.0), (2, 2.0), (3, 3.0)]).trend(), None);
        assert_eq!(Series::of(&[(0, 1.0); 9]).trend(), None, "without a wall time there are no days");
    }

    #[test]
    fn the_oldest_go_and_what_is_no_number_never_comes() {
        let mut series = Series::new();
        (0..200).for_each(|n| series.push(Some(WallTime(n)), n as f64));
        series.push(None, f64::NAN);
        assert_eq!((series.len(), series.kept()[0].0), (64, 136));
    }
}
