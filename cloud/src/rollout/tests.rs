//! Whole rollouts in virtual time: a fleet that the test makes up, months in milliseconds.

use super::cohort::wave_of;
use super::engine::ENGINE;
use super::evidence::{Evidence, Metric, Tally, excess};
use super::stage::Stage;
use super::*;
use crate::rollout::freeze::Freeze;
use telltale_wire::time::WallTime;

const SALT: [u8; 16] = *b"a salt of a test";
const HOUR: i64 = 3_600_000_000;

/// How a vehicle takes the model.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    Commit,
    Fail,
    /// Starts to run it and is never heard of again.
    DieOnTrial,
    /// Has not called for weeks.
    StayAway,
    PassOver,
}

struct Car {
    wave: Option<usize>,
    does: Does,
    stage: Stage,
    heard: WallTime,
    /// What its shadow shows: the shares of verdicts that differ, and of runs that fail beyond the active model's.
    shadow: (f64, f64),
}

struct World {
    engine: Engine,
    cars: Vec<Car>,
    readings: Readings,
    now: WallTime,
    decisions: Vec<Decision>,
}

impl World {
    fn new(plan: &str, cars: usize, does: impl Fn(usize) -> Does) -> Self {
        let plan = Plan::read(plan).unwrap();
        let bench = ["bench".to_owned()];
        let car = |n: usize| Car {
            wave: wave_of(&plan, &SALT, &format!("v{n}"), if n < 2 { &bench } else { &[] }),
            does: does(n),
            stage: Stage::Waiting,
            heard: WallTime(0),
            shadow: (0.0, 0.0),
        };
        let cars = (0..cars).map(car).collect();
        let engine = Engine::new(plan.clone(), "ann");
        Self { engine, cars, readings: Readings::default(), now: WallTime(0), decisions: Vec::new() }
    }

    fn running(plan: &str, cars: usize, does: impl Fn(usize) -> Does) -> Self {
        let mut world = Self::new(plan, cars, does);
        world.ask(Verb::Approve, "ben").unwrap();
        world.ask(Verb::Start, "ann").unwrap();
        world
    }

    fn ask(&mut self, verb: Verb, who: &str) -> Result<(), Refused> {
        let evidence = self.evidence();
        let decision = self.engine.ask(verb, Person { name: who, why: "a test" }, &evidence, self.now)?;
        if verb == Verb::Resume {
            self.readings = Readings::default();
        }
        self.decisions.push(decision);
        Ok(())
    }

    fn evidence(&self) -> Evidence {
        let mut waves = vec![Tally::default(); self.engine.plan.waves.len()];
        let silent = i64::from(self.engine.plan.gates.absent_after_hours) * HOUR;
        for car in &self.cars {
            if let Some(wave) = car.wave {
                waves[wave]
                    .count(car.stage, car.stage != Stage::Waiting && self.now.0 - car.heard.0 > silent);
            }
        }
        Evidence { waves, readings: self.readings.clone() }
    }

    /// An hour: vehicles take a step, then the engine decides until it has nothing more to say.
    fn hour(&mut self) {
        self.now.0 += HOUR;
        for car in &mut self.cars {
            let offered = matches!(self.engine.phase, Phase::Running | Phase::Completed);
            let released = car.wave.is_some_and(|wave| self.engine.wave.is_some_and(|newest| wave <= newest));
            if car.stage == Stage::Waiting && released && offered {
                (car.stage, car.heard) = (Stage::Assigned, self.now);
                continue;
            }
            let goes_on = offered || self.engine.phase == Phase::Paused && car.stage.is_under_way();
            if !goes_on || car.does == Does::StayAway {
                continue;
            }
            let next = match (car.stage, car.does) {
                (Stage::Assigned, Does::PassOver) => Stage::PassedOver,
                (Stage::Assigned, _) => Stage::Shadow,
                (Stage::Shadow, _) => Stage::Trial,
                (Stage::Trial, Does::Fail) => Stage::Failed,
                (Stage::Trial, Does::Commit) => Stage::Committed,
                _ => continue,
            };
            if car.stage == Stage::Shadow {
                self.readings.push(Metric::Disagreement, car.shadow.0);
                self.readings.push(Metric::ExcessFailure, excess(car.shadow.1));
            }
            if next.is_executed() {
                self.readings.push(Metric::Failure, if next == Stage::Failed { 1.0 } else { 0.0 });
            }
            (car.stage, car.heard) = (next, self.now);
        }
        for _ in 0..100 {
            let evidence = self.evidence();
            let Some(decision) = self.engine.tick(&evidence, self.now) else { return };
            self.decisions.push(decision);
        }
        panic!("the engine decides without end: {:?}", self.decisions);
    }

