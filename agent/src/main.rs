//! The binary `telltale`. Everything it does is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    telltale_agent::cli::main()
}
