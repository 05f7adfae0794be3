//! `[source]`: where frames come from, and what a bridge to a microcontroller needs to be told.

use crate::source::{Pace, Place};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::path::PathBuf;
use telltale_wire::bridge::SENSOR_CHANNEL;

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
    /// A microcontroller that forwards buses and sensors over a serial line.
    Bridge(BridgeSettings),
    /// The interfaces and bridges together; logs not.
    Several(Vec<SourceConfig>),
}

/// A firmware bridge.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BridgeSettings {
    /// The line: `/dev/ttyAMA1`, `unix:/path` or `tcp:host:port`.
    #[serde(deserialize_with = "from_text")]
    pub device: Place,
    /// Bits a second, as the firmware has it.
    #[serde(default = "default_baud")]
    pub baud: u32,
    /// The bus of the catalog that its controller is on, or those of its controllers in their order.
    #[serde(deserialize_with = "one_or_several")]
    pub bus: Vec<String>,
    /// The bus of the catalog that describes its sensors.
    pub sensors: Option<String>,
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
        for bridge in self.bridges() {
            let device = &bridge.device;
            anyhow::ensure!(
                (1..=MAX_BRIDGE_BUSES).contains(&bridge.bus.len()),
                "the bridge on {device} is to name 1 to {MAX_BRIDGE_BUSES} buses"
            );
            anyhow::ensure!(
                (9_600..=12_000_000).contains(&bridge.baud),
                "`baud` of the bridge on {device} is to be 9600 to 12000000"
            );
        }
        Ok(())
    }
}

/// What a bridge has channels for, besides its sensors.
const MAX_BRIDGE_BUSES: usize = SENSOR_CHANNEL as usize;

const fn default_baud() -> u32 {
    2_000_000
}

fn from_text<'de, D: Deserializer<'de>>(from: D) -> Result<Place, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

fn one_or_several<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "the name of a bus, or a list of such names")]
    enum Names {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Names::deserialize(from)? {
        Names::One(name) => vec![name],
        Names::Several(names) => names,
    })
}

const fn fastest() -> Pace {
    Pace::AsFastAsPossible
}

fn pace<'de, D: Deserializer<'de>>(from: D) -> Result<Pace, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn a_bridge_is_one_source_or_one_of_several() {
        let config = |source: &str| {
            Config::parse(&format!(
                "vehicle = \"v\"\ncatalog = \"c\"\nspool = {{ dir = \"s\" }}\nsource = {source}\n"
            ))
        };
        let bridge = r#"{ bridge = { device = "/dev/ttyAMA1", bus = "bms", sensors = "board" } }"#;
        let one = config(bridge).unwrap().source;
        assert!(!one.is_live() && one.bridges()[0].bus == ["bms"] && one.bridges()[0].baud == 2_000_000);
        let two = config(&format!("{{ several = [\"live\", {bridge}] }}")).unwrap().source;
        assert!(two.is_live() && two.bridges().len() == 1);
        for (source, expected) in [
            (r#"{ bridge = { device = "ttyAMA1", bus = "bms" } }"#, "no line"),
            (r#"{ bridge = { device = "/dev/x", bus = 7 } }"#, "the name of a bus, or a list"),
            (r#"{ bridge = { device = "/dev/x", bus = [] } }"#, "1 to 31 buses"),
            (r#"{ bridge = { device = "/dev/x", bus = "b", baud = 300 } }"#, "`baud`"),
            (r#"{ several = ["live", { log = { path = "x" } }] }"#, "bridges only"),
        ] {
            let error = format!("{:#}", config(source).unwrap_err());
            assert!(error.contains(expected), "{source}: {error}");
        }
    }
}
