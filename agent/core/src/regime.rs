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
