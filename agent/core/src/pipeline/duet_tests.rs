//! Two models on the same windows: what is compared, what is heard, and that a change of roles loses nothing.

use super::tests::{CELLS, catalog, frame, loaded, run};
use super::*;
use crate::model::Model;
use telltale_wire::update::Disagreements;

/// As odd as a cell is low, and by so much odder; fails if there is no such number.
struct Biased(Option<i8>);

impl Model for Biased {
    fn infer(&mut self, input: &[i8], output: &mut [i8]) -> Result<(), String> {
        let bias = self.0.ok_or("told to fail")?;
        for (out, q) in output.iter_mut().zip(input) {
            *out = q.saturating_neg().saturating_sub(20).saturating_add(bias);
        }
        Ok(())
    }

    fn took(&self) -> Option<Duration> {
        Some(Duration::from_micros(700))
    }
}

fn duet(names: [&str; 2], biases: [Option<i8>; 2], is_trial: bool) -> Pipeline {
    let [speaker, beside] = [0, 1].map(|n: usize| loaded(names[n], Biased(biases[n])));
    let beside = Beside { speaker: 0, model: Some(beside), is_trial };
    Pipeline::with_beside(&catalog(""), vec![speaker], vec![beside], PipelineConfig::default()).unwrap()
}

fn only(pipeline: &Pipeline) -> Comparison {
    let comparisons: Vec<_> = pipeline.comparisons().collect();
    let [only] = comparisons[..] else { panic!("{comparisons:?}") };
    only
}

#[test]
fn one_that_agrees_is_unheard_and_counted() {
    let mut both = duet(["old", "new"], [Some(0), Some(0)], false);
    let mut alone =
        Pipeline::new(&catalog(""), vec![loaded("old", Biased(Some(0)))], PipelineConfig::default()).unwrap();
    let low = [3_700, 3_640, 3_701, 3_700];
    let told: Vec<_> = [&mut both, &mut alone]
        .into_iter()
        .map(|pipeline| {
            run(pipeline, 0..10, [3_700; CELLS]);
            (0..90).for_each(|s| pipeline.handle_frame(&frame(10 + s, low)));
            pipeline.finish();
            std::iter::from_fn(|| pipeline.poll_record()).collect::<Vec<Record>>()
        })
        .collect();
    assert_eq!(told[0], told[1], "who is beside changes no record");
    let comparison = only(&both);
    let windows = both.totals().windows;
    assert_eq!(comparison.windows, windows - 2, "three windows are settled by: {comparison:?}");
    assert_eq!(comparison.compared, comparison.windows * CELLS as u64);
    assert_eq!(comparison.disagreements, Disagreements::default());
    assert_eq!(comparison.ran, Duration::from_secs(2 * (windows - 1)));
    let ran = comparison.candidate_ran;
    assert_eq!((ran.inferences, ran.p50_us, ran.max_us), (windows, 700, 700));
}

#[test]
fn each_kind_of_disagreement_is_counted() {
    for (biases, is_trial, expected) in [
        ([Some(0), Some(60)], false, "only_candidate_anomalous"),
        ([Some(60), Some(0)], false, "only_reference_anomalous"),
        ([Some(60), Some(0)], true, "only_candidate_anomalous"),
    ] {
        let mut pipeline = duet(["a", "b"], biases, is_trial);
        run(&mut pipeline, 0..40, [3_700; CELLS]);
        let comparison = only(&pipeline);
        let found = comparison.disagreements;
        let of = [
            ("only_candidate_anomalous", found.only_candidate_anomalous),
            ("only_reference_anomalous", found.only_reference_anomalous),
        ];
        let odd: Vec<_> = of.iter().filter(|(_, count)| *count > 0).map(|(name, _)| *name).collect();
        assert_eq!(odd, [expected]);
        assert_eq!(found.total(), comparison.compared);
        assert!(comparison.widest_gap > 0.5, "{comparison:?}");
    }
}

#[test]
fn one_that_fails_is_counted_and_costs_the_other_nothing() {
    let mut pipeline = duet(["old", "new"], [Some(0), None], false);
    let told = run(&mut pipeline, 0..40, [3_700, 3_640, 3_701, 3_700]);
    assert_eq!(told.len(), 1, "{told:?}");
    let comparison = only(&pipeline);
    assert_eq!(comparison.candidate_ran.no_output, 3, "then it is switched off");
    assert_eq!(comparison.reference_ran.no_output, 0);
    assert_eq!(pipeline.totals().indeterminate, 0);
}

#[test]
fn a_silent_bus_is_no_evidence() {
    let mut pipeline = duet(["old", "new"], [Some(0), Some(60)], false);
    run(&mut pipeline, 0..60, [65_535; CELLS]);
    let silent = only(&pipeline);
    assert_eq!((silent.windows, silent.compared), (0, 0), "{silent:?}");
    run(&mut pipeline, 60..70, [3_700; CELLS]);
    let first = only(&pipeline);
    run(&mut pipeline, 70..100, [3_700; CELLS]);
    let then = only(&pipeline);
    assert!(then.windows > first.windows && then.disagreements.total() * 10 > then.compared * 9, "{then:?}");
}

/// Shadow, trial, and back: each swap is between two frames, and neither model loses its window or its verdicts.
#[test]
fn a_change_of_roles_keeps_windows_and_verdicts() {
    let low = [3_700, 3_640, 3_701, 3_700];
    let alone = || {
        Pipeline::new(&catalog(""), vec![loaded("old", Biased(Some(0)))], PipelineConfig::default()).unwrap()
    };
    let mut now = alone();
    let first = run(&mut now, 0..20, low);
    assert_eq!(first.len(), 1);
    let swap = |mut next: Pipeline, now: &mut Pipeline| {
        now.finish();
        while now.poll_record().is_some() {}
        next.inherit(now);
        *now = next;
    };
    swap(duet(["old", "new"], [Some(0), Some(0)], false), &mut now);
    assert!(run(&mut now, 20..40, low).is_empty(), "the old one holds what it held");
    let shadow = only(&now);
    assert_eq!(
        (shadow.windows, shadow.is_trial),
        (8, false),
        "it began with the old one's window: {shadow:?}"
    );

    swap(duet(["old", "new"], [Some(0), Some(0)], false), &mut now);
    assert_eq!(only(&now), shadow, "a reload in the middle goes on");

    swap(duet(["new", "old"], [Some(0), Some(0)], true), &mut now);
    assert_eq!(only(&now).windows, 0, "a trial counts anew");
    assert!(run(&mut now, 40..60, low).is_empty(), "the new one has formed its verdict beside the old one");
    assert_eq!(now.models().next().unwrap().digest, Digest::of(b"new").short());
    assert!(only(&now).windows >= 9);

    swap(alone(), &mut now);
    assert!(run(&mut now, 60..80, low).is_empty(), "the old one was kept warm");
    let told = run(&mut now, 80..120, [3_700; CELLS]);
    assert_eq!(told.len(), 1, "and tells the end of what it held: {told:?}");
}
