//! Sealed models in the cloud: their keys come in with them, vehicles tell theirs once, and the director wraps one for the
//! other, for each vehicle anew.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's own set-up: to fail loudly is its way to say so"
)]

mod fleet;

use fleet::directed::{World, now, targets, world};
use fleet::model::{built, event, write};
use fleet::request;
use hyper::StatusCode;
use std::sync::Arc;
use telltale_cloud::registry::{self, ImportError};
use telltale_cloud::rollout::Phase;
use telltale_cloud::rollout::stage::Stage;
use telltale_cloud::store::ota::NewModel;
use telltale_seal::{ContentKey, Purpose, SealError, SealingKey, WrappedKey};
use telltale_wire::bundle::BundleName;
use telltale_wire::digest::Digest;
use telltale_wire::ids::{BootId, Lane, Seq, VehicleId};
use telltale_wire::sync::Batch;
use telltale_wire::update::UpdateStep;

const PATH: &str = "/v1/ota/sealing-key";

fn key(seed: u8) -> Arc<ContentKey> {
    Arc::new(ContentKey::from_bytes(&[seed; 32]).unwrap())
}

fn imported(release: u32, family: &str, seed: u8) -> NewModel {
    let dir = tempfile::tempdir().unwrap();
    let (index, chunks) = built(release, family, Some(&key(seed)));
    write(&index, &chunks, dir.path());
    registry::import(dir.path(), &[key(seed)]).unwrap().remove(0)
}

/// Imports a sealed model, approves it and rolls it out to all; gives the rollout, the path and the bundle's digest.
async fn roll_out(world: &World, release: u32, seed: u8) -> (i64, String, Digest) {
    let model = imported(release, "cell-fault", seed);
    assert!(world.store.add_model(&model, "ann", now()).await.unwrap());
    let path = model.index.path().to_string();
    world.store.approve_model(&path, "ben", "", now()).await.unwrap();
    (world.roll_out_path(&path).await, path, Digest::of(&model.body))
}

/// The content key that the director wrapped for a vehicle, opened by that vehicle's sealing key.
async fn unwrapped(
    world: &World,
    name: &str,
    path: &str,
    sealing: &SealingKey,
) -> Result<ContentKey, SealError> {
    let signed = targets(&mut world.line(name).await).await;
    let wrapped = signed.targets[path].custom.as_ref().unwrap().content_key.clone().unwrap();
    let (vehicle, family) = (VehicleId::new(name).unwrap(), BundleName::new("cell-fault").unwrap());
    let purpose = Purpose { vehicle: &vehicle, family: &family, key_id: &key(1).id() };
    sealing.unwrap(&wrapped.parse::<WrappedKey>().unwrap(), purpose)
}

#[tokio::test]
async fn a_sealed_model_comes_in_with_its_key_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let (index, chunks) = built(1, "cell-fault", Some(&key(1)));
    write(&index, &chunks, dir.path());
    for keys in [vec![], vec![key(2)]] {
        let refused = registry::import(dir.path(), &keys).unwrap_err();
        assert!(matches!(refused, ImportError::NoKey { key_id, .. } if key_id == key(1).id()), "{refused}");
    }
    let found = registry::import(dir.path(), &[key(2), key(1)]).unwrap();
    assert_eq!(found[0].author.as_deref(), Some("ann"), "it is read through its seal");
    assert_eq!(found[0].card.as_deref(), Some("# cell-fault, release 1"));

    // A bundle that says one key and was sealed with another would be opened by no vehicle.
    let dir = tempfile::tempdir().unwrap();
    let (mut index, chunks) = built(1, "cell-fault", Some(&key(2)));
    index.seal = Some(key(1).seal_of());
    write(&index, &chunks, dir.path());
    let refused = registry::import(dir.path(), &[key(1), key(2)]).unwrap_err();
    assert!(matches!(refused, ImportError::Seal { source: SealError::NotOpened, .. }), "{refused}");
}

#[tokio::test]
async fn the_registry_knows_a_key_again_and_gives_no_two_families_one() {
    let world = world().await;
    assert!(world.store.add_model(&imported(1, "cell-fault", 1), "ann", now()).await.unwrap());
    let known = world.store.content_keys().await.unwrap();
    assert_eq!(known, [key(1)], "the next release needs no --content-key");
    let refused = world.store.add_model(&imported(1, "range", 1), "ann", now()).await.unwrap_err();
    assert!(refused.to_string().contains("is that of cell-fault"), "{refused}");
    assert!(world.store.add_model(&imported(1, "range", 2), "ann", now()).await.unwrap());
    let line = world.store.model("cell-fault/cell-fault-1.index").await.unwrap();
    assert_eq!(line.sealed, Some(key(1).id().to_hex()));
}

