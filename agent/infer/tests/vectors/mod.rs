//! The committed model and its golden vectors.

#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses its part, and a test may unwrap")]

use serde::Deserialize;
use telltale_infer::{Int8Model, Shape};

pub(crate) const CELL_FAULT: &[u8] = include_bytes!("../../../../models/cell-fault/cell-fault.int8.onnx");
const GOLDEN: &str = include_str!("../../../../models/cell-fault/golden.toml");
pub(crate) const CHANNELS: usize = 8;

pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) subjects: usize,
    pub(crate) input: Vec<i8>,
    pub(crate) output: Vec<i8>,
}

pub(crate) fn model(onnx: &[u8], subjects: usize) -> Int8Model {
    Int8Model::load(onnx, Shape { channels: CHANNELS, subjects, output_channel: 0 }).unwrap()
}

pub(crate) fn golden() -> Vec<Vector> {
    #[derive(Deserialize)]
    struct Document {
        vector: Vec<Row>,
    }
    #[derive(Deserialize)]
    struct Row {
        name: String,
        subjects: usize,
        input: String,
        output: String,
    }
    let rows = toml::from_str::<Document>(GOLDEN).unwrap().vector.into_iter();
    rows.map(|r| Vector {
        name: r.name,
        subjects: r.subjects,
        input: bytes(&r.input),
        output: bytes(&r.output),
    })
    .collect()
}

fn bytes(hex: &str) -> Vec<i8> {
    let pairs = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap().cast_signed()).collect()
}
