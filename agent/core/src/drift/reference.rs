//! What a model was trained on, as its manifest states it: quantile bins of each input, frozen with the weights.

use crate::feature::spec::{FeatureSpec, PLACEHOLDER};
use serde::Deserialize;
use telltale_wire::drift::Horizon;

/// The most inputs of a reference: every feature, the score, and conditions beside them.
pub const MAX_INPUTS: usize = 80;

/// The most edges of an input.
pub(super) const MAX_EDGES: usize = 64;

/// The longest horizon in windows.
const MAX_HORIZON: u32 = 100_000;

/// `[drift]` of a manifest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The fast horizon: after so many windows what was before counts for a third.
    pub fast_windows: u32,
    /// The slow one.
    pub slow_windows: u32,
    /// The inputs.
    pub input: Vec<InputReference>,
}

/// One input.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputReference {
    /// A feature, in its physical unit.
    pub feature: Option<String>,
    /// Signals of the catalog: a VSS path, with `{n}` for any number.
    pub signal: Option<String>,
    /// `true` for the model's score.
    #[serde(default)]
    pub score: bool,
    /// Where the bins part, ascending. What lies below the first and above the last was hardly ever seen.
    pub edges: Vec<f32>,
    /// The share of the training in each bin: one more than edges.
    pub share: Vec<f32>,
    /// The index from which drift is moderate.
    pub limits: Limits,
}

/// One a horizon.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Over the fast one.
    pub fast: f32,
    /// Over the slow one.
    pub slow: f32,
}

impl Limits {
    /// That of a horizon.
    #[must_use]
    pub const fn of(self, horizon: Horizon) -> f32 {
        match horizon {
            Horizon::Fast => self.fast,
            Horizon::Slow => self.slow,
        }
    }
}

impl Reference {
    /// What is wrong with it, and where.
    pub(crate) fn fault(&self) -> Option<(&'static str, &'static str)> {
        let windows = |n: u32| (1..=MAX_HORIZON).contains(&n);
        [
            (windows(self.fast_windows), "drift.fast_windows", "1 to 100000 windows"),
            (windows(self.slow_windows), "drift.slow_windows", "1 to 100000 windows"),
            (self.fast_windows < self.slow_windows, "drift.slow_windows", "more than the fast horizon's"),
            ((1..=MAX_INPUTS).contains(&self.input.len()), "drift.input", "1 to 80 inputs"),
        ]
        .into_iter()
        .find_map(|(holds, field, problem)| (!holds).then_some((field, problem)))
        .or_else(|| self.input.iter().find_map(InputReference::fault))
    }

    /// The name of a feature that the specification lacks.
    pub(crate) fn stranger(&self, spec: &FeatureSpec) -> Option<&str> {
        let features = self.input.iter().filter_map(|input| input.feature.as_deref());
        let mut unknown = features.filter(|name| !spec.features.iter().any(|f| f.name == *name));
        unknown.next()
    }

    /// How many windows a horizon is.
    pub(super) const fn windows(&self, horizon: Horizon) -> u32 {
        match horizon {
            Horizon::Fast => self.fast_windows,
            Horizon::Slow => self.slow_windows,
        }
    }
}

impl InputReference {
    /// What records call it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.feature.as_deref().or(self.signal.as_deref()).unwrap_or("score")
    }

    /// Whether a signal of the catalog is one of its signals.
    pub(super) fn is_of(&self, vss: &str) -> bool {
        let Some(pattern) = &self.signal else { return false };
        match pattern.split_once(PLACEHOLDER) {
            None => pattern == vss,
            Some((head, tail)) => {
                let number = vss.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail));
                number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            }
        }
    }

    fn fault(&self) -> Option<(&'static str, &'static str)> {
        let named = [self.feature.is_some(), self.signal.is_some(), self.score];
        let ascending = self.edges.windows(2).all(|pair| pair[0] < pair[1]);
        let shares: f32 = self.share.iter().sum();
        let positive = |x: f32| x > 0.0 && x.is_finite();
        [
            (
                named.iter().filter(|n| **n).count() == 1,
                "drift.input",
                "one of `feature`, `signal`, `score = true`",
            ),
            ((1..=MAX_EDGES).contains(&self.edges.len()), "drift.input.edges", "1 to 64 edges"),
            (ascending && self.edges.iter().all(|e| e.is_finite()), "drift.input.edges", "ascending numbers"),
            (self.share.len() == self.edges.len() + 1, "drift.input.share", "one more than edges"),
            (
                self.share.iter().all(|s| *s >= 0.0) && (shares - 1.0).abs() < 1e-3,
                "drift.input.share",
                "shares that add up to 1",
            ),
            (
                positive(self.limits.fast) && positive(self.limits.slow),
                "drift.input.limits",
                "numbers above 0",
            ),
        ]
        .into_iter()
        .find_map(|(holds, field, problem)| (!holds).then_some((field, problem)))
    }
}
