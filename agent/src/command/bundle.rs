//! `telltale bundle`: a model's folder made into what travels to vehicles.

#![allow(clippy::print_stdout, reason = "a command's output room")]

use super::bundle_seal::SealArgs;
use crate::campaign::Campaign;
use crate::{golden, load};
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use telltale_infer::Shape;
use telltale_seal::read_content_key;
use telltale_trust::{Floors, Folder, Identity, Roots, Stick, Verifier};
use telltale_wire::bundle::{AgentVersion, Budget, BundleName, CONFIGURATION, HardwareId};
use telltale_wire::ids::VehicleId;
use telltale_wire::time::WallTime;
use telltale_workbench::bundle::{
    Built, Bundle, ConfigurationOptions, Examined, Options, build, build_configuration, difference,
};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Build a bundle of a model's folder; the same folder and options give the same bytes
    Build(BuildArgs),
    /// Build a bundle of a configuration: a signal catalog with its DBC files, a campaign, or both
    Configuration(ConfigurationArgs),
    /// Say what is in a bundle
    Show {
        /// The index: FOLDER/index/FAMILY/NAME-RELEASE.index
        index: PathBuf,
    },
    /// Say what a vehicle that holds one bundle fetches of another
    Diff {
        /// The index that the vehicle holds
        old: PathBuf,
        /// The index that it shall have
        new: PathBuf,
    },
    /// Hold every chunk of a bundle against its index; with --stick, all of a USB stick as a vehicle does
    Verify(VerifyArgs),
}

/// What every bundle is built with.
#[derive(clap::Args)]
pub(crate) struct ReleaseArgs {
    /// The folder to write to
    #[arg(short, long)]
    output: PathBuf,
    /// The release counter: one more than the family's newest
    #[arg(long = "release", value_name = "RELEASE")]
    number: u32,
    /// Hardware that it was tested on; may be given several times
    #[arg(long, required = true)]
    hardware: Vec<HardwareId>,
    /// The oldest agent that takes it
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    min_agent: AgentVersion,
    #[command(flatten)]
    seal: SealArgs,
}

const BUILD_HELP: &str = "\
Writes index/FAMILY/NAME-RELEASE.index and chunk/DIGEST below the output folder, where several releases share what they
have in common. Then: telltale-cloud repository add --from DIR FAMILY/NAME-RELEASE.index

Example:
  telltale bundle build models/cell-fault -o bundles --release 7 --hardware bench-a
  telltale bundle build models/cell-fault -o bundles --release 8 --hardware bench-a --seal";

#[derive(clap::Args)]
#[command(after_help = BUILD_HELP)]
pub(crate) struct BuildArgs {
    /// The model's folder: model.toml and what it names, golden.toml, CARD.md, and a catalog for the units
    model: PathBuf,
    #[command(flatten)]
    release: ReleaseArgs,
    /// The family [default: the model's name]
    #[arg(long)]
    family: Option<BundleName>,
    /// The longest inference that it may take, in microseconds
    #[arg(long, default_value_t = 50_000)]
    latency_us: u32,
    /// The most memory that loading it may add, in bytes
    #[arg(long, default_value_t = 8 << 20)]
    memory_bytes: u32,
    /// By how many int8 steps an output may differ from its golden vector
    #[arg(long, default_value_t = 0)]
    golden_tolerance: u8,
    /// Who answers for it
    #[arg(long)]
    author: Option<String>,
    /// Data that it was trained on, to be named by digest; may be given several times
    #[arg(long)]
    data: Vec<PathBuf>,
}

const CONFIGURATION_HELP: &str = "\
A configuration is signed, rolled out, tried and rolled back like a model, in a family of its own: `configuration`.

