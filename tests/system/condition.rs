//! The drive's condition from end to end: each planted fault of the powertrain is named by the rules, a sound drive is
//! not, and what was observed outlives a restart of the agent.

use crate::rig;
use crate::snapshot::{get, serve};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use telltale_cloud::pki::{Existing, Pki, Validity};
use telltale_wire::ids::VehicleId;

const VEHICLE: &str = "bench-01";

fn folder() -> PathBuf {
    rig::root().join("models/powertrain-consistency")
}

/// The catalog without the model beside it, so that the rules alone judge.
fn catalog(dir: &Path) -> PathBuf {
    let mut text = fs::read_to_string(folder().join("catalog-sim.toml")).unwrap();
    for dbc in ["../cell-fault/bms.dbc", "../../cross/sil/powertrain.dbc"] {
        let at = folder().join(dbc).canonicalize().unwrap();
        text = text.replace(&format!("{dbc:?}"), &format!("{:?}", rig::text(&at)));
    }
    let path = dir.join("catalog.toml");
    fs::write(&path, text).unwrap();
    path
}

/// Simulates by a plan with a fault from the start; gives the log.
fn drive(dir: &Path, name: &str, plan: &str, hours: &str, fault: &str) -> PathBuf {
    let (spec, log) = (dir.join(format!("{name}.toml")), dir.join(format!("{name}.log")));
    fs::write(&spec, format!("[usage]\nplan = {plan}\n[periods]\ncells_ms = 10000\ntemps_ms = 10000\n"))
        .unwrap();
    rig::telltale_ok(&[
        "simulate",
        "--seed",
        "7",
        "--hours",
        hours,
        "--spec",
        rig::text(&spec),
        "--powertrain",
        "can1",
        "--fault",
        fault,
        "-o",
        rig::text(&log),
    ]);
    log
}

/// What the rules call anomalous.
fn named(catalog: &Path, log: &Path) -> Vec<String> {
    let rules = folder().join("condition.toml");
    let out = rig::telltale_ok(&[
        "replay",
        "--catalog",
        rig::text(catalog),
        "--condition",
        rig::text(&rules),
        "--json",
        rig::text(log),
    ]);
    let report: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    rig::subjects(&report)
}

const LONG: &str = r#"["suburban:1200", "rural:1200"]"#;
/// Starts often.
const SHORT: &str = r#"["urban:240", "park:300"]"#;

#[test]
fn each_planted_fault_of_the_powertrain_is_named_and_a_sound_drive_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = catalog(dir.path());
    for (fault, plan, expected) in [
        ("none", LONG, None),
        ("none", SHORT, None),
        ("torque-offset:onset=0", LONG, Some("Torque")),
        ("current-gain:onset=0", LONG, Some("InverterCurrent")),
        ("motor-temperature-drift:onset=0,k_per_hour=20", LONG, Some("MotorTemperature")),
        ("blocked-drive-cooling:onset=0", LONG, Some("DriveCooling")),
        ("weak-contactor:onset=0", LONG, Some("Contactors")),
        ("aged-low-voltage-battery:onset=0", SHORT, Some("LowVoltageBattery")),
    ] {
        let log = drive(dir.path(), "drive", plan, "1.5", fault);
        let found = named(&catalog, &log);
        println!("{fault}: {found:?}");
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{fault}");
    }
}

/// Runs an agent on a log until it is synced.
fn run(dir: &Path, uplink: &str, log: &Path) {
    let config = format!(
        "vehicle = \"{VEHICLE}\"\ncatalog = \"catalog.toml\"\ncondition = {:?}\n\
         source = {{ log = {{ path = {log:?} }} }}\nspool = {{ dir = \"spool\" }}\n{uplink}",
        folder().join("condition.toml")
    );
    fs::write(dir.join("telltale.toml"), config).unwrap();
    rig::telltale_ok(&["run", "--config", rig::text(&dir.join("telltale.toml"))]);
}

#[test]
fn what_was_observed_outlives_a_restart_and_the_cloud_shows_it() {
    let dir = tempfile::tempdir().unwrap();
    catalog(dir.path());
    let log = drive(dir.path(), "drive", LONG, "0.5", "weak-contactor:onset=0");
    let text = fs::read_to_string(&log).unwrap();
    // Two drives of a quarter of an hour have too few observations each, and enough together.
    let half = text[..text.len() / 2].rfind('\n').unwrap() + 1;
    let (first, second) = (dir.path().join("first.log"), dir.path().join("second.log"));
    fs::write(&first, &text[..half]).unwrap();
    fs::write(&second, &text[half..]).unwrap();

    let pki = Pki::init(&dir.path().join("pki"), &[], Existing::Keep).unwrap();
    let vehicle = VehicleId::new(VEHICLE).unwrap();
    let files = pki.enroll(&vehicle, &dir.path().join("vehicle"), Validity::days(1), Existing::Keep).unwrap();
    let (vehicles, people) = serve(dir.path());
    let uplink = format!(
        "[uplink]\nurl = \"https://localhost:{}\"\nca = {:?}\ncert = {:?}\nkey = {:?}\n",
        vehicles.port(),
        files.authority,
        files.certificate,
        files.key,
    );
    let anomalies = || -> Vec<Value> {
        let report: Value = serde_json::from_str(&get(people, &format!("/api/vehicle/{VEHICLE}"))).unwrap();
        report["events"].as_array().unwrap().clone()
    };
    run(dir.path(), &uplink, &first);
    assert_eq!(anomalies(), Vec::<Value>::new());
    assert!(dir.path().join("spool/condition").is_file());
    run(dir.path(), &uplink, &second);
    let events = anomalies();
    assert_eq!(events.len(), 1, "{events:#?}");
    assert_eq!((&events[0]["subject"], &events[0]["model"]), (&"Contactors".into(), &"condition".into()));
    let since = events[0]["since"]["at"].as_str().unwrap();
    assert!(since < events[0]["when"]["at"].as_str().unwrap(), "since the drive before: {since}");
    let page = get(people, &format!("/vehicle/{VEHICLE}"));
    assert!(page.contains("Condition of the drive") && page.contains("contactor resistance"), "{page}");
}
