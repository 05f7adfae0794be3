//! `cargo xtask bench`: budgets that are held, counted in instructions because those repeat where seconds do not.
//!
//! A benchmark program takes a scenario and the number of repetitions. It is run twice under callgrind; the difference of the two
//! counts over the difference of the repetitions is what one repetition costs, start-up and set-up taken out.

pub(crate) mod bridge;
pub(crate) mod controller;
pub(crate) mod infer;
mod registers;
pub(crate) mod snapshot;
pub(crate) mod vehicle;

use crate::{needs, shell};
use anyhow::{Context as _, Result, bail};
use std::path::Path;
use std::process::Stdio;

/// The decode budget that CI holds, in instructions per frame of ten signals from dispatch into the windows
/// (FleetWise's edge agent needs 5,428, its decoder alone 2,530).
pub(crate) const DECODE_BUDGET: u64 = 600;

/// What the whole loop may take beyond the decode budget, in instructions per frame: the statistics of ten signals, the
/// bus's account and the snapshots' ring took 283 when this was set.
const LOOP_BEYOND: u64 = 300;

/// What the decode benchmark can stream, and what is held of it beyond the budget. A multiplexed frame is two groups of
/// signals and a search between them; `loop` is `plain` with everything that the agent counts of a frame besides; the
/// decoder alone is told to see where the cost lies.
const SCENARIOS: [(&str, Option<u64>); 5] = [
    ("plain", Some(0)),
    ("extended", Some(0)),
    ("multiplexed", None),
    ("loop", Some(LOOP_BEYOND)),
    ("decoder", None),
];

/// Frames of the short and the long run: one step of the windows' grid, and ten more.
const FRAMES: (u64, u64) = (30_000, 330_000);

/// The most that the watch over a bus may take of a frame, on top of the loop: it was 203 of standard identifiers and 219 of
/// extended ones, which take a way through a hash, when this was set.
pub(crate) const INTRUSION_BUDGET: u64 = 225;
const EXTENDED_BEYOND: u64 = 25;

/// Counts the instructions that decoding and dispatching one frame takes; fails above `max` in a scenario that is held to it.
pub(crate) fn decode(max: Option<u64>, json: bool) -> Result<()> {
    let held =
        SCENARIOS.map(|(scenario, beyond)| (scenario, max.zip(beyond).map(|(max, beyond)| max + beyond)));
    instructions_per_frame("decode", &held, json)
}

/// Counts the instructions that holding one frame against its bus's profile takes; fails above `max`.
pub(crate) fn intrusion(max: Option<u64>, json: bool) -> Result<()> {
    let held = [("standard", max), ("extended", max.map(|max| max + EXTENDED_BEYOND))];
    instructions_per_frame("intrusion", &held, json)
}

fn instructions_per_frame(bench: &str, scenarios: &[(&'static str, Option<u64>)], json: bool) -> Result<()> {
    needs::packages(&[needs::VALGRIND]);
    let example = format!("{bench}_callgrind");
    let build = ["build", "--release", "--package=telltale-core", "--example", &example];
    shell::run(&mut shell::cargo(build))?;
    let program = shell::target_dir().join("release/examples").join(&example);
    let (short, long) = FRAMES;
    let mut costs = Vec::new();
    for (scenario, max) in scenarios {
        let count = |frames| Ok::<_, anyhow::Error>((frames, instructions(&program, &[*scenario], frames)?));
        costs.push((*scenario, *max, per_repetition(count(short)?, count(long)?)?));
    }
    report(bench, &costs, json);
    match costs.iter().find(|(_, max, cost)| max.is_some_and(|max| *cost > max as f64)) {
        Some((scenario, _, cost)) => {
            bail!("{bench} {scenario} takes {cost:.1} instructions per frame: over budget")
        }
        None => Ok(()),
    }
}

/// Hours of the simulator's benchmark: days with charging and parking.
const SIMULATED_HOURS: &str = "48";

/// Simulates two days of a vehicle with both buses on one core and prints how many times real time that went.
pub(crate) fn simulate() -> Result<()> {
    let example = ["run", "--release", "--quiet", "--package=telltale-sil", "--example=hour", "--"];
    shell::run(shell::cargo(example).arg(SIMULATED_HOURS))
}

fn report(bench: &str, costs: &[(&str, Option<u64>, f64)], json: bool) {
    if json {
        let each: serde_json::Map<_, _> =
            costs.iter().map(|(scenario, _, cost)| ((*scenario).to_owned(), (*cost).into())).collect();
        println!("{}", serde_json::json!({ "bench": bench, "instructions_per_frame": each }));
        return;
    }
    for (scenario, _, cost) in costs {
        println!("{bench} {scenario:<12} {cost:>8.1} instructions per frame");
    }
}

/// What one run of the program counts; its last argument is the number of repetitions.
fn instructions(program: &Path, arguments: &[&str], repetitions: u64) -> Result<u64> {
    let mut valgrind = shell::program("valgrind");
    valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(arguments)
        .arg(repetitions.to_string());
    let line = shell::describe(&valgrind);
    let output =
        valgrind.stdin(Stdio::null()).output().with_context(|| format!("{line}: could not be started"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{line}: ended with {}:\n{told}", output.status);
    }
    collected(&told).with_context(|| format!("{line}: told no count:\n{told}"))
}

/// The count in callgrind's closing line, `==7== Collected : 12345`.
fn collected(told: &str) -> Option<u64> {
    told.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

fn per_repetition((few, low): (u64, u64), (many, high): (u64, u64)) -> Result<f64> {
    let (Some(counted), Some(more)) = (high.checked_sub(low), many.checked_sub(few)) else {
        bail!(
            "{many} repetitions took fewer instructions ({high}) than {few} ({low}): the program ignores its argument"
        );
    };
    anyhow::ensure!(
        counted > 0,
        "{many} repetitions took as many instructions as {few}: the program ignores its argument"
    );
    Ok(counted as f64 / more as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_up_is_taken_out() {
        assert_eq!(per_repetition((100, 1_000_000), (300, 1_060_000)).unwrap(), 300.0);
    }

    #[test]
    fn a_program_that_ignores_its_argument_is_found() {
        assert!(per_repetition((100, 5), (300, 5)).is_err());
        assert!(per_repetition((100, 6), (300, 5)).is_err());
    }

    #[test]
    fn callgrinds_closing_line_is_read() {
        let told = "==7== Events    : Ir\n==7== Collected : 35467\n==7== \n==7== I   refs:      35,467\n";
        assert_eq!(collected(told), Some(35_467));
        assert_eq!(collected("==7== I refs: 1\n"), None);
    }
}
