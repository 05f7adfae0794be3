//! Attacks on metadata: signatures, thresholds, versions, ends, and parts that do not belong together.

use crate::world::*;
use crate::{Scene, distrust, fresh, refusal, run, seen};
use telltale_repository::metadata::{MetaFile, Metadata};
use telltale_trust::{Distrust, FetchError, Floors, Refusal, Side};
use telltale_wire::time::WallTime;

fn threshold(role: &str, found: usize, threshold: usize) -> Distrust {
    Distrust::Threshold { role: role.into(), found, threshold }
}

/// The reason for which the image repository's word on the target was not believed.
fn of_family(refusal: Refusal) -> Distrust {
    match refusal {
        Refusal::Metadata(error) if error.side == Side::Image => error.reason,
        other => panic!("{other}"),
    }
}

#[test]
fn missing_signature() {
    for role in ["timestamp", "snapshot", "targets"] {
        let answer = fresh("missing-signature", |world| drop(world.director.signers.remove(role)));
        assert_eq!(distrust(Side::Director, answer), threshold(role, 0, 1));
        let answer = fresh("missing-signature", |world| drop(world.image.signers.remove(role)));
        assert_eq!(distrust(Side::Image, answer), threshold(role, 0, 1));
    }
    let answer = fresh("missing-signature", |world| drop(world.image.signers.remove("cell-fault")));
    assert_eq!(of_family(refusal(answer)), threshold("cell-fault", 0, 1));
}

#[test]
fn wrong_signature() {
    for role in ["timestamp", "snapshot", "targets"] {
        let answer = fresh("wrong-signature", |world| {
            world.image.signers.insert(role.into(), vec![THIEF]);
        });
        assert_eq!(distrust(Side::Image, answer), threshold(role, 0, 1));
        // The director's key is good, but not here.
        let answer = fresh("wrong-signature", |world| {
            world.image.signers.insert(role.into(), vec![ONLINE]);
        });
        assert_eq!(distrust(Side::Image, answer), threshold(role, 0, 1));
    }
    // The thief's signature under the name of the good key.
    let answer = fresh("wrong-signature", |world| {
        world.image.signers.insert("timestamp".into(), vec![THIEF]);
        world.image.tamper = Some(("timestamp", |bytes| {
            let text = String::from_utf8(bytes).unwrap();
            text.replace(key(THIEF).id().as_str(), key(TIMESTAMP).id().as_str()).into_bytes()
        }));
    });
    assert_eq!(distrust(Side::Image, answer), threshold("timestamp", 0, 1));
}

#[test]
fn threshold_not_met() {
    let answer = seen("threshold-not-met", |world| {
        world.image.rotate(|_| ());
        world.image.roots[1].1 = vec![ROOTS[0]];
    });
    assert_eq!(distrust(Side::Image, answer), threshold("root", 1, 2));
    // A key that signs twice counts once, and is a fault by itself.
    let answer = seen("threshold-not-met", |world| {
        world.image.rotate(|_| ());
        world.image.roots[1].1 = vec![ROOTS[0], THIEF];
    });
    assert_eq!(distrust(Side::Image, answer), threshold("root", 1, 2));
    let answer = fresh("threshold-not-met", |world| {
        world.image.tamper = Some(("timestamp", |bytes| {
            let mut file: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            let first = file["signatures"][0].clone();
            file["signatures"].as_array_mut().unwrap().push(first);
            serde_json::to_vec(&file).unwrap()
        }));
    });
    assert_eq!(distrust(Side::Image, answer), Distrust::SignedTwice { role: "timestamp".into() });
}

#[test]
fn expired() {
    let past = |role: &str| Distrust::Expired { role: role.into(), expires: WallTime(NOW.0 - DAY) };
    let ended = telltale_repository::metadata::Expires::after(WallTime(NOW.0 - DAY), 0);
    let answer = fresh("expired", |world| world.image.timestamp.expires = ended);
    assert_eq!(distrust(Side::Image, answer), past("timestamp"));
    let answer = fresh("expired", |world| world.director.snapshot.expires = ended);
    assert_eq!(distrust(Side::Director, answer), past("snapshot"));
    let answer = fresh("expired", |world| world.director.targets.expires = ended);
    assert_eq!(distrust(Side::Director, answer), past("targets"));
    let answer = fresh("expired", |world| world.image.family().expires = ended);
    assert_eq!(of_family(refusal(answer)), past("cell-fault"));
    let answer = seen("expired", |world| world.image.rotate(|root| root.expires = ended));
    assert_eq!(distrust(Side::Image, answer), past("root"));
}

