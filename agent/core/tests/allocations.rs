//! Capture allocates nothing once it is under way: frames through the decoder into windows, steps that close and
//! windows that are judged. Only what is reported takes memory: summaries, changed
//! verdicts and snapshots.

#![allow(clippy::unwrap_used, reason = "helpers of a test may fail it")]

use telltale_core::catalog::Catalog;
use telltale_core::feature::FeatureSpec;
use telltale_core::frame::{BusId, CanFrame, CanId, FrameKind};
use telltale_core::model::{Manifest, Model};
use telltale_core::pipeline::{LoadedModel, Pipeline, PipelineConfig, View};
use telltale_core::snapshot::{MEMORY_RANGE, SLOT, SnapshotConfig};
use telltale_wire::digest::Digest;
use telltale_wire::record::Record;
use telltale_wire::signals::SignalRecord;
use telltale_wire::time::MonoTime;

const DBC: &str = "VERSION \"\"\n\nBS_:\n\nBO_ 256 A: 8 Node\n SG_ Mode M : 0|8@1+ (1,0) [0|0] \"\" Node\n \
    SG_ S1 : 8|8@1+ (1,0) [0|0] \"V\" Node\n SG_ S2 : 16|8@1+ (1,0) [0|200] \"V\" Node\n \
    SG_ S3 m0 : 24|8@1+ (1,0) [0|0] \"V\" Node\n";

const CATALOG: &str = r#"
    schema = 1
    bus = [{ name = "a", dbc = ["a.dbc"] }]
    signal = [
        { vss = "Vehicle.S1", signal = "S1" },
        { vss = "Vehicle.S2", signal = "S2", range = "dbc" },
        { vss = "Vehicle.S3", signal = "S3" },
    ]
"#;

const FEATURES: &str = r#"
    schema = 1
    name = "three"
    period_s = 1
    window = 4
    stride = 2
    reset_gap_s = 60
    min_completeness = 0.5
    members = { signal = "Vehicle.S{n}", subject = "S{n}" }
    feature = [
        { name = "median", op = "quantile", q = 0.5, scale = 1.0, clip = 8.0 },
        { name = "mad", op = "mad", scale = 1.0, clip = 8.0 },
    ]
"#;

const MANIFEST: &str = r#"
    schema = 1
    name = "zero"
    version = "1"
    onnx = "none.onnx"
    features = "features.toml"
    features_digest = "{digest}"
    input = { scale = 0.0625, zero_point = 0 }
    output = { channel = 0, scale = 0.1, zero_point = 0 }
    calibration = { slope = 1.0, intercept = -5.0 }
    decision = { enter = 0.9, enter_windows = 2, enter_of = 3, exit = 0.2, exit_windows = 2 }
"#;

struct Zero;

impl Model for Zero {
    fn infer(&mut self, _input: &[i8], output: &mut [i8]) -> Result<(), String> {
        output.fill(0);
        Ok(())
    }
}

fn loaded() -> LoadedModel {
    let features = FeatureSpec::parse(FEATURES, "features").unwrap();
    let manifest = Manifest::parse(&MANIFEST.replace("{digest}", &features.digest.to_hex()), "m").unwrap();
    LoadedModel { manifest, digest: Digest::of(b"zero"), features, model: Box::new(Zero) }
}

/// Ten frames a second from `from` seconds on, in two groups, one value in four out of range.
fn drive(pipeline: &mut Pipeline, from: u64, seconds: u64) {
    for n in from * 10..(from + seconds) * 10 {
        let out_of_range = if n % 4 == 0 { 255 } else { 50 };
        let payload = [(n % 2) as u8, 40 + (n % 7) as u8, out_of_range, 45, 0, 0, 0, 0];
        let id = CanId::standard(256).unwrap();
        let frame = CanFrame::new(MonoTime(n * 100_000), BusId(0), id, FrameKind::Classic, &payload).unwrap();
        pipeline.handle_frame(&frame);
    }
}

/// With one model, and with two, which take the frames another way. Whoever looks on costs no allocation either.
#[test]
fn the_way_from_frame_to_verdict_allocates_nothing() {
    for models in [1, 2] {
        let catalog = Catalog::parse(CATALOG, "c", &mut |_| Ok(DBC.into())).unwrap();
        // No summary falls due, and no statistics of a bus.
        let day = std::time::Duration::from_secs(86_400);
        // The snapshots' ring is filled and overwrites itself.
        let snapshot = SnapshotConfig { memory: *MEMORY_RANGE.start(), ..SnapshotConfig::default() };
        let config =
            PipelineConfig { summary_period: day, bus_period: day, snapshot, ..PipelineConfig::default() };
        let mut pipeline = Pipeline::new(&catalog, (0..models).map(|_| loaded()).collect(), config).unwrap();
        drive(&mut pipeline, 0, 60);
        while pipeline.poll_record().is_some() {}
        let windows = pipeline.totals().windows;
        let run = allocation_counter::measure(|| drive(&mut pipeline, 60, 600));
        assert_eq!(pipeline.totals().windows - windows, 300 * models, "windows were judged");
        assert!(pipeline.totals().frames as usize > 2 * MEMORY_RANGE.start() / SLOT, "the ring was filled");
        assert!(pipeline.poll_record().is_none(), "a calm signal changes no verdict");
        assert_eq!(run.count_total, 0, "{models} models: {run:?}");

        // The steps of the statistics were among what was measured: more values than a sketch has room for.
        pipeline.finish();
        let statistics = std::iter::from_fn(|| pipeline.poll_record()).find_map(|record| match record {
            Record::Signals(SignalRecord::Statistics(statistics)) => Some(statistics),
            _ => None,
        });
        let series = statistics.unwrap().series;
        assert!(series.steps >= 660, "{} steps", series.steps);
        let values = series.series[0].values.as_ref().unwrap();
        assert_eq!(values.sketch.count(), u64::from(series.steps));

        let mut view = View::with_room(pipeline.outline());
        let look = allocation_counter::measure(|| pipeline.look(MonoTime(660_000_000), &mut view));
        assert_eq!(look.count_total, 0, "being looked at: {look:?}");
        assert_eq!((&view.totals, view.buses[0].frames), (pipeline.totals(), 6_600));
        assert_eq!(view.models[0].subjects.len(), 3);
        assert!(view.models.iter().all(|model| model.window.is_some()));
    }
}
