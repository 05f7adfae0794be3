//! The watch over the buses in the loop: when it speaks, what it says, and what becomes of it when its model fails or the
//! pipeline is replaced.

use super::tests::{S, catalog};
use super::*;
use crate::frame::{BusId, CanId, FrameKind};
use crate::intrusion::tests::traffic;
use crate::intrusion::{Learner, Profile, Reading, SecondSpec, profile::document};
use crate::model::{Manifest, Model};
use telltale_wire::record::{IndeterminateReason, VerdictEvent};

const SPEC: &str = "schema = 1\nkind = \"bus-second\"\nname = \"t\"\n\
    [[feature]]\nname = \"unknown\"\ncount = \"unknown\"\nscale = 1.0\nclip = 8.0\n";

/// The logit is the count of unknown frames, less two.
struct Strangers {
    failing: bool,
}

impl Model for Strangers {
    fn infer(&mut self, input: &[i8], output: &mut [i8]) -> Result<(), String> {
        output.iter_mut().zip(input).for_each(|(out, q)| *out = q.saturating_sub(20));
        if self.failing { Err("told to fail".into()) } else { Ok(()) }
    }
}

fn loaded(bus: &str, failing: bool) -> LoadedIntrusion {
    let mut learner = Learner::new(&[bus.to_owned()]);
    for reading in [Reading::First, Reading::Second] {
        learner.begin(reading);
        traffic(0, 60).iter().for_each(|frame| learner.take(frame));
    }
    let profile = Profile::parse(&document("made", &learner.profiles()), "p").unwrap();
    let features = SecondSpec::parse(SPEC, "s").unwrap();
    let manifest = crate::model::tests::EXAMPLE
        .replace("features_digest = \"00\"", &format!("features_digest = \"{}\"", features.digest))
        .replace("enter_windows = 2, enter_of = 3", "enter_windows = 1, enter_of = 1");
    let manifest = format!("{manifest}\nrule = {{ seconds = 1, limits = [1, 9, 6, 9, 9, 1, 1, 3, 3] }}");
    let manifest = Manifest::parse(&manifest, "m").unwrap();
    let digest = Digest::of(b"watch");
    LoadedIntrusion { manifest, digest, features, model: Box::new(Strangers { failing }), profile }
}

fn watching(failing: bool) -> Pipeline {
    let catalog = catalog("");
    let mut pipeline = Pipeline::new(&catalog, Vec::new(), PipelineConfig::default()).unwrap();
    pipeline.watch_buses(loaded("bms", failing), &catalog).unwrap();
    pipeline
}

/// Clean traffic with a stranger's frames in some seconds.
fn visited(seconds: &[u64]) -> Vec<CanFrame> {
    let stranger = |second: &u64| {
        let at = MonoTime(second * S + 500_100);
        CanFrame::new(at, BusId(0), CanId::Standard(0x666), FrameKind::Classic, &[1; 8]).unwrap()
    };
    let each = seconds.iter().flat_map(|second| std::iter::repeat_n(stranger(second), 6));
    let mut frames: Vec<CanFrame> = traffic(100, 30).into_iter().chain(each).collect();
    frames.sort_by_key(|frame| frame.at);
    frames
}

fn events(pipeline: &mut Pipeline) -> Vec<VerdictEvent> {
    let verdict = |record| if let Record::Verdict(event) = record { Some(event) } else { None };
    std::iter::from_fn(|| pipeline.poll_record())
        .filter_map(verdict)
        .filter(|e| e.model.name != "limits")
        .collect()
}

#[test]
fn an_attack_is_one_verdict_with_its_evidence_and_its_end_another() {
    let mut pipeline = watching(false);
    visited(&[110, 111]).iter().for_each(|frame| pipeline.handle_frame(frame));
    let said = events(&mut pipeline);
    let [begin, end] = &said[..] else { panic!("{said:#?}") };
    assert_eq!((begin.subject.as_str(), begin.verdict), ("bms", VerdictCode::Anomalous));
    assert_eq!(begin.at.mono, MonoTime(111 * S), "at the end of the second");
    assert!(begin.evidence[0].what.contains("unknown identifier"), "{begin:#?}");
    assert!(begin.evidence[1].what.starts_with("666: ") && begin.evidence[1].value == 6.0, "{begin:#?}");
    assert_eq!(end.verdict, VerdictCode::Nominal);
    let mut view = View::with_room(pipeline.outline());
    pipeline.look(MonoTime(130 * S), &mut view);
    assert_eq!(view.outline.models[0].subjects, ["bms"]);
    assert_eq!(view.models[0].subjects[0].verdict, VerdictCode::Nominal);
    assert_eq!(pipeline.models().count(), 1);
}

