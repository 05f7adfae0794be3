//! What a specification of kind `charge` says beside the others: when a pack charges, and what is read off the curve.
//!
//! Currents are stated as rates, in multiples of the nominal capacity per hour, and charges as shares of the nominal
//! capacity, so that one specification reads alike for every size of cell.

use super::super::spec::{Check, ContextSignal, FeatureDocument};
use crate::document::DocumentError;
use serde::Deserialize;
use std::time::Duration;

/// When a pack charges, and against what its charge is measured. A current into the pack is positive, as in COVESA VSS.
#[derive(Clone, Debug, PartialEq)]
pub struct ChargeSpec {
    /// Place of the pack's current in the context.
    pub current: usize,
    /// Place of the temperature in the context.
    pub temperature: usize,
    /// The capacity of a new subject in ampere-hours.
    pub nominal_ah: f64,
    /// From this rate on a charge begins.
    pub start_rate: f32,
    /// Below this rate nothing is taken to flow.
    pub stop_rate: f32,
    /// A charge ends when nothing has flowed for so long.
    pub pause: Duration,
    /// Shorter ones are none: a long descent charges too.
    pub shortest: Duration,
    /// A voltage counts from so long after the current began.
    pub settle: Duration,
    /// A jump of the rate by this much or more shows the resistance.
    pub step_rate: f32,
}

/// What is read off one charge. An absent number stands as 0 in a model's input: [`ChargeOp::Present`] tells it apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ChargeOp {
    /// The charge that flowed while the subject's voltage rose from one value to another, as a share of the nominal
    /// capacity. Absent if the charge began above the lower or ended below the upper one, or if the currents at both
    /// differ by more than a tenth.
    Between {
        /// From this voltage.
        low: f32,
        /// To this one.
        high: f32,
    },
    /// The charge from a voltage until the current had faded to a rate. Absent if it did not fade, but was cut.
    Fade {
        /// From this voltage.
        low: f32,
        /// Until this rate.
        rate: f32,
    },
    /// The mean temperature of the charge.
    Temperature,
    /// The highest rate of the charge.
    Rate,
    /// 1 if the feature at this place is there, else 0.
    Present(usize),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::feature) struct ChargeDocument {
    current: String,
    temperature: String,
    nominal_ah: f64,
    start_rate: f32,
    stop_rate: f32,
    step_rate: f32,
    pause_s: f64,
    shortest_s: f64,
    settle_s: f64,
}

impl ChargeDocument {
    pub(in crate::feature) fn read(
        self,
        check: &Check<'_>,
        context: &[ContextSignal],
    ) -> Result<ChargeSpec, DocumentError> {
        let place = |field: &str, name: &str| match context.iter().position(|c| c.name == name) {
            Some(place) => Ok(place),
            None => check.fail(field, format!("no context signal is called {name:?}")),
        };
        let rates = self.stop_rate > 0.0 && self.stop_rate <= self.start_rate && self.start_rate.is_finite();
        check.that(rates, "charge", || "0 < stop_rate <= start_rate".into())?;
        check.that(self.step_rate > 0.0 && self.step_rate.is_finite(), "charge.step_rate", || {
            "a rate above 0".into()
        })?;
        let is_capacity = (0.001..=100_000.0).contains(&self.nominal_ah);
        check.that(is_capacity, "charge.nominal_ah", || "0.001 to 100000 ampere-hours".into())?;
        Ok(ChargeSpec {
            current: place("charge.current", &self.current)?,
            temperature: place("charge.temperature", &self.temperature)?,
            nominal_ah: self.nominal_ah,
            start_rate: self.start_rate,
            stop_rate: self.stop_rate,
            step_rate: self.step_rate,
            pause: check.seconds("charge.pause_s", self.pause_s)?,
            shortest: check.seconds("charge.shortest_s", self.shortest_s)?,
            settle: check.seconds("charge.settle_s", self.settle_s)?,
        })
    }
}

/// The operator of a feature, if it is one of these; `places` are the names of all features in order.
pub(in crate::feature) fn operator(
    f: &FeatureDocument,
    check: &Check<'_>,
    places: &[String],
) -> Result<Option<ChargeOp>, DocumentError> {
    let field = |part: &str| format!("feature {}: {part}", f.name);
    let volts = |part: &str, value: Option<f32>| match value {
        Some(volts) if volts > 0.0 && volts.is_finite() => Ok(volts),
        _ => check.fail(&field(part), format!("`{}` needs a voltage above 0", f.op)),
    };
    Ok(Some(match f.op.as_str() {
        "charge_between" => {
            let (low, high) = (volts("low", f.low)?, volts("high", f.high)?);
            check.that(low < high, &field("high"), || "above `low`".into())?;
            ChargeOp::Between { low, high }
        }
        "charge_fade" => match f.rate {
            Some(rate) if rate > 0.0 && rate.is_finite() => {
                ChargeOp::Fade { low: volts("low", f.low)?, rate }
            }
            _ => return check.fail(&field("rate"), "`charge_fade` needs a rate above 0".into()),
        },
        "charge_temperature" => ChargeOp::Temperature,
        "charge_rate" => ChargeOp::Rate,
        "present" => match f.of.as_deref().and_then(|of| places.iter().position(|name| name == of)) {
            Some(place) => ChargeOp::Present(place),
            None => return check.fail(&field("of"), "`present` needs the name of a feature".into()),
        },
        _ => return Ok(None),
    }))
}
