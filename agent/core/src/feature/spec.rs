//! The feature specification: which signals, on which grid, in which windows, made into which numbers.
//!
//! It is a TOML document. Its digest names it in models, bundles and tables; a model refuses to run on features of
//! another digest. An operator, once published, never changes its meaning: a better one gets a new name.

use super::charge::spec::{self as charge, ChargeDocument, ChargeOp, ChargeSpec};
use crate::document::DocumentError;
use serde::Deserialize;
use std::time::Duration;
use telltale_wire::digest::Digest;

/// The schema that this room reads.
pub const SCHEMA: u32 = 1;
/// The longest window in steps. With [`MAX_FEATURES`] and a catalog's 4,096 signals a window stays below 17 MB.
pub const MAX_WINDOW: usize = 1_024;
/// The most features of one subject.
pub const MAX_FEATURES: usize = 64;
/// The placeholder in `members.signal` and `members.subject`.
pub const PLACEHOLDER: &str = "{n}";

/// A specification that was read and found sound.
#[derive(Clone, Debug)]
pub struct FeatureSpec {
    /// Its name, such as `cell-deviation`.
    pub name: String,
    /// The digest of the document.
    pub digest: Digest,
    /// The grid: samples that fall into one period become one step.
    pub period: Duration,
    /// What a charge is, if a row of features describes a charge; else it describes a window.
    pub charge: Option<ChargeSpec>,
    /// Steps of a window; 1 for charges.
    pub window: usize,
    /// Steps from one window to the next; 1 for charges.
    pub stride: usize,
    /// Silence longer than this ends the window; the next one starts afresh.
    pub reset_gap: Duration,
    /// The share of a window's steps in which a subject needs a value, 0 to 1; 1 for charges, which ask nothing of it.
    pub min_completeness: f32,
    /// The subjects: one signal each.
    pub members: Members,
    /// The context signals, by the names that features call them.
    pub context: Vec<ContextSignal>,
    /// The features, in the order of the model's input channels.
    pub features: Vec<Feature>,
}

/// The subjects: every signal of the catalog that fits a pattern.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Members {
    /// A VSS path with `{n}` for the subject's number, from 1 without gaps.
    pub signal: String,
    /// The subject's name with `{n}` at its end, such as `Cell{n}`.
    pub subject: String,
}

/// A signal that all subjects share.
#[derive(Clone, Debug)]
pub struct ContextSignal {
    /// What features call it.
    pub name: String,
    /// Its VSS path.
    pub vss: String,
}

/// One feature: an operator, and the constants that bring its result near -1 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// Its name, such as `deviation_median`.
    pub name: String,
    /// What is computed.
    pub op: Op,
    /// Subtracted from the result.
    pub offset: f32,
    /// What the difference is divided by.
    pub scale: f32,
    /// The quotient is held between minus and plus this.
    pub clip: f32,
}

/// What a feature computes. `d` is a subject's deviation: in each step its value minus the median of all subjects
/// that have one. A step in which fewer than half of the subjects have a value is empty for all of them. Only steps
/// in which the operands have values count.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The `q` quantile of `d`, linear between order statistics (Hyndman and Fan's type 7).
    Quantile(f32),
    /// The median of `|d - median(d)|`.
    Mad,
    /// The mean of `d`.
    Mean,
    /// The mean of `d` in the second half of the window minus that in the first; 0 if a half is empty.
    HalfChange,
    /// The ridge slope of `d` over a context signal: `cov(d, x) / (var(x) + ridge)`, population moments. The ridge
    /// draws it to 0 where the signal hardly varies.
    SlopeOver {
        /// Place of the context signal in `context`.
        context: usize,
        /// Added to the variance, in the signal's unit squared.
        ridge: f32,
    },
    /// The mean of a context signal, for every subject alike.
    ContextMean(usize),
    /// The highest minus the lowest value of a context signal.
    ContextRange(usize),
    /// The mean of the product of two context signals, of the steps in which both have values.
    ContextProduct(usize, usize),
    /// The mean over the window of the subjects' median.
    PackMedian,
    /// The median over the complete subjects of `|m - median(m)|`, where `m` is a subject's median deviation.
    PackSpread,
    /// What is read off a charge. Specifications of charges have these alone, the others none.
    Charge(ChargeOp),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u32,
    name: String,
    period_s: f64,
    window: Option<usize>,
    stride: Option<usize>,
    reset_gap_s: f64,
    min_completeness: Option<f32>,
    charge: Option<ChargeDocument>,
    members: Members,
    #[serde(default)]
    context: std::collections::BTreeMap<String, String>,
    feature: Vec<FeatureDocument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeatureDocument {
    pub(super) name: String,
    pub(super) op: String,
    pub(super) low: Option<f32>,
    pub(super) high: Option<f32>,
    pub(super) rate: Option<f32>,
    pub(super) of: Option<String>,
    q: Option<f32>,
    over: Option<String>,
    ridge: Option<f32>,
    #[serde(default)]
    offset: f32,
    scale: f32,
    clip: f32,
}

