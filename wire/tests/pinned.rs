//! The bytes on every boundary, pinned: each line of `vectors/*.hex` is one value's encoding, and must hold both ways.
//!
//! Vectors are added and never changed: a fleet in the field speaks the old bytes. A new variant or kind gets a case
//! here and its line by `TELLTALE_PIN_VECTORS=add cargo test -p telltale-wire --test pinned`, which writes what is
//! missing and still fails where a line would change. A change of the bytes needs a new kind or a new protocol
//! version instead.
#![cfg(feature = "alloc")]
// Helpers of a test may end it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bridge;
mod bundles;
mod buses;
mod commands;
mod departures;
mod estimates;
mod events;
mod snapshots;
mod trips;

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use telltale_wire::agent_event::ModelFault;
use telltale_wire::bridge::*;
use telltale_wire::bus::*;
use telltale_wire::command::CommandOutcome;
use telltale_wire::desired::{Feature, RoadClass};
use telltale_wire::digest::{Digest, ShortDigest};
use telltale_wire::envelope::{self, Message};
use telltale_wire::ids::{BootId, Lane, Seq, VehicleId};
use telltale_wire::record::*;
use telltale_wire::signals::*;
use telltale_wire::sketch::{self, Sketch};
use telltale_wire::sync::*;
use telltale_wire::time::{MonoTime, Stamp, WallTime};
use telltale_wire::unit::Unit;
use telltale_wire::update::{UpdateReason, UpdateStep};

/// Set to `add` to write the lines that are missing.
const PIN: &str = "TELLTALE_PIN_VECTORS";

/// Whether these bytes are read as the value.
type Reads = Box<dyn Fn(&[u8]) -> bool>;

/// One value of one boundary: its bytes, and whether given bytes are read as it.
struct Case {
    label: String,
    bytes: Vec<u8>,
    reads: Reads,
}

fn plain<T: Serialize + DeserializeOwned + PartialEq + 'static>(label: &str, value: T) -> Case {
    let bytes = postcard::to_allocvec(&value).unwrap();
    let reads = move |bytes: &[u8]| postcard::from_bytes::<T>(bytes).is_ok_and(|read| read == value);
    Case { label: label.into(), bytes, reads: Box::new(reads) }
}

fn record(label: &str, value: Record) -> Case {
    let bytes = postcard::to_allocvec(&value.to_raw().unwrap()).unwrap();
    let reads = move |bytes: &[u8]| {
        postcard::from_bytes::<RawRecord>(bytes).is_ok_and(|raw| raw.parse().as_ref() == Ok(&value))
    };
    Case { label: label.into(), bytes, reads: Box::new(reads) }
}

fn sealed<M: Message + PartialEq + 'static>(label: &str, message: M) -> Case {
    let bytes = envelope::seal(&message).unwrap();
    let reads = move |bytes: &[u8]| envelope::open::<M>(bytes).is_ok_and(|read| read == message);
    Case { label: label.into(), bytes, reads: Box::new(reads) }
}

fn link<M: OnLine + Clone + PartialEq + 'static>(label: &str, message: M) -> Case {
    let mut line = [0; MAX_ENCODED];
    let len = message.encode(&mut line);
    let reads = move |bytes: &[u8]| {
        let mut reader = LineReader::<M>::new();
        let read: Vec<_> = bytes.iter().filter_map(|byte| reader.push(*byte)).collect();
        read == [Ok(message.clone())]
    };
    Case { label: label.into(), bytes: line[..len].to_vec(), reads: Box::new(reads) }
}

/// A case for every variant of an enum without fields. A variant that is missing in the list does not compile.
macro_rules! variants {
    ($name:ident: $($variant:ident)+) => {{
        let _listed = |value: $name| match value { $($name::$variant => ()),+ };
        vec![$(plain(stringify!($variant), $name::$variant)),+]
    }};
}

fn units() -> Vec<Case> {
    Unit::ALL.iter().map(|unit| plain(&format!("{unit:?}"), *unit)).collect()
}

fn verdict_codes() -> Vec<Case> {
    let _listed = |code: VerdictCode| match code {
        VerdictCode::Nominal | VerdictCode::Anomalous | VerdictCode::Indeterminate(_) => (),
    };
    vec![
        plain("Nominal", VerdictCode::Nominal),
        plain("Anomalous", VerdictCode::Anomalous),
        plain("Indeterminate(Stale)", VerdictCode::Indeterminate(IndeterminateReason::Stale)),
    ]
}

