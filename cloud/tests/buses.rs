//! What the pages and scripts are told of a vehicle's buses: how each stands, what grew between two accounts, and what a
//! hostile vehicle cannot do.

#![allow(clippy::unwrap_used, reason = "a test's own set-up: to fail loudly is its way to say so")]

mod fleet;

use fleet::{Fleet, request, stamp};
use serde_json::Value;
use telltale_wire::bus::{
    BusChange, BusErrors, BusRecord, BusReport, BusState, BusStatistics, ErrorCounters, InterfaceCounters,
    LastError, MissingMessage, SuspiciousMessage, UnknownId,
};
use telltale_wire::ids::{BootId, Lane, Seq};
use telltale_wire::record::{RawRecord, Record};
use telltale_wire::sync::Batch;

const VEHICLE: &str = "bench-01";

fn bus(second: u64, state: BusState, report: BusReport) -> RawRecord {
    let (at, since) = (stamp(second), stamp(second.min(7)));
    Record::Bus(BusRecord { at, bus: "bms".into(), state, since, report }).to_raw().unwrap()
}

fn change(second: u64, before: BusState, state: BusState, why: &str, suppressed: u32) -> RawRecord {
    bus(second, state, BusReport::Change(BusChange { before, why: why.into(), suppressed }))
}

fn account(second: u64, state: BusState, statistics: BusStatistics) -> RawRecord {
    bus(second, state, BusReport::Statistics(BusStatistics { stretch_us: 300_000_000, ..statistics }))
}

fn first() -> BusStatistics {
    BusStatistics {
        frames: 30_000,
        remote: 2,
        unknown_frames: 40,
        unknown: vec![UnknownId { id: 0x1a2, extended: false, count: 40, over: 0 }],
        interface: Some(InterfaceCounters { received: 30_000, errors: 0, dropped: 1, overruns: 0 }),
        checked: 20_000,
        ..BusStatistics::default()
    }
}

fn second() -> BusStatistics {
    BusStatistics {
        frames: 61_000,
        short: 3,
        unknown_frames: 95,
        unknown: vec![
            UnknownId { id: 0x1a2, extended: false, count: 50, over: 0 },
            UnknownId { id: 0x1f2a3, extended: true, count: 5, over: 0 },
        ],
        errors: BusErrors { frames: 9, bus: 7, no_ack: 1, passive: 1, ..BusErrors::default() },
        counters: Some(ErrorCounters { tx: 136, rx: 4 }),
        last_error: Some(LastError { at: stamp(580), what: "bit stuffing at the CRC sequence".into() }),
        interface: Some(InterfaceCounters { received: 61_000, errors: 7, dropped: 1, overruns: 12 }),
        checked: 41_000,
        suspicious: vec![SuspiciousMessage {
            message: "PT_Motor".into(),
            ok: 40_990,
            repeated: 1,
            wrong_sequence: 3,
            wrong_checksum: 6,
        }],
        missing_total: 1,
        missing: vec![MissingMessage {
            message: "BMS_Limits".into(),
            silent_ms: Some(1_500),
            cycle_ms: Some(100),
        }],
        ..first()
    }
}

fn batch(boot: BootId, lane: Lane, first_seq: u64, records: Vec<RawRecord>) -> Batch {
    Batch { boot, lane, first_seq: Seq(first_seq), records }
}

async fn told(fleet: &Fleet, batches: Vec<Batch>) -> (Value, String) {
    fleet.enroll(VEHICLE).sync(&request(VEHICLE, batches)).await.unwrap();
    let (_, _, page) = fleet.get("/vehicle/bench-01").await;
    (fleet.report(VEHICLE).await, page)
}

