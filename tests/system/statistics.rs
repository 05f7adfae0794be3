//! Statistics from end to end: what the cloud says of every signal of a drive is what stands in the log, as shares of time.
//! Once of the simulated vehicle, once of a real car.

use crate::rig;
use crate::snapshot::{Samples, get, in_the_log, serve};
use serde_json::Value;
use std::fs;
use std::path::Path;
use telltale_cloud::pki::{Existing, Pki, Validity};
use telltale_core::catalog::{Catalog, CatalogSignal};
use telltale_core::trace::{Format, LineParser};
use telltale_wire::ids::VehicleId;

const VEHICLE: &str = "bench-01";
const SECOND: u64 = 1_000_000;

/// The real log lasts eleven seconds: it is driven so often, one after another.
const ROUNDS: u64 = 4;
/// What one step of time lies between two rounds, in microseconds.
const BETWEEN: u64 = 10_000;

/// The ends of the steps that the vehicle looks at: a stretch begins with its first frame, and the last one ends with the
/// step that its latest frame began.
fn ends(times: &[u64], period_s: u64) -> Vec<u64> {
    let (mut ends, mut rest) = (Vec::new(), times);
    while let Some(from) = rest.first() {
        let within = rest.partition_point(|at| *at < from + period_s * SECOND);
        let is_last = within == rest.len();
        let steps = if is_last { (rest[within - 1] - from) / SECOND + 1 } else { period_s };
        ends.extend((1..=steps).map(|step| from + step * SECOND));
        rest = &rest[within..];
    }
    ends
}

/// When each frame of a log came.
fn times(log: &Path) -> Vec<u64> {
    let text = fs::read(log).unwrap();
    let mut parser = LineParser::new(Format::sniff(&text).unwrap());
    let lines = text.split(|byte| *byte == b'\n');
    lines.filter_map(|line| Some(parser.parse(line).unwrap()?.at_us as u64)).collect()
}

/// The value of a signal at the end of each step, ascending: its latest sample, unless that has no value or is too old.
fn standing(signal: &CatalogSignal, samples: &[(u64, Option<f64>)], ends: &[u64]) -> Vec<f64> {
    let stale = signal.stale_after.as_micros() as u64;
    let at_the_end = |end: &u64| {
        let before = samples.partition_point(|(at, _)| at < end);
        let (at, value) = samples[..before].last()?;
        value.filter(|_| end - at <= stale)
    };
    let mut values: Vec<f64> = ends.iter().filter_map(at_the_end).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Drives the log through an agent that syncs with a cloud, and gives what that says of the signals.
fn told(dir: &Path, catalog: &Path, log: &str, period_s: u64) -> Value {
    let at = |name: &str| dir.join(name);
    let pki = Pki::init(&at("pki"), &[], Existing::Keep).unwrap();
    let vehicle = VehicleId::new(VEHICLE).unwrap();
    let files = pki.enroll(&vehicle, &at("vehicle"), Validity::days(1), Existing::Keep).unwrap();
    let (vehicles, people) = serve(dir);
    let config = format!(
        "vehicle = \"{VEHICLE}\"\ncatalog = {catalog:?}\nsource = {{ log = {{ path = {log:?} }} }}\n\
         summary_s = {period_s}\nspool = {{ dir = \"spool\" }}\n\
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
    answer
}

/// Compares all quantiles of all signals with the log's own; gives how many signals had values and how many quantiles were
/// compared.
fn compare(catalog: &Catalog, samples: &Samples, ends: &[u64], answer: &Value) -> (usize, usize) {
    let lines = answer["signals"].as_array().unwrap();
    assert_eq!(lines.len(), catalog.signals.len());
    let (mut heard, mut compared) = (0, 0);
    for (signal, line) in catalog.signals.iter().zip(lines) {
        assert_eq!(line["name"], signal.vss);
        let range = (signal.vss.clone(), 0)..=(signal.vss.clone(), u64::MAX);
        let own: Vec<(u64, Option<f64>)> =
            samples.range(range).map(|((_, at), (_, bits))| (*at, bits.map(f64::from_bits))).collect();
        let values = standing(signal, &own, ends);
        assert_eq!(line["values"].as_u64().unwrap(), values.len() as u64, "{}", signal.vss);
        if values.is_empty() {
            continue;
        }
        heard += 1;
        let error = line["relative_error"].as_f64().unwrap();
        for (name, q) in [("p1", 0.01), ("p50", 0.5), ("p99", 0.99)] {
            // Between two values either of them is the quantile.
            let rank = q * (values.len() - 1) as f64;
            let (low, high) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
            let told = line[name].as_f64().unwrap();
            let room = error * low.abs().max(high.abs()) + 1e-6;
            assert!(
                (low - room..=high + room).contains(&told),
                "{} {name}: {told}, {low} to {high}",
                signal.vss
            );
            compared += 1;
        }
    }
    (heard, compared)
}

#[test]
fn quantiles_at_the_cloud_are_the_logs_shares_of_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("drive.log");
    rig::telltale_ok(&["simulate", "--seed", "2", "--hours", "1", "-o", rig::text(&log)]);
    let path = rig::cell_fault().join("catalog-sim.toml");
    let answer = told(dir.path(), &path, "drive.log", 60);
    assert!(answer["records"].as_u64().unwrap() > 30, "too few stretches to merge: {}", answer["records"]);
    let catalog = telltale_agent::load::catalog(&path).unwrap();
    let samples = in_the_log(&catalog, &log, 0, u64::MAX);
    let (heard, compared) = compare(&catalog, &samples, &ends(&times(&log), 60), &answer);
    println!("simulated: {compared} quantiles of {heard} signals compared");
    assert!(compared > 300, "{compared}");
}

#[test]
fn quantiles_of_a_real_car_are_its_logs_shares_of_time() {
    let Some(data) = rig::recordings("kona_ev_can") else { return };
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("drive.csv");
    fs::write(&log, rounds(&fs::read_to_string(data.join(crate::kona::LOG)).unwrap())).unwrap();
    let dbc = dir.path().join("pcan.dbc");
    fs::copy(data.join("dbc/pcan.dbc"), &dbc).unwrap();
    let path = dir.path().join("catalog.toml");
    fs::write(&path, rig::telltale_ok(&["catalog", "init", "--dbc", rig::text(&dbc)])).unwrap();
    let answer = told(dir.path(), &path, "drive.csv", 10);
    assert!(answer["records"].as_u64().unwrap() >= 4, "too few stretches to merge: {}", answer["records"]);
    let catalog = telltale_agent::load::catalog(&path).unwrap();
    let samples = in_the_log(&catalog, &log, 0, u64::MAX);
    let ends = ends(&times(&log), 10);
    let (heard, compared) = compare(&catalog, &samples, &ends, &answer);
    println!("kona: {compared} quantiles of {heard} signals compared, over {} steps", ends.len());
    assert!(heard > 300 && compared == 3 * heard, "{heard}");
}

/// The log several times, one round after another.
fn rounds(log: &str) -> String {
    let mut lines = log.lines();
    let header = lines.next().unwrap();
    let frames: Vec<(u64, &str)> = lines
        .map(|line| line.split_once(',').unwrap())
        .map(|(at, rest)| (at.parse().unwrap(), rest))
        .collect();
    let span = frames[frames.len() - 1].0 - frames[0].0 + BETWEEN;
    let mut text = format!("{header}\n");
    for round in 0..ROUNDS {
        for (at, rest) in &frames {
            text += &format!("{},{rest}\n", at + round * span);
        }
    }
    text
}
