//! What one frame costs the intrusion detector, in instructions: forty identifiers with periods, moving payloads, four
//! parities each and all their successors known, so that every comparison is made and nothing is odd.
//!
//! Callgrind counts the whole program; the difference of two runs over the difference of their frames is the cost of a
//! frame (`cargo xtask bench intrusion`). A frame comes each millisecond and a second closes every thousand frames, so that
//! closing it is in the figure.
//!
//! Scenarios: `standard` and `extended` identifiers. Prints the seconds and what was odd in them: nothing.

#![allow(clippy::print_stdout)] // It is a program that reports.

use std::process::ExitCode;
use telltale_core::frame::{BusId, CanFrame, CanId, FrameKind};
use telltale_core::intrusion::profile::{Check, IdProfile, Timing, document};
use telltale_core::intrusion::{BusProfile, Detector, Profile};
use telltale_wire::time::MonoTime;

const IDS: u32 = 40;
const FIRST_ID: u32 = 0x100;
const MICROS_PER_FRAME: u64 = 1_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let scenario = arguments.next().unwrap_or_default();
    let frames = arguments.next().and_then(|text| text.parse().ok());
    let (Some(frames), "standard" | "extended") = (frames, scenario.as_str()) else {
        println!("usage: intrusion_callgrind standard|extended FRAMES");
        return ExitCode::FAILURE;
    };
    match run(scenario == "extended", frames) {
        Ok(told) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn id(number: u32, extended: bool) -> Result<CanId, String> {
    let id = if extended { CanId::extended(FIRST_ID + number) } else { CanId::standard(FIRST_ID + number) };
    id.ok_or_else(|| "an impossible identifier".into())
}

fn run(extended: bool, frames: u64) -> Result<String, String> {
    let profile =
        Profile::parse(&document("bench", &[bus(extended)?]), "bench").map_err(|e| e.to_string())?;
    let mut detector = Detector::new(&profile, &["bench".into()]).map_err(|e| e.to_string())?;
    let mut stream = Vec::new();
    let mut state = 1u64;
    for number in 0..1_000u32 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut payload = (state ^ (state >> 29)).to_be_bytes();
        payload[7] = payload[..7].iter().fold(0, |sum, byte| sum ^ byte);
        let id = id(number % IDS, extended)?;
        let frame = CanFrame::new(MonoTime(0), BusId(0), id, FrameKind::Classic, &payload);
        stream.push(frame.ok_or("an impossible frame")?);
    }
    let (mut seconds, mut odd) = (0u64, 0u64);
    for number in 0..frames {
        let frame = &mut stream[number as usize % 1_000];
        frame.at = MonoTime(number * MICROS_PER_FRAME);
        detector.advance(frame.at, |_, all| {
            for (_, second) in all.heard().filter(|(_, second)| second.is_judged()) {
                seconds += 1;
                odd += second.counts.iter().take(8).map(|count| u64::from(*count)).sum::<u64>();
            }
        });
        detector.saw(frame);
    }
    Ok(format!("{frames} frames, {seconds} seconds, {odd} odd"))
}

fn bus(extended: bool) -> Result<BusProfile, String> {
    let period = IDS * MICROS_PER_FRAME as u32;
    let known = |number: u32| {
        Ok(IdProfile {
            id: id(number, extended)?,
            frames: 1_000,
            len: [8, 8],
            per_s: [25, 25],
            timing: Some(Timing {
                period_us: period,
                low_us: period - period / 4,
                high_us: period + period / 4,
                close_us: period + period / 2,
                long_us: period + period / 2,
            }),
            constant: 0,
            step: [255; 8],
            turns: [false; 8],
            repeats: 1,
            // The checksum's lowest four bits.
            checks: (0..4)
                .map(|bit| Check { now: 0x0101_0101_0101_0101 << bit, before: 0, odd: false })
                .collect(),
            after: vec![true; IDS as usize],
        })
    };
    let ids = (0..IDS).map(known).collect::<Result<Vec<_>, String>>()?;
    Ok(BusProfile {
        name: "bench".into(),
        seconds: 90,
        frames_per_s: [1_000, 1_000],
        gap_us: 2_000,
        sleeps_alone: false,
        ids,
    })
}
