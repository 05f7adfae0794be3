//! `[intrusion]`: the model that watches the buses, and the profile of the vehicle type that it watches them by.

use serde::Deserialize;
use std::path::PathBuf;

/// What watches the buses.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntrusionSettings {
    /// The model's folder.
    pub model: PathBuf,
    /// The profile, as `telltale bus learn` wrote it.
    pub profile: PathBuf,
}
