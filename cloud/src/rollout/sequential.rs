//! A test that may be looked at after every vehicle: is a mean above what is allowed?
//!
//! The usual tests hold their odds of a false alarm only for a number of observations that was fixed beforehand; who
//! looks again and again, as a rollout does, raises the alarm far too often (shown by simulation below). This one is a
//! bet. A gambler begins with 1 and stakes, on each observation `x` in 0 to 1, a share `a` of what he has on "the mean is
//! above m", at odds that are fair or worse if it is not: what he has becomes `K (1 - a + a x / m)`. If the mean is at
//! most `m`, given all that came before, the expected `K` never grows, and by Ville's inequality the chance that it
//! *ever* reaches `1 / alpha` is at most `alpha`, whenever and however often one looks. So `K >= 1 / alpha` is proof. The
//! `m` that are not disproved make a confidence sequence: an interval that holds the mean at all times together with
//! probability `1 - alpha`.
//!
//! He splits his 1 evenly over a grid of shares and never moves money between them, since a mean of such bets is one,
//! too, and the best share need not be known beforehand: the "diversified Kelly" bettor of I. Waudby-Smith, A. Ramdas,
//! "Estimating means of bounded random variables by betting", J. R. Stat. Soc. B 86 (2024) 1-27, arXiv:2010.09686. His
//! capital depends on how often each value came and not on the order, so counts are all that is kept.

use std::collections::BTreeMap;

/// Observations are kept in steps of this size, rounded down: what is bet on is the rounded value, whose mean is at most
/// a step below.
pub const STEP: f64 = 1e-4;

/// The least mean that can be tested against.
pub const LEAST: f64 = 1e-4;

/// Shares of the grid: from a 256th of the capital up to nine tenths, evenly in proportion.
const SHARES: usize = 20;
const FIRST_SHARE: f64 = 1.0 / 256.0;
const LAST_SHARE: f64 = 0.9;

/// Halvings when a bound is looked for: to well below [`STEP`].
const HALVINGS: u32 = 20;

/// Observations in 0 to 1, counted by value. At most 1/[`STEP`] + 1 entries.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Observations {
    counts: BTreeMap<u16, u64>,
    n: u64,
}

/// Where the mean lies.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Interval {
    /// The mean of what was observed.
    pub mean: f64,
    /// Below this it does not lie.
    pub lower: f64,
    /// Above this it does not lie.
    pub upper: f64,
}

impl Observations {
    /// One observation. What is no number counts as 1, and what lies outside 0 to 1 as the nearer end.
    pub fn push(&mut self, x: f64) {
        let x = if x.is_nan() { 1.0 } else { x.clamp(0.0, 1.0) };
        // A hair up, so that 0.02 is 200 steps and not 199.
        let step = (x / STEP + 1e-6).floor() as u16;
        *self.counts.entry(step).or_default() += 1;
        self.n += 1;
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.n
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Their mean; 0 without any.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let sum: f64 = self.values().map(|(x, count)| x * count).sum();
        if self.n == 0 { 0.0 } else { sum / self.n as f64 }
    }

    /// The natural logarithm of the capital that was won by betting on "the mean is above `limit`".
    #[must_use]
    pub fn log_capital_above(&self, limit: f64) -> f64 {
        let m = limit.clamp(LEAST, 1.0);
        self.log_capital(|x| x / m)
    }

    /// The same for "the mean is below `limit`".
    #[must_use]
    pub fn log_capital_below(&self, limit: f64) -> f64 {
        let m = limit.clamp(0.0, 1.0 - LEAST);
        self.log_capital(|x| (1.0 - x) / (1.0 - m))
    }

    /// Whether it is proven that the mean is above `limit`, with a chance of at most `alpha` to be ever wrong.
    #[must_use]
    pub fn is_above(&self, limit: f64, alpha: f64) -> bool {
        self.log_capital_above(limit) >= -alpha.ln()
    }

    /// The confidence sequence at this point, with a chance of at most `alpha` that it ever leaves the mean out.
    #[must_use]
    pub fn interval(&self, alpha: f64) -> Interval {
        // Each side has half the chance. The capital falls, and rises, with the limit, so halving finds the edge.
        let enough = -(alpha / 2.0).ln();
        let mean = self.mean();
        let (mut low, mut high) = (0.0, mean);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if self.log_capital_above(middle) >= enough { low = middle } else { high = middle }
        }
        let lower = low;
        (low, high) = (mean, 1.0);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if self.log_capital_below(middle) >= enough { high = middle } else { low = middle }
        }
        Interval { mean, lower, upper: high }
    }

    fn values(&self) -> impl Iterator<Item = (f64, f64)> {
        self.counts.iter().map(|(step, count)| (f64::from(*step) * STEP, *count as f64))
    }

    /// `odds(x)` is what a stake of 1 pays back on `x`.
    fn log_capital(&self, odds: impl Fn(f64) -> f64) -> f64 {
        let grown: [f64; SHARES] = std::array::from_fn(|at| {
            let share = share(at);
            self.values().map(|(x, count)| count * (1.0 - share + share * odds(x)).ln()).sum()
        });
        let most = grown.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = grown.iter().map(|log| (log - most).exp()).sum();
        most + (sum / SHARES as f64).ln()
    }
}

