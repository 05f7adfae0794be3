//! Models that foretell a feature: what counts as odd is how far the measured value lies from what was foretold.

use crate::feature::FeatureTable;
use crate::feature::spec::FeatureSpec;
use serde::Deserialize;

/// How a manifest says that the model's output foretells a feature.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    /// The feature's name.
    pub feature: String,
    /// The feature at an output of 0, in its physical unit.
    pub offset: f32,
    /// What an output of 1 adds.
    pub scale: f32,
    /// The deviation of measured and foretold values where nothing is wrong: the logit is their distance over this.
    pub sigma: f32,
}

impl Residual {
    /// What is wrong with it, and where.
    pub(crate) fn fault(&self) -> Option<(&'static str, &'static str)> {
        let positive = |x: f32| x > 0.0 && x.is_finite();
        [
            (self.offset.is_finite(), "residual.offset", "a finite number"),
            (positive(self.scale), "residual.scale", "a number above 0"),
            (positive(self.sigma), "residual.sigma", "a number above 0"),
        ]
        .into_iter()
        .find_map(|(holds, field, problem)| (!holds).then_some((field, problem)))
    }

    /// The name of the feature, if the specification lacks it.
    #[must_use]
    pub fn stranger(&self, spec: &FeatureSpec) -> Option<&str> {
        spec.features.iter().all(|f| f.name != self.feature).then_some(self.feature.as_str())
    }
}

/// Holds measured against foretold values, on the features of one specification.
pub(crate) struct Comparer {
    residual: Residual,
    channel: usize,
}

impl Comparer {
    /// `None` if the specification lacks the feature.
    pub(crate) fn new(residual: Residual, spec: &FeatureSpec) -> Option<Comparer> {
        let channel = spec.features.iter().position(|f| f.name == residual.feature)?;
        Some(Comparer { residual, channel })
    }

    /// The foretold value for an output.
    pub(crate) fn foretold(&self, output: f32) -> f32 {
        self.residual.offset + self.residual.scale * output
    }

    /// The channel of the feature that is foretold.
    pub(crate) const fn channel(&self) -> usize {
        self.channel
    }

    /// How many deviations lie between what was measured and what the output foretells.
    pub(crate) fn logit(&self, table: &FeatureTable, subject: usize, output: f32) -> f32 {
        let measured = table.physical_at(self.channel, subject);
        (measured - self.foretold(output)).abs() / self.residual.sigma
    }
}
