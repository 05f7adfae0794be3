//! How wide the interval around what is foretold is: as wide as this vehicle's own trips were off lately.
//!
//! Each trip was foretold before it was driven, so that its error is known when it ends. The width is a quantile of the
//! recent errors, beside which the document's stand like a few trips more (split conformal prediction with a prior's
//! pseudo-observations); and which quantile follows how often trips fell outside (adaptive conformal inference, Gibbs
//! and Candes, Advances in Neural Information Processing Systems 34, 2021), so that over many trips the share outside
//! is what is meant, whatever the errors are like.
//!
//! The error of a trip is `max(taken / foretold, foretold / taken) - 1`, and the interval around a value `v` with the
//! width `w` is `v / (1 + w)` to `v * (1 + w)`: no logarithm, so that every machine gives the same bytes.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The most errors that a document may have, and the most of its own that a vehicle may keep.
const MOST: usize = 64;
/// The largest error that counts: three times off either way.
const LARGEST: f64 = 2.0;
/// The share outside that is aimed at stays between these, however the latest trips fell.
const SHARES: [f64; 2] = [0.005, 0.5];

/// How the width is found: part of the model's document.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Widths {
    /// The share of trips that the interval is to hold.
    pub(super) coverage: f64,
    /// How many of its own errors a vehicle keeps.
    window: usize,
    /// As how many trips the document's errors count.
    prior_trips: f64,
    /// By how much the share that is aimed at moves with each trip; 0 leaves it where it is.
    step: f64,
    /// Errors of vehicles like it, each as likely as the others.
    errors: Vec<f64>,
}

impl Widths {
    /// Each rule with the field that it is about, and what would be right.
    pub(super) fn checks(&self) -> [(bool, &'static str, &'static str); 5] {
        let is_error = |error: &f64| (0.0..=LARGEST).contains(error);
        [
            (self.coverage >= 0.5 && self.coverage <= 0.99, "interval.coverage", "0.5 to 0.99"),
            ((1..=MOST).contains(&self.window), "interval.window", "1 to 64 trips"),
            ((0.5..=100.0).contains(&self.prior_trips), "interval.prior_trips", "0.5 to 100"),
            ((0.0..=0.2).contains(&self.step), "interval.step", "0 to 0.2"),
            (
                (1..=MOST).contains(&self.errors.len()) && self.errors.iter().all(is_error),
                "interval.errors",
                "1 to 64 errors from 0 to 2",
            ),
        ]
    }
}

/// How far off the recent trips were.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Track {
    /// The oldest first.
    errors: VecDeque<f32>,
    /// The share outside that is aimed at now.
    outside: f64,
}

impl Track {
    pub(super) fn new(widths: &Widths) -> Track {
        Track { errors: VecDeque::new(), outside: 1.0 - widths.coverage }
    }

    /// The width now: the quantile of its own errors and the document's, weighed together.
    pub(super) fn width(&self, widths: &Widths) -> f64 {
        let each = widths.prior_trips / widths.errors.len() as f64;
        let prior = widths.errors.iter().map(|error| (*error, each));
        let mut all: Vec<(f64, f64)> =
            self.errors.iter().map(|error| (f64::from(*error), 1.0)).chain(prior).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total = self.errors.len() as f64 + widths.prior_trips;
        // What adding up many weights is off by must not take the next one.
        let enough = (1.0 - self.outside) * total - 1e-9;
        let mut sum = 0.0;
        let quantile = all.iter().find(|(_, weight)| {
            sum += weight;
            sum >= enough
        });
        quantile.or(all.last()).map_or(LARGEST, |(error, _)| *error)
    }

    /// Takes what a trip took beside what had been foretold of it, both above 0.
    pub(super) fn note(&mut self, widths: &Widths, taken: f64, foretold: f64) {
        let error = ((taken / foretold).max(foretold / taken) - 1.0).min(LARGEST);
        let missed = if error > self.width(widths) { 1.0 } else { 0.0 };
        let [least, most] = SHARES;
        self.outside += widths.step * (1.0 - widths.coverage - missed);
        self.outside = self.outside.clamp(least, most);
        while self.errors.len() >= widths.window {
            self.errors.pop_front();
        }
        self.errors.push_back(error as f32);
    }

