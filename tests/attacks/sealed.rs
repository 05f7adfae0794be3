//! Attacks on sealed bundles and on the keys that they come with. The signatures are honest throughout: what is refused
//! here is refused by the seal.

use crate::world::*;
use crate::{Scene, refusal};
use std::sync::LazyLock;
use telltale_seal::{ContentKey, Keyring, SealError, SealingKey, WrappedKey};
use telltale_trust::{Offer, Refusal};
use telltale_wire::bundle::{BundleName, PartKind};
use telltale_wire::ids::VehicleId;

static CONTENT: LazyLock<ContentKey> = LazyLock::new(|| content(21));
static SEALING: LazyLock<SealingKey> = LazyLock::new(|| sealing(31));

fn content(seed: u8) -> ContentKey {
    ContentKey::from_bytes(&[seed; 32]).unwrap()
}

fn sealing(seed: u8) -> SealingKey {
    SealingKey::from_bytes(&[seed; 32]).unwrap()
}

fn keyring(key: Option<SealingKey>) -> Keyring {
    Keyring { vehicle: VehicleId::new(VEHICLE).unwrap(), key, require_sealed: true }
}

/// A content key wrapped for a vehicle and a family.
fn wrapped(to: &SealingKey, key: &ContentKey, vehicle: &str, family: &str) -> WrappedKey {
    let (vehicle, family) = (VehicleId::new(vehicle).unwrap(), BundleName::new(family).unwrap());
    to.public().wrap(key, &vehicle, &family).unwrap()
}

fn honest_key() -> String {
    wrapped(&SEALING, &CONTENT, VEHICLE, "cell-fault").to_hex()
}

/// A world whose bundle says that it is sealed with [`CONTENT`], and is with `by`.
fn world_sealed(by: &ContentKey, key: Option<String>) -> World {
    let mut world = World::honest();
    (world.index, world.chunks) = sealed_bundle(7, HARDWARE, &CONTENT, by);
    world.image.family().targets.insert(PATH.into(), target(&world.index, 7));
    *world.directed() = target(&world.index, 7);
    world.directed().custom.as_mut().unwrap().content_key = key;
    world
}

/// What the vehicle is offered of a world.
fn offered(attack: &str, world: &World) -> Offer {
    let scene = Scene::new(attack);
    let mut vehicle = world.vehicle(&scene.store);
    scene.check(world, &mut vehicle, NOW).unwrap().offers.remove(0)
}

/// Why a vehicle with this sealing key does not open what it is offered.
fn locked(attack: &str, world: &World, key: Option<SealingKey>) -> Refusal {
    let offer = offered(attack, world);
    offer.unlock(&offer.index(&world.index).unwrap(), &keyring(key)).unwrap_err()
}

#[test]
fn the_honest_sealed_world_is_opened() {
    let world = world_sealed(&CONTENT, Some(honest_key()));
    let offer = offered("sealed-honest", &world);
    let index = offer.index(&world.index).unwrap();
    let key = offer.unlock(&index, &keyring(Some(sealing(31)))).unwrap().expect("it is sealed");
    let place = index.place(PartKind::Model).unwrap();
    let bytes: Vec<u8> = world.chunks[place.chunks].concat();
    assert_eq!(key.open_part(&index, &bytes).unwrap(), part(0, 7));
    assert!(!bytes.windows(16).any(|run| run == &part(0, 7)[..16]), "it lies open");
}

#[test]
fn unsealed_where_sealed_ones_are_demanded() {
    let world = World::honest();
    let offer = offered("unsealed", &world);
    let index = offer.index(&world.index).unwrap();
    let refused = offer.unlock(&index, &keyring(Some(sealing(31))));
    assert_eq!(refused, Err(Refusal::Seal(SealError::NotSealed)));
    let lax = Keyring { require_sealed: false, ..keyring(None) };
    assert_eq!(offer.unlock(&index, &lax), Ok(None));
}

#[test]
fn sealed_for_a_vehicle_without_a_key() {
    let world = world_sealed(&CONTENT, Some(honest_key()));
    assert_eq!(locked("no-sealing-key", &world, None), Refusal::Seal(SealError::NoSealingKey));
}