impl FeatureSpec {
    /// Reads a specification. `origin` names the file in errors.
    ///
    /// # Errors
    /// [`DocumentError`], with the field at fault.
    pub fn parse(text: &str, origin: &str) -> Result<FeatureSpec, DocumentError> {
        let doc: Document = toml::from_str(text)
            .map_err(|e| DocumentError::Syntax { origin: origin.into(), message: e.to_string() })?;
        let check = Check { origin };
        check.that(doc.schema == SCHEMA, "schema", || {
            format!("{} is not known here; write {SCHEMA}", doc.schema)
        })?;
        let period = check.seconds("period_s", doc.period_s)?;
        let reset_gap = check.seconds("reset_gap_s", doc.reset_gap_s)?;
        let (window, stride, min_completeness) = check.windows(&doc)?;
        let placed = doc.members.signal.contains(PLACEHOLDER) && doc.members.subject.ends_with(PLACEHOLDER);
        check.that(placed, "members", || {
            format!("the signal needs {PLACEHOLDER} for the number, the subject ends with it")
        })?;
        let count = doc.feature.len();
        check.that((1..=MAX_FEATURES).contains(&count), "feature", || {
            format!("1 to {MAX_FEATURES} features")
        })?;

        let context: Vec<ContextSignal> =
            doc.context.into_iter().map(|(name, vss)| ContextSignal { name, vss }).collect();
        let charge = doc.charge.map(|charge| charge.read(&check, &context)).transpose()?;
        let names: Vec<String> = doc.feature.iter().map(|f| f.name.clone()).collect();
        let features = doc
            .feature
            .into_iter()
            .map(|f| check.feature(f, &context, charge.is_some(), &names))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(FeatureSpec {
            name: doc.name,
            digest: Digest::of(text.as_bytes()),
            period,
            charge,
            window,
            stride,
            reset_gap,
            min_completeness,
            members: doc.members,
            context,
            features,
        })
    }
}

pub(super) struct Check<'a> {
    origin: &'a str,
}

