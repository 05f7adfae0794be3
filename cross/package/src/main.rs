//! The vehicle's binary as a Debian package and as a container image, without Debian's tools or a daemon, and the same
//! bytes each time.
//!
//! Started by `cargo xtask package`. What goes in stands in `contents.rs`; `deb.rs` and `oci.rs` write it.
// A build tool speaks on the terminal.
#![allow(clippy::print_stdout)]

mod contents;
mod deb;
mod oci;

use anyhow::{Context as _, Result};
use clap::Parser;
use std::fs;
use std::path::PathBuf;

/// Packs a binary.
#[derive(Parser)]
struct Args {
    /// The agent's binary, stripped
    #[arg(long)]
    binary: PathBuf,
    /// Debian's name of its architecture, such as arm64
    #[arg(long)]
    architecture: String,
    /// The workspace's root, where the model and the example configuration are
    #[arg(long)]
    root: PathBuf,
    /// Where the package goes: a folder
    #[arg(long)]
    output: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let package = contents::agent(&args.root, &args.binary, &args.architecture)?;
    fs::create_dir_all(&args.output).with_context(|| format!("{} cannot be made", args.output.display()))?;
    let name = format!("{}_{}_{}", package.name, package.version, package.architecture);
    for (kind, bytes) in [("deb", deb::write(&package)?), ("oci.tar", oci::write(&package)?)] {
        let path = args.output.join(format!("{name}.{kind}"));
        fs::write(&path, &bytes).with_context(|| format!("{} cannot be written", path.display()))?;
        println!("{}: {:.2} MB", path.display(), bytes.len() as f64 / 1e6);
    }
    Ok(())
}
