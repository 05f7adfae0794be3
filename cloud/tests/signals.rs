//! Statistics of signals at the cloud: merged over time and over vehicles, as if one sketch had seen every value; and
//! what contradicts itself is left out and counted.

#![allow(clippy::unwrap_used, reason = "a test's own set-up: to fail loudly is its way to say so")]

mod fleet;

use fleet::{Fleet, request, stamp};
use hyper::StatusCode;
use serde_json::Value;
use std::collections::BTreeMap;
use telltale_wire::agent_event::{AgentChange, AgentEvent, ModelFault};
use telltale_wire::command::{CommandAck, CommandOutcome};
use telltale_wire::digest::{Digest, ShortDigest};
use telltale_wire::ids::{BootId, Lane, Seq};
use telltale_wire::record::{RawRecord, Record};
use telltale_wire::signals::{
    BusLoad, BusName, CheckName, CheckStatistics, Directory, Names, Quality, Series, SeriesKind, SeriesName,
    SeriesRun, SignalRecord, Statistics, Values,
};
use telltale_wire::sketch::{Sketch, accuracy, key};
use telltale_wire::sync::Batch;
use telltale_wire::unit::Unit;
use telltale_wire::update::{Disagreements, RunFigures, ShadowReport, UpdateEvent, UpdateReason, UpdateStep};

const DIRECTORY: ShortDigest = ShortDigest([6; 8]);
const STEPS: u64 = 60;
const VOLTAGE: &str = "Vehicle.Powertrain.TractionBattery.CurrentVoltage";
const HOUR: u64 = 3_600;

fn directory() -> Directory {
    let named = |name: &str, kind, unit| SeriesName { name: name.into(), kind, unit, cycle_ms: 100 };
    let series = vec![
        named("Vehicle.Speed", SeriesKind::Signal, Unit::KilometrePerHour),
        named(VOLTAGE, SeriesKind::Signal, Unit::Volt),
        named("cell-fault", SeriesKind::Score, Unit::None),
    ];
    Directory {
        at: stamp(0),
        id: DIRECTORY,
        total: 3,
        first: 0,
        series: Names(series),
        buses: vec![BusName { name: "<b>bms</b>".into(), bitrate: 500_000, data_bitrate: 500_000 }],
        checks: vec![CheckName { name: "pack-is-its-cells".into(), unit: Unit::Volt, tolerance: 2.0 }],
        regimes: vec!["charging".into()],
    }
}

/// Thousandths, 48 of them: the rest of a stretch's steps has no value.
fn values(seed: u64) -> Vec<i64> {
    (0..48).map(|n| 300_000 + ((n * 7_919 + seed * 104_729) % 100_003) as i64).collect()
}

fn sketch(scaled: impl IntoIterator<Item = i64>) -> Sketch {
    let mut buckets = BTreeMap::new();
    for value in scaled {
        *buckets.entry(key(value as f64 / 1e3)).or_insert(0) += 1;
    }
    Sketch::new(0, buckets.into_iter().collect()).unwrap()
}

fn series(scaled: &[i64], absent: [u64; 7]) -> Series {
    let values = Values {
        decimals: 3,
        min: *scaled.iter().min().unwrap(),
        max: *scaled.iter().max().unwrap(),
        last: *scaled.last().unwrap(),
        mean: scaled.iter().sum::<i64>() / scaled.len() as i64,
        sketch: sketch(scaled.iter().copied()),
    };
    let samples = scaled.len() as u64;
    Series { samples, out_of_range: 2, sensor_fault: 1, absent, longest_gap: 5, values: Some(values) }
}

/// The minute that ends at `second`.
fn statistics(second: u64, seed: u64) -> Statistics {
    let speed = Series::unheard(STEPS as u32);
    let scores = Series { out_of_range: 0, sensor_fault: 0, ..series(&[100, 900], [3, 0, 0, 0, 0, 0, 0]) };
    let load = BusLoad {
        frames: 1_000,
        nominal_bits: 110_000,
        worst_bits: 130_000,
        nominal_load: if seed == 1 { 100 } else { 300 },
        nominal_peak: 400 + seed as u16,
        worst_load: 350,
        worst_peak: 500,
        longest_silence: 4,
    };
    let quality = Quality {
        signal_steps: 120,
        valued_steps: 48,
        expected: 1_200,
        received: 600,
        samples: 51,
        plausible: 48,
        checks: vec![CheckStatistics { compared: 40, violated: 10, worst: 3.5 }],
        regimes: vec![45],
        other_regime: 10,
        unknown_regime: 5,
        oldest_ms: 900,
        judged_after_ms: Some(7),
    };
    Statistics {
        from: stamp(second - STEPS),
        to: stamp(second),
        directory: DIRECTORY,
        step_ms: 1_000,
        buses: vec![load],
        quality: Some(quality),
        series: SeriesRun {
            steps: STEPS as u32,
            first: 0,
            series: vec![speed, series(&values(seed), [0, 4, 8, 0, 0, 0, 0]), scores],
        },
    }
}

