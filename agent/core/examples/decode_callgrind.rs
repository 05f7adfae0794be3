//! What one frame costs, in instructions: a stream of frames with ten signals each (both byte orders, signed and
//! unsigned, scaled, with ranges and sentinels) through the compiled decoder into a sum per signal.
//!
//! Callgrind counts the whole program. Running it twice and dividing the difference by the difference in frames
//! leaves the cost of a frame alone, without the set-up:
//!
//! ```text
//! cargo build --release -p telltale-core --example decode_callgrind
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/decode_callgrind plain 10000
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/decode_callgrind plain 110000
//! # instructions per frame = (second "Collected" - first "Collected") / 100000
//! ```
//!
//! Scenarios: `plain` (standard identifiers), `extended` (29-bit identifiers), `multiplexed` (ten of forty signals
//! are selected by a switch). Prints the frames, the samples and a sum, so that nothing can be left out.

#![allow(clippy::print_stdout)] // It is a program that reports.

use std::fmt::Write as _;
use std::process::ExitCode;
use telltale_core::catalog::Catalog;
use telltale_core::dbc::Disposition;
use telltale_core::frame::{BusId, CanFrame, CanId, FrameKind};
use telltale_core::signal::{NoData, SampleSink, SignalId};
use telltale_wire::time::MonoTime;

const MESSAGES: u32 = 40;
const FIRST_ID: u32 = 0x100;

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
    let (Some(frames), "plain" | "extended" | "multiplexed") = (frames, scenario.as_str()) else {
        println!("usage: decode_callgrind plain|extended|multiplexed FRAMES");
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
    let decoder = catalog.decoder();
    let mut sums = Sums(vec![Sum::default(); catalog.signals.len()]);
    let stream = stream(scenario)?;
    let mut samples = 0;
    for frame in stream.iter().cycle().zip(0..frames).map(|(frame, _)| frame) {
        if let Disposition::Decoded(count) = decoder.dispatch(frame, &mut sums) {
            samples += u64::from(count);
        }
    }
    let total: f64 = sums.0.iter().map(|sum| sum.sum + sum.last).sum();
    let absent: u64 = sums.0.iter().map(|sum| sum.absent).sum();
    println!("{frames} frames, {samples} samples, {absent} of them absent, sum {total}");
    Ok(())
}

/// The DBC file and the catalog of a scenario.
fn describe(scenario: &str) -> (String, String) {
    let mut dbc = String::from("VERSION \"\"\n\nBS_:\n\n");
    let mut catalog = String::from("schema = 1\n[[bus]]\nname = \"bench\"\ndbc = [\"bench.dbc\"]\n");
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
                let name = format!("S{message}_{place}_{group}");
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
        let at = MonoTime(u64::from(number));
        let frame = id.and_then(|id| CanFrame::new(at, BusId(0), id, FrameKind::Classic, &payload));
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
