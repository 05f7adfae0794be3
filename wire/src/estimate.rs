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
    /// By how much the motor's torque is told too high.
    TorqueOffset,
    /// How many times as large the inverter's current is told.
    CurrentGain,
    /// By how much the motor's temperature is told too high.
    MotorTemperatureOffset,
    /// From the drive's coolant to the air.
    DriveThermalResistance,
    /// Of the main contactors.
    ContactorResistance,
    /// Of the 12 V battery, before it carries a load.
    LowVoltageRest,
    /// Of the 12 V battery inside.
    LowVoltageResistance,
    /// What a kilometre takes from the traction battery.
    EnergyPerDistance,
    /// How far the vehicle gets.
    RemainingRange,
}

impl Quantity {
    /// All quantities, in encoding order.
    pub const ALL: [Quantity; 10] = [
        Self::StateOfHealth,
        Self::TorqueOffset,
        Self::CurrentGain,
        Self::MotorTemperatureOffset,
        Self::DriveThermalResistance,
        Self::ContactorResistance,
        Self::LowVoltageRest,
        Self::LowVoltageResistance,
        Self::EnergyPerDistance,
        Self::RemainingRange,
    ];

    /// A few words for a person.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StateOfHealth => "state of health",
            Self::TorqueOffset => "torque offset",
            Self::CurrentGain => "inverter current gain",
            Self::MotorTemperatureOffset => "motor temperature offset",
            Self::DriveThermalResistance => "drive cooling",
            Self::ContactorResistance => "contactor resistance",
            Self::LowVoltageRest => "12 V battery at rest",
            Self::LowVoltageResistance => "12 V battery resistance",
            Self::EnergyPerDistance => "energy per kilometre",
            Self::RemainingRange => "remaining range",
        }
    }

    /// The unit of its values, as a person reads it; empty for a share.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::StateOfHealth | Self::CurrentGain => "",
            Self::TorqueOffset => "Nm",
            Self::MotorTemperatureOffset => "K",
            Self::DriveThermalResistance => "K/W",
            Self::ContactorResistance | Self::LowVoltageResistance => "ohm",
            Self::LowVoltageRest => "V",
            Self::EnergyPerDistance => "Wh/km",
            Self::RemainingRange => "km",
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
