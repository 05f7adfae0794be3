//! The watch over a bus allocates nothing once it is under way, whatever stands on the bus: known frames, odd ones and
//! strangers. Only a verdict that changes does.

#![allow(clippy::unwrap_used, reason = "helpers of a test may fail it")]

use telltale_core::catalog::Catalog;
use telltale_core::frame::{BusId, CanFrame, CanId, FrameKind};
use telltale_core::intrusion::profile::document;
use telltale_core::intrusion::{Learner, Profile, Reading, SecondSpec};
use telltale_core::model::{Manifest, Model};
use telltale_core::pipeline::{LoadedIntrusion, Pipeline, PipelineConfig};
use telltale_core::snapshot::SnapshotConfig;
use telltale_wire::digest::Digest;
use telltale_wire::time::MonoTime;

const DBC: &str = "BO_ 256 A: 8 Node\n SG_ S1 : 8|8@1+ (1,0) [0|0] \"V\" Node\n";
const CATALOG: &str = "schema = 1\nbus = [{ name = \"a\", dbc = [\"a.dbc\"] }]\n\
    signal = [{ vss = \"Vehicle.S1\", signal = \"S1\" }]\n";
const FEATURES: &str = "schema = 1\nkind = \"bus-second\"\nname = \"t\"\n\
    feature = [{ name = \"unknown\", count = \"unknown\", scale = 1.0, clip = 8.0 }]\n";
const MANIFEST: &str = r#"
    schema = 1
    name = "calm"
    version = "1"
    onnx = "none.onnx"
    features = "features.toml"
    features_digest = "{digest}"
    input = { scale = 0.0625, zero_point = 0 }
    output = { channel = 0, scale = 0.1, zero_point = 0 }
    calibration = { slope = 1.0, intercept = -5.0 }
    decision = { enter = 0.9, enter_windows = 1, enter_of = 1, exit = 0.2, exit_windows = 2 }
    rule = { seconds = 1, limits = [1, 9, 6, 9, 9, 1, 1, 3, 3] }
"#;

/// Never alarmed; the rule is.
struct Calm;

impl Model for Calm {
    fn infer(&mut self, _input: &[i8], output: &mut [i8]) -> Result<(), String> {
        output.fill(0);
        Ok(())
    }
}

/// Two identifiers of both formats every 10 ms; with `odd`, strangers, jumps and frames too many among them.
fn frames(from: u64, seconds: u64, odd: bool) -> impl Iterator<Item = CanFrame> {
    let frame = |at: u64, id: CanId, payload: [u8; 8]| {
        CanFrame::new(MonoTime(at), BusId(0), id, FrameKind::Classic, &payload).unwrap()
    };
    (from * 100..(from + seconds) * 100).flat_map(move |n| {
        let (at, count) = (n * 10_000, (n & 15) as u8);
        let wild = if odd && n % 7 == 0 { 0xFF } else { 0 };
        let known = frame(at, CanId::standard(256).unwrap(), [count, wild, wild, 3, 0, 0, 0, count ^ 3]);
        let extended = frame(at + 300, CanId::extended(0x1000_0000).unwrap(), [9, 0, count, 0, 0, 0, 0, 0]);
        let stranger = CanId::standard(0x700 + (n % 64) as u32).unwrap();
        let more =
            [frame(at + 400, stranger, [1; 8]), frame(at + 500, CanId::standard(256).unwrap(), [0; 8])];
        [known, extended].into_iter().chain(more.into_iter().filter(move |_| odd && n % 5 == 0))
    })
}

#[test]
fn the_watch_allocates_nothing() {
    let mut learner = Learner::new(&["a".into()]);
    for reading in [Reading::First, Reading::Second] {
        learner.begin(reading);
        frames(0, 30, false).for_each(|frame| learner.take(&frame));
    }
    let profile = Profile::parse(&document("made", &learner.profiles()), "p").unwrap();
    let features = SecondSpec::parse(FEATURES, "f").unwrap();
    let manifest = Manifest::parse(&MANIFEST.replace("{digest}", &features.digest.to_hex()), "m").unwrap();
    let catalog = Catalog::parse(CATALOG, "c", &mut |_| Ok(DBC.into())).unwrap();
    let day = std::time::Duration::from_secs(86_400);
    // The verdict would ask for a snapshot.
    let snapshot = SnapshotConfig { memory: 0, ..SnapshotConfig::default() };
    let config =
        PipelineConfig { summary_period: day, bus_period: day, snapshot, ..PipelineConfig::default() };
    let mut pipeline = Pipeline::new(&catalog, Vec::new(), config).unwrap();
    let digest = Digest::of(b"calm");
    let loaded = LoadedIntrusion { manifest, digest, features, model: Box::new(Calm), profile };
    pipeline.watch_buses(loaded, &catalog).unwrap();

    frames(100, 30, true).for_each(|frame| pipeline.handle_frame(&frame));
    while pipeline.poll_record().is_some() {}
    let run = allocation_counter::measure(|| {
        frames(130, 60, true).for_each(|frame| pipeline.handle_frame(&frame));
    });
    assert!(pipeline.totals().frames > 20_000);
    assert!(pipeline.poll_record().is_none(), "the verdict of the first seconds stands");
    assert_eq!(run.count_total, 0, "{run:?}");
}