    /// Whether it can be of a vehicle with this document.
    pub(super) fn is_sound(&self, widths: &Widths) -> bool {
        let [least, most] = SHARES;
        (least..=most).contains(&self.outside)
            && self.errors.len() <= widths.window
            && self.errors.iter().all(|error| (0.0..=LARGEST).contains(&f64::from(*error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widths(step: f64) -> Widths {
        let errors = (1..=20).map(|n| 0.01 * f64::from(n)).collect();
        Widths { coverage: 0.9, window: 32, prior_trips: 2.0, step, errors }
    }

    /// Errors as a generator without a dependency draws them: uniform up to `largest`.
    fn drawn(largest: f64) -> impl Iterator<Item = f64> {
        let mut state = 7_u64;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            largest * (state >> 11) as f64 / (1_u64 << 53) as f64
        })
    }

    #[test]
    fn before_the_first_trip_the_document_speaks_and_later_the_vehicle() {
        let widths = widths(0.0);
        let mut track = Track::new(&widths);
        assert!((track.width(&widths) - 0.18).abs() < 1e-9, "the 90 % quantile of twenty");
        (0..32).for_each(|_| track.note(&widths, 150.0, 100.0));
        assert!((track.width(&widths) - 0.5).abs() < 1e-6);
        (0..100).for_each(|_| track.note(&widths, 100.0, 102.0));
        assert_eq!(track.errors.len(), 32);
        assert!(track.width(&widths) < 0.05, "a vehicle that is foretold well has a narrow interval");
    }

    /// The figures are those of models/range/interval.py.
    #[test]
    fn the_width_is_that_of_the_training() {
        let errors = vec![0.05, 0.1, 0.2, 0.3];
        let widths = Widths { coverage: 0.9, window: 4, prior_trips: 3.0, step: 0.05, errors };
        let mut track = Track::new(&widths);
        let taken = [100.0, 150.0, 100.0, 90.0, 210.0, 80.0, 120.0, 100.0, 60.0, 130.0];
        let expected = [0.3, 0.3, 0.5, 0.5, 0.5, 1.1, 1.1, 1.1, 1.1, 2.0 / 3.0];
        for (n, (taken, expected)) in taken.into_iter().zip(expected).enumerate() {
            assert!((track.width(&widths) - expected).abs() < 1e-6, "trip {n}: {}", track.width(&widths));
            track.note(&widths, taken, [104.0, 100.0, 101.0].get(n).copied().unwrap_or(100.0));
        }
    }

    #[test]
    fn too_little_is_as_far_off_as_too_much() {
        let widths = widths(0.0);
        let (mut over, mut under) = (Track::new(&widths), Track::new(&widths));
        over.note(&widths, 125.0, 100.0);
        under.note(&widths, 80.0, 100.0);
        assert_eq!(over.errors, under.errors);
        over.note(&widths, 1e9, 1.0);
        assert_eq!(over.errors.back(), Some(&2.0));
    }

    #[test]
    fn nine_of_ten_trips_are_held_whatever_the_errors_are_like() {
        for (step, largest) in [(0.0, 0.05), (0.0, 0.8), (0.03, 0.05), (0.03, 0.8)] {
            let widths = widths(step);
            let mut track = Track::new(&widths);
            let held = drawn(largest)
                .take(2_000)
                .filter(|error| {
                    let held = *error <= track.width(&widths);
                    track.note(&widths, 100.0 * (1.0 + error), 100.0);
                    held
                })
                .count();
            assert!((1_720..=1_910).contains(&held), "step {step}, errors up to {largest}: {held}");
        }
    }

    #[test]
    fn after_trips_that_fell_outside_the_interval_is_wider() {
        // Errors that grow all the time: a quantile of the latest lags behind.
        let missed = |step: f64| {
            let widths = widths(step);
            let mut track = Track::new(&widths);
            let grown = drawn(0.01).scan(1.0, |times, error| {
                *times *= 1.02;
                Some(*times * error)
            });
            let missed = grown.take(260).filter(|error| {
                let missed = *error > track.width(&widths);
                track.note(&widths, 100.0 * (1.0 + error), 100.0);
                missed
            });
            missed.count()
        };
        let (still, adapting) = (missed(0.0), missed(0.05));
        assert!(adapting < still - still / 4, "{adapting} {still}");
    }
}