impl Check<'_> {
    pub(super) fn fail<T>(&self, field: &str, problem: String) -> Result<T, DocumentError> {
        Err(DocumentError::Value { origin: self.origin.into(), field: field.into(), problem })
    }

    pub(super) fn that(
        &self,
        holds: bool,
        field: &str,
        problem: impl FnOnce() -> String,
    ) -> Result<(), DocumentError> {
        if holds { Ok(()) } else { self.fail(field, problem()) }
    }

    /// A duration of a millisecond to a day.
    pub(super) fn seconds(&self, field: &str, s: f64) -> Result<Duration, DocumentError> {
        self.that((0.001..=86_400.0).contains(&s), field, || {
            format!("{s} is not within 0.001 and 86400 seconds")
        })?;
        Ok(Duration::from_micros((s * 1e6).round() as u64))
    }

    /// Window, stride and the share that a window asks for. Charges last as long as they last.
    fn windows(&self, doc: &Document) -> Result<(usize, usize, f32), DocumentError> {
        let given = (doc.window, doc.stride, doc.min_completeness);
        if doc.charge.is_some() {
            let none = given == (None, None, None);
            let why =
                || "neither `window`, `stride` nor `min_completeness`: a charge lasts as long as it lasts";
            self.that(none, "charge", || why().into())?;
            return Ok((1, 1, 1.0));
        }
        let (window, stride, share) =
            (given.0.unwrap_or(0), given.1.unwrap_or(0), given.2.unwrap_or(f32::NAN));
        self.that((2..=MAX_WINDOW).contains(&window), "window", || format!("2 to {MAX_WINDOW} steps"))?;
        self.that((1..=window).contains(&stride), "stride", || "1 step to a whole window".into())?;
        self.that(share > 0.0 && share <= 1.0, "min_completeness", || "a share above 0, at most 1".into())?;
        Ok((window, stride, share))
    }

    fn feature(
        &self,
        f: FeatureDocument,
        context: &[ContextSignal],
        of_charges: bool,
        names: &[String],
    ) -> Result<Feature, DocumentError> {
        let field = |part: &str| format!("feature {}: {part}", f.name);
        let charge = charge::operator(&f, self, names)?;
        self.that(charge.is_some() == of_charges, &field("op"), || {
            format!("{:?} is not for this kind: a table [charge] makes it one of charges", f.op)
        })?;
        let op = match charge {
            Some(op) => Op::Charge(op),
            None => self.operator(&f, context)?,
        };
        let positive = |x: f32| x > 0.0 && x.is_finite();
        self.that(positive(f.scale), &field("scale"), || "a number above 0".into())?;
        self.that(positive(f.clip), &field("clip"), || "a number above 0".into())?;
        self.that(f.offset.is_finite(), &field("offset"), || "a finite number".into())?;
        Ok(Feature { op, name: f.name, offset: f.offset, scale: f.scale, clip: f.clip })
    }

    /// The operator of a feature of windows.
    fn operator(&self, f: &FeatureDocument, context: &[ContextSignal]) -> Result<Op, DocumentError> {
        let field = |part: &str| format!("feature {}: {part}", f.name);
        let over = || match f.over.as_deref() {
            Some(name) => match context.iter().position(|c| c.name == name) {
                Some(place) => Ok(place),
                None => self.fail(&field("over"), format!("no context signal is called {name:?}")),
            },
            None => self.fail(&field("over"), format!("`{}` needs the name of a context signal", f.op)),
        };
        Ok(match f.op.as_str() {
            "quantile" => match f.q {
                Some(q) if (0.0..=1.0).contains(&q) => Op::Quantile(q),
                _ => return self.fail(&field("q"), "needs a quantile from 0 to 1".into()),
            },
            "mad" => Op::Mad,
            "mean" => Op::Mean,
            "half_change" => Op::HalfChange,
            "slope" => match f.ridge {
                Some(ridge) if ridge > 0.0 && ridge.is_finite() => Op::SlopeOver { context: over()?, ridge },
                _ => return self.fail(&field("ridge"), "`slope` needs a variance above 0".into()),
            },
            "context_mean" => Op::ContextMean(over()?),
            "context_range" => Op::ContextRange(over()?),
            "context_product" => match f.of.as_deref().map(|of| context.iter().position(|c| c.name == of)) {
                Some(Some(place)) => Op::ContextProduct(over()?, place),
                _ => return self.fail(&field("of"), "needs the name of a second context signal".into()),
            },
            "pack_median" => Op::PackMedian,
            "pack_spread" => Op::PackSpread,
            other => {
                let known = "quantile, mad, mean, half_change, slope, context_mean, context_range, \
                             context_product, pack_median, pack_spread";
                return self
                    .fail(&field("op"), format!("no operator is called {other:?}; there are {known}"));
            }
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const EXAMPLE: &str = r#"
        schema = 1
        name = "cell-deviation"
        period_s = 10
        window = 4
        stride = 2
        reset_gap_s = 60
        min_completeness = 0.5
        [members]
        signal = "Pack.Cell{n}.Voltage"
        subject = "Cell{n}"
        [context]
        current = "Pack.Current"
        [[feature]]
        name = "median"
        op = "quantile"
        q = 0.5
        scale = 0.01
        clip = 8
        [[feature]]
        name = "resistance"
        op = "slope"
        over = "current"
        ridge = 0.25
        scale = 0.001
        clip = 8
    "#;

    #[test]
    fn a_sound_document_is_read_and_named_by_its_digest() {
        let spec = FeatureSpec::parse(EXAMPLE, "x.toml").unwrap();
        assert_eq!(spec.features[1].op, Op::SlopeOver { context: 0, ridge: 0.25 });
        let other = FeatureSpec::parse(&EXAMPLE.replace("stride = 2", "stride = 1"), "x.toml").unwrap();
        assert_ne!(spec.digest, other.digest);
    }

    #[test]
    fn each_fault_is_named_with_file_and_field() {
        for (from, to, expected) in [
            ("schema = 1", "schema = 9", "x.toml: `schema`: 9 is not known here; write 1"),
            ("window = 4", "window = 1", "`window`: 2 to 1024 steps"),
            ("stride = 2", "stride = 5", "`stride`"),
            ("period_s = 10", "period_s = nan", "`period_s`: NaN is not within"),
            ("min_completeness = 0.5", "min_completeness = 0", "`min_completeness`"),
            ("q = 0.5", "q = 2", "`feature median: q`"),
            ("over = \"current\"", "over = \"curent\"", "no context signal is called \"curent\""),
            ("op = \"slope\"", "op = \"slop\"", "no operator is called \"slop\""),
            ("scale = 0.001", "scale = 0", "`feature resistance: scale`"),
            ("Cell{n}.Voltage", "Cell.Voltage", "`members`: the signal needs {n}"),
            ("stride = 2", "stride = 2\nstrid = 3", "unknown field"),
        ] {
            let error = FeatureSpec::parse(&EXAMPLE.replace(from, to), "x.toml").unwrap_err().to_string();
            assert!(error.contains(expected), "{from} -> {to}: {error}");
        }
    }
}
