//! `cargo xtask bench vehicle`: what the agent costs a vehicle, measured on a real kernel of its architecture.
//!
//! The size is that of the stripped static file. The memory is what the agent itself reads from the kernel of an
//! emulated aarch64 machine at the end of a replay: a simulated hour, judged by the cell-fault model. Memory is the
//! same there as on an ECU with that kernel; speed is not, and is told for information only.

use crate::vm::{Initrd, Machine};
use crate::{cross_build, shell};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// The model that is measured, with its catalog, on the host.
const MODEL: &str = "models/cell-fault";
/// What runs in the machine; the kernel takes no quotes, so no word holds a space.
const COMMAND: [&str; 6] = [
    "/vehicle/telltale",
    "replay",
    "--json",
    "--catalog",
    "/vehicle/model/catalog-sim.toml",
    "/vehicle/drive.log",
];
/// The drive: seeded, so that every machine measures the same frames.
const DRIVE: [&str; 5] = ["--seed", "1", "--hours", "1", "--output"];
/// Booting and replaying takes seconds; a loaded host is given more.
const LIMIT: Duration = Duration::from_secs(240);

/// What the vehicle pays.
#[derive(PartialEq, Debug)]
struct Cost {
    binary_bytes: u64,
    pss_bytes: u64,
    peak_rss_bytes: u64,
    frames: u64,
    verdicts: u64,
    realtime_factor: f64,
}

/// Measures the binary given, or else the vehicle's build of this tree, and prints the figures.
pub(crate) fn run(binary: Option<PathBuf>, json: bool) -> Result<()> {
    let machine = Machine::prepare()?;
    let binary = match binary {
        // Relative to where the developer stands, whereas other programs run in the workspace's root.
        Some(binary) => {
            fs::canonicalize(&binary).with_context(|| format!("{} is not there", binary.display()))?
        }
        None => cross_build::build(cross_build::VEHICLE, true)?,
    };
    let binary_bytes = fs::metadata(&binary)?.len();

    let mut files = Initrd::default();
    files.file("vehicle/telltale", &binary)?;
    files.files("vehicle/model", &shell::root().join(MODEL))?;
    files.file("vehicle/drive.log", &drive()?)?;
    let printed = machine.run(files, &COMMAND, LIMIT)?;
    let cost = cost(binary_bytes, &printed).with_context(|| format!("the replay printed:\n{printed}"))?;
    println!(
        "{}",
        if json { line(&cost, &machine.kernel_release()) } else { table(&cost, &machine.kernel_release()) }
    );
    Ok(())
}

/// Writes the drive with the engineer's build of the agent, which carries the simulator.
fn drive() -> Result<PathBuf> {
    // The cloud is not built, but named: with its features tests and demo have most of this build already.
    let both = ["build", "--package=telltale-agent", "--package=telltale-cloud", "--bin=telltale"];
    shell::run(&mut shell::cargo(both))?;
    let log = shell::target_dir().join("vm/drive.log");
    let telltale = shell::target_dir().join("debug/telltale");
    shell::output(shell::program(telltale).args(["simulate", "--quiet"]).args(DRIVE).arg(&log))?;
    Ok(log)
}

/// Reads the replay's last line.
fn cost(binary_bytes: u64, printed: &str) -> Result<Cost> {
    let last = printed.lines().rev().find(|line| line.starts_with('{')).context("no line of JSON")?;
    let replay: Value = serde_json::from_str(last).context("the last line is no JSON")?;
    let count = |value: &Value, name: &str| {
        value[name]
            .as_u64()
            .with_context(|| format!("the replay tells no {name}: is the binary of this tree?"))
    };
    let verdicts = &replay["verdicts"];
    let cost = Cost {
        binary_bytes,
        pss_bytes: count(&replay, "pss_bytes")?,
        peak_rss_bytes: count(&replay, "peak_rss_bytes")?,
        frames: count(&replay, "frames")?,
        verdicts: count(verdicts, "nominal")? + count(verdicts, "anomalous")?,
        realtime_factor: replay["realtime_factor"].as_f64().context("the replay tells no realtime_factor")?,
    };
    ensure!(cost.pss_bytes > 0 && cost.peak_rss_bytes > 0, "the kernel told the agent nothing of its memory");
    ensure!(cost.verdicts > 0, "the model judged nothing, so its memory was not measured");
    Ok(cost)
}

fn table(cost: &Cost, kernel: &str) -> String {
    let size = |bytes: u64| bytes as f64 / 1e6;
    format!(
        "vehicle binary   {:>8.2} MB, {}\n\
         vehicle PSS      {:>8.2} MB, after {} frames and {} verdicts of {MODEL}\n\
         vehicle peak RSS {:>8.2} MB, on Linux {kernel}\n\
         for information: {:.0} times real time in the emulator, which says nothing about an ECU",
        size(cost.binary_bytes),
        cross_build::VEHICLE,
        size(cost.pss_bytes),
        cost.frames,
        cost.verdicts,
        size(cost.peak_rss_bytes),
        cost.realtime_factor,
    )
}

fn line(cost: &Cost, kernel: &str) -> String {
    serde_json::json!({
        "bench": "vehicle",
        "target": cross_build::VEHICLE,
        "kernel": kernel,
        "binary_bytes": cost.binary_bytes,
        "pss_bytes": cost.pss_bytes,
        "peak_rss_bytes": cost.peak_rss_bytes,
        "frames": cost.frames,
        "verdicts": cost.verdicts,
        "emulated_realtime_factor": cost.realtime_factor,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"frames":9,"verdicts":{"nominal":3,"anomalous":1,"indeterminate":7},"realtime_factor":2.5,"pss_bytes":5000,"peak_rss_bytes":6000}"#;

    #[test]
    fn the_last_line_of_the_replay_is_read() {
        let cost = cost(7, &format!("INFO\n{LINE}\n")).unwrap();
        let expected = Cost {
            binary_bytes: 7,
            pss_bytes: 5000,
            peak_rss_bytes: 6000,
            frames: 9,
            verdicts: 4,
            realtime_factor: 2.5,
        };
        assert_eq!(cost, expected);
    }

    #[test]
    fn a_replay_without_memory_or_verdicts_is_no_measurement() {
        let old = LINE.replace("pss_bytes", "other");
        assert!(cost(7, &old).unwrap_err().to_string().contains("pss_bytes"));
        let idle = LINE.replace(":3", ":0").replace(":1,", ":0,");
        assert!(cost(7, &idle).unwrap_err().to_string().contains("judged nothing"));
        let blind = LINE.replace("5000", "0");
        assert!(cost(7, &blind).unwrap_err().to_string().contains("told the agent nothing"));
        assert!(cost(7, "").is_err());
    }
}
