//! The director over real connections: what is signed for a vehicle, when, and that nobody else gets it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's own set-up: to fail loudly is its way to say so"
)]

mod fleet;

use fleet::directed::{ANN, file, now, repository, targets, world};
use fleet::model::{bundle, event};
use fleet::{Fleet, request};
use hyper::StatusCode;
use telltale_cloud::rollout::Verb;
use telltale_cloud::server::{Config, Server};
use telltale_repository::key::SigningKey;
use telltale_wire::command::{CommandAck, CommandOutcome};
use telltale_wire::desired::{Command, DesiredState, Feature, FeatureSwitch};
use telltale_wire::digest::Digest;
use telltale_wire::ids::{BootId, Lane, Seq, VehicleId};
use telltale_wire::record::{RawRecord, Record};
use telltale_wire::sync::Batch;
use telltale_wire::time::WallTime;
use telltale_wire::update::UpdateStep;

#[tokio::test]
async fn a_vehicle_is_told_of_news_once_and_gets_its_own_targets() {
    let world = world().await;
    assert_eq!(world.desired("a").await, 0, "nothing is wanted of it");
    let (_, path, digest) = world.roll_out(1).await;
    assert_eq!(world.desired("a").await, 1);
    assert_eq!(world.desired("a").await, 1, "the same is no news");
    let mut line = world.line("a").await;
    let signed = targets(&mut line).await;
    assert_eq!((signed.version, signed.vehicle.as_deref()), (1, Some("a")));
    let target = &signed.targets[&path];
    assert_eq!(target.hashes["sha256"], digest.to_hex());
    let custom = target.custom.as_ref().unwrap();
    assert_eq!((custom.release, custom.family.as_str(), custom.hardware_ids.len()), (1, "cell-fault", 1));
    let index = line.get(&format!("/v1/ota/index/{path}")).await.unwrap().1;
    assert_eq!((index.len() as u64, index), (target.length, bundle(1).0.encode().unwrap()));

    // Another vehicle gets what is signed for it, whatever it asks for.
    world.desired("b").await;
    assert_eq!(targets(&mut world.line("b").await).await.vehicle.as_deref(), Some("b"));
}

