//! `cargo xtask sil`: the vehicle's binary on whole machines, with buses, a disk, a network and a cloud to sync with.
//!
//! Two machines: user-mode-linux, native code on x86_64, where speed means something; and Debian's arm64 kernel in QEMU,
//! where the very file runs that ships. In each the agent hears what `cross/can-load` sends, judges it, syncs by mutual TLS
//! to a cloud on this host, and loses its power in the middle of that; then it boots again.

mod bench;
mod console;
mod frames;
mod judge;
pub(crate) mod load;
mod machine;
pub(crate) mod service;

use crate::{cross_build, needs, shell};
use anyhow::{Context as _, Result, ensure};
use bench::Bench;
use judge::Report;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// A machine to drive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// user-mode-linux on this x86_64 machine.
    Uml,
    /// QEMU with Debian's arm64 kernel.
    Aarch64,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Uml => "uml",
            Kind::Aarch64 => "aarch64",
        }
    }
}

/// The machines of a name.
pub(crate) fn kinds(name: &str) -> Result<Vec<Kind>> {
    let all = [Kind::Uml, Kind::Aarch64];
    let kinds: Vec<Kind> = all.into_iter().filter(|kind| name == "all" || name == kind.name()).collect();
    ensure!(!kinds.is_empty(), "there is no machine {name}: write uml, aarch64 or all");
    Ok(kinds)
}

/// What to drive.
pub(crate) struct Options {
    /// Which machines.
    pub(crate) machines: Vec<Kind>,
    /// One JSON object on standard output, and nothing else there.
    pub(crate) json: bool,
    /// The vehicle's binaries, instead of building them.
    pub(crate) x86_64: Option<PathBuf>,
    pub(crate) aarch64: Option<PathBuf>,
}

/// What runs beside the vehicle's binary.
struct Programs {
    /// The engineer's build: simulates, makes catalogs.
    telltale: PathBuf,
    cloud: PathBuf,
    witness: PathBuf,
}

/// A machine's own programs.
struct Load {
    vehicle: PathBuf,
    sender: PathBuf,
}

/// Drives the machines, prints what they told, and fails if one did not hold.
pub(crate) fn run(options: &Options) -> Result<()> {
    let wanted = &options.machines;
    needs::for_machines(wanted.contains(&Kind::Uml), wanted.contains(&Kind::Aarch64))?;
    let programs = Programs::build()?;
    let mut reports = Vec::new();
    for kind in wanted {
        eprintln!("== {} ==", kind.name());
        let load = Load::of(*kind, options)?;
        let report = Bench::new(*kind, &programs, &load)?.drive()?;
        report.lines().iter().for_each(|line| eprintln!("{line}"));
        reports.push(report);
    }
    if options.json {
        println!("{}", object(&reports));
    } else {
        print!("{}", table(&reports));
    }
    let failures: Vec<String> = reports.iter().flat_map(Report::failures).collect();
    ensure!(failures.is_empty(), "sil: {}", failures.join("; "));
    Ok(())
}

impl Programs {
    fn build() -> Result<Programs> {
        let packages = ["--package=telltale-agent", "--package=telltale-cloud", "--package=telltale-tests"];
        let bins = ["--bin=telltale", "--bin=telltale-cloud", "--bin=machine_witness"];
        shell::run(shell::cargo(["build"]).args(packages).args(bins))?;
        let built = |name: &str| shell::target_dir().join("debug").join(name);
        Ok(Programs {
            telltale: built("telltale"),
            cloud: built("telltale-cloud"),
            witness: built("machine_witness"),
        })
    }
}

impl Load {
    fn of(kind: Kind, options: &Options) -> Result<Load> {
        let (target, given) = match kind {
            Kind::Uml => (cross_build::HOST, &options.x86_64),
            Kind::Aarch64 => (cross_build::VEHICLE, &options.aarch64),
        };
        let vehicle = match (given, kind) {
            // Relative to where the developer stands, whereas other programs run in the workspace's root.
            (Some(given), _) => absolute(given)?,
            (None, Kind::Uml) => cross_build::for_this_machine()?,
            (None, Kind::Aarch64) => cross_build::build(target, true)?,
        };
        let sender = ["build", "--release", "--package=telltale-can-load", "--target", target];
        shell::run(&mut shell::cargo(sender))?;
        Ok(Load { vehicle, sender: shell::target_dir().join(target).join("release/can-load") })
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).with_context(|| format!("{} is not there", path.display()))
}

/// The figures of user-mode-linux stand at the top, where it was driven: it is the one whose speed means something.
fn object(reports: &[Report]) -> serde_json::Value {
    let machines: Vec<_> = reports.iter().map(Report::json).collect();
    let mut object = reports
        .iter()
        .find(|report| report.kind == Kind::Uml)
        .or(reports.first())
        .map_or_else(|| json!({}), Report::json);
    object["sil"] =
        json!(if reports.iter().all(|report| report.failures().is_empty()) { "pass" } else { "fail" });
    object["machines"] = json!(machines);
    object
}

fn table(reports: &[Report]) -> String {
    let mut text = format!("{:<24}", "");
    for report in reports {
        text.push_str(&format!("{:>16}", report.kind.name()));
    }
    for (row, name) in judge::ROWS.iter().enumerate() {
        text.push_str(&format!("\n{name:<24}"));
        for report in reports {
            text.push_str(&format!("{:>16}", report.rows()[row]));
        }
    }
    text + "\n"
}
