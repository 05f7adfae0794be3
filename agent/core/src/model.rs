//! A model as the loop sees it: a manifest that says what it needs and how its numbers are read, and something
//! that turns int8 features into int8 logits.

use crate::document::DocumentError;
use crate::drift::Reference;
use crate::estimate::Estimation;
use crate::intrusion::Rule;
use crate::regime::{self, Bound};
use crate::residual::Residual;
use serde::Deserialize;
use std::time::Duration;
use telltale_wire::digest::Digest;
use telltale_wire::record::ModelRef;

/// The manifest schema that this room reads.
pub const SCHEMA: u32 = 1;

/// The most steps of a model's history.
const MAX_HISTORY: usize = 4_096;

/// Runs a model. The input is `[channels][subjects]` and the output `[subjects]`, both int8 as the manifest's
/// quantization says. A model may look back: then each input is the next sample of every subject.
pub trait Model: Send {
    /// One inference for all subjects.
    ///
    /// # Errors
    /// A sentence on why there is no output. A model that fails is isolated: its verdicts become indeterminate.
    fn infer(&mut self, input: &[i8], output: &mut [i8]) -> Result<(), String>;

    /// Forgets what it holds of a subject, whose next sample stands behind a gap. A model of single windows holds nothing.
    fn forget(&mut self, subject: usize) {
        let _ = subject;
    }

    /// Whether a subject's output of the latest inference rests on as many samples as the model looks back on; before,
    /// it is no answer. That of a model of single windows always is one.
    fn is_warm(&self, subject: usize) -> bool {
        let _ = subject;
        true
    }

    /// How long the latest inference took, if that was longer than it may. Its output counts all the same, but a
    /// model that is too slow again and again is isolated. Where nobody measures, nothing is too slow.
    fn overran(&self) -> Option<Duration> {
        None
    }

    /// How long the latest inference took; `None` where nobody measures.
    fn took(&self) -> Option<Duration> {
        None
    }
}

/// What a model's folder says of it: `model.toml`.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The manifest's schema.
    pub schema: u32,
    /// The model's name, such as `cell-fault`.
    pub name: String,
    /// Its version, for people.
    pub version: String,
    /// The ONNX file, beside the manifest.
    pub onnx: String,
    /// The feature specification, beside the manifest.
    pub features: String,
    /// The digest of the specification that it was trained on, in hexadecimal.
    pub features_digest: String,
    /// How features become int8.
    pub input: Quantization,
    /// How the int8 logit is read.
    pub output: OutputQuantization,
    /// How many samples its file spans, where the last axis is time: each window of features is then the next sample
    /// of every subject, and what the model needs of those before is kept. `None`: a window stands for itself.
    pub history: Option<usize>,
    /// What the output means.
    pub reading: Reading,
    /// What it was trained on, for drift.
    pub drift: Option<Reference>,
    /// Of a model that watches buses: the limits of the rule beside it.
    pub rule: Option<Rule>,
}

/// What a model's output means: how odd a subject is, or how much of something it has.
#[derive(Clone, Debug)]
pub enum Reading {
    /// A logit of being anomalous: verdicts come of it.
    Anomaly {
        /// Where the output foretells a feature: the logit is how far the measured one lies from it.
        residual: Option<Residual>,
        /// From logit to probability.
        calibration: Calibration,
        /// From probabilities to verdicts.
        decision: Decision,
        /// Where the model may speak; anywhere without one.
        regime: Vec<Bound>,
    },
    /// A quantity: a value with its interval comes of it.
    Estimate(Estimation),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u32,
    name: String,
    version: String,
    onnx: String,
    features: String,
    features_digest: String,
    input: Quantization,
    output: OutputQuantization,
    residual: Option<Residual>,
    history: Option<usize>,
    calibration: Option<Calibration>,
    decision: Option<Decision>,
    #[serde(default)]
    regime: Vec<Bound>,
    estimate: Option<Estimation>,
    drift: Option<Reference>,
    rule: Option<Rule>,
}

/// `q = clamp(round(x / scale) + zero_point)`, ties to even (ONNX `QuantizeLinear`).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantization {
    /// The step.
    pub scale: f32,
    /// Where zero lies.
    pub zero_point: i8,
}

impl Quantization {
    /// Quantizes one value.
    #[must_use]
    pub fn quantize(self, x: f32) -> i8 {
        // `as` saturates, so that a value beyond the range is the range's end.
        ((x / self.scale).round_ties_even() as i32)
            .saturating_add(i32::from(self.zero_point))
            .clamp(-128, 127) as i8
    }
}