const AT: Stamp = Stamp { mono: MonoTime(12_345_678), wall: Some(WallTime(1_557_477_897_250_000)) };
const EARLY: Stamp = Stamp { mono: MonoTime(300), wall: None };

fn model() -> ModelRef {
    ModelRef { name: "cell-fault".into(), digest: ShortDigest([0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff]) }
}

/// Eleven counters, each telling where it stands.
const COUNTS: Counts = Counts {
    frames: 1,
    decoded: 2,
    filtered: 3,
    unknown: 4,
    malformed: 5,
    samples: 600,
    lost: 7,
    windows: 8,
    nominal: 9,
    anomalous: 10,
    indeterminate: u64::MAX,
};

fn records() -> Vec<Case> {
    // A kind that is missing below does not compile.
    let _listed = |record: Record| match record {
        Record::Boot(_)
        | Record::Verdict(_)
        | Record::Summary(_)
        | Record::Status(_)
        | Record::Loss(_)
        | Record::Bus(_)
        | Record::Snapshot(_) => (),
        Record::Signals(SignalRecord::Directory(_) | SignalRecord::Statistics(_)) => (),
        Record::Agent(_) | Record::Update(_) | Record::Shadow(_) | Record::Command(_) => (),
        Record::Estimate(_) | Record::Trip(_) | Record::Drift(_) => (),
    };
    let boot = BootRecord {
        at: EARLY,
        agent_version: "0.1.0".into(),
        catalog: Digest(core::array::from_fn(|i| i as u8)),
        models: vec![model()],
    };
    let verdict = VerdictEvent {
        at: AT,
        model: model(),
        subject: "Cell82".into(),
        verdict: VerdictCode::Anomalous,
        score: 0.75,
        confidence: 0.5,
        since: EARLY,
        evidence: vec![Evidence {
            what: "deviation".into(),
            value: -18.5,
            reference: 3.75,
            unit: Unit::Millivolt,
        }],
        departure: None,
    };
    let summary = Summary {
        from: EARLY,
        to: AT,
        counts: COUNTS,
        models: vec![ModelSummary {
            model: model(),
            unit: Unit::Volt,
            reference: 3.75,
            deviation: vec![0, -1, 300, ABSENT],
            score: vec![0, 250, NO_SCORE],
            anomalous: vec![1, 300],
            prefix: "Cell".into(),
        }],
    };
    let range =
        LostRange { boot: BootId::new(3, 0xdead_beef), lane: Lane::Bulk, first: Seq(1), last: Seq(129) };
    let loss =
        |range| LossRecord { at: AT, stage: LossStage::SpoolCap, count: 129, range, why: "cap".into() };
    vec![
        record("boot", Record::Boot(boot)),
        record("verdict", Record::Verdict(verdict.clone())),
        record("verdict-with-departure", Record::Verdict(departures::of(verdict))),
        record("drift", Record::Drift(departures::drift(AT, model()))),
        record("summary", Record::Summary(summary)),
        record(
            "status",
            Record::Status(Status { at: AT, totals: COUNTS, spool_bytes: 70_000, pss_bytes: 0 }),
        ),
        record("loss", Record::Loss(loss(None))),
        record("loss-of-records", Record::Loss(loss(Some(range)))),
        record("snapshot", Record::Snapshot(snapshots::part())),
        record("bus-change", Record::Bus(buses::record(BusReport::Change(buses::change())))),
        record("bus-statistics", Record::Bus(buses::record(BusReport::Statistics(buses::statistics())))),
        record("signals-directory", Record::Signals(SignalRecord::Directory(directory()))),
        record("signals-statistics", Record::Signals(SignalRecord::Statistics(statistics()))),
        record("estimate", Record::Estimate(estimates::estimate(AT, model()))),
    ]
    .into_iter()
    .chain(events::agent_events())
    .chain(events::updates())
    .chain(trips::records(AT))
    .collect()
}

fn directory() -> Directory {
    let series = |name: &str, kind, unit, cycle_ms| SeriesName { name: name.into(), kind, unit, cycle_ms };
    Directory {
        at: AT,
        id: model().digest,
        total: 3,
        first: 0,
        series: Names(vec![
            series("Vehicle.Cell1.Voltage", SeriesKind::Signal, Unit::Volt, 0),
            series("Vehicle.Cell2.Voltage", SeriesKind::Signal, Unit::Volt, 1_000),
            series("cell-fault", SeriesKind::Score, Unit::None, 0),
        ]),
        buses: vec![BusName { name: "bms".into(), bitrate: 500_000, data_bitrate: 2_000_000 }],
        checks: vec![CheckName { name: "sum of cells".into(), unit: Unit::Volt, tolerance: 2.5 }],
        regimes: vec!["charge".into()],
    }
}

