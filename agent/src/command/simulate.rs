//! `telltale simulate`: a vehicle without a vehicle, as candump text.

use anyhow::{Context as _, bail};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;
use telltale_sil::{CellNumber, Fault, Options};
use telltale_workbench::channel::Channel;
use telltale_workbench::simulate;

const HELP: &str = "\
A pack of 96 cells behind its battery management system, on seeded trips with gaps between. It speaks
models/cell-fault/bms.dbc. One seed gives one recording, to the byte, on every machine.

Examples:
  telltale simulate --seed 2 --hours 6 --fault cell-drift --cell 42 -o drive.log
  telltale simulate --hours 1 --speed 60 | telltale replay --catalog models/cell-fault/catalog-sim.toml -";

/// What is wrong with the simulated pack.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FaultKind {
    /// Nothing
    None,
    /// A cell's open-circuit voltage falls away from the pack's
    CellDrift,
    /// A resistance inside a cell drains it
    InternalShort,
    /// A cell's resistance grows, as with a corroded connector
    HighResistance,
}

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Everything that is drawn follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulated hours, parked time included
    #[arg(long, default_value_t = 4.0)]
    hours: f64,
    /// What is wrong with one cell
    #[arg(long, value_enum, default_value = "none")]
    fault: FaultKind,
    /// Which cell, 1 to 96
    #[arg(long, default_value_t = 42)]
    cell: usize,
    /// When the fault starts, in minutes
    #[arg(long, default_value_t = 30.0)]
    onset_minutes: f64,
    /// Its size: mV an hour (cell-drift, default 55), ohm (internal-short, 20), factor (high-resistance, 3)
    #[arg(long)]
    severity: Option<f64>,
    /// How many times real time to go; as fast as possible without it
    #[arg(long)]
    speed: Option<f64>,
    /// The channel name in the output
    #[arg(long, default_value = "can0")]
    channel: Channel,
    /// A file instead of standard output
    #[arg(short, long)]
    output: Option<PathBuf>,
}

pub(crate) fn main(args: &Args) -> anyhow::Result<()> {
    let options = options(args)?;
    let write = |mut out: &mut dyn Write| simulate::run(&options, &args.channel, args.speed, &mut out);
    let written = match &args.output {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("can't create {}", path.display()))?;
            write(&mut BufWriter::new(file)).with_context(|| format!("can't write {}", path.display()))?
        }
        None => write(&mut BufWriter::new(io::stdout().lock()))?,
    };
    log::info!(
        "{} frames of {:.1} simulated hours",
        written.frames,
        written.simulated.as_secs_f64() / 3_600.0
    );
    Ok(())
}

fn options(args: &Args) -> anyhow::Result<Options> {
    if let Some(speed) = args.speed
        && !(speed > 0.0 && speed.is_finite())
    {
        bail!("--speed {speed}: a factor above 0, such as 60");
    }
    let duration = Duration::try_from_secs_f64(args.hours * 3_600.0)
        .with_context(|| format!("--hours {}: a number of hours from 0", args.hours))?;
    Ok(Options { seed: args.seed, duration, fault: fault(args)?, ..Options::default() })
}

fn fault(args: &Args) -> anyhow::Result<Fault> {
    let cell = CellNumber::new(args.cell)
        .with_context(|| format!("--cell {}: the pack has cells 1 to 96", args.cell))?;
    let onset_s = args.onset_minutes * 60.0;
    let size = |default: f64| args.severity.unwrap_or(default);
    let positive = |x: f64| x > 0.0 && x.is_finite();
    if !onset_s.is_finite() || onset_s < 0.0 || args.severity.is_some_and(|s| !positive(s)) {
        bail!("--onset-minutes takes a number from 0, --severity one above 0");
    }
    Ok(match args.fault {
        FaultKind::None => Fault::None,
        FaultKind::CellDrift => Fault::CellDrift { cell, onset_s, mv_per_hour: size(55.0) },
        FaultKind::InternalShort => Fault::InternalShort { cell, onset_s, ohm: size(20.0) },
        FaultKind::HighResistance => Fault::HighResistance { cell, onset_s, factor: size(3.0) },
    })
}
