//! The agent's configuration file.

mod bridge;
mod intrusion;
mod limits;
mod snapshot;
mod source;
mod spool;
mod trip;
mod update;
mod uplink;

pub use bridge::BridgeSettings;
pub use intrusion::IntrusionSettings;
pub use limits::LimitSettings;
pub use snapshot::SnapshotSettings;
pub use source::SourceConfig;
pub use spool::{DropSetting, DropSettings, SpoolSettings};
pub use trip::{RangeSettings, TripSettings};
pub(crate) use update::CONFIGURATION_LOOKS;
pub use update::{StageSettings, UpdateSettings};
pub use uplink::{ShareSettings, UplinkSettings};

use crate::check;
use crate::control;
use crate::load;
use anyhow::Context as _;
use serde::Deserialize;
use std::net::SocketAddr;
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
    /// The buses as a whole.
    #[serde(default)]
    pub bus: BusSettings,
    /// The durable store.
    pub spool: SpoolSettings,
    /// The cloud. Without it, records stay on board.
    pub uplink: Option<UplinkSettings>,
    /// Models over the air. Without it, the configured models run.
    pub update: Option<UpdateSettings>,
    /// What watches the buses. Without it, nothing does.
    pub intrusion: Option<IntrusionSettings>,
    /// What is kept and sent around a moment.
    #[serde(default)]
    pub snapshot: SnapshotSettings,
    /// Trips.
    #[serde(default)]
    pub trip: TripSettings,
    /// The range that remains. Without it it is not estimated.
    pub range: Option<RangeSettings>,
    /// What the drive is made of. Without it its condition is not followed.
    pub condition: Option<PathBuf>,
    /// The control socket.
    #[serde(default)]
    pub control: ControlSettings,
    /// What the agent may take of the machine.
    #[serde(default)]
    pub limits: LimitSettings,
    /// The log.
    #[serde(default)]
    pub log: LogSettings,
    /// Figures for a monitoring system.
    #[serde(default)]
    pub metrics: MetricsSettings,
}

/// The buses as a whole.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BusSettings {
    /// How often the statistics of each bus are recorded.
    pub statistics_s: u32,
    /// What of the live buses is heard.
    pub listen: Listen,
    /// What happens to a controller that is bus-off.
    pub restart: Restart,
    /// The interfaces without which the agent does not start.
    pub required: Vec<String>,
}

impl Default for BusSettings {
    fn default() -> Self {
        BusSettings {
            statistics_s: 300,
            listen: Listen::Catalog,
            restart: Restart::Never,
            required: Vec::new(),
        }
    }
}

/// What of the live buses is heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Listen {
    /// The messages of the catalog; the kernel drops the others.
    Catalog,
    /// Everything, so that unknown identifiers are counted.
    All,
}

/// What happens to a controller that is bus-off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Restart {
    /// The agent restarts it, with growing pauses, where the kernel does not do it by itself.
    Auto,
    /// The agent leaves it alone.
    Never,
}

/// The control socket.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlSettings {
    /// Its path; `control.sock` in the spool's folder if it is not given, and no socket if it is empty.
    pub socket: Option<PathBuf>,
}

/// The log.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// A level, levels of modules, or both: `info,telltale_agent::uplink=debug`.
    pub level: String,
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings { level: "info".into() }
    }
}

/// Figures for a monitoring system.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsSettings {
    /// Where Prometheus may scrape, `address:port`; nowhere if it is not given.
    pub listen: Option<SocketAddr>,
}

const fn default_summary() -> u32 {
    60
}

const fn default_status() -> u32 {
    300
}

/// The parser's words, and what was probably meant.
fn with_hint(error: toml::de::Error) -> anyhow::Error {
    match check::hint(error.message()) {
        Some(hint) => anyhow::anyhow!("{}; {hint}", error.to_string().trim_end()),
        None => error.into(),
    }
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

    pub(crate) fn parse(text: &str) -> anyhow::Result<Config> {
        let config: Config = toml::from_str(text).map_err(with_hint)?;
        let periods = 1..=86_400;
        config.source.check()?;
        anyhow::ensure!(periods.contains(&config.summary_s), "`summary_s` is to be 1 to 86400 seconds");
        anyhow::ensure!(periods.contains(&config.status_s), "`status_s` is to be 1 to 86400 seconds");
        config.snapshot.check()?;
        config.trip.check()?;
        config.range.as_ref().map_or(Ok(()), RangeSettings::check)?;
        anyhow::ensure!(
            periods.contains(&config.bus.statistics_s),
            "`bus.statistics_s` is to be 1 to 86400 seconds"
        );
        config.limits.check()?;
        config.spool.check()?;
        if let Some(uplink) = &config.uplink {
            uplink.check()?;
        }
        if let Some(update) = &config.update {
            update.check()?;
        }
        Ok(config)
    }

    fn resolve(&mut self, folder: &Path) {
        let place = |path: &mut PathBuf| *path = folder.join(&*path);
        place(&mut self.catalog);
        self.models.iter_mut().chain(&mut self.condition).for_each(place);
        self.range.iter_mut().for_each(|range| place(&mut range.model));
        self.intrusion
            .iter_mut()
            .for_each(|watch| [&mut watch.model, &mut watch.profile].into_iter().for_each(place));
        place(&mut self.spool.dir);
        if let SourceConfig::Log { path, .. } = &mut self.source
            && path.as_os_str() != "-"
        {
            place(path);
        }
        if let Some(socket) = self.control.socket.as_mut().filter(|path| !path.as_os_str().is_empty()) {
            place(socket);
        }
        if let Some(update) = &mut self.update {
            update.places().for_each(place);
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

    /// How much time lies between two statistics of a bus.
    #[must_use]
    pub fn bus_period(&self) -> Duration {
        Duration::from_secs(u64::from(self.bus.statistics_s))
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
            ("vehicle = \"v\"\ncatlog = \"c\"\n", "did you mean `catalog`?"),
            ("vehicle = \"v\"\ncatalog = \"c\"\n", "missing field `spool`"),
            ("vehicle = \"v\"\ncatalog = \"c\"\nsummary_s = 0\nspool = { dir = \"s\" }\n", "`summary_s`"),
        ] {
            let error = format!("{:#}", Config::parse(text).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
