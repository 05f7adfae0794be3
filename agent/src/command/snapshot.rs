//! `telltale snapshot`: asks the running agent to send what stood on the buses around now.

use crate::command::status::Place;
use crate::control::{self, Request, SnapshotOrder};
use std::io::{self, Write as _};

const HELP: &str = "\
The agent keeps the last frames of its catalog in memory. This sends those around now to the cloud, sample by sample as
they stood on the bus; the vehicle's page lists it when the time after it has passed and the vehicle has synced. What
the ring does not reach back to is said there. The settings ([snapshot]) stand for what is not given, and hold the rate.

Example:
  telltale snapshot --note \"noise from the rear\" --before 120 --after 10
  telltale snapshot --signals 'Vehicle.Powertrain.TractionBattery.*'";

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Seconds before now, 3600 at most
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=3600))]
    before: Option<u32>,
    /// Seconds after now, 3600 at most
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=3600))]
    after: Option<u32>,
    /// Signals by their VSS paths, or the beginning of some and `*`; may be given several times
    #[arg(long)]
    signals: Vec<String>,
    /// What it is for: stands on the page
    #[arg(long, default_value = "")]
    note: String,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn main(args: &Args) -> anyhow::Result<()> {
    let order = SnapshotOrder {
        before_s: args.before,
        after_s: args.after,
        signals: args.signals.clone(),
        note: args.note.clone(),
    };
    let answer = control::ask(&args.place.socket()?, &Request::Snapshot(order))?;
    let number = answer["number"].as_u64().unwrap_or_default();
    let told = if answer["merged"] == true {
        format!("it falls into snapshot {number}, which is under way and now lasts longer\n")
    } else {
        format!("snapshot {number} has begun\n")
    };
    Ok(io::stdout().lock().write_all(told.as_bytes())?)
}
