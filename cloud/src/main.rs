//! The binary `telltale-cloud`. What it can do is in [`telltale_cloud::cli`].

use clap::Parser as _;
use std::process::ExitCode;
use telltale_cloud::cli::{self, Cli};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // rustls logs each session at debug; a fleet server's own lines are at info.
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    match cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
