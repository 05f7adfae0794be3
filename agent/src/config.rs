//! The agent's configuration file.

mod snapshot;
mod update;

pub use snapshot::SnapshotSettings;
pub use update::{StageSettings, UpdateSettings};

use crate::check;
use crate::control;
use crate::load;
use crate::source::{Pace, Place};
use anyhow::Context as _;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use telltale_core::spool::{DropPolicy, SpoolConfig};
use telltale_core::uplink::BudgetConfig;
use telltale_wire::bridge::SENSOR_CHANNEL;
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
    /// What is kept and sent around a moment.
    #[serde(default)]
    pub snapshot: SnapshotSettings,
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

/// The durable store.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpoolSettings {
    /// Its folder; made if it does not exist. One agent at a time may use it.
    pub dir: PathBuf,
    /// The most that all lanes together keep, in MiB.
    #[serde(default = "default_cap")]
    pub cap_mib: u32,
    /// What goes when a lane reaches its cap.
    #[serde(default)]
    pub drop: DropSettings,
}

/// What goes when a lane reaches its cap. The critical lane always drops its oldest records.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropSettings {
    /// Boots and health.
    #[serde(default)]
    pub status: DropSetting,
    /// Periodic summaries.
    #[serde(default)]
    pub summary: DropSetting,
    /// Snapshots.
    #[serde(default)]
    pub bulk: DropSetting,
}

/// One lane's policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DropSetting {
    /// The oldest records go.
    #[default]
    Oldest,
    /// New records are turned away.
    Newest,
    /// The oldest segments go, except each n-th, 2 to 1000.
    Thin(u32),
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

/// What the agent may take of the machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// How long one inference may take, in milliseconds.
    pub inference_ms: u32,
    /// The process's nice level, 0 to 19.
    pub nice: u8,
    /// Beyond so much memory the agent warns, in MiB; `None` for no limit.
    pub memory_mib: Option<u32>,
    /// Beyond so much of one processor, over a status period, the agent warns, in percent; `None` for no limit.
    pub cpu_percent: Option<u32>,
}

impl Default for LimitSettings {
    fn default() -> LimitSettings {
        LimitSettings { inference_ms: 1_000, nice: 0, memory_mib: None, cpu_percent: None }
    }
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
    /// The most bytes in any 24 hours on the line, both directions, TLS included. Critical records always go, and count.
    pub bytes_per_day: Option<u64>,
    /// The most of `bytes_per_day` that each lane may take.
    #[serde(default)]
    pub share_percent: ShareSettings,
}

/// The most of the byte budget that each lane may take, in percent; together they may be more than 100.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShareSettings {
    /// Boots and health.
    pub status: u8,
    /// Periodic summaries.
    pub summary: u8,
    /// Snapshots.
    pub bulk: u8,
}