Example of a campaign; what it leaves out stays as the vehicle's own configuration has it:
  schema = 1
  name = \"cells-in-the-cold\"
  summary_s = 30
  bus_statistics_s = 60
  [snapshot]
  before_s = 120
  after_s = 60
  per_hour = 12
  signals = [\"Vehicle.Powertrain.TractionBattery.*\"]

Example:
  telltale bundle configuration --name winter --version 1.2.0 --release 4 --hardware bench-a \\
    --catalog catalog.toml --campaign campaign.toml -o bundles";

#[derive(clap::Args)]
#[command(after_help = CONFIGURATION_HELP)]
pub(crate) struct ConfigurationArgs {
    /// Its name
    #[arg(long)]
    name: BundleName,
    /// Its version, for people
    #[arg(long)]
    version: String,
    /// The signal catalog; the DBC files that it names lie relative to it
    #[arg(long, required_unless_present = "campaign")]
    catalog: Option<PathBuf>,
    /// The campaign: what is collected, and when
    #[arg(long)]
    campaign: Option<PathBuf>,
    #[command(flatten)]
    release: ReleaseArgs,
}

const VERIFY_HELP: &str = "\
Examples:
  telltale bundle verify bundles/index/cell-fault/cell-fault-7.index
  telltale bundle verify --stick /media/usb --roots roots --vehicle bench-01 --hardware bench-a

The folder of --roots holds director.json and image.json: the roots that the vehicle was built with.";

#[derive(clap::Args)]
#[command(after_help = VERIFY_HELP)]
pub(crate) struct VerifyArgs {
    /// The index: FOLDER/index/FAMILY/NAME-RELEASE.index
    #[arg(required_unless_present = "stick", conflicts_with = "stick")]
    index: Option<PathBuf>,
    /// The content key of a sealed bundle: its parts are opened too
    #[arg(long, value_name = "FILE", conflicts_with = "stick")]
    content_key: Option<PathBuf>,
    /// A stick: the folder with director/, image/, index/ and chunk/
    #[arg(long, requires_all = ["roots", "vehicle", "hardware"])]
    stick: Option<PathBuf>,
    /// The folder of the vehicle's roots
    #[arg(long)]
    roots: Option<PathBuf>,
    /// The vehicle
    #[arg(long, value_parser = vehicle)]
    vehicle: Option<VehicleId>,
    /// Its hardware
    #[arg(long)]
    hardware: Option<HardwareId>,
}

fn vehicle(text: &str) -> Result<VehicleId, String> {
    VehicleId::new(text).map_err(|error| error.to_string())
}

pub(crate) fn main(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Build(args) => make(args),
        Command::Configuration(args) => configure(args),
        Command::Show { index } => show(&Bundle::open(&index)?),
        Command::Diff { old, new } => diff(&Bundle::open(&old)?, &Bundle::open(&new)?),
        Command::Verify(args) => verify(args),
    }
}

fn make(args: BuildArgs) -> anyhow::Result<()> {
    let name = match &args.family {
        Some(family) => family.to_string(),
        None => load::manifest(&args.model)?.1.name,
    };
    let options = Options {
        content_key: args.release.seal.key(&name, &args.release.output)?,
        family: args.family,
        release: args.release.number,
        hardware: args.release.hardware,
        min_agent: args.release.min_agent,
        budget: Budget { latency_us: args.latency_us, memory_bytes: args.memory_bytes },
        golden_tolerance: args.golden_tolerance,
        author: args.author,
        data: args.data,
        examine,
    };
    told(&build(&args.model, &args.release.output, &options)?);
    Ok(())
}

/// Runs the model on its golden vectors, as the vehicle will.
fn examine(model: &Examined<'_>) -> Result<(), String> {
    let shape = |subjects| Shape {
        channels: model.features.features.len(),
        subjects,
        output_channel: model.manifest.output.channel,
    };
    golden::check(model.golden, model.onnx, shape, model.tolerance).map(|_| ())
}

fn configure(args: ConfigurationArgs) -> anyhow::Result<()> {
    if let Some(path) = &args.campaign {
        Campaign::parse(&load::read_text(path)?).with_context(|| format!("{}", path.display()))?;
    }
    let options = ConfigurationOptions {
        content_key: args.release.seal.key(CONFIGURATION, &args.release.output)?,
        name: args.name,
        version: args.version,
        catalog: args.catalog,
        campaign: args.campaign,
        release: args.release.number,
        hardware: args.release.hardware,
        min_agent: args.release.min_agent,
    };
    told(&build_configuration(&args.release.output, &options)?);
    Ok(())
}

fn told(built: &Built) {
    let (path, chunks) = (built.index.path(), built.index.chunks.len());
    println!("{path}: {} bytes in {chunks} chunks, {} of them new", built.index.length(), built.new_chunks);
    println!("sha256 {}", telltale_wire::digest::Digest::of(&built.bytes));
}

