//! Rollouts over real connections: models come in, vehicles tell of their updates, the server decides.

#![allow(clippy::unwrap_used, reason = "a test's own set-up: to fail loudly is its way to say so")]

mod fleet;

use fleet::model::{approved, bundle, event, shadow, write};
use fleet::{Fleet, request, stamp};
use hyper::StatusCode;
use telltale_cloud::registry::{self, ImportError};
use telltale_cloud::rollout::{Person, Phase, Plan, Verb};
use telltale_cloud::server::Config;
use telltale_cloud::store::Store;
use telltale_wire::command::{CommandAck, CommandOutcome};
use telltale_wire::desired::{Command, Pin};
use telltale_wire::digest::Digest;
use telltale_wire::ids::{BootId, Lane, Seq, VehicleId};
use telltale_wire::record::{RawRecord, Record};
use telltale_wire::sync::Batch;
use telltale_wire::time::WallTime;
use telltale_wire::update::{UpdateReason, UpdateStep};

const NOW: WallTime = WallTime(1_795_000_000_000_000);
const ANN: Person<'static> = Person { name: "ann", why: "a test" };
const BEN: Person<'static> = Person { name: "ben", why: "a test" };

fn batch(first: u64, records: Vec<RawRecord>) -> Batch {
    Batch { boot: BootId::new(1, 7), lane: Lane::Status, first_seq: Seq(first), records }
}

async fn fleet_of(names: &[&str]) -> Fleet {
    let mut config = Config::new("", "");
    // The test advances rollouts itself, in its own time.
    config.limits.rollout_interval = std::time::Duration::from_secs(3_600);
    let fleet = Fleet::start_with(config).await;
    for name in names {
        fleet.enroll(name).sync(&request(name, vec![])).await.unwrap();
    }
    fleet
}

async fn running(store: &Store, plan: &str) -> (i64, Digest) {
    let (path, digest) = approved(store, 1, NOW).await;
    let plan = Plan::read(plan).unwrap();
    let id = store.create_rollout(&path, &plan, "ann", "", NOW).await.unwrap();
    store.ask_rollout(id, Verb::Approve, BEN, NOW).await.unwrap();
    store.ask_rollout(id, Verb::Start, ANN, NOW).await.unwrap();
    store.advance_rollouts(NOW).await.unwrap();
    (id, digest)
}

const TWO_WAVES: &str =
    "[[wave]]\ngroups = ['bench']\nmin_executed = 2\nsuccess = 1.0\n[[wave]]\npercent = 100\n";

#[tokio::test]
async fn a_model_comes_in_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let (index, chunks) = bundle(1);
    assert!(matches!(registry::import(dir.path(), &[]), Err(ImportError::NoIndex(_))));
    write(&index, &chunks, dir.path());
    let found = registry::import(dir.path(), &[]).unwrap();
    assert_eq!((found.len(), found[0].author.as_deref()), (1, Some("ann")));

    let first = dir.path().join("chunk").join(Digest::of(&chunks[0]).to_hex());
    let mut bytes = chunks[0].clone();
    bytes[0] ^= 1;
    std::fs::write(&first, &bytes).unwrap();
    assert!(matches!(registry::import(dir.path(), &[]), Err(ImportError::Chunk { .. })));
    std::fs::write(&first, &chunks[0][1..]).unwrap();
    assert!(matches!(registry::import(dir.path(), &[]), Err(ImportError::Chunk { .. })));
    std::fs::remove_file(&first).unwrap();
    assert!(matches!(registry::import(dir.path(), &[]), Err(ImportError::NoChunk { .. })));
    std::fs::write(&first, &chunks[0]).unwrap();
    std::fs::write(dir.path().join("index").join(index.path().to_string()), b"no index").unwrap();
    assert!(matches!(registry::import(dir.path(), &[]), Err(ImportError::Index { .. })));
}

