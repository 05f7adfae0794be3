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
when the log has been judged and every record has been acknowledged. SIGHUP has it read its configuration again, as
`telltale reload` does (`telltale reload --help` says what that can change).

Under systemd (Type=notify-reload): it tells READY=1, STATUS=, RELOADING=1 and STOPPING=1, and feeds a watchdog
(WatchdogSec=) only while the capture thread and the store's thread make progress. Its log goes to standard error, for
the journal with priorities instead of times.

While it runs: `telltale status`, `telltale top`, `telltale log-level`, and metrics if the configuration asks for them.

Exit status: 0 it ended as it was asked to, 1 it could not run or go on (the last line of the log says why), 2 wrong usage.

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
