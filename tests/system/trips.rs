//! Trips from end to end: simulated drives through the real agent to a real cloud, beside what the physics had.

use crate::rig;
use crate::snapshot::{get, serve};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use telltale_cloud::pki::{Existing, Pki, Validity};
use telltale_wire::ids::VehicleId;

const VEHICLE: &str = "bench-01";
/// The bounds that are promised on the simulated vehicle, whose BMS tells the speed once a second and the current ten
/// times: shares of the distance and of the energy, and seconds of either end.
const DISTANCE: f64 = 0.005;
const ENERGY: f64 = 0.01;
/// What comes back comes in seconds of braking, and is a tenth of what is used.
const RECUPERATED: f64 = 0.03;
const SECONDS: f64 = 3.0;

/// Simulates by a plan; gives the journeys as the physics had them.
fn drive(dir: &Path, seed: &str, plan: &str, hours: &str) -> Vec<Value> {
    let at = |name: &str| dir.join(name);
    fs::write(at("vehicle.toml"), format!("[usage]\nplan = {plan}\n")).unwrap();
    rig::telltale_ok(&[
        "simulate",
        "--seed",
        seed,
        "--hours",
        hours,
        "--spec",
        rig::text(&at("vehicle.toml")),
        "--journeys",
        rig::text(&at("journeys.json")),
        "-o",
        rig::text(&at("drive.log")),
    ]);
    serde_json::from_str(&fs::read_to_string(at("journeys.json")).unwrap()).unwrap()
}

/// Sends the log through an agent with this catalog to a cloud; gives where its pages are.
fn sent(dir: &Path, catalog: &Path) -> SocketAddr {
    let pki = Pki::init(&dir.join("pki"), &[], Existing::Keep).unwrap();
    let vehicle = VehicleId::new(VEHICLE).unwrap();
    let files = pki.enroll(&vehicle, &dir.join("vehicle"), Validity::days(1), Existing::Keep).unwrap();
    let (vehicles, people) = serve(dir);
    let config = format!(
        "vehicle = \"{VEHICLE}\"\ncatalog = {catalog:?}\nsource = {{ log = {{ path = \"drive.log\" }} }}\n\
         spool = {{ dir = \"spool\" }}\n\
         [uplink]\nurl = \"https://localhost:{}\"\nca = {:?}\ncert = {:?}\nkey = {:?}\n",
        vehicles.port(),
        files.authority,
        files.certificate,
        files.key,
    );
    fs::write(dir.join("telltale.toml"), config).unwrap();
    rig::telltale_ok(&["run", "--config", rig::text(&dir.join("telltale.toml"))]);
    people
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} of {value}"))
}

#[test]
fn simulated_drives_arrive_as_trips_with_their_distance_and_energy() {
    let dir = tempfile::tempdir().unwrap();
    // A stop of four minutes belongs to its trip; parking and charging part two.
    let plan = r#"["suburban:900", "idle:240", "rural:600", "park:1800", "urban:900", "dc-charge", "motorway:600", "park:900"]"#;
    let journeys = drive(dir.path(), "3", plan, "2.6");
    assert!(journeys.len() >= 3, "{journeys:#?}");
    let people = sent(dir.path(), &rig::cell_fault().join("catalog-sim.toml"));
    let report: Value = serde_json::from_str(&get(people, &format!("/api/vehicle/{VEHICLE}/trips"))).unwrap();
    let mut trips = report["trips"].as_array().unwrap().clone();
    trips.reverse();
    assert_eq!(trips.len(), journeys.len(), "{report:#}");
    let (mut furthest, mut worst) = (0.0_f64, 0.0_f64);
    for (trip, truth) in trips.iter().zip(&journeys) {
        let off = |key: &str| number(trip, key) / number(truth, key) - 1.0;
        let energy = [off("used_kwh"), off("recuperated_kwh")];
        let lasted = number(truth, "to_s") - number(truth, "from_s");
        println!(
            "{:.2} km: distance off by {:+.3} %, energy by {:+.3} % and {:+.3} %, duration by {:+.1} s; {} kWh/100 km",
            number(truth, "distance_km"),
            100.0 * off("distance_km"),
            100.0 * energy[0],
            100.0 * energy[1],
            number(trip, "duration_s") - lasted,
            number(trip, "kwh_per_100_km"),
        );
        furthest = furthest.max(off("distance_km").abs());
        worst = worst.max(energy[0].abs());
        assert!(energy[1].abs() < RECUPERATED, "{trip:#} {truth:#}");
        assert!((number(trip, "duration_s") - lasted).abs() < SECONDS, "{trip:#} {truth:#}");
        let net = number(truth, "used_kwh") - number(truth, "recuperated_kwh");
        let per = 100.0 * net / number(truth, "distance_km");
        assert!((number(trip, "kwh_per_100_km") / per - 1.0).abs() < DISTANCE + 2.0 * ENERGY);
        assert!(number(trip, "charge_from") > number(trip, "charge_to"), "{trip:#}");
        assert_eq!((&trip["harsh_braking"], &trip["unknown_s"]), (&Value::from(0), &Value::from(0.0)));
        assert_eq!(trip["ambient_absent"], "signal not received", "this catalog has no air temperature");
    }
    assert!(furthest < DISTANCE && worst < ENERGY, "{furthest} {worst}");

    let csv = get(people, &format!("/api/vehicle/{VEHICLE}/trips.csv"));
    assert_eq!(csv.lines().count(), trips.len() + 1, "{csv}");
    let since = trips[1]["from"]["at"].as_str().unwrap();
    let later: Value =
        serde_json::from_str(&get(people, &format!("/api/vehicle/{VEHICLE}/trips?from={since}"))).unwrap();
    assert_eq!(later["trips_total"], trips.len() - 1);
    let page = get(people, &format!("/vehicle/{VEHICLE}"));
    let shown = format!("{:.2} km", number(&trips[0], "distance_km"));
    assert!(page.contains("<h2>Trips</h2>") && page.contains(&shown), "{shown} is not on the page");
}

