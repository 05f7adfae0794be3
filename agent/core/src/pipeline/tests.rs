//! The loop from frames to records, with a model whose scores a test can foretell.

use super::*;
use crate::feature::FeatureSpec;
use crate::frame::{BusId, CanId, FrameKind};
use crate::model::{Manifest, Model};
use crate::signal::NoData;
use telltale_wire::digest::Digest;
use telltale_wire::record::{IndeterminateReason, VerdictCode, VerdictEvent};

const CELLS: usize = 4;
const S: u64 = 1_000_000;

const SPEC: &str = r#"
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
struct LowIsOdd {
    failing: bool,
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

fn catalog() -> Catalog {
    let dbc = "VERSION \"\"\nBS_:\nBU_: BMS\nBO_ 256 Cells: 8 BMS\n \
        SG_ C1 : 0|16@1+ (0.001,0) [0|5] \"V\" XXX\n SG_ C2 : 16|16@1+ (0.001,0) [0|5] \"V\" XXX\n \
        SG_ C3 : 32|16@1+ (0.001,0) [0|5] \"V\" XXX\n SG_ C4 : 48|16@1+ (0.001,0) [0|5] \"V\" XXX\n";
    let text = "schema = 1\n[[bus]]\nname = \"bms\"\ndbc = [\"bms.dbc\"]\n[[signal]]\nvss = \"Pack.Cell{n}\"\n\
        n = \"1..4\"\nsignal = \"C{n}\"\nmin = 1.0\nmax = 5.0\nsentinels = [65535]\nlow = 2.5\nstale_ms = 2000\n";
    Catalog::parse(text, "c.toml", &mut |_| Ok(dbc.as_bytes().to_vec())).unwrap()
}

fn pipeline(failing: bool) -> Pipeline {
    let features = FeatureSpec::parse(SPEC, "f.toml").unwrap();
    let manifest = crate::model::tests::EXAMPLE
        .replace("features_digest = \"00\"", &format!("features_digest = \"{}\"", features.digest));
    let manifest = Manifest::parse(&manifest, "m.toml").unwrap();
    let model =
        LoadedModel { manifest, digest: Digest::of(b"m"), features, model: Box::new(LowIsOdd { failing }) };
    Pipeline::new(&catalog(), vec![model], PipelineConfig::default()).unwrap()
}

fn frame(second: u64, millivolts: [u16; CELLS]) -> CanFrame {
    let mut payload = [0; 8];
    for (bytes, mv) in payload.chunks_exact_mut(2).zip(millivolts) {
        bytes.copy_from_slice(&mv.to_le_bytes());
    }
    let id = CanId::Standard(0x100);
    CanFrame::new(MonoTime(second * S), BusId(0), id, FrameKind::Classic, &payload).unwrap()
}

/// One frame a second with the same voltages.
fn run(
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
    let unwatched = Pipeline::new(&catalog(), Vec::new(), PipelineConfig::default()).unwrap();
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
    assert_eq!((view.bus_frames[0], view.totals.frames), (20, 20));
    let verdicts: Vec<_> = view.models[0].subjects.iter().map(|subject| subject.verdict).collect();
    let nominal = VerdictCode::Nominal;
    assert_eq!(verdicts, [nominal, nominal, VerdictCode::Anomalous, nominal]);
    assert!(view.models[0].subjects[2].score.unwrap() > 0.5);
    assert_eq!(view.outline.models[0].subjects, ["Cell1", "Cell2", "Cell3", "Cell4"]);
}
