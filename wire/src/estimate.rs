//! Estimates: what a model takes a quantity of each subject to be, with the interval that holds it.

use crate::record::{IndeterminateReason, ModelRef};
use crate::time::Stamp;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What is estimated. Append only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Quantity {
    /// The capacity that is left, as a share of the nominal one: 1 for a new battery.
    StateOfHealth,
}

impl Quantity {
    /// All quantities, in encoding order.
    pub const ALL: [Quantity; 1] = [Self::StateOfHealth];

    /// A few words for a person.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StateOfHealth => "state of health",
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was made of one event in the vehicle's life, such as a charge.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EstimateRecord {
    /// The end of the event.
    pub at: Stamp,
    /// Who says so.
    pub model: ModelRef,
    /// Of what.
    pub quantity: Quantity,
    /// In how many of a hundred such events the interval holds the truth, as a share.
    pub coverage: f32,
    /// Subject by subject.
    pub subjects: Vec<SubjectEstimate>,
    /// The subjects' names are `prefix` and the index plus one: `Cell1`, `Cell2`, ...
    pub prefix: String,
}

/// One subject.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct SubjectEstimate {
    /// The estimate, or why there is none.
    pub value: Result<Interval, IndeterminateReason>,
    /// The internal resistance in ohms by the jumps of the current, where there were any.
    pub resistance_ohm: Option<f32>,
}

/// A value with the interval around it, all in the quantity's unit.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Interval {
    /// The most likely value.
    pub value: f32,
    /// The lower end.
    pub low: f32,
    /// The upper end.
    pub high: f32,
}
