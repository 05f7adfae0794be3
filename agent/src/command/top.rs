//! `telltale top`: the running agent on one screen.

use crate::command::status::Place;
use crate::top;
use std::io::{self, Write as _};
use std::time::Duration;

const HELP: &str = "\
Buses, signals, models with their scores, spool and uplink, asked again and again over the agent's control socket. Keys:
q ends it, the arrows scroll the signals, a shows only those without a usable value. With --once one frame is printed as
text, for scripts and reports.

Example:
  telltale top --socket /run/telltale/control.sock
  ssh -L ./vehicle.sock:/run/telltale/control.sock VEHICLE -N & telltale top --socket vehicle.sock";

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Print one frame as text and stop
    #[arg(long)]
    once: bool,
    /// Seconds between two looks
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u16).range(1..=3600))]
    refresh: u16,
    /// Columns of the frame that --once prints
    #[arg(long, default_value = "120", requires = "once", value_parser = clap::value_parser!(u16).range(40..=400))]
    width: u16,
    /// Lines of the frame that --once prints
    #[arg(long, default_value = "36", requires = "once", value_parser = clap::value_parser!(u16).range(20..=400))]
    height: u16,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn main(args: &Args) -> anyhow::Result<()> {
    let socket = args.place.socket()?;
    if args.once {
        let frame = top::once(&socket, args.width, args.height)?;
        return Ok(io::stdout().lock().write_all(frame.as_bytes())?);
    }
    top::live(&socket, Duration::from_secs(u64::from(args.refresh)))
}
