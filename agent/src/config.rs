//! The agent's configuration file.

use crate::control;
use crate::load;
use crate::source::Pace;
use anyhow::Context as _;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::path::{Path, PathBuf};
use std::time::Duration;
use telltale_wire::ids::VehicleId;

/// A commented configuration, as `telltale run --example-config` prints it.
pub const EXAMPLE: &str = include_str!("../telltale.example.toml");

/// What `telltale run` needs to know. Paths are relative to the file that holds it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The vehicle's identity; the certificate must name the same.
    pub vehicle: VehicleId,
    /// The signal catalog.
    pub catalog: PathBuf,
    /// The folders of the models to run.
    #[serde(default)]
    pub models: Vec<PathBuf>,
    /// Where frames come from.
    #[serde(default)]
    pub source: SourceConfig,
    /// How often a summary is recorded.
    #[serde(default = "default_summary")]
    pub summary_s: u32,
    /// How often the agent records its own health.
    #[serde(default = "default_status")]
    pub status_s: u32,
    /// The durable store.
    pub spool: SpoolSettings,
    /// The cloud. Without it, records stay on board.
    pub uplink: Option<UplinkSettings>,
    /// The control socket.
    #[serde(default)]
    pub control: ControlSettings,
}

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
}

/// The durable store.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpoolSettings {
    /// Its folder; made if it does not exist. One agent at a time may use it.
    pub dir: PathBuf,
    /// The most that all lanes together keep, in MiB.
    #[serde(default = "default_cap")]
    pub cap_mib: u32,
}

/// The control socket.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlSettings {
    /// Its path; `control.sock` in the spool's folder if it is not given, and no socket if it is empty.
    pub socket: Option<PathBuf>,
}

/// The cloud.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UplinkSettings {
    /// Its address, `https://host:port`.
    pub url: String,
    /// The authority that signed the server's certificate, PEM.
    pub ca: PathBuf,
    /// The vehicle's certificate, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

const fn fastest() -> Pace {
    Pace::AsFastAsPossible
}

fn pace<'de, D: Deserializer<'de>>(from: D) -> Result<Pace, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

const fn default_summary() -> u32 {
    60
}

const fn default_status() -> u32 {
    300
}

const fn default_cap() -> u32 {
    64
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// With file, line and column, and what would be right.
    pub fn read(path: &Path) -> anyhow::Result<Config> {
        let text = load::read_text(path)?;
        let mut config = Config::parse(&text).with_context(|| format!("{}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.resolve(folder);
        Ok(config)
    }

    fn parse(text: &str) -> anyhow::Result<Config> {
        let config: Config = toml::from_str(text)?;
        let periods = 1..=86_400;
        anyhow::ensure!(periods.contains(&config.summary_s), "`summary_s` is to be 1 to 86400 seconds");
        anyhow::ensure!(periods.contains(&config.status_s), "`status_s` is to be 1 to 86400 seconds");
        anyhow::ensure!(
            (16..=65_536).contains(&config.spool.cap_mib),
            "`spool.cap_mib` is to be 16 to 65536"
        );
        Ok(config)
    }

    fn resolve(&mut self, folder: &Path) {
        let place = |path: &mut PathBuf| *path = folder.join(&*path);
        place(&mut self.catalog);
        self.models.iter_mut().for_each(place);
        place(&mut self.spool.dir);
        if let SourceConfig::Log { path, .. } = &mut self.source
            && path.as_os_str() != "-"
        {
            place(path);
        }
        if let Some(socket) = self.control.socket.as_mut().filter(|path| !path.as_os_str().is_empty()) {
            place(socket);
        }
        if let Some(uplink) = &mut self.uplink {
            [&mut uplink.ca, &mut uplink.cert, &mut uplink.key].into_iter().for_each(place);
        }
    }

    /// Where the control socket is; `None` if there is to be none.
    #[must_use]
    pub fn control_socket(&self) -> Option<PathBuf> {
        match &self.control.socket {
            None => Some(self.spool.dir.join(control::DEFAULT_NAME)),
            Some(path) if path.as_os_str().is_empty() => None,
            Some(path) => Some(path.clone()),
        }
    }

    /// How much time one summary covers.
    #[must_use]
    pub fn summary_period(&self) -> Duration {
        Duration::from_secs(u64::from(self.summary_s))
    }

    /// How much time lies between two status records.
    #[must_use]
    pub fn status_period(&self) -> Duration {
        Duration::from_secs(u64::from(self.status_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_configuration() {
        let config = Config::parse(EXAMPLE).unwrap();
        assert!(matches!(config.source, SourceConfig::Live));
        assert!(config.uplink.is_some());
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let mut config = Config::parse(
            r#"
            vehicle = "v1"
            catalog = "c.toml"
            models = ["/abs/m"]
            source = { log = { path = "-", pace = "60" } }
            spool = { dir = "spool" }
            "#,
        )
        .unwrap();
        config.resolve(Path::new("/etc/telltale"));
        assert_eq!(config.catalog, Path::new("/etc/telltale/c.toml"));
        assert_eq!(config.models, [PathBuf::from("/abs/m")]);
        assert!(matches!(&config.source, SourceConfig::Log { path, .. } if path == Path::new("-")));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, expected) in [
            ("vehicle = \"../x\"\n", "a vehicle id has 1 to 64"),
            ("vehicle = \"v\"\ncatlog = \"c\"\n", "unknown field `catlog`"),
            ("vehicle = \"v\"\ncatalog = \"c\"\n", "missing field `spool`"),
            ("vehicle = \"v\"\ncatalog = \"c\"\nsummary_s = 0\nspool = { dir = \"s\" }\n", "`summary_s`"),
        ] {
            let error = format!("{:#}", Config::parse(text).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
