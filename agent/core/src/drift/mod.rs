//! Drift on the vehicle: sketches of what a model is fed and of what it answers, held against what it was trained on.
//!
//! Each input has a histogram over the reference's bins for each of two horizons, in which older windows fade. The
//! distance is the population stability index. One vehicle lives in a corner of what a fleet did, so that its index is far
//! from 0 without any drift: the reference states from where on it is more than the training's own vehicles came to.
//! The other figure is the share that lies beyond everything that training saw. The reference never changes.

mod reference;
#[cfg(test)]
mod tests;

pub use reference::{InputReference, Limits, MAX_INPUTS, Reference};

use crate::catalog::Catalog;
use crate::feature::FeatureTable;
use crate::feature::spec::FeatureSpec;
use crate::signal::SignalId;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use telltale_wire::drift::{Horizon, InputDrift, Severity};
use telltale_wire::record::IndeterminateReason;

/// Added to each share, so that an empty bin does not make the index infinite.
const FLOOR: f64 = 1e-3;

/// So much of a horizon's weight has to be there before it is judged: as many windows as it is long.
const RIPE: f32 = 0.632;

/// The share beyond everything seen from which drift is moderate, and severe.
const OUTSIDE: (f32, f32) = (0.5, 0.9);

/// A bin at the end with less than this share of the training holds what was hardly ever seen.
const HARDLY: f32 = 0.01;

/// So many times the limit the index of severe drift is.
const SEVERE: f32 = 2.0;

/// Drift ends only where it would not have begun with thresholds this much lower.
const LEAVE: f32 = 0.8;

/// What is known of one input over one horizon.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Standing {
    /// How far; none until the horizon is full.
    pub severity: Severity,
    /// The population stability index.
    pub index: f32,
    /// The share beyond everything that training saw.
    pub outside: f32,
    /// Whether the horizon is full.
    pub is_ripe: bool,
}

/// The latest value of a signal, if it is not too old to be used.
pub(crate) trait Conditions {
    fn value(&self, signal: SignalId, no_older: Duration) -> Option<f64>;
}

/// Where an input's values come from.
enum Source {
    Channel(usize),
    Signals(Vec<(SignalId, Duration)>),
    Score,
}

/// A histogram in which older windows fade, and what is held of it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sketch {
    mass: Vec<f32>,
    weight: f32,
    severity: Severity,
    is_told: bool,
}

/// The drift of one model's inputs.
pub(crate) struct Drift {
    reference: Reference,
    sources: Vec<Source>,
    /// One an input, each with one a horizon.
    sketches: Vec<[Sketch; 2]>,
    counts: Vec<f32>,
}

impl Drift {
    /// Features and signals that are not there give no values, and their inputs no drift.
    pub(crate) fn new(reference: Reference, spec: &FeatureSpec, catalog: &Catalog) -> Drift {
        let source = |input: &InputReference| match &input.feature {
            Some(name) => Source::Channel(
                spec.features.iter().position(|f| f.name == *name).unwrap_or(spec.features.len()),
            ),
            None if input.score => Source::Score,
            None => {
                let signals = catalog.signals.iter().enumerate().filter(|(_, s)| input.is_of(&s.vss));
                Source::Signals(signals.map(|(place, s)| (SignalId(place as u16), s.stale_after)).collect())
            }
        };
        let sketches = |input: &InputReference| {
            [(); 2].map(|()| Sketch { mass: vec![0.0; input.share.len()], ..Sketch::default() })
        };
        Drift {
            sources: reference.input.iter().map(source).collect(),
            sketches: reference.input.iter().map(sketches).collect(),
            counts: Vec::with_capacity(reference::MAX_EDGES + 1),
            reference,
        }
    }

