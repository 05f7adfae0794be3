//! The loop from frames to records, with a model whose scores a test can foretell.

use super::*;
use crate::feature::FeatureSpec;
use crate::frame::{BusId, CanId, FrameKind};
use crate::model::{Manifest, Model};
use crate::signal::NoData;
use std::sync::atomic::{AtomicU8, Ordering};
use telltale_wire::agent_event::AgentChange;
use telltale_wire::digest::Digest;
use telltale_wire::record::{IndeterminateReason, VerdictCode, VerdictEvent};

pub(super) const CELLS: usize = 4;
pub(super) const S: u64 = 1_000_000;

pub(super) const SPEC: &str = r#"
    schema = 1
    name = "deviation"
    period_s = 1
    window = 4
    stride = 2
    reset_gap_s = 60
    min_completeness = 0.5
    [members]
    signal = "Pack.Cell{n}"
    subject = "Cell{n}"
    [[feature]]
    name = "deviation_median"
    op = "quantile"
    q = 0.5
    scale = 0.01
    clip = 8
"#;

/// The lower a cell, the higher its logit, -2 for one like the others; fails while it is told to.
pub(super) struct LowIsOdd {
    pub(super) failing: bool,
}

impl Model for LowIsOdd {
    fn infer(&mut self, input: &[i8], output: &mut [i8]) -> Result<(), String> {
        if self.failing {
            return Err("told to fail".into());
        }
        for (out, q) in output.iter_mut().zip(input) {
            *out = q.saturating_neg().saturating_sub(20);
        }
        Ok(())
    }
}

pub(super) fn catalog(lines: &str) -> Catalog {
    let dbc = "VERSION \"\"\nBS_:\nBU_: BMS\nBO_ 256 Cells: 8 BMS\n \
        SG_ C1 : 0|16@1+ (0.001,0) [0|5] \"V\" XXX\n SG_ C2 : 16|16@1+ (0.001,0) [0|5] \"V\" XXX\n \
        SG_ C3 : 32|16@1+ (0.001,0) [0|5] \"V\" XXX\n SG_ C4 : 48|16@1+ (0.001,0) [0|5] \"V\" XXX\n";
    let text = "schema = 1\n[[bus]]\nname = \"bms\"\ndbc = [\"bms.dbc\"]\n[[signal]]\nvss = \"Pack.Cell{n}\"\n\
        n = \"1..4\"\nsignal = \"C{n}\"\nmin = 1.0\nmax = 5.0\nsentinels = [65535]\nlow = 2.5\nstale_ms = 2000\n";
    let text = &format!("{text}{lines}");
    Catalog::parse(text, "c.toml", &mut |_| Ok(dbc.as_bytes().to_vec())).unwrap()
}

fn pipeline(failing: bool) -> Pipeline {
    pipeline_of("", failing)
}

/// With these lines added to the catalog.
fn pipeline_of(lines: &str, failing: bool) -> Pipeline {
    let models = vec![loaded("m", LowIsOdd { failing })];
    Pipeline::new(&catalog(lines), models, PipelineConfig::default()).unwrap()
}

/// A model with the digest of this name.
pub(super) fn loaded(name: &str, model: impl Model + 'static) -> LoadedModel {
    let features = FeatureSpec::parse(SPEC, "f.toml").unwrap();
    let manifest = crate::model::tests::EXAMPLE
        .replace("features_digest = \"00\"", &format!("features_digest = \"{}\"", features.digest));
    let manifest = Manifest::parse(&manifest, "m.toml").unwrap();
    LoadedModel { manifest, digest: Digest::of(name.as_bytes()), features, model: Box::new(model) }
}

pub(super) fn frame(second: u64, millivolts: [u16; CELLS]) -> CanFrame {
    let mut payload = [0; 8];
    for (bytes, mv) in payload.chunks_exact_mut(2).zip(millivolts) {
        bytes.copy_from_slice(&mv.to_le_bytes());
    }
    let id = CanId::Standard(0x100);
    CanFrame::new(MonoTime(second * S), BusId(0), id, FrameKind::Classic, &payload).unwrap()
}

