//! A model that looks back over the windows before: when its output is an answer, and what ends its past.

use super::tests::{CELLS, S, catalog, frame, loaded};
use super::*;
use crate::model::Model;
use std::sync::atomic::{AtomicBool, Ordering};
use telltale_wire::record::IndeterminateReason::{self, ModelFailed, SensorFault, Stale, WarmingUp};

const LOOKS_BACK: i8 = 3;
/// No reading, as the catalog knows it.
const FAULT: u16 = 65_535;

/// Answers how many samples of a subject it has had since it last forgot it.
struct Counts {
    seen: Vec<i8>,
    fails: Arc<AtomicBool>,
}

impl Model for Counts {
    fn infer(&mut self, _: &[i8], output: &mut [i8]) -> Result<(), String> {
        if self.fails.load(Ordering::Relaxed) {
            return Err("told to fail".into());
        }
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
    second: u64,
}

impl Drive {
    fn new() -> Drive {
        let fails = Arc::<AtomicBool>::default();
        // As a model comes that another pipeline has run.
        let model = Counts { seen: vec![99; CELLS], fails: Arc::clone(&fails) };
        let models = vec![loaded("counts", model)];
        let pipeline = Pipeline::new(&catalog(""), models, PipelineConfig::default()).unwrap();
        Drive { pipeline, fails, second: 0 }
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