#[tokio::test]
async fn a_second_person_approves_and_a_release_is_taken_once() {
    let fleet = fleet_of(&[]).await;
    let store = fleet.store().await;
    let dir = tempfile::tempdir().unwrap();
    let (index, chunks) = bundle(1);
    write(&index, &chunks, dir.path());
    let model = registry::import(dir.path(), &[]).unwrap().remove(0);
    let path = index.path().to_string();
    assert!(store.add_model(&model, "cid", NOW).await.unwrap());
    assert!(!store.add_model(&model, "cid", NOW).await.unwrap(), "the same bundle again is no news");
    for own in ["ann", "Cid"] {
        let error = store.approve_model(&path, own, "", NOW).await.unwrap_err();
        assert!(error.to_string().contains("a second person must"), "{error}");
    }
    let plan = Plan::default();
    let error = store.create_rollout(&path, &plan, "ann", "", NOW).await.unwrap_err();
    assert!(error.to_string().contains("is not approved"), "{error}");
    store.approve_model(&path, "ben", "seen the figures", NOW).await.unwrap();
    store.create_rollout(&path, &plan, "ann", "", NOW).await.unwrap();

    let mut other = model.clone();
    other.index.version = "9".into();
    other.body = other.index.encode().unwrap();
    let error = store.add_model(&other, "cid", NOW).await.unwrap_err();
    assert!(error.to_string().contains("release 1 of cell-fault is taken"), "{error}");
    let error = store.revoke_model(&path, "ben", " ", NOW).await.unwrap_err();
    assert!(error.to_string().contains("say why"), "{error}");
    store.revoke_model(&path, "ben", "wrong data", NOW).await.unwrap();
    let line = store.model(&path).await.unwrap();
    assert_eq!((line.state, line.audit.len(), line.approver.as_deref()), ("revoked", 3, Some("ben")));
    assert!(line.lineage.contains(&("data.digest".into(), "abc1".into())));
}

#[tokio::test]
async fn vehicles_fetch_indexes_and_chunks_as_themselves_only() {
    let fleet = fleet_of(&["bench-01"]).await;
    let (path, _) = approved(&fleet.store().await, 1, NOW).await;
    let (index, chunks) = bundle(1);
    let mut line = fleet.enroll("bench-01").connect().await.unwrap();
    let (status, body) = line.get(&format!("/v1/ota/index/{path}")).await.unwrap();
    assert_eq!((status, body), (StatusCode::OK, index.encode().unwrap()));
    for chunk in &chunks {
        let at = format!("/v1/ota/chunk/{}", Digest::of(chunk));
        assert_eq!(line.get(&at).await.unwrap(), (StatusCode::OK, chunk.clone()));
    }
    for path in [
        "/v1/ota/index/cell-fault/cell-fault-2.index",
        "/v1/ota/index/cell-fault/..%2f..%2fx",
        "/v1/ota/chunk/00",
        &format!("/v1/ota/chunk/{}", "0".repeat(64)),
        &format!("/v1/ota/chunk/{}", "+".repeat(64)),
    ] {
        assert_eq!(line.get(path).await.unwrap().0, StatusCode::NOT_FOUND, "{path}");
    }
    fleet.revoke("bench-01", true).await;
    assert_eq!(line.get(&format!("/v1/ota/index/{path}")).await.unwrap().0, StatusCode::FORBIDDEN);
    assert!(fleet.stranger().connect().await.unwrap().get(&format!("/v1/ota/index/{path}")).await.is_err());
}

#[tokio::test]
async fn events_of_vehicles_move_a_rollout_from_wave_to_wave() {
    let fleet = fleet_of(&["a", "b", "c"]).await;
    let store = fleet.store().await;
    store.set_group("bench", &["a".into(), "b".into()], true).await.unwrap();
    let (id, digest) = running(&store, TWO_WAVES).await;
    let report = store.rollout(id, NOW).await.unwrap();
    assert_eq!((report.line.wave, report.progress[0].tally.under_way), (Some(1), 2));

    let steps = [UpdateStep::Offered, UpdateStep::Shadow, UpdateStep::Trial, UpdateStep::Committed];
    for name in ["a", "b"] {
        let mut records: Vec<_> = steps.map(|step| event(5, digest, step, None)).into();
        records.insert(2, shadow(4, digest, 1_000, 3, 0));
        let sent = request(name, vec![batch(1, records)]);
        fleet.enroll(name).sync(&sent).await.unwrap();
        // The same again: nothing counts twice.
        fleet.enroll(name).sync(&sent).await.unwrap();
    }
    store.advance_rollouts(NOW).await.unwrap();
    let report = store.rollout(id, NOW).await.unwrap();
    assert_eq!((report.progress[0].tally.committed, report.line.wave), (2, Some(2)));
    assert_eq!(report.tests.iter().map(|test| test.observations).collect::<Vec<_>>(), [2, 2, 2]);
    assert!((report.tests[1].mean - 0.003).abs() < 1e-9, "{:?}", report.tests[1]);
    assert_eq!(report.tests[2].mean, 0.0);

    let installed = store.installed("a").await.unwrap();
    assert_eq!((installed[0].step.as_str(), installed[0].committed), ("committed", Some(1)));
    assert_eq!(installed[0].shadow.as_ref().unwrap().differed, 3);

    // A vehicle that calls for the first time lands in its wave.
    fleet.enroll("d").sync(&request("d", vec![])).await.unwrap();
    for name in ["c", "d"] {
        let sent = request(name, vec![batch(1, vec![event(5, digest, UpdateStep::Committed, None)])]);
        fleet.enroll(name).sync(&sent).await.unwrap();
        store.advance_rollouts(NOW).await.unwrap();
    }
    let report = store.rollout(id, NOW).await.unwrap();
    assert_eq!((report.line.phase, report.progress[1].tally.committed), (Phase::Completed, 2));
    let acts: Vec<_> = report.decisions.iter().rev().map(|line| line.act.as_str()).collect();
    assert_eq!(
        acts,
        ["created", "approved", "started", "wave released", "wave released", "completed"],
        "each decision once"
    );
}

