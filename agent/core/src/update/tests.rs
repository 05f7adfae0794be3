//! The machine in virtual time: every way through the states, and every way out.

use super::*;
use crate::pipeline::Comparison;
use std::time::Duration;
use telltale_wire::bundle::BundleName;
use telltale_wire::digest::Digest;
use telltale_wire::update::{Disagreements, RunFigures, UpdateReason, UpdateStep};

pub(super) fn release(number: u32) -> Release {
    let bundle = Digest::of(&number.to_le_bytes());
    Release { number, version: format!("1.{number}.0"), bundle }
}

fn policy() -> Policy {
    Policy {
        shadow: Stage { windows: 10, time: Duration::from_secs(600) },
        trial: Stage { windows: 20, time: Duration::from_secs(1_200) },
        attempts: 3,
        ..Policy::default()
    }
}

/// A family with everything that it asked for, in order.
struct Rig {
    family: Family,
    told: Vec<String>,
}

impl Rig {
    fn new() -> Rig {
        Rig::of(Kept::new(BundleName::new("cell-fault").unwrap()))
    }

    fn of(kept: Kept) -> Rig {
        Rig { family: Family::new(kept, policy()), told: Vec::new() }
    }

    fn take(&mut self, step: Option<Step>) {
        let Some(step) = step else { return };
        // What would be read back is what was kept.
        assert_eq!(decode(&encode(&step.kept)).as_ref(), Ok(&step.kept));
        for effect in self.family.take(step) {
            self.told.push(match effect {
                Effect::Tell(told) => {
                    format!("{}{}", told.step, told.reason.map(|r| format!(" ({r})")).unwrap_or_default())
                }
                other => format!("{other:?}"),
            });
        }
        let more = self.family.proceed();
        if more.is_some() {
            self.take(more);
        }
    }

    fn event(&mut self, event: Event) -> &mut Rig {
        let step = self.family.handle(event).unwrap();
        self.take(step);
        self
    }

    fn declined(&self, event: Event) -> String {
        self.family.handle(event).unwrap_err().0
    }

    /// The power goes, and comes again.
    fn restart(&mut self) -> &mut Rig {
        *self = Rig::of(decode(&encode(self.family.kept())).unwrap());
        let step = self.family.start();
        self.take(step);
        self
    }

    fn to(&mut self, state: State, number: u32) -> &mut Rig {
        let here = self.family.kept().open().map(|update| update.state);
        if here == Some(state) {
            return self;
        }
        let event = match here {
            None => Event::Offered(release(number), Ok(())),
            Some(State::Offered) => Event::Prepared,
            Some(State::Downloading) => Event::Fetched,
            Some(State::Staged) => Event::Tested,
            Some(State::Shadow) => Event::Compared(went_well(10, 600)),
            Some(State::Trial) => Event::Compared(went_well(20, 1_200)),
            Some(other) => panic!("{other}"),
        };
        self.event(event);
        if state == State::Committed && self.state() == state {
            return self;
        }
        self.to(state, number)
    }

    fn state(&self) -> State {
        self.family.kept().update.as_ref().unwrap().state
    }

    fn told(&mut self) -> String {
        std::mem::take(&mut self.told).join("; ")
    }

    fn speaks(&self) -> (Place, Option<Place>) {
        let Arrangement { speaks, beside } = self.family.arrangement();
        (speaks, beside)
    }
}

fn went_well(windows: u64, seconds: u64) -> Comparison {
    Comparison {
        windows,
        compared: windows * 96,
        ran: Duration::from_secs(seconds),
        candidate_ran: RunFigures { inferences: windows + 8, ..RunFigures::default() },
        ..Comparison::default()
    }
}

const A: Place = Place::Slot(Slot::A);
const B: Place = Place::Slot(Slot::B);

