//! The command line: what it offers, and how an error reaches a person.

use crate::{command, logging};
use anyhow::Context as _;
use clap::{Parser, Subcommand};
use std::io;
#[cfg(feature = "workbench")]
use std::io::Write as _;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  telltale catalog init --dbc car.dbc > catalog.toml     a first catalog, to be cut down by hand
  telltale replay --catalog catalog.toml drive.log       what a recording says
  telltale run --config telltale.toml                    the agent: a live bus, verdicts, sync
  telltale status                                        what the running agent holds

Exit status: 0 success, 1 failure (the last line of standard error says what, on what, and what to do),
2 wrong usage. Log lines go to standard error; RUST_LOG=debug or -v shows more of them.";

/// An edge inference agent for vehicles: CAN in, int8 models on board, verdicts and summaries out.
#[derive(Parser)]
#[command(name = "telltale", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    /// Say more (-v debug, -vv trace)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Say only errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the agent: read a bus or a log, judge, keep records durable, sync them to the cloud
    Run(command::run::Args),
    /// Check a configuration and everything that it names, before the agent runs with it
    Check(command::check::Args),
    /// Ask the running agent what it holds: buses, signals, verdicts, spool, uplink
    Status(command::status::Args),
    /// Have the running agent read its configuration again
    Reload(command::tell::ReloadArgs),
    /// Change what the running agent's log says, until its next start
    LogLevel(command::tell::LogLevelArgs),
    /// Ask the running agent to send what stood on the buses around now
    Snapshot(command::snapshot::Args),
    /// Look at the models that came over the air; pin, roll back or forget one
    #[command(subcommand)]
    Model(command::model::Command),
    /// Replay recordings and report what was decoded and judged
    Replay(command::replay::Args),
    /// Check DBC files
    #[command(subcommand)]
    Dbc(command::dbc::Command),
    /// Make or check a signal catalog
    #[command(subcommand)]
    Catalog(command::catalog::Command),
    /// Watch the running agent on one screen
    #[cfg(feature = "workbench")]
    Top(command::top::Args),
    /// Look into a spool
    #[cfg(feature = "workbench")]
    #[command(subcommand)]
    Spool(command::spool::Command),
    /// Build, look into, compare and verify bundles: models on their way to vehicles
    #[cfg(feature = "workbench")]
    #[command(subcommand)]
    Bundle(command::bundle::Command),
    /// Learn what a vehicle type's buses look like, and hold recordings against it
    #[cfg(feature = "workbench")]
    #[command(subcommand)]
    Bus(command::bus::Command),
    /// Put a CSV recording onto CAN: the inverse of decoding
    #[cfg(feature = "workbench")]
    Encode(command::encode::Args),
    /// Compute from recordings the features that a vehicle computes, as a Parquet file
    #[cfg(feature = "workbench")]
    Features(command::features::Args),
    /// Simulate a vehicle: a battery pack on a drive cycle, as CAN frames
    #[cfg(feature = "workbench")]
    Simulate(command::simulate::Args),
    /// Software in the loop: many simulated drives and what is to be said of them
    #[cfg(feature = "workbench")]
    #[command(subcommand)]
    Sil(command::sil::Command),
    /// Print a completion script for a shell
    #[cfg(feature = "workbench")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, one a command
    #[cfg(feature = "workbench")]
    Man {
        /// The folder for them; made if it does not exist
        #[arg(long)]
        dir: std::path::PathBuf,
    },
}

/// Parses the command line and runs it.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match start_logging(cli.verbose, cli.quiet) {
        Ok(level_asked) => dispatch(cli.command, level_asked),
        Err(error) => logging::start("info").map_err(Into::into).and(Err(error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that went away, as `head` does, has had enough: that is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command, level_asked: bool) -> anyhow::Result<()> {
    match command {
        Command::Run(args) => command::run::main(&args, level_asked),
        Command::Check(args) => command::check::main(&args),
        Command::Status(args) => command::status::main(&args),
        Command::Reload(args) => command::tell::reload(&args),
        Command::LogLevel(args) => command::tell::log_level(&args),
        Command::Snapshot(args) => command::snapshot::main(&args),
        Command::Model(command) => command::model::main(&command),
        Command::Replay(args) => command::replay::main(&args),
        Command::Dbc(command) => command::dbc::main(&command),
        Command::Catalog(command) => command::catalog::main(&command),
        #[cfg(feature = "workbench")]
        Command::Bundle(command) => command::bundle::main(command),
        #[cfg(feature = "workbench")]
        Command::Bus(command) => command::bus::main(&command),
        #[cfg(feature = "workbench")]
        Command::Top(args) => command::top::main(&args),
        #[cfg(feature = "workbench")]
        Command::Spool(command) => command::spool::main(&command),
        #[cfg(feature = "workbench")]
        Command::Encode(args) => command::encode::main(&args),
        #[cfg(feature = "workbench")]
        Command::Features(args) => command::features::main(&args),
        #[cfg(feature = "workbench")]
        Command::Simulate(args) => command::simulate::main(&args),
        #[cfg(feature = "workbench")]
        Command::Sil(command) => command::sil::main(&command),
        #[cfg(feature = "workbench")]
        Command::Completions { shell } => {
            let mut cli = <Cli as clap::CommandFactory>::command();
            // Into memory first: it panics where a reader goes away.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut cli, "telltale", &mut script);
            Ok(io::stdout().write_all(&script)?)
        }
        #[cfg(feature = "workbench")]
        Command::Man { dir } => {
            std::fs::create_dir_all(&dir).with_context(|| format!("can't make {}", dir.display()))?;
            let cli = <Cli as clap::CommandFactory>::command();
            clap_mangen::generate_to(cli, &dir).with_context(|| format!("can't write to {}", dir.display()))
        }
    }
}

/// `-v` and `-q` go before RUST_LOG, which goes before the configuration. Gives whether one of them was used.
fn start_logging(verbose: u8, quiet: bool) -> anyhow::Result<bool> {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "info",
        (false, 1) => "debug",
        (false, _) => "trace",
    };
    if quiet || verbose > 0 {
        logging::start(level)?;
        return Ok(true);
    }
    let asked = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    logging::start(asked.as_deref().unwrap_or(level)).context("RUST_LOG")?;
    Ok(asked.is_some())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|e| e.downcast_ref::<io::Error>()).any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