#[test]
fn the_content_key_left_out_or_said_by_the_image_repository_alone() {
    let mut world = world_sealed(&CONTENT, None);
    let key = || Some(sealing(31));
    assert_eq!(locked("no-content-key", &world, key()), Refusal::Seal(SealError::NoContentKey));
    let image = world.image.family().targets.get_mut(PATH).unwrap();
    image.custom.as_mut().unwrap().content_key = Some(honest_key());
    assert_eq!(locked("content-key-by-image", &world, key()), Refusal::Seal(SealError::NoContentKey));
}

#[test]
fn another_vehicle_s_wrapped_key() {
    let other = sealing(32);
    let theirs = wrapped(&other, &CONTENT, "bench-02", "cell-fault");
    let world = world_sealed(&CONTENT, Some(theirs.to_hex()));
    let (theirs, ours) = (other.public(), SEALING.public());
    let expected = Refusal::Seal(SealError::OtherSealingKey { theirs, ours });
    assert_eq!(locked("other-vehicle-s-key", &world, Some(sealing(31))), expected);
}

/// Wrapped for this vehicle's key, but for another name, another family, or of another release's content key.
#[test]
fn wrapped_keys_mixed_and_matched() {
    for (attack, key) in [
        ("key-of-another-name", wrapped(&SEALING, &CONTENT, "bench-02", "cell-fault")),
        ("key-of-another-family", wrapped(&SEALING, &CONTENT, VEHICLE, "range")),
        ("key-of-another-release", wrapped(&SEALING, &content(22), VEHICLE, "cell-fault")),
    ] {
        let world = world_sealed(&CONTENT, Some(key.to_hex()));
        let refused = locked(attack, &world, Some(sealing(31)));
        assert_eq!(refused, Refusal::Seal(SealError::NotThisPurpose), "{attack}");
    }
}

#[test]
fn a_flipped_bit_in_the_wrapped_key() {
    let good = wrapped(&SEALING, &CONTENT, VEHICLE, "cell-fault").to_bytes();
    let offer = |bytes: &[u8]| {
        let world = world_sealed(&CONTENT, Some(WrappedKey::from_bytes(bytes).unwrap().to_hex()));
        locked("flipped-wrapped-key", &world, Some(sealing(31)))
    };
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        match offer(&bad) {
            Refusal::Seal(SealError::OtherSealingKey { .. }) if at < 32 => {}
            Refusal::Seal(SealError::NotThisPurpose) if at >= 32 => {}
            other => panic!("byte {at}: {other}"),
        }
    }
}

#[test]
fn a_wrapped_key_that_is_none() {
    let short = honest_key()[2..].to_owned();
    let long = honest_key() + "00";
    for text in ["", "no key", &short, &long, &"0".repeat(100_000)] {
        let world = world_sealed(&CONTENT, Some(text.to_owned()));
        let scene = Scene::new("malformed-wrapped-key");
        let mut vehicle = world.vehicle(&scene.store);
        let refused = refusal(scene.check(&world, &mut vehicle, NOW));
        let expected = Refusal::Seal(SealError::Malformed("wrapped content key"));
        assert_eq!(refused, expected, "{} letters", text.len());
    }
}

/// Everybody signed it, and each chunk has the digest that was signed for: only its tag is wrong.
#[test]
fn chunks_sealed_with_another_key_than_the_index_says() {
    let world = world_sealed(&content(22), Some(honest_key()));
    let offer = offered("wrong-tag", &world);
    let index = offer.index(&world.index).unwrap();
    let key = offer.unlock(&index, &keyring(Some(sealing(31)))).unwrap().unwrap();
    for place in index.places() {
        for number in place.chunks.clone() {
            assert!(index.check_chunk(number, &world.chunks[number]).is_ok());
        }
        let bytes = world.chunks[place.chunks].concat();
        assert_eq!(key.open_part(&index, &bytes), Err(SealError::NotOpened), "{:?}", place.kind);
    }
}