/// One frame a second with the same voltages.
pub(super) fn run(
    pipeline: &mut Pipeline,
    seconds: std::ops::Range<u64>,
    millivolts: [u16; CELLS],
) -> Vec<VerdictEvent> {
    seconds.for_each(|s| pipeline.handle_frame(&frame(s, millivolts)));
    std::iter::from_fn(|| pipeline.poll_record())
        .filter_map(|record| match record {
            Record::Verdict(event) => Some(event),
            _ => None,
        })
        .collect()
}

#[test]
fn a_low_cell_is_named_with_its_evidence() {
    let mut pipeline = pipeline(false);
    assert!(run(&mut pipeline, 0..10, [3_700; CELLS]).is_empty());
    let events = run(&mut pipeline, 10..20, [3_700, 3_640, 3_701, 3_700]);
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!((event.subject.as_str(), event.verdict), ("Cell2", VerdictCode::Anomalous));
    assert!(event.confidence > 0.5 && event.confidence == event.score);
    assert!(event.since.mono < event.at.mono);
    let first = &event.evidence[0];
    assert_eq!(first.what, "Pack.Cell2");
    assert!(first.value < 3.68 && first.reference > 3.69, "{first:?}");
    assert_eq!(event.evidence[1].what, "deviation_median");
}

#[test]
fn every_frame_and_verdict_is_counted_once() {
    let mut pipeline = pipeline(false);
    run(&mut pipeline, 0..10, [3_700; CELLS]);
    let unknown =
        CanFrame::new(MonoTime(10 * S), BusId(0), CanId::Standard(7), FrameKind::Classic, &[]).unwrap();
    pipeline.handle_frame(&unknown);
    let short =
        CanFrame::new(MonoTime(10 * S), BusId(0), CanId::Standard(0x100), FrameKind::Classic, &[1]).unwrap();
    pipeline.handle_frame(&short);
    pipeline.count_lost(3);
    let n = pipeline.totals();
    assert_eq!((n.frames, n.decoded, n.unknown, n.malformed, n.lost), (12, 10, 1, 1, 3));
    assert_eq!(n.samples, 10 * CELLS as u64);
    assert_eq!((n.windows, n.nominal), (4, 4 * CELLS as u64));
}

#[test]
fn an_absent_cell_keeps_its_reason_and_the_others_their_verdict() {
    let mut pipeline = pipeline(false);
    let events = run(&mut pipeline, 0..30, [3_700, 65_535, 3_700, 3_700]);
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.subject, "Cell2");
    assert_eq!(event.verdict, VerdictCode::Indeterminate(IndeterminateReason::SensorFault));
    let n = pipeline.totals();
    assert_eq!((n.nominal, n.indeterminate), (3 * n.windows, n.windows));
}

#[test]
fn a_frame_whose_checksum_does_not_fit_is_a_sensor_fault_and_never_a_value() {
    let entry = "\n[[message]]\nmessage = \"Cells\"\nchecksum = { algorithm = \"sum\", at = \"56|8@1\" }\n";
    let mut pipeline = pipeline_of(entry, false);
    // The sum of the first seven bytes stands in the eighth: 3,700 is 0x0E74, so that the fourth cell has 0x__74.
    let low = [0x74_u8, 0x0E, 0x74, 0x0E, 0x74, 0x0E, 0x74];
    let sum = low.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let whole = [3_700, 3_700, 3_700, u16::from_le_bytes([0x74, sum])];
    run(&mut pipeline, 0..4, whole);
    let n = *pipeline.totals();
    assert_eq!((n.decoded, n.samples), (4, 16));
    let mut view = View::with_room(pipeline.outline());
    pipeline.look(MonoTime(3 * S), &mut view);
    assert_eq!(view.signals[0].value, Ok(3.7));

    let torn = [2_400, 3_700, 3_700, whole[3]];
    let events = run(&mut pipeline, 4..30, torn);
    pipeline.look(MonoTime(29 * S), &mut view);
    assert!(view.signals.iter().all(|signal| signal.value == Err(NoData::SensorFault)), "{:?}", view.signals);
    assert_eq!(pipeline.totals().decoded, 30, "they came, without values");
    assert!(
        events
            .iter()
            .all(|event| event.verdict == VerdictCode::Indeterminate(IndeterminateReason::SensorFault)),
        "{events:?}"
    );
    assert!(!events.is_empty());
}

