//! The values of one series in the stretch under way.

use super::sketch::FixedSketch;
use telltale_wire::signals::{MAX_DECIMALS, MAX_SCALED, Values, power_of_ten};

/// The values that count towards quantiles and mean.
#[derive(Clone, Debug)]
pub(super) struct Track {
    sketch: FixedSketch,
    sum: f64,
    count: u64,
}

/// The extremes that go with a track.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extremes {
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) last: f64,
}

impl Track {
    pub(super) const fn new() -> Track {
        Track { sketch: FixedSketch::new(), sum: 0.0, count: 0 }
    }

    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        self.sketch.add(value);
        self.sum += value;
        self.count += 1;
    }

    /// What the values came to, in units of the last of `decimals`; begins anew.
    pub(super) fn take(&mut self, decimals: u8, extremes: Extremes) -> Values {
        let Extremes { min, max, last } = extremes;
        let decimals = fitting(decimals, min.abs().max(max.abs()));
        let power = power_of_ten(decimals);
        let scaled = |value: f64| ((value * power).round() as i64).clamp(-MAX_SCALED, MAX_SCALED);
        let (least, greatest) = (scaled(min), scaled(max));
        let mean = if self.count > 0 { self.sum / self.count as f64 } else { last };
        (self.sum, self.count) = (0.0, 0);
        Values {
            decimals,
            min: least,
            max: greatest,
            last: scaled(last).clamp(least, greatest),
            mean: scaled(mean).clamp(least, greatest),
            sketch: self.sketch.take(),
        }
    }
}

/// Fewer decimals where a number is too large for them.
fn fitting(decimals: u8, largest: f64) -> u8 {
    (0..=decimals).rev().find(|fewer| largest * power_of_ten(*fewer) < MAX_SCALED as f64).unwrap_or(0)
}

/// The decimals that tell every value of a signal with this DBC scale exactly; where that takes many more, those that
/// tell a quarter of a step.
pub(super) fn decimals(factor: f64, offset: f64) -> u8 {
    let quarter = (0..MAX_DECIMALS).find(|decimals| 1.0 / power_of_ten(*decimals) <= factor.abs() / 4.0);
    let quarter = quarter.unwrap_or(MAX_DECIMALS);
    let is_whole = |value: f64| (value - value.round()).abs() < 1e-6;
    let exact = |decimals: &u8| {
        let power = power_of_ten(*decimals);
        factor.abs() * power >= 0.5 && is_whole(factor * power) && is_whole(offset * power)
    };
    (0..=MAX_DECIMALS.min(quarter + MORE_DECIMALS)).find(exact).unwrap_or(quarter)
}

/// How many decimals exactness may cost.
const MORE_DECIMALS: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_follow_the_scale() {
        for (factor, offset, expected) in [
            (1.0, 0.0, 0),
            (0.001, 0.0, 3),
            (0.1, -1_000.0, 1),
            (0.05, 0.0, 2),
            (0.5, -0.25, 2),
            (1.0, 0.5, 1),
            (10.0, 0.0, 0),
            (1.0 / 128.0, 0.0, 3),
            (-0.01, 0.0, 2),
            (1e-30, 0.0, MAX_DECIMALS),
        ] {
            assert_eq!(decimals(factor, offset), expected, "{factor} {offset}");
        }
    }

    #[test]
    fn numbers_stay_within_what_a_double_holds() {
        let mut track = Track::new();
        track.add(1e300);
        let values = track.take(12, Extremes { min: -1e300, max: 1e300, last: 0.0 });
        assert_eq!(
            (values.decimals, values.min, values.max, values.mean),
            (0, -MAX_SCALED, MAX_SCALED, MAX_SCALED)
        );
        let values = track.take(3, Extremes { min: 3.6995, max: 3.712, last: 3.7 });
        assert_eq!((values.min, values.max, values.last, values.mean), (3_700, 3_712, 3_700, 3_700));
        assert_eq!(values.sketch.count(), 0);
    }
}