#[test]
fn timers_change_nothing() {
    let frames = visited(&[110, 111, 120]);
    let mut plain = watching(false);
    frames.iter().for_each(|frame| plain.handle_frame(frame));
    let mut timed = watching(false);
    for frame in &frames {
        while let Some(due) = timed.poll_timeout().filter(|due| *due <= frame.at) {
            timed.handle_timeout(due);
        }
        timed.handle_frame(frame);
    }
    let (plain, timed) = (events(&mut plain), events(&mut timed));
    assert!(plain.len() >= 2);
    assert_eq!(plain, timed);
}

#[test]
fn a_model_that_fails_leaves_the_word_to_the_rule() {
    let mut pipeline = watching(true);
    visited(&[110]).iter().for_each(|frame| pipeline.handle_frame(frame));
    let said = events(&mut pipeline);
    assert_eq!(said[0].verdict, VerdictCode::Anomalous, "{said:#?}");
    assert!(
        said.iter()
            .all(|e| !matches!(e.verdict, VerdictCode::Indeterminate(IndeterminateReason::ModelFailed)))
    );
}

/// One stranger is too little for this model.
#[test]
fn the_rule_speaks_where_the_network_does_not() {
    let mut pipeline = watching(false);
    let one = visited(&[110]);
    let mut seen = false;
    let once = one.iter().filter(|f| f.id != CanId::Standard(0x666) || !std::mem::replace(&mut seen, true));
    once.for_each(|frame| pipeline.handle_frame(frame));
    let said = events(&mut pipeline);
    assert!(said.first().is_some_and(|e| e.verdict == VerdictCode::Anomalous && e.score == 1.0), "{said:#?}");
}

#[test]
fn a_profile_of_a_bus_that_the_catalog_lacks_is_refused() {
    let catalog = catalog("");
    let mut pipeline = Pipeline::new(&catalog, Vec::new(), PipelineConfig::default()).unwrap();
    let error = pipeline.watch_buses(loaded("body", false), &catalog).unwrap_err();
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(source.contains("body"), "{error}: {source}");
    let mut other = loaded("bms", false);
    other.manifest.rule = None;
    assert!(matches!(pipeline.watch_buses(other, &catalog), Err(LoadError::NoRule { .. })));
    let mut other = loaded("bms", false);
    other.manifest.features_digest = "00".into();
    assert!(matches!(pipeline.watch_buses(other, &catalog), Err(LoadError::OtherFeatures { .. })));
}

/// A reload with the same model and profile goes on in the middle of an attack.
#[test]
fn a_watch_that_stays_keeps_what_it_holds() {
    let frames = visited(&[110, 111, 112, 113]);
    let (first, second) = frames.split_at(frames.partition_point(|frame| frame.at < MonoTime(112 * S)));
    let mut before = watching(false);
    first.iter().for_each(|frame| before.handle_frame(frame));
    assert_eq!(events(&mut before).len(), 1);
    let mut after = watching(false);
    after.inherit(&mut before);
    second.iter().for_each(|frame| after.handle_frame(frame));
    let said = events(&mut after);
    assert!(matches!(&said[..], [end] if end.verdict == VerdictCode::Nominal), "{said:#?}");
}

/// A unit is set up anew: a bit that its checksum covers, and the checksum with it, is another one from then on. After an hour it is the profile that is
/// wrong, and the bus is nominal again.
#[test]
fn a_profile_that_no_longer_fits_is_told_once() {
    let mut pipeline = watching(false);
    let mut said = Vec::new();
    for mut frame in traffic(100, 3_700) {
        if frame.at >= MonoTime(110 * S) && frame.id == CanId::Standard(0x100) {
            let mut payload = *frame.buffer();
            (payload[6], payload[7]) = (payload[6] | 1, payload[7] ^ 1);
            frame = CanFrame::new(frame.at, frame.bus, frame.id, frame.kind, &payload[..8]).unwrap();
        }
        pipeline.handle_frame(&frame);
        said.extend(events(&mut pipeline));
    }
    let misfit = VerdictCode::Indeterminate(IndeterminateReason::OutsideTrainingRegime);
    let verdicts: Vec<VerdictCode> = said.iter().map(|event| event.verdict).collect();
    assert_eq!(verdicts, [VerdictCode::Anomalous, misfit, VerdictCode::Nominal], "{said:#?}");
    assert!(said[1].evidence[0].what.starts_with("100: the profile no longer fits"), "{:#?}", said[1]);
    let after = said[1].at.mono.as_micros() / S;
    assert!((3_709..=3_711).contains(&after), "an hour, not {after} s");
}
