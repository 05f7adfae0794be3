//! Features of a charge: a charge is the one time when a vehicle sees a pack under a steady current through a wide range
//! of states, and what flows between two voltages shrinks as the pack ages.
//!
//! [`spec`] is what the document says, `meter` follows the charge, `jump` the resistance, and this file turns one that ended into a row of
//! features a subject.

mod jump;
mod meter;
pub mod spec;
#[cfg(test)]
mod tests;

pub use spec::{ChargeOp, ChargeSpec};

use super::compute::FeatureTable;
use super::spec::{Feature, FeatureSpec, Op};
use super::window::Window;
use meter::Meter;
use telltale_wire::time::MonoTime;

/// Charges of a specification, one after another, in buffers of their own. Allocates only when it is made.
#[derive(Clone)]
pub(super) struct ChargeFeatures {
    features: Vec<Feature>,
    meter: Meter,
    table: FeatureTable,
    period: std::time::Duration,
    last: Option<MonoTime>,
}

impl ChargeFeatures {
    pub(super) fn new(spec: &FeatureSpec, charge: &ChargeSpec, subjects: usize) -> ChargeFeatures {
        ChargeFeatures {
            features: spec.features.clone(),
            meter: Meter::new(spec, charge, subjects),
            table: FeatureTable::new(spec.features.len(), subjects),
            period: spec.period,
            last: None,
        }
    }

    /// Takes the step that has just closed, the window's last; gives the features of the charge that ended with it.
    pub(super) fn step(&mut self, window: &Window) -> Option<&FeatureTable> {
        let end = window.end();
        let is_next = self.last.is_none_or(|last| last.plus(self.period) == end);
        self.last = Some(end);
        // A gap ends a charge before this step can begin another, which no charge that counts does in one step.
        let silenced = !is_next && self.meter.fall_silent();
        if silenced {
            self.describe();
        }
        let (members, context) = window.row(window.steps() - 1);
        let ended = self.meter.step(members, context);
        if ended {
            self.describe();
        }
        (silenced || ended).then_some(&self.table)
    }

    fn describe(&mut self) {
        for subject in 0..self.table.subjects() {
            self.table.set_state(subject, self.meter.state(subject), self.meter.resistance(subject));
            for (channel, feature) in self.features.iter().enumerate() {
                let value = self.value(&feature.op, subject);
                let scaled = value.map_or(0.0, |value| (value - feature.offset) / feature.scale);
                let scaled = scaled.clamp(-feature.clip, feature.clip);
                self.table.set(channel, subject, value.unwrap_or(feature.offset), scaled);
            }
        }
    }

    fn value(&self, op: &Op, subject: usize) -> Option<f32> {
        match op {
            Op::Charge(ChargeOp::Present(place)) => {
                let of = &self.features.get(*place)?.op;
                Some(f32::from(u8::from(self.value(of, subject).is_some())))
            }
            Op::Charge(op) => self.meter.read(*op, subject),
            _ => None,
        }
    }
}
