//! Vehicles against a server: real TLS handshakes, real HTTP, a real database; what is taken and what is refused.

#![allow(clippy::unwrap_used, reason = "a test's own set-up: to fail loudly is its way to say so")]

mod fleet;

use fleet::{Fleet, boot, request, summary, verdict};
use hyper::StatusCode;
use std::time::Duration;
use telltale_cloud::pki::{Existing, Pki, Validity};
use telltale_cloud::server::Config;
use telltale_wire::envelope;
use telltale_wire::estimate::{EstimateRecord, Interval, Quantity, SubjectEstimate};
use telltale_wire::ids::{BootId, Lane, Seq, VehicleId};
use telltale_wire::record::{
    IndeterminateReason, LossRecord, LossStage, LostRange, RawRecord, Record, VerdictCode,
};
use telltale_wire::sync::{Ack, Batch, MAX_RECORDS, RefusalCode, SyncRefusal, SyncResponse};
use time::{Duration as Days, OffsetDateTime};

const BOOT: BootId = BootId::new(1, 0xabcd);

fn batch(lane: Lane, first: u64, records: Vec<RawRecord>) -> Batch {
    Batch { boot: BOOT, lane, first_seq: Seq(first), records }
}

fn summaries(range: std::ops::RangeInclusive<u64>) -> Batch {
    batch(Lane::Summary, *range.start(), range.map(|n| summary(n, &[])).collect())
}

fn ack(lane: Lane, through: u64) -> Ack {
    Ack { boot: BOOT, lane, through: Seq(through) }
}

fn refused(answer: (StatusCode, Vec<u8>)) -> (u16, RefusalCode, u32) {
    let refusal: SyncRefusal = envelope::open(&answer.1).unwrap();
    (answer.0.as_u16(), refusal.code, refusal.retry_after_ms)
}

#[tokio::test]
async fn what_is_acknowledged_is_stored_over_both_http_versions() {
    let fleet = Fleet::start().await;
    let vehicle = fleet.enroll("bench-01");
    let first = request("bench-01", vec![batch(Lane::Status, 1, vec![boot()]), summaries(1..=3)]);
    let answer: SyncResponse = vehicle.sync(&first).await.unwrap();
    assert_eq!(answer.acks, [ack(Lane::Status, 1), ack(Lane::Summary, 3)]);
    assert!(answer.server_time.0 > 1_700_000_000_000_000);
    assert_eq!(answer.batch_limit as usize, 1024 * 1024 - envelope::HEADER_LEN);

    let second = envelope::seal(&request("bench-01", vec![summaries(4..=4)])).unwrap();
    let (status, body) = vehicle.post_http1(second).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert_eq!(envelope::open::<SyncResponse>(&body).unwrap().acks, [ack(Lane::Summary, 4)]);
    let report = fleet.report("bench-01").await;
    assert_eq!(report["counts"]["records"], 5);
    assert_eq!(report["counts"]["requests"], 2);
}