#[tokio::test]
async fn a_failing_model_stops_and_its_vehicles_are_told_to_go_back() {
    let fleet = fleet_of(&["a", "b", "c"]).await;
    let store = fleet.store().await;
    store.set_group("bench", &["a".into(), "b".into()], true).await.unwrap();
    let plan = TWO_WAVES.to_owned() + "[gates]\non_stop = 'rollback'\n";
    let (id, digest) = running(&store, &plan).await;
    let good = request("a", vec![batch(1, vec![event(5, digest, UpdateStep::Committed, None)])]);
    fleet.enroll("a").sync(&good).await.unwrap();
    let bad = event(5, digest, UpdateStep::RolledBack, Some(UpdateReason::NotFinite));
    fleet.enroll("b").sync(&request("b", vec![batch(1, vec![bad])])).await.unwrap();
    store.advance_rollouts(NOW).await.unwrap();
    let report = store.rollout(id, NOW).await.unwrap();
    assert_eq!((report.line.phase, report.progress[1].tally.waiting), (Phase::Stopped, 1));
    assert!(report.line.why.contains("1 of 2 vehicles of the wave failed: 50 %"), "{}", report.line.why);
    assert_eq!(report.vehicles[0].reason, "an output that is no number");
    let commands = store.commands("a", NOW).await.unwrap();
    assert_eq!(commands[0].what, "roll cell-fault back from release 1");
    assert!(store.commands("b", NOW).await.unwrap().is_empty());

    // Acknowledged once, by the vehicle that it was for, and the first word counts.
    let ack = |outcome| {
        let id = commands[0].id as u64;
        let ack = CommandAck { at: stamp(9), desired_state: 1, id, outcome, why: "x".into() };
        Record::Command(ack).to_raw().unwrap()
    };
    let from = |name: &str, first, outcome| request(name, vec![batch(first, vec![ack(outcome)])]);
    fleet.enroll("b").sync(&from("b", 2, CommandOutcome::Failed)).await.unwrap();
    assert_eq!(store.commands("a", NOW).await.unwrap()[0].outcome, "waiting");
    fleet.enroll("a").sync(&from("a", 2, CommandOutcome::Done)).await.unwrap();
    fleet.enroll("a").sync(&from("a", 3, CommandOutcome::Failed)).await.unwrap();
    assert_eq!(store.commands("a", NOW).await.unwrap()[0].outcome, "done");

    // It went back: what was committed is so no more.
    assert_eq!(store.installed("a").await.unwrap()[0].committed, Some(1));
    let back = event(9, digest, UpdateStep::RolledBack, Some(UpdateReason::Asked));
    fleet.enroll("a").sync(&request("a", vec![batch(4, vec![back])])).await.unwrap();
    let line = store.installed("a").await.unwrap().remove(0);
    assert_eq!((line.committed, line.reason.as_str()), (None, "asked for"));
    assert_eq!(store.rollout(id, NOW).await.unwrap().progress[0].tally.passed_over, 1);
}

#[tokio::test]
async fn an_older_event_that_comes_late_does_not_turn_a_vehicle_back() {
    let fleet = fleet_of(&["a"]).await;
    let store = fleet.store().await;
    let (id, digest) = running(&store, "[[wave]]\npercent = 100\n").await;
    let vehicle = fleet.enroll("a");
    let sent = |first, step| request("a", vec![batch(first, vec![event(5, digest, step, None)])]);
    vehicle.sync(&sent(2, UpdateStep::Committed)).await.unwrap();
    vehicle.sync(&sent(1, UpdateStep::Trial)).await.unwrap();
    let report = store.rollout(id, NOW).await.unwrap();
    assert_eq!(report.progress[0].tally.committed, 1);
    assert_eq!(store.installed("a").await.unwrap()[0].step, "committed");
}

#[tokio::test]
async fn one_rollout_of_a_family_runs_at_a_time_and_releases_only_grow() {
    let fleet = fleet_of(&["a"]).await;
    let store = fleet.store().await;
    let (first, _) = running(&store, "[[wave]]\npercent = 100\n").await;
    let (path, _) = approved(&store, 2, NOW).await;
    let second = store.create_rollout(&path, &Plan::default(), "ann", "", NOW).await.unwrap();
    store.ask_rollout(second, Verb::Approve, BEN, NOW).await.unwrap();
    let error = store.ask_rollout(second, Verb::Start, ANN, NOW).await.unwrap_err();
    assert!(error.to_string().contains("is running or paused"), "{error}");
    store.ask_rollout(first, Verb::Stop, ANN, NOW).await.unwrap();
    store.ask_rollout(second, Verb::Start, ANN, NOW).await.unwrap();
    let error = store.create_rollout(&path, &Plan::default(), "ann", "", NOW).await.unwrap_err();
    assert!(error.to_string().contains("has brought release 2 already"), "{error}");
}