#[test]
fn freeze() {
    // Whoever holds the network hands over the same good metadata again and again, until it has ended.
    let scene = Scene::new("freeze");
    let world = World::honest();
    let mut vehicle = world.vehicle(&scene.store);
    let mut on = |days| scene.check(&world, &mut vehicle, WallTime(NOW.0 + days * DAY));
    assert!(on(0).is_ok() && on(1).is_ok());
    let Distrust::Expired { role, .. } = distrust(Side::Director, on(2)) else { panic!() };
    assert_eq!(role, "timestamp");
    // Setting the vehicle's clock back, by a server that lies, does not bring it to life again.
    let late = WallTime(NOW.0 + 3 * DAY);
    let mut renewed = world.clone();
    for side in [&mut renewed.director, &mut renewed.image] {
        side.timestamp.version += 1;
        side.timestamp.expires = later(9);
        side.snapshot.version += 1;
        side.snapshot.expires = later(9);
    }
    assert!(scene.check(&renewed, &mut vehicle, late).is_ok());
    renewed.director.timestamp.version += 1;
    renewed.director.timestamp.expires = later(2);
    let Distrust::Expired { .. } = distrust(Side::Director, scene.check(&renewed, &mut vehicle, NOW)) else {
        panic!()
    };
}

#[test]
fn rollback_of_metadata() {
    let back = |role: &str, trusted, offered| Distrust::Rollback { role: role.into(), trusted, offered };
    let answer = seen("rollback-of-metadata", |world| *world = World::honest());
    assert_eq!(distrust(Side::Director, answer), back("timestamp", 2, 1));
    let answer = seen("rollback-of-metadata", |world| world.image = World::honest().image);
    assert_eq!(distrust(Side::Image, answer), back("timestamp", 2, 1));
    let answer = seen("rollback-of-metadata", |world| {
        world.image.timestamp.version += 1;
        world.image.snapshot.version -= 1;
    });
    assert_eq!(distrust(Side::Image, answer), back("snapshot (via timestamp)", 2, 1));
    let answer = seen("rollback-of-metadata", |world| {
        world.image.timestamp.version += 1;
        world.image.snapshot.version += 1;
        world.image.family().version -= 1;
    });
    assert_eq!(distrust(Side::Image, answer), back("cell-fault.json (via snapshot)", 2, 1));
}

#[test]
fn rollback_tried_again() {
    // The refused attempt leaves a newer timestamp behind, and must leave no way around the snapshot that was kept.
    let scene = Scene::new("rollback-tried-again");
    let mut world = World::honest();
    let mut vehicle = world.vehicle(&scene.store);
    world.director.next();
    world.image.next();
    scene.check(&world, &mut vehicle, NOW).unwrap();
    let honest = world.clone();
    world.image.timestamp.version += 1;
    world.image.snapshot.version += 1;
    world.image.family().version -= 1;
    let role = "cell-fault.json (via snapshot)";
    for _ in 0..3 {
        let reason = distrust(Side::Image, scene.check(&world, &mut vehicle, NOW));
        assert_eq!(reason, Distrust::Rollback { role: role.into(), trusted: 2, offered: 1 });
        world.image.timestamp.version += 1;
    }
    // So is one that leaves the role out.
    world.image.families.clear();
    assert!(matches!(distrust(Side::Image, scene.check(&world, &mut vehicle, NOW)), Distrust::Mixed { .. }));
    let mut next = honest;
    next.image.next();
    next.image.timestamp.version += 9;
    next.image.snapshot.version += 9;
    assert_eq!(scene.check(&next, &mut vehicle, NOW).unwrap().offers.len(), 1);
}

