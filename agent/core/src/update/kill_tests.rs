//! The power goes at every write of every way through the states. After each cut the vehicle wakes up, goes on, and is
//! held against what must never happen: a byte executed that nobody verified, no model, a candidate that runs without
//! its attempt counted, an update that neither ends nor goes back.
//!
//! The ways are made from [`State`]: a new state does not compile until it has one.

use super::state::{Kept, Place, Release, Slot, State};
use super::*;
use crate::pipeline::Comparison;
use crate::storage::disk::{Disk, Faults};
use std::collections::BTreeSet;
use std::time::Duration;
use telltale_wire::bundle::{
    AgentVersion, Budget, BundleIndex, BundleName, HardwareId, Part, PartKind, SEAL_SCHEME, Seal, chunks_of,
};
use telltale_wire::digest::Digest;
use telltale_wire::update::{RunFigures, UpdateReason};

/// A signed bundle, sealed: the shelf keeps what comes, and the vehicle's wrapped key beside it.
struct Bundle {
    release: Release,
    index: Vec<u8>,
    key: Vec<u8>,
    chunks: Vec<Vec<u8>>,
    parts: Vec<(PartKind, Vec<u8>)>,
}

fn bundle(number: u32) -> Bundle {
    let part = |kind: PartKind, len: usize| {
        // The first half is the same in all releases.
        let bytes = (0..len).map(|at| if at < len / 2 { at as u8 } else { (at as u32 * number) as u8 });
        (kind, bytes.collect::<Vec<u8>>())
    };
    let parts = vec![
        part(PartKind::Model, 4_200),
        part(PartKind::Manifest, 300),
        part(PartKind::Features, 500),
        part(PartKind::Golden, 1_500),
    ];
    let chunks: Vec<Vec<u8>> =
        parts.iter().flat_map(|(_, bytes)| chunks_of(bytes, 10)).map(<[u8]>::to_vec).collect();
    let name = || BundleName::new("cell-fault").unwrap();
    let index = BundleIndex {
        family: name(),
        name: name(),
        version: format!("1.{number}.0"),
        release: number,
        hardware: vec![HardwareId::new("ecu").unwrap()],
        min_agent: AgentVersion::default(),
        features: Digest::of(b"features"),
        needs: Vec::new(),
        budget: Budget { latency_us: 1_000, memory_bytes: 1_000 },
        golden_tolerance: 0,
        chunk_exponent: 10,
        parts: parts.iter().map(|(kind, bytes)| Part { kind: *kind, length: bytes.len() as u32 }).collect(),
        chunks: chunks.iter().map(|chunk| Digest::of(chunk)).collect(),
        seal: Some(Seal { scheme: SEAL_SCHEME, key_id: Digest::of(b"content key") }),
    };
    let version = index.version.clone();
    let index = index.encode().unwrap();
    let release = Release { number, version, bundle: Digest::of(&index) };
    Bundle { release, index, key: vec![number as u8; 112], chunks, parts }
}

/// How the release of a way fares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Good,
    DiesInSelfTest,
    DiesInShadow,
    DiesOnTrial,
    Misfit,
    Pinned,
}

/// The way that passes through a state, or ends in it.
fn way(state: State) -> Fate {
    match state {
        State::Offered | State::Downloading => Fate::Pinned,
        State::Staged => Fate::DiesInSelfTest,
        State::SelfTested | State::Shadow => Fate::DiesInShadow,
        State::Trial | State::RolledBack(_) => Fate::DiesOnTrial,
        State::Committed => Fate::Good,
        State::Refused(_) => Fate::Misfit,
    }
}

/// The state after this one in the table. Exhaustive: a state that is missing does not compile.
fn after(state: State) -> Option<State> {
    Some(match state {
        State::Offered => State::Downloading,
        State::Downloading => State::Staged,
        State::Staged => State::SelfTested,
        State::SelfTested => State::Shadow,
        State::Shadow => State::Trial,
        State::Trial => State::Committed,
        State::Committed => State::RolledBack(UpdateReason::Disagrees),
        State::RolledBack(_) => State::Refused(UpdateReason::GoldenDiffers),
        State::Refused(_) => return None,
    })
}

fn states() -> impl Iterator<Item = State> {
    std::iter::successors(Some(State::Offered), |state| after(*state))
}

/// A vehicle with a disk, and what it saw.
struct Vehicle<'a> {
    disk: Disk,
    bundles: &'a [Bundle],
    fate: Fate,
    /// States that were durable when the power went.
    cut_in: BTreeSet<String>,
    fetched: Vec<(u32, usize)>,
}

const FAMILY: &str = "cell-fault";

