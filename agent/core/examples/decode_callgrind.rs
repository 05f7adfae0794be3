//! What one frame costs, in instructions: frames with ten signals each (both byte orders, signed and unsigned,
//! scaled, with ranges and sentinels), into the windows of a model that takes all signals.
//!
//! Callgrind counts the whole program. Running it twice and dividing the difference by the difference in frames
//! leaves the cost of a frame alone, without the set-up:
//!
//! ```text
//! cargo build --release -p telltale-core --example decode_callgrind
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/decode_callgrind plain 30000
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/decode_callgrind plain 330000
//! # instructions per frame = (second "Collected" - first "Collected") / 300000
//! ```
//!
//! A frame comes each millisecond. The grid is that of the cell-fault model: a step closes each 30 seconds and a
//! window falls due every ten steps. The 300,000 frames hold ten steps, one window and, in `loop`, 300 steps of the
//! statistics and five summaries, so that these are in the figure at the rate at which a vehicle pays for them; a
//! model's inference is not.
//!
//! Scenarios: `plain` (standard identifiers), `extended` (29-bit identifiers), `multiplexed` (ten of forty signals
//! are selected by a switch), `loop` (`plain` through the whole loop of the agent, with the statistics of every signal
//! and bus), and `decoder` (`plain` without windows, into a sum per signal). Prints the frames, the samples and a sum or
//! the windows, so that nothing can be left out.

#![allow(clippy::print_stdout)] // It is a program that reports.

use std::fmt::Write as _;
use std::process::ExitCode;
use telltale_core::catalog::Catalog;
use telltale_core::dbc::Disposition;
use telltale_core::feature::{Extractor, FeatureSpec};
use telltale_core::frame::{BusId, CanFrame, CanId, FrameKind};
use telltale_core::model::{Manifest, Model};
use telltale_core::pipeline::{LoadedModel, Pipeline, PipelineConfig};
use telltale_core::signal::{NoData, SampleSink, SignalId};
use telltale_wire::digest::Digest;
use telltale_wire::time::MonoTime;

const MESSAGES: u32 = 40;
const FIRST_ID: u32 = 0x100;
const MICROS_PER_FRAME: u64 = 1_000;

