//! The command line: what it offers, and how an error reaches a person.

use crate::command;
use clap::{Parser, Subcommand};
use env_logger::fmt::Formatter;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use telltale_wire::time::WallTime;

const EXAMPLES: &str = "\
Examples:
  telltale catalog init --dbc car.dbc > catalog.toml     a first catalog, to be cut down by hand
  telltale replay --catalog catalog.toml drive.log       what a recording says
  telltale run --config telltale.toml                    the agent: a live bus, verdicts, sync

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
    /// Ask the running agent what it holds: buses, signals, verdicts, spool, uplink
    Status(command::status::Args),
    /// Replay recordings and report what was decoded and judged
    Replay(command::replay::Args),
    /// Check DBC files
    #[command(subcommand)]
    Dbc(command::dbc::Command),
    /// Make or check a signal catalog
    #[command(subcommand)]
    Catalog(command::catalog::Command),
    /// Put a CSV recording onto CAN: the inverse of decoding
    #[cfg(feature = "workbench")]
    Encode(command::encode::Args),
    /// Compute from recordings the features that a vehicle computes, as a Parquet file
    #[cfg(feature = "workbench")]
    Features(command::features::Args),
    /// Simulate a vehicle: a battery pack on a drive cycle, as CAN frames
    #[cfg(feature = "workbench")]
    Simulate(command::simulate::Args),
    /// Print a completion script for a shell
    #[cfg(feature = "workbench")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Parses the command line and runs it.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(cli.verbose, cli.quiet);
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that went away, as `head` does, has had enough: that is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(args) => command::run::main(&args),
        Command::Status(args) => command::status::main(&args),
        Command::Replay(args) => command::replay::main(&args),
        Command::Dbc(command) => command::dbc::main(&command),
        Command::Catalog(command) => command::catalog::main(&command),
        #[cfg(feature = "workbench")]
        Command::Encode(args) => command::encode::main(&args),
        #[cfg(feature = "workbench")]
        Command::Features(args) => command::features::main(&args),
        #[cfg(feature = "workbench")]
        Command::Simulate(args) => command::simulate::main(&args),
        #[cfg(feature = "workbench")]
        Command::Completions { shell } => {
            let mut cli = <Cli as clap::CommandFactory>::command();
            // Into memory first: it panics where a reader goes away.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut cli, "telltale", &mut script);
            Ok(io::stdout().write_all(&script)?)
        }
    }
}

fn start_logging(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "info",
        (false, 1) => "debug",
        (false, _) => "trace",
    };
    // tract and rustls tell their inner life at info and debug: of interest to whoever asks for it by RUST_LOG.
    let default = format!(
        "warn,telltale_agent={level},telltale_core={level},telltale_infer={level},telltale_workbench={level}"
    );
    let default = if quiet { "error".to_owned() } else { default };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(default)).format(line).init();
}

/// `[2026-01-01T06:00:00.000Z INFO ] what happened`. The time is formatted as in records, without a calendar crate.
fn line(out: &mut Formatter, record: &log::Record<'_>) -> io::Result<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = WallTime::from_unix_micros(since.as_micros() as i64);
    let level = record.level();
    let style = out.default_level_style(level);
    writeln!(out, "[{now} {style}{level:<5}{style:#}] {}", record.args())
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