fn raw(statistics: Statistics) -> RawRecord {
    Record::Signals(SignalRecord::Statistics(statistics)).to_raw().unwrap()
}

fn names() -> Batch {
    let directory = Record::Signals(SignalRecord::Directory(directory())).to_raw().unwrap();
    Batch { boot: BootId::new(3, 7), lane: Lane::Status, first_seq: Seq(1), records: vec![directory] }
}

fn told(records: Vec<RawRecord>) -> Batch {
    Batch { boot: BootId::new(3, 7), lane: Lane::Summary, first_seq: Seq(1), records }
}

async fn json(fleet: &Fleet, path: &str) -> Value {
    let (status, _, body) = fleet.get(path).await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

async fn two_vehicles(fleet: &Fleet) {
    // The first one's names come last, as they do from a spool that empties lane by lane.
    let first = vec![told(vec![raw(statistics(HOUR, 1)), raw(statistics(2 * HOUR, 2))]), names()];
    fleet.enroll("bench-01").sync(&request("bench-01", first)).await.unwrap();
    let second = vec![names(), told(vec![raw(statistics(3 * HOUR, 3))])];
    fleet.enroll("bench-02").sync(&request("bench-02", second)).await.unwrap();
}

#[tokio::test]
async fn merging_over_vehicles_gives_the_sketch_of_all_values() {
    let fleet = Fleet::start().await;
    two_vehicles(&fleet).await;
    let answer = json(&fleet, &format!("/api/signals/{VOLTAGE}")).await;
    let counted = ["vehicles", "records", "records_merged", "records_left_out", "series_left_out"];
    assert_eq!(counted.map(|name| answer[name].as_u64().unwrap()), [2, 3, 3, 0, 0]);
    let [line] = &answer["series"].as_array().unwrap()[..] else { panic!("{answer}") };

    let mut all: Vec<i64> = [1, 2, 3].into_iter().flat_map(values).collect();
    let union = sketch(all.iter().copied());
    let last = *values(3).last().unwrap();
    all.sort_unstable();
    for (name, q) in [("p1", 0.01), ("p50", 0.5), ("p99", 0.99)] {
        let told = line[name].as_f64().unwrap();
        assert_eq!(Some(told), union.quantile(q), "{name}");
        let truth = all[(q * (all.len() - 1) as f64) as usize] as f64 / 1e3;
        assert!((told - truth).abs() <= truth * accuracy(0), "{name}: {told} for {truth}");
    }
    assert_eq!(line["relative_error"], accuracy(0));
    let physical = |scaled: i64| scaled as f64 / 1e3;
    assert_eq!(line["values"], 3 * 48);
    assert_eq!((&line["min"], &line["max"]), (&physical(all[0]).into(), &physical(all[143]).into()));
    assert_eq!((&line["last"], &line["unit"]), (&physical(last).into(), &"V".into()));
    let mean = all.iter().sum::<i64>() as f64 / 144e3;
    assert!((line["mean"].as_f64().unwrap() - mean).abs() < 0.001, "{line}");
    assert_eq!((&line["out_of_range"], &line["sensor_fault"]), (&6.into(), &3.into()));
    let absent = serde_json::json!([
        { "reason": "signal not received", "steps": 12 }, { "reason": "signal stale", "steps": 24 }
    ]);
    assert_eq!(line["absent"], absent);

    let other = json(&fleet, "/api/signals/Vehicle.Nothing").await;
    assert_eq!((&other["records_of_others"], &other["series"]), (&3.into(), &serde_json::json!([])));
}

#[tokio::test]
async fn what_an_older_server_stored_is_found_after_the_update() {
    let mut fleet = Fleet::start().await;
    two_vehicles(&fleet).await;
    let before = json(&fleet, "/api/vehicle/bench-01/signals").await;
    fleet
        .run_sql(concat!(
            "DROP TABLE wrapped_keys; DROP TABLE sealing_keys; DROP TABLE content_keys; DROP TABLE settings; ",
            "DROP TABLE director_before; DROP TABLE drift; DROP TABLE trips; ",
            "DROP TABLE audit; DROP TABLE director; DROP TABLE commands; DROP TABLE shadows; DROP TABLE installed; ",
            "DROP TABLE observations; DROP TABLE members; DROP TABLE rollouts; DROP TABLE groups; DROP TABLE chunks; ",
            "DROP TABLE bundles; DROP INDEX bus_records; DROP TABLE statistics; DROP TABLE directories; ",
            "UPDATE telltale_schema SET version = 2",
        ))
        .await;
    fleet.restart().await;
    assert_eq!(json(&fleet, "/api/vehicle/bench-01/signals").await, before);
    assert_eq!(before["records_merged"], 2);
}

#[tokio::test]
async fn a_vehicle_s_range_is_its_last_day_or_what_is_asked_for() {
    let fleet = Fleet::start().await;
    two_vehicles(&fleet).await;
    let old = told(vec![raw(statistics(HOUR, 4)), raw(statistics(26 * HOUR, 5))]);
    fleet.enroll("bench-03").sync(&request("bench-03", vec![names(), old])).await.unwrap();
    let answer = json(&fleet, "/api/vehicle/bench-03/signals").await;
    assert_eq!(answer["records_merged"], 1);
    assert_eq!(answer["to"], stamp(26 * HOUR).wall.unwrap().to_string());

    let answer = json(&fleet, "/api/vehicle/bench-01/signals").await;
    assert_eq!((&answer["vehicles"], &answer["records_merged"]), (&1.into(), &2.into()));
    let (speed, voltage) = (&answer["signals"][0], &answer["signals"][1]);
    assert_eq!(
        (&speed["name"], &speed["p50"], &speed["values"]),
        (&"Vehicle.Speed".into(), &Value::Null, &0.into())
    );
    assert_eq!(speed["absent"][0]["steps"], 120);
    assert_eq!((&voltage["name"], &voltage["values"]), (&VOLTAGE.into(), &96.into()));
    assert_eq!(voltage["points"].as_array().unwrap().len(), 2);
    let model = &answer["models"][0];
    assert_eq!(
        (&model["name"], &model["values"], &model["max"]),
        (&"cell-fault".into(), &4.into(), &0.9.into())
    );
    let bus = &answer["buses"][0];
    assert_eq!((&bus["frames"], &bus["bits"], &bus["peak"]), (&2_000.into(), &220_000.into(), &0.402.into()));
    assert_eq!((&bus["load"], &bus["longest_silence_s"]), (&0.2.into(), &4.0.into()));
    let quality = &answer["quality"];
    assert_eq!((&quality["completeness"], &quality["coverage"]), (&0.5.into(), &0.4.into()));
    assert_eq!((&quality["consistency"], &quality["checks"][0]["worst"]), (&0.75.into(), &3.5.into()));
    assert_eq!(
        (&quality["regimes"][0]["seconds"], &quality["unknown_regime_s"]),
        (&90.0.into(), &10.0.into())
    );

    let start = stamp(HOUR).wall.unwrap();
    let later = json(&fleet, &format!("/api/vehicle/bench-01/signals?from={start}")).await;
    assert_eq!((&later["records"], &later["signals"][1]["values"]), (&1.into(), &48.into()));
    let until = json(&fleet, &format!("/api/vehicle/bench-01/signals?to={}", start.0 / 1_000_000)).await;
    assert_eq!(
        (&until["records"], &until["signals"][1]["last"]),
        (&1.into(), &Value::from(*values(1).last().unwrap() as f64 / 1e3))
    );

    for bad in ["from=yesterday", "from=2&to=1", "form=1", "to=99999999999999999999"] {
        for path in ["/api/vehicle/bench-01/signals", "/api/signals/Vehicle.Speed"] {
            let (status, _, body) = fleet.get(&format!("{path}?{bad}")).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path}?{bad}");
            assert!(body.contains("`"), "{body}");
        }
    }
    assert_eq!(fleet.get("/api/vehicle/nobody/signals").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_contradicts_itself_is_left_out_and_counted() {
    let fleet = Fleet::start().await;
    let vehicle = fleet.enroll("bench-01");
    let good = raw(statistics(HOUR, 1));
    let cut = RawRecord { kind: 6, body: good.body[..good.body.len() - 9].to_vec() };
    let mut huge = statistics(2 * HOUR, 2);
    huge.series.steps = u32::MAX;
    let mut frozen = statistics(2 * HOUR, 2);
    frozen.step_ms = 0;
    let mut more = statistics(2 * HOUR, 2);
    more.series.series[1].values.as_mut().unwrap().sketch =
        Sketch::new(0, vec![(1, 1 << 40), (2, 1 << 40)]).unwrap();
    more.quality.as_mut().unwrap().received = u64::MAX;
    let mut unnamed = statistics(2 * HOUR, 2);
    unnamed.directory = ShortDigest([9; 8]);
    let mut late = statistics(2 * HOUR, 2);
    late.to.wall = Some(telltale_wire::time::WallTime(i64::MIN));
    let mut records = vec![good, cut];
    records.extend([huge, frozen, more, unnamed, late].map(raw));
    vehicle.sync(&request("bench-01", vec![names(), told(records)])).await.unwrap();

    let answer = json(&fleet, "/api/vehicle/bench-01/signals").await;
    let counted =
        ["records", "records_merged", "records_contradictory", "records_unnamed", "series_left_out"];
    assert_eq!(counted.map(|name| answer[name].as_u64().unwrap()), [5, 2, 2, 1, 2], "{answer}");
    assert_eq!(answer["signals"][1]["values"], 48);
    assert_eq!(answer["quality"]["completeness"], 0.5);
    assert_eq!(fleet.report("bench-01").await["counts"]["malformed"], 1);
    let ages = json(&fleet, "/api/vehicle/bench-01/signals?from=-999999999999&to=999999999999").await;
    assert_eq!(ages["records"], 5, "the one at the clock's beginning lies before any range");
}

#[tokio::test]
async fn the_page_shows_signals_what_is_odd_first_and_the_quality() {
    let fleet = Fleet::start().await;
    two_vehicles(&fleet).await;
    let (_, _, page) = fleet.get("/vehicle/bench-01").await;
    let signals = &page[page.find("<h2>Signals</h2>").unwrap()..];
    let row = &signals[signals.find(VOLTAGE).unwrap()..];
    let row = &row[..row.find("</tr>").unwrap()];
    assert!(row.contains("<polygon points=\"0.0,") && row.contains("<polyline points=\"0.0,"), "{row}");
    assert!(row.contains("20.0 % of the time") && row.contains("signal stale: 16"), "{row}");
    assert!(row.contains("4 samples out of range"), "{row}");
    let median = sketch([1, 2].into_iter().flat_map(values)).quantile(0.5).unwrap();
    assert!(row.contains(&format!("<td class=\"n\">{median:.1}</td>")), "{median} {row}");
    // The speed never came: it stands before the voltage, though its name begins as early.
    let speed = signals.find("Vehicle.Speed").unwrap();
    assert!(speed < signals.find(VOLTAGE).unwrap() && signals[speed..].contains("100.0 % of the time"));
    let buses = &page[page.find("<h2>Buses</h2>").unwrap()..page.find("<h2>Signals</h2>").unwrap()];
    assert!(buses.contains("20.0 %, busiest second 40.2 %"), "{buses}");
    assert!(!buses.contains("<b>bms</b>") && buses.contains("&lt;b&gt;bms&lt;/b&gt;"), "markup of a vehicle");
    assert!(signals.contains("<h2>Data quality</h2>") && signals.contains("20 of 80"), "{signals}");
    assert!(signals.contains("charging 2 min"), "{signals}");

    let (_, _, page) = fleet.get("/vehicle/bench-02").await;
    assert!(page.contains("one point"));
    fleet.enroll("bench-03").sync(&request("bench-03", vec![])).await.unwrap();
    let (_, _, page) = fleet.get("/vehicle/bench-03").await;
    assert!(
        page.contains("No data: no statistics of signals have arrived") && !page.contains("Data quality")
    );
}

#[tokio::test]
async fn hundreds_of_signals_are_cut_on_the_page_and_whole_as_json() {
    let fleet = Fleet::start().await;
    let (mut names, mut told_of) = (directory(), statistics(HOUR, 1));
    let cell = |n| SeriesName {
        name: format!("Cell{n}.Voltage"),
        kind: SeriesKind::Signal,
        unit: Unit::Volt,
        cycle_ms: 0,
    };
    names.series = Names((0..300).map(cell).collect());
    let whole = |n: u64| series(&(0..60).map(|k| 3_700 + (n + k) as i64 % 50).collect::<Vec<_>>(), [0; 7]);
    told_of.series.series = (0..300).map(whole).collect();
    told_of.series.series[277] = Series::unheard(60);
    let names = Record::Signals(SignalRecord::Directory(names)).to_raw().unwrap();
    let batch = told(vec![names, raw(told_of)]);
    fleet.enroll("bench-01").sync(&request("bench-01", vec![batch])).await.unwrap();
    let (_, _, page) = fleet.get("/vehicle/bench-01").await;
    let rows: Vec<&str> = page.split("<th scope=\"row\">Cell").skip(1).collect();
    assert_eq!(rows.len(), 40);
    assert!(rows[0].starts_with("277.Voltage"), "{}", rows[0]);
    assert!(page.contains("40 of 300") && page.contains("href=\"/api/vehicle/bench-01/signals\""));
    let answer = json(&fleet, "/api/vehicle/bench-01/signals").await;
    assert_eq!(answer["signals"].as_array().unwrap().len(), 300);
}

#[tokio::test]
async fn what_happened_to_the_agent_is_told() {
    let fleet = Fleet::start().await;
    let model = fleet::model();
    let why = "<i>panicked</i>".to_owned();
    let fault = ModelFault::TooSlow;
    let changes = [
        AgentChange::ModelIsolated {
            model: model.clone(),
            fault,
            failures: 3,
            retry_after_s: 600,
            why: why.clone(),
        },
        AgentChange::ModelResumed { model },
        AgentChange::ReloadRefused { why },
    ];
    let record = |change| Record::Agent(AgentEvent { at: stamp(5), change }).to_raw().unwrap();
    let batch = told(changes.map(record).to_vec());
    fleet.enroll("bench-01").sync(&request("bench-01", vec![batch])).await.unwrap();
    let report = fleet.report("bench-01").await;
    let events = report["agent_events"].as_array().unwrap();
    let isolated = "cell-fault switched off after 3 failures in a row (too slow), tried again in 600 s";
    assert_eq!(
        (events.len(), &events[2]["what"], &events[2]["is_fault"]),
        (3, &isolated.into(), &true.into())
    );
    let (_, _, page) = fleet.get("/vehicle/bench-01").await;
    assert!(page.contains("Events of the agent") && page.contains("cell-fault runs again"), "{page}");
    assert!(page.contains(isolated) && page.contains("reload refused") && !page.contains("<i>"), "{page}");
}

#[tokio::test]
async fn updates_and_commands_are_told_among_the_events_of_the_agent() {
    let fleet = Fleet::start().await;
    let event = UpdateEvent {
        at: stamp(5),
        family: "cell-fault".into(),
        release: 7,
        version: "1.4.0".into(),
        bundle: Digest::of(b"index"),
        step: UpdateStep::RolledBack,
        reason: Some(UpdateReason::Disagrees),
        why: "9 of <b>100</b>".into(),
    };
    let ack = CommandAck {
        at: stamp(6),
        desired_state: 3,
        id: 4,
        outcome: CommandOutcome::Done,
        why: String::new(),
    };
    let shadow = ShadowReport {
        from: stamp(1),
        to: stamp(4),
        family: "cell-fault".into(),
        release: 7,
        bundle: event.bundle,
        reference: fleet::model(),
        is_trial: false,
        windows: 10,
        compared: 960,
        disagreements: Disagreements { only_candidate_anomalous: 9, ..Disagreements::default() },
        widest_gap: 0.5,
        candidate: RunFigures { inferences: 10, p50_us: 900, max_us: 1_200, ..RunFigures::default() },
        reference_ran: RunFigures::default(),
    };
    let records = [Record::Shadow(shadow), Record::Update(event), Record::Command(ack)];
    let batch = told(records.map(|record| record.to_raw().unwrap()).to_vec());
    fleet.enroll("bench-01").sync(&request("bench-01", vec![batch])).await.unwrap();
    let report = fleet.report("bench-01").await;
    let events = report["agent_events"].as_array().unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| (event["what"].as_str().unwrap(), event["is_fault"].as_bool().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("command 4 of desired state 3: done", false),
            ("cell-fault: release 7, version 1.4.0: rolled back (disagrees with the model before)", true),
            ("cell-fault: release 7 in shadow: 9 of 960 verdicts differ in 10 windows", false),
        ]
    );
    let (_, _, page) = fleet.get("/vehicle/bench-01").await;
    assert!(page.contains("rolled back (disagrees") && !page.contains("<b>100"), "{page}");
}
