//! A model as it is given to the loop, and why one is not taken.

use crate::feature::LayoutError;
use crate::feature::spec::FeatureSpec;
use crate::intrusion::FitError;
use crate::model::{Manifest, Model};
use telltale_wire::digest::Digest;
use thiserror::Error;

/// A model with everything it came with.
pub struct LoadedModel {
    /// What it says of itself.
    pub manifest: Manifest,
    /// The digest over its files.
    pub digest: Digest,
    /// Its feature specification.
    pub features: FeatureSpec,
    /// What runs it.
    pub model: Box<dyn Model>,
}

/// A model that does not fit this vehicle.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The catalog lacks a signal.
    #[error("model `{model}` does not fit the catalog")]
    Layout {
        /// The model.
        model: String,
        /// What is missing.
        source: LayoutError,
    },
    /// The profile of the buses is of another vehicle.
    #[error("the intrusion profile does not fit the catalog")]
    Profile(#[from] FitError),
    /// The model estimates something, and is set to watch buses.
    #[error("model `{model}` estimates a quantity: it gives no verdict on a bus")]
    NoVerdict {
        /// The model.
        model: String,
    },
    /// A model that watches buses says nothing of the rule beside it.
    #[error(
        "model `{model}` has no `rule` in its `model.toml`, which one that watches buses must have: train it anew"
    )]
    NoRule {
        /// The model.
        model: String,
    },
    /// The settings name a signal for snapshots that the catalog lacks.
    #[error(
        "no signal of the catalog fits `{pattern}` (snapshots): write a VSS path of the catalog, or its beginning and `*`"
    )]
    SnapshotSignal {
        /// The path, or its beginning.
        pattern: String,
    },
    /// The manifest bounds a feature that its specification lacks, or tells drift by one.
    #[error(
        "model `{model}` bounds the feature `{feature}` or tells drift by it, which its specification does not have"
    )]
    StrangeBound {
        /// The model.
        model: String,
        /// The feature.
        feature: String,
    },
    /// The manifest names another feature specification than the one that came with it.
    #[error(
        "model `{model}` was trained on the features {expected}, the specification beside it is {found}: restore the one it was trained on, or train again"
    )]
    OtherFeatures {
        /// The model.
        model: String,
        /// What the manifest says.
        expected: String,
        /// What was found.
        found: String,
    },
}
