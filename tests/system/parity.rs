//! The same verdicts everywhere: at any pace, and on an aarch64 machine.

use crate::rig;
use serde_json::Value;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Six simulated hours with a drifting cell.
fn drive(folder: &Path) -> PathBuf {
    let log = folder.join("drive.log");
    rig::telltale_ok(&[
        "simulate",
        "--seed",
        "7",
        "--hours",
        "6",
        "--fault",
        "cell-drift",
        "--cell",
        "42",
        "-o",
        rig::text(&log),
    ]);
    log
}

/// What must not differ: everything but time and memory.
fn comparable(mut report: Value) -> Value {
    for key in ["elapsed_s", "realtime_factor", "pss_bytes", "peak_rss_bytes"] {
        report.as_object_mut().unwrap().remove(key);
    }
    report
}

fn catalog() -> PathBuf {
    rig::cell_fault().join("catalog-sim.toml")
}

#[test]
fn pace_changes_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let log = drive(folder.path());
    let fast = comparable(rig::replay(&catalog(), &log));
    assert_eq!(rig::subjects(&fast), ["Cell42"], "{fast}");
    let catalog = catalog();
    let args = ["replay", "--catalog", rig::text(&catalog), rig::text(&log), "--json", "--pace", "6000"];
    let out = rig::telltale_ok(&args);
    let paced: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let took = paced["elapsed_s"].as_f64().unwrap();
    assert!(took > 3.0, "six hours at 6000 times real time took only {took} s");
    assert_eq!(comparable(paced), fast);
}

#[test]
fn aarch64_gives_the_same_verdicts() {
    let Some(agent) = env::var_os("TELLTALE_AARCH64_BIN") else {
        println!("skipped: TELLTALE_AARCH64_BIN names no aarch64 agent (`cargo xtask ci` builds one)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let log = drive(folder.path());
    let native = comparable(rig::replay(&catalog(), &log));
    let output = Command::new("qemu-aarch64-static")
        .arg(agent)
        .args(["replay", "--catalog", rig::text(&catalog()), rig::text(&log), "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", rig::stderr(&output));
    let out = String::from_utf8(output.stdout).unwrap();
    let emulated: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(comparable(emulated), native);
}

/// The simulator's unit test holds this machine to the same digest.
#[test]
fn a_simulated_hour_is_the_same_on_aarch64() {
    let Some(simulator) = env::var_os("TELLTALE_AARCH64_SIL") else {
        println!("skipped: TELLTALE_AARCH64_SIL names no aarch64 simulator (`cargo xtask ci` builds one)");
        return;
    };
    let output = Command::new("qemu-aarch64-static").arg(simulator).output().unwrap();
    assert!(output.status.success(), "{}", rig::stderr(&output));
    let out = String::from_utf8(output.stdout).unwrap();
    let pinned = include_str!("../../cross/sil/first-hour.sha256");
    assert_eq!(out.lines().next(), Some(pinned.trim()), "{out}");
}
