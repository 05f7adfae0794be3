//! A cause is planted and has to be named first, though something that counts for nothing stands out further.

use super::*;
use crate::feature::FeatureSpec;
use crate::model::{Manifest, Model};
use crate::regime::Regime;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use telltale_wire::time::MonoTime;

const FEATURES: usize = 6;
const CELLS: usize = 12;
const ODD: usize = 5;

/// What a model makes of one subject's features.
type Logit = fn(&[f32; FEATURES]) -> f32;

/// The last feature counts for nothing.
const LINEAR: Logit = |x| 2.0 * x[0] - 3.0 * x[1] + x[2] + 1.5 * x[3] - x[4] - 2.0;
/// How far out, whatever the direction, of the feature that is furthest.
const FURTHEST: Logit = |x| x[..5].iter().fold(0.0, |far: f32, x| far.max(x.abs())) - 2.0;
/// Each feature through a rectifier of its own, both ways, as in a small network.
const RECTIFIED: Logit =
    |x| x[..5].iter().map(|x| (x - 1.0).max(0.0) + 0.5 * (-x - 1.0).max(0.0)).sum::<f32>() - 1.0;

struct Probe {
    logit: Logit,
    runs: Arc<AtomicUsize>,
}

impl Model for Probe {
    fn infer(&mut self, input: &[i8], output: &mut [i8]) -> Result<(), String> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        for (subject, out) in output.iter_mut().enumerate() {
            let x = std::array::from_fn(|f| f32::from(input[f * CELLS + subject]) * 0.0625);
            *out = ((self.logit)(&x) / 0.1).round().clamp(-127.0, 127.0) as i8;
        }
        Ok(())
    }
}

fn spec() -> FeatureSpec {
    let head = "schema = 1\nname = \"x\"\nperiod_s = 1\nwindow = 4\nstride = 2\nreset_gap_s = 60\nmin_completeness = 0.5\n\
        [members]\nsignal = \"Cell{n}\"\nsubject = \"Cell{n}\"\n";
    let feature =
        |n| format!("[[feature]]\nname = \"f{n}\"\nop = \"mean\"\noffset = {n}.0\nscale = 0.5\nclip = 8.0\n");
    FeatureSpec::parse(&(0..FEATURES).fold(head.to_owned(), |text, n| text + &feature(n)), "x").unwrap()
}

/// A model and its scores of a pack whose odd cell has these features, in units of their scale.
fn scored(logit: Logit, odd: [f32; FEATURES]) -> (Scorer, FeatureTable, Arc<AtomicUsize>) {
    let (spec, runs) = (spec(), Arc::new(AtomicUsize::new(0)));
    let mut table = FeatureTable::new(FEATURES, CELLS);
    for subject in 0..CELLS {
        table.set_state(subject, Ok(()), None);
        for (channel, odd) in odd.iter().enumerate() {
            let x = if subject == ODD { *odd } else { 0.1 * (subject as f32 - 5.5) / 5.5 };
            table.set(channel, subject, channel as f32 + 0.5 * x, x);
        }
    }
    let manifest = Manifest::parse(crate::model::tests::EXAMPLE, "m").unwrap();
    let reference = manifest.reference(&telltale_wire::digest::Digest([0; 32]));
    let model = Box::new(Probe { logit, runs: Arc::clone(&runs) });
    let mut scorer = Scorer::new(reference, manifest, model, Regime::new(&[], &spec), &spec, CELLS);
    scorer.score(MonoTime(0), &table, None);
    (scorer, table, runs)
}

fn named(witness: &mut Witness, scorer: &mut Scorer, table: &FeatureTable) -> Vec<String> {
    let evidence = witness.testify(ODD, table, &spec().features, Unit::Volt, scorer);
    evidence.into_iter().map(|evidence| evidence.what).collect()
}

#[test]
fn the_planted_feature_is_named_first_and_not_the_one_that_stands_out_further() {
    for (name, logit) in [("linear", LINEAR), ("furthest", FURTHEST), ("rectified", RECTIFIED)] {
        for cause in 0..5 {
            let mut odd = [0.3; FEATURES];
            odd[cause] = if name == "linear" && [1, 4].contains(&cause) { -4.0 } else { 4.0 };
            odd[5] = 7.5;
            let (mut scorer, table, _) = scored(logit, odd);
            let mut witness = Witness::new(CELLS);
            witness.begin();
            let told = named(&mut witness, &mut scorer, &table);
            assert_eq!(told[0], format!("f{cause}"), "{name}: {told:?}");
            let without = named(&mut Witness::new(CELLS), &mut scorer, &table);
            assert_eq!(without[0], "f5", "without trials the distance alone speaks: {without:?}");
        }
    }
}

#[test]
fn a_window_has_a_fixed_number_of_extra_inferences() {
    let (mut scorer, table, runs) = scored(LINEAR, [4.0; FEATURES]);
    let before = runs.load(Ordering::Relaxed);
    let mut witness = Witness::new(CELLS);
    witness.begin();
    named(&mut witness, &mut scorer, &table);
    let one = runs.load(Ordering::Relaxed) - before;
    assert!(one <= TRIALS_PER_EVENT, "{one}");
    (0..1_000).for_each(|_| drop(named(&mut witness, &mut scorer, &table)));
    assert_eq!(runs.load(Ordering::Relaxed) - before, TRIALS_PER_EVENT * EVENTS_WITH_TRIALS);
}

#[test]
fn trials_leave_the_scores_as_they_were() {
    let (mut scorer, table, _) = scored(RECTIFIED, [4.0, 0.0, 3.0, 0.0, 2.0, 1.0]);
    let before = scorer.scores.clone();
    let mut witness = Witness::new(CELLS);
    witness.begin();
    named(&mut witness, &mut scorer, &table);
    scorer.score(MonoTime(1), &table, None);
    assert_eq!(scorer.scores, before);
}