#[test]
fn a_good_release_is_committed_and_the_next_one_takes_the_other_slot() {
    let mut rig = Rig::new();
    rig.to(State::Shadow, 7);
    assert_eq!(
        rig.told(),
        "Arrange; offered; Prepare; downloading; Fetch; staged; SelfTest; self-tested; in shadow; Arrange"
    );
    assert_eq!(rig.speaks(), (Place::Factory, Some(A)));
    rig.event(Event::Compared(went_well(9, 700))).event(Event::Compared(went_well(10, 599)));
    assert_eq!((rig.state(), rig.told().as_str()), (State::Shadow, "Report"), "both have to be reached");
    rig.event(Event::Compared(went_well(10, 600)));
    assert_eq!(rig.told(), "Report; on trial; Arrange");
    assert_eq!(rig.speaks(), (A, Some(Place::Factory)));
    assert_eq!((rig.family.kept().active, rig.family.kept().floor), (Place::Factory, 0));
    rig.event(Event::Compared(went_well(20, 1_200)));
    assert_eq!(rig.told(), "Report; committed; Arrange; Sweep");
    assert_eq!((rig.speaks(), rig.family.kept().floor), ((A, None), 7));

    rig.to(State::Trial, 8);
    assert_eq!(rig.speaks(), (B, Some(A)));
    rig.to(State::Committed, 8);
    assert_eq!((rig.speaks(), rig.family.kept().floor), ((B, None), 8));
    rig.event(Event::RollBack(None));
    assert_eq!(rig.speaks(), (A, None), "the one before is still there");
    rig.event(Event::RollBack(None));
    assert_eq!(rig.speaks(), (Place::Factory, None));
    assert!(rig.declined(Event::RollBack(None)).contains("configured model"));
    assert_eq!(rig.family.kept().floor, 8, "a way back lowers no floor");
}

#[test]
fn each_breach_ends_a_shadow_and_rolls_a_trial_back() {
    type Spoil = fn(&mut Comparison);
    let cases: [(Spoil, UpdateReason); 4] = [
        (|c| c.candidate_ran.no_output = 1, UpdateReason::NoOutput),
        (|c| c.candidate_ran.not_finite = 1, UpdateReason::NotFinite),
        (|c| c.candidate_ran.too_slow = 3, UpdateReason::TooSlow),
        (|c| c.disagreements.only_candidate_anomalous = c.compared / 20 + 1, UpdateReason::Disagrees),
    ];
    for (spoil, reason) in cases {
        for (state, ended) in
            [(State::Shadow, State::Refused(reason)), (State::Trial, State::RolledBack(reason))]
        {
            let mut rig = Rig::new();
            rig.to(State::Committed, 6).to(state, 7).told();
            let mut comparison = went_well(6, 10);
            spoil(&mut comparison);
            rig.event(Event::Compared(comparison));
            assert_eq!(rig.state(), ended);
            let (step, _) = ended.step();
            assert_eq!(rig.told(), format!("Arrange; Report; {step} ({reason}); Sweep"));
            assert_eq!(rig.speaks(), (A, None));
            assert_eq!((rig.family.kept().floor, &rig.family.kept().slots[1]), (6, &None));
            let again = rig.family.consider(7, &release(7).bundle);
            assert_eq!(again, Interest::Settled, "it is not tried twice in a start");
            rig.restart();
            let again = rig.family.consider(7, &release(7).bundle);
            assert_eq!(again, Interest::Refuse(UpdateReason::KnownBad));
        }
    }
}

#[test]
fn hiccups_are_forgiven_and_a_share_is_judged_over_enough_windows() {
    let mut rig = Rig::new();
    rig.to(State::Shadow, 7).told();
    let mut comparison = went_well(5, 10);
    comparison.candidate_ran.too_slow = 2;
    comparison.disagreements.only_reference_undecided = comparison.compared;
    rig.event(Event::Compared(comparison));
    assert_eq!((rig.state(), rig.told().as_str()), (State::Shadow, ""));
    comparison.windows = 6;
    rig.event(Event::Compared(comparison));
    assert_eq!(rig.state(), State::Refused(UpdateReason::Disagrees));
}

