//! Attacks on what is named: a director or an image key in wrong hands, wrong hardware, older releases, odd names.

use crate::world::*;
use crate::{Scene, distrust, fresh, refusal};
use telltale_repository::metadata::{Custom, Target};
use telltale_trust::{Distrust, Floors, Refusal, Side, Stick};

#[test]
fn rollback_of_the_image() {
    // All metadata is new and good, but the director names a release below the one that the vehicle committed.
    let scene = Scene::new("rollback-of-the-image");
    let world = World::honest();
    let mut vehicle = world.vehicle(&scene.store);
    world.write(&scene.stick);
    let mut with_floor =
        |floor| scene.read(&mut vehicle, Some(NOW), &Floors::from([("cell-fault".parse().unwrap(), floor)]));
    assert_eq!(with_floor(7).unwrap().offers.len(), 1);
    assert_eq!(refusal(with_floor(8)), Refusal::Rollback { floor: 8, offered: 7 });
}

#[test]
fn wrong_hardware() {
    let hardware = || HARDWARE.parse().unwrap();
    let other = |custom: &mut Option<Custom>| {
        custom.as_mut().unwrap().hardware_ids = vec!["bench-b".parse().unwrap()];
    };
    let answer = fresh("wrong-hardware", |world| other(&mut world.directed().custom));
    assert_eq!(refusal(answer), Refusal::Hardware { side: Side::Director, hardware: hardware() });
    let answer = fresh("wrong-hardware", |world| {
        other(&mut world.image.family().targets.get_mut(PATH).unwrap().custom);
    });
    assert_eq!(refusal(answer), Refusal::Hardware { side: Side::Image, hardware: hardware() });
    // Both repositories say that it fits, the index itself does not.
    let scene = Scene::new("wrong-hardware");
    let mut world = World::honest();
    let mut vehicle = world.vehicle(&scene.store);
    let (index, _) = bundle(7, "bench-b");
    *world.directed() = target(&index, 7);
    world.image.family().targets.insert(PATH.into(), target(&index, 7));
    let offer = scene.check(&world, &mut vehicle, NOW).unwrap().offers.remove(0);
    assert_eq!(offer.index(&index), Err(Refusal::OtherBundle));
}

#[test]
fn director_compromised() {
    // Its key signs whatever the thief likes: a bundle of his own...
    let path = "cell-fault/cell-fault-9.index";
    let answer = fresh("director-compromised", |world| {
        let (index, _) = bundle(9, HARDWARE);
        world.director.targets.targets.clear();
        world.director.targets.targets.insert(path.into(), target(&index, 9));
    });
    assert_eq!(refusal(answer), Refusal::NotInImage);
    // ... another content under a good name ...
    let answer = fresh("director-compromised", |world| {
        let mut index = world.index.clone();
        index[9] ^= 1;
        *world.directed() = target(&index, 7);
    });
    assert_eq!(refusal(answer), Refusal::Digest);
    let answer = fresh("director-compromised", |world| world.directed().length += 1);
    let Refusal::Length { director, image } = refusal(answer) else { panic!() };
    assert_eq!(director, image + 1);
    // ... the good content as another release or family ...
    let answer = fresh("director-compromised", |world| world.directed().custom.as_mut().unwrap().release = 8);
    assert_eq!(refusal(answer), Refusal::Names { side: Side::Director });
    let answer = fresh("director-compromised", |world| {
        world.directed().custom.as_mut().unwrap().family = "battery".parse().unwrap();
    });
    assert_eq!(refusal(answer), Refusal::Names { side: Side::Director });
    // ... or without a digest that binds.
    for hashes in [vec![], vec![("md5", "00")], vec![("sha256", "00")], vec![("sha256", "zz")]] {
        let answer = fresh("director-compromised", |world| {
            let hashes = hashes.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned()));
            world.directed().hashes = hashes.collect();
        });
        assert_eq!(refusal(answer), Refusal::Digest);
    }
    let answer = fresh("director-compromised", |world| world.directed().custom = None);
    assert_eq!(refusal(answer), Refusal::Custom { side: Side::Director });
    // It may not make itself an image repository either.
    let answer = fresh("director-compromised", |world| world.director.delegate("cell-fault", ONLINE));
    assert_eq!(distrust(Side::Director, answer), Distrust::Delegates);
}

#[test]
fn a_second_digest_that_differs() {
    let answer = fresh("second-digest-differs", |world| {
        let sha512 = |value: char| ("sha512".to_owned(), value.to_string().repeat(128));
        world.directed().hashes.extend([sha512('a')]);
        world.image.family().targets.get_mut(PATH).unwrap().hashes.extend([sha512('b')]);
    });
    assert_eq!(refusal(answer), Refusal::Digest);
}

#[test]
fn image_key_compromised() {
    // The family's key signs a bundle that the director never named: nobody asks for it.
    let answer = fresh("image-key-compromised", |world| {
        let (index, _) = bundle(9, HARDWARE);
        world.image.family().targets.insert("cell-fault/cell-fault-9.index".into(), target(&index, 9));
    });
    let answer = answer.unwrap();
    assert_eq!((answer.offers.len(), answer.refused.len()), (1, 0));
    assert_eq!(answer.offers[0].path().release, 7);
    // It changes the one that the director named.
    let answer = fresh("image-key-compromised", |world| {
        let (index, _) = bundle(7, "bench-b");
        world.image.family().targets.insert(PATH.into(), target(&index, 7));
    });
    assert!(matches!(refusal(answer), Refusal::Digest | Refusal::Length { .. }));
    // What the path does not say, the metadata may not say.
    let answer = fresh("image-key-compromised", |world| {
        world.image.family().targets.get_mut(PATH).unwrap().custom.as_mut().unwrap().release = 8;
    });
    assert_eq!(refusal(answer), Refusal::Release { director: 7, image: 8 });
    let answer = fresh("image-key-compromised", |world| {
        let custom = &mut world.image.family().targets.get_mut(PATH).unwrap().custom;
        custom.as_mut().unwrap().family = "battery".parse().unwrap();
    });
    let Refusal::Family { director, image } = refusal(answer) else { panic!() };
    assert_eq!((director.as_str(), image.as_str()), ("cell-fault", "battery"));
}

