//! Runs int8 ONNX models with tract, behind the core's [`Model`](telltale_core::model::Model).
//!
//! A model file is hostile until proven otherwise: it comes over the air, and a signature says who made it, not
//! that it is sound. So it passes three doors. `screen` reads the protobuf and refuses what could make tract
//! allocate without bound or compute in another arithmetic than the integers that the model was checked in; tract
//! then infers shapes, which `gate` holds against what the vehicle will feed; and once more on the optimised graph
//! `gate` asserts that no float product stands where int8 is expected. A panic inside tract is caught at each call
//! and becomes an error of that model: the host and its other models go on. (The panic hook still prints its line.)
//!
//! The operators taken are stateless and integer, so one inference leaves nothing behind for the next. A model whose last
//! axis is time can run as a [`StreamedModel`] instead: it keeps what its convolutions still reach, and takes one
//! sample at a time.

mod gate;
mod model;
mod operator;
mod screen;
mod stream;

pub use model::{Int8Model, ModelError, Shape};
pub use screen::{MAX_MODEL_BYTES, MAX_NODES, OPERATORS};
pub use stream::StreamedModel;