#[test]
fn mix_and_match() {
    // The newest snapshot with the family's metadata of the state before, each honestly signed.
    let answer = seen("mix-and-match", |world| {
        let old = World::honest().image.files()["1.cell-fault.json"].clone();
        world.image.next();
        world.image.snapshot.meta.insert("cell-fault.json".into(), MetaFile::of(&old, 3));
        world.image.tamper =
            Some(("cell-fault", |_| World::honest().image.files()["1.cell-fault.json"].clone()));
    });
    let Distrust::Mixed { why } = of_family(refusal(answer)) else { panic!() };
    assert!(why.contains("cell-fault.json version 1"), "{why}");
    // A snapshot that is not the one that the timestamp names.
    let answer = fresh("mix-and-match", |world| {
        world.image.timestamp.meta.insert("snapshot.json".into(), MetaFile::of(b"another", 1));
    });
    assert!(matches!(distrust(Side::Image, answer), Distrust::Mixed { .. }));
    // A snapshot that leaves out a role which the one before had.
    let answer = seen("mix-and-match", |world| {
        world.image.families.clear();
        world.image.next();
    });
    assert!(matches!(distrust(Side::Image, answer), Distrust::Mixed { .. }));
}

#[test]
fn other_vehicle() {
    // Signed by the right key, for another vehicle: its version numbers must not become this one's either.
    let scene = Scene::new("other-vehicle");
    let mut world = World::honest();
    let mut vehicle = world.vehicle(&scene.store);
    assert!(scene.check(&world, &mut vehicle, NOW).is_ok());
    let mut other = world.clone();
    other.director.timestamp.version = 900;
    for name in [Some("bench-02".to_owned()), None] {
        other.director.timestamp.vehicle = name.clone();
        let reason = distrust(Side::Director, scene.check(&other, &mut vehicle, NOW));
        let error = FetchError::OtherVehicle(name);
        assert_eq!(reason, Distrust::Fetch { file: "timestamp.json".into(), error });
    }
    world.director.next();
    assert!(scene.check(&world, &mut vehicle, NOW).is_ok());
}

#[test]
fn root_that_does_not_follow() {
    let answer = seen("root-that-does-not-follow", |world| {
        world.image.rotate(|_| ());
        world.image.roots[1].0.version = 2;
        world.image.tamper = None;
        let (mut third, signers) = world.image.roots[1].clone();
        third.version = 3;
        // Under the name of the second.
        world.image.roots[1] = (third, signers);
    });
    // The third alone is not found: the chain ends before it, and the vehicle stays with the first.
    assert_eq!(answer.unwrap().offers.len(), 1);
    let scene = Scene::new("root-that-does-not-follow");
    let world = World::honest();
    let mut vehicle = world.vehicle(&scene.store);
    world.write(&scene.stick);
    let again = std::fs::read(scene.stick.join("image/1.root.json")).unwrap();
    std::fs::write(scene.stick.join("image/2.root.json"), again).unwrap();
    let answer = scene.read(&mut vehicle, Some(NOW), &Floors::new());
    assert_eq!(distrust(Side::Image, answer), Distrust::RootVersion { trusted: 1, offered: 1 });
}

#[test]
fn endless_roots() {
    let answer = fresh("endless-roots", |world| (0..32).for_each(|_| world.image.rotate(|_| ())));
    assert_eq!(distrust(Side::Image, answer), Distrust::RootSteps(32));
}

#[test]
fn revoked_key() {
    // The timestamp key was stolen and used to run ahead; a new root revokes it, and the honest side goes on.
    let scene = Scene::new("revoked-key");
    let mut world = World::honest();
    let mut vehicle = world.vehicle(&scene.store);
    let mut stolen = world.clone();
    stolen.image.timestamp.version = u64::MAX;
    assert!(scene.check(&stolen, &mut vehicle, NOW).is_ok());
    let behind = distrust(Side::Image, scene.check(&world, &mut vehicle, NOW));
    assert!(matches!(behind, Distrust::Rollback { trusted: u64::MAX, .. }));

    let fresh_key = 70;
    let replace = |root: &mut telltale_repository::metadata::Root| {
        root.keys.remove(&key(TIMESTAMP).id());
        root.keys.insert(key(fresh_key).id(), key(fresh_key).public().clone());
        root.roles.insert("timestamp".into(), role_keys(&[fresh_key], 1));
    };
    world.image.rotate(replace);
    stolen.image.rotate(replace);
    let answer = scene.check(&stolen, &mut vehicle, NOW);
    assert_eq!(distrust(Side::Image, answer), threshold("timestamp", 0, 1));
    world.image.signers.insert("timestamp".into(), vec![fresh_key]);
    world.image.timestamp.version += 1;
    assert_eq!(scene.check(&world, &mut vehicle, NOW).unwrap().offers.len(), 1);
}