    fn hours(&mut self, hours: usize) {
        (0..hours).for_each(|_| self.hour());
    }

    fn count(&self, stage: Stage) -> usize {
        self.cars.iter().filter(|car| car.stage == stage).count()
    }

    fn last(&self) -> &Decision {
        self.decisions.last().unwrap()
    }

    fn waiting(&self) -> String {
        self.engine
            .waiting(&self.evidence(), self.now)
            .map_or_else(String::new, |waiting| waiting.to_string())
    }
}

const WAVES: &str = "
    [[wave]]
    groups = ['bench']
    min_executed = 2
    success = 1.0
    hold_minutes = 600
    [[wave]]
    percent = 20
    min_executed = 10
    hold_minutes = 600
    [[wave]]
    percent = 100
    min_executed = 20
";

#[test]
fn a_good_model_goes_wave_by_wave_and_each_holds() {
    let mut world = World::running(WAVES, 200, |_| Does::Commit);
    let mut released = Vec::new();
    for hour in 0..60 {
        world.hour();
        if world.last().act == Act::Released && released.len() <= world.last().wave.unwrap() {
            released.push(hour);
        }
    }
    assert_eq!(world.engine.phase, Phase::Completed);
    assert_eq!(world.count(Stage::Committed), 200);
    // Four hours to commit and ten to hold, twice.
    assert_eq!(released, [0, 14, 28]);
    let acts: Vec<Act> = world.decisions.iter().map(|decision| decision.act).collect();
    let expected = [Act::Approved, Act::Started, Act::Released, Act::Released, Act::Released, Act::Completed];
    assert_eq!(acts, expected);
}

#[test]
fn a_model_that_fails_is_stopped_in_the_first_wave() {
    let mut world = World::running(WAVES, 200, |_| Does::Fail);
    world.hours(100);
    assert_eq!(world.engine.phase, Phase::Stopped);
    assert_eq!((world.count(Stage::Failed), world.count(Stage::Waiting)), (2, 198));
    assert!(world.last().why.contains("2 of 2 vehicles of the wave failed: 100 %"), "{}", world.last().why);
    assert_eq!(world.last().who, ENGINE);
}

#[test]
fn a_model_that_fails_now_and_then_pauses_and_a_person_may_excuse_it() {
    // One in twenty: above what pauses (2 %), below what stops (10 %).
    let mut world =
        World::running(WAVES, 400, |n| if n > 1 && n % 20 == 7 { Does::Fail } else { Does::Commit });
    world.hours(60);
    assert_eq!((world.engine.phase, world.engine.wave), (Phase::Paused, Some(1)));
    let failed = world.count(Stage::Failed);
    assert!((1..8).contains(&failed), "{failed}");
    assert!(world.ask(Verb::Start, "ann").is_err(), "a paused rollout is resumed, not started");
    world.ask(Verb::Resume, "ann").unwrap();
    world.hours(20);
    assert_eq!((world.engine.phase, world.engine.wave), (Phase::Paused, Some(2)), "new failures count anew");
}

