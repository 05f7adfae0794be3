//! `telltale bus`: a profile of a vehicle type's clean traffic, and recordings held against it.

use crate::load;
use crate::source::{LogSource, Pace, Source as _, SourceEvent};
use anyhow::{Context as _, bail, ensure};
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use telltale_core::clock::ClockAnchor;
use telltale_core::frame::{BusId, CanFrame};
use telltale_core::intrusion::family::{Family, evidence};
use telltale_core::intrusion::profile::document;
use telltale_core::intrusion::{Detector, Learner, Profile, Reading, Rule, Second, SecondSpec};
use telltale_workbench::feature_table::{FeatureTable, Provenance};

const LEARN_HELP: &str = "\
Reads clean recordings of one vehicle type twice, and writes what is known of each identifier of each bus: when it
comes, how its payload moves, which parities of its bits (counters, checksums, CRCs) always held, and who follows whom.
--verify names other clean recordings: what they contradict is widened or dropped, and nothing new is learned of them.
The buses are those of the catalog; without one, --bus names the logs' channels.

Example:
  telltale bus learn --bus can0 --name v40 clean-1.log clean-2.log --verify clean-3.log -o v40.profile.toml";

const FEATURES_HELP: &str = "\
One row a second and bus that spoke: `window`, `end_us` (the log's clock; microseconds since 1970 where the log has wall
time), `subject` (the bus among the profile's, from 1), a column a feature as the model takes it, `rule` (1 where the
rule beside the model of --model speaks, else 0) and `family` (0 flood, 1 unknown identifier, 2 fuzzing, 3 replay, 4 suppression,
5 masquerade, 6 other). Seconds in which nothing is judged yet have nulls.

Example:
  telltale bus features --bus can0 --profile v40.profile.toml --spec models/bus-intrusion/features.toml drive.log -o x.parquet";

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Learn the profile of a vehicle type's buses from clean recordings
    #[command(after_help = LEARN_HELP)]
    Learn(LearnArgs),
    /// Compute from recordings what the intrusion model sees of each second, as a Parquet file
    #[command(after_help = FEATURES_HELP)]
    Features(FeaturesArgs),
    /// Hold recordings against a profile by the rule alone, and tell what is odd about which identifiers
    ///
    /// `telltale replay --intrusion MODEL --profile PROFILE` runs the model, as the vehicle does.
    Score(ScoreArgs),
}

/// Which channels of the logs are which buses.
#[derive(clap::Args)]
struct Buses {
    /// The signal catalog, for its buses
    #[arg(long, conflicts_with = "bus", required_unless_present = "bus")]
    catalog: Option<PathBuf>,
    /// A channel of the logs that is a bus, and its name in the profile; may be given several times
    #[arg(long)]
    bus: Vec<String>,
}

#[derive(clap::Args)]
pub(crate) struct LearnArgs {
    #[command(flatten)]
    buses: Buses,
    /// What the profile calls the vehicle type
    #[arg(long, default_value = "vehicle")]
    name: String,
    /// Clean recordings to learn from
    #[arg(required = true)]
    logs: Vec<PathBuf>,
    /// Another clean recording; may be given several times
    #[arg(long)]
    verify: Vec<PathBuf>,
    /// The profile to write
    #[arg(short, long)]
    output: PathBuf,
}

