//! Statistics from end to end: what the cloud says of every signal of a drive is what stands in the log, as shares of time.

use crate::rig;
use crate::snapshot::{get, in_the_log, serve};
use serde_json::Value;
use std::fs;
use telltale_cloud::pki::{Existing, Pki, Validity};
use telltale_core::catalog::CatalogSignal;
use telltale_wire::ids::VehicleId;

const VEHICLE: &str = "bench-01";
const SIGNAL: &str = "Vehicle.Powertrain.TractionBattery.CurrentVoltage";
const SECOND: u64 = 1_000_000;

/// The value of a signal at the end of each second from a moment on, ascending: its latest sample, unless that has no value
/// or is too old.
fn standing(signal: &CatalogSignal, samples: &[(u64, Option<f64>)], from: u64, until: u64) -> Vec<f64> {
    let stale = signal.stale_after.as_micros() as u64;
    let mut values: Vec<f64> = (1..)
        .map(|step| from + step * SECOND)
        .take_while(|end| *end <= until)
        .filter_map(|end| {
            let before = samples.partition_point(|(at, _)| *at < end);
            let (at, value) = samples[..before].last()?;
            value.filter(|_| end - at <= stale)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    values
}

#[test]
fn quantiles_at_the_cloud_are_the_logs_shares_of_time() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let pki = Pki::init(&at("pki"), &[], Existing::Keep).unwrap();
    let vehicle = VehicleId::new(VEHICLE).unwrap();
    let files = pki.enroll(&vehicle, &at("vehicle"), Validity::days(1), Existing::Keep).unwrap();
    let (vehicles, people) = serve(dir.path());
    let log = at("drive.log");
    rig::telltale_ok(&["simulate", "--seed", "2", "--hours", "1", "-o", rig::text(&log)]);
    let catalog = rig::cell_fault().join("catalog-sim.toml");
    let config = format!(
        "vehicle = \"{VEHICLE}\"\ncatalog = {catalog:?}\nsource = {{ log = {{ path = \"drive.log\" }} }}\n\
         spool = {{ dir = \"spool\" }}\n\
         [uplink]\nurl = \"https://localhost:{}\"\nca = {:?}\ncert = {:?}\nkey = {:?}\n",
        vehicles.port(),
        files.authority,
        files.certificate,
        files.key,
    );
    fs::write(at("telltale.toml"), config).unwrap();
    rig::telltale_ok(&["run", "--config", rig::text(&at("telltale.toml"))]);

    let answer: Value =
        serde_json::from_str(&get(people, &format!("/api/vehicle/{VEHICLE}/signals"))).unwrap();
    assert_eq!(answer["records"], answer["records_merged"]);
    assert_eq!(answer["series_left_out"], 0);
    assert!(answer["records"].as_u64().unwrap() > 30, "too few stretches to merge: {}", answer["records"]);

    let catalog = telltale_agent::load::catalog(&catalog).unwrap();
    let samples = in_the_log(&catalog, &log, 0, u64::MAX);
    let times = || samples.keys().map(|(_, at)| *at);
    let (first, last) = (times().min().unwrap(), times().max().unwrap());
    let lines = answer["signals"].as_array().unwrap();
    assert_eq!(lines.len(), catalog.signals.len());
    let mut compared = 0;
    for (signal, line) in catalog.signals.iter().zip(lines) {
        assert_eq!(line["name"], signal.vss);
        let range = (signal.vss.clone(), 0)..=(signal.vss.clone(), u64::MAX);
        let own: Vec<(u64, Option<f64>)> =
            samples.range(range).map(|((_, at), (_, bits))| (*at, bits.map(f64::from_bits))).collect();
        let values = standing(signal, &own, first, last);
        let given = line["values"].as_u64().unwrap();
        assert!(given.abs_diff(values.len() as u64) <= 2, "{}: {given} of {}", signal.vss, values.len());
        if values.is_empty() {
            continue;
        }
        let error = line["relative_error"].as_f64().unwrap();
        for (name, q) in [("p1", 0.01), ("p50", 0.5), ("p99", 0.99)] {
            // The vehicle's seconds may lie up to one beside these, and there may be one more or less: two ranks.
            let rank = (q * (values.len() - 1) as f64) as usize;
            let low = values[rank.saturating_sub(2)];
            let high = values[(rank + 2).min(values.len() - 1)];
            let told = line[name].as_f64().unwrap();
            let room = error * low.abs().max(high.abs()) + 1e-6;
            assert!(
                (low - room..=high + room).contains(&told),
                "{} {name}: {told}, {low} to {high}",
                signal.vss
            );
            compared += 1;
        }
        if signal.vss == SIGNAL {
            let truth = values[(values.len() - 1) / 2];
            let told = line["p50"].as_f64().unwrap();
            println!(
                "{SIGNAL}: {told} for {truth}, off by {:.6}, allowed {error:.6}",
                (told - truth).abs() / truth
            );
            assert!((told - truth).abs() <= error * truth, "{told} for {truth}");
        }
    }
    assert!(compared > 300, "{compared}");
    println!("{compared} quantiles compared");
}
