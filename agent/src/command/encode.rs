//! `telltale encode`: a CSV recording onto CAN.

use crate::load;
use anyhow::{Context as _, bail};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::PathBuf;
use telltale_core::dbc::Database;
use telltale_workbench::channel::Channel;
use telltale_workbench::encode::{self, ColumnMap};

const HELP: &str = "\
The inverse of decoding: each row becomes one frame of every message that the column map feeds, as candump text, so
that old tables replay through the decoder that runs in the vehicle. The column map says which column is the time,
and which columns are which signals (models/cell-fault/columns-car2.toml is a commented one).

Example:
  telltale encode --dbc bms.dbc --columns columns.toml drive.csv -o drive.log";

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The DBC file to encode by
    #[arg(long)]
    dbc: PathBuf,
    /// The column map
    #[arg(long)]
    columns: PathBuf,
    /// The recording; its first line is the header
    recording: PathBuf,
    /// The channel name in the output
    #[arg(long, default_value = "can0")]
    channel: Channel,
    /// A file instead of standard output
    #[arg(short, long)]
    output: Option<PathBuf>,
}

pub(crate) fn main(args: &Args) -> anyhow::Result<()> {
    let (database, diagnostics) =
        Database::parse(load::read_dbc(&args.dbc)?, &args.dbc.display().to_string());
    diagnostics.iter().for_each(|d| log::warn!("{d}"));
    if database.messages.is_empty() {
        bail!("{} holds no message: is it a DBC file?", args.dbc.display());
    }
    let map = ColumnMap::parse(&load::read_text(&args.columns)?, &args.columns.display().to_string())?;
    let origin = args.recording.display().to_string();
    let recording =
        BufReader::new(File::open(&args.recording).with_context(|| format!("can't open {origin}"))?);
    let write = |mut out: &mut dyn Write| {
        encode::encode(recording, &origin, &database, &map, &args.channel, &mut out)
    };
    let encoded = match &args.output {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("can't create {}", path.display()))?;
            write(&mut BufWriter::new(file))
                .with_context(|| format!("can't encode into {}", path.display()))?
        }
        None => write(&mut BufWriter::new(io::stdout().lock()))?,
    };
    log::info!(
        "{} rows became {} frames; {} cells had no value, {} lay beyond their signal, {} messages were left out, \
         {} times repeated and {} stepped back",
        encoded.rows,
        encoded.frames,
        encoded.missing,
        encoded.beyond,
        encoded.left_out,
        encoded.repeated,
        encoded.stepped_back
    );
    Ok(())
}
