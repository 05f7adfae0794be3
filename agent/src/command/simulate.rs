//! `telltale simulate`: a vehicle without a vehicle, as candump text.
#![allow(clippy::print_stdout)]

use anyhow::{Context as _, bail};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use telltale_sil::{EXAMPLE, KINDS, KindInfo, Spec, Vehicle, truth};
use telltale_workbench::channel::Channel;
use telltale_workbench::simulate::{self, Written};

const HELP: &str = "\
A pack of 96 cells behind its battery management system, a powertrain, a driver and a road. It speaks
models/cell-fault/bms.dbc and, with --powertrain, cross/sil/powertrain.dbc on a second bus. One seed gives one
recording, to the byte, on every machine.

Examples:
  telltale simulate --seed 2 --hours 6 --fault cell-drift:cell=42 -o drive.log
  telltale simulate --fault weak-contactor --fault missing-ecu:onset=600,for=60 --powertrain can1 --truth truth.json
  telltale simulate --hours 1 --speed 60 | telltale replay --catalog models/cell-fault/catalog-sim.toml -";

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Everything that is drawn follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulated hours, parked time included [default: 4]
    #[arg(long)]
    hours: Option<f64>,
    /// What fails: KIND[:key=value,...], any number of times; see --list-faults
    #[arg(long, value_name = "FAULT")]
    fault: Vec<String>,
    /// The cell of each --fault that befalls a cell and names none
    #[arg(long)]
    cell: Option<usize>,
    /// When each --fault starts that does not say so, in minutes [default: 30]
    #[arg(long)]
    onset_minutes: Option<f64>,
    /// A vehicle in TOML; what stands on the command line wins
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    /// Where to write what was made to fail, in JSON
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Where to write what each cell is at the start, by age and temperature, in JSON: capacity and resistances
    #[arg(long, value_name = "FILE")]
    cells: Option<PathBuf>,
    /// Where to write how far each drive went and what it took, in JSON
    #[arg(long, value_name = "FILE")]
    journeys: Option<PathBuf>,
    /// How many times real time to go; as fast as possible without it
    #[arg(long)]
    speed: Option<f64>,
    /// The BMS's channel in the output
    #[arg(long, default_value = "can0")]
    channel: Channel,
    /// Add the powertrain's bus, under this channel [default with a --spec that has it: can1]
    #[arg(long, value_name = "CHANNEL")]
    powertrain: Option<Channel>,
    /// A file instead of standard output
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// List the faults, their targets and sizes
    #[arg(long)]
    list_faults: bool,
    /// Print a commented --spec with every setting at its default
    #[arg(long)]
    example_spec: bool,
}

pub(crate) fn main(args: &Args) -> anyhow::Result<()> {
    if args.list_faults {
        KINDS.iter().for_each(print_kind);
        return Ok(());
    }
    if args.example_spec {
        print!("{EXAMPLE}");
        return Ok(());
    }
    if let Some(speed) = args.speed
        && !(speed > 0.0 && speed.is_finite())
    {
        bail!("--speed {speed}: a factor above 0, such as 60");
    }
    let spec = spec(args)?;
    let mut vehicle = Vehicle::new(&spec, args.seed).context("cannot simulate this vehicle")?;
    if let Some(path) = &args.truth {
        document(path, &truth(&spec)?)?;
    }
    if let Some(path) = &args.cells {
        document(path, &vehicle.cells())?;
    }
    let written = match &args.output {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("can't create {}", path.display()))?;
            write(args, &mut vehicle, &mut BufWriter::new(file))
                .with_context(|| format!("can't write {}", path.display()))?
        }
        None => write(args, &mut vehicle, &mut BufWriter::new(io::stdout().lock()))
            .context("can't write to standard output")?,
    };
    if let Some(path) = &args.journeys {
        document(path, &vehicle.journeys())?;
    }
    let (hours, took) = (written.simulated.as_secs_f64() / 3_600.0, written.took.as_secs_f64());
    let factor = 3_600.0 * hours / took.max(1e-9);
    log::info!(
        "{} frames of {hours:.1} simulated hours in {took:.2} s: {factor:.0} times real time",
        written.frames
    );
    Ok(())
}

/// Writes what is true of the recording, in JSON.
fn document(path: &Path, truth: &impl serde::Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(truth)?;
    fs::write(path, text + "\n").with_context(|| format!("can't write {}", path.display()))
}

fn write(args: &Args, vehicle: &mut Vehicle, out: &mut impl Write) -> anyhow::Result<Written> {
    let second = args.powertrain.clone().map_or_else(|| "can1".parse(), Ok)?;
    Ok(simulate::run(vehicle, [&args.channel, &second], args.speed, out)?)
}

fn spec(args: &Args) -> anyhow::Result<Spec> {
    let mut spec = args.spec.as_deref().map_or_else(|| Ok(Spec::default()), read)?;
    spec.hours = args.hours.unwrap_or(spec.hours);
    spec.powertrain |= args.powertrain.is_some();
    for text in args.fault.iter().filter(|text| *text != "none") {
        spec.faults.push(completed(text, args.cell, args.onset_minutes));
    }
    Ok(spec)
}

fn read(path: &Path) -> anyhow::Result<Spec> {
    let text = fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    Spec::parse(&text).with_context(|| format!("{} is no vehicle", path.display()))
}

/// The fault with what the other options say of it. A part that is written twice holds as written last.
fn completed(text: &str, cell: Option<usize>, onset_minutes: Option<f64>) -> String {
    let (name, settings) = text.split_once(':').unwrap_or((text, ""));
    let takes_cell = KINDS.iter().any(|kind| kind.name == name && kind.targets.contains(&"cell"));
    let cell = cell.filter(|_| takes_cell).map(|cell| format!("cell={cell},")).unwrap_or_default();
    let onset = onset_minutes.map(|minutes| format!("onset={},", minutes * 60.0)).unwrap_or_default();
    format!("{name}:{cell}{onset}{settings}")
}

fn print_kind(kind: &KindInfo) {
    let (size, low, high) = kind.sizes;
    println!("{:<16} {}", kind.name, kind.about);
    println!(
        "{:<16} target {} (default {}), {} = {size} ({low} to {high})",
        "",
        kind.targets.join("=, ") + "=",
        kind.target,
        kind.size
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_complete_the_faults_that_need_it() {
        assert_eq!(completed("cell-drift", Some(7), Some(5.0)), "cell-drift:cell=7,onset=300,");
        assert_eq!(completed("can-flood:rate=5", Some(7), None), "can-flood:rate=5");
        let written = completed("cell-drift:cell=9", Some(7), None);
        let fault: telltale_sil::Fault = written.parse().unwrap();
        assert_eq!(fault.target.to_string(), "Cell9", "what a fault says itself wins");
    }
}