#[test]
fn limits_speak_beside_the_model_and_for_it_when_it_fails() {
    let mut pipeline = pipeline(true);
    let events = run(&mut pipeline, 0..12, [3_700, 2_400, 3_700, 3_700]);
    let by_rule: Vec<&VerdictEvent> = events.iter().filter(|e| e.model.name == "limits").collect();
    assert_eq!(by_rule.len(), 1, "{events:?}");
    assert_eq!((by_rule[0].subject.as_str(), by_rule[0].verdict), ("Cell2", VerdictCode::Anomalous));
    assert_eq!((by_rule[0].evidence[0].value, by_rule[0].evidence[0].reference), (2.4, 2.5));
    let n = pipeline.totals();
    assert!(n.anomalous >= 1 && n.nominal >= 3 && n.indeterminate == 0, "{n:?}");
}

#[test]
fn a_summary_accounts_for_its_stretch() {
    let mut pipeline = pipeline(false);
    pipeline.set_anchor(Some(ClockAnchor { mono: MonoTime(0), wall: telltale_wire::time::WallTime(5) }));
    (0..61).for_each(|s| pipeline.handle_frame(&frame(s, [3_700, 3_690, 3_700, 3_700])));
    let summaries: Vec<_> = std::iter::from_fn(|| pipeline.poll_record())
        .filter_map(|r| if let Record::Summary(s) = r { Some(s) } else { None })
        .collect();
    let [summary] = &summaries[..] else { panic!("{summaries:?}") };
    assert_eq!((summary.counts.frames, summary.from.wall), (60, Some(telltale_wire::time::WallTime(5))));
    assert_eq!(summary.models[0].deviation, [0, -10, 0, 0]);
    assert_eq!(summary.models[0].prefix, "Cell");
}

#[test]
fn a_model_refuses_features_that_it_was_not_trained_on() {
    let text = "schema = 1\n[[bus]]\nname = \"b\"\ndbc = [\"b.dbc\"]\n[[signal]]\nvss = \"Pack.Cell{n}\"\nn = \"1..1\"\nsignal = \"C{n}\"\n";
    let dbc = "VERSION \"\"\nBS_:\nBO_ 1 M: 8 X\n SG_ C1 : 0|16@1+ (1,0) [0|5] \"V\" X\n";
    let catalog = Catalog::parse(text, "c", &mut |_| Ok(dbc.as_bytes().to_vec())).unwrap();
    let manifest = Manifest::parse(crate::model::tests::EXAMPLE, "m").unwrap();
    let features = FeatureSpec::parse(SPEC, "f").unwrap();
    let model = LoadedModel {
        manifest,
        digest: Digest::of(b""),
        features,
        model: Box::new(LowIsOdd { failing: false }),
    };
    let refused = Pipeline::new(&catalog, vec![model], PipelineConfig::default()).err().unwrap();
    assert!(refused.to_string().contains("was trained on the features 00"), "{refused}");
}

#[test]
fn a_signal_that_is_member_and_context_at_once_is_refused() {
    let text = "schema = 1\n[[bus]]\nname = \"b\"\ndbc = [\"b.dbc\"]\n[[signal]]\nvss = \"Pack.Cell{n}\"\nn = \"1..1\"\nsignal = \"C{n}\"\n";
    let dbc = "VERSION \"\"\nBS_:\nBO_ 1 M: 8 X\n SG_ C1 : 0|16@1+ (1,0) [0|5] \"V\" X\n";
    let catalog = Catalog::parse(text, "c", &mut |_| Ok(dbc.as_bytes().to_vec())).unwrap();
    let spec = SPEC.replace("[[feature]]", "[context]\nfirst = \"Pack.Cell1\"\n[[feature]]");
    let refused =
        Extractor::new(&FeatureSpec::parse(&spec, "f").unwrap(), &catalog).err().unwrap().to_string();
    assert!(refused.contains("both as a member and as `first`"), "{refused}");
}

