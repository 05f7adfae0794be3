//! `cargo xtask`: one place that checks, tests, cross-builds, measures and demonstrates the workspace.
//!
//! Each subcommand is a room of its own; this file only reads the command line. CI runs `cargo xtask ci` and
//! nothing else, so that a developer can repeat on a desk exactly what the gate did.
// A build tool speaks on the terminal; the workspace's libraries stay silent.
#![allow(clippy::print_stdout)]

mod ci;
mod code;
mod needs;
mod shell;
mod suite;
mod tidy;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Checks, tests, cross builds, measurements and the demo of Telltale")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Test the rules of the house that no lint can say
    ///
    /// Layers (who may depend on whom), the purity of agent/core, forbidden crates, what a vehicle's build
    /// carries, a `//!` in every file, files that grew too long, paths of one machine in committed text.
    /// Each finding names file, line, rule and what to do. Takes seconds and builds nothing.
    Tidy,
    /// Install what the tests need, build the binaries they start, run `cargo test`
    ///
    /// Debian packages are installed when run as root; otherwise the line to run and the tests that are skipped
    /// are printed. Sets TELLTALE_BIN, TELLTALE_CLOUD_BIN and TELLTALE_PYTHON. The last line and the exit code
    /// are those of `cargo test`. Example: `cargo xtask test -p telltale-wire -- --nocapture`.
    Test {
        /// Use the machine as it is
        #[arg(long)]
        no_install: bool,
        /// Goes to `cargo test`; a package named here replaces `--workspace`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run every gate, cheap ones first, and stop at the first that fails
    ///
    /// Formatting, tidy, licences and sources (cargo-deny), the bridge for its microcontroller, clippy, the
    /// documentation, all tests. Ends with a table of what each step took.
    Ci,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Tidy => tidy::run(),
        Task::Test { no_install, args } => suite::run(!no_install, &args),
        Task::Ci => ci::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
