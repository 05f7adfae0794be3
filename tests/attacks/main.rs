//! Every known attack on the over-the-air updates, each refused with its own reason.
//!
//! An attack is a folder, `director/`, `image/`, `index/` and `chunk/` as on a USB stick, made from seeds while the test
//! runs: honest repositories ([`world`]) that the attack spoils in one place. Folders that were committed would say the
//! same in 400 signed files that nobody can read or renew. `TELLTALE_ATTACKS=DIR` keeps them for a look. Each is checked
//! by the vehicle's own verifier, and the reason for the refusal is asserted by its variant.

// Helpers of a test may end it.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod bundle;
mod metadata;
mod network;
mod sealed;
mod targets;
mod world;

use std::path::PathBuf;
use telltale_trust::{Answer, Distrust, Floors, Refusal, Side, Stick, TrustError, Verifier};
use telltale_wire::time::WallTime;
use tempfile::TempDir;
use world::{NOW, PATH, World};

/// The folders of one attack: what the attacker hands over, and what the vehicle keeps.
struct Scene {
    stick: PathBuf,
    store: PathBuf,
    _temporary: Option<TempDir>,
}

impl Scene {
    fn new(attack: &str) -> Self {
        let kept = std::env::var_os("TELLTALE_ATTACKS").map(PathBuf::from);
        let temporary = kept.is_none().then(|| tempfile::tempdir().unwrap());
        let folder = kept.unwrap_or_else(|| temporary.as_ref().unwrap().path().to_owned()).join(attack);
        let _ = std::fs::remove_dir_all(&folder);
        Self { stick: folder.join("stick"), store: folder.join("vehicle"), _temporary: temporary }
    }

    /// What the vehicle says to this world.
    fn check(&self, world: &World, verifier: &mut Verifier, now: WallTime) -> Result<Answer, TrustError> {
        world.write(&self.stick);
        self.read(verifier, Some(now), &Floors::new())
    }

    /// What the vehicle says to the stick as it is.
    fn read(
        &self,
        verifier: &mut Verifier,
        now: Option<WallTime>,
        floors: &Floors,
    ) -> Result<Answer, TrustError> {
        let stick = Stick::new(&self.stick);
        run(verifier.check(stick.director(), stick.image(), now, floors))
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(future)
}

/// A vehicle that knows nothing yet meets a spoilt world.
fn fresh(attack: &str, spoil: impl FnOnce(&mut World)) -> Result<Answer, TrustError> {
    let mut world = World::honest();
    let (scene, mut verifier) = {
        let scene = Scene::new(attack);
        let verifier = world.vehicle(&scene.store);
        (scene, verifier)
    };
    spoil(&mut world);
    scene.check(&world, &mut verifier, NOW)
}

/// A vehicle that believed the honest world, in its next version, meets a spoilt one.
fn seen(attack: &str, spoil: impl FnOnce(&mut World)) -> Result<Answer, TrustError> {
    let mut world = World::honest();
    let scene = Scene::new(attack);
    let mut verifier = world.vehicle(&scene.store);
    world.director.next();
    world.image.next();
    assert_eq!(scene.check(&world, &mut verifier, NOW).unwrap().offers.len(), 1);
    spoil(&mut world);
    scene.check(&world, &mut verifier, NOW)
}

/// The reason for which a whole repository was not believed.
fn distrust(side: Side, answer: Result<Answer, TrustError>) -> Distrust {
    let error = answer.expect_err("the attack was believed");
    assert_eq!(error.side, side, "{error}");
    error.reason
}

/// The reason for which the only target was not taken.
fn refusal(answer: Result<Answer, TrustError>) -> Refusal {
    let mut answer = answer.expect("the target alone is at fault");
    assert_eq!((answer.offers.len(), answer.refused.len()), (0, 1), "{answer:?}");
    answer.refused.remove(0).1
}

#[test]
fn the_honest_world_is_believed() {
    let scene = Scene::new("honest");
    let world = World::honest();
    let mut verifier = world.vehicle(&scene.store);
    let answer = scene.check(&world, &mut verifier, NOW).unwrap();
    assert_eq!((answer.version, answer.refused.len()), (1, 0));
    let offer = &answer.offers[0];
    assert_eq!(offer.path().to_string(), PATH);
    let stick = Stick::new(&scene.stick);
    let index = offer.index(&stick.index(offer.path()).unwrap().unwrap()).unwrap();
    for chunk in index.chunks() {
        let bytes = stick.chunk(&chunk).unwrap().unwrap();
        let (taken, bytes) = index.check_chunk(chunk.number, &bytes).unwrap();
        assert_eq!((taken.offset, bytes.len()), (chunk.offset, chunk.length));
    }
    // Without the server, from what was kept.
    assert_eq!(run(verifier.recall(&Floors::new())).unwrap(), answer);
    // A second look brings nothing new and takes nothing away; so does one by a vehicle that was off in between.
    assert_eq!(scene.read(&mut verifier, Some(NOW), &Floors::new()).unwrap(), answer);
    let mut verifier = world.vehicle(&scene.store);
    assert_eq!(scene.read(&mut verifier, None, &Floors::new()).unwrap(), answer);
}