/// The voltage of a cell as a view shows it, and how old it is, in seconds.
fn seen(pipeline: &Pipeline, now: u64, cell: usize) -> (Result<f64, NoData>, Option<u64>) {
    let mut view = View::with_room(pipeline.outline());
    pipeline.look(MonoTime(now * S), &mut view);
    let Latest { value, at } = view.signals[cell];
    (value, at.map(|at| view.at.mono.since(at).as_secs()))
}

#[test]
fn whoever_looks_on_sees_the_latest_samples_with_a_model_and_without_one() {
    let unwatched = Pipeline::new(&catalog(""), Vec::new(), PipelineConfig::default()).unwrap();
    for mut pipeline in [pipeline(false), unwatched] {
        assert_eq!(seen(&pipeline, 0, 0), (Err(NoData::NotReceived), None));
        run(&mut pipeline, 1..3, [2_000, 3_000, 65_535, 6_000]);
        assert_eq!(seen(&pipeline, 5, 0), (Ok(2.0), Some(3)));
        assert_eq!(seen(&pipeline, 5, 2), (Err(NoData::SensorFault), None));
        assert_eq!(seen(&pipeline, 5, 3), (Err(NoData::OutOfRange), None));
        run(&mut pipeline, 10..11, [65_535, 3_000, 65_535, 6_000]);
        assert_eq!(seen(&pipeline, 10, 0), (Err(NoData::SensorFault), Some(8)), "its latest value's age");
        // The bus is silent for longer than windows go on.
        pipeline.handle_timeout(MonoTime(200 * S));
        assert_eq!(seen(&pipeline, 200, 1), (Ok(3.0), Some(190)));
    }
}

#[test]
fn whoever_looks_on_sees_counts_and_verdicts() {
    let mut pipeline = pipeline(false);
    let mut view = View::with_room(pipeline.outline());
    pipeline.look(MonoTime(0), &mut view);
    let warming_up = VerdictCode::Indeterminate(IndeterminateReason::WarmingUp);
    assert!(view.models[0].window.is_none() && view.models[0].subjects[0].verdict == warming_up);
    run(&mut pipeline, 0..20, [3_700, 3_700, 3_600, 3_700]);
    pipeline.look(MonoTime(20 * S), &mut view);
    assert_eq!((view.buses[0].frames, view.totals.frames), (20, 20));
    let verdicts: Vec<_> = view.models[0].subjects.iter().map(|subject| subject.verdict).collect();
    let nominal = VerdictCode::Nominal;
    assert_eq!(verdicts, [nominal, nominal, VerdictCode::Anomalous, nominal]);
    assert!(view.models[0].subjects[2].score.unwrap() > 0.5);
    assert_eq!(view.outline.models[0].subjects, ["Cell1", "Cell2", "Cell3", "Cell4"]);
}

/// Does as it is told, while it runs.
#[derive(Clone, Default)]
struct Moody {
    mood: Arc<AtomicU8>,
    runs: Arc<AtomicU8>,
}

const WELL: u8 = 0;
const FAILS: u8 = 1;
const SLOW: u8 = 2;

impl Model for Moody {
    fn infer(&mut self, _: &[i8], output: &mut [i8]) -> Result<(), String> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        output.fill(-20);
        if self.mood.load(Ordering::Relaxed) == FAILS { Err("in a bad mood".into()) } else { Ok(()) }
    }

    fn overran(&self) -> Option<Duration> {
        (self.mood.load(Ordering::Relaxed) == SLOW).then_some(Duration::from_millis(900))
    }
}

/// What became of the models in these seconds, one word an event.
fn changes(pipeline: &mut Pipeline, seconds: std::ops::Range<u64>) -> Vec<String> {
    seconds.for_each(|s| pipeline.handle_frame(&frame(s, [3_700, 3_700, 3_600, 3_700])));
    let word = |record| match record {
        Record::Agent(event) => Some(match event.change {
            AgentChange::ModelIsolated { fault, failures, retry_after_s, why, .. } => {
                format!("isolated {fault:?} {failures} {retry_after_s} {why}")
            }
            AgentChange::ModelResumed { model } => format!("resumed {}", model.name),
            other => format!("{other:?}"),
        }),
        _ => None,
    };
    std::iter::from_fn(|| pipeline.poll_record()).filter_map(word).collect()
}

