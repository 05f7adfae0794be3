//! `telltale-cloud command`: asks one vehicle's agent for something.

use super::person::{By, Db, print, print_json, table};
use crate::sync::now;
use anyhow::{Result, anyhow};
use clap::{Args, Subcommand, ValueEnum};
use telltale_wire::desired::{
    AHEAD_DECICELSIUS, Ahead, Command, Feature, FeatureSwitch, Installed, LogLevel, ModelSwitch, Pin,
    RoadClass, Rollback, SnapshotNow,
};
use telltale_wire::digest::Digest;
use telltale_wire::ids::VehicleId;
use telltale_wire::time::WallTime;

const HOUR_US: i64 = 3_600_000_000;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  telltale-cloud command --db fleet.db --by ann --why 'odd cell 42' bench-01 snapshot --before-s 60 --after-s 10
  telltale-cloud command --db fleet.db --by ann bench-01 log-level info,telltale_agent::uplink=debug
  telltale-cloud command --db fleet.db --by ann --why 'bad release' bench-01 rollback cell-fault 3
  telltale-cloud command --db fleet.db --by ann --why 'costs too many bytes' bench-01 feature statistics off
  telltale-cloud command --db fleet.db --by ann bench-01 ahead --temperature-c -5 --road motorway --hours 12
  telltale-cloud command --db fleet.db bench-01 list