fn share(at: usize) -> f64 {
    FIRST_SHARE * (LAST_SHARE / FIRST_SHARE).powf(at as f64 / (SHARES - 1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALPHA: f64 = 0.05;

    /// SplitMix64 (Steele, Lea, Flood 2014): enough for coins.
    struct Coins(u64);

    impl Coins {
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        }

        fn toss(&mut self, p: f64) -> f64 {
            if self.uniform() < p { 1.0 } else { 0.0 }
        }
    }

    /// In how many of `runs` an alarm is raised at any of `n` looks.
    fn alarms(
        runs: u64,
        n: u64,
        mut draw: impl FnMut(&mut Coins) -> f64,
        alarm: impl Fn(&Observations) -> bool,
    ) -> u64 {
        let run = |seed| {
            let (mut coins, mut seen) = (Coins(seed), Observations::default());
            (0..n).any(|_| {
                seen.push(draw(&mut coins));
                alarm(&seen)
            })
        };
        (0..runs).map(run).filter(|alarmed| *alarmed).count() as u64
    }

    /// With the mean exactly at the limit, the worst case, and a look after each of 1,000 observations.
    #[test]
    fn false_alarms_stay_below_alpha_however_often_one_looks() {
        let runs = 400;
        // 20 expected at the most; 34 is over three standard deviations above.
        let bound = 34;
        for limit in [0.02, 0.2] {
            let raised = alarms(runs, 1_000, |coins| coins.toss(limit), |seen| seen.is_above(limit, ALPHA));
            println!("coins at {limit}: {raised} false alarms in {runs} runs");
            assert!(raised <= bound, "{limit}: {raised} of {runs}");
        }
        // No coin: a mean of 0.1 by small values, as shares of verdicts are.
        let share = |coins: &mut Coins| 0.05 * (coins.uniform() * 5.0).floor();
        let raised = alarms(runs, 1_000, share, |seen| seen.is_above(0.1, ALPHA));
        println!("shares at 0.1: {raised} false alarms in {runs} runs");
        assert!(raised <= bound, "shares: {raised} of {runs}");
    }

    /// The control: a test made for one look, looked at as often, is what this file is there to replace.
    #[test]
    fn the_simulation_catches_a_test_that_is_not_made_for_many_looks() {
        let limit = 0.2;
        let naive = |seen: &Observations| {
            let n = seen.len() as f64;
            // Ten at least, and one-sided 5 % of the normal distribution.
            n >= 10.0 && (seen.mean() - limit) / (limit * (1.0 - limit) / n).sqrt() > 1.645
        };
        let raised = alarms(400, 1_000, |coins| coins.toss(limit), naive);
        println!("a fixed-size z-test: {raised} false alarms in 400 runs");
        assert!(raised > 100, "{raised}");
    }

    #[test]
    fn what_is_worse_is_found_soon() {
        // Three times the allowed rate of failures; and a model that fails everywhere, after three vehicles.
        let found = alarms(200, 400, |coins| coins.toss(0.06), |seen| seen.is_above(0.02, ALPHA));
        assert!(found >= 180, "{found} of 200");
        let mut all = Observations::default();
        let needed = (1..).find(|_| {
            all.push(1.0);
            all.is_above(0.05, ALPHA)
        });
        assert!(needed.unwrap() <= 3, "{needed:?}");
    }

    #[test]
    fn the_interval_holds_the_mean_at_all_times_and_narrows() {
        let left = alarms(
            200,
            500,
            |coins| coins.toss(0.3),
            |seen| {
                seen.len().is_multiple_of(10) && {
                    let Interval { lower, upper, .. } = seen.interval(ALPHA);
                    !(lower..=upper).contains(&0.3)
                }
            },
        );
        // 10 expected at the most; 20 is over three standard deviations above.
        assert!(left <= 20, "left {left} times of 200");
        let mut seen = Observations::default();
        let none = seen.interval(ALPHA);
        assert_eq!((none.mean, none.lower), (0.0, 0.0));
        assert!(none.upper > 0.999);
        for n in 0..2_000 {
            seen.push(if n % 10 == 0 { 1.0 } else { 0.0 });
        }
        let Interval { mean, lower, upper } = seen.interval(ALPHA);
        assert!(mean == 0.1 && lower > 0.07 && upper < 0.13, "{lower} {upper}");
    }

    #[test]
    fn the_order_does_not_matter_and_what_is_no_number_counts_against() {
        let of = |values: &[f64]| {
            let mut seen = Observations::default();
            values.iter().for_each(|x| seen.push(*x));
            seen
        };
        assert_eq!(of(&[0.0, 1.0, 0.02]), of(&[0.02, 0.0, 1.0]));
        assert_eq!(of(&[f64::NAN, 7.0, -3.0]), of(&[1.0, 1.0, 0.0]));
        assert!((of(&[0.02]).mean() - 0.02).abs() < 1e-12);
    }
}
