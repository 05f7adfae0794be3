//! What lies ahead of a vehicle, from end to end: typed by a person, signed, and taken by the real agent, whose range is
//! then foretold with it until it ends or is taken back.

use crate::bench::{Bench, Process};
use crate::orders::{ask, dealt_with, status};
use crate::over_the_air::{PATIENCE, bench};
use crate::release::Release;
use crate::rig;
use serde_json::Value;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Waits until what the agent foretells is as `is_so` wants it.
fn foretold(bench: &Bench, agent: &Process, is_so: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let range = status(bench)["range"].take();
        if is_so(&range) {
            return range;
        }
        assert!(start.elapsed() < PATIENCE, "{range:#}\n{}", agent.said());
        sleep(Duration::from_millis(100));
    }
}

fn energy(range: &Value) -> f64 {
    range["wh_per_km"].as_f64().unwrap()
}

/// Waits until the newest energy per kilometre that the server has is as `is_so` wants it.
fn told(release: &Release<'_>, agent: &Process, is_so: impl Fn(f64) -> bool) {
    release.wait("/api/vehicle/v1", agent, PATIENCE, |report| {
        let lines = report["estimates"].as_array().unwrap();
        let newest = lines.iter().find(|line| line["quantity"] == "energy per kilometre");
        newest.and_then(|line| line["subjects"][0]["value"].as_f64()).is_some_and(&is_so)
    });
}

#[test]
fn what_the_fleet_says_is_ahead_changes_what_is_foretold_until_its_end() {
    let model = rig::root().join("models/range/range.toml");
    // Four minutes of the drive in a second: two hours of it are half a minute.
    let bench = bench("24", "240", &format!("[range]\nmodel = {:?}\n", rig::text(&model)));
    let release = Release::begin(&bench, &[]);
    let mut agent = bench.agent("agent.toml");
    let own = foretold(&bench, &agent, |range| !range.is_null());
    assert!(own["ahead"].is_null() && own["trips"].as_u64() >= Some(1), "{own:#}");

    ask(&release, "ahead --temperature-c -15 --road motorway --hours 2");
    let outcomes = dealt_with(&release, &agent);
    assert_eq!(outcomes, [("done".to_owned(), String::new())]);
    let cold = foretold(&bench, &agent, |range| !range["ahead"].is_null());
    assert_eq!(cold["ahead"], "-15.0 °C, motorway");
    assert!(energy(&cold) > 1.25 * energy(&own), "{own:#} {cold:#}");
    assert!(cold["range_km"].as_f64() < own["range_km"].as_f64(), "{own:#} {cold:#}");
    told(&release, &agent, |value| value > 1.25 * energy(&own));
    let page = release.page("/vehicle/v1");
    assert!(page.contains("Foretold for -15.0 °C, motorway until"), "{page}");
    assert!(page.contains("command 1 of ann") && page.contains("foretell the range for"), "{page}");

    // It ends by itself, two hours of the vehicle's time later, and its own trips speak again.
    let after = foretold(&bench, &agent, |range| range["ahead"].is_null());
    assert!((energy(&after) / energy(&own) - 1.0).abs() < 0.2, "{own:#} {after:#}");
    told(&release, &agent, |value| value < 1.2 * energy(&own));

    ask(&release, "ahead --road motorway --hours 100");
    dealt_with(&release, &agent);
    foretold(&bench, &agent, |range| range["ahead"] == "motorway");
    // Over a restart it holds on, with the trips, before another one has ended.
    agent.terminate();
    assert_eq!(agent.ended(PATIENCE).code(), Some(0), "{}", agent.said());
    let before = agent.said();
    agent = bench.agent("agent.toml");
    let again = foretold(&bench, &agent, |range| range["ahead"] == "motorway");
    assert!(again["trips"].as_u64() >= own["trips"].as_u64(), "{again:#}");
    ask(&release, "ahead --none");
    dealt_with(&release, &agent);
    foretold(&bench, &agent, |range| range["ahead"].is_null());
    assert!(!release.page("/vehicle/v1").contains("Foretold for"), "taken back");
    let said = before + &agent.said();
    for id in 1..=3 {
        assert_eq!(said.matches(&format!("command {id}: ")).count(), 1, "once each: {said}");
    }
    agent.terminate();
    assert_eq!(agent.ended(PATIENCE).code(), Some(0), "{}", agent.said());
    release.end();
}