#[tokio::test]
async fn a_vehicle_s_first_key_stays_until_a_person_forgets_it() {
    let world = world().await;
    let mut line = world.line("a").await;
    let public = || SealingKey::generate().unwrap().public().to_string();
    let (first, second) = (public(), public());
    for bad in ["", "x", &first[1..], &"0".repeat(64)] {
        let (status, said) = line.put(PATH, bad).await.unwrap();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad:?}: {said}");
    }
    assert_eq!(line.put(PATH, &"0".repeat(65)).await.unwrap().0, StatusCode::PAYLOAD_TOO_LARGE);
    let say = |status: StatusCode, said: &str| (status, said.to_owned());
    assert_eq!(line.put(PATH, &first).await.unwrap(), say(StatusCode::OK, "taken\n"));
    assert_eq!(line.put(PATH, &first).await.unwrap(), say(StatusCode::OK, "known\n"));
    let (status, said) = line.put(PATH, &second).await.unwrap();
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(said.contains("forget-key"), "{said}");
    let keys = world.store.sealing_keys().await.unwrap();
    assert_eq!(
        keys.iter().map(|key| (key.vehicle.as_str(), &key.public)).collect::<Vec<_>>(),
        [("a", &first)]
    );
    // Another vehicle's is its own affair.
    assert_eq!(world.line("b").await.put(PATH, &second).await.unwrap(), say(StatusCode::OK, "taken\n"));

    let vehicle = VehicleId::new("a").unwrap();
    assert!(world.store.forget_sealing_key(&vehicle, "ann", "", now()).await.is_err(), "without a reason");
    world.store.forget_sealing_key(&vehicle, "ann", "new ECU", now()).await.unwrap();
    assert!(world.store.forget_sealing_key(&vehicle, "ann", "twice", now()).await.is_err());
    assert_eq!(line.put(PATH, &second).await.unwrap(), say(StatusCode::OK, "taken\n"));
    let audit = world.store.audit().await.unwrap();
    let told: Vec<_> = audit
        .iter()
        .filter(|entry| entry.subject == "vehicle a")
        .map(|entry| (entry.act.as_str(), entry.who.as_str()))
        .collect();
    assert_eq!(
        told,
        [("sealing key taken", "a"), ("sealing key forgotten", "ann"), ("sealing key taken", "a")]
    );
    world.fleet.revoke("a", true).await;
    assert_eq!(line.put(PATH, &second).await.unwrap().0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn each_vehicle_gets_the_key_wrapped_for_itself_and_one_without_holds_nobody_up() {
    let world = world().await;
    let (a, b) = (SealingKey::generate().unwrap(), SealingKey::generate().unwrap());
    for name in ["a", "b", "c"] {
        assert_eq!(world.desired(name).await, 0);
    }
    for (name, sealing) in [("a", &a), ("b", &b)] {
        world.line(name).await.put(PATH, &sealing.public().to_string()).await.unwrap();
    }
    let (rollout, path, digest) = roll_out(&world, 1, 1).await;
    for (name, sealing, other) in [("a", &a, &b), ("b", &b, &a)] {
        assert_eq!(world.desired(name).await, 1);
        assert_eq!(unwrapped(&world, name, &path, sealing).await.unwrap(), *key(1));
        let refused = unwrapped(&world, name, &path, other).await;
        assert!(matches!(refused, Err(SealError::OtherSealingKey { .. })), "{refused:?}");
        assert_eq!(world.desired(name).await, 1, "the same is no news: it is wrapped once");
    }

    // The third one told no key: it is offered nothing, the rollout says why, and goes on without it.
    assert_eq!(world.desired("c").await, 0);
    let standing = async || {
        let report = world.store.rollout(rollout, now()).await.unwrap();
        let c = report.vehicles.iter().find(|member| member.vehicle == "c").unwrap();
        (c.stage, c.reason.clone(), report.line.phase)
    };
    let (stage, reason, _) = standing().await;
    assert_eq!(
        (stage, reason.as_str()),
        (Stage::PassedOver, "no sealing key of it is known: it can't get a sealed model")
    );
    let committed = |first: u64| {
        let records = vec![event(5, digest, UpdateStep::Committed, None)];
        vec![Batch { boot: BootId::new(1, 7), lane: Lane::Status, first_seq: Seq(first), records }]
    };
    for name in ["a", "b"] {
        world.fleet.enroll(name).sync(&request(name, committed(1))).await.unwrap();
    }
    world.store.advance_rollouts(now()).await.unwrap();
    assert_eq!(standing().await.2, Phase::Completed);

    // It tells one, and the completed rollout takes it in.
    let c = SealingKey::generate().unwrap();
    world.line("c").await.put(PATH, &c.public().to_string()).await.unwrap();
    world.store.advance_rollouts(now()).await.unwrap();
    assert_eq!((standing().await.0, world.desired("c").await), (Stage::Assigned, 1));
    assert_eq!(unwrapped(&world, "c", &path, &c).await.unwrap(), *key(1));
}

#[tokio::test]
async fn after_a_change_of_its_key_a_vehicle_gets_the_content_key_anew() {
    let world = world().await;
    let (old, new) = (SealingKey::generate().unwrap(), SealingKey::generate().unwrap());
    assert_eq!(world.desired("a").await, 0);
    let mut line = world.line("a").await;
    line.put(PATH, &old.public().to_string()).await.unwrap();
    let (_, path, _) = roll_out(&world, 1, 1).await;
    assert_eq!(unwrapped(&world, "a", &path, &old).await.unwrap(), *key(1));
    let vehicle = VehicleId::new("a").unwrap();
    world.store.forget_sealing_key(&vehicle, "ann", "new ECU", now()).await.unwrap();
    assert_eq!(world.desired("a").await, 2, "nothing is offered to a vehicle without a key");
    assert!(targets(&mut line).await.targets.is_empty());
    line.put(PATH, &new.public().to_string()).await.unwrap();
    assert_eq!(world.desired("a").await, 3);
    assert_eq!(unwrapped(&world, "a", &path, &new).await.unwrap(), *key(1));
}
