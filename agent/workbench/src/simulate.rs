//! The simulated vehicle's frames as candump text: at once, or at a pace.

use crate::channel::Channel;
use std::io::{self, Write};
use std::time::{Duration, Instant};
use telltale_core::trace::write_candump_log;
use telltale_sil::{Options, OptionsError, Simulator};

/// What a run has written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    /// Frames.
    pub frames: u64,
    /// Simulated time.
    pub simulated: Duration,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The options.
    #[error("cannot simulate")]
    Options(#[from] OptionsError),
    /// The output.
    #[error("cannot write the simulated frames")]
    Output(#[from] io::Error),
}

/// Writes the whole simulation as candump text, as fast as it goes or, with `pace`, at that many times real
/// time. Each frame has a deadline of its own, so a slow reader delays frames and does not stretch the run.
pub fn run(
    options: &Options,
    channel: &Channel,
    pace: Option<f64>,
    out: &mut impl Write,
) -> Result<Written, RunError> {
    let mut simulator = Simulator::new(options)?;
    let begun = Instant::now();
    let (mut frames, mut line) = (0, String::new());
    for frame in simulator.by_ref() {
        if let Some(speed) = pace.filter(|speed| *speed > 0.0) {
            let due = frame.can.at.as_micros() as f64 / 1e6 / speed;
            let wait =
                Duration::try_from_secs_f64(due).unwrap_or(Duration::MAX).saturating_sub(begun.elapsed());
            if !wait.is_zero() {
                out.flush()?;
                std::thread::sleep(wait);
            }
        }
        line.clear();
        write_candump_log(&mut line, &frame.can, channel.as_str(), frame.wall).map_err(io::Error::other)?;
        out.write_all(line.as_bytes())?;
        frames += 1;
    }
    out.flush()?;
    Ok(Written { frames, simulated: simulator.elapsed() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vcan() -> Channel {
        "vcan0".parse().unwrap()
    }

    #[test]
    fn one_seed_is_one_text() {
        let text = |seed| {
            let options = Options { seed, duration: Duration::from_secs(60), ..Options::default() };
            let mut out = Vec::new();
            run(&options, &vcan(), None, &mut out).unwrap();
            out
        };
        let first = text(1);
        assert!(first == text(1) && first != text(2));
        assert!(first.starts_with(b"(1767247200.000000) vcan0 180#"));
    }

    #[test]
    fn pacing_keeps_deadlines() {
        let short = Options { duration: Duration::from_secs(2), ..Options::default() };
        let begun = Instant::now();
        let written = run(&short, &vcan(), Some(10.0), &mut io::sink()).unwrap();
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(190), "two seconds at ten times real time: {took:?}");
        assert_eq!(written, run(&short, &vcan(), None, &mut io::sink()).unwrap());
    }
}
