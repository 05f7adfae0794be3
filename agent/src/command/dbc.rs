//! `telltale dbc check`: loads DBC files tolerantly and lists what is odd about them.

use crate::load;
use anyhow::bail;
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;
use telltale_core::dbc::{Database, Severity};

const CHECK_HELP: &str = "\
A DBC file is loaded as far as it can be; what had to be dropped or read in another way is listed as
`file:line: severity: message`. Exit status 1 if a file could not be loaded at all, or with --strict if there
is any warning.";

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Load DBC files and list what is odd about them
    #[command(after_help = CHECK_HELP)]
    Check {
        /// The files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Fail on warnings too
        #[arg(long)]
        strict: bool,
        /// One JSON object a file
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct FileReport {
    file: String,
    loaded: bool,
    messages: usize,
    signals: usize,
    diagnostics: Vec<String>,
}

pub(crate) fn main(command: &Command) -> anyhow::Result<()> {
    let Command::Check { files, strict, json } = command;
    let mut out = io::stdout().lock();
    let (mut failed, mut warned) = (0, 0);
    for path in files {
        let bytes = load::read_dbc(path)?;
        let (database, diagnostics) = Database::parse(&bytes, &path.display().to_string());
        let loaded =
            !database.messages.is_empty() || !diagnostics.iter().any(|d| d.severity == Severity::Error);
        failed += usize::from(!loaded);
        warned += diagnostics.iter().filter(|d| d.severity >= Severity::Warning).count();
        let report = FileReport {
            file: path.display().to_string(),
            loaded,
            messages: database.messages.len(),
            signals: database.messages.iter().map(|m| m.signals.len()).sum(),
            diagnostics: diagnostics.iter().map(ToString::to_string).collect(),
        };
        if *json {
            serde_json::to_writer(&mut out, &report)?;
            writeln!(out)?;
        } else {
            report.diagnostics.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            writeln!(out, "{}: {} messages, {} signals", report.file, report.messages, report.signals)?;
        }
    }
    if failed > 0 {
        bail!("{failed} of {} DBC files could not be loaded", files.len());
    }
    if *strict && warned > 0 {
        bail!("{warned} warnings, and --strict was asked for");
    }
    Ok(())
}