fn statistics() -> Statistics {
    let cell = |min: i64, coarseness, counts: [u64; 3]| {
        let lowest = sketch::coarser(sketch::key(min as f64 / 1e3), coarseness);
        let buckets = (0..3).map(|n| (lowest + n, counts[n as usize])).collect();
        let sketch = Sketch::new(coarseness, buckets).unwrap();
        let values = Values { decimals: 3, min, max: min + 9, last: min + 7, mean: min + 4, sketch };
        Series { samples: 6, absent: [0; 7], longest_gap: 9, values: Some(values), ..Series::unheard(60) }
    };
    let faulty = Series {
        out_of_range: 4,
        sensor_fault: 2,
        absent: [0, 0, 1, 4, 5, 0, 0],
        ..cell(-40, 0, [1, 9, 40])
    };
    let quality = Quality {
        signal_steps: 180,
        valued_steps: 110,
        expected: 60,
        received: 6,
        samples: 18,
        plausible: 12,
        checks: vec![CheckStatistics { compared: 60, violated: 1, worst: 0.75 }],
        regimes: vec![40],
        other_regime: 19,
        unknown_regime: 1,
        oldest_ms: 9_000,
        judged_after_ms: Some(300),
    };
    let bus = BusLoad {
        frames: 600,
        nominal_bits: 67_000,
        worst_bits: 81_000,
        nominal_load: 2,
        nominal_peak: 300,
        worst_load: 3,
        worst_peak: 400,
        longest_silence: 1,
    };
    let series = vec![cell(3_712, 0, [10, 20, 30]), Series::unheard(60), faulty, cell(3_690, 2, [1, 2, 57])];
    Statistics {
        from: EARLY,
        to: AT,
        directory: model().digest,
        step_ms: 1_000,
        buses: vec![bus],
        quality: Some(quality),
        series: SeriesRun { steps: 60, first: 0, series },
    }
}

fn sync() -> Vec<Case> {
    let batch = Batch {
        boot: BootId::new(2, 1),
        lane: Lane::Critical,
        first_seq: Seq(128),
        records: vec![RawRecord { kind: 2, body: vec![1, 0, 255] }, RawRecord { kind: 999, body: vec![] }],
    };
    let vehicle = VehicleId::new("bench-01").unwrap();
    let ack = Ack { boot: BootId::new(2, 1), lane: Lane::Critical, through: Seq(129) };
    let response = SyncResponse {
        acks: vec![ack],
        server_time: WallTime(-1),
        desired_state: 300,
        retry_after_ms: 5_000,
        batch_limit: 262_144,
    };
    let refusal =
        SyncRefusal { code: RefusalCode::TooLarge, message: "less at once".into(), retry_after_ms: 1_000 };
    vec![
        sealed("request", SyncRequest { vehicle: vehicle.clone(), sent: AT, batches: vec![batch] }),
        sealed("request-for-news", SyncRequest { vehicle, sent: EARLY, batches: vec![] }),
        sealed("response", response),
        sealed("refusal", refusal),
    ]
}

/// Every boundary: the file of its vectors and its cases.
fn boundaries() -> Vec<(&'static str, Vec<Case>)> {
    vec![
        ("record", records()),
        ("snapshot-block", snapshots::blocks()),
        ("snapshot-cause", snapshots::causes()),
        ("sync", sync()),
        ("desired", commands::cases()),
        ("feature", variants!(Feature: Snapshots Statistics Models Updates Metrics Campaign)),
        ("road-class", variants!(RoadClass: Urban Suburban Rural Motorway)),
        ("bridge", bridge::messages()),
        ("bundle-index", bundles::indexes()),
        ("unit", units()),
        ("verdict-code", verdict_codes()),
        ("bus-state", variants!(BusState: Unknown Active Warning Passive Off Down Absent)),
        ("lane", variants!(Lane: Critical Status Summary Bulk)),
        (
            "loss-stage",
            variants!(LossStage: Receive Channel SpoolCap SpoolCorrupt SpoolWrite Refused Bridge Budget Snapshot),
        ),
        (
            "indeterminate-reason",
            variants!(IndeterminateReason:
                WarmingUp NotReceived Stale OutOfRange SensorFault ModelFailed OutsideTrainingRegime),
        ),
        ("refusal-code", variants!(RefusalCode: Malformed NotThisVehicle TooLarge Unavailable NewerProtocol)),
        ("model-fault", variants!(ModelFault: NoOutput NotFinite TooSlow)),
        (
            "update-step",
            variants!(UpdateStep: Offered Downloading Staged SelfTested Shadow Trial Committed RolledBack
                Refused Pinned Unpinned Forgotten),
        ),
        (
            "update-reason",
            variants!(UpdateReason: OtherHardware AgentTooOld OtherFeatures CatalogLacks NotNewer KnownBad
                Pinned Unconfirmed NotVerified NotFetched NoSpace Damaged NotLoadable GoldenDiffers TooSlow
                TooLarge NoOutput NotFinite Disagrees AttemptsUsed Asked Withdrawn NotConfigured NotSealed
                NoSealingKey NoContentKey OtherSealingKey WrongContentKey NotOpened),
        ),
        ("command-outcome", variants!(CommandOutcome: Done Refused Failed Expired Superseded Unknown)),
        ("quantity", estimates::quantities()),
        ("trip-end", trips::ends()),
        ("series-kind", variants!(SeriesKind: Signal Score)),
        ("bridge-kind", variants!(BridgeKind: Classic Fd Remote Error)),
    ]
}