#[test]
fn without_a_speed_signal_there_is_no_trip() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(drive(dir.path(), "3", r#"["urban:300", "park:600"]"#, "0.2").len(), 1);
    let catalog = fs::read_to_string(rig::cell_fault().join("catalog-sim.toml")).unwrap();
    let dbc = rig::cell_fault().join("bms.dbc");
    let catalog = catalog.replace("\"bms.dbc\"", &format!("{:?}", rig::text(&dbc)));
    let (with, without) = (dir.path().join("with.toml"), dir.path().join("without.toml"));
    fs::write(&without, catalog.replace("\"Vehicle.Speed\"", "\"Vehicle.OtherSpeed\"")).unwrap();
    fs::write(&with, catalog).unwrap();
    let log = dir.path().join("drive.log");
    let trips = |catalog: &Path| rig::replay(catalog, &log)["trips"].as_array().unwrap().len();
    assert_eq!((trips(&with), trips(&without)), (1, 0));
}

/// The odometer's reading of each row whose time and reading are there, in order.
fn odometer(csv: &str) -> Vec<(String, f64)> {
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let place = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let (time, odometer) = (place("tboxTime"), place("vehOdo"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let km: f64 = cells[odometer].parse().ok().filter(|km| *km > 0.0)?;
        Some((cells[time].replace(' ', "T"), km))
    };
    lines.filter_map(row).collect()
}

/// A car in service for four weeks, whose speed was recorded every ten seconds: its trips beside its odometer.
#[test]
fn the_trips_of_a_real_car_are_as_long_as_its_odometer_says() {
    let Some(data) = rig::recordings("ev_cell_faults") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (csv, log, model) = (dir.path().join("car.csv"), dir.path().join("car.log"), rig::cell_fault());
    rig::unzip(&data.join("car3_processed.zip"), &csv);
    rig::telltale_ok(&[
        "encode",
        "--dbc",
        rig::text(&model.join("bms.dbc")),
        "--columns",
        rig::text(&model.join("columns-car3.toml")),
        rig::text(&csv),
        "-o",
        rig::text(&log),
    ]);
    let report = rig::replay(&model.join("catalog-car3.toml"), &log);
    let readings = odometer(&fs::read_to_string(&csv).unwrap());
    let read = |at: &str| {
        let behind = readings.partition_point(|(time, _)| time.as_str() <= &at[..19]);
        readings[behind.min(readings.len() - 1)].1
    };
    let trips = report["trips"].as_array().unwrap();
    let (mut off, mut km, mut driven) = (Vec::new(), 0.0, 0.0);
    for trip in trips {
        let text = |key: &str| trip[key].as_str().unwrap().to_owned();
        let by_odometer = read(&text("to")) - read(&text("from"));
        (km, driven) = (km + number(trip, "distance_km"), driven + by_odometer);
        if by_odometer > 5.0 {
            off.push((number(trip, "distance_km") / by_odometer - 1.0).abs());
        }
        let known = number(trip, "acceleration_known_s") / number(trip, "moving_s");
        assert!(known < 0.5, "ten seconds tell of no acceleration: {trip:#}");
    }
    off.sort_by(f64::total_cmp);
    let middle = off[off.len() / 2];
    let told = trips.iter().filter(|trip| trip["kwh_per_100_km"].is_number()).count();
    println!(
        "car3: {} trips, {km:.0} km of {driven:.0} by the odometer; {} over 5 km, half of them within {:.1} %; {told} with energy",
        trips.len(),
        off.len(),
        100.0 * middle
    );
    assert!(off.len() > 100 && middle < 0.03, "{} {middle}", off.len());
}