#[test]
fn made_up_time() {
    // A server that says it is 2096 makes everything end, and must leave nothing of that behind.
    let scene = Scene::new("made-up-time");
    let world = World::honest();
    let mut vehicle = world.vehicle(&scene.store);
    world.write(&scene.stick);
    let none = scene.read(&mut vehicle, None, &Floors::new());
    assert_eq!(distrust(Side::Director, none), Distrust::NoTime);
    let far = scene.check(&world, &mut vehicle, WallTime(NOW.0 + 70 * 365 * DAY));
    assert!(matches!(distrust(Side::Director, far), Distrust::Expired { .. }));
    assert!(scene.check(&world, &mut vehicle, NOW).is_ok());
    for wild in [i64::MIN, i64::MAX] {
        let answer = scene.check(&world, &mut vehicle, WallTime(wild));
        assert_eq!(answer.is_ok(), wild < 0, "a time before the floor is the floor");
    }
}

#[test]
fn metadata_that_is_none() {
    fn deep(_: Vec<u8>) -> Vec<u8> {
        "[".repeat(8_000).into_bytes()
    }
    fn empty(_: Vec<u8>) -> Vec<u8> {
        Vec::new()
    }
    fn number(bytes: Vec<u8>) -> Vec<u8> {
        String::from_utf8(bytes).unwrap().replace("\"version\":1", "\"version\":1.5").into_bytes()
    }
    fn future(bytes: Vec<u8>) -> Vec<u8> {
        String::from_utf8(bytes).unwrap().replace("\"1.0.31\"", "\"2.0.0\"").into_bytes()
    }
    for change in [deep, empty, number, future] {
        for side in [Side::Director, Side::Image] {
            let answer = fresh("metadata-that-is-none", |world| match side {
                Side::Director => world.director.tamper = Some(("timestamp", change)),
                Side::Image => world.image.tamper = Some(("timestamp", change)),
            });
            assert!(matches!(distrust(side, answer), Distrust::Malformed { .. }));
        }
    }
    // A root in the place of a timestamp.
    let scene = Scene::new("metadata-that-is-none");
    let world = World::honest();
    let mut vehicle = world.vehicle(&scene.store);
    world.write(&scene.stick);
    std::fs::copy(scene.stick.join("image/1.root.json"), scene.stick.join("image/timestamp.json")).unwrap();
    let answer = scene.read(&mut vehicle, Some(NOW), &Floors::new());
    assert!(matches!(distrust(Side::Image, answer), Distrust::Malformed { .. }));
}

#[test]
fn what_cannot_be_kept_is_not_believed() {
    // Without what it keeps, the vehicle could be led back after its next start.
    let scene = Scene::new("what-cannot-be-kept");
    let world = World::honest();
    let mut vehicle = world.vehicle(&scene.store);
    std::fs::create_dir_all(&scene.store).unwrap();
    std::fs::write(scene.store.join("director"), b"a file where the folder should be").unwrap();
    let answer = scene.check(&world, &mut vehicle, NOW);
    assert!(matches!(distrust(Side::Director, answer), Distrust::Store(_)));
}

#[test]
fn what_was_kept_and_changed_is_verified_again() {
    let scene = Scene::new("what-was-kept-and-changed");
    let world = World::honest();
    let mut vehicle = world.vehicle(&scene.store);
    scene.check(&world, &mut vehicle, NOW).unwrap();
    let mut forged = world.image.clone();
    forged.family().targets.clear();
    forged.signers.insert("cell-fault".into(), vec![THIEF]);
    std::fs::write(scene.store.join("image/cell-fault.json"), &forged.files()["1.cell-fault.json"]).unwrap();
    // The kept role is not believed; without a server there is no other, with one there is.
    assert!(matches!(of_family(refusal(run(vehicle.recall(&Floors::new())))), Distrust::Missing { .. }));
    assert_eq!(scene.check(&world, &mut vehicle, NOW).unwrap().offers.len(), 1);
}

#[test]
fn metadata_is_what_the_types_say() {
    // The rig is only worth something if its metadata reads back as what was meant.
    for (name, bytes) in World::honest().image.files() {
        let envelope = telltale_repository::metadata::Envelope::parse(&bytes, &name).unwrap();
        let metadata = envelope.metadata().unwrap();
        assert_eq!(envelope.to_bytes().unwrap(), bytes, "{name}");
        assert_eq!(metadata.version(), 1);
        assert_eq!(matches!(metadata, Metadata::Root(_)), name == "1.root.json");
    }
}