#[tokio::test]
async fn a_stop_and_a_revocation_take_the_offer_back() {
    let world = world().await;
    world.desired("a").await;
    world.desired("b").await;
    let (id, path, digest) = world.roll_out(1).await;
    let committed = event(5, digest, UpdateStep::Committed, None);
    let batch =
        Batch { boot: BootId::new(1, 7), lane: Lane::Status, first_seq: Seq(1), records: vec![committed] };
    world.fleet.enroll("a").sync(&request("a", vec![batch])).await.unwrap();
    assert_eq!((world.desired("a").await, world.desired("b").await), (1, 1));
    world.store.ask_rollout(id, Verb::Pause, ANN, now()).await.unwrap();
    assert_eq!(
        (world.desired("a").await, world.desired("b").await),
        (1, 2),
        "who has not begun does not begin"
    );
    world.store.ask_rollout(id, Verb::Resume, ANN, now()).await.unwrap();
    assert_eq!(world.desired("b").await, 3);
    world.store.ask_rollout(id, Verb::Stop, ANN, now()).await.unwrap();
    assert_eq!((world.desired("a").await, world.desired("b").await), (1, 4));
    assert!(targets(&mut world.line("b").await).await.targets.is_empty());
    assert!(targets(&mut world.line("a").await).await.targets.contains_key(&path), "it runs it");
    world.store.revoke_model(&path, "ben", "wrong data", now()).await.unwrap();
    assert_eq!(world.desired("a").await, 2);
    assert!(targets(&mut world.line("a").await).await.targets.is_empty());
    let (status, _) = world.line("a").await.get(&format!("/v1/ota/index/{path}")).await.unwrap();
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn commands_come_signed_until_they_are_acknowledged() {
    let world = world().await;
    world.desired("a").await;
    let vehicle = VehicleId::new("a").unwrap();
    let off = Command::Feature(FeatureSwitch { feature: Feature::Snapshots, on: false });
    let later = WallTime(now().0 + 3_600_000_000);
    let id = world.store.command(&vehicle, &off, ("ann", "flash wears"), later, now()).await.unwrap();
    assert_eq!(world.desired("a").await, 1);
    let mut line = world.line("a").await;
    let signed = targets(&mut line).await;
    let bytes = file(&mut line, "desired-state").await.unwrap();
    assert_eq!(signed.targets["desired-state"].hashes["sha256"], Digest::of(&bytes).to_hex());
    let state = DesiredState::read(&bytes).unwrap();
    assert_eq!((state.version, state.commands.len()), (1, 1));
    assert_eq!((state.commands[0].id, state.commands[0].parse()), (id as u64, Ok(off)));
    assert!(state.expires > now() && state.commands[0].expires == later);

    world.desired("b").await;
    assert_eq!(file(&mut world.line("b").await, "desired-state").await, None, "commands are one vehicle's");
    let ack = CommandAck {
        at: fleet::stamp(9),
        desired_state: 1,
        id: id as u64,
        outcome: CommandOutcome::Done,
        why: String::new(),
    };
    let records: Vec<RawRecord> = vec![Record::Command(ack).to_raw().unwrap()];
    let batch = Batch { boot: BootId::new(1, 7), lane: Lane::Status, first_seq: Seq(1), records };
    let answer = world.fleet.enroll("a").sync(&request("a", vec![batch])).await.unwrap();
    assert_eq!(answer.desired_state, 2);
    assert!(targets(&mut line).await.targets.is_empty());
    assert_eq!(file(&mut line, "desired-state").await, None);
}

#[tokio::test]
async fn files_beside_the_metadata_are_out_of_reach() {
    let world = world().await;
    world.desired("a").await;
    let mut line = world.line("a").await;
    let image = "/v1/ota/image/timestamp.json";
    assert_eq!(line.get(image).await.unwrap(), (StatusCode::OK, b"{\"signed\":{}}".to_vec()));
    for path in [
        "/v1/ota/image/..%2fsecret.json",
        "/v1/ota/image/..%2fdirector.pem",
        "/v1/ota/director/..%2fdirector.pem",
        "/v1/ota/director/9.targets.json",
        "/v1/ota/director/..%2f..%2f1.root.json",
        "/v1/ota/image/%2e%2e",
    ] {
        assert_eq!(line.get(path).await.unwrap().0, StatusCode::NOT_FOUND, "{path}");
    }
    world.fleet.revoke("a", true).await;
    assert_eq!(line.get(image).await.unwrap().0, StatusCode::FORBIDDEN);
    assert_eq!(line.get("/v1/ota/director/timestamp.json").await.unwrap().0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_server_without_a_repository_wants_nothing_and_a_wrong_key_is_refused() {
    let fleet = Fleet::start().await;
    let answer = fleet.enroll("a").sync(&request("a", vec![])).await.unwrap();
    assert_eq!(answer.desired_state, 0);
    let (status, why) =
        fleet.enroll("a").connect().await.unwrap().get("/v1/ota/image/timestamp.json").await.unwrap();
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(String::from_utf8(why).unwrap().contains("no repository"));

    let dir = tempfile::tempdir().unwrap();
    let mut ota = repository(dir.path());
    ota.key = dir.path().join("other.pem");
    SigningKey::generate().unwrap().write(&ota.key).unwrap();
    let mut config = Config::new(fleet.pki.ca_cert().parent().unwrap(), dir.path().join("x.db"));
    config.ota = Some(ota);
    let refused = Server::bind(config).await.err().unwrap();
    assert!(refused.to_string().contains("targets"), "{refused}");
}

#[tokio::test]
async fn a_vehicle_that_is_asking_while_something_new_is_signed_finds_what_it_began_with() {
    let world = world().await;
    world.desired("a").await;
    world.roll_out(1).await;
    let mut line = world.line("a").await;
    let timestamp = file(&mut line, "timestamp.json").await.unwrap();
    // Between the vehicle's first question and its second somebody wants something else of it, four times.
    let vehicle = VehicleId::new("a").unwrap();
    let later = WallTime(now().0 + 3_600_000_000);
    for _ in 0..4 {
        let command = Command::Feature(FeatureSwitch { feature: Feature::Updates, on: true });
        world.store.command(&vehicle, &command, ("ann", "a test"), later, now()).await.unwrap();
        world.desired("a").await;
    }
    assert_ne!(file(&mut line, "timestamp.json").await.unwrap(), timestamp);
    for name in ["1.snapshot.json", "1.targets.json"] {
        assert!(file(&mut line, name).await.is_some(), "{name}");
    }
    assert_eq!(targets(&mut line).await.version, 5);
    // It is no archive, and nobody else's.
    world
        .store
        .command(
            &vehicle,
            &Command::Feature(FeatureSwitch { feature: Feature::Updates, on: true }),
            ("ann", "a test"),
            later,
            now(),
        )
        .await
        .unwrap();
    world.desired("a").await;
    world.desired("b").await;
    assert_eq!(file(&mut line, "1.snapshot.json").await, None);
    assert_eq!(file(&mut world.line("b").await, "2.targets.json").await, None);
}