fn policy() -> Policy {
    let stage = Stage { windows: 10, time: Duration::from_secs(60) };
    Policy { shadow: stage, trial: stage, attempts: 3, ..Policy::default() }
}

/// The power went.
struct Cut;

impl Vehicle<'_> {
    /// One life: wakes up, and does what is to be done with the offer until nothing is left or the power goes.
    fn live(&mut self, offer: u32) -> Result<Kept, Cut> {
        let family_name = BundleName::new(FAMILY).unwrap();
        let mut shelf = Shelf::new(self.disk.clone());
        let kept = match shelf.kept(&family_name) {
            Ok(kept) => kept.unwrap_or_else(|| Kept::new(family_name)),
            Err(error) if self.disk.is_cut() => {
                drop(error);
                return Err(Cut);
            }
            Err(error) => panic!("the state was lost: {error}"),
        };
        self.cut_in.insert(name(kept.update.as_ref().map(|update| update.state)));
        let mut family = Family::new(kept, policy());
        // Whatever else: there is a model, before anything is done.
        self.runs(&mut shelf, &family)?;
        let step = family.start();
        self.take(&mut shelf, &mut family, step)?;
        for _ in 0..40 {
            let Some(event) = self.next_event(&mut shelf, &family, offer)? else {
                return Ok(family.kept().clone());
            };
            let step = family.handle(event).unwrap();
            self.take(&mut shelf, &mut family, step)?;
        }
        panic!("the update neither ends nor goes back: {:?}", family.kept().update)
    }

    /// Persists, and only then acts; as the agent's shell does.
    fn take(&mut self, shelf: &mut Shelf<Disk>, family: &mut Family, step: Option<Step>) -> Result<(), Cut> {
        let mut next = step;
        while let Some(step) = next {
            self.ok(shelf.keep(&step.kept))?;
            for effect in family.take(step) {
                match effect {
                    Effect::Sweep => drop(self.ok(shelf.sweep(&[family.kept()]))?),
                    Effect::SelfTest => self.executes(shelf, family, State::Staged)?,
                    Effect::Arrange => self.runs(shelf, family)?,
                    Effect::Prepare | Effect::Fetch | Effect::Report | Effect::Tell(_) => {}
                }
            }
            next = family.proceed();
        }
        Ok(())
    }

    fn next_event(
        &mut self,
        shelf: &mut Shelf<Disk>,
        family: &Family,
        offer: u32,
    ) -> Result<Option<Event>, Cut> {
        let offered = self.bundles.iter().find(|bundle| bundle.release.number == offer).unwrap();
        let release = offered.release.clone();
        let failed = |reason| Ok(Some(Event::Failed(Failure { reason, why: String::new() })));
        let Some(update) = family.kept().open().cloned() else {
            return Ok(match family.consider(offer, &release.bundle) {
                Interest::Take if self.fate == Fate::Misfit && offer == 2 => {
                    let failure = Failure { reason: UpdateReason::CatalogLacks, why: String::new() };
                    Some(Event::Offered(release, Err(failure)))
                }
                Interest::Take => Some(Event::Offered(release, Ok(()))),
                _ => None,
            });
        };
        let fate = if offer == 2 { self.fate } else { Fate::Good };
        match update.state {
            State::Offered => {
                self.ok(shelf.hold_key(&family.kept().family, update.slot, &offered.key))?;
                self.ok(shelf.hold_index(&family.kept().family, update.slot, &release, &offered.index))?;
                Ok(Some(Event::Prepared))
            }
            State::Downloading => {
                let index = match shelf.index(&family.kept().family, update.slot, &release) {
                    Ok(index) => index,
                    Err(_) if self.disk.is_cut() => return Err(Cut),
                    Err(error) => panic!("{error}"),
                };
                for number in self.ok(shelf.missing(&index))? {
                    let mut torn = offered.chunks[number].clone();
                    torn[0] ^= 1;
                    assert!(
                        shelf.put(&index, number, &torn).is_err(),
                        "a chunk that nobody signed was taken"
                    );
                    self.ok(shelf.put(&index, number, &offered.chunks[number]))?;
                    self.ok(shelf.settle())?;
                    self.fetched.push((offer, number));
                    if fate == Fate::Pinned && number > 3 {
                        return Ok(Some(Event::Pin(true)));
                    }
                }
                Ok(Some(Event::Fetched))
            }
            State::Staged if fate == Fate::DiesInSelfTest => failed(UpdateReason::GoldenDiffers),
            State::Staged => Ok(Some(Event::Tested)),
            State::Shadow => Ok(Some(Event::Compared(comparison(fate == Fate::DiesInShadow)))),
            State::Trial => Ok(Some(Event::Compared(comparison(fate == Fate::DiesOnTrial)))),
            State::SelfTested | State::Committed | State::RolledBack(_) | State::Refused(_) => {
                panic!("{} is left by itself", update.state)
            }
        }
    }

    /// Loads what is to run, and holds it against what was signed.
    fn runs(&mut self, shelf: &mut Shelf<Disk>, family: &Family) -> Result<(), Cut> {
        let Arrangement { speaks, beside } = family.arrangement();
        let candidate = family.kept().open().map(|update| Place::Slot(update.slot));
        for place in [Some(speaks), beside].into_iter().flatten() {
            let Place::Slot(slot) = place else { continue };
            if Some(place) == candidate {
                let state = family.kept().open().unwrap().state;
                assert!(matches!(state, State::Shadow | State::Trial), "a candidate runs in {state}");
                self.executes(shelf, family, state)?;
            } else {
                self.loads(shelf, family, slot)?;
            }
        }
        if let Some(open) = family.kept().open() {
            let may_speak = open.state == State::Trial;
            assert!(may_speak || Some(speaks) != candidate, "a candidate speaks in {}", open.state);
        }
        Ok(())
    }

    /// The candidate's code runs: that has to be on the disk, with its attempt.
    fn executes(&mut self, shelf: &mut Shelf<Disk>, family: &Family, state: State) -> Result<(), Cut> {
        let update = family.kept().open().unwrap();
        if self.disk.is_cut() {
            return Err(Cut);
        }
        let kept = shelf.kept(&family.kept().family).unwrap().unwrap();
        let durable = kept.open().unwrap();
        assert_eq!(
            (durable.state, &durable.release),
            (state, &update.release),
            "it runs in a state that is not kept"
        );
        assert!((1..=policy().attempts).contains(&durable.attempts), "attempt {}", durable.attempts);
        self.loads(shelf, family, update.slot)
    }

    fn loads(&mut self, shelf: &mut Shelf<Disk>, family: &Family, slot: Slot) -> Result<(), Cut> {
        let release = family.kept().slot(slot).expect("what runs is held");
        let signed = self.bundles.iter().find(|bundle| bundle.release == *release).expect("it was signed");
        let index = shelf.index(&family.kept().family, slot, release);
        if self.disk.is_cut() {
            return Err(Cut);
        }
        let index = index.unwrap_or_else(|error| panic!("there is no model: {error}"));
        let key = shelf.key_bytes(&family.kept().family, slot);
        assert_eq!(key.as_ref().ok(), Some(&Some(signed.key.clone())), "a bundle is held that nothing opens");
        for (kind, bytes) in &signed.parts {
            let held = shelf.part(&index, *kind).unwrap_or_else(|error| panic!("there is no model: {error}"));
            assert_eq!(held, *bytes, "a byte runs that nobody signed");
        }
        Ok(())
    }

    fn ok<T, E: std::fmt::Display>(&self, outcome: Result<T, E>) -> Result<T, Cut> {
        match outcome {
            Ok(value) => Ok(value),
            Err(_) if self.disk.is_cut() => Err(Cut),
            Err(error) => panic!("{error}"),
        }
    }
}