fn show(bundle: &Bundle) -> anyhow::Result<()> {
    let index = &bundle.index;
    let hardware: Vec<&str> = index.hardware.iter().map(HardwareId::as_str).collect();
    println!("{}  version {}, for {}", index.path(), index.version, hardware.join(", "));
    println!("index     {} bytes, sha256 {}", bundle.index_length, bundle.digest);
    println!("agent     {} or newer", index.min_agent);
    println!("features  {}", index.features);
    println!("budget    {} us, {} bytes", index.budget.latency_us, index.budget.memory_bytes);
    println!("golden    within {} steps", index.golden_tolerance);
    for need in &index.needs {
        println!("needs     {} in {}", need.vss, need.unit);
    }
    for place in index.places() {
        println!(
            "part      {:10} {:>9} bytes, {} chunks",
            place.kind.as_str(),
            place.length,
            place.chunks.len()
        );
    }
    if let Some(seal) = &index.seal {
        println!("sealed    scheme {}, content key {}", seal.scheme, seal.key_id);
    }
    println!("all       {} bytes in chunks of {}", index.length(), index.chunk_size());
    Ok(())
}

fn diff(old: &Bundle, new: &Bundle) -> anyhow::Result<()> {
    let difference = difference(old, new);
    println!("{} -> {}", old.index.path(), new.index.path());
    println!("index      {:>9} bytes", difference.index);
    for part in &difference.parts {
        let name = part.kind.as_str();
        println!("{name:10} {:>9} of {} bytes, {} chunks", part.bytes, part.length, part.chunks);
    }
    let (bytes, whole) = (difference.bytes(), difference.whole());
    println!("to fetch   {bytes:>9} of {whole} bytes ({:.1} %)", 100.0 * bytes as f64 / whole as f64);
    Ok(())
}

fn verify(args: VerifyArgs) -> anyhow::Result<()> {
    let (Some(stick), Some(roots), Some(vehicle), Some(hardware)) =
        (args.stick, args.roots, args.vehicle, args.hardware)
    else {
        let bundle = Bundle::open(&args.index.context("give an index or --stick")?)?;
        let key = args.content_key.as_deref().map(read_content_key).transpose()?;
        bundle.verify(key.as_ref())?;
        let opened = match (&bundle.index.seal, &key) {
            (None, _) => "",
            (Some(_), None) => ", sealed: not looked into",
            (Some(_), Some(_)) => ", sealed, each opens",
        };
        println!("{}: whole, {} chunks{opened}", bundle.index.path(), bundle.index.chunks.len());
        return Ok(());
    };
    let read = |name: &str| {
        let path = roots.join(name);
        std::fs::read(&path).with_context(|| format!("can't read {}", path.display()))
    };
    let roots = Roots { director: read("director.json")?, image: read("image.json")? };
    stick_verified(&stick, roots, Identity { vehicle, hardware })
}

/// As a vehicle that knows nothing but its roots would.
fn stick_verified(path: &Path, roots: Roots, identity: Identity) -> anyhow::Result<()> {
    let kept = Scratch::new();
    let mut verifier = Verifier::open(&kept.0, roots, identity)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let now = WallTime(i64::try_from(now.as_micros()).context("the clock stands far ahead")?);
    let (director, image) = (Folder::new(path.join("director")), Folder::new(path.join("image")));
    let floors = Floors::new();
    let check = verifier.check(Arc::new(director), Arc::new(image), Some(now), &floors);
    let answer = runtime.block_on(check)?;
    let stick = Stick::new(path);
    for offer in &answer.offers {
        let bytes = stick.index(offer.path())?.with_context(|| format!("{} is not there", offer.path()))?;
        let index = offer.index(&bytes)?;
        for chunk in index.chunks() {
            let bytes =
                stick.chunk(&chunk)?.with_context(|| format!("chunk {} is not there", chunk.digest))?;
            index.check_chunk(chunk.number, &bytes)?;
        }
        println!("{}: signed by both repositories, whole, {} chunks", offer.path(), index.chunks.len());
    }
    for (path, refusal) in &answer.refused {
        println!("{path}: refused: {refusal}");
    }
    anyhow::ensure!(answer.refused.is_empty(), "the vehicle would refuse {} targets", answer.refused.len());
    Ok(())
}

/// A folder for what the verifier keeps, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("telltale-verify-{}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
