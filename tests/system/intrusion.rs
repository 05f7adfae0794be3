//! The watch over the buses from end to end: the real binary learns a simulated vehicle's clean drives, and names what is
//! done to another drive's buses.

use crate::rig;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

fn catalog() -> PathBuf {
    rig::root().join("cross/sil/catalog.toml")
}

fn model() -> PathBuf {
    rig::root().join("models/bus-intrusion")
}

fn drive(folder: &Path, seed: &str, fault: Option<&str>) -> PathBuf {
    let log = folder.join(format!("drive-{seed}.log"));
    let mut args =
        vec!["simulate", "--seed", seed, "--hours", "0.25", "--powertrain", "can1", "-o", rig::text(&log)];
    args.extend(fault.iter().flat_map(|fault| ["--fault", fault]));
    rig::telltale_ok(&args);
    log
}

/// A profile of clean drives.
fn profile(folder: &Path) -> PathBuf {
    let path = folder.join("simulated.profile.toml");
    let [learned, other, verified] = ["1", "2", "3"].map(|seed| drive(folder, seed, None));
    let (catalog, logs) = (catalog(), [&learned, &other, &verified].map(|log| rig::text(log).to_owned()));
    let [a, b, c] = &logs;
    rig::telltale_ok(&[
        "bus",
        "learn",
        "--catalog",
        rig::text(&catalog),
        a,
        b,
        "--verify",
        c,
        "-o",
        rig::text(&path),
    ]);
    path
}

/// What the watch says of a drive: subject, verdict, and what the first evidence calls it.
fn verdicts(profile: &Path, log: &Path) -> Vec<Value> {
    let (catalog, model) = (catalog(), model());
    let out = rig::telltale_ok(&[
        "replay",
        "--catalog",
        rig::text(&catalog),
        "--intrusion",
        rig::text(&model),
        "--profile",
        rig::text(profile),
        "--json",
        rig::text(log),
    ]);
    watched(out.lines().last().unwrap())
}

/// The events of the watch in a replay's report.
fn watched(report: &str) -> Vec<Value> {
    let report: Value = serde_json::from_str(report).unwrap();
    let mine = |event: &&Value| event["model"].as_str().is_some_and(|name| name.starts_with("bus-intrusion"));
    report["events"].as_array().unwrap().iter().filter(mine).cloned().collect()
}

/// Features, scores and evidence are the same to the bit on the vehicle's processor.
#[test]
fn aarch64_says_the_same_of_an_attack() {
    let Some(agent) = std::env::var_os("TELLTALE_AARCH64_BIN") else {
        println!(
            "skipped: TELLTALE_AARCH64_BIN names no aarch64 agent: `cargo xtask build` makes one and prints its place, \
             and qemu-user-static runs it"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let profile = profile(folder.path());
    let log = drive(folder.path(), "7", Some("replay:ecu=powertrain,onset=300,for=10"));
    let native = verdicts(&profile, &log);
    assert!(!native.is_empty());
    let (catalog, model) = (catalog(), model());
    let output = std::process::Command::new("qemu-aarch64-static")
        .arg(agent)
        .args(["replay", "--catalog", rig::text(&catalog), "--intrusion", rig::text(&model)])
        .args(["--profile", rig::text(&profile), "--json", rig::text(&log)])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", rig::stderr(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(watched(said.lines().last().unwrap()), native);
}

#[test]
fn attacks_on_a_simulated_vehicle_are_named_and_a_clean_drive_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profile(folder.path());
    for seed in ["5", "6"] {
        let said = verdicts(&profile, &drive(folder.path(), seed, None));
        assert!(said.is_empty(), "a clean drive: {said:#?}");
    }
    for (fault, bus, family) in [
        ("can-flood:ecu=bms,onset=300,for=10", "bms", "flood"),
        ("can-flood:ecu=powertrain,onset=300,for=10", "powertrain", "flood"),
        ("replay:ecu=powertrain,onset=300,for=10", "powertrain", "replay"),
        ("masquerade:message=0x0F0,onset=300,for=60", "powertrain", "masquerade"),
        ("missing-ecu:ecu=bms,onset=300,for=30", "bms", "suppression"),
        ("missing-ecu:ecu=powertrain,onset=300,for=30", "powertrain", "suppression"),
    ] {
        let said = verdicts(&profile, &drive(folder.path(), "7", Some(fault)));
        let first = said.first().unwrap_or_else(|| panic!("{fault}: nothing was said"));
        let told = first["evidence"][0]["what"].as_str().unwrap();
        println!("{fault}: {} {told}; {}", first["subject"], first["evidence"][1]);
        assert_eq!(first["subject"], bus, "{fault}: {first:#}");
        assert!(told.contains(family), "{fault}: {first:#}");
        assert!(said.iter().all(|event| event["subject"] == bus), "the other bus is left alone: {said:#?}");
    }
}

#[test]
fn a_profile_that_is_damaged_or_of_another_vehicle_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sound = profile(folder.path());
    let text = fs::read_to_string(&sound).unwrap();
    let log = drive(folder.path(), "5", None);
    let (catalog, model, damaged) = (catalog(), model(), folder.path().join("damaged.toml"));
    let refused = |text: &[u8], expected: &str| {
        fs::write(&damaged, text).unwrap();
        let [catalog, model, damaged, log] = [&catalog, &model, &damaged, &log].map(|path| rig::text(path));
        let said = rig::telltale_fails(&[
            "replay",
            "--catalog",
            catalog,
            "--intrusion",
            model,
            "--profile",
            damaged,
            log,
        ]);
        assert!(said.contains(expected), "{expected}: {said}");
    };
    refused(text.replace("name = \"bms\"", "name = \"body\"").as_bytes(), "another vehicle type");
    refused(&text.as_bytes()[..text.len() / 2], "damaged.toml");
    refused(text.replacen("schema = 1", "schema = 9", 1).as_bytes(), "schema");
    refused(text.replacen("period_us = ", "period_us = 9", 1).as_bytes(), "timing");
    refused(&[0xFF, 0xFE, 0x00], "UTF-8");
    refused(&vec![b'#'; 5 * 1024 * 1024], "4 MiB");
    refused("x = [".repeat(100_000).as_bytes(), "damaged.toml");

    // A model that watches buses is no model of signals.
    let [catalog, model, log] = [&catalog, &model, &log].map(|path| rig::text(path));
    let said = rig::telltale_fails(&["replay", "--catalog", catalog, "--model", model, log]);
    assert!(said.contains("[intrusion]"), "{said}");
}

#[test]
fn a_watch_that_does_not_hear_everything_is_found_by_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profile(folder.path());
    let write = |listen: &str| {
        let config = folder.path().join("telltale.toml");
        let text = format!(
            "vehicle = \"v\"\ncatalog = {:?}\n[bus]\nlisten = \"{listen}\"\n[spool]\ndir = \"spool\"\n\
             [intrusion]\nmodel = {:?}\nprofile = {:?}\n",
            catalog(),
            model(),
            profile
        );
        fs::write(&config, text).unwrap();
        config
    };
    let output = rig::telltale(&["check", "--config", rig::text(&write("catalog"))]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &rig::stderr(&output);
    assert!(!output.status.success() && said.contains("listen = \"all\""), "{said}");
    let output = rig::telltale(&["check", "--config", rig::text(&write("all"))]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &rig::stderr(&output);
    assert!(output.status.success() && !said.contains("unknown identifiers"), "{said}");
}
