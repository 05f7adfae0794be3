//! The dashboard over HTTP: what a person sees, what a script reads, and what a hostile vehicle or page cannot do.

#![allow(clippy::unwrap_used, reason = "a test's own set-up: to fail loudly is its way to say so")]

mod fleet;

use fleet::{Fleet, boot, model, request, stamp, summary, verdict};
use hyper::StatusCode;
use telltale_wire::ids::{BootId, Lane, Seq};
use telltale_wire::record::{
    Counts, IndeterminateReason, LossRecord, LossStage, RawRecord, Record, Status, VerdictCode, VerdictEvent,
};
use telltale_wire::sync::Batch;

fn batch(lane: Lane, records: Vec<RawRecord>) -> Batch {
    Batch { boot: BootId::new(3, 7), lane, first_seq: Seq(1), records }
}

async fn faulty(fleet: &Fleet) {
    let status = Status { at: stamp(60), totals: Counts::default(), spool_bytes: 48_211, pss_bytes: 0 };
    let batches = vec![
        batch(Lane::Status, vec![boot(), Record::Status(status).to_raw().unwrap()]),
        batch(Lane::Summary, (0..40).map(|n| summary(n, if n > 20 { &[7] } else { &[] })).collect()),
        batch(Lane::Critical, vec![verdict(21, "Cell8", VerdictCode::Anomalous)]),
    ];
    fleet.enroll("kona-0017").sync(&request("kona-0017", batches)).await.unwrap();
}

