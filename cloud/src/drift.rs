//! How far the inputs of a vehicle's models have come from what they were trained on, as pages and JSON tell it.

use crate::report::When;
use serde::Serialize;

/// The most inputs and horizons that are kept of one vehicle.
pub const MAX_DRIFTS: usize = 500;

/// One input of a model over one horizon.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct DriftLine {
    /// Since when this is told.
    pub when: When,
    /// The model.
    pub model: String,
    /// The start of its digest.
    pub digest: String,
    /// The feature, the signals or `score`.
    pub input: String,
    /// `fast` or `slow`.
    pub horizon: &'static str,
    /// `none`, `moderate` or `severe`.
    pub severity: &'static str,
    /// The population stability index.
    pub index: f64,
    /// The index from which it is moderate.
    pub limit: f64,
    /// The share beyond everything that training saw, 0 to 1.
    pub outside: f64,
}
