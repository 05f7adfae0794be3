//! The committed model and its golden vectors.

#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses its part, and a test may unwrap")]

use serde::{Deserialize, Deserializer};
use telltale_infer::{Int8Model, Shape};

pub(crate) const CELL_FAULT: &[u8] = include_bytes!("../../../../models/cell-fault/cell-fault.int8.onnx");
const GOLDEN: &str = include_str!("../../../../models/cell-fault/golden.toml");
pub(crate) const CHANNELS: usize = 8;
pub(crate) const STATE_OF_HEALTH: &[u8] =
    include_bytes!("../../../../models/state-of-health/state-of-health.int8.onnx");
pub(crate) const STATE_OF_HEALTH_SIM: &[u8] =
    include_bytes!("../../../../models/state-of-health-sim/state-of-health-sim.int8.onnx");
pub(crate) const GOLDEN_CHARGE_SIM: &str = include_str!("../../../../models/state-of-health-sim/golden.toml");
/// Of both models that read charges.
pub(crate) const CHARGE_CHANNELS: usize = 16;
pub(crate) const GOLDEN_CHARGE: &str = include_str!("../../../../models/state-of-health/golden.toml");

pub(crate) const POWERTRAIN: &[u8] =
    include_bytes!("../../../../models/powertrain-consistency/powertrain-consistency.int8.onnx");
pub(crate) const GOLDEN_POWERTRAIN: &str =
    include_str!("../../../../models/powertrain-consistency/golden.toml");
pub(crate) const BUS_INTRUSION: &[u8] =
    include_bytes!("../../../../models/bus-intrusion/bus-intrusion.int8.onnx");
pub(crate) const GOLDEN_SECONDS: &str = include_str!("../../../../models/bus-intrusion/golden.toml");

#[derive(Deserialize)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) subjects: usize,
    #[serde(deserialize_with = "hex")]
    pub(crate) input: Vec<i8>,
    #[serde(deserialize_with = "hex")]
    pub(crate) output: Vec<i8>,
}

pub(crate) fn model(onnx: &[u8], subjects: usize) -> Int8Model {
    Int8Model::load(onnx, Shape { channels: CHANNELS, subjects, output_channel: 0 }).unwrap()
}

/// A model of another input's width.
pub(crate) fn model_of(onnx: &[u8], channels: usize, subjects: usize) -> Int8Model {
    Int8Model::load(onnx, Shape { channels, subjects, output_channel: 0 }).unwrap()
}

/// A charge of one cell, a sample each period, and what has to become of it.
#[derive(Deserialize)]
pub(crate) struct Charge {
    pub(crate) volts: Vec<f64>,
    pub(crate) amps: Vec<f64>,
    pub(crate) celsius: Vec<f64>,
    pub(crate) features: Vec<f64>,
    #[serde(deserialize_with = "hex")]
    pub(crate) input: Vec<i8>,
    #[serde(deserialize_with = "hex")]
    pub(crate) output: Vec<i8>,
}

/// The golden vectors of a model that reads charges.
#[derive(Deserialize)]
pub(crate) struct Charges {
    pub(crate) vector: Vec<Vector>,
    pub(crate) charge: Charge,
}

/// The golden vectors of the model that watches buses.
#[derive(Deserialize)]
pub(crate) struct Seconds {
    pub(crate) vector: Vec<Vector>,
}

/// A window of `[steps][cells]` volts and `[steps]` amps (NaN: no value), and what has to become of it.
#[derive(Deserialize)]
pub(crate) struct Window {
    pub(crate) amps: Vec<f64>,
    pub(crate) volts: Vec<Vec<f64>>,
    pub(crate) present: Vec<bool>,
    pub(crate) features: Vec<Vec<f64>>,
    #[serde(deserialize_with = "hex")]
    pub(crate) input: Vec<i8>,
    #[serde(deserialize_with = "hex")]
    pub(crate) output: Vec<i8>,
}

#[derive(Deserialize)]
struct Document {
    vector: Vec<Vector>,
    window: Window,
}

pub(crate) fn golden() -> Vec<Vector> {
    toml::from_str::<Document>(GOLDEN).unwrap().vector
}

pub(crate) fn golden_window() -> Window {
    toml::from_str::<Document>(GOLDEN).unwrap().window
}

fn hex<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<i8>, D::Error> {
    let hex = String::deserialize(from)?;
    let pairs = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
    Ok(pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap().cast_signed()).collect())
}