#[test]
fn vehicles_that_never_come_back_block_nothing() {
    let mut world =
        World::running(WAVES, 200, |n| if n > 1 && n % 3 == 0 { Does::StayAway } else { Does::Commit });
    world.hours(24 * 20);
    assert_eq!(world.engine.phase, Phase::Completed, "{}", world.waiting());
    assert!(world.count(Stage::Assigned) > 50);
    assert!(world.last().why.contains("silent"), "{}", world.last().why);
}

#[test]
fn a_wave_of_which_nobody_comes_waits_for_a_person() {
    let mut world = World::running(WAVES, 200, |n| if n < 2 { Does::StayAway } else { Does::Commit });
    world.hours(24 * 20);
    assert_eq!((world.engine.phase, world.engine.wave), (Phase::Running, Some(0)));
    assert!(world.waiting().contains("by hand"), "{}", world.waiting());
    assert_eq!(world.ask(Verb::Advance, " "), Err(Refused::Nobody));
    world.ask(Verb::Advance, "ann").unwrap();
    world.hours(24 * 5);
    assert_eq!(world.engine.phase, Phase::Completed);
}

#[test]
fn a_model_that_kills_its_vehicles_is_not_taken_for_absent_vehicles() {
    let mut world = World::running(WAVES, 200, |_| Does::DieOnTrial);
    world.hours(24 * 10);
    assert_eq!(world.engine.phase, Phase::Stopped);
    assert_eq!(world.count(Stage::Waiting), 198);
}

#[test]
fn vehicles_that_pass_it_over_are_no_evidence() {
    let mut world = World::running(WAVES, 200, |_| Does::PassOver);
    world.hours(100);
    assert_eq!((world.engine.phase, world.engine.wave), (Phase::Running, Some(0)));
    assert!(world.waiting().contains("passed over"), "{}", world.waiting());
}

#[test]
fn nothing_begins_in_a_freeze_but_a_stop_is_never_frozen() {
    let freeze = "[[freeze]]\nfrom = '1970-01-01T12:00:00Z'\nto = '1970-01-03'\n";
    let plan = WAVES.to_owned() + freeze;
    let mut world = World::running(&plan, 200, |_| Does::Commit);
    world.hours(47);
    assert_eq!(world.engine.wave, Some(0));
    assert_eq!(world.waiting(), "nothing may begin before 1970-01-03T00:00:00.000Z: a freeze window");
    assert_eq!(world.ask(Verb::Advance, "ann"), Err(Refused::Frozen(WallTime(48 * HOUR))));
    world.hours(1);
    assert_eq!(world.engine.wave, Some(1));

    let mut bad = World::running(&plan, 200, |_| Does::Fail);
    bad.engine.plan.freezes = vec![Freeze::Once { from: WallTime(2 * HOUR), to: WallTime(i64::MAX) }];
    bad.hours(10);
    assert_eq!(bad.engine.phase, Phase::Stopped);
}

#[test]
fn the_author_does_not_approve_and_a_wave_may_need_its_own_approval() {
    let plan = WAVES.replace("percent = 100", "percent = 100\napproval = true");
    let mut world = World::new(&plan, 200, |_| Does::Commit);
    assert!(matches!(world.ask(Verb::Start, "ann"), Err(Refused::Phase { phase: Phase::Draft, .. })));
    for author in ["ann", " Ann "] {
        assert_eq!(world.ask(Verb::Approve, author), Err(Refused::OwnWork("ann".into())));
    }
    world.ask(Verb::Approve, "ben").unwrap();
    assert_eq!(world.ask(Verb::Approve, "ben"), Err(Refused::NothingToApprove));
    world.ask(Verb::Start, "ann").unwrap();
    world.hours(60);
    assert_eq!(world.waiting(), "a second person must approve wave 3");
    assert_eq!(world.ask(Verb::Advance, "ann"), Err(Refused::WaveApproval(2)));
    assert_eq!(world.ask(Verb::Approve, "ANN"), Err(Refused::OwnWork("ann".into())));
    world.ask(Verb::Approve, "ben").unwrap();
    world.hours(10);
    assert_eq!(world.engine.phase, Phase::Completed);
}

