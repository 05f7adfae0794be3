//! Seeded draws. Each use has its own stream, so that one more draw in one place moves nothing elsewhere: a
//! fault must not change the road. Only IEEE-exact operations, so that every platform draws the same numbers.

use rand_core::Rng;
use rand_pcg::Pcg64;

/// What a stream of draws is for.
#[derive(Clone, Copy)]
pub(crate) enum Use {
    Cells = 1,
    Road = 2,
    Sensors = 3,
    Powertrain = 4,
    Faults = 5,
    Attacker = 6,
    Looseness = 7,
    Trips = 8,
}

/// One stream of draws.
pub(crate) struct Draws(Pcg64);

impl Draws {
    pub(crate) fn new(seed: u64, for_what: Use) -> Draws {
        Draws(Pcg64::new(u128::from(seed), for_what as u128))
    }

    /// Evenly from `low` to `high`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        let unit = (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
        low + (high - low) * unit
    }

    /// Bell-shaped with this standard deviation, never beyond 4.9 of them: the sum of eight even draws
    /// (Irwin-Hall), which needs no logarithm, whose last bit differs between C libraries.
    pub(crate) fn bell(&mut self, sigma: f64) -> f64 {
        // Eight 16-bit numbers out of two draws: mean 8 * 32767.5, variance 8 * (2^32 - 1) / 12.
        const SIGMA_OF_SUM: f64 = 53_509.5;
        let sixteens = |word: u64| (0..4).map(|k| f64::from((word >> (16 * k)) as u16)).sum::<f64>();
        let sum = sixteens(self.0.next_u64()) + sixteens(self.0.next_u64());
        (sum - 8.0 * 32_767.5) / SIGMA_OF_SUM * sigma
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_spread_they_claim() {
        let mut draws = Draws::new(7, Use::Cells);
        let n = 200_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..n {
            let x = draws.bell(2.0);
            sum += x;
            squares += x * x;
        }
        let mean = sum / f64::from(n);
        let sigma = (squares / f64::from(n) - mean * mean).sqrt();
        assert!(mean.abs() < 0.02 && (sigma - 2.0).abs() < 0.02, "{mean} {sigma}");

        let even: Vec<f64> = (0..n).map(|_| draws.between(3.0, 5.0)).collect();
        assert!(even.iter().all(|x| (3.0..5.0).contains(x)));
        assert!((even.iter().sum::<f64>() / f64::from(n) - 4.0).abs() < 0.01);
    }

    #[test]
    fn streams_and_seeds_differ_and_repeat() {
        let first = |seed, what| Draws::new(seed, what).between(0.0, 1.0);
        assert_eq!(first(1, Use::Road), first(1, Use::Road));
        assert_ne!(first(1, Use::Road), first(1, Use::Cells));
        assert_ne!(first(1, Use::Road), first(2, Use::Road));
    }
}