#[tokio::test]
async fn a_revoked_model_stops_its_rollout() {
    let fleet = fleet_of(&["a"]).await;
    let store = fleet.store().await;
    let (id, _) = running(&store, "[[wave]]\npercent = 100\n").await;
    store.revoke_model("cell-fault/cell-fault-1.index", "ben", "wrong data", NOW).await.unwrap();
    let report = store.rollout(id, NOW).await.unwrap();
    assert_eq!(report.line.phase, Phase::Stopped);
    assert_eq!(report.line.why, "stopped by ben: the model was revoked: wrong data");
}

#[tokio::test]
async fn commands_are_bounded_and_named() {
    let fleet = fleet_of(&["a"]).await;
    let store = fleet.store().await;
    let vehicle = VehicleId::new("a").unwrap();
    let pin = Command::Pin(Pin { family: "cell-fault".into(), pinned: true });
    let later = WallTime(NOW.0 + 1);
    let asked = |who: &'static str| store.command(&vehicle, &pin, (who, ""), later, NOW);
    assert!(asked(" ").await.unwrap_err().to_string().contains("say who you are"));
    for _ in 0..64 {
        asked("ann").await.unwrap();
    }
    assert!(asked("ann").await.unwrap_err().to_string().contains("64 open commands"));
    assert_eq!(store.commands("a", later).await.unwrap()[0].outcome, "expired");
    let nobody = VehicleId::new("nobody").unwrap();
    let error = store.command(&nobody, &pin, ("ann", ""), later, NOW).await.unwrap_err();
    assert!(error.to_string().contains("has ever called"), "{error}");
}

#[tokio::test]
async fn pages_show_models_rollouts_and_what_a_vehicle_told() {
    let fleet = fleet_of(&["a", "b", "c"]).await;
    let (_, _, none) = fleet.get("/rollouts").await;
    assert!(none.contains("No rollout has been written yet"), "{none}");
    let store = fleet.store().await;
    store.set_group("bench", &["a".into(), "b".into()], true).await.unwrap();
    let (id, digest) = running(&store, TWO_WAVES).await;
    let records = vec![shadow(4, digest, 1_000, 3, 0), event(5, digest, UpdateStep::Committed, None)];
    fleet.enroll("a").sync(&request("a", vec![batch(1, records)])).await.unwrap();
    let bad = event(5, digest, UpdateStep::Refused, Some(UpdateReason::GoldenDiffers));
    fleet
        .enroll("b")
        .sync(&request("b", vec![batch(1, vec![shadow(4, digest, 900, 0, 0), bad])]))
        .await
        .unwrap();
    let later = WallTime(NOW.0 + 86_400_000_000);
    let pin = Command::Pin(Pin { family: "cell-fault".into(), pinned: true });
    let vehicle = VehicleId::new("a").unwrap();
    store.command(&vehicle, &pin, ("ann", "<b>hold</b>"), WallTime(i64::MAX), later).await.unwrap();
    store.advance_rollouts(NOW).await.unwrap();

    for (path, parts) in [
        ("/models", &["cell-fault/cell-fault-1.index", "approved", "ben"][..]),
        ("/model/cell-fault/cell-fault-1.index", &["data.digest", "abc1", "looks good", "release 1"]),
        ("/rollouts", &["stopped", "1 of 2 vehicles of the wave failed", "1 of 2"]),
        (
            "/rollout/1",
            &["golden outputs differ", "<svg class=\"bar\"", "<polyline", "the rollout engine", "not begun"],
        ),
        (
            "/vehicle/a",
            &["Updates over the air", "3 of 1,000 verdicts differ", "pin cell-fault", "&lt;b&gt;hold"],
        ),
    ] {
        let (status, _, page) = fleet.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        for part in parts {
            assert!(page.contains(part), "{path} lacks {part}: {page}");
        }
        assert!(!page.contains("<b>hold"), "{path}");
    }
    assert_eq!(id, 1);
    for path in ["/rollout/2", "/rollout/x", "/model/a/b"] {
        assert_eq!(fleet.get(path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    let (_, _, json) = fleet.get("/api/rollout/1").await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["phase"], &json["progress"][0]["failed"]), (&"stopped".into(), &1.into()));
    let (_, _, audit) = fleet.get("/api/audit").await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&audit).unwrap().as_array().unwrap().len(), 8);
}
