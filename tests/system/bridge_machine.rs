//! The firmware on an emulated Cortex-M4, its line wired to the real agent: a drive goes in as CAN frames at one end,
//! verdicts and counted losses come out at the other, whatever happens between.
//!
//! QEMU's first serial port is the line to the agent, its second the CAN controller. A proxy in between throttles and
//! spoils the line. At the end the test opens the line itself and asks the firmware what it counted.

use crate::bridge_rig::{Agent, Machine, Spoiler, Timed, frames_of, model_in_a_hurry};
use crate::rig;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use telltale_wire::record::{Record, VerdictCode};

/// The drive of the tests: twenty minutes with a cell that falls away quickly.
const DRIVE: [&str; 4] = ["--hours", "0.34", "--fault", "cell-drift:onset=0,mv_per_hour=3000"];

/// How many times faster than its drive the bus is played: the model's grid of 30 s becomes one of half a second.
const HASTE: f64 = 60.0;

/// The machine with its firmware, the model's folder, and the frames of the drive; none if there is no machine.
fn bench(folder: &Path) -> Option<(Machine, Vec<Timed>)> {
    if let Some(missing) = Machine::missing() {
        println!("skipped: {missing}");
        return None;
    }
    let log = folder.join("drive.log");
    let args: Vec<&str> =
        ["simulate", "-q"].into_iter().chain(DRIVE).chain(["-o", rig::text(&log)]).collect();
    rig::telltale_ok(&args);
    model_in_a_hurry(folder, HASTE);
    Some((Machine::start(folder), frames_of(&log)))
}

/// Frames of a bus, as the agent's status has them.
fn frames_on(status: &Value, bus: &str) -> u64 {
    let all = status["buses"].as_array().unwrap();
    all.iter().find(|entry| entry["name"] == bus).unwrap()["frames"].as_u64().unwrap()
}

#[test]
fn a_drive_through_the_firmware_ends_in_a_verdict_and_no_frame_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut machine, frames)) = bench(folder.path()) else { return };
    let agent = Agent::start(folder.path(), &machine.line());
    agent.wait_for("acceptance filters are in force");
    machine.play(&frames, HASTE);
    let status = agent.settle();
    assert_eq!(frames_on(&status, "bms"), frames.len() as u64, "{}", status["capture"]);
    assert_eq!(status["capture"]["lost"], 0);
    assert!(frames_on(&status, "board") >= 10, "the firmware samples itself once a second");
    // What the firmware samples is a signal like any other.
    let signals = status["signals"].as_array().unwrap();
    let stack = signals.iter().find(|entry| entry["signal"] == "Vehicle.Bridge.StackUnused").unwrap();
    let kept = agent.end();
    let counts = machine.ask();
    println!("measured: {}", machine.measured(&counts));
    assert_eq!(
        stack["value"].as_f64().map(|value| value >= f64::from(counts.stack_unused)),
        Some(true),
        "{stack}"
    );

    let anomalous = kept.records.iter().filter_map(|record| match record {
        Record::Verdict(v) if v.verdict == VerdictCode::Anomalous && v.model.name == "cell-fault" => {
            Some(v.subject.as_str())
        }
        _ => None,
    });
    // A verdict whose kind of departure becomes another is told again.
    assert_eq!(anomalous.collect::<BTreeSet<_>>(), BTreeSet::from(["Cell42"]), "{}", kept.said);
    assert_eq!(kept.counts.unknown, 0);
    machine.accounts_for(&counts, &kept);
}

#[test]
fn noise_and_floods_on_the_line_lose_no_frame_uncounted() {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut machine, frames)) = bench(folder.path()) else { return };
    // One byte in a hundred is spoilt each way, on a line of 10 kB a second, which is 660 frames in full messages.
    let spoiler = Spoiler::start(folder.path(), &machine.line(), 10_000);
    spoiler.rate(0.01);
    let agent = Agent::start(folder.path(), &spoiler.line());
    agent.wait_for("open;");
    let (noisy, flood) = frames[..18_000].split_at(10_000);
    machine.play(noisy, 12.0);
    spoiler.rate(0.0);
    // The emulated port takes the flood as fast as it can, a byte at a time, which on a busy machine is no faster than the
    // line. So the line crawls: 13 frames a second while 8,000 come, of which the ring holds 1,600.
    spoiler.speed(200);
    machine.play(flood, f64::INFINITY);
    spoiler.speed(10_000);
    let status = agent.settle();
    let kept = agent.end();

    let counts = machine.ask();
    println!(
        "{} bytes were spoilt; {} of {} frames came",
        spoiler.spoilt(),
        frames_on(&status, "bms"),
        noisy.len() + flood.len()
    );
    println!("measured: {}", machine.measured(&counts));
    assert!(counts.dropped > 4_000, "the flood did not fill the ring: {counts:?}");
    assert!(kept.losses() > counts.dropped, "no frame was spoilt: {} lost, {counts:?}", kept.losses());
    assert_eq!(kept.counts.lost, kept.losses(), "every loss is a record");
    machine.accounts_for(&counts, &kept);
}

#[test]
fn frames_of_an_absence_arrive_though_the_agent_was_killed_and_the_microcontroller_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut machine, frames)) = bench(folder.path()) else { return };
    let agent = Agent::start(folder.path(), &machine.line());
    agent.wait_for("acceptance filters are in force");
    machine.play(&frames[..2_000], HASTE);
    agent.settle();
    agent.kill9();

    machine.play(&frames[2_000..2_400], HASTE);
    // Nobody is there to tell when they have arrived: half a second for 400 frames.
    sleep(Duration::from_secs(2));
    machine.restart();
    machine.play(&frames[2_400..2_800], HASTE);
    let agent = Agent::start(folder.path(), &machine.line());
    agent.wait_for("it restarted 1 times");
    machine.play(&frames[2_800..3_200], HASTE);
    let status = agent.settle();
    let kept = agent.end();

    let counts = machine.ask();
    println!("measured: {}", machine.measured(&counts));
    assert_eq!(counts.restarts, 1);
    // Everything that was settled had been acknowledged by the agent that was killed.
    assert_eq!(frames_on(&status, "bms"), 1_200, "{}\n{}", status["capture"], kept.said);
    assert_eq!(kept.losses(), 0, "{}", kept.said);
}