    /// What the inputs are called.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.reference.input.iter().map(InputReference::name)
    }

    /// Takes a window. What changed by it is told, and each horizon as a whole when it is full for the first time.
    pub(crate) fn note(
        &mut self,
        table: &FeatureTable,
        scores: &[Result<f32, IndeterminateReason>],
        conditions: &impl Conditions,
    ) -> Vec<InputDrift> {
        let mut told = Vec::new();
        for (place, input) in self.reference.input.iter().enumerate() {
            self.counts.clear();
            self.counts.resize(input.share.len(), 0.0);
            let counts = &mut self.counts;
            let mut count = |value: f32| {
                if let Some(bin) = counts.get_mut(input.edges.partition_point(|edge| *edge <= value)) {
                    *bin += 1.0;
                }
            };
            match &self.sources[place] {
                Source::Channel(channel) if *channel < table.channels() => (0..table.subjects())
                    .filter(|subject| table.state(*subject).is_ok())
                    .for_each(|subject| count(table.physical_at(*channel, subject))),
                Source::Channel(_) => {}
                Source::Signals(signals) => {
                    signals
                        .iter()
                        .filter_map(|(id, age)| conditions.value(*id, *age))
                        .for_each(|value| count(value as f32));
                }
                Source::Score => scores.iter().flatten().for_each(|score| count(*score)),
            }
            let total: f32 = self.counts.iter().sum();
            if total == 0.0 {
                continue;
            }
            for horizon in Horizon::ALL {
                let sketch = &mut self.sketches[place][horizon as usize];
                sketch.add(&self.counts, total, self.reference.windows(horizon));
                told.extend(sketch.judge(input, horizon));
            }
        }
        told
    }

    /// What is held, input by input.
    pub(crate) fn standings(&self) -> impl Iterator<Item = [Standing; 2]> {
        let inputs = self.reference.input.iter().zip(&self.sketches);
        inputs.map(|(input, sketches)| Horizon::ALL.map(|h| sketches[h as usize].standing(input)))
    }

    /// What is to be remembered.
    pub(crate) fn sketches(&self) -> &[[Sketch; 2]] {
        &self.sketches
    }

    /// Goes on from what was remembered; false, and nothing has changed, if it is of another form.
    pub(crate) fn recall(&mut self, sketches: Vec<[Sketch; 2]>) -> bool {
        let fits = sketches.len() == self.sketches.len()
            && sketches.iter().flatten().zip(self.sketches.iter().flatten()).all(|(a, b)| a.fits(b));
        if fits {
            self.sketches = sketches;
        }
        fits
    }
}

impl Sketch {
    fn add(&mut self, counts: &[f32], total: f32, windows: u32) {
        let fresh = 1.0 / windows as f32;
        for (mass, count) in self.mass.iter_mut().zip(counts) {
            *mass += fresh * (count / total - *mass);
        }
        self.weight += fresh * (1.0 - self.weight);
    }

    /// Whether it has as many bins, all of them shares.
    fn fits(&self, other: &Sketch) -> bool {
        let is_share = |x: &f32| (0.0..=1.001).contains(x);
        self.mass.len() == other.mass.len() && self.mass.iter().chain([&self.weight]).all(is_share)
    }

    fn shares(&self) -> impl Iterator<Item = f64> {
        let weight = f64::from(self.weight.max(f32::MIN_POSITIVE));
        self.mass.iter().map(move |mass| f64::from(*mass) / weight)
    }

    /// The share below and above what was seen: of the outermost bins those that were all but empty in training.
    fn outside(&self, expected: &[f32]) -> f32 {
        let last = expected.len().saturating_sub(1);
        let ends = [0, last].into_iter().filter(|end| expected.get(*end).is_some_and(|e| *e < HARDLY));
        let mass: f32 = ends.filter_map(|end| self.mass.get(end)).sum();
        if self.weight > 0.0 { mass / self.weight } else { 0.0 }
    }

    /// `sum((a - e) * ln(a / e))` over the bins, with a floor under both shares.
    fn index(&self, expected: &[f32]) -> f32 {
        let total = 1.0 + FLOOR * expected.len() as f64;
        let floored = |share: f64| (share + FLOOR) / total;
        let terms = self.shares().zip(expected).map(|(a, e)| {
            let (a, e) = (floored(a), floored(f64::from(*e)));
            (a - e) * libm::log(a / e)
        });
        terms.sum::<f64>() as f32
    }

    fn standing(&self, input: &InputReference) -> Standing {
        Standing {
            severity: self.severity,
            index: if self.weight > 0.0 { self.index(&input.share) } else { 0.0 },
            outside: self.outside(&input.share),
            is_ripe: self.weight >= RIPE,
        }
    }

    fn judge(&mut self, input: &InputReference, horizon: Horizon) -> Option<InputDrift> {
        if self.weight < RIPE {
            return None;
        }
        let (index, outside, limit) =
            (self.index(&input.share), self.outside(&input.share), input.limits.of(horizon));
        let reached = |ease: f32| match (index, outside) {
            (i, o) if i >= SEVERE * limit * ease || o >= OUTSIDE.1 * ease => Severity::Severe,
            (i, o) if i >= limit * ease || o >= OUTSIDE.0 * ease => Severity::Moderate,
            _ => Severity::None,
        };
        let severity = self.severity.clamp(reached(1.0), reached(LEAVE));
        let is_news = severity != self.severity || !std::mem::replace(&mut self.is_told, true);
        self.severity = severity;
        let told = || InputDrift { input: input.name().to_owned(), horizon, severity, index, limit, outside };
        is_news.then(told)
    }
}
