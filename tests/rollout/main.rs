//! A fleet of 200 simulated vehicles takes models in waves, over real connections.
//!
//! Server, director, verifier and life cycle are the real ones; a vehicle's disk is its memory, and the model that it
//! runs is a made-up one that does what its bytes say. A good model reaches everybody. One that is bad in any way is
//! stopped in its first wave or by proof from the shadows, and no vehicle is ever without a whole, verified model.

// Helpers of a test may end it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod browser;
mod models;
mod vehicle;
mod world;

use models::Does;
use telltale_cloud::rollout::{Phase, Verb};
use vehicle::Vehicle;
use world::World;

/// Vehicles of the fleet.
const FLEET: usize = 200;
/// Rounds of the whole fleet before a rollout must have ended.
const ROUNDS: usize = 60;
/// Rounds in which all who were under way when a rollout paused have ended.
const SETTLE: usize = 8;

const WAVES: &str = "
    [[wave]]
    groups = ['bench']
    min_executed = 4
    success = 1.0
    [[wave]]
    percent = 20
    min_executed = 20
    success = 0.95
    [[wave]]
    percent = 100
    min_executed = 100
    success = 0.95
    [gates]
    max_disagreement = 0.02
    min_compared = 20
";

/// Nobody waits for a person: a wave of everybody, to be stopped by proof alone.
const AT_ONCE: &str = "
    [[wave]]
    percent = 100
    min_executed = 1000000
    [gates]
    max_disagreement = 0.02
    min_compared = 20
";

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_takes_good_models_and_is_spared_bad_ones() {
    let mut world = World::start().await;
    let mut fleet = Vec::with_capacity(FLEET);
    for n in 0..FLEET {
        fleet.push(world.vehicle(n).await);
    }
    fleet = round(fleet).await;
    let bench: Vec<String> = (0..4).map(world::name).collect();
    world.store.set_group("bench", &bench, true).await.unwrap();

    let (phase, rounds) = run(&mut world, &mut fleet, 1, Does::Well, WAVES).await;
    println!("a good model: {phase:?} after {rounds} rounds, {} of {FLEET} committed", on(&fleet, 1));
    assert_eq!((phase, on(&fleet, 1)), (Phase::Completed, FLEET));

    // Each of them passes every gate before the one that it is made for.
    for (release, does, reason) in [
        (2, Does::WrongGolden, "golden outputs differ"),
        (3, Does::Slowly, "too slow"),
        (4, Does::NotFinite, "an output that is no number"),
        (5, Does::Disagree, "disagrees with the model before"),
        (6, Does::Crash, "trial attempts used up"),
    ] {
        let (phase, rounds) = run(&mut world, &mut fleet, release, does, WAVES).await;
        let report = world.newest().await;
        let hurt = report.progress.iter().map(|wave| wave.tally.failed).sum::<u64>();
        println!("{does:?}: {phase:?} after {rounds} rounds, {hurt} vehicles saw it: {}", report.line.why);
        assert_eq!(phase, Phase::Stopped, "{does:?}: {}", report.line.why);
        assert_eq!((hurt, report.line.wave), (4, Some(1)), "{does:?}");
        assert!(report.vehicles[0].reason.contains(reason), "{does:?}: {}", report.vehicles[0].reason);
        assert_eq!(on(&fleet, 1), FLEET, "{does:?}");
    }

    // Every vehicle by itself finds 4 % of difference bearable; the fleet together may not.
    let (phase, rounds) = run(&mut world, &mut fleet, 7, Does::DifferALittle, AT_ONCE).await;
    let report = world.newest().await;
    println!("differs a little: {phase:?} after {rounds} rounds: {}", report.line.why);
    assert_eq!(phase, Phase::Paused);
    assert!(
        report.line.why.contains("verdicts that differ in shadow: proven above 2 %"),
        "{}",
        report.line.why
    );
    world.ask(report.line.rollout, Verb::Stop).await;

    // Nothing of all that stands in the way of the next good one, and its stop may take it back.
    let (phase, _) = run(&mut world, &mut fleet, 8, Does::Well, WAVES).await;
    assert_eq!((phase, on(&fleet, 8)), (Phase::Completed, FLEET));
    println!(
        "{} looks at what runs, each whole and verified",
        fleet.iter().map(|car| car.looks).sum::<u64>()
    );
    let address = format!("http://{}", world.people);
    tokio::task::spawn_blocking(move || browser::look(&address)).await.unwrap();
    world.stop().await;
}

/// Publishes a release, rolls it out, and lets the fleet go until the rollout has ended or paused.
async fn run(
    world: &mut World,
    fleet: &mut Vec<Vehicle>,
    release: u32,
    does: Does,
    plan: &str,
) -> (Phase, usize) {
    let id = world.roll_out(release, does, plan).await;
    let mut still = 0;
    for rounds in 1..=ROUNDS {
        *fleet = round(std::mem::take(fleet)).await;
        let phase = world.store.rollout(id, world::now()).await.unwrap().line.phase;
        // Those under way go on in a pause, and may turn it into a stop.
        still += usize::from(phase == Phase::Paused);
        if matches!(phase, Phase::Completed | Phase::Stopped) || still > SETTLE {
            // A round more: who is under way hears of it.
            *fleet = round(std::mem::take(fleet)).await;
            return (phase, rounds);
        }
    }
    let report = world.store.rollout(id, world::now()).await.unwrap();
    panic!("release {release} has not ended: {}: {:?}", report.line.why, report.progress);
}

/// Every vehicle takes its steps, some at a time.
async fn round(fleet: Vec<Vehicle>) -> Vec<Vehicle> {
    let mut tasks = tokio::task::JoinSet::new();
    for mut vehicle in fleet {
        tasks.spawn(async move {
            vehicle.turn().await;
            vehicle
        });
    }
    tasks.join_all().await
}

fn on(fleet: &[Vehicle], release: u32) -> usize {
    fleet.iter().filter(|vehicle| vehicle.runs() == Some(release)).count()
}
