//! The vehicle's binary as a Debian package and as a container image, without Debian's tools or a daemon, and the same
//! bytes each time.
//!
//! Started by `cargo xtask package`, prints the paths. What goes in stands in `contents.rs`; `deb.rs` and `oci.rs` write it.
// A build tool speaks on the terminal.
#![allow(clippy::print_stdout)]

mod contents;
mod deb;
mod oci;

use anyhow::{Context as _, Result};
use clap::Parser;
use std::env;
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
    let epoch = epoch(env::var("SOURCE_DATE_EPOCH").ok().as_deref())?;
    fs::create_dir_all(&args.output).with_context(|| format!("{} cannot be made", args.output.display()))?;
    let name = format!("{}_{}_{}", package.name, package.version, package.architecture);
    for (kind, bytes) in [("deb", deb::write(&package, epoch)?), ("oci.tar", oci::write(&package, epoch)?)] {
        let path = args.output.join(format!("{name}.{kind}"));
        fs::write(&path, &bytes).with_context(|| format!("{} cannot be written", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// The time that all files are given (reproducible-builds.org, SOURCE_DATE_EPOCH): that of the sources, where somebody
/// says which; never that of the build.
fn epoch(variable: Option<&str>) -> Result<u64> {
    let Some(text) = variable else { return Ok(0) };
    text.parse().with_context(|| format!("SOURCE_DATE_EPOCH is {text:?}, no number of seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_sources_is_taken_and_no_other() {
        assert_eq!(epoch(None).unwrap(), 0);
        assert_eq!(epoch(Some("1795348800")).unwrap(), 1_795_348_800);
        assert!(epoch(Some("today")).is_err());
    }
}
