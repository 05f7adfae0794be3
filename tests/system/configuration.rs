//! Configurations over the air: a signal catalog and a campaign go the way of a model, and what does not hold on the
//! vehicle is taken back, with the models running on.

use crate::bench::{Bench, Process};
use crate::over_the_air::{PATIENCE, bench};
use crate::release::{HARDWARE, Release};
use crate::rig;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

const PLAN: &str = "[[wave]]\npercent = 100\n[gates]\npause_above = 0.02\nstop_above = 1.0\n";

const CAMPAIGN: &str = "schema = 1\nname = \"cold\"\nsummary_s = 20\n[snapshot]\nbefore_s = 3\nafter_s = 2\n";

/// The simulated vehicle's catalog with a change in it, and in its DBC file.
fn catalog(
    bench: &Bench,
    name: &str,
    change: impl Fn(String) -> String,
    dbc: impl Fn(String) -> String,
) -> PathBuf {
    let folder = bench.path(name);
    fs::create_dir_all(&folder).unwrap();
    let read = |name: &str| fs::read_to_string(rig::cell_fault().join(name)).unwrap();
    fs::write(folder.join("bms.dbc"), dbc(read("bms.dbc"))).unwrap();
    fs::write(folder.join("catalog.toml"), change(read("catalog-sim.toml"))).unwrap();
    folder.join("catalog.toml")
}

/// Builds, signs and rolls out a configuration; gives the number of its rollout.
fn roll_out(
    bench: &Bench,
    release: &Release<'_>,
    number: u32,
    catalog: Option<&PathBuf>,
    campaign: bool,
) -> i64 {
    let (bundles, text, number) = (bench.path("bundles"), bench.path("campaign.toml"), number.to_string());
    fs::write(&text, CAMPAIGN).unwrap();
    let mut arguments =
        vec!["bundle", "configuration", "--name", "sim", "--version", "1", "--release", &number];
    arguments.extend(["--hardware", HARDWARE, "-o", rig::text(&bundles)]);
    if let Some(catalog) = catalog {
        arguments.extend(["--catalog", rig::text(catalog)]);
    }
    if campaign {
        arguments.extend(["--campaign", rig::text(&text)]);
    }
    rig::telltale_ok(&arguments);
    let path = format!("configuration/sim-{number}.index");
    release.publish(&path);
    release.roll_out(&path, PLAN)
}

fn status(bench: &Bench) -> Value {
    let (config, start) = (bench.path("agent.toml"), Instant::now());
    loop {
        let output = rig::telltale(&["status", "--json", "--config", rig::text(&config)]);
        if output.status.success() {
            return serde_json::from_slice(&output.stdout).unwrap();
        }
        // The agent has just begun, and does not listen yet.
        assert!(start.elapsed() < PATIENCE, "{}", rig::stderr(&output));
        sleep(Duration::from_millis(50));
    }
}

fn in_force(bench: &Bench) -> String {
    status(bench)["agent"]["catalog"].as_str().unwrap().to_owned()
}

fn ended(release: &Release<'_>, rollout: i64, agent: &Process, phase: &str) -> Value {
    release.wait(&format!("/api/rollout/{rollout}"), agent, PATIENCE, |report| report["phase"] == phase)
}

