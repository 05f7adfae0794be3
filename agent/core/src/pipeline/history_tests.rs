//! A model that looks back over the windows before: when its output is an answer, and what ends its past.

use super::scorer::Scorer;
use super::tests::{CELLS, S, catalog, frame, loaded};
use super::*;
use crate::feature::{FeatureSpec, FeatureTable};
use crate::model::Model;
use crate::regime::Regime;
use std::sync::atomic::{AtomicBool, AtomicI8, Ordering};
use telltale_wire::record::IndeterminateReason::{self, ModelFailed, SensorFault, Stale, WarmingUp};

const LOOKS_BACK: i8 = 3;
/// No reading, as the catalog knows it.
const FAULT: u16 = 65_535;

/// Answers how many samples of a subject it has had since it last forgot it.
#[derive(Default)]
struct Counts {
    seen: Vec<i8>,
    fails: Arc<AtomicBool>,
    asked: Arc<AtomicI8>,
}

impl Model for Counts {
    fn infer(&mut self, _: &[i8], output: &mut [i8]) -> Result<(), String> {
        if self.fails.load(Ordering::Relaxed) {
            return Err("told to fail".into());
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.seen.iter_mut().for_each(|seen| *seen += 1);
        output.copy_from_slice(&self.seen);
        Ok(())
    }

    fn forget(&mut self, subject: usize) {
        self.seen[subject] = 0;
    }

    fn is_warm(&self, subject: usize) -> bool {
        self.seen[subject] >= LOOKS_BACK
    }
}

/// Windows of four seconds, every two.
struct Drive {
    pipeline: Pipeline,
    fails: Arc<AtomicBool>,
    asked: Arc<AtomicI8>,
    second: u64,
}

impl Drive {
    fn new() -> Drive {
        Drive::looking_back(None)
    }

    /// With a manifest that states this history.
    fn looking_back(history: Option<usize>) -> Drive {
        let (fails, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicI8>::default());
        // As a model comes that another pipeline has run.
        let model = Counts { seen: vec![99; CELLS], fails: Arc::clone(&fails), asked: Arc::clone(&asked) };
        let mut model = loaded("counts", model);
        model.manifest.history = history;
        let pipeline = Pipeline::new(&catalog(""), vec![model], PipelineConfig::default()).unwrap();
        Drive { pipeline, fails, asked, second: 0 }
    }

    fn asked(&self) -> i8 {
        self.asked.load(Ordering::Relaxed)
    }