#[test]
fn a_stage_that_is_shorter_than_the_judgement_is_judged_at_its_end() {
    let stage = Stage { windows: 4, time: Duration::ZERO };
    let mut rig = Rig::new();
    rig.to(State::Shadow, 7);
    rig.family.set_policy(Policy { shadow: stage, ..policy() });
    let mut comparison = went_well(4, 10);
    comparison.disagreements.only_candidate_anomalous = comparison.compared;
    rig.event(Event::Compared(comparison));
    assert_eq!(rig.state(), State::Refused(UpdateReason::Disagrees));
}

#[test]
fn attempts_are_counted_before_the_candidate_runs_and_used_up() {
    for (state, ended) in [
        (State::Staged, State::Refused(UpdateReason::AttemptsUsed)),
        (State::Shadow, State::Refused(UpdateReason::AttemptsUsed)),
        (State::Trial, State::RolledBack(UpdateReason::AttemptsUsed)),
    ] {
        let mut rig = Rig::new();
        rig.to(state, 7);
        for attempt in 1..=3 {
            let update = rig.family.kept().update.clone().unwrap();
            assert_eq!((update.state, update.attempts), (state, attempt));
            // Before the count is durable nothing but the old model runs.
            let woken = Family::new(rig.family.kept().clone(), policy());
            assert_eq!(woken.arrangement(), Arrangement { speaks: Place::Factory, beside: None });
            rig.restart();
        }
        assert_eq!(rig.state(), ended);
        assert_eq!(rig.speaks(), (Place::Factory, None));
    }
}

#[test]
fn an_end_in_good_order_is_no_attempt_and_progress_outlives_it() {
    let mut rig = Rig::new();
    rig.to(State::Trial, 7);
    for _ in 0..3 {
        rig.event(Event::Compared(went_well(4, 299)));
        rig.event(Event::Compared(went_well(5, 300)));
        rig.event(Event::Stopping).restart();
        assert_eq!(rig.state(), State::Trial);
    }
    let update = rig.family.kept().update.clone().unwrap();
    assert_eq!((update.progress.windows, update.progress.ran_s, update.attempts), (15, 900, 1));
    rig.event(Event::Compared(went_well(5, 300)));
    assert_eq!(rig.state(), State::Committed);
}

#[test]
fn what_does_not_fit_is_refused_once_and_looked_at_again_after_a_start() {
    let mut rig = Rig::new();
    let misfit = || Failure { reason: UpdateReason::CatalogLacks, why: "Vehicle.Speed".into() };
    rig.event(Event::Offered(release(7), Err(misfit())));
    assert_eq!(rig.told(), "Arrange; refused (the catalog lacks a signal); Sweep");
    assert_eq!(rig.family.consider(7, &release(7).bundle), Interest::Settled);
    rig.restart();
    assert_eq!(rig.family.consider(7, &release(7).bundle), Interest::Take);
    rig.event(Event::Offered(release(7), Err(misfit())));
    assert_eq!(rig.told(), "", "it is told once");
    rig.restart().event(Event::Offered(release(7), Ok(())));
    assert_eq!(rig.state(), State::Offered);
}

