//! Drift and kinds of departures on the pages of the real server: what was told last counts, for the model that speaks.
#![allow(clippy::unwrap_used, clippy::panic)]

mod fleet;

use fleet::{Fleet, request};
use telltale_wire::departure::{Departure, DepartureKind};
use telltale_wire::digest::ShortDigest;
use telltale_wire::drift::{DriftRecord, Horizon, InputDrift, Severity};
use telltale_wire::ids::{BootId, Lane, Seq};
use telltale_wire::record::{Evidence, ModelRef, RawRecord, Record, VerdictCode};
use telltale_wire::sync::Batch;
use telltale_wire::unit::Unit;

fn batch(boot: u32, lane: Lane, first: u64, records: Vec<RawRecord>) -> Batch {
    Batch { boot: BootId::new(boot, 7), lane, first_seq: Seq(first), records }
}

fn told(second: u64, digest: u8, inputs: &[(&str, Severity, f32)]) -> RawRecord {
    let input = |(input, severity, index): &(&str, Severity, f32)| InputDrift {
        input: (*input).into(),
        horizon: Horizon::Fast,
        severity: *severity,
        index: *index,
        limit: 2.5,
        outside: 0.75,
    };
    let model = ModelRef { name: "cell-fault".into(), digest: ShortDigest([digest; 8]) };
    let inputs = inputs.iter().map(input).collect();
    Record::Drift(DriftRecord { at: fleet::stamp(second), model, inputs }).to_raw().unwrap()
}

#[tokio::test]
async fn the_newest_word_on_each_input_counts_and_only_that_of_the_model_that_speaks() {
    let fleet = Fleet::start().await;
    let vehicle = fleet.enroll("bench-01");
    let hot =
        told(2, 1, &[("temperature", Severity::Severe, 7.0), ("<b>level", Severity::Moderate, f32::NAN)]);
    let cold = told(1, 1, &[("temperature", Severity::None, 0.5), ("spread", Severity::None, 0.1)]);
    // The newer one arrives first.
    vehicle.sync(&request("bench-01", vec![batch(1, Lane::Status, 2, vec![hot])])).await.unwrap();
    vehicle.sync(&request("bench-01", vec![batch(1, Lane::Status, 1, vec![cold])])).await.unwrap();
    let report = fleet.report("bench-01").await;
    let lines = report["drift"].as_array().unwrap();
    let line = |n: usize| (lines[n]["input"].as_str().unwrap(), lines[n]["severity"].as_str().unwrap());
    assert_eq!(
        [line(0), line(1), line(2)],
        [("temperature", "severe"), ("<b>level", "moderate"), ("spread", "none")]
    );
    assert_eq!(report["drift"][1]["index"], 0.0);
    assert_eq!(report["vehicle"], "bench-01");
    let (_, _, page) = fleet.get("/vehicle/bench-01").await;
    assert!(page.contains("Drift") && page.contains("temperature") && !page.contains("<b>level"), "{page}");
    let (_, _, page) = fleet.get("/").await;
    assert!(page.contains("#drift\">severe</a>"), "{page}");

    let next = told(3, 2, &[("temperature", Severity::None, 0.2)]);
    vehicle.sync(&request("bench-01", vec![batch(2, Lane::Status, 1, vec![next])])).await.unwrap();
    let report = fleet.report("bench-01").await;
    assert_eq!(report["drift"].as_array().unwrap().len(), 1, "{}", report["drift"]);
    let (_, _, page) = fleet.get("/").await;
    assert!(!page.contains("severe</a>"), "{page}");
}

#[tokio::test]
async fn a_vehicle_that_invents_inputs_fills_no_table() {
    let fleet = Fleet::start().await;
    let names: Vec<String> = (0..900).map(|n| format!("input{n}")).collect();
    let records = names.chunks(300).enumerate().map(|(n, names)| {
        let inputs: Vec<_> = names.iter().map(|name| (name.as_str(), Severity::Severe, 9.0)).collect();
        told(n as u64, 1, &inputs)
    });
    let sent = request("bench-01", vec![batch(1, Lane::Status, 1, records.collect())]);
    fleet.enroll("bench-01").sync(&sent).await.unwrap();
    let report = fleet.report("bench-01").await;
    assert_eq!(report["drift"].as_array().unwrap().len(), telltale_cloud::drift::MAX_DRIFTS);
}

#[tokio::test]
async fn a_verdict_tells_its_kind_and_numbers_and_an_older_agents_none() {
    let fleet = Fleet::start().await;
    let older = fleet::verdict(1, "Cell7", VerdictCode::Anomalous);
    let Ok(Record::Verdict(mut event)) = fleet::verdict(2, "Cell8", VerdictCode::Anomalous).parse() else {
        panic!("a verdict")
    };
    let excess =
        Evidence { what: "excess resistance".into(), value: 0.002, reference: 0.0003, unit: Unit::Ohm };
    event.departure = Some(Departure { kind: DepartureKind::Resistance, numbers: vec![excess] });
    let records = vec![older, Record::Verdict(event).to_raw().unwrap()];
    let sent = request("bench-01", vec![batch(1, Lane::Critical, 1, records)]);
    fleet.enroll("bench-01").sync(&sent).await.unwrap();
    let report = fleet.report("bench-01").await;
    assert_eq!(report["events"][0]["departure"], "resistance or connector");
    assert_eq!(report["events"][0]["numbers"][0]["what"], "excess resistance");
    assert!(report["events"][1]["departure"].is_null());
    let (_, _, page) = fleet.get("/vehicle/bench-01").await;
    assert!(page.contains("resistance or connector") && page.contains("excess resistance"), "{page}");
    let (_, _, page) = fleet.get("/").await;
    assert!(page.contains("resistance or connector"), "{page}");
}
