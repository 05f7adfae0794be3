//! What is switched off is silent, the rest is whole, and a swap of pipelines changes neither.

use super::tests::{CELLS, LowIsOdd, catalog, frame, loaded, run};
use super::*;
use std::collections::BTreeSet;
use telltale_wire::record::IndeterminateReason;

const LOW: [u16; CELLS] = [3_700, 3_640, 3_701, 3_700];

fn pipeline(off: SwitchedOff) -> Pipeline {
    let config = PipelineConfig { summary_period: Duration::from_secs(10), off, ..PipelineConfig::default() };
    Pipeline::new(&catalog(""), vec![loaded("low", LowIsOdd { failing: false })], config).unwrap()
}

fn kinds(records: &[Record]) -> BTreeSet<&'static str> {
    let kind = |record: &Record| match record {
        Record::Verdict(_) => "verdict",
        Record::Signals(_) => "signals",
        Record::Summary(_) => "summary",
        _ => "other",
    };
    records.iter().map(kind).collect()
}

/// Whether a cell is found to be anomalous.
fn finds(pipeline: &mut Pipeline, seconds: std::ops::Range<u64>) -> bool {
    run(pipeline, seconds, LOW).iter().any(|event| event.verdict == VerdictCode::Anomalous)
}

fn all(pipeline: &mut Pipeline, seconds: std::ops::Range<u64>) -> Vec<Record> {
    for second in seconds {
        pipeline.handle_frame(&frame(second, LOW));
    }
    std::iter::from_fn(|| pipeline.poll_record()).collect()
}

#[test]
fn statistics_that_are_off_are_not_told_and_come_back_with_their_names() {
    let mut pipeline = pipeline(SwitchedOff { statistics: true, ..SwitchedOff::default() });
    let told = kinds(&all(&mut pipeline, 0..60));
    assert!(told.contains("summary") && told.contains("verdict") && !told.contains("signals"), "{told:?}");
    pipeline.switch(SwitchedOff::default());
    let told = all(&mut pipeline, 60..90);
    let first = told.iter().find(|record| matches!(record, Record::Signals(_)));
    assert!(
        matches!(first, Some(Record::Signals(telltale_wire::signals::SignalRecord::Directory(_)))),
        "{first:?}"
    );
}

#[test]
fn a_model_that_is_off_gives_no_score_also_in_the_next_pipeline() {
    let named = SwitchedOff { models: ["cell-fault".to_owned()].into(), ..SwitchedOff::default() };
    for off in [named, SwitchedOff { all_models: true, ..SwitchedOff::default() }] {
        let mut now = pipeline(SwitchedOff::default());
        now.switch(off.clone());
        assert!(!finds(&mut now, 0..30), "nobody finds the low cell");
        // A reload in between keeps the switch: the new pipeline is told of it.
        let mut next = pipeline(off);
        now.finish();
        next.inherit(&mut now);
        assert!(!finds(&mut next, 30..60));
        let mut view = View::with_room(next.outline());
        next.look(MonoTime(0), &mut view);
        let score = view.models[0].subjects[0].score;
        assert_eq!(score, Err(IndeterminateReason::ModelFailed));
        assert_eq!(view.models[0].isolation.failures, 0, "it did not fail");
        next.switch(SwitchedOff::default());
        assert!(finds(&mut next, 60..90), "it finds it once it is on");
    }
}

#[test]
fn snapshots_that_are_off_are_not_taken() {
    let ask = |pipeline: &mut Pipeline| {
        pipeline.trigger_snapshot(MonoTime(1), String::new(), &SnapshotRequest::default())
    };
    let mut now = pipeline(SwitchedOff { snapshots: true, ..SwitchedOff::default() });
    assert_eq!(ask(&mut now), Triggered::Off);
    let mut next = pipeline(SwitchedOff { snapshots: true, ..SwitchedOff::default() });
    next.inherit(&mut now);
    assert_eq!(ask(&mut next), Triggered::Off);
    next.switch(SwitchedOff::default());
    assert_eq!(ask(&mut next), Triggered::Begun(1));
}

/// A model without another before it is watched by itself: it agrees with itself, and its failures count.
#[test]
fn one_that_is_alone_is_compared_with_itself() {
    let alone = Beside { speaker: 0, model: None, is_trial: true };
    let models = vec![loaded("low", LowIsOdd { failing: false })];
    let mut pipeline =
        Pipeline::with_beside(&catalog(""), models, vec![alone], PipelineConfig::default()).unwrap();
    assert_eq!(run(&mut pipeline, 0..40, LOW).len(), 1, "it speaks");
    let comparison = pipeline.comparisons().next().unwrap();
    assert!(comparison.windows > 10 && comparison.is_trial, "{comparison:?}");
    assert_eq!(comparison.disagreements.total(), 0);
    assert_eq!(comparison.candidate_ran, comparison.reference_ran);
    assert!(comparison.candidate_ran.inferences > 10);
}