#[test]
fn older_pinned_bad_and_unconfirmed_offers_are_refused_with_their_reason() {
    let mut rig = Rig::new();
    rig.to(State::Committed, 7);
    let interest = |rig: &Rig, number| rig.family.consider(number, &release(number).bundle);
    assert_eq!(interest(&rig, 6), Interest::Refuse(UpdateReason::NotNewer));
    assert_eq!(interest(&rig, 7), Interest::Settled);
    assert_eq!(rig.family.consider(7, &Digest::of(b"x")), Interest::Refuse(UpdateReason::NotNewer));
    rig.event(Event::Pin(true));
    assert_eq!(interest(&rig, 8), Interest::Refuse(UpdateReason::Pinned));
    rig.told();
    rig.event(Event::Offered(release(8), Ok(())));
    assert_eq!(rig.told(), "refused (the family is pinned)");
    rig.event(Event::Pin(false)).to(State::Trial, 8);
    assert_eq!(interest(&rig, 9), Interest::Refuse(UpdateReason::Unconfirmed));
    assert!(rig.declined(Event::Pin(true)).contains("on trial"));
    rig.event(Event::RollBack(Some(8)));
    assert_eq!(rig.state(), State::RolledBack(UpdateReason::Asked));
    assert_eq!(rig.speaks(), (A, None));
    assert!(rig.declined(Event::RollBack(Some(8))).contains("is not what runs"));
    rig.event(Event::Forget(8));
    assert_eq!(interest(&rig, 8), Interest::Take, "what was forgotten may come again");
    assert!(rig.declined(Event::Forget(99)).contains("nothing is known"));
    assert!(rig.declined(Event::Forget(7)).contains("roll it back first"));
}

#[test]
fn a_newer_offer_takes_the_place_of_one_that_does_not_speak_yet() {
    for state in [State::Offered, State::Downloading, State::Staged, State::Shadow] {
        let mut rig = Rig::new();
        rig.to(State::Committed, 6).to(state, 7).told();
        rig.event(Event::Offered(release(8), Ok(())));
        let update = rig.family.kept().update.clone().unwrap();
        assert_eq!((update.release.number, update.state, update.slot), (8, State::Offered, Slot::B));
        assert_eq!((rig.speaks(), rig.told().as_str()), ((A, None), "Arrange; offered; Prepare"));
        rig.event(Event::Withdrawn);
        assert_eq!(rig.state(), State::Refused(UpdateReason::Withdrawn));
        assert_eq!(rig.restart().family.consider(8, &release(8).bundle), Interest::Take);
    }
}

#[test]
fn a_model_that_is_lost_on_disk_leaves_the_best_that_is_left() {
    let damaged = || Failure { reason: UpdateReason::Damaged, why: "chunk 3".into() };
    let mut rig = Rig::new();
    rig.to(State::Committed, 6).to(State::Committed, 7);
    rig.event(Event::Unusable(B, damaged()));
    assert_eq!(rig.speaks(), (A, None));
    assert_eq!(rig.family.consider(7, &release(7).bundle), Interest::Take, "it may come again");
    rig.to(State::Trial, 8);
    rig.event(Event::Unusable(A, damaged()));
    assert_eq!(rig.speaks(), (B, Some(Place::Factory)), "the trial goes on beside the last resort");
    rig.event(Event::Failed(damaged()));
    assert_eq!(
        (rig.speaks(), rig.state()),
        ((Place::Factory, None), State::RolledBack(UpdateReason::Damaged))
    );
    assert!(rig.family.handle(Event::Unusable(Place::Factory, damaged())).unwrap().is_none());
}

#[test]
fn a_download_goes_on_after_a_start_once_it_is_offered_again() {
    for (state, expected) in
        [(State::Offered, "Prepare; downloading; Fetch"), (State::Downloading, "Prepare; Fetch")]
    {
        let mut rig = Rig::new();
        rig.to(state, 7).restart().told();
        assert_eq!(rig.family.consider(7, &release(7).bundle), Interest::Continue);
        rig.event(Event::Offered(release(7), Ok(()))).event(Event::Prepared);
        assert_eq!(rig.told(), expected);
    }
}

#[test]
fn pinning_gives_up_what_is_on_its_way() {
    let mut rig = Rig::new();
    rig.to(State::Downloading, 7).told();
    rig.event(Event::Pin(true));
    assert_eq!(rig.told(), "refused (the family is pinned); Sweep; pinned");
    assert!(rig.family.handle(Event::Pin(true)).unwrap().is_none(), "twice is once");
}