/// Ten signals in eight bytes: their bits and scale, and the raw value by which each says "no value".
const SIGNALS: [(&str, &str, i64); 10] = [
    ("0|8@1+", "(0.5,-40)", 255),
    ("8|12@1-", "(0.1,0)", -2048),
    ("20|4@1+", "(1,0)", 15),
    ("31|10@0+", "(0.25,0)", 1023),
    ("37|6@0-", "(1,0)", -32),
    ("40|1@1+", "(1,0)", 1),
    ("41|3@1+", "(1,0)", 7),
    ("47|4@0+", "(2,1)", 15),
    ("48|8@1-", "(0.01,0)", 127),
    ("63|8@0+", "(0.4,0)", 255),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let scenario = arguments.next().unwrap_or_default();
    let frames = arguments.next().and_then(|text| text.parse().ok());
    let (Some(frames), "plain" | "extended" | "multiplexed" | "loop" | "decoder") =
        (frames, scenario.as_str())
    else {
        println!("usage: decode_callgrind plain|extended|multiplexed|loop|decoder FRAMES");
        return ExitCode::FAILURE;
    };
    match run(&scenario, frames) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(scenario: &str, frames: u64) -> Result<(), String> {
    let (dbc, catalog) = describe(scenario);
    let catalog = Catalog::parse(&catalog, "bench.toml", &mut |_| Ok(dbc.clone().into_bytes()))
        .map_err(|error| error.to_string())?;
    let stream = stream(scenario)?;
    match scenario {
        "decoder" => decode(&catalog, stream, frames),
        "loop" => capture(&catalog, stream, frames)?,
        _ => window(&catalog, stream, frames)?,
    }
    Ok(())
}

/// The way into the windows.
fn window(catalog: &Catalog, mut stream: Vec<CanFrame>, frames: u64) -> Result<(), String> {
    let features = FeatureSpec::parse(FEATURES, "features").map_err(|error| error.to_string())?;
    let mut extractor = Extractor::new(&features, catalog).map_err(|error| error.to_string())?;
    let decoder = catalog.decoder();
    let (mut samples, mut windows) = (0, 0u32);
    drive(&mut stream, frames, |frame| {
        extractor.advance(frame.at, |_, _| windows += 1);
        let disposition = extractor.take(frame.at, |sink| decoder.dispatch(frame, sink));
        if let Disposition::Decoded(count) = disposition {
            samples += u64::from(count);
        }
    });
    println!("{frames} frames, {samples} samples, {windows} windows");
    Ok(())
}

/// The whole loop.
fn capture(catalog: &Catalog, mut stream: Vec<CanFrame>, frames: u64) -> Result<(), String> {
    let features = FeatureSpec::parse(FEATURES, "features").map_err(|error| error.to_string())?;
    let manifest = MANIFEST.replace("{digest}", &features.digest.to_hex());
    let manifest = Manifest::parse(&manifest, "manifest").map_err(|error| error.to_string())?;
    let model =
        LoadedModel { manifest, digest: Digest::of(b"bench"), features, model: Box::new(FirstChannel) };
    let mut pipeline =
        Pipeline::new(catalog, vec![model], PipelineConfig::default()).map_err(|error| error.to_string())?;
    let mut records = 0u64;
    drive(&mut stream, frames, |frame| {
        pipeline.handle_frame(frame);
        while pipeline.poll_record().is_some() {
            records += 1;
        }
    });
    let totals = pipeline.totals();
    println!(
        "{} frames, {} samples, {} windows, {records} records",
        totals.frames, totals.samples, totals.windows
    );
    Ok(())
}

/// The decoder alone.
fn decode(catalog: &Catalog, mut stream: Vec<CanFrame>, frames: u64) {
    let decoder = catalog.decoder();
    let mut sums = Sums(vec![Sum::default(); catalog.signals.len()]);
    let mut samples = 0;
    drive(&mut stream, frames, |frame| {
        if let Disposition::Decoded(count) = decoder.dispatch(frame, &mut sums) {
            samples += u64::from(count);
        }
    });
    let total: f64 = sums.0.iter().map(|sum| sum.sum + sum.last).sum();
    let absent: u64 = sums.0.iter().map(|sum| sum.absent).sum();
    println!("{frames} frames, {samples} samples, {absent} of them absent, sum {total}");
}

/// Sends the stream round and round, each frame at its time.
fn drive(stream: &mut [CanFrame], frames: u64, mut take: impl FnMut(&CanFrame)) {
    let mut now = 0;
    while now < frames * MICROS_PER_FRAME {
        let left = frames - now / MICROS_PER_FRAME;
        for frame in stream.iter_mut().take(left as usize) {
            frame.at = MonoTime(now);
            take(frame);
            now += MICROS_PER_FRAME;
        }
    }
}

const FEATURES: &str = r#"
    schema = 1
    name = "bench"
    period_s = 30
    window = 10
    stride = 10
    reset_gap_s = 300
    min_completeness = 0.6
    members = { signal = "Vehicle.S{n}", subject = "S{n}" }
    [[feature]]
    name = "deviation_median"
    op = "quantile"
    q = 0.5
    scale = 1.0
    clip = 8.0
    [[feature]]
    name = "deviation_mad"
    op = "mad"
    scale = 1.0
    clip = 8.0
"#;

const MANIFEST: &str = r#"
    schema = 1
    name = "bench"
    version = "1"
    onnx = "none.onnx"
    features = "features.toml"
    features_digest = "{digest}"
    input = { scale = 0.0625, zero_point = 0 }
    output = { channel = 0, scale = 0.1, zero_point = 0 }
    calibration = { slope = 1.0, intercept = 0.0 }
    decision = { enter = 0.5, enter_windows = 2, enter_of = 3, exit = 0.2, exit_windows = 2 }
"#;

/// Its logits are the first feature: what a model computes is not what is measured.
struct FirstChannel;

impl Model for FirstChannel {
    fn infer(&mut self, input: &[i8], output: &mut [i8]) -> Result<(), String> {
        output.copy_from_slice(&input[..output.len()]);
        Ok(())
    }
}

/// The DBC file and the catalog of a scenario.
fn describe(scenario: &str) -> (String, String) {
    let mut dbc = String::from("VERSION \"\"\n\nBS_:\n\n");
    let mut catalog = String::from("schema = 1\n[[bus]]\nname = \"bench\"\ndbc = [\"bench.dbc\"]\n");
    let mut number = 0;
    for message in 0..MESSAGES {
        let flag = if scenario == "extended" { 1 << 31 } else { 0 };
        // Writing to a String cannot fail.
        let _ = writeln!(dbc, "BO_ {} M{message}: 8 Node", flag | (FIRST_ID + message));
        for (place, (bits, scale, sentinel)) in SIGNALS.iter().enumerate() {
            let (groups, marker) = match (scenario, place) {
                ("multiplexed", 2) => (1, "M".to_owned()),
                ("multiplexed", _) => (4, String::new()),
                _ => (1, String::new()),
            };
            for group in 0..groups {
                let marker = if groups > 1 { format!("m{group}") } else { marker.clone() };
                number += 1;
                let name = format!("S{number}");
                let _ = writeln!(dbc, " SG_ {name} {marker} : {bits} {scale} [-500|500] \"V\" Node");
                let _ = writeln!(
                    catalog,
                    "[[signal]]\nvss = \"Vehicle.{name}\"\nsignal = \"{name}\"\nrange = \"dbc\"\nsentinels = [{sentinel}]"
                );
            }
        }
        dbc.push('\n');
    }
    (dbc, catalog)
}

/// Frames whose bytes come from a fixed linear congruence; the switch stays within its four groups.
fn stream(scenario: &str) -> Result<Vec<CanFrame>, String> {
    let mut state = 1u64;
    let mut frames = Vec::new();
    for number in 0..1000u32 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut payload = (state ^ (state >> 29)).to_le_bytes();
        if scenario == "multiplexed" {
            payload[2] = payload[2] & 0x0F | (number as u8 % 4) << 4;
        }
        let raw = FIRST_ID + number % MESSAGES;
        let id = if scenario == "extended" { CanId::extended(raw) } else { CanId::standard(raw) };
        let frame = id.and_then(|id| CanFrame::new(MonoTime(0), BusId(0), id, FrameKind::Classic, &payload));
        frames.push(frame.ok_or("the stream holds an impossible frame")?);
    }
    Ok(frames)
}

#[derive(Clone, Default)]
struct Sum {
    count: u64,
    sum: f64,
    last: f64,
    absent: u64,
}

struct Sums(Vec<Sum>);

impl SampleSink for Sums {
    #[inline]
    fn value(&mut self, signal: SignalId, value: f64) {
        if let Some(sum) = self.0.get_mut(signal.index()) {
            sum.count += 1;
            sum.sum += value;
            sum.last = value;
        }
    }

    #[inline]
    fn absent(&mut self, signal: SignalId, _why: NoData) {
        if let Some(sum) = self.0.get_mut(signal.index()) {
            sum.absent += 1;
        }
    }
}