/// Which output is the logit, and its quantization.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputQuantization {
    /// The output channel that holds the logit.
    pub channel: usize,
    /// The step.
    pub scale: f32,
    /// Where zero lies.
    pub zero_point: i8,
}

impl OutputQuantization {
    /// The logit of an int8 output.
    #[must_use]
    pub fn dequantize(self, q: i8) -> f32 {
        f32::from(i16::from(q) - i16::from(self.zero_point)) * self.scale
    }
}

/// Platt scaling: `p = 1 / (1 + exp(-(slope * logit + intercept)))`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Factor of the logit.
    pub slope: f32,
    /// Added to it.
    pub intercept: f32,
}

impl Calibration {
    /// The probability of an anomaly, 0 to 1. `libm` computes it in software, so that every machine gives the
    /// same bits.
    #[must_use]
    pub fn probability(self, logit: f32) -> f32 {
        1.0 / (1.0 + libm::expf(-(self.slope * logit + self.intercept)))
    }
}

/// Hysteresis over the windows in which a subject has a score.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// A score of this or more speaks for an anomaly.
    pub enter: f32,
    /// How many of the last `enter_of` windows must.
    pub enter_windows: u8,
    /// Out of how many, at most 32.
    pub enter_of: u8,
    /// A score below this speaks for its end.
    pub exit: f32,
    /// How many windows in a row must.
    pub exit_windows: u16,
}

impl Decision {
    /// The bits of a history: one a window of the last `enter_of`.
    pub(crate) const fn mask(&self) -> u32 {
        u32::MAX >> (32 - self.enter_of as u32)
    }
}

impl Manifest {
    /// Reads a manifest. `origin` names the file in errors.
    ///
    /// # Errors
    /// [`DocumentError`], with the field at fault.
    pub fn parse(text: &str, origin: &str) -> Result<Manifest, DocumentError> {
        let doc: Document = toml::from_str(text)
            .map_err(|e| DocumentError::Syntax { origin: origin.into(), message: e.to_string() })?;
        let fail = |field: &str, problem: &str| DocumentError::Value {
            origin: origin.into(),
            field: field.into(),
            problem: problem.into(),
        };
        let reading = match (doc.calibration, doc.decision, doc.residual, doc.estimate) {
            (Some(calibration), Some(decision), residual, None) => {
                Reading::Anomaly { residual, calibration, decision, regime: doc.regime }
            }
            (None, None, None, Some(_)) if !doc.regime.is_empty() => {
                return Err(fail(
                    "regime",
                    "for models that judge; one that estimates has `estimate.bounds`",
                ));
            }
            (None, None, None, Some(estimation)) => Reading::Estimate(estimation),
            _ => return Err(fail("estimate", "either this, or `calibration` and `decision`")),
        };
        let manifest = Manifest {
            schema: doc.schema,
            name: doc.name,
            version: doc.version,
            onnx: doc.onnx,
            features: doc.features,
            features_digest: doc.features_digest,
            input: doc.input,
            output: doc.output,
            history: doc.history,
            reading,
            drift: doc.drift,
            rule: doc.rule,
        };
        match manifest.fault() {
            None => Ok(manifest),
            Some((field, problem)) => Err(fail(field, problem)),
        }
    }

    /// What an output means as a number: the probability of an anomaly, or the output itself where it is a quantity.
    #[must_use]
    pub fn read(&self, q: i8) -> f32 {
        let output = self.output.dequantize(q);
        match &self.reading {
            Reading::Anomaly { calibration, .. } => calibration.probability(output),
            Reading::Estimate(_) => output,
        }
    }

    fn fault(&self) -> Option<(&'static str, &'static str)> {
        let plain = |name: &str| !name.is_empty() && !name.contains(['/', '\\']) && !name.starts_with('.');
        let positive = |x: f32| x > 0.0 && x.is_finite();
        [
            (self.schema == SCHEMA, "schema", "this agent reads schema 1"),
            (plain(&self.name) && self.name.len() <= 64, "name", "1 to 64 letters, no slash, no leading dot"),
            (plain(&self.onnx), "onnx", "the name of a file beside the manifest"),
            (plain(&self.features), "features", "the name of a file beside the manifest"),
            (positive(self.input.scale), "input.scale", "a number above 0"),
            (positive(self.output.scale), "output.scale", "a number above 0"),
            (self.history.is_none_or(|n| (2..=MAX_HISTORY).contains(&n)), "history", "2 to 4096 samples"),
        ]
        .into_iter()
        .find_map(|(holds, field, problem)| (!holds).then_some((field, problem)))
        .or_else(|| self.reading.fault())
        .or_else(|| self.drift.as_ref()?.fault())
        .or_else(|| self.rule?.fault())
    }

