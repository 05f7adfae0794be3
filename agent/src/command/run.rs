//! `telltale run`: the agent itself.

use crate::agent;
use crate::config::{Config, EXAMPLE};
use crate::logging;
use anyhow::Context as _;
use std::io::{self, Write};
use std::path::PathBuf;

const HELP: &str = "\
Reads frames, judges them on board, keeps every record durable and syncs it to the cloud. SIGTERM and SIGINT end it
cleanly: what is in flight is made durable first, and is synced at the next start. With a log as its source it ends
when the log has been judged and every record has been acknowledged.

Example:
  telltale run --example-config > telltale.toml
  telltale run --config telltale.toml";

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The configuration
    #[arg(long, default_value = "/etc/telltale/telltale.toml")]
    config: PathBuf,
    /// Check the configuration, the catalog and the models, and stop
    #[arg(long)]
    check: bool,
    /// Print a commented configuration and stop
    #[arg(long, conflicts_with_all = ["config", "check"])]
    example_config: bool,
}

pub(crate) fn main(args: &Args, level_asked: bool) -> anyhow::Result<()> {
    if args.example_config {
        io::stdout().lock().write_all(EXAMPLE.as_bytes())?;
        return Ok(());
    }
    let config = Config::read(&args.config).context("the configuration can't be used")?;
    if !level_asked {
        logging::change(&config.log.level)
            .with_context(|| format!("{}: `log.level`", args.config.display()))?;
    }
    let agent = agent::Agent::prepare(config)?;
    if args.check {
        writeln!(io::stdout().lock(), "{}: ok", args.config.display())?;
        return Ok(());
    }
    agent.run(&args.config)
}
