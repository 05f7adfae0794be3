//! Where a model may speak: the ranges of features that its training has seen. Outside of them it has learnt nothing, and
//! no number is better than one that looks like the others.

use crate::feature::FeatureTable;
use crate::feature::spec::FeatureSpec;
use serde::Deserialize;

/// The most bounds of a manifest: one a feature, and some to spare.
pub const MAX_BOUNDS: usize = 128;

/// The range of a feature that training has seen, in its physical unit, both ends included.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// The feature's name.
    pub feature: String,
    /// The lowest value.
    pub low: f32,
    /// The highest value.
    pub high: f32,
}

/// Whether bounds of a manifest make sense.
pub(crate) fn is_sound(bounds: &[Bound]) -> bool {
    let sound = |b: &Bound| b.low <= b.high && b.low.is_finite() && b.high.is_finite();
    bounds.len() <= MAX_BOUNDS && bounds.iter().all(sound)
}

/// The name of a bounded feature that the specification lacks.
pub(crate) fn stranger<'a>(bounds: &'a [Bound], spec: &FeatureSpec) -> Option<&'a str> {
    let known = |bound: &&Bound| spec.features.iter().any(|f| f.name == bound.feature);
    bounds.iter().find(|bound| !known(bound)).map(|bound| bound.feature.as_str())
}

/// Bounds on the features of one specification.
#[derive(Default)]
pub(crate) struct Regime {
    /// Channel, lowest and highest.
    bounds: Vec<(usize, f32, f32)>,
}

impl Regime {
    /// Bounds on features that the specification lacks are left out: see [`stranger`].
    pub(crate) fn new(bounds: &[Bound], spec: &FeatureSpec) -> Regime {
        let place = |bound: &Bound| {
            let channel = spec.features.iter().position(|f| f.name == bound.feature)?;
            Some((channel, bound.low, bound.high))
        };
        Regime { bounds: bounds.iter().filter_map(place).collect() }
    }

    /// Whether a subject's features lie within.
    pub(crate) fn holds(&self, table: &FeatureTable, subject: usize) -> bool {
        let within = |(channel, low, high): &(usize, f32, f32)| {
            (*low..=*high).contains(&table.physical_at(*channel, subject))
        };
        self.bounds.iter().all(within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature::spec::tests::EXAMPLE;

    fn bound(feature: &str, low: f32, high: f32) -> Bound {
        Bound { feature: feature.into(), low, high }
    }

    #[test]
    fn bounds_are_finite_ordered_and_not_too_many() {
        assert!(is_sound(&vec![bound("a", 1.0, 1.0); MAX_BOUNDS]));
        assert!(!is_sound(&vec![bound("a", 1.0, 1.0); MAX_BOUNDS + 1]));
        for (low, high) in [(1.0, 0.0), (f32::NEG_INFINITY, 1.0), (0.0, f32::INFINITY), (f32::NAN, 1.0)] {
            assert!(!is_sound(&[bound("a", low, high)]), "{low} to {high}");
        }
    }

    #[test]
    fn every_bound_has_to_hold_and_both_its_ends_do() {
        let spec = FeatureSpec::parse(EXAMPLE, "x").unwrap();
        let bounds = [bound("median", -1.0, 2.0), bound("resistance", 0.0, 5.0)];
        let regime = Regime::new(&bounds, &spec);
        let mut table = FeatureTable::new(spec.features.len(), 1);
        for (median, resistance, holds) in [
            (0.0, 1.0, true),
            (-1.0, 0.0, true),
            (2.0, 5.0, true),
            (2.01, 1.0, false),
            (0.0, -0.01, false),
            (-1.01, 5.01, false),
        ] {
            table.set(0, 0, median, 0.0);
            table.set(1, 0, resistance, 0.0);
            assert_eq!(regime.holds(&table, 0), holds, "{median}, {resistance}");
        }
        assert_eq!(stranger(&bounds, &spec), None);
        assert_eq!(stranger(&[bound("median", 0.0, 1.0), bound("speed", 0.0, 1.0)], &spec), Some("speed"));
    }
}
