//! Two starts on one folder, with frames that the test makes.

use super::*;
use crate::mailbox::{Mailbox, mailbox};
use crate::source::{Source, SourceError, SourceEvent, SourceReport};
use telltale_core::catalog::Catalog;
use telltale_core::clock::ClockAnchor;
use telltale_core::feature::FeatureSpec;
use telltale_core::frame::{BusId, CanFrame, CanId, FrameKind};
use telltale_core::model::{Manifest, Model};
use telltale_core::pipeline::{LoadedModel, PipelineConfig, View};
use telltale_wire::digest::Digest;
use telltale_wire::record::VerdictCode;
use telltale_wire::time::MonoTime;

const DBC: &str = "VERSION \"\"\nBS_:\nBU_: BMS\nBO_ 256 Cells: 8 BMS\n SG_ C1 : 0|16@1+ (0.001,0) [0|5] \"V\" XXX\n \
    SG_ C2 : 16|16@1+ (0.001,0) [0|5] \"V\" XXX\n SG_ C3 : 32|16@1+ (0.001,0) [0|5] \"V\" XXX\n";
const CATALOG: &str = "schema = 1\n[[bus]]\nname = \"bms\"\ndbc = [\"bms.dbc\"]\n[[signal]]\nvss = \"Cell{n}\"\n\
    n = \"1..3\"\nsignal = \"C{n}\"\nstale_ms = 2000\n";
const SPEC: &str = "schema = 1\nname = \"d\"\nperiod_s = 1\nwindow = 4\nstride = 2\nreset_gap_s = 60\n\
    min_completeness = 0.5\n[members]\nsignal = \"Cell{n}\"\nsubject = \"Cell{n}\"\n[[feature]]\nname = \"mean\"\n\
    op = \"mean\"\nscale = 0.01\nclip = 8\n";
const MANIFEST: &str = "schema = 1\nname = \"m\"\nversion = \"1\"\nonnx = \"a.onnx\"\nfeatures = \"f.toml\"\n\
    input = { scale = 0.0625, zero_point = 0 }\noutput = { channel = 0, scale = 0.1, zero_point = 0 }\n\
    calibration = { slope = 1.0, intercept = 0.0 }\n\
    decision = { enter = 0.5, enter_windows = 2, enter_of = 3, exit = 0.2, exit_windows = 2 }\n";

struct LowIsOdd;

impl Model for LowIsOdd {
    fn infer(&mut self, input: &[i8], output: &mut [i8]) -> Result<(), String> {
        output.iter_mut().zip(input).for_each(|(out, q)| *out = q.saturating_neg().saturating_sub(20));
        Ok(())
    }
}

fn pipeline(digest: &[u8]) -> Pipeline {
    let catalog = Catalog::parse(CATALOG, "c", &mut |_| Ok(DBC.into())).unwrap();
    let features = FeatureSpec::parse(SPEC, "f").unwrap();
    let manifest = format!("features_digest = \"{}\"\n{MANIFEST}", features.digest);
    let manifest = Manifest::parse(&manifest, "m").unwrap();
    let model = LoadedModel { manifest, digest: Digest::of(digest), features, model: Box::new(LowIsOdd) };
    Pipeline::new(&catalog, vec![model], PipelineConfig::default()).unwrap()
}

/// Twenty seconds in which the second cell stands 60 mV below the others.
fn drive(pipeline: &mut Pipeline) {
    for s in 0..20_u64 {
        let payload: Vec<u8> = [3_700_u16, 3_640, 3_700, 0].iter().flat_map(|mv| mv.to_le_bytes()).collect();
        let (at, id) = (MonoTime(s * 1_000_000), CanId::Standard(256));
        pipeline.handle_frame(&CanFrame::new(at, BusId(0), id, FrameKind::Classic, &payload).unwrap());
    }
}

fn second(pipeline: &Pipeline) -> VerdictCode {
    let mut view = View::with_room(pipeline.outline());
    pipeline.look(MonoTime(0), &mut view);
    view.models[0].subjects[1].verdict
}

struct Silence;

impl Source for Silence {
    fn next(&mut self, _: &mut Vec<CanFrame>, _: Duration) -> Result<SourceEvent, SourceError> {
        Ok(SourceEvent::Idle)
    }
    fn now(&self) -> MonoTime {
        MonoTime(0)
    }
    fn anchor(&self) -> Option<ClockAnchor> {
        None
    }
    fn lost(&self) -> u64 {
        0
    }
    fn retarget(&mut self, _: &[(BusId, CanId)]) -> Result<(), SourceError> {
        Ok(())
    }
    fn report(&self) -> SourceReport {
        SourceReport::default()
    }
}

/// Asks a loop to keep what it holds; the loop answers meanwhile.
async fn keep(held: &Held, post: &Post, mailbox: &Mailbox, pipeline: &mut Pipeline, at_once: bool) {
    let serve = async {
        tokio::task::yield_now().await;
        mailbox.serve(&mut Silence, pipeline, &mut |_, _| ());
    };
    tokio::join!(held.keep(post, at_once), serve);
}

#[tokio::test]
async fn a_verdict_goes_on_at_the_next_start_and_the_file_is_written_when_it_is_worth_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(HELD);
    let (post, mailbox) = mailbox();
    let (held, mut first) = (Held::at(path.clone()), pipeline(b"one"));
    held.recall(&mut first);
    keep(&held, &post, &mailbox, &mut first, true).await;
    assert!(!path.exists(), "nothing has happened");
    drive(&mut first);
    assert_eq!(second(&first), VerdictCode::Anomalous);
    keep(&held, &post, &mailbox, &mut first, false).await;
    let written = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    keep(&held, &post, &mailbox, &mut first, true).await;
    assert!(!path.exists(), "it is written once");
    std::fs::write(&path, &written).unwrap();

    let mut next = pipeline(b"one");
    Held::at(path.clone()).recall(&mut next);
    assert_eq!(second(&next), VerdictCode::Anomalous);
    let mut other = pipeline(b"another");
    Held::at(path.clone()).recall(&mut other);
    assert!(matches!(second(&other), VerdictCode::Indeterminate(_)));
    std::fs::write(&path, &written[..written.len() / 2]).unwrap();
    let mut torn = pipeline(b"one");
    Held::at(path).recall(&mut torn);
    assert!(matches!(second(&torn), VerdictCode::Indeterminate(_)));
}