#[tokio::test]
async fn no_certificate_or_one_of_another_fleet_or_of_another_time_does_not_get_in() {
    let fleet = Fleet::start().await;
    assert!(fleet.stranger().post(Vec::new()).await.is_err(), "no certificate");

    let elsewhere = tempfile::tempdir().unwrap();
    let other = Pki::init(elsewhere.path(), &[], Existing::Keep).unwrap();
    let foreign = fleet.enroll_by(&other, "bench-01", Validity::days(30));
    assert!(foreign.post(Vec::new()).await.is_err(), "another authority");

    let now = OffsetDateTime::now_utc();
    let over = Validity { not_before: now - Days::days(9), not_after: now - Days::days(1) };
    assert!(fleet.enroll_by(&fleet.pki, "late", over).post(Vec::new()).await.is_err(), "expired");
    let ahead = Validity { not_before: now + Days::days(1), not_after: now + Days::days(9) };
    assert!(fleet.enroll_by(&fleet.pki, "early", ahead).post(Vec::new()).await.is_err(), "not valid yet");

    // The same way in is open for the right certificate, so the four above failed for their own reason.
    assert_eq!(fleet.enroll("bench-01").post(Vec::new()).await.unwrap().0, StatusCode::BAD_REQUEST);
    assert_eq!(fleet.vehicles().await.as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_connection_does_not_outlive_its_certificate() {
    let fleet = Fleet::start().await;
    let now = OffsetDateTime::now_utc();
    let brief = Validity { not_before: now - Days::days(1), not_after: now + Days::seconds(3) };
    let mut line = fleet.enroll_by(&fleet.pki, "bench-01", brief).connect().await.unwrap();
    let body = envelope::seal(&request("bench-01", vec![])).unwrap();
    assert_eq!(line.post(body.clone()).await.unwrap().0, StatusCode::OK);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let late = line.post(body).await.unwrap();
    assert_eq!(refused(late), (403, RefusalCode::NotThisVehicle, 0));
}

#[tokio::test]
async fn a_vehicle_speaks_for_itself_only() {
    let fleet = Fleet::start().await;
    let body = envelope::seal(&request("bench-02", vec![summaries(1..=1)])).unwrap();
    let answer = fleet.enroll("bench-01").post(body).await.unwrap();
    assert_eq!(refused(answer), (403, RefusalCode::NotThisVehicle, 0));
    assert_eq!(fleet.vehicles().await.as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_revoked_vehicle_is_refused_until_it_is_taken_back() {
    let fleet = Fleet::start().await;
    let vehicle = fleet.enroll("bench-01");
    let body = envelope::seal(&request("bench-01", vec![summaries(1..=1)])).unwrap();
    fleet.revoke("bench-01", true).await;
    assert_eq!(refused(vehicle.post(body.clone()).await.unwrap()), (403, RefusalCode::NotThisVehicle, 0));
    fleet.revoke("bench-01", false).await;
    assert_eq!(vehicle.post(body).await.unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_its_reason() {
    let fleet = Fleet::start().await;
    let vehicle = fleet.enroll("bench-01");
    let good = envelope::seal(&request("bench-01", vec![summaries(1..=1)])).unwrap();

    let mut torn = good.clone();
    torn.truncate(good.len() - 1);
    assert_eq!(refused(vehicle.post(torn).await.unwrap()), (400, RefusalCode::Malformed, 0));

    let mut newer = good;
    newer[2] = 9;
    assert_eq!(refused(vehicle.post(newer).await.unwrap()), (505, RefusalCode::NewerProtocol, 0));

    let huge = vec![0; 1024 * 1024 + 1];
    assert_eq!(refused(vehicle.post(huge).await.unwrap()), (413, RefusalCode::TooLarge, 0));

    let tiny = RawRecord { kind: 999, body: Vec::new() };
    let many = request("bench-01", vec![batch(Lane::Bulk, 1, vec![tiny.clone(); MAX_RECORDS + 1])]);
    let many = vehicle.post(envelope::seal(&many).unwrap()).await.unwrap();
    assert_eq!(refused(many), (413, RefusalCode::TooLarge, 0));

    for first in [0, i64::MAX as u64, u64::MAX] {
        let wild = request("bench-01", vec![batch(Lane::Bulk, first, vec![tiny.clone(); 2])]);
        let wild = vehicle.post(envelope::seal(&wild).unwrap()).await.unwrap();
        assert_eq!(refused(wild), (400, RefusalCode::Malformed, 0), "first number {first}");
    }
    assert_eq!(fleet.vehicles().await.as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn the_same_batch_twice_has_one_effect() {
    let fleet = Fleet::start().await;
    let vehicle = fleet.enroll("bench-01");
    let loss = LossRecord {
        at: fleet::stamp(9),
        stage: LossStage::Receive,
        count: 7,
        range: None,
        why: "the receive buffer was full".into(),
    };
    let records = vec![verdict(1, "Cell82", VerdictCode::Anomalous), Record::Loss(loss).to_raw().unwrap()];
    let sent = request("bench-01", vec![batch(Lane::Critical, 1, records)]);
    for _ in 0..2 {
        assert_eq!(vehicle.sync(&sent).await.unwrap().acks, [ack(Lane::Critical, 2)]);
    }
    let report = fleet.report("bench-01").await;
    assert_eq!(report["counts"]["records"], 2);
    assert_eq!(report["counts"]["duplicates"], 2);
    assert_eq!(report["counts"]["lost_frames"], 7);
    assert_eq!(report["events"].as_array().unwrap().len(), 1);
    assert_eq!(report["open_anomalies"][0]["subject"], "Cell82");
}

#[tokio::test]
async fn overlapping_batches_store_each_record_once() {
    let fleet = Fleet::start().await;
    let vehicle = fleet.enroll("bench-01");
    vehicle.sync(&request("bench-01", vec![summaries(1..=5)])).await.unwrap();
    let answer = vehicle.sync(&request("bench-01", vec![summaries(4..=8), summaries(2..=3)])).await.unwrap();
    assert_eq!(answer.acks, [ack(Lane::Summary, 8), ack(Lane::Summary, 8)]);
    let counts = &fleet.report("bench-01").await["counts"];
    assert_eq!((&counts["records"], &counts["duplicates"]), (&8.into(), &4.into()));
}

#[tokio::test]
async fn another_record_under_a_known_number_is_kept_out_and_counted() {
    let fleet = Fleet::start().await;
    let vehicle = fleet.enroll("bench-01");
    let anomalous = verdict(1, "Cell82", VerdictCode::Anomalous);
    let nominal = verdict(1, "Cell82", VerdictCode::Nominal);
    vehicle.sync(&request("bench-01", vec![batch(Lane::Critical, 1, vec![anomalous])])).await.unwrap();
    let answer =
        vehicle.sync(&request("bench-01", vec![batch(Lane::Critical, 1, vec![nominal])])).await.unwrap();
    assert_eq!(answer.acks, [ack(Lane::Critical, 1)]);
    let report = fleet.report("bench-01").await;
    assert_eq!(report["counts"]["conflicts"], 1);
    assert_eq!(report["counts"]["records"], 1);
    assert_eq!(report["state"], "anomalous");
}

#[tokio::test]
async fn an_unknown_kind_and_a_malformed_body_never_block_the_lane() {
    let fleet = Fleet::start().await;
    let vehicle = fleet.enroll("bench-01");
    let records = vec![
        RawRecord { kind: 999, body: vec![1, 2, 3] },
        RawRecord { kind: 2, body: vec![0xff; 5] },
        verdict(3, "Cell7", VerdictCode::Anomalous),
    ];
    let answer = vehicle.sync(&request("bench-01", vec![batch(Lane::Critical, 1, records)])).await.unwrap();
    assert_eq!(answer.acks, [ack(Lane::Critical, 3)]);
    let report = fleet.report("bench-01").await;
    let counts = &report["counts"];
    assert_eq!([&counts["records"], &counts["unknown"], &counts["malformed"]], [&3, &1, &1]);
    assert_eq!(report["events"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_gap_is_acknowledged_shown_and_explained_by_a_loss() {
    let fleet = Fleet::start().await;
    let vehicle = fleet.enroll("bench-01");
    let answer =
        vehicle.sync(&request("bench-01", vec![summaries(1..=2), summaries(10..=12)])).await.unwrap();
    assert_eq!(answer.acks, [ack(Lane::Summary, 2), ack(Lane::Summary, 12)]);
    let report = fleet.report("bench-01").await;
    assert_eq!((&report["gaps"][0]["first"], &report["gaps"][0]["last"]), (&3.into(), &9.into()));
    assert_eq!(report["gaps"][0]["explained"], false);
    assert_eq!(report["counts"]["unexplained_gaps"], 1);

    // What overtook the gap was merely faster: a late batch takes its numbers out of it.
    vehicle.sync(&request("bench-01", vec![summaries(5..=6)])).await.unwrap();
    let gaps = fleet.report("bench-01").await["gaps"].clone();
    assert_eq!(gaps.as_array().unwrap().len(), 2, "{gaps}");

    let range = LostRange { boot: BOOT, lane: Lane::Summary, first: Seq(3), last: Seq(9) };
    let why = "the spool was at its cap".to_owned();
    let loss =
        LossRecord { at: fleet::stamp(9), stage: LossStage::SpoolCap, count: 5, range: Some(range), why };
    let told = batch(Lane::Critical, 1, vec![Record::Loss(loss).to_raw().unwrap()]);
    vehicle.sync(&request("bench-01", vec![told])).await.unwrap();
    let report = fleet.report("bench-01").await;
    assert_eq!(report["counts"]["unexplained_gaps"], 0);
    assert_eq!(report["gaps"][0]["explained"], true);
    assert_eq!(report["counts"]["lost_records"], 5);

    // Many later losses do not make it forget the one that explains; a lane waits for the budget and says so.
    let boot = Some(LostRange { boot: BOOT, lane: Lane::Bulk, first: Seq(1), last: Seq(2) });
    let later = |stage, range| {
        let (at, why) = (fleet::stamp(10), String::new());
        Record::Loss(LossRecord { at, stage, count: 2, range, why }).to_raw().unwrap()
    };
    for first in [2, 602] {
        let mut records = vec![later(LossStage::Receive, None); 599];
        records.push(later(LossStage::Budget, boot));
        vehicle.sync(&request("bench-01", vec![batch(Lane::Critical, first, records)])).await.unwrap();
    }
    let report = fleet.report("bench-01").await;
    assert_eq!(report["gaps"][0]["explained"], true);
    let total = |lane: Option<&str>, stage: &str, of: &str, times: u64, count: u64| serde_json::json!({ "lane": lane, "stage": stage, "of": of, "times": times, "count": count });
    let expected = serde_json::json!([
        total(Some("summary"), "spool cap", "records", 1, 5),
        total(Some("bulk"), "budget", "records", 2, 4),
        total(None, "receive", "frames", 1_198, 2_396),
    ]);
    assert_eq!(report["loss_totals"], expected);
    let (_, _, page) = fleet.get("/vehicle/bench-01").await;
    assert!(page.contains("losses explain all of them") && page.contains("Lost in all, by lane and place"));
}

#[tokio::test]
async fn the_same_batch_from_many_connections_at_once_is_stored_once() {
    let fleet = Fleet::start().await;
    let vehicle = fleet.enroll("bench-01");
    let sent = request("bench-01", vec![summaries(1..=20)]);
    let posts: Vec<_> = (0..8)
        .map(|_| {
            let (vehicle, sent) = (vehicle.clone(), sent.clone());
            tokio::spawn(async move { vehicle.sync(&sent).await.unwrap().acks })
        })
        .collect();
    for post in posts {
        assert_eq!(post.await.unwrap(), [ack(Lane::Summary, 20)]);
    }
    let counts = &fleet.report("bench-01").await["counts"];
    assert_eq!([&counts["records"], &counts["duplicates"], &counts["conflicts"]], [&20, &140, &0]);
}

#[tokio::test]
async fn a_busy_database_asks_the_vehicle_to_come_back() {
    let mut config = Config::new("", "");
    config.limits.patience = Duration::from_millis(100);
    let fleet = Fleet::start_with(config).await;
    let vehicle = fleet.enroll("bench-01");
    let body = envelope::seal(&request("bench-01", vec![summaries(1..=1)])).unwrap();
    let lock = fleet.lock_database().await;
    let (status, code, retry) = refused(vehicle.post(body.clone()).await.unwrap());
    assert_eq!((status, code), (503, RefusalCode::Unavailable));
    assert!(retry >= 1_000, "retry after {retry} ms");
    drop(lock);
    assert_eq!(vehicle.post(body).await.unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn a_shutdown_answers_what_it_has_begun_and_then_ends() {
    let fleet = Fleet::start().await;
    let vehicle = fleet.enroll("bench-01");
    let mut line = vehicle.connect().await.unwrap();
    let body = envelope::seal(&request("bench-01", vec![summaries(1..=1)])).unwrap();
    assert_eq!(line.post(body).await.unwrap().0, StatusCode::OK);
    let started = std::time::Instant::now();
    fleet.stop().await;
    assert!(started.elapsed() < Duration::from_secs(5), "an idle connection held the server");
    assert!(vehicle.connect().await.is_err());
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart() {
    let mut fleet = Fleet::start().await;
    let vehicle = fleet.enroll("bench-01");
    vehicle.sync(&request("bench-01", vec![summaries(1..=3)])).await.unwrap();
    fleet.restart().await;
    let vehicle = fleet.enroll("bench-01");
    let answer = vehicle.sync(&request("bench-01", vec![batch(Lane::Summary, 4, vec![])])).await.unwrap();
    assert_eq!(answer.acks, [ack(Lane::Summary, 3)]);
    assert_eq!(fleet.report("bench-01").await["counts"]["records"], 3);
    assert_eq!(VehicleId::new("bench-01").unwrap().as_str(), fleet.report("bench-01").await["vehicle"]);
}

#[tokio::test]
async fn estimates_stand_on_the_vehicles_page_with_interval_and_reason() {
    let fleet = Fleet::start().await;
    let told = |n: u64, value: f32| {
        let known = Ok(Interval { value, low: value - 0.02, high: f32::NAN });
        let subject = |value| SubjectEstimate { value, resistance_ohm: Some(0.002) };
        let record = EstimateRecord {
            at: fleet::stamp(n),
            model: fleet::model(),
            quantity: Quantity::StateOfHealth,
            coverage: 0.9,
            subjects: vec![subject(known), subject(Err(IndeterminateReason::OutsideTrainingRegime))],
            prefix: "Cell".into(),
        };
        Record::Estimate(record).to_raw().unwrap()
    };
    let records = batch(Lane::Status, 1, vec![told(1, 0.93), told(2, 0.92)]);
    fleet.enroll("bench-01").sync(&request("bench-01", vec![records])).await.unwrap();
    let report = fleet.report("bench-01").await;
    let lines = report["estimates"].as_array().unwrap();
    assert_eq!(lines.len(), 2);
    let (first, second) = (&lines[0]["subjects"][0], &lines[0]["subjects"][1]);
    assert!((first["value"].as_f64().unwrap() - 0.92).abs() < 1e-6, "the latest first: {lines:?}");
    assert!(first["high"].is_null(), "what is no number is none: {first}");
    assert_eq!((second["value"].is_null(), &second["reason"]), (true, &"outside the training regime".into()));
    let (_, _, page) = fleet.get("/vehicle/bench-01").await;
    assert!(page.contains("State of health") && page.contains("92.0 %"), "{page}");
}