#[test]
fn proof_from_the_shadow_halts_before_anyone_has_ended() {
    let plan = "[[wave]]\npercent = 100\nmin_executed = 1000\n";
    let shown = |shadow: (f64, f64)| {
        let mut world = World::running(plan, 100, |_| Does::DieOnTrial);
        world.cars.iter_mut().for_each(|car| car.shadow = shadow);
        world.hours(4);
        (world.engine.phase, world.last().why.clone())
    };
    let (phase, why) = shown((0.2, 0.0));
    assert_eq!(phase, Phase::Paused);
    assert!(why.contains("verdicts that differ in shadow: proven above 2 % by 100 vehicles"), "{why}");
    let (phase, why) = shown((0.0, 0.3));
    assert_eq!(phase, Phase::Stopped);
    assert!(why.contains("runs that fail beyond the active model's: proven above 1 %"), "{why}");
    assert_eq!(shown((0.01, 0.0)).0, Phase::Running);
}

#[test]
fn a_later_wave_s_failures_do_not_hide_behind_the_earlier_ones() {
    // 98 good ones first, then everything fails: 10 of 108 are below what stops, 10 of 10 are not.
    let mut engine = Engine::new(Plan::read(WAVES).unwrap(), "ann");
    (engine.phase, engine.wave) = (Phase::Running, Some(1));
    let good = Tally { size: 98, committed: 98, ..Tally::default() };
    let bad = Tally { size: 100, under_way: 90, failed: 10, ..Tally::default() };
    let evidence = Evidence { waves: vec![good, bad, Tally::default()], readings: Readings::default() };
    let decision = engine.tick(&evidence, WallTime(0)).unwrap();
    assert_eq!(decision.act, Act::Stopped);
    assert!(decision.why.contains("10 of 10 vehicles of the wave failed"), "{}", decision.why);
}

#[test]
fn a_pause_becomes_a_stop_when_those_under_way_tell_of_worse() {
    let mut engine = Engine::new(Plan::read(WAVES).unwrap(), "ann");
    (engine.phase, engine.wave) = (Phase::Running, Some(1));
    let seen = |failed: u64| {
        let wave = Tally { size: 100, committed: 18, failed, under_way: 82 - failed, ..Tally::default() };
        Evidence { waves: vec![Tally::default(), wave, Tally::default()], readings: Readings::default() }
    };
    assert_eq!(engine.tick(&seen(1), WallTime(0)).unwrap().act, Act::Paused);
    assert_eq!(engine.tick(&seen(1), WallTime(0)), None);
    let decision = engine.tick(&seen(6), WallTime(0)).unwrap();
    assert_eq!((decision.act, engine.phase), (Act::Stopped, Phase::Stopped));
    assert_eq!(engine.tick(&seen(60), WallTime(0)), None);
}

#[test]
fn looking_twice_decides_once() {
    let mut world = World::running(WAVES, 50, |_| Does::Commit);
    world.hour();
    let (before, evidence) = (world.engine.clone(), world.evidence());
    for _ in 0..5 {
        assert_eq!(world.engine.tick(&evidence, world.now), None);
    }
    assert_eq!(world.engine, before);
}

#[test]
fn a_stop_needs_a_reason_and_ends_everything() {
    let mut world = World::running(WAVES, 50, |_| Does::Commit);
    world.hours(2);
    let evidence = world.evidence();
    let silent = Person { name: "ann", why: " " };
    assert_eq!(world.engine.ask(Verb::Stop, silent, &evidence, world.now), Err(Refused::NoReason));
    world.ask(Verb::Stop, "ann").unwrap();
    world.hours(50);
    assert_eq!((world.engine.phase, world.count(Stage::Committed)), (Phase::Stopped, 0));
    for verb in [Verb::Stop, Verb::Resume, Verb::Start, Verb::Pause, Verb::Advance, Verb::Approve] {
        assert!(world.ask(verb, "ben").is_err(), "{verb:?}");
    }
}
