//! Snapshots at the cloud: parts in any order and more than once, one that is lost, samples in raw and physical values.

#![allow(clippy::unwrap_used, reason = "a test's own set-up: to fail loudly is its way to say so")]

mod fleet;

use fleet::{Fleet, request, stamp};
use hyper::StatusCode;
use telltale_wire::ids::{BootId, Lane, Seq};
use telltale_wire::record::{RawRecord, Record};
use telltale_wire::snapshot::{
    self, Number, SampleState, SnapshotBlock, SnapshotCause, SnapshotMessage, SnapshotPart, SnapshotRow,
    SnapshotSample, SnapshotSignal,
};
use telltale_wire::sync::Batch;
use telltale_wire::unit::Unit;

const PARTS: u16 = 3;
const ROWS: u64 = 50;

/// Rows `part x 50` to `part x 50 + 49` of two signals, one row each 10 ms; one row of the first part has no value.
fn part(part: u16) -> RawRecord {
    let signal = |name: &str, unit, factor, offset| SnapshotSignal {
        name: name.into(),
        number: Number::Unsigned,
        bits: 16,
        unit,
        factor,
        offset,
    };
    let signals = vec![
        signal("Vehicle.Cell42.Voltage", Unit::Volt, 0.001, 0.0),
        signal("Vehicle.Cabin.<b>Heat</b>", Unit::Celsius, 0.5, -40.0),
    ];
    let mut message = SnapshotMessage { signals, ..SnapshotMessage::default() };
    for n in u64::from(part) * ROWS..(u64::from(part) + 1) * ROWS {
        let state = if n == 7 { SampleState::SensorFault } else { SampleState::Value };
        message.samples.push(SnapshotSample { signal: 0, state, raw: 3_600 + n });
        message.samples.push(SnapshotSample { signal: 1, state: SampleState::Value, raw: 100 });
        message.rows.push(SnapshotRow { at: 30_000_000 + n * 10_000, end: message.samples.len() as u32 });
    }
    let block = snapshot::encode(&mut SnapshotBlock { messages: vec![message] }).unwrap();
    let told = SnapshotPart {
        number: 1,
        part,
        parts: PARTS,
        at: stamp(31),
        cause: SnapshotCause::Verdict { model: "cell-fault".into(), subject: "Cell42".into() },
        merged: 1,
        before_ms: 1_000,
        after_ms: 500,
        missing_ms: 250,
        samples: 2 * ROWS as u32,
        block,
    };
    Record::Snapshot(told).to_raw().unwrap()
}

fn batch(first: u64, records: Vec<RawRecord>) -> Batch {
    Batch { boot: BootId::new(3, 7), lane: Lane::Bulk, first_seq: Seq(first), records }
}

#[tokio::test]
async fn a_snapshot_is_listed_drawn_and_given_to_scripts() {
    let fleet = Fleet::start().await;
    let vehicle = fleet.enroll("bench-01");
    let parts = vec![part(2), part(0), part(1)];
    vehicle.sync(&request("bench-01", vec![batch(1, parts.clone())])).await.unwrap();
    // The same again, as after an answer that was lost.
    vehicle.sync(&request("bench-01", vec![batch(1, parts)])).await.unwrap();

    let report = fleet.report("bench-01").await;
    let [line] = &report["snapshots"].as_array().unwrap()[..] else { panic!("{report}") };
    assert_eq!((&line["n"], &line["complete"], &line["samples"]), (&1.into(), &true.into(), &300.into()));
    assert_eq!((&line["cause"], &line["merged"]), (&"Cell42 anomalous (cell-fault)".into(), &1.into()));

    let (_, _, page) = fleet.get("/vehicle/bench-01").await;
    assert!(page.contains("href=\"/vehicle/bench-01/snapshot/1\"") && page.contains("All 3 parts arrived"));
    let (status, _, page) = fleet.get("/vehicle/bench-01/snapshot/1").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("<polyline") && page.contains("the first 0.250 s did not fit"), "{page}");
    assert!(!page.contains("<b>Heat</b>"), "a vehicle's text is escaped");
    let (_, _, heat) = fleet.get("/vehicle/bench-01/snapshot/1?signals=Vehicle.Cabin.%2A").await;
    assert!(heat.contains("In degC:"), "{heat}");

    let data = fleet.get("/api/vehicle/bench-01/snapshot/1").await.2;
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    let cell = &data["signals"][0];
    assert_eq!(cell["name"], "Vehicle.Cell42.Voltage");
    let numbers = |key: &str| cell[key].as_array().unwrap().clone();
    let times = (0..150u64).map(|n| serde_json::Value::from(30_000_000 + n * 10_000));
    assert_eq!(numbers("at_us"), times.collect::<Vec<_>>());
    assert_eq!(numbers("raw"), (3_600..3_750).map(serde_json::Value::from).collect::<Vec<_>>());
    assert_eq!(
        (&numbers("value")[7], &numbers("absent")[7]),
        (&serde_json::Value::Null, &"sensor fault".into())
    );
    assert_eq!(numbers("value")[8], 3608.0 * 0.001);

    let (_, headers, csv) =
        fleet.get("/api/vehicle/bench-01/snapshot/1.csv?signals=Vehicle.Cell42.Voltage").await;
    assert_eq!(headers["content-type"], "text/csv; charset=utf-8");
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 151);
    assert_eq!(lines[0], "signal,unit,mono_us,time,raw,value,absent");
    assert_eq!(lines[8], "Vehicle.Cell42.Voltage,V,30070000,2026-11-18T11:07:10.070Z,3607,,sensor fault");
    assert_eq!(lines[9], "Vehicle.Cell42.Voltage,V,30080000,2026-11-18T11:07:10.080Z,3608,3.608,");
}

#[tokio::test]
async fn a_part_that_is_lost_or_damaged_is_said_and_the_others_are_shown() {
    let fleet = Fleet::start().await;
    let vehicle = fleet.enroll("bench-01");
    let Ok(Record::Snapshot(mut damaged)) = part(2).parse() else { unreachable!() };
    damaged.block[9] ^= 1;
    let damaged = Record::Snapshot(damaged).to_raw().unwrap();
    vehicle.sync(&request("bench-01", vec![batch(1, vec![part(0), damaged])])).await.unwrap();
    let (_, _, page) = fleet.get("/vehicle/bench-01/snapshot/1").await;
    assert!(page.contains("Incomplete: 2 of 3 parts arrived"), "{page}");
    assert!(
        page.contains("part 3: the block&#39;s checksum") || page.contains("part 3: the block's checksum"),
        "{page}"
    );
    let report = fleet.report("bench-01").await;
    assert_eq!(report["snapshots"][0]["complete"], false);
    let csv = fleet.get("/api/vehicle/bench-01/snapshot/1.csv").await.2;
    assert_eq!(csv.lines().count(), 1 + 100);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let fleet = Fleet::start().await;
    fleet.enroll("bench-01").sync(&request("bench-01", vec![batch(1, vec![part(0)])])).await.unwrap();
    for path in ["2", "0", "-1", "x", "99999999999999999999", "1.xml"] {
        for prefix in ["/vehicle/bench-01/snapshot/", "/api/vehicle/bench-01/snapshot/"] {
            assert_eq!(
                fleet.get(&format!("{prefix}{path}")).await.0,
                StatusCode::NOT_FOUND,
                "{prefix}{path}"
            );
        }
    }
    assert_eq!(fleet.get("/api/vehicle/other/snapshot/1").await.0, StatusCode::NOT_FOUND);
}
