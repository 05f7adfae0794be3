//! How good the data of a stretch is: what agreed with what, and in which way the vehicle operated.

use crate::catalog::{Check, Combination, Regime};
use crate::signal::SignalId;
use telltale_wire::signals::CheckStatistics;

/// The checks and regimes of a catalog, evaluated at every step.
pub(super) struct Agreement {
    checks: Vec<(Check, CheckStatistics)>,
    regimes: Vec<(Regime, u32)>,
    other: u32,
    unknown: u32,
}

/// What the stretch came to.
pub(super) struct Agreed {
    pub(super) checks: Vec<CheckStatistics>,
    pub(super) regimes: Vec<u32>,
    pub(super) other: u32,
    pub(super) unknown: u32,
}

/// The values of all signals at the end of a step; NaN for those that have none.
type Standing = [f64];

impl Agreement {
    pub(super) fn new(checks: &[Check], regimes: &[Regime]) -> Agreement {
        Agreement {
            checks: checks.iter().map(|check| (check.clone(), CheckStatistics::default())).collect(),
            regimes: regimes.iter().map(|regime| (regime.clone(), 0)).collect(),
            other: 0,
            unknown: 0,
        }
    }

    pub(super) fn tick(&mut self, standing: &Standing) {
        for (check, told) in &mut self.checks {
            let difference = difference(check, standing).abs();
            if difference.is_nan() {
                continue;
            }
            told.compared += 1;
            told.violated += u32::from(difference > check.tolerance);
            told.worst = told.worst.max(difference as f32);
        }
        match self.regime(standing) {
            Some(Some(place)) => self.regimes[place].1 += 1,
            Some(None) => self.other += 1,
            None => self.unknown += 1,
        }
    }

    /// The first regime that holds, or that none does; `None` if an absent signal leaves it open.
    fn regime(&self, standing: &Standing) -> Option<Option<usize>> {
        for (place, (regime, _)) in self.regimes.iter().enumerate() {
            let mut holds = true;
            let mut open = false;
            for condition in &regime.when {
                let value = value(standing, condition.signal);
                open |= value.is_nan();
                holds &= value.is_nan() || (value > condition.above && value < condition.below);
            }
            match (holds, open) {
                (true, true) => return None,
                (true, false) => return Some(Some(place)),
                (false, _) => {}
            }
        }
        Some(None)
    }

    pub(super) fn take(&mut self) -> Agreed {
        Agreed {
            checks: self.checks.iter_mut().map(|(_, told)| std::mem::take(told)).collect(),
            regimes: self.regimes.iter_mut().map(|(_, steps)| std::mem::take(steps)).collect(),
            other: std::mem::take(&mut self.other),
            unknown: std::mem::take(&mut self.unknown),
        }
    }
}

/// Left side less right side; NaN if a signal has no value.
fn difference(check: &Check, standing: &Standing) -> f64 {
    let values = check.signals.iter().map(|signal| value(standing, *signal));
    let count = check.signals.len() as f64;
    // NaN goes through sums and products by itself; min and max would drop it.
    let keep = |pick: fn(f64, f64) -> f64| {
        move |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { pick(a, b) }
    };
    let combined = match check.of {
        Combination::Sum => values.sum(),
        Combination::Mean => values.sum::<f64>() / count,
        Combination::Product => values.product(),
        Combination::Min => values.fold(f64::INFINITY, keep(f64::min)),
        Combination::Max => values.fold(f64::NEG_INFINITY, keep(f64::max)),
    };
    combined * check.scale - value(standing, check.equals)
}

fn value(standing: &Standing, signal: SignalId) -> f64 {
    standing.get(signal.index()).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Condition;
    use telltale_wire::unit::Unit;

    fn check(of: Combination) -> Check {
        let (name, signals, equals) = ("c".into(), vec![SignalId(0), SignalId(1)], SignalId(2));
        Check { name, signals, of, scale: 0.5, equals, unit: Unit::None, tolerance: 1.0 }
    }

    fn regime(name: &str, signal: u16, above: f64, below: f64) -> Regime {
        Regime { name: name.into(), when: vec![Condition { signal: SignalId(signal), above, below }] }
    }

    #[test]
    fn signals_are_combined_as_the_check_says() {
        let standing = [3.0, 5.0, 2.0];
        for (of, expected) in [
            (Combination::Sum, 2.0),
            (Combination::Mean, 0.0),
            (Combination::Min, -0.5),
            (Combination::Max, 0.5),
            (Combination::Product, 5.5),
        ] {
            assert_eq!(difference(&check(of), &standing), expected, "{of:?}");
            for absent in 0..3 {
                let mut standing = standing;
                standing[absent] = f64::NAN;
                assert!(difference(&check(of), &standing).is_nan(), "{of:?}, {absent}");
            }
        }
    }

    #[test]
    fn a_step_is_compared_violated_or_left_out() {
        let mut agreement = Agreement::new(&[check(Combination::Sum)], &[]);
        agreement.tick(&[3.0, 5.0, 4.0]);
        agreement.tick(&[3.0, 5.0, 8.0]);
        agreement.tick(&[3.0, f64::NAN, 8.0]);
        let told = agreement.take().checks;
        assert_eq!(told, [CheckStatistics { compared: 2, violated: 1, worst: 4.0 }]);
        assert_eq!(agreement.take().checks, [CheckStatistics::default()]);
    }

    #[test]
    fn the_first_regime_that_holds_is_the_one_and_absence_leaves_it_open() {
        let regimes = [regime("drive", 0, 0.5, 300.0), regime("charge", 1, 1.0, f64::INFINITY)];
        let mut agreement = Agreement::new(&[], &regimes);
        for standing in
            [[50.0, 9.0], [0.0, 9.0], [0.0, 0.0], [f64::NAN, 9.0], [50.0, f64::NAN], [0.0, f64::NAN]]
        {
            agreement.tick(&standing);
        }
        let agreed = agreement.take();
        assert_eq!((agreed.regimes.as_slice(), agreed.other, agreed.unknown), (&[2, 1][..], 1, 2));
    }
}
