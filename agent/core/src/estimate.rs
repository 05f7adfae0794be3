//! From a model's output to an estimate: a value with the interval that holds it, or the reason why there is none.
//!
//! A model knows the charges that it was trained on. Where the one at hand lies outside of them, no number is better than
//! one that looks like the others.

use crate::feature::spec::{FeatureSpec, Op};
use crate::feature::{ChargeOp, FeatureTable};
use crate::regime::{self, Bound, Regime};
use serde::Deserialize;
use telltale_wire::estimate::{Interval, Quantity};
use telltale_wire::record::IndeterminateReason;

/// The most half-widths of a manifest.
const MAX_WIDTHS: usize = 64;

/// How a manifest says that the model's output is to be read as a quantity.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimation {
    /// What is estimated.
    #[serde(deserialize_with = "quantity")]
    pub quantity: Quantity,
    /// The quantity at an output of 0.
    pub offset: f32,
    /// What an output of 1 adds.
    pub scale: f32,
    /// The share of cases in which the interval holds the truth.
    pub coverage: f32,
    /// Half the interval's width, by how many features are absent; the last one counts for more.
    pub half_width: Vec<f32>,
    /// Where the model may speak.
    #[serde(default)]
    pub bounds: Vec<Bound>,
}

impl Estimation {
    /// What is wrong with it, and where.
    pub(crate) fn fault(&self) -> Option<(&'static str, &'static str)> {
        let widths = &self.half_width;
        [
            (self.offset.is_finite(), "estimate.offset", "a finite number"),
            (self.scale > 0.0 && self.scale.is_finite(), "estimate.scale", "a number above 0"),
            (self.coverage > 0.0 && self.coverage < 1.0, "estimate.coverage", "a share between 0 and 1"),
            ((1..=MAX_WIDTHS).contains(&widths.len()), "estimate.half_width", "1 to 64 widths"),
            (widths.iter().all(|w| *w >= 0.0 && w.is_finite()), "estimate.half_width", "numbers from 0 on"),
            (regime::is_sound(&self.bounds), "estimate.bounds", "low <= high"),
        ]
        .into_iter()
        .find_map(|(holds, field, problem)| (!holds).then_some((field, problem)))
    }

    /// The name of a bounded feature that the specification lacks.
    #[must_use]
    pub fn stranger(&self, spec: &FeatureSpec) -> Option<&str> {
        regime::stranger(&self.bounds, spec)
    }
}

/// Reads outputs by an [`Estimation`] on the features of one specification.
pub(crate) struct Estimator {
    estimation: Estimation,
    regime: Regime,
    /// The channels that say whether another feature is there.
    flags: Vec<usize>,
}

impl Estimator {
    pub(crate) fn new(estimation: Estimation, spec: &FeatureSpec) -> Estimator {
        let is_flag = |op: &Op| matches!(op, Op::Charge(ChargeOp::Present(_)));
        let flags =
            spec.features.iter().enumerate().filter(|(_, f)| is_flag(&f.op)).map(|(channel, _)| channel);
        Estimator { regime: Regime::new(&estimation.bounds, spec), flags: flags.collect(), estimation }
    }

    pub(crate) const fn estimation(&self) -> &Estimation {
        &self.estimation
    }

    /// The estimate that a subject's output stands for.
    pub(crate) fn read(
        &self,
        table: &FeatureTable,
        subject: usize,
        output: Result<f32, IndeterminateReason>,
    ) -> Result<Interval, IndeterminateReason> {
        let output = output?;
        if !self.regime.holds(table, subject) {
            return Err(IndeterminateReason::OutsideTrainingRegime);
        }
        let absent = self.flags.iter().filter(|flag| table.physical_at(**flag, subject) == 0.0).count();
        let widths = &self.estimation.half_width;
        let half = widths.get(absent).or(widths.last()).copied().unwrap_or(0.0);
        let value = self.estimation.offset + self.estimation.scale * output;
        Ok(Interval { value, low: value - half, high: value + half })
    }
}

fn quantity<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Quantity, D::Error> {
    match String::deserialize(from)?.as_str() {
        "state-of-health" => Ok(Quantity::StateOfHealth),
        other => Err(serde::de::Error::custom(format!("{other:?} is no quantity; there is state-of-health"))),
    }
}