fn comparison(disagrees: bool) -> Comparison {
    let mut comparison = Comparison {
        windows: 10,
        compared: 100,
        ran: Duration::from_secs(60),
        candidate_ran: RunFigures { inferences: 10, ..RunFigures::default() },
        ..Comparison::default()
    };
    if disagrees {
        comparison.disagreements.only_candidate_anomalous = 90;
    }
    comparison
}

fn name(state: Option<State>) -> String {
    state.map_or_else(|| "nothing".to_owned(), |state| state.step().0.to_string())
}

/// A vehicle that has committed release 1 and is then offered release 2: the power goes at `cuts`, one a life.
fn history(bundles: &[Bundle], fate: Fate, seed: u64, cuts: &[u64]) -> (Kept, u64, BTreeSet<String>) {
    let disk = Disk::new(seed);
    let mut vehicle = Vehicle { disk, bundles, fate, cut_in: BTreeSet::new(), fetched: Vec::new() };
    let Ok(kept) = vehicle.live(1) else { panic!("nothing was cut") };
    assert_eq!((kept.active, kept.floor), (Place::Slot(Slot::A), 1));
    vehicle.disk.power_cycle();
    vehicle.cut_in.clear();
    let mut operations = 0;
    for cut in cuts {
        vehicle.disk.set_faults(Faults { cut_at: Some(*cut), ..Faults::default() });
        let _ = vehicle.live(2);
        operations = operations.max(vehicle.disk.operations());
        vehicle.disk.power_cycle();
    }
    let Ok(kept) = vehicle.live(2) else { panic!("nothing was cut") };
    operations = operations.max(vehicle.disk.operations());
    let expected = match fate {
        Fate::Good => (Place::Slot(Slot::B), 2),
        _ => (Place::Slot(Slot::A), 1),
    };
    assert_eq!((kept.active, kept.floor), expected, "{fate:?}, cuts {cuts:?}: {:?}", kept.update);
    assert!(kept.open().is_none(), "{fate:?}, cuts {cuts:?}");
    let mut shelf = Shelf::new(vehicle.disk.clone());
    shelf.sweep(&[&kept]).unwrap();
    let index = |slot| shelf_index(&vehicle.disk, &kept, slot);
    let needed: BTreeSet<Digest> = Slot::BOTH.into_iter().filter_map(index).flat_map(|i| i.chunks).collect();
    let chunks = vehicle.disk.names().iter().filter(|name| name.ends_with(".chunk")).count();
    assert_eq!(chunks, needed.len(), "nothing is left behind");
    let keys = vehicle.disk.names().iter().filter(|name| name.ends_with(".key")).count();
    assert_eq!(
        keys,
        Slot::BOTH.into_iter().filter_map(index).count(),
        "each index has its key, and no other"
    );
    (kept, operations, vehicle.cut_in)
}

