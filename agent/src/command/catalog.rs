//! `telltale catalog`: a first catalog from DBC files, and a check of one.

use crate::load;
use anyhow::bail;
use std::io::{self, Write};
use std::path::PathBuf;
use telltale_core::catalog::{self, Catalog};
use telltale_core::dbc::Database;

const INIT_HELP: &str = "\
Prints a catalog with every signal of the DBC files, commented. Cut it down to what models and rules need, give the
signals their COVESA VSS paths, and tighten ranges. Write it beside the DBC files: it names them relative to itself.

Example:
  telltale catalog init --dbc pcan.dbc --dbc ccan.dbc > catalog.toml";

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Print a first catalog for DBC files, one bus a file
    #[command(after_help = INIT_HELP)]
    Init {
        /// A DBC file; give it once a bus
        #[arg(long, required = true)]
        dbc: Vec<PathBuf>,
    },
    /// Check a catalog and its DBC files; exit status 1 if it can't be used
    Check {
        /// The catalog
        catalog: PathBuf,
    },
}

pub(crate) fn main(command: &Command) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match command {
        Command::Init { dbc } => {
            let mut databases = Vec::new();
            for path in dbc {
                let bytes = load::read_dbc(path)?;
                let origin = path.display().to_string();
                let (database, diagnostics) = Database::parse(&bytes, &origin);
                diagnostics.iter().for_each(|d| log::warn!("{d}"));
                if database.messages.is_empty() {
                    bail!("{origin} holds no message: is it a DBC file?");
                }
                databases.push(database);
            }
            write!(out, "{}", catalog::init(&databases))?;
        }
        Command::Check { catalog: path } => {
            let catalog: Catalog = load::catalog(path)?;
            catalog.diagnostics.iter().try_for_each(|d| writeln!(out, "{d}"))?;
            writeln!(
                out,
                "{}: {} signals on {} buses, digest {}",
                path.display(),
                catalog.signals.len(),
                catalog.buses.len(),
                catalog.digest()
            )?;
        }
    }
    Ok(())
}
