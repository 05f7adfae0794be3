//! `[source]`: where frames come from.

use super::BridgeSettings;
use crate::source::Pace;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::path::PathBuf;

/// Where frames come from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum SourceConfig {
    /// The interfaces that the catalog names.
    #[default]
    Live,
    /// A log; `-` is standard input. The agent ends when it has been read and synced.
    Log {
        /// The file.
        path: PathBuf,
        /// `max`, or a factor of real time; written as a string.
        #[serde(default = "fastest", deserialize_with = "pace")]
        pace: Pace,
    },
    /// A microcontroller that forwards buses and sensors over a serial line or SPI.
    Bridge(BridgeSettings),
    /// The interfaces and bridges together; logs not.
    Several(Vec<SourceConfig>),
}

impl SourceConfig {
    /// Whether the interfaces that the catalog names are read.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match self {
            SourceConfig::Live => true,
            SourceConfig::Several(all) => all.iter().any(SourceConfig::is_live),
            SourceConfig::Log { .. } | SourceConfig::Bridge(_) => false,
        }
    }

    /// The bridges that are read.
    #[must_use]
    pub fn bridges(&self) -> Vec<&BridgeSettings> {
        match self {
            SourceConfig::Bridge(bridge) => vec![bridge],
            SourceConfig::Several(all) => all.iter().flat_map(SourceConfig::bridges).collect(),
            SourceConfig::Live | SourceConfig::Log { .. } => vec![],
        }
    }

    /// What cannot be meant.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if let SourceConfig::Several(all) = self {
            let single = |one: &SourceConfig| matches!(one, SourceConfig::Live | SourceConfig::Bridge(_));
            anyhow::ensure!(all.iter().all(single), "`source.several` takes \"live\" and bridges only");
        }
        self.bridges().into_iter().try_for_each(BridgeSettings::check)
    }
}

const fn fastest() -> Pace {
    Pace::AsFastAsPossible
}

fn pace<'de, D: Deserializer<'de>>(from: D) -> Result<Pace, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}