#[derive(clap::Args)]
struct Held {
    #[command(flatten)]
    buses: Buses,
    /// The profile of `telltale bus learn`
    #[arg(long)]
    profile: PathBuf,
    /// The logs, one after another
    #[arg(required = true)]
    logs: Vec<PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct FeaturesArgs {
    #[command(flatten)]
    held: Held,
    /// The feature specification, of kind `bus-second`
    #[arg(long)]
    spec: PathBuf,
    /// The folder of the model whose rule fills the column `rule`
    #[arg(long)]
    model: Option<PathBuf>,
    /// The Parquet file to write
    #[arg(short, long)]
    output: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct ScoreArgs {
    #[command(flatten)]
    held: Held,
    /// The folder of the model whose rule it is
    #[arg(long, default_value = "models/bus-intrusion")]
    model: PathBuf,
    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// Room for the frames of one read.
const BATCH: usize = 256;
/// Lines of odd seconds that are told; the rest is counted.
const MOST_LINES: usize = 1_000;

pub(crate) fn main(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Learn(args) => learn(args),
        Command::Features(args) => features(args),
        Command::Score(args) => score(args),
    }
}

fn learn(args: &LearnArgs) -> anyhow::Result<()> {
    let buses = args.buses.resolve()?;
    let mut learner = Learner::new(&buses.names);
    let mut frames = 0;
    for (reading, logs) in
        [(Reading::First, &args.logs), (Reading::Second, &args.logs), (Reading::Verify, &args.verify)]
    {
        for log in logs {
            // Each recording by itself: between two of them no interval means anything.
            learner.begin(reading);
            frames += read(&buses, std::slice::from_ref(log), |frame, _| {
                learner.take(frame);
                Ok(())
            })?;
        }
    }
    for (place, name) in buses.names.iter().enumerate() {
        let surplus = learner.surplus(BusId(place as u8));
        ensure!(
            surplus == 0,
            "bus {name} has more identifiers than the 512 that a profile holds ({surplus} frames had others): \
             is the recording clean?"
        );
    }
    let profiles = learner.profiles();
    if profiles.is_empty() {
        bail!(
            "no bus spoke for two whole seconds on {}: --bus names the logs' channels as they stand there",
            buses.names.join(", ")
        );
    }
    let text = document(&args.name, &profiles);
    let profile = Profile::parse(&text, "the profile")?;
    std::fs::write(&args.output, &text).with_context(|| format!("can't write {}", args.output.display()))?;
    for bus in &profile.buses {
        let periodic = bus.ids.iter().filter(|id| id.timing.is_some()).count();
        let checked = bus.ids.iter().filter(|id| !id.checks.is_empty()).count();
        log::info!(
            "bus {}: {} identifiers, {periodic} of them periodic, {checked} with counters or checksums; {} seconds, \
             {} to {} frames each",
            bus.name,
            bus.ids.len(),
            bus.seconds,
            bus.frames_per_s[0],
            bus.frames_per_s[1]
        );
    }
    log::info!("{frames} frames read; profile {} in {}", profile.digest.short(), args.output.display());
    Ok(())
}

fn features(args: &FeaturesArgs) -> anyhow::Result<()> {
    let spec = SecondSpec::parse(&load::read_text(&args.spec)?, &args.spec.display().to_string())?;
    let profile = args.held.profile()?;
    let mut names: Vec<String> = spec.features.iter().map(|feature| feature.name.clone()).collect();
    names.extend(["rule".into(), "family".into()]);
    let made_by = Provenance { spec: spec.digest, catalog: profile.digest };
    let mut table = FeatureTable::create(&args.output, &names, &made_by)?;
    let mut values = vec![0.0f32; names.len()];
    let mut rows = 0u64;
    let judged = spec.features.len();
    let rule = args.model.as_deref().map(load::rule).transpose()?;
    args.held.hold(&profile, |end_us, subject, second| {
        second.row(&spec, &mut values[..judged]);
        values[judged] = rule.map_or(0.0, |rule| rule.score(second));
        let family = Family::of(second);
        values[judged + 1] = Family::ALL.iter().position(|known| *known == family).unwrap_or_default() as f32;
        let row: Vec<Option<f32>> = values.iter().map(|value| second.is_judged().then_some(*value)).collect();
        rows += 1;
        Ok(table.push(end_us, rows - 1, subject as u16 + 1, &row)?)
    })?;
    table.finish().with_context(|| format!("can't complete {}", args.output.display()))?;
    log::info!("{rows} seconds in {}", args.output.display());
    Ok(())
}

fn score(args: &ScoreArgs) -> anyhow::Result<()> {
    let profile = args.held.profile()?;
    let rule: Rule = load::rule(&args.model)?;
    let mut out = io::stdout().lock();
    let (mut judged, mut odd) = (0u64, 0u64);
    let mut families: BTreeMap<&str, u64> = BTreeMap::new();
    let names: Vec<String> = args.held.buses.resolve()?.names;
    let watched: Vec<String> = Detector::new(&profile, &names)?.subjects().map(Into::into).collect();
    args.held.hold(&profile, |end_us, subject, second| {
        judged += u64::from(second.is_judged());
        if !second.is_judged() || rule.score(second) < 1.0 {
            return Ok(());
        }
        odd += 1;
        *families.entry(Family::of(second).as_str()).or_default() += 1;
        if !args.json && odd <= MOST_LINES as u64 {
            let told: Vec<String> = evidence(second)
                .iter()
                .map(|e| format!("{} {} (clean: {})", e.what, e.value, e.reference))
                .collect();
            writeln!(out, "{:.3}  {}  {}", end_us as f64 / 1e6, watched[subject], told.join("; "))?;
        }
        Ok(())
    })?;
    if args.json {
        let told = serde_json::json!({ "seconds": judged, "odd": odd, "families": families });
        writeln!(out, "{told}")?;
    } else {
        let kinds: Vec<String> = families.iter().map(|(name, count)| format!("{count} {name}")).collect();
        writeln!(out, "{odd} of {judged} seconds are odd by the rule: {}", kinds.join(", "))?;
    }
    Ok(())
}

/// The buses' names by [`BusId`], and which channel is which.
struct Resolved {
    names: Vec<String>,
    catalog: Option<telltale_core::catalog::Catalog>,
}

impl Resolved {
    fn bus_of(&self, channel: &str) -> BusId {
        match &self.catalog {
            Some(catalog) => catalog.bus_of_channel(channel),
            None => {
                let place = self.names.iter().position(|name| name == channel);
                place.map_or(BusId::UNMAPPED, |place| BusId(place as u8))
            }
        }
    }
}

impl Buses {
    fn resolve(&self) -> anyhow::Result<Resolved> {
        let catalog = self.catalog.as_deref().map(load::catalog).transpose()?;
        let names = match &catalog {
            Some(catalog) => catalog.buses.iter().map(|bus| bus.name.clone()).collect(),
            None => self.bus.clone(),
        };
        Ok(Resolved { names, catalog })
    }
}

impl Held {
    fn profile(&self) -> anyhow::Result<Profile> {
        load::profile(&self.profile)
    }

    /// Hands over each second that a bus spoke in, with its end on the log's clock.
    fn hold(
        &self,
        profile: &Profile,
        mut row: impl FnMut(i64, usize, &Second) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let buses = self.buses.resolve()?;
        let mut detector = Detector::new(profile, &buses.names)?;
        read(&buses, &self.logs, |frame, anchor| {
            let mut outcome = Ok(());
            detector.advance(frame.at, |end, seconds| {
                let end_us = anchor.map_or(end.as_micros() as i64, |a| a.wall_at(end).as_unix_micros());
                if outcome.is_ok() {
                    outcome = seconds.heard().try_for_each(|(subject, second)| row(end_us, subject, second));
                }
            });
            detector.saw(frame);
            outcome
        })?;
        Ok(())
    }
}

/// Reads logs one after another; gives how many frames they had.
fn read<P: AsRef<Path>>(
    buses: &Resolved,
    logs: &[P],
    mut take: impl FnMut(&CanFrame, Option<ClockAnchor>) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let mut source = LogSource::open(logs, None, Pace::AsFastAsPossible, |channel| buses.bus_of(channel))?;
    let mut frames: Vec<CanFrame> = Vec::with_capacity(BATCH);
    loop {
        match source.next(&mut frames, Duration::ZERO)? {
            SourceEvent::End => break,
            SourceEvent::Idle | SourceEvent::Frames(_) => {}
        }
        let anchor = source.anchor();
        frames.iter().try_for_each(|frame| take(frame, anchor))?;
    }
    let report = source.report();
    report.notes.iter().for_each(|note| log::warn!("{note}"));
    Ok(report.frames)
}