#[test]
fn news_of_a_state_that_is_over_changes_nothing() {
    let mut rig = Rig::new();
    let news = || {
        [
            Event::Prepared,
            Event::Fetched,
            Event::Tested,
            Event::Compared(went_well(1_000, 100_000)),
            Event::Failed(Failure { reason: UpdateReason::GoldenDiffers, why: String::new() }),
            Event::Stopping,
            Event::Withdrawn,
        ]
    };
    for event in news() {
        assert_eq!(rig.family.handle(event), Ok(None));
    }
    rig.to(State::Committed, 7);
    for event in news() {
        assert_eq!(rig.family.handle(event), Ok(None));
    }
}

#[test]
fn only_so_many_bad_releases_are_remembered() {
    let mut rig = Rig::new();
    for number in 1..=MAX_BAD as u32 + 3 {
        rig.to(State::Staged, number);
        rig.event(Event::Failed(Failure { reason: UpdateReason::GoldenDiffers, why: String::new() }));
    }
    let bad = &rig.family.kept().bad;
    assert_eq!((bad.len(), bad[0].number), (MAX_BAD, 4));
    rig.to(State::Committed, 20);
    assert!(rig.family.kept().bad.is_empty(), "the floor forbids them");
}

#[test]
fn a_state_file_is_read_whole_or_not_at_all() {
    let mut rig = Rig::new();
    rig.to(State::Committed, 6).to(State::Trial, 7).event(Event::Compared(went_well(3, 310)));
    let bytes = encode(rig.family.kept());
    assert_eq!(decode(&bytes).as_ref(), Ok(rig.family.kept()));
    for len in 0..bytes.len() {
        assert!(decode(&bytes[..len]).is_err(), "cut at {len}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&bad).is_err(), "bit {bit}");
    }
    let mut newer = bytes.clone();
    newer[4] = 2;
    assert_eq!(decode(&newer), Err(CodecError::NewerFormat(2)));
    let odd = Kept { active: B, slots: [None, None], ..rig.family.kept().clone() };
    assert!(matches!(decode(&encode(&odd)), Err(CodecError::Contradiction(_))));
}

/// A vehicle in the field has the old bytes: a change needs a new format.
#[test]
fn the_bytes_of_a_state_file_are_pinned() {
    let mut rig = Rig::new();
    rig.to(State::Committed, 6).to(State::Shadow, 7);
    let digest = Digest::of(&encode(rig.family.kept()));
    assert_eq!(digest.short().to_string(), "ac163a1c3a7214d1");
    assert_eq!(UpdateStep::ALL.len(), 12);
    assert_eq!(Disagreements::default().total(), 0);
}

#[test]
fn where_nothing_was_before_it_a_candidate_goes_on_trial_without_a_shadow() {
    for before in [Before::Release, Before::Setting] {
        let mut rig = Rig::new();
        rig.family.set_policy(Policy { before, ..policy() });
        rig.event(Event::Offered(release(1), Ok(()))).event(Event::Prepared).event(Event::Fetched);
        rig.event(Event::Tested);
        let expected = Arrangement { speaks: Place::Slot(Slot::A), beside: None };
        assert_eq!(rig.family.arrangement(), expected, "{before:?}: {:?}", rig.told);
        assert!(!rig.told.iter().any(|told| told == "in shadow"), "{:?}", rig.told);
        let good = Comparison { windows: 20, ran: Duration::from_secs(1_200), ..Comparison::default() };
        rig.event(Event::Compared(good));
        assert_eq!(rig.family.kept().floor, 1, "{:?}", rig.told);
        // The second has the first before it, unless it is a setting.
        rig.event(Event::Offered(release(2), Ok(()))).event(Event::Prepared).event(Event::Fetched);
        rig.event(Event::Tested);
        let beside = rig.family.arrangement().beside;
        assert_eq!(beside.is_some(), before == Before::Release);
        // A failure on trial goes back to the first.
        rig.event(Event::RollBack(None));
        if before == Before::Setting {
            assert_eq!(rig.family.kept().open(), None, "{:?}", rig.told);
            assert_eq!(rig.family.arrangement().speaks, Place::Slot(Slot::A));
        }
    }
}
