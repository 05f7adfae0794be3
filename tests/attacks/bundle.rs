//! Attacks on the bundle's own bytes, and a flipped bit in every region of everything.

use crate::world::*;
use crate::{Scene, run};
use telltale_trust::{Floors, Offer, Refusal, Stick};
use telltale_wire::bundle::{BundleError, MAX_INDEX};

fn offer(attack: &str) -> (World, Offer) {
    let scene = Scene::new(attack);
    let world = World::honest();
    let mut vehicle = world.vehicle(&scene.store);
    let offer = scene.check(&world, &mut vehicle, NOW).unwrap().offers.remove(0);
    (world, offer)
}

#[test]
fn truncated_padded_and_changed_index() {
    let (world, offer) = offer("changed-index");
    let good = &world.index;
    assert!(offer.index(good).is_ok());
    let expected = good.len() as u64;
    for len in 0..good.len() {
        let error = Refusal::FileLength { expected, found: len as u64 };
        assert_eq!(offer.index(&good[..len]), Err(error));
    }
    let long = [good.as_slice(), &[0]].concat();
    assert_eq!(offer.index(&long), Err(Refusal::FileLength { expected, found: expected + 1 }));
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(offer.index(&bad), Err(Refusal::FileDigest), "bit {bit}");
    }
}

#[test]
fn index_that_is_signed_and_none() {
    // Both keys were used, on bytes that are no index: they still may not reach further.
    for (bytes, expected) in [
        (b"\x03rest".to_vec(), BundleError::NewerFormat(3)),
        (b"not an index".to_vec(), BundleError::NewerFormat(110)),
        (vec![1; 400], BundleError::Malformed),
    ] {
        let scene = Scene::new("signed-and-no-index");
        let mut world = World::honest();
        let mut vehicle = world.vehicle(&scene.store);
        *world.directed() = target(&bytes, 7);
        world.image.family().targets.insert(PATH.into(), target(&bytes, 7));
        let offer = scene.check(&world, &mut vehicle, NOW).unwrap().offers.remove(0);
        assert_eq!(offer.index(&bytes), Err(Refusal::Index(expected)));
    }
    // An index of another release under this one's name.
    let scene = Scene::new("signed-and-no-index");
    let mut world = World::honest();
    let mut vehicle = world.vehicle(&scene.store);
    let (older, _) = bundle(3, HARDWARE);
    *world.directed() = target(&older, 7);
    world.image.family().targets.insert(PATH.into(), target(&older, 7));
    let offer = scene.check(&world, &mut vehicle, NOW).unwrap().offers.remove(0);
    assert_eq!(offer.index(&older), Err(Refusal::OtherBundle));
    assert!(older.len() < MAX_INDEX);
}

#[test]
fn truncated_chunk() {
    let (world, offer) = offer("truncated-chunk");
    let index = offer.index(&world.index).unwrap();
    for (number, good) in world.chunks.iter().enumerate() {
        let error = |bytes: &[u8]| index.check_chunk(number, bytes).unwrap_err();
        let length = |found| BundleError::ChunkLength { chunk: number, expected: good.len(), found };
        assert!(index.check_chunk(number, good).is_ok());
        assert_eq!(error(&good[1..]), length(good.len() - 1));
        assert_eq!(error(&[good.as_slice(), b"x"].concat()), length(good.len() + 1));
        for byte in 0..good.len() {
            let mut bad = good.clone();
            bad[byte] ^= 1 << (byte % 8);
            assert_eq!(error(&bad), BundleError::ChunkDigest { chunk: number });
        }
    }
    // A chunk in the place of another one.
    let swapped = index.check_chunk(1, &world.chunks[3]).unwrap_err();
    assert!(matches!(
        swapped,
        BundleError::ChunkDigest { chunk: 1 } | BundleError::ChunkLength { chunk: 1, .. }
    ));
    assert_eq!(index.check_chunk(999, b"").unwrap_err(), BundleError::NoChunk(999));
}

/// A bit in every eleventh byte of every metadata file of both repositories: each of their regions several times.
#[test]
fn bit_flips_in_every_region() {
    let scene = Scene::new("bit-flips");
    let world = World::honest();
    world.write(&scene.stick);
    let honest = {
        let mut vehicle = world.vehicle(&scene.store);
        scene.read(&mut vehicle, Some(NOW), &Floors::new()).unwrap().offers
    };
    let (mut flips, mut harmless) = (0, Vec::new());
    for side in ["director", "image"] {
        let files = if side == "director" { world.director.files() } else { world.image.files() };
        for (name, bytes) in files.into_iter().filter(|(name, _)| name != "1.root.json") {
            let path = scene.stick.join(side).join(&name);
            for at in (0..bytes.len()).step_by(11) {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << (at % 8);
                std::fs::write(&path, &bad).unwrap();
                // A vehicle that knows nothing: nothing that it kept helps it.
                let store = tempfile::tempdir().unwrap();
                let mut vehicle = world.vehicle(store.path());
                let stick = Stick::new(&scene.stick);
                let answer = run(vehicle.check(stick.director(), stick.image(), Some(NOW), &Floors::new()));
                flips += 1;
                if answer.is_ok_and(|answer| {
                    assert!(answer.offers.is_empty() || answer.offers == honest, "{name} at {at}");
                    !answer.offers.is_empty()
                }) {
                    harmless.push((name.clone(), at, char::from(bytes[at]), char::from(bad[at])));
                }
            }
            std::fs::write(&path, &bytes).unwrap();
        }
    }
    // Only the case of a signature's hexadecimal digits may change, and nothing by it; only of timestamps, for the
    // bytes of every other file are named by another.
    println!("{flips} flips, {} of them harmless", harmless.len());
    for (name, at, was, is) in harmless {
        assert!(name == "timestamp.json" && was.eq_ignore_ascii_case(&is), "{name} at {at}: {was} {is}");
    }
}