#[test]
fn every_boundary_keeps_its_bytes() {
    let add = std::env::var_os(PIN).is_some_and(|value| value == "add");
    let mut wrong = Vec::new();
    for (boundary, cases) in boundaries() {
        let path = vectors().join(format!("{boundary}.hex"));
        let mut text = std::fs::read_to_string(&path).unwrap_or_default();
        if add {
            let pinned = parse(&text);
            for case in cases.iter().filter(|case| !pinned.contains_key(&case.label)) {
                text.push_str(&format!("{} {}\n", case.label, hex(&case.bytes)));
            }
            std::fs::write(&path, &text).unwrap();
        }
        wrong.extend(check(boundary, &parse(&text), &cases));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_vector_file_belongs_to_a_boundary() {
    let known: BTreeSet<String> = boundaries().iter().map(|(name, _)| format!("{name}.hex")).collect();
    let held =
        std::fs::read_dir(vectors()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(held.collect::<BTreeSet<_>>(), known);
}

#[test]
fn a_changed_a_missing_and_an_orphaned_vector_are_each_found() {
    let cases = [plain("Volt", Unit::Volt)];
    let found = |text: &str| check("unit", &parse(text), &cases).join(" ");
    assert_eq!(found("Volt 01\n"), "");
    assert!(found("Volt 02\n").contains("changed"));
    assert!(found("").contains("no vector"));
    assert!(found("Volt 01\nFurlong 07\n").contains("Furlong"));
}

fn check(boundary: &str, pinned: &BTreeMap<String, Vec<u8>>, cases: &[Case]) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in cases {
        let name = format!("{boundary}/{}", case.label);
        match pinned.get(&case.label) {
            None => {
                wrong.push(format!("{name}: no vector yet: run this test with {PIN}=add and commit the line"))
            }
            Some(bytes) if *bytes != case.bytes => {
                let (was, is) = (hex(bytes), hex(&case.bytes));
                wrong.push(format!(
                    "{name}: changed from {was} to {is}: fielded vehicles speak the old bytes"
                ));
            }
            Some(bytes) if !(case.reads)(bytes) => {
                wrong.push(format!("{name}: the bytes no longer read as the value"))
            }
            Some(_) => {}
        }
    }
    let labels: BTreeSet<&String> = cases.iter().map(|case| &case.label).collect();
    let orphans = pinned.keys().filter(|label| !labels.contains(label));
    wrong.extend(
        orphans.map(|label| format!("{boundary}/{label}: pinned, but no case makes it: keep its case")),
    );
    wrong
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn parse(text: &str) -> BTreeMap<String, Vec<u8>> {
    let line = |line: &str| {
        let (label, hex) = line.split_once(' ').unwrap_or_else(|| panic!("not `label hex`: {line:?}"));
        (label.to_owned(), unhex(hex))
    };
    text.lines().map(line).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap_or_else(|_| panic!("not hex: {hex:?}"));
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// The closure of a case is only worth something if it can say no.
#[test]
fn other_bytes_do_not_read_as_the_value() {
    fn refuses(cases: &[Case], bytes: impl Fn(&Case) -> Vec<u8>) {
        for case in cases {
            assert!(!(case.reads)(&bytes(case)), "{}", case.label);
        }
    }
    for (_, cases) in boundaries() {
        refuses(&cases, |_| vec![]);
        refuses(&cases, |case| case.bytes.iter().map(|byte| byte ^ 0x55).collect());
    }
}