fn events(report: &Value) -> Vec<(&str, Option<u64>)> {
    report["bus_events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (event["what"].as_str().unwrap(), event["count"].as_u64()))
        .collect()
}

#[tokio::test]
async fn a_bus_is_shown_with_its_state_losses_errors_and_what_is_odd() {
    let fleet = Fleet::start().await;
    let boot = BootId::new(3, 7);
    let changes = vec![
        change(7, BusState::Unknown, BusState::Active, "interface can0 is up", 0),
        change(580, BusState::Active, BusState::Passive, "the controller of can0 is error passive", 4),
    ];
    let accounts = vec![account(300, BusState::Active, first()), account(600, BusState::Passive, second())];
    let (report, page) =
        told(&fleet, vec![batch(boot, Lane::Critical, 1, changes), batch(boot, Lane::Status, 1, accounts)])
            .await;

    let bms = &report["buses"][0];
    assert_eq!((&bms["bus"], &bms["state"]), (&"bms".into(), &"error passive".into()));
    assert_eq!((&bms["counts"]["frames"], &bms["counts"]["lost"]), (&61_000.into(), &13.into()));
    assert_eq!(bms["counts"]["counters"]["tx"], 136);
    let mut told = events(&report);
    assert_eq!(told.pop(), Some(("active, was not heard yet", None)), "the latest does not come first");
    told.sort_unstable();
    let expected = [
        ("PT_Motor: counter out of sequence", Some(3)),
        ("PT_Motor: counter repeated", Some(1)),
        ("PT_Motor: wrong checksum: not used", Some(6)),
        ("bus errors", Some(7)),
        ("error passive, was active; 4 changes before it were too many to be told", None),
        ("frames lost: the controller's buffer was full", Some(12)),
        ("frames lost: the driver dropped them", Some(1)),
        ("frames of identifiers that no DBC file has", Some(40)),
        ("frames of identifiers that no DBC file has", Some(55)),
        ("frames shorter than their signals: not used", Some(3)),
        ("frames that nobody acknowledged", Some(1)),
        ("messages of the catalog have become overdue", Some(1)),
        ("remote frames", Some(2)),
    ];
    assert_eq!(told, expected);
    for part in [
        "error passive",
        "counters 136 sending, 4 receiving",
        "7 bus errors",
        "bit stuffing at the CRC sequence",
        "<span class=\"warn\">13</span>",
        "PT_Motor",
        "6 wrong checksums, 3 out of sequence",
        "new among them: 0001F2A3 (5 times)",
        "BMS_Limits for 1.5 s",
    ] {
        assert!(page.contains(part), "the page lacks {part:?}:\n{page}");
    }
}

#[tokio::test]
async fn the_boot_that_called_last_tells_how_a_bus_stands_and_counts_start_with_it() {
    let fleet = Fleet::start().await;
    let before = batch(BootId::new(3, 7), Lane::Status, 1, vec![account(600, BusState::Off, second())]);
    told(&fleet, vec![before]).await;
    let after = batch(BootId::new(4, 9), Lane::Status, 1, vec![account(300, BusState::Active, first())]);
    let (report, _) = told(&fleet, vec![after]).await;
    let bms = &report["buses"][0];
    assert_eq!((&bms["state"], &bms["counts"]["frames"]), (&"active".into(), &30_000.into()));
    let remote: Vec<_> = events(&report).into_iter().filter(|event| event.0 == "remote frames").collect();
    assert_eq!(remote, [("remote frames", Some(2)), ("remote frames", Some(2))]);

    // An account that repeats the one before it has nothing new to tell.
    let told_before = events(&report).len();
    let same = batch(BootId::new(4, 9), Lane::Status, 2, vec![account(600, BusState::Active, first())]);
    let (report, _) = told(&fleet, vec![same]).await;
    assert_eq!(events(&report).len(), told_before);
}

#[tokio::test]
async fn a_vehicle_cannot_make_the_section_grow_or_bring_markup_into_it() {
    let fleet = Fleet::start().await;
    let hostile = "<script>alert(1)</script>".repeat(40);
    let record = |n: u64| {
        let statistics = BusStatistics {
            frames: u64::MAX,
            interface: Some(InterfaceCounters {
                received: u64::MAX,
                errors: u64::MAX,
                dropped: u64::MAX,
                overruns: u64::MAX,
            }),
            suspicious: vec![
                SuspiciousMessage {
                    message: hostile.clone(),
                    ok: u64::MAX,
                    repeated: u64::MAX,
                    wrong_sequence: u64::MAX,
                    wrong_checksum: u64::MAX,
                };
                2
            ],
            missing_total: u32::MAX,
            missing: vec![MissingMessage {
                message: hostile.clone(),
                silent_ms: Some(u64::MAX),
                cycle_ms: None,
            }],
            ..BusStatistics::default()
        };
        let (at, name) = (stamp(n), format!("{n}{hostile}"));
        let report = BusReport::Statistics(statistics);
        Record::Bus(BusRecord { at, bus: name, state: BusState::Off, since: at, report }).to_raw().unwrap()
    };
    let records = (0..120).map(record).collect();
    let (report, page) = told(&fleet, vec![batch(BootId::new(1, 1), Lane::Status, 1, records)]).await;
    assert_eq!(report["buses"].as_array().unwrap().len(), telltale_cloud::buses::MAX_BUSES);
    assert!(page.len() < 400_000, "{}", page.len());
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"));
}