#[test]
fn a_model_that_keeps_failing_is_switched_off_alone_told_once_and_tried_again() {
    let moody = Moody::default();
    let models = vec![loaded("moody", moody.clone()), loaded("m", LowIsOdd { failing: false })];
    let mut pipeline = Pipeline::new(&catalog(""), models, PipelineConfig::default()).unwrap();
    assert!(changes(&mut pipeline, 0..20).is_empty());

    moody.mood.store(FAILS, Ordering::Relaxed);
    assert_eq!(changes(&mut pipeline, 20..40), ["isolated NoOutput 3 600 in a bad mood"]);
    let runs = moody.runs.load(Ordering::Relaxed);
    assert!(changes(&mut pipeline, 40..600).is_empty());
    assert_eq!(moody.runs.load(Ordering::Relaxed), runs, "one that is off is not run");
    let mut view = View::with_room(pipeline.outline());
    pipeline.look(MonoTime(600 * S), &mut view);
    let failed = Err(IndeterminateReason::ModelFailed);
    assert!(view.models[0].subjects.iter().all(|subject| subject.score == failed));
    assert!(view.models[0].isolation.until.is_some());
    // The other one goes on, and has found the low cell.
    assert_eq!(view.models[1].subjects[2].verdict, VerdictCode::Anomalous);

    assert!(changes(&mut pipeline, 600..700).is_empty(), "a try that fails is told by nobody");
    assert_eq!(moody.runs.load(Ordering::Relaxed), runs + 1);
    moody.mood.store(WELL, Ordering::Relaxed);
    assert_eq!(changes(&mut pipeline, 700..2_000), ["resumed cell-fault"]);
    pipeline.look(MonoTime(2_000 * S), &mut view);
    assert!(view.models[0].subjects.iter().all(|subject| subject.score.is_ok()));
    assert_eq!(view.models[0].isolation.until, None);
}

#[test]
fn slow_runs_count_but_their_scores_stand_until_the_model_is_off() {
    let moody = Moody::default();
    let mut pipeline =
        Pipeline::new(&catalog(""), vec![loaded("moody", moody.clone())], PipelineConfig::default()).unwrap();
    moody.mood.store(SLOW, Ordering::Relaxed);
    let mut view = View::with_room(pipeline.outline());
    assert!(changes(&mut pipeline, 0..6).is_empty());
    pipeline.look(MonoTime(6 * S), &mut view);
    assert!(view.models[0].subjects[0].score.is_ok() && view.models[0].isolation.slow == 1);
    assert_eq!(changes(&mut pipeline, 6..12), ["isolated TooSlow 3 600 it took 900 ms for one window"]);
}

#[test]
fn a_calibration_that_gives_no_number_is_a_failure_of_the_model() {
    let mut odd = loaded("m", LowIsOdd { failing: false });
    if let crate::model::Reading::Anomaly { calibration, .. } = &mut odd.manifest.reading {
        calibration.slope = f32::NAN;
    }
    let mut pipeline = Pipeline::new(&catalog(""), vec![odd], PipelineConfig::default()).unwrap();
    let told = changes(&mut pipeline, 0..20);
    assert!(told.len() == 1 && told[0].starts_with("isolated NotFinite 3 600"), "{told:?}");
    let n = pipeline.totals();
    assert_eq!((n.anomalous, n.indeterminate), (0, 0), "the limits stand in: {n:?}");
}