#[test]
fn family_key_beyond_its_family() {
    // The key of one family signs for a bundle of another.
    let answer = fresh("family-key-beyond-its-family", |world| {
        world.image.delegate("battery", 50);
        let good = world.image.family().targets.remove(PATH).unwrap();
        world.image.families.get_mut("battery").unwrap().targets.insert(PATH.into(), good);
    });
    assert_eq!(refusal(answer), Refusal::NotInImage);
}

#[test]
fn zip_slip_names() {
    let names = [
        "../../../etc/passwd",
        "/etc/passwd",
        "cell-fault/../../x-7.index",
        "cell-fault/..-7.index",
        "cell-fault\\x-7.index",
        "cell-fault/x/y-7.index",
        "cell-fault/cell-fault-7.index\0",
        "CELL-FAULT/cell-fault-7.index",
        "cell-fault/%2e%2e-7.index",
        "",
    ];
    for name in names {
        let answer = fresh("zip-slip-names", |world| {
            let good = world.director.targets.targets.remove(PATH).unwrap();
            world.director.targets.targets.insert(name.into(), good.clone());
            world.image.family().targets.insert(name.into(), good);
        });
        assert_eq!(refusal(answer), Refusal::Path, "{name:?}");
    }
}

#[test]
fn zip_slip_roles() {
    // A role's name becomes a file's name, on the server and in the vehicle's store.
    for name in ["../../slip", "/slip", "..", "a/b", "slip\0"] {
        let scene = Scene::new("zip-slip-roles");
        let mut world = World::honest();
        let mut vehicle = world.vehicle(&scene.store);
        let mut role = world.image.families["cell-fault"].clone();
        role.targets.clear();
        world.image.delegate(name, FAMILY);
        let delegations = world.image.targets.delegations.as_mut().unwrap();
        delegations.roles.reverse();
        delegations.roles[0].paths = vec!["*/*".into()];
        delegations.roles[0].terminating = false;
        world.image.families.insert(name.into(), role);
        // On the stick it has the name that the client asks for.
        let mut files = world.image.files();
        let bytes = files.remove(&format!("1.{name}.json")).unwrap();
        let quoted = name.replace('/', "%2F").replace('\0', "%00");
        world.image.families.remove(name);
        world.write(&scene.stick);
        for (name, bytes) in files.into_iter().chain([(format!("1.{quoted}.json"), bytes)]) {
            std::fs::write(scene.stick.join("image").join(name), bytes).unwrap();
        }
        let answer = scene.read(&mut vehicle, Some(NOW), &Floors::new());
        let outside: Vec<_> = scene.store.parent().unwrap().read_dir().unwrap().collect();
        assert_eq!(outside.len(), 2, "{name:?}: nothing but the stick and the store");
        let mut inside: Vec<String> = std::fs::read_dir(scene.store.join("image"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        inside.retain(|file| file.contains("slip") || file.contains('b') || file.contains(".."));
        assert!(inside.iter().all(|file| file.contains('%') || file == "...json"), "{name:?}: {inside:?}");
        drop(answer);
    }
}

#[test]
fn oversize() {
    let answer = fresh("oversize", |world| {
        world.directed().length = 200_000;
        world.image.family().targets.get_mut(PATH).unwrap().length = 200_000;
    });
    assert_eq!(refusal(answer), Refusal::TooLong { length: 200_000, limit: 128 * 1024 });
    let answer = fresh("oversize", |world| {
        let named: Vec<(String, Target)> = (0..33)
            .map(|release| {
                (format!("cell-fault/cell-fault-{}.index", release + 1), target(b"x", release + 1))
            })
            .collect();
        world.director.targets.targets = named.into_iter().collect();
    });
    assert_eq!(distrust(Side::Director, answer), Distrust::TooManyTargets(33));
    let answer = fresh("oversize", |world| {
        let state = Target { length: 64 * 1024 + 1, ..Target::of(b"", None) };
        world.director.targets.targets = [("desired-state".to_owned(), state)].into();
    });
    assert_eq!(refusal(answer), Refusal::TooLong { length: 65_537, limit: 65_536 });
}

#[test]
fn one_bad_target_does_not_spoil_the_others() {
    let answer = fresh("one-bad-target", |world| {
        world.director.targets.targets.insert("x".into(), target(b"x", 1));
        world.director.targets.targets.insert("desired-state".into(), Target::of(b"state", None));
    });
    let answer = answer.unwrap();
    assert_eq!((answer.offers.len(), answer.refused.len()), (1, 1));
    let state = answer.desired_state.unwrap();
    assert_eq!(*state.desired_state(b"state").unwrap(), b"state");
    assert_eq!(state.desired_state(b"stats").unwrap_err(), Refusal::FileDigest);
    let cut = Refusal::FileLength { expected: 5, found: 4 };
    assert_eq!(state.desired_state(b"stat").unwrap_err(), cut);
    assert_eq!(Stick::new("/nowhere").index(answer.offers[0].path()), Ok(None));
}