A command is signed by the director, obeyed once, and acknowledged. None reaches an actuator. It is void after --hours.")]
pub(super) struct CommandArgs {
    #[command(flatten)]
    db: Db,
    #[command(flatten)]
    by: By,
    /// For how many hours it may be obeyed.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=24 * 90))]
    hours: u32,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// The vehicle's id.
    #[arg(value_parser = super::vehicle_id)]
    vehicle: VehicleId,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the vehicle's commands and what became of them.
    List,
    /// Log at these levels until the next start.
    LogLevel {
        /// Such as info,telltale_agent::uplink=debug.
        filter: String,
    },
    /// Take a snapshot of the buses.
    Snapshot {
        /// How far back, in seconds.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=3_600))]
        before_s: u32,
        /// How far ahead, in seconds.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=3_600))]
        after_s: u32,
    },
    /// Switch a part of the agent off or on; it stays so over starts.
    Feature {
        /// Which: snapshots, statistics, models, updates, metrics or campaign.
        #[arg(value_parser = feature)]
        feature: Feature,
        /// Off or on.
        state: Switch,
    },
    /// Let a model run or not; the catalog's limits speak for one that does not.
    Model {
        /// Its name.
        model: String,
        /// Off or on.
        state: Switch,
    },
    /// Keep a model family at what it runs.
    Pin {
        /// The family.
        family: String,
    },
    /// Let a pinned family follow what is offered again.
    Unpin {
        /// The family.
        family: String,
    },
    /// Go back to the model before.
    Rollback {
        /// The family.
        family: String,
        /// Only if this release is the committed one.
        release: u32,
    },
    /// Decode by an installed signal catalog.
    Catalog {
        /// Its SHA-256, 64 hexadecimal digits.
        #[arg(value_parser = digest)]
        digest: Digest,
    },
    /// Foretell the range with what lies ahead, for some hours; it changes nothing else.
    Ahead {
        /// The air outside, in degrees Celsius.
        #[arg(long, allow_negative_numbers = true, value_parser = decicelsius)]
        temperature_c: Option<i16>,
        /// The road: urban, suburban, rural or motorway. How fast and with how many stops, the vehicle's model says.
        #[arg(long, value_parser = road)]
        road: Option<RoadClass>,
        /// For how many hours from now on.
        #[arg(long = "hours", id = "ahead_hours", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=24 * 7))]
        hours: u32,
        /// Take it back before its end.
        #[arg(long, conflicts_with_all = ["temperature_c", "road"], required_unless_present_any = ["temperature_c", "road"])]
        none: bool,
    },
    /// Run an installed campaign.
    Campaign {
        /// Its SHA-256, 64 hexadecimal digits.
        #[arg(value_parser = digest)]
        digest: Digest,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Switch {
    Off,
    On,
}

impl CommandArgs {
    pub(super) async fn run(self) -> Result<()> {
        let store = self.db.open().await?;
        let now = now();
        let hours = self.what.hours().unwrap_or(self.hours);
        let expires = WallTime(now.0 + i64::from(hours) * HOUR_US);
        let Some(command) = self.what.command(&self.by.why, expires) else {
            let commands = store.commands(self.vehicle.as_str(), now).await?;
            if self.json {
                return print_json(&commands);
            }
            let row = |line: crate::store::ota::CommandLine| {
                vec![line.id.to_string(), line.created, line.who, line.what, line.outcome, line.told]
            };
            let rows: Vec<_> = commands.into_iter().map(row).collect();
            return print(&table(&["command", "asked", "by", "what", "outcome", "told"], &rows));
        };
        let name = self.by.name();
        let id = store.command(&self.vehicle, &command, (&name, &self.by.why), expires, now).await?;
        if self.json {
            return print_json(&serde_json::json!({ "command": id, "vehicle": self.vehicle.as_str() }));
        }
        print(&format!("command {id} for {}, to be obeyed before {expires}\n", self.vehicle))
    }
}

impl What {
    /// For how many hours it may be obeyed, where it says so itself.
    const fn hours(&self) -> Option<u32> {
        match self {
            Self::Ahead { hours, .. } => Some(*hours),
            _ => None,
        }
    }

    fn command(&self, why: &str, expires: WallTime) -> Option<Command> {
        Some(match self {
            Self::List => return None,
            Self::LogLevel { filter } => Command::LogLevel(LogLevel { filter: filter.clone() }),
            Self::Snapshot { before_s, after_s } => Command::Snapshot(SnapshotNow {
                before_ms: before_s * 1_000,
                after_ms: after_s * 1_000,
                why: why.to_owned(),
            }),
            Self::Feature { feature, state } => {
                Command::Feature(FeatureSwitch { feature: *feature, on: matches!(state, Switch::On) })
            }
            Self::Model { model, state } => {
                Command::Model(ModelSwitch { model: model.clone(), on: matches!(state, Switch::On) })
            }
            Self::Pin { family } => Command::Pin(Pin { family: family.clone(), pinned: true }),
            Self::Unpin { family } => Command::Pin(Pin { family: family.clone(), pinned: false }),
            Self::Rollback { family, release } => {
                Command::Rollback(Rollback { family: family.clone(), release: *release })
            }
            Self::Ahead { temperature_c, road, .. } => {
                Command::Ahead(Ahead { until: expires, decicelsius: *temperature_c, road: *road })
            }
            Self::Catalog { digest } => Command::Catalog(Installed { digest: *digest }),
            Self::Campaign { digest } => Command::Campaign(Installed { digest: *digest }),
        })
    }
}

fn feature(name: &str) -> Result<Feature> {
    let names = Feature::ALL.map(Feature::name);
    Feature::ALL
        .into_iter()
        .find(|feature| feature.name() == name)
        .ok_or_else(|| anyhow!("there is no part `{name}`: one of {}", names.join(", ")))
}

fn road(name: &str) -> Result<RoadClass> {
    let names = RoadClass::ALL.map(RoadClass::name);
    RoadClass::ALL
        .into_iter()
        .find(|road| road.name() == name)
        .ok_or_else(|| anyhow!("there is no road `{name}`: one of {}", names.join(", ")))
}

/// Tenths of a degree.
fn decicelsius(text: &str) -> Result<i16> {
    let [coldest, warmest] = AHEAD_DECICELSIUS.map(|tenths| f64::from(tenths) / 10.0);
    let celsius: f64 = text.parse()?;
    anyhow::ensure!(
        (coldest..=warmest).contains(&celsius),
        "a temperature is to be {coldest} to {warmest} degrees Celsius"
    );
    Ok((celsius * 10.0).round() as i16)
}

/// A SHA-256 from its hexadecimal digits.
pub(crate) fn digest(text: &str) -> Result<Digest> {
    let wrong = || anyhow!("a digest has 64 hexadecimal digits");
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2).ok_or_else(wrong)?, 16)?;
    }
    Ok(Digest(bytes))
}
