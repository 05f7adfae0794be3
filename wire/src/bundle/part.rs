//! The parts of a bundle. A kind that a reader does not know is kept apart, not refused.

use serde::{Deserialize, Serialize};

/// One part of a bundle.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// Its length in bytes; above 0.
    pub length: u32,
}

/// What a part of a bundle is. Numbers are append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub enum PartKind {
    /// The int8 ONNX model. The manifest says under which name it looks for it.
    Model,
    /// `model.toml`.
    Manifest,
    /// The feature specification. The manifest says under which name it looks for it.
    Features,
    /// Golden vectors: inputs and the outputs that they must give.
    Golden,
    /// The model card, for people.
    Card,
    /// Where it comes from, as JSON: the digests of recipe and data, who built it, with which tools.
    Provenance,
    /// What it is made of, as CycloneDX JSON.
    Sbom,
    /// The signal catalog of a configuration and the DBC files that it names, as [`super::Documents`].
    Catalog,
    /// The campaign of a configuration: what is collected, and when. TOML.
    Campaign,
    /// One of a newer builder, by its number.
    Other(u8),
}

impl PartKind {
    /// All that are known, in the order of their numbers.
    pub const ALL: [PartKind; 9] = [
        PartKind::Model,
        PartKind::Manifest,
        PartKind::Features,
        PartKind::Golden,
        PartKind::Card,
        PartKind::Provenance,
        PartKind::Sbom,
        PartKind::Catalog,
        PartKind::Campaign,
    ];

    /// What a vehicle needs to run a model.
    pub const REQUIRED: [PartKind; 4] =
        [PartKind::Model, PartKind::Manifest, PartKind::Features, PartKind::Golden];

    /// What a configuration is made of: at least one of these.
    pub const CONFIGURATION: [PartKind; 2] = [PartKind::Catalog, PartKind::Campaign];

    /// A word for a person.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Manifest => "manifest",
            Self::Features => "features",
            Self::Golden => "golden",
            Self::Card => "card",
            Self::Provenance => "provenance",
            Self::Sbom => "sbom",
            Self::Catalog => "catalog",
            Self::Campaign => "campaign",
            Self::Other(_) => "other",
        }
    }
}

impl From<u8> for PartKind {
    fn from(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Other(number))
    }
}

impl From<PartKind> for u8 {
    fn from(kind: PartKind) -> Self {
        match kind {
            PartKind::Model => 0,
            PartKind::Manifest => 1,
            PartKind::Features => 2,
            PartKind::Golden => 3,
            PartKind::Card => 4,
            PartKind::Provenance => 5,
            PartKind::Sbom => 6,
            PartKind::Catalog => 7,
            PartKind::Campaign => 8,
            PartKind::Other(number) => number,
        }
    }
}