#[test]
fn a_catalog_and_a_campaign_are_tried_and_what_loses_signals_is_taken_back() {
    let bench = bench("24", "60", "configuration_minutes = 0\nattempts = 2\n");
    let release = Release::begin(&bench, &["configuration"]);
    let mut agent = bench.agent("agent.toml");
    release.wait("/api/vehicles", &agent, PATIENCE, |fleet| fleet.to_string().contains("\"v1\""));
    let (own, model) = (in_force(&bench), status(&bench)["models"][0]["digest"].clone());

    // One signal fewer, and a campaign.
    let same = |text: String| text;
    let longer = |text: String| text.replacen("stale_ms = 25000", "stale_ms = 26000", 1);
    let good = catalog(&bench, "good", longer, same);
    let rollout = roll_out(&bench, &release, 1, Some(&good), true);
    let report = ended(&release, rollout, &agent, "completed");
    assert_eq!(report["vehicles"][0]["stage"], "committed");
    let new = in_force(&bench);
    assert_ne!(new, own);
    for step in ["offered", "downloading", "staged", "self-tested", "on trial", "committed"] {
        assert!(
            agent.said().contains(&format!("configuration: release 1 (1) {step}")),
            "{step}\n{}",
            agent.said()
        );
    }
    assert!(!agent.said().contains("in shadow"), "{}", agent.said());
    assert_eq!(status(&bench)["models"][0]["digest"], model, "models go their own way");
    let read = release.page("/vehicle/v1");
    assert!(read.contains("configuration") && read.contains("committed, release 1"), "{read}");
    // The campaign's snapshots, of which the vehicle's own configuration knows nothing, and back by command.
    let digest = telltale_wire::digest::Digest::of(CAMPAIGN.as_bytes()).to_hex();
    let order = |what: &str| release.ask("command", &format!("--by ann --json v1 {what}"));
    order(&format!("catalog {new}"));
    order("feature campaign off");
    order(&format!("campaign {digest}"));
    let list = wait_for_commands(&release, &agent);
    assert_eq!(list, ["done", "done", "done"], "{}", agent.said());

    // What the model needs is gone: found out before it is tried.
    let cells = |text: String| text.replace("Cell{n}.Voltage", "Cell{n}.Volts");
    let lacks = catalog(&bench, "lacks", cells, same);
    let rollout = roll_out(&bench, &release, 2, Some(&lacks), false);
    let report = ended(&release, rollout, &agent, "paused");
    release.ask("rollout stop", &format!("--by ann --why bad {rollout}"));
    let reason = report["vehicles"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("can't be loaded"), "{reason}");
    assert!(!agent.said().contains("release 2 (1) on trial") && in_force(&bench) == new);

    // Everything fits, but the cells' messages have other identifiers: found out on trial.
    let moved = |text: String| text.replace("BO_ 4", "BO_ 14");
    let deaf = catalog(&bench, "deaf", same, moved);
    let rollout = roll_out(&bench, &release, 3, Some(&deaf), false);
    let report = ended(&release, rollout, &agent, "paused");
    release.ask("rollout stop", &format!("--by ann --why bad {rollout}"));
    let reason = report["vehicles"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("disagrees with the model before"), "{reason}\n{}", agent.said());
    assert!(agent.said().contains("release 3 (1) on trial"), "{}", agent.said());
    until(&agent, || in_force(&bench) == new);

    // One with which the agent does not stay up: as often as it may, then no more.
    let other = |text: String| text.replacen("stale_ms = 25000", "stale_ms = 27000", 1);
    let fatal = catalog(&bench, "fatal", other, same);
    let rollout = roll_out(&bench, &release, 4, Some(&fatal), true);
    for _ in 0..2 {
        until(&agent, || in_force(&bench) != new);
        agent.kill9();
        agent = bench.agent("agent.toml");
    }
    ended(&release, rollout, &agent, "paused");
    assert!(agent.said().contains("rolled back (trial attempts used up)"), "{}", agent.said());
    assert_eq!(in_force(&bench), new);
    // What is committed is in force from the start on, and a damaged chunk of it costs no working agent.
    agent.terminate();
    assert_eq!(agent.ended(PATIENCE).code(), Some(0), "{}", agent.said());
    agent = bench.agent("agent.toml");
    assert_eq!(in_force(&bench), new);
    agent.terminate();
    agent.ended(PATIENCE);
    for entry in fs::read_dir(bench.path("updates")).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_some_and(|end| end == "chunk") {
            fs::write(entry.path(), b"x").unwrap();
        }
    }
    agent = bench.agent("agent.toml");
    // The vehicle's own stands in until the chunks have come again, which may be before one looks.
    until(&agent, || agent.said().contains("can't be used (damaged on disk)"));
    assert!([&own, &new].contains(&&in_force(&bench)), "{}", agent.said());
    agent.terminate();
    assert_eq!(agent.ended(PATIENCE).code(), Some(0), "{}", agent.said());
    release.end();
}

fn until(agent: &Process, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{}", agent.said());
        sleep(Duration::from_millis(50));
    }
}

/// What became of the vehicle's commands, the oldest first.
fn wait_for_commands(release: &Release<'_>, agent: &Process) -> Vec<String> {
    let start = Instant::now();
    loop {
        let list: Value = serde_json::from_str(&release.ask("command", "--json v1 list")).unwrap();
        let outcome = |line: &Value| line["outcome"].as_str().unwrap().to_owned();
        let all: Vec<String> = list.as_array().unwrap().iter().rev().map(outcome).collect();
        if all.iter().all(|outcome| outcome != "waiting") {
            return all;
        }
        assert!(start.elapsed() < PATIENCE, "{all:?}\n{}", agent.said());
        sleep(Duration::from_millis(100));
    }
}
