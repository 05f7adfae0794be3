//! `telltale reload` and `telltale log-level`: what changes a running agent.

use crate::command::status::Place;
use crate::control::{self, Request};
use crate::logging;
use std::io::{self, Write as _};

const RELOAD_HELP: &str = "\
Reads the configuration, the catalog, the models and the certificates again, as SIGHUP does. Only when all of it has been
found sound is the pipeline changed, between two frames; else the old one goes on and the reason is told here, in the
log and in a record. Models that stay keep their windows and what they hold of their subjects. `vehicle`, `source`,
`spool`, `control`, `metrics` and the catalog's buses can't change without a restart; the answer names them.";

#[derive(clap::Args)]
#[command(after_help = RELOAD_HELP)]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args)]
pub(crate) struct LogLevelArgs {
    /// A level, levels of modules, or both: `info,telltale_agent::uplink=debug`
    level: String,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn reload(args: &ReloadArgs) -> anyhow::Result<()> {
    let summary = control::ask(&args.place.socket()?, &Request::Reload)?;
    writeln!(io::stdout().lock(), "reloaded: {}", summary.as_str().unwrap_or_default())?;
    Ok(())
}

pub(crate) fn log_level(args: &LogLevelArgs) -> anyhow::Result<()> {
    logging::filter(&args.level)?;
    control::ask(&args.place.socket()?, &Request::LogLevel(args.level.clone()))?;
    Ok(())
}