#[tokio::test]
async fn the_anomalous_vehicle_comes_first_with_what_and_since_when() {
    let fleet = Fleet::start().await;
    faulty(&fleet).await;
    let nominal = request("bench-01", vec![batch(Lane::Summary, vec![summary(0, &[])])]);
    fleet.enroll("bench-01").sync(&nominal).await.unwrap();
    let (status, _, page) = fleet.get("/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.find("kona-0017").unwrap() < page.find("bench-01").unwrap());
    assert!(page.contains("<b>Cell8</b> anomalous since"), "{page}");

    let list = fleet.vehicles().await;
    assert_eq!((&list[0]["vehicle"], &list[0]["state"]), (&"kona-0017".into(), &"anomalous".into()));
    let open = &list[0]["open_anomalies"][0];
    assert_eq!((&open["subject"], &open["model"]), (&"Cell8".into(), &"cell-fault".into()));
    assert_eq!(open["since"]["at"], "2026-11-18T11:07:00.000Z");
    assert_eq!(list[1]["state"], "nominal");
}

#[tokio::test]
async fn a_vehicle_s_page_shows_cells_chart_evidence_and_status() {
    let fleet = Fleet::start().await;
    faulty(&fleet).await;
    let (_, _, page) = fleet.get("/vehicle/kona-0017").await;
    assert!(page.contains("title=\"Cell8: −84 mV, score 0.96, anomalous\""), "{page}");
    assert_eq!(page.matches("<li class=\"c ").count(), 12);
    assert!(page.contains("<polyline") && page.contains("Cell8 0.96"), "no chart");
    assert!(page.contains("<b>3.712 V</b>") && page.contains("3.921 V is expected"), "no evidence");
    assert!(page.contains("48.2 kB") && page.contains("not told"), "no status");
    assert!(page.contains("3-00000007") && page.contains("0.1.0"), "no boot");

    let report = fleet.report("kona-0017").await;
    let event = &report["events"][0];
    assert_eq!((&event["verdict"], &event["seq"]), (&"anomalous".into(), &1.into()));
    assert_eq!(event["evidence"][0]["unit"], "V");
    assert_eq!(report["models"][0]["subjects"][7]["deviation_milli"], -84);
    assert_eq!(report["models"][0]["subjects"][7]["state"], "anomalous");
    assert_eq!(report["status"]["pss_bytes"], serde_json::Value::Null);
    assert_eq!(report["streams"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn absence_names_its_reason() {
    let fleet = Fleet::start().await;
    let vehicle = fleet.enroll("bench-01");
    vehicle.sync(&request("bench-01", vec![])).await.unwrap();
    let report = fleet.report("bench-01").await;
    assert_eq!((&report["state"], &report["status"]), (&"no_data".into(), &serde_json::Value::Null));
    assert!(report["reason"].as_str().unwrap().contains("no record"), "{report}");

    let stale = verdict(1, "Cell1", VerdictCode::Indeterminate(IndeterminateReason::Stale));
    vehicle.sync(&request("bench-01", vec![batch(Lane::Critical, vec![stale])])).await.unwrap();
    let report = fleet.report("bench-01").await;
    assert_eq!(report["state"], "indeterminate");
    assert!(report["reason"].as_str().unwrap().contains("signal stale"), "{report}");
    let (_, _, page) = fleet.get("/vehicle/bench-01").await;
    assert!(page.contains("signal stale") && page.contains("No data: no status record has arrived"));

    fleet.revoke("van-009", true).await;
    let report = fleet.report("van-009").await;
    assert_eq!((&report["state"], &report["revoked"]), (&"no_data".into(), &true.into()));
    assert_eq!(report["reason"], "it has never called");
}

#[tokio::test]
async fn a_newer_verdict_closes_an_anomaly_and_a_late_one_does_not_open_it() {
    let fleet = Fleet::start().await;
    let vehicle = fleet.enroll("bench-01");
    let critical = |first: u64, code| Batch {
        first_seq: Seq(first),
        ..batch(Lane::Critical, vec![verdict(first, "Cell8", code)])
    };
    let closed = vec![critical(2, VerdictCode::Nominal)];
    vehicle.sync(&request("bench-01", closed)).await.unwrap();
    let overtaken = vec![critical(1, VerdictCode::Anomalous)];
    vehicle.sync(&request("bench-01", overtaken)).await.unwrap();
    let report = fleet.report("bench-01").await;
    assert_eq!((&report["open_total"], &report["events_total"]), (&0.into(), &2.into()));

    // A wiped vehicle counts its boots from 1 again: its new verdicts still count.
    let wiped = Batch { boot: BootId::new(1, 99), ..critical(1, VerdictCode::Anomalous) };
    vehicle.sync(&request("bench-01", vec![wiped])).await.unwrap();
    assert_eq!(fleet.report("bench-01").await["open_total"], 1);
}

#[tokio::test]
async fn markup_from_a_vehicle_stays_text() {
    let fleet = Fleet::start().await;
    let hostile = "<script>alert(1)</script>\"'><img src=x>";
    let mut name = model();
    name.name = hostile.into();
    let event = VerdictEvent {
        at: stamp(1),
        model: name,
        subject: hostile.into(),
        verdict: VerdictCode::Anomalous,
        score: f32::NAN,
        confidence: f32::INFINITY,
        since: stamp(0),
        evidence: vec![],
        departure: None,
    };
    let loss = LossRecord {
        at: stamp(2),
        stage: LossStage::Channel,
        count: u64::MAX,
        range: None,
        why: hostile.into(),
    };
    let records = vec![
        Record::Verdict(event).to_raw().unwrap(),
        Record::Loss(loss.clone()).to_raw().unwrap(),
        Record::Loss(loss).to_raw().unwrap(),
    ];
    let sent = request("bench-01", vec![batch(Lane::Critical, records)]);
    fleet.enroll("bench-01").sync(&sent).await.unwrap();
    for path in ["/", "/vehicle/bench-01"] {
        let (status, _, page) = fleet.get(path).await;
        assert_eq!(status, StatusCode::OK);
        assert!(!page.contains("<script") && !page.contains("<img"), "{path}: {page}");
        assert!(page.contains("&lt;script&gt;"), "{path} does not show it at all");
    }
    let report = fleet.report("bench-01").await;
    assert_eq!(report["events"][0]["score"], serde_json::Value::Null);
    assert_eq!(report["counts"]["lost_records"], i64::MAX);
}

#[tokio::test]
async fn the_browser_is_told_to_run_nothing_and_answers_go_to_this_machine_only() {
    let fleet = Fleet::start().await;
    for (path, expected) in [("/", 200), ("/api/vehicles", 200), ("/vehicle/nobody", 404), ("/nowhere", 404)]
    {
        let (status, headers, _) = fleet.get(path).await;
        assert_eq!(status.as_u16(), expected, "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
    }
    assert_eq!(fleet.get_as("/", "rebound.example:80").await.0, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(fleet.get_as("/", "localhost:8080").await.0, StatusCode::OK);
    assert_eq!(fleet.get("/healthz").await.0, StatusCode::OK);
}