#[test]
fn outside_of_its_training_regime_a_model_says_nothing_and_takes_nothing_back() {
    let mut bounded = loaded("m", LowIsOdd { failing: false });
    let low = crate::regime::Bound { feature: "deviation_median".into(), low: -0.1, high: 0.1 };
    if let crate::model::Reading::Anomaly { regime, .. } = &mut bounded.manifest.reading {
        regime.push(low);
    }
    let mut pipeline = Pipeline::new(&catalog(""), vec![bounded], PipelineConfig::default()).unwrap();
    let events = run(&mut pipeline, 0..20, [3_700, 3_640, 3_700, 3_700]);
    assert_eq!(events.len(), 1, "{events:?}");
    // 200 mV below the others is more than training has seen.
    assert!(run(&mut pipeline, 20..60, [3_700, 3_500, 3_700, 3_700]).is_empty());
    let mut view = View::with_room(pipeline.outline());
    pipeline.look(MonoTime(60 * S), &mut view);
    let beyond = IndeterminateReason::OutsideTrainingRegime;
    assert_eq!(view.models[0].subjects[1].verdict, VerdictCode::Indeterminate(beyond));
    assert!(run(&mut pipeline, 60..70, [3_700, 3_640, 3_700, 3_700]).is_empty(), "it was held all the while");
    let mut strange = loaded("m", LowIsOdd { failing: false });
    if let crate::model::Reading::Anomaly { regime, .. } = &mut strange.manifest.reading {
        regime.push(crate::regime::Bound { feature: "speed".into(), low: 0.0, high: 1.0 });
    }
    let refused = Pipeline::new(&catalog(""), vec![strange], PipelineConfig::default()).err().unwrap();
    assert!(refused.to_string().contains("bounds the feature `speed`"), "{refused}");
}

#[test]
fn a_successor_goes_on_counting_and_keeps_the_models_that_stay() {
    let mut before = Pipeline::new(
        &catalog(""),
        vec![loaded("stays", Moody::default()), loaded("goes", Moody::default())],
        PipelineConfig::default(),
    )
    .unwrap();
    run(&mut before, 0..20, [3_700; CELLS]);
    let mut after = Pipeline::new(
        &catalog(""),
        vec![loaded("comes", Moody::default()), loaded("stays", Moody::default())],
        PipelineConfig::default(),
    )
    .unwrap();
    before.finish();
    let closed = std::iter::from_fn(|| before.poll_record()).count();
    after.inherit(&mut before);
    let told = "a summary, its statistics behind their names, and the account of the bus";
    assert_eq!((closed, after.totals().frames), (4, 20), "{told}");
    let mut view = View::with_room(after.outline());
    after.look(MonoTime(20 * S), &mut view);
    assert_eq!(view.buses[0].frames, 20);
    assert_eq!((view.models[0].window, view.models[1].window), (None, Some(MonoTime(18 * S))));
    assert_eq!(view.signals[0].value, Ok(3.7));

    run(&mut after, 20..21, [3_700; CELLS]);
    after.finish();
    let Some(Record::Summary(summary)) = after.poll_record() else { panic!("no summary") };
    assert_eq!(summary.counts.frames, 1, "the summary before is not counted again");
}

#[test]
fn an_anomaly_and_a_crossed_limit_each_bring_a_snapshot() {
    for (failing, low, model) in [(false, 3_640, "cell-fault"), (true, 2_400, "limits")] {
        let mut pipeline = pipeline(failing);
        (0..60).for_each(|s| {
            let low = if s < 12 { 3_700 } else { low };
            pipeline.handle_frame(&frame(s, [3_700, low, 3_701, 3_700]));
        });
        let records: Vec<Record> = std::iter::from_fn(|| pipeline.poll_record()).collect();
        let verdict = records.iter().find_map(|r| match r {
            Record::Verdict(event) if event.model.name == model => Some(event),
            _ => None,
        });
        let verdict = verdict.unwrap_or_else(|| panic!("{records:?}"));
        let parts: Vec<_> = records
            .iter()
            .filter_map(|r| if let Record::Snapshot(part) = r { Some(part) } else { None })
            .collect();
        let [part] = parts[..] else { panic!("{records:?}") };
        let cause = SnapshotCause::Verdict { model: model.into(), subject: "Cell2".into() };
        assert_eq!((part.cause.clone(), part.at), (cause, verdict.at));
        let block = telltale_wire::snapshot::decode(&part.block).unwrap();
        let [message] = &block.messages[..] else { panic!("{block:?}") };
        assert_eq!(message.signals[1].name, "Pack.Cell2");
        let end = part.at.mono.as_micros() + 30 * S;
        let expected: Vec<(u64, u64)> =
            (0..end / S).map(|s| (s * S, u64::from(if s < 12 { 3_700 } else { low }))).collect();
        let found: Vec<(u64, u64)> = message.rows().map(|(at, samples)| (at, samples[1].raw)).collect();
        assert_eq!(found, expected);
    }
}
