//! Drift: how far what a model is fed, and what it answers, has come from what it was trained on.

use crate::record::ModelRef;
use crate::time::Stamp;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Over how much of the vehicle's operation one looks back. Append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Horizon {
    /// Hours of operation: weather, a load, a sensor.
    Fast,
    /// A day of operation or more: ageing, another life.
    Slow,
}

impl Horizon {
    /// All horizons, in encoding order.
    pub const ALL: [Horizon; 2] = [Self::Fast, Self::Slow];

    /// A word for a person.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Slow => "slow",
        }
    }
}

impl fmt::Display for Horizon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far it has come. Append only; a later one is a worse one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Severity {
    /// No further than vehicles of the training were from each other.
    #[default]
    None,
    /// Further, or half of it beyond everything that was seen.
    Moderate,
    /// Twice as far, or nearly all of it beyond everything that was seen.
    Severe,
}

impl Severity {
    /// All severities, in encoding order.
    pub const ALL: [Severity; 3] = [Self::None, Self::Moderate, Self::Severe];

    /// A word for a person.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Moderate => "moderate",
            Self::Severe => "severe",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The drift of some inputs of a model began, changed or ended, or is told for the first time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DriftRecord {
    /// The end of the window that decided it.
    pub at: Stamp,
    /// Of which model.
    pub model: ModelRef,
    /// Input by input.
    pub inputs: Vec<InputDrift>,
}

/// One input over one horizon.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct InputDrift {
    /// The feature, the signals (a VSS path) or `score`.
    pub input: String,
    /// Over which horizon.
    pub horizon: Horizon,
    /// How far.
    pub severity: Severity,
    /// The population stability index against the training, from 0.
    pub index: f32,
    /// The index from which the severity is moderate.
    pub limit: f32,
    /// The share that lies beyond everything that training saw, 0 to 1.
    pub outside: f32,
}