    /// How records name this model, given the digest over its files.
    #[must_use]
    pub fn reference(&self, digest: &Digest) -> ModelRef {
        ModelRef { name: self.name.clone(), digest: digest.short() }
    }
}

impl Reading {
    fn fault(&self) -> Option<(&'static str, &'static str)> {
        let (calibration, d, regime) = match self {
            Reading::Anomaly { residual: Some(residual), .. } if residual.fault().is_some() => {
                return residual.fault();
            }
            Reading::Anomaly { calibration, decision, regime, .. } => (calibration, decision, regime),
            Reading::Estimate(estimation) => return estimation.fault(),
        };
        let share = |x: f32| (0.0..=1.0).contains(&x);
        [
            (calibration.slope.is_finite(), "calibration.slope", "a finite number"),
            (calibration.intercept.is_finite(), "calibration.intercept", "a finite number"),
            (share(d.enter) && share(d.exit) && d.exit <= d.enter, "decision", "0 <= exit <= enter <= 1"),
            ((1..=32).contains(&d.enter_of), "decision.enter_of", "1 to 32 windows"),
            ((1..=d.enter_of).contains(&d.enter_windows), "decision.enter_windows", "1 to enter_of windows"),
            (d.exit_windows >= 1, "decision.exit_windows", "at least 1 window"),
            (regime::is_sound(regime), "regime", "low <= high"),
        ]
        .into_iter()
        .find_map(|(holds, field, problem)| (!holds).then_some((field, problem)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const EXAMPLE: &str = r#"
        schema = 1
        name = "cell-fault"
        version = "1"
        onnx = "a.onnx"
        features = "features.toml"
        features_digest = "00"
        input = { scale = 0.0625, zero_point = 0 }
        output = { channel = 0, scale = 0.1, zero_point = 0 }
        calibration = { slope = 1.0, intercept = 0.0 }
        decision = { enter = 0.5, enter_windows = 2, enter_of = 3, exit = 0.2, exit_windows = 2 }
    "#;

    #[test]
    fn quantization_rounds_to_even_and_saturates() {
        let q = Quantization { scale: 0.5, zero_point: 0 };
        assert_eq!([0.25, 0.75, -0.25, 1e9, -1e9, f32::NAN].map(|x| q.quantize(x)), [0, 2, 0, 127, -128, 0]);
        let shifted = Quantization { scale: 0.5, zero_point: -128 };
        assert_eq!([0.0, 127.5, 1e9].map(|x| shifted.quantize(x)), [-128, 127, 127]);
    }

    #[test]
    fn calibration_is_a_logistic() {
        let c = Calibration { slope: 2.0, intercept: -1.0 };
        assert_eq!(c.probability(0.5), 0.5);
        assert!(c.probability(1e9) == 1.0 && c.probability(-1e9) == 0.0);
    }

    #[test]
    fn each_fault_is_named() {
        assert!(Manifest::parse(EXAMPLE, "m").is_ok());
        for (from, to, expected) in [
            ("schema = 1", "schema = 2", "m: `schema`: this agent reads schema 1"),
            ("\"a.onnx\"", "\"../a.onnx\"", "`onnx`"),
            ("scale = 0.0625", "scale = -1", "`input.scale`"),
            ("schema = 1", "schema = 1\nhistory = 1", "`history`: 2 to 4096 samples"),
            ("schema = 1", "schema = 1\nhistory = 4097", "`history`: 2 to 4096 samples"),
            ("exit = 0.2", "exit = 0.9", "`decision`: 0 <= exit"),
            ("enter_windows = 2", "enter_windows = 4", "`decision.enter_windows`"),
            (
                "version",
                "regime = [{ feature = \"a\", low = 1, high = 0 }]\nversion",
                "`regime`: low <= high",
            ),
            ("name = \"cell-fault\"", "name = \"\"", "`name`"),
            (
                "version",
                "rule = { seconds = 0, limits = [1, 1, 1, 1, 1, 1, 1, 1, 1] }\nversion",
                "`rule.seconds`: 1 to 4",
            ),
            ("version", "versoin", "unknown field `versoin`"),
            ("calibration = { slope = 1.0, intercept = 0.0 }", "", "`estimate`: either this, or"),
        ] {
            let error = Manifest::parse(&EXAMPLE.replace(from, to), "m").unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
