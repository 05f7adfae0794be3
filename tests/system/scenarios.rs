//! Scenarios end to end: the same to the bit on any number of threads and on aarch64, and a failing one told, replayed
//! and shrunk.

use crate::rig;
use serde_json::Value;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A drifting cell that is named, and a line that is down meanwhile.
fn line() -> PathBuf {
    rig::root().join("cross/sil/scenarios/ci/line.toml")
}

/// Two drives of which one expects what cannot be: that a cell is named ten minutes after it began to drift.
const HASTY: &str = r#"
schema = 1
about = "one holds, one does not"

[vehicle]
hours = 3
faults = ["cell-drift:cell=7,onset=600,mv_per_hour=80"]

[vehicle.periods]
pack_ms = 1000
cells_ms = 10000
temps_ms = 10000

[matrix]
by_s = [10800, 1200]
seed = [1, 2]

[[expect]]
subject = "Cell7"
verdict = "anomalous"
not_before_s = 600
by_s = "{by_s}"
"#;

fn run(program: &mut Command, files: &[&Path], more: &[&str]) -> Value {
    let catalog = rig::cell_fault().join("catalog-sim.toml");
    let output = program
        .args(["sil", "run", "--json", "--catalog", rig::text(&catalog)])
        .args(files)
        .args(more)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", rig::stderr(&output)))
}

fn native(files: &[&Path], more: &[&str]) -> Value {
    run(&mut Command::new(rig::program("telltale")), files, more)
}

/// Each scenario's digest.
fn digests(report: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    report["scenarios"].as_array().unwrap().iter().map(|s| (text(&s["id"]), text(&s["digest"]))).collect()
}

#[test]
fn a_scenario_is_the_same_on_any_number_of_threads_and_alone() {
    let line = line();
    let (one, two) = (native(&[&line], &["--jobs", "1"]), native(&[&line], &["--jobs", "2"]));
    assert_eq!(digests(&one), digests(&two));
    assert_eq!((one["failed"].as_u64(), one["digest"].clone()), (Some(0), two["digest"].clone()), "{one}");
    let different: std::collections::BTreeSet<String> = digests(&one).into_values().collect();
    assert!(different.len() >= 5, "five seeds gave {} recordings", different.len());
    let alone = native(&[&line], &["--only", "line#7"]);
    assert_eq!(digests(&alone)["line#7"], digests(&one)["line#7"], "the printed command gives other bits");
    // The line was down when the cell was named: the verdict came late to the cloud, and in time.
    let events = one["scenarios"].as_array().unwrap().iter().map(|s| s["events"][0].clone());
    let waited =
        events.map(|e| e["at_cloud_s"].as_f64().unwrap() - e["at_s"].as_f64().unwrap()).fold(0.0, f64::max);
    assert!((1_000.0..9_000.0).contains(&waited), "{waited} s");
    println!(
        "scenarios: {} a minute, {} times real time",
        one["scenarios_per_minute"], one["realtime_factor"]
    );
}

#[test]
fn what_fails_is_told_with_its_command_and_shrinks() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hasty.toml");
    fs::write(&file, HASTY).unwrap();
    let (xml, page) = (folder.path().join("j.xml"), folder.path().join("r.html"));
    let catalog = rig::cell_fault().join("catalog-sim.toml");
    let output = rig::telltale(&[
        "sil",
        "run",
        rig::text(&file),
        "--catalog",
        rig::text(&catalog),
        "--shrink",
        "--junit",
        rig::text(&xml),
        "--html",
        rig::text(&page),
    ]);
    let (out, said) = (String::from_utf8(output.stdout.clone()).unwrap(), rig::stderr(&output));
    assert_eq!(output.status.code(), Some(1), "{out}{said}");
    assert!(out.contains("2 passed, 2 failed"), "{out}");
    assert_eq!(out.matches("missed: Cell7 was due by 1200 s and came at").count(), 2, "{out}");
    assert!(out.contains("--only 'hasty#4'"), "{out}");
    // The second seed fails as the first does, and the failure is certain after twenty minutes.
    assert_eq!(said.matches("as small as this (0.35 hours)").count(), 2, "{said}");
    assert_eq!(said.matches("FAILED hasty#3:").count(), 2, "{said}");
    let xml = fs::read_to_string(xml).unwrap();
    assert!(xml.contains("<testsuites name=\"telltale sil\" tests=\"4\" failures=\"2\""), "{xml}");
    assert_eq!(xml.matches("<failure ").count(), 2, "{xml}");
    let page = fs::read_to_string(page).unwrap();
    assert_eq!(page.matches("<svg").count(), 2, "a plot for each failure");
    let elsewhere = ["<script", "<link", "<img", "@import"].iter().find(|word| page.contains(**word));
    assert!(page.contains("state of charge") && elsewhere.is_none(), "it needs another file: {elsewhere:?}");
    // The command that the shrunk one prints gives its digest.
    let digest = said.lines().find_map(|line| line.trim().strip_prefix("digest ")).unwrap();
    let again = native(&[&file], &["--only", "hasty#3", "--hours", "0.35"]);
    assert_eq!(digests(&again)["hasty#3"], digest, "{said}");
}

#[test]
fn a_scenario_is_the_same_on_aarch64() {
    let Some(telltale) = env::var_os("TELLTALE_AARCH64_WORKBENCH") else {
        println!(
            "skipped: TELLTALE_AARCH64_WORKBENCH names no engineer's aarch64 build (`cargo xtask ci` makes one)"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("both.toml");
    // One drive that is named in time and one that is not: under emulation each takes a while.
    fs::write(&file, HASTY.replace("seed = [1, 2]", "seed = [3]")).unwrap();
    let sensors = rig::root().join("cross/sil/scenarios/ci/sensors.toml");
    let emulated = run(Command::new("qemu-aarch64-static").arg(&telltale), &[&file], &[]);
    let here = native(&[&file], &[]);
    assert_eq!(digests(&emulated), digests(&here));
    assert_eq!(emulated["failed"], here["failed"]);
    for id in ["sensors#1", "sensors#7"] {
        let only = ["--only", id];
        let emulated = run(Command::new("qemu-aarch64-static").arg(&telltale), &[&sensors], &only);
        assert_eq!(digests(&emulated), digests(&native(&[&sensors], &only)));
    }
}
