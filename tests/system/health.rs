//! A simulated pack charges, and the vehicle's loop tells what its cells can still hold; at a charger that the model does
//! not know it says so instead of giving a number. With recordings at hand, the shipped model's figures are held.

use crate::rig;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What the simulator's ageing takes from a pack of 4 years and 800 cycles: 0.02 a root of a year, 0.0001 a cycle.
const TRUTH: f64 = 1.0 - 0.02 * 2.0 - 0.08;

/// Replays one charge of an aged pack with the model of the simulated pack.
fn charged(folder: &Path, charger: &str, hours: u32) -> Value {
    let (vehicle, log) = (folder.join("vehicle.toml"), folder.join("charge.log"));
    let text = format!(
        "hours = {hours}\n[pack]\ncharge = 0.3\nage_years = 4.0\ncycles = 800\n[thermal]\nambient_c = 22\n[usage]\n\
         plan = [\"idle:900\", \"{charger}\", \"idle:900\", \"park:86400\"]\n[periods]\npack_ms = 1000\ncells_ms = 5000\n"
    );
    fs::write(&vehicle, text).unwrap();
    let cells = folder.join("cells.json");
    let truth = ["--cells", rig::text(&cells), "-o", rig::text(&log)];
    rig::telltale_ok(&[&["simulate", "--seed", "77", "--spec", rig::text(&vehicle)], &truth[..]].concat());
    let (catalog, model) =
        (rig::cell_fault().join("catalog-sim.toml"), rig::root().join("models/state-of-health-sim"));
    let args =
        ["replay", "--catalog", rig::text(&catalog), "--model", rig::text(&model), rig::text(&log), "--json"];
    let report: Value = serde_json::from_str(rig::telltale_ok(&args).lines().last().unwrap()).unwrap();
    let estimates = report["estimates"].as_array().unwrap();
    assert_eq!(estimates.len(), 1, "one charge: {report}");
    estimates[0].clone()
}

#[test]
fn a_fast_charge_tells_each_cells_health_and_resistance() {
    let folder = tempfile::tempdir().unwrap();
    let estimate = charged(folder.path(), "dc-charge", 4);
    assert_eq!(
        (estimate["quantity"].as_str(), estimate["coverage"].as_f64().is_some()),
        (Some("state of health"), true)
    );
    let subjects = estimate["subjects"].as_array().unwrap();
    assert_eq!(subjects.len(), 96);
    let of = |key: &str| subjects.iter().filter_map(|s| s[key].as_f64()).collect::<Vec<_>>();
    let (values, low, high, ohm) = (of("value"), of("low"), of("high"), of("resistance_ohm"));
    assert_eq!((values.len(), ohm.len()), (96, 96), "{estimate}");
    // Cells are spread by 1 %; a hundred of them lie around the pack's own.
    let mean = values.iter().sum::<f64>() / 96.0;
    println!("{mean:.4} where {TRUTH:.4} is true; cell 1: {}", subjects[0]);
    assert!((mean - TRUTH).abs() < 0.02, "{mean}");
    let holding =
        low.iter().zip(&high).filter(|(low, high)| **low - 0.01 <= TRUTH && TRUTH <= **high + 0.01).count();
    assert!(holding >= 80, "{holding} of 96 intervals hold the truth and the cells' spread");
    for (ohm, truth) in ohm.iter().zip(pulses(folder.path(), 20.0)) {
        // As the card says: where in a step of the grid the plug went in is worth a tenth.
        assert!((ohm / truth - 1.0).abs() < 0.13, "{ohm} where {truth} is true");
    }
}

/// Each cell's resistance over a pulse of so many seconds, by the simulator's own circuit.
fn pulses(folder: &Path, seconds: f64) -> Vec<f64> {
    let cells: Value = serde_json::from_slice(&fs::read(folder.join("cells.json")).unwrap()).unwrap();
    let of = |value: &Value| value.as_f64().unwrap();
    let pulse = |cell: &Value| {
        let pairs = cell["pairs"].as_array().unwrap().iter();
        let grown = pairs.map(|pair| of(&pair["ohm"]) * (1.0 - (-seconds / of(&pair["tau_s"])).exp()));
        of(&cell["ohmic_ohm"]) + grown.sum::<f64>()
    };
    cells.as_array().unwrap().iter().map(pulse).collect()
}

#[test]
fn a_charger_that_the_model_does_not_know_gives_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let estimate = charged(folder.path(), "ac-charge", 14);
    for subject in estimate["subjects"].as_array().unwrap() {
        assert_eq!(subject["why"], "outside the training regime", "{subject}");
        assert!(subject["value"].is_null());
    }
}

/// The whole evaluation, from the recordings through the vehicle's code to the figures that the card claims.
#[test]
fn the_figures_on_recordings_hold() {
    let Some(data) = rig::recordings("nasa_battery").and_then(|path| path.parent().map(Path::to_owned))
    else {
        return;
    };
    let Some(python) = std::env::var_os("TELLTALE_MODELS_PYTHON") else {
        println!(
            "skipped: TELLTALE_MODELS_PYTHON names no Python with models/requirements.txt (`cargo xtask models` makes one)"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(python)
        .arg(rig::root().join("models/state-of-health/evaluate.py"))
        .arg("--telltale")
        .arg(rig::program("telltale"))
        .arg("--data")
        .arg(data)
        .arg("--work")
        .arg(folder.path())
        .arg("--json")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", rig::stderr(&output));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (key, most) in [("nasa_lobo_rmse", 0.0214), ("hust_rmse", 0.0256), ("xjtu_rmse", 0.0121)] {
        let (int8, f32) = (figures[key].as_f64().unwrap(), figures[format!("{key}_f32")].as_f64().unwrap());
        println!("{key}: {int8:.4} in int8, {f32:.4} in f32, {most} to beat");
        assert!(int8 < most && int8 < f32 * 1.02, "{key}: {int8} in int8, {f32} in f32");
    }
}
