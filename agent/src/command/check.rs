//! `telltale check`: everything that can be found wrong before the agent starts.

use crate::check::Check;
use anyhow::bail;
use std::io::{self, Write as _};
use std::path::PathBuf;
use telltale_core::dbc::Severity;

const HELP: &str = "\
Reads the configuration and all that it names: catalog and DBC files, models, certificates (and until when they hold),
the spool's folder and disk, interfaces. Each finding is one line with file and line, and a hint below it where there is
one. Exit status 1 if the agent could not run with it.

Example:
  telltale check --config telltale.toml";

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The configuration
    #[arg(long, default_value = "/etc/telltale/telltale.toml")]
    config: PathBuf,
}

pub(crate) fn main(args: &Args) -> anyhow::Result<()> {
    let findings = Check::run(&args.config);
    let mut out = io::stdout().lock();
    findings.iter().try_for_each(|finding| writeln!(out, "{finding}"))?;
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    if errors > 0 {
        bail!("{}: {errors} errors, {warnings} warnings", args.config.display());
    }
    writeln!(out, "{}: ok, {warnings} warnings", args.config.display())?;
    Ok(())
}
