//! `can-load FILE PER_SECOND FRAMES INTERFACE...`: sends the frames of a candump log, over and over, on each of the
//! interfaces: so many frames a second each, and so many in all on each. PER_SECOND may be `max`, and FRAMES `once` for
//! each frame of the log one time.
//!
//! canplayer makes a system call or two a frame; in a machine where a call costs 15 microseconds it is the sender then that
//! is slow. This one hands over what is due in a batch. The last line tells what was sent, in JSON.
#![allow(clippy::print_stdout)] // A program for a terminal.

mod candump;
mod socket;

use anyhow::{Context as _, Result, bail, ensure};
use socket::{Frame, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How long the sender rests between two batches: at 8,000 frames a second sixteen of them make one.
const REST: Duration = Duration::from_millis(2);

/// Frames that one call sends at the most.
const BATCH: usize = 64;

const USAGE: &str = "usage: can-load FILE PER_SECOND|max FRAMES|once INTERFACE...";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [file, per_second, frames, interfaces @ ..] = words.as_slice() else { bail!("{USAGE}") };
    ensure!(!interfaces.is_empty(), "{USAGE}");
    let log = std::fs::read_to_string(file).with_context(|| format!("{file} cannot be read"))?;
    let log = candump::frames(&log).with_context(|| format!("{file} is no candump log"))?;
    let per_second = match per_second.as_str() {
        "max" => f64::INFINITY,
        number => number.parse().ok().filter(|rate| *rate > 0.0).context(USAGE)?,
    };
    let each = match frames.as_str() {
        "once" => log.len() as u64,
        number => number.parse().context(USAGE)?,
    };
    let mut senders = interfaces
        .iter()
        .map(|name| Sender::open(name).with_context(|| format!("{name} cannot be sent on")))
        .collect::<Result<Vec<Sender>>>()?;
    let told = send(&mut senders, &log, per_second, each)?;
    println!("{told}");
    Ok(())
}

/// Sends `each` frames on each of the interfaces and tells how that went.
fn send(senders: &mut [Sender], log: &[Frame], per_second: f64, each: u64) -> Result<String> {
    let began = Instant::now();
    let (mut sent, mut calls, mut behind) = (0, 0_u64, 0);
    while sent < each {
        let due = ((began.elapsed().as_secs_f64() * per_second) as u64).min(each);
        if due <= sent {
            thread::sleep(REST);
            continue;
        }
        behind = behind.max(due - sent);
        let from = (sent % log.len() as u64) as usize;
        let batch = &log[from..(from + BATCH).min(log.len())];
        let batch = &batch[..batch.len().min((due - sent) as usize)];
        for sender in &mut *senders {
            calls += sender.send(batch)?;
        }
        sent += batch.len() as u64;
        if per_second.is_finite() && sent >= due {
            thread::sleep(REST);
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let total = sent * senders.len() as u64;
    Ok(format!(
        "{{\"sent\":{total},\"interfaces\":{},\"seconds\":{seconds:.3},\"per_second\":{:.0},\"calls\":{calls},\"most_behind\":{behind}}}",
        senders.len(),
        total as f64 / seconds
    ))
}