fn shelf_index(disk: &Disk, kept: &Kept, slot: Slot) -> Option<BundleIndex> {
    Shelf::new(disk.clone()).index(&kept.family, slot, kept.slot(slot)?).ok()
}

#[test]
fn whenever_the_power_goes_the_vehicle_wakes_with_a_model_and_goes_on_or_back() {
    let bundles = [bundle(1), bundle(2)];
    let mut cuts = 0;
    for state in states() {
        let fate = way(state);
        let (_, operations, _) = history(&bundles, fate, 1, &[]);
        let mut cut_in = BTreeSet::new();
        for cut in 1..=operations {
            // What a power cut leaves of the unsynced is drawn: two draws, and a second cut early in the next life.
            for (seed, again) in [(cut, None), (!cut, Some(1 + cut % 7))] {
                let at: Vec<u64> = [Some(cut), again].into_iter().flatten().collect();
                cut_in.append(&mut history(&bundles, fate, seed, &at).2);
                cuts += at.len();
            }
        }
        let passes = cut_in.contains(&name(Some(state)));
        assert!(passes, "the way to {state} was never cut in it, but in {cut_in:?}");
    }
    println!("{cuts} power cuts");
    assert!(cuts > 1_000, "{cuts}");
}

#[test]
fn a_download_goes_on_where_it_was_and_what_is_held_is_not_fetched() {
    let bundles = [bundle(1), bundle(2)];
    let disk = Disk::new(3);
    let mut vehicle =
        Vehicle { disk, bundles: &bundles, fate: Fate::Good, cut_in: BTreeSet::new(), fetched: Vec::new() };
    assert!(vehicle.live(1).is_ok());
    vehicle.disk.power_cycle();
    vehicle.fetched.clear();
    let mut lives = 0;
    // The power goes again and again, each time a little later.
    while let Err(Cut) = {
        vehicle.disk.set_faults(Faults { cut_at: Some(30), ..Faults::default() });
        let lived = vehicle.live(2);
        vehicle.disk.power_cycle();
        lived
    } {
        lives += 1;
        assert!(lives < 30, "it comes no further");
    }
    assert!(lives > 2, "{lives}");
    let fetched: Vec<usize> = vehicle.fetched.iter().map(|(_, number)| *number).collect();
    let once: BTreeSet<usize> = fetched.iter().copied().collect();
    assert_eq!(fetched.len(), once.len(), "{fetched:?}");
    let shared = bundles[1].chunks.iter().filter(|chunk| bundles[0].chunks.contains(chunk)).count();
    assert!(shared >= 2, "{shared}");
    assert_eq!(once.len(), bundles[1].chunks.len() - shared, "what both have is not fetched");
}

#[test]
fn the_check_sees_a_sync_that_does_nothing() {
    let bundles = [bundle(1), bundle(2)];
    let lies = |cut| {
        let disk = Disk::new(cut);
        let mut vehicle = Vehicle {
            disk,
            bundles: &bundles,
            fate: Fate::Good,
            cut_in: BTreeSet::new(),
            fetched: Vec::new(),
        };
        vehicle.disk.set_faults(Faults { cut_at: Some(cut), syncs_are_lies: true, ..Faults::default() });
        let _ = vehicle.live(1);
        vehicle.disk.power_cycle();
        vehicle.live(1).is_ok()
    };
    let failed = (60..200).any(|cut| !std::panic::catch_unwind(|| lies(cut)).unwrap_or(false));
    assert!(failed, "the negative control passed: the kill tests prove nothing");
}