impl Default for ShareSettings {
    fn default() -> Self {
        Self { status: 100, summary: 100, bulk: 100 }
    }
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
    fn check(&self) -> anyhow::Result<()> {
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

const fn default_summary() -> u32 {
    60
}

const fn default_status() -> u32 {
    300
}

const fn default_cap() -> u32 {
    64
}

/// The parser's words, and what was probably meant.
fn with_hint(error: toml::de::Error) -> anyhow::Error {
    match check::hint(error.message()) {
        Some(hint) => anyhow::anyhow!("{}; {hint}", error.to_string().trim_end()),
        None => error.into(),
    }
}

impl UplinkSettings {
    fn check(&self) -> anyhow::Result<()> {
        let budgets = BudgetConfig::MIN..=BudgetConfig::MAX;
        anyhow::ensure!(
            self.bytes_per_day.is_none_or(|bytes| budgets.contains(&bytes)),
            "`uplink.bytes_per_day` is to be {} to {}; leave it out for no bound",
            budgets.start(),
            budgets.end()
        );
        let ShareSettings { status, summary, bulk } = self.share_percent;
        let shares_well = [status, summary, bulk].into_iter().all(|percent| (1..=100).contains(&percent));
        anyhow::ensure!(shares_well, "the shares in `uplink.share_percent` are to be 1 to 100");
        Ok(())
    }

    /// The byte budget, if there is one.
    #[must_use]
    pub fn budget(&self) -> Option<BudgetConfig> {
        let ShareSettings { status, summary, bulk } = self.share_percent;
        let shares = [100, status, summary, bulk];
        self.bytes_per_day.map(|bytes_per_day| BudgetConfig { bytes_per_day, shares })
    }
}

impl SpoolSettings {
    /// How the cap is shared among the lanes: an eighth for what is critical, a thirty-second for status, a quarter
    /// for summaries, and the rest for bulk.
    #[must_use]
    pub fn spool(&self) -> SpoolConfig {
        let cap = u64::from(self.cap_mib) * 1024 * 1024;
        let (critical, status, summary) = (cap / 8, cap / 32, cap / 4);
        let DropSettings { status: drop_status, summary: drop_summary, bulk: drop_bulk } = self.drop;
        SpoolConfig {
            lane_caps: [critical, status, summary, cap - critical - status - summary],
            drop: [DropSetting::Oldest, drop_status, drop_summary, drop_bulk].map(DropSetting::policy),
            ..SpoolConfig::default()
        }
    }
}

impl DropSetting {
    const fn policy(self) -> DropPolicy {
        match self {
            Self::Oldest => DropPolicy::Oldest,
            Self::Newest => DropPolicy::Newest,
            Self::Thin(n) => DropPolicy::Thin(n),
        }
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
        anyhow::ensure!(
            periods.contains(&config.bus.statistics_s),
            "`bus.statistics_s` is to be 1 to 86400 seconds"
        );
        anyhow::ensure!(
            (16..=65_536).contains(&config.spool.cap_mib),
            "`spool.cap_mib` is to be 16 to 65536"
        );
        let limits = &config.limits;
        anyhow::ensure!(
            (1..=60_000).contains(&limits.inference_ms),
            "`limits.inference_ms` is to be 1 to 60000"
        );
        anyhow::ensure!(limits.nice <= 19, "`limits.nice` is to be 0 to 19");
        anyhow::ensure!(
            limits.memory_mib.is_none_or(|mib| mib >= 8),
            "`limits.memory_mib` is to be 8 or more: the agent itself takes that"
        );
        anyhow::ensure!(
            limits.cpu_percent.is_none_or(|percent| (1..=10_000).contains(&percent)),
            "`limits.cpu_percent` is to be 1 to 10000 (of one processor)"
        );
        let DropSettings { status, summary, bulk } = config.spool.drop;
        for policy in [status, summary, bulk] {
            let thins_well = !matches!(policy, DropSetting::Thin(n) if !(2..=1_000).contains(&n));
            anyhow::ensure!(thins_well, "`thin` in `spool.drop` is to be 2 to 1000: each n-th segment stays");
        }
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
        if let Some(update) = &mut self.update {
            update.places().into_iter().for_each(place);
        }
        if let Some(uplink) = &mut self.uplink {
            [&mut uplink.ca, &mut uplink.cert, &mut uplink.key].into_iter().for_each(place);
        }
    }

    /// How long one inference may take.
    #[must_use]
    pub fn inference_budget(&self) -> Duration {
        Duration::from_millis(u64::from(self.limits.inference_ms))
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
    fn budget_and_drop_policies_are_read_and_old_files_have_none() {
        let text = |spool: &str, uplink: &str| {
            let paths = "url = \"https://h\"\nca = \"a\"\ncert = \"c\"\nkey = \"k\"";
            format!(
                "vehicle = \"v\"\ncatalog = \"c\"\n[spool]\ndir = \"s\"\n{spool}\n[uplink]\n{paths}\n{uplink}\n"
            )
        };
        let old = Config::parse(&text("", "")).unwrap();
        assert_eq!(old.uplink.unwrap().budget(), None);
        assert_eq!(old.spool.spool().drop, [DropPolicy::Oldest; 4]);
        let drop = "drop = { status = \"newest\", summary = { thin = 4 } }";
        let budget = "bytes_per_day = 5000000\nshare_percent = { bulk = 30 }";
        let new = Config::parse(&text(drop, budget)).unwrap();
        let shares = [100, 100, 100, 30];
        assert_eq!(new.uplink.unwrap().budget(), Some(BudgetConfig { bytes_per_day: 5_000_000, shares }));
        let expected = [DropPolicy::Oldest, DropPolicy::Newest, DropPolicy::Thin(4), DropPolicy::Oldest];
        assert_eq!(new.spool.spool().drop, expected);
        for (spool, uplink, expected) in [
            ("drop = { summary = { thin = 1 } }", "", "2 to 1000"),
            ("drop = { critical = \"newest\" }", "", "unknown field `critical`"),
            ("", "bytes_per_day = 10", "65536 to"),
            ("", "share_percent = { bulk = 101 }", "1 to 100"),
        ] {
            let error = format!("{:#}", Config::parse(&text(spool, uplink)).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
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
