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
    /// What is known of it without the model, which then foretells only the rest, in so much finer steps of its int8
    /// output: each feature so many times, in physical units.
    #[serde(default)]
    pub known: Vec<Term>,
    /// The deviation of measured and foretold values where nothing is wrong: the logit is their distance over this.
    pub sigma: f32,
}

/// The most terms that are known.
pub const MAX_TERMS: usize = 16;

/// A feature, so many times.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// The feature's name.
    pub feature: String,
    /// What one physical unit of it adds to what is foretold.
    pub factor: f32,
}

impl Residual {
    /// What is wrong with it, and where.
    pub(crate) fn fault(&self) -> Option<(&'static str, &'static str)> {
        let positive = |x: f32| x > 0.0 && x.is_finite();
        [
            (self.offset.is_finite(), "residual.offset", "a finite number"),
            (positive(self.scale), "residual.scale", "a number above 0"),
            (positive(self.sigma), "residual.sigma", "a number above 0"),
            (self.known.len() <= MAX_TERMS, "residual.known", "at most 16 terms"),
            (self.known.iter().all(|term| term.factor.is_finite()), "residual.known", "finite factors"),
            (
                self.known.iter().all(|term| term.feature != self.feature),
                "residual.known",
                "not what is foretold",
            ),
        ]
        .into_iter()
        .find_map(|(holds, field, problem)| (!holds).then_some((field, problem)))
    }

    /// The name of a feature that the specification lacks.
    #[must_use]
    pub fn stranger(&self, spec: &FeatureSpec) -> Option<&str> {
        let mut names = std::iter::once(&self.feature).chain(self.known.iter().map(|term| &term.feature));
        names.find(|name| spec.features.iter().all(|f| f.name != **name)).map(String::as_str)
    }
}

/// Holds measured against foretold values, on the features of one specification.
pub(crate) struct Comparer {
    residual: Residual,
    channel: usize,
    /// Channel and factor.
    known: Vec<(usize, f32)>,
}

impl Comparer {
    /// `None` if the specification lacks a feature.
    pub(crate) fn new(residual: Residual, spec: &FeatureSpec) -> Option<Comparer> {
        let place = |name: &str| spec.features.iter().position(|f| f.name == name);
        let channel = place(&residual.feature)?;
        let known = residual.known.iter().map(|term| Some((place(&term.feature)?, term.factor)));
        let known = known.collect::<Option<Vec<_>>>()?;
        Some(Comparer { residual, channel, known })
    }

    /// The foretold value of a subject for an output.
    pub(crate) fn foretold(&self, table: &FeatureTable, subject: usize, output: f32) -> f32 {
        let known = self.known.iter().map(|(channel, factor)| factor * table.physical_at(*channel, subject));
        self.residual.offset + self.residual.scale * output + known.sum::<f32>()
    }

    /// The channel of the feature that is foretold.
    pub(crate) const fn channel(&self) -> usize {
        self.channel
    }

    /// How many deviations lie between what was measured and what the output foretells.
    pub(crate) fn logit(&self, table: &FeatureTable, subject: usize, output: f32) -> f32 {
        let measured = table.physical_at(self.channel, subject);
        (measured - self.foretold(table, subject, output)).abs() / self.residual.sigma
    }
}
