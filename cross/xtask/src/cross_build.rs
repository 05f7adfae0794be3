//! `cargo xtask build`: the vehicle's binary for a target, without the workbench, and what it weighs.
//!
//! Linkers and compilers per target stand in `.cargo/config.toml`, so that a plain `cargo build --target` does the
//! same; this command adds what cargo cannot say: that the cross compiler is there, and the size of the result.

use crate::{needs, shell};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::PathBuf;

/// The target that an ECU runs: one static file that needs nothing of the host but its kernel.
pub(crate) const VEHICLE: &str = "aarch64-unknown-linux-musl";

/// Builds the agent as a vehicle carries it and prints the binary's place and size.
pub(crate) fn run(target: &str, release: bool) -> Result<()> {
    let binary = build(target, release)?;
    let bytes = fs::metadata(&binary).with_context(|| format!("{} is not there", binary.display()))?.len();
    println!("{}", size_line(&binary.display().to_string(), bytes, release));
    Ok(())
}

/// Builds the agent as a vehicle carries it and gives the binary's place.
pub(crate) fn build(target: &str, release: bool) -> Result<PathBuf> {
    if target.starts_with("aarch64") {
        needs::packages(&[needs::AARCH64_GCC]);
    }
    needs::targets(&[target])?;
    let mut build =
        shell::cargo(["rustc", "--package=telltale-agent", "--no-default-features", "--bin=telltale"]);
    build.arg("--target").arg(target);
    if release {
        // A vehicle carries no symbol table; the same commit built without this line has the same addresses.
        build.arg("--release").env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
        // A tenth smaller than thin, for two minutes more: worth it for the one binary that goes over the air.
        build.env("CARGO_PROFILE_RELEASE_LTO", "fat");
    }
    if release && target == VEHICLE {
        // Functions with the same machine code become one; nothing here compares the addresses of functions.
        build.args(["--", "-Clink-arg=--icf=all"]);
    }
    shell::run(&mut build)?;
    Ok(binary(target, release))
}

/// The target of this machine's own kernel, whose name keeps its build apart.
pub(crate) const HOST: &str = "x86_64-unknown-linux-gnu";

/// Builds the agent as a vehicle carries it, but for x86_64 and without optimising the whole once more, which takes minutes:
/// for a machine that runs native code.
pub(crate) fn for_this_machine() -> Result<PathBuf> {
    let mut build = shell::cargo(["build", "--release", "--package=telltale-agent", "--no-default-features"]);
    build.args(["--bin=telltale", "--target", HOST]);
    build.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    shell::run(&mut build)?;
    Ok(binary(HOST, true))
}

/// Builds the simulator's example for the vehicle's machine, unoptimised, and gives its place: its digest is compared.
pub(crate) fn simulator() -> Result<PathBuf> {
    needs::targets(&[VEHICLE])?;
    let example = ["build", "--package=telltale-sil", "--example=hour", "--target", VEHICLE];
    shell::run(&mut shell::cargo(example))?;
    Ok(shell::target_dir().join(VEHICLE).join("debug/examples/hour"))
}

/// Builds the engineer's agent for the vehicle's machine, unoptimised, and gives its place: its scenarios are compared.
pub(crate) fn workbench() -> Result<PathBuf> {
    needs::targets(&[VEHICLE])?;
    shell::run(&mut shell::cargo([
        "build",
        "--package=telltale-agent",
        "--bin=telltale",
        "--target",
        VEHICLE,
    ]))?;
    Ok(binary(VEHICLE, false))
}

/// Where the agent's binary for a target stands once it is built.
pub(crate) fn binary(target: &str, release: bool) -> PathBuf {
    shell::target_dir().join(target).join(if release { "release" } else { "debug" }).join("telltale")
}

fn size_line(binary: &str, bytes: u64, release: bool) -> String {
    let kind = if release { "stripped" } else { "with debug information; --release strips it" };
    format!("{binary}: {:.2} MB, {kind}", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_told_in_megabytes() {
        assert_eq!(size_line("telltale", 10_944_000, true), "telltale: 10.94 MB, stripped");
    }
}