    /// One frame a second for so long; then what is held of the first two cells.
    fn go(&mut self, seconds: u64, millivolts: [u16; CELLS]) -> [Result<(), IndeterminateReason>; 2] {
        for _ in 0..seconds {
            self.pipeline.handle_frame(&frame(self.second, millivolts));
            self.second += 1;
        }
        let mut view = View::with_room(self.pipeline.outline());
        self.pipeline.look(MonoTime(self.second * S), &mut view);
        [0, 1].map(|subject| view.models[0].subjects[subject].score.map(|_| ()))
    }
}

const GOOD: [u16; CELLS] = [3_700; CELLS];
/// To the end of the first window, and from one window's end to the next.
const FIRST: u64 = 5;
const NEXT: u64 = 2;

#[test]
fn an_answer_takes_as_many_windows_as_the_model_looks_back() {
    let mut drive = Drive::new();
    assert_eq!(drive.go(FIRST, GOOD), [Err(WarmingUp); 2]);
    assert_eq!(drive.go(NEXT, GOOD), [Err(WarmingUp); 2]);
    assert_eq!(drive.go(NEXT, GOOD), [Ok(()); 2]);
}

#[test]
fn a_gap_between_windows_ends_the_past_of_all() {
    let mut drive = Drive::new();
    assert_eq!(drive.go(FIRST + 2 * NEXT, GOOD), [Ok(()); 2]);
    drive.second += 100;
    assert_eq!(drive.go(FIRST, GOOD), [Err(WarmingUp); 2]);
    assert_eq!(drive.go(2 * NEXT, GOOD), [Ok(()); 2]);
}

#[test]
fn a_subject_without_a_sample_begins_anew_and_the_others_go_on() {
    let mut drive = Drive::new();
    assert_eq!(drive.go(FIRST + 2 * NEXT, GOOD), [Ok(()); 2]);
    let [first, second] = drive.go(2 * NEXT, [FAULT, 3_700, 3_700, 3_700]);
    assert!(matches!(first, Err(SensorFault | Stale)), "{first:?}");
    assert_eq!(second, Ok(()));
    // The window still holds the faults, then it does not: three samples from there.
    let told: Vec<_> = (0..5).map(|_| drive.go(NEXT, GOOD)[0]).collect();
    assert_eq!(told.iter().filter(|told| **told == Err(WarmingUp)).count(), 2, "{told:?}");
    assert_eq!(told.last(), Some(&Ok(())));
}

#[test]
fn a_run_that_failed_leaves_no_past() {
    let mut drive = Drive::new();
    assert_eq!(drive.go(FIRST + 2 * NEXT, GOOD), [Ok(()); 2]);
    drive.fails.store(true, Ordering::Relaxed);
    assert_eq!(drive.go(NEXT, GOOD), [Err(ModelFailed); 2]);
    drive.fails.store(false, Ordering::Relaxed);
    assert_eq!(drive.go(2 * NEXT, GOOD), [Err(WarmingUp); 2]);
    assert_eq!(drive.go(NEXT, GOOD), [Ok(()); 2]);
}

#[test]
fn one_that_was_switched_off_begins_anew() {
    let mut drive = Drive::new();
    assert_eq!(drive.go(FIRST + 2 * NEXT, GOOD), [Ok(()); 2]);
    drive.pipeline.switch(SwitchedOff { all_models: true, ..SwitchedOff::default() });
    assert_eq!(drive.go(NEXT, GOOD), [Err(ModelFailed); 2]);
    drive.pipeline.switch(SwitchedOff::default());
    assert_eq!(drive.go(2 * NEXT, GOOD), [Err(WarmingUp); 2], "what it held is of before the pause");
    assert_eq!(drive.go(NEXT, GOOD), [Ok(()); 2]);
}

#[test]
fn it_is_asked_for_no_weight_since_each_input_is_a_sample_to_it() {
    let mut drive = Drive::looking_back(Some(usize::from(LOOKS_BACK.unsigned_abs())));
    // The answers rise until they are odd, and an event has its evidence.
    for windows in 1..40_i8 {
        let told = drive.go(if windows == 1 { FIRST } else { NEXT }, [3_700, 3_640, 3_700, 3_700]);
        assert_eq!(drive.asked(), windows, "one inference a window: {told:?}");
    }
    let told = std::iter::from_fn(|| drive.pipeline.poll_record());
    assert!(told.filter(|record| matches!(record, Record::Verdict(_))).count() > 0, "there was an event");
}

/// A scorer by itself, two of whose windows end so many seconds apart: how many samples it holds behind the second.
fn held_after(features: &FeatureSpec, seconds: u64) -> i8 {
    let seen = Arc::<AtomicI8>::default();
    struct Held(i8, Arc<AtomicI8>);
    impl Model for Held {
        fn infer(&mut self, _: &[i8], output: &mut [i8]) -> Result<(), String> {
            self.0 += 1;
            self.1.store(self.0, Ordering::Relaxed);
            output.fill(0);
            Ok(())
        }

        fn forget(&mut self, _: usize) {
            self.0 = 0;
        }
    }
    let manifest = loaded("held", Held(0, Arc::clone(&seen))).manifest;
    let (reference, model) = (manifest.reference(&Digest::of(b"held")), Held(0, Arc::clone(&seen)));
    let mut scorer = Scorer::new(reference, manifest, Box::new(model), Regime::default(), features, 1);
    let mut table = FeatureTable::new(features.features.len(), 1);
    table.set_state(0, Ok(()), None);
    for at in [100, 100 + seconds] {
        scorer.score(MonoTime(at * S), &table, None);
    }
    seen.load(Ordering::Relaxed)
}

#[test]
fn windows_that_do_not_follow_each_other_on_the_grid_share_no_past_but_charges_do() {
    let windows = loaded("any", Counts::default()).features;
    assert_eq!([NEXT, 2 * NEXT, 1].map(|seconds| held_after(&windows, seconds)), [2, 1, 1]);
    let charges = FeatureSpec::parse(appraisal_tests::SPEC, "f.toml").unwrap();
    assert_eq!([10, 90_000].map(|seconds| held_after(&charges, seconds)), [2, 2], "one every so many days");
}
