//! The simulated vehicle's frames as candump text: at once, or at a pace.

use crate::channel::Channel;
use std::io::{self, Write};
use std::time::{Duration, Instant};
use telltale_core::trace::write_candump_log;
use telltale_sil::{BMS_BUS, Vehicle};

/// What a run has written.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Written {
    /// Frames.
    pub frames: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// Real time.
    pub took: Duration,
}

/// Writes all of a vehicle's frames as candump text, as fast as it goes or, with `pace`, at that many times real
/// time. Each frame has a deadline of its own, so a slow reader delays frames and does not stretch the run. The
/// channels name the BMS's bus and the powertrain's.
pub fn run(
    vehicle: &mut Vehicle,
    channels: [&Channel; 2],
    pace: Option<f64>,
    out: &mut impl Write,
) -> io::Result<Written> {
    let begun = Instant::now();
    let (mut frames, mut line) = (0, String::new());
    while let Some(frame) = vehicle.next_frame() {
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
        let channel = if frame.can.bus == BMS_BUS { channels[0] } else { channels[1] };
        write_candump_log(&mut line, &frame.can, channel.as_str(), frame.wall).map_err(io::Error::other)?;
        out.write_all(line.as_bytes())?;
        frames += 1;
    }
    out.flush()?;
    Ok(Written { frames, simulated: vehicle.elapsed(), took: begun.elapsed() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use telltale_sil::Spec;

    fn seconds(seconds: f64, powertrain: bool) -> Spec {
        Spec { hours: seconds / 3_600.0, powertrain, ..Spec::default() }
    }

    fn write(spec: &Spec, seed: u64, pace: Option<f64>) -> (String, Written) {
        let (bms, powertrain) = ("vcan0".parse().unwrap(), "vcan1".parse().unwrap());
        let mut out = Vec::new();
        let mut vehicle = Vehicle::new(spec, seed).unwrap();
        let written = run(&mut vehicle, [&bms, &powertrain], pace, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), written)
    }

    #[test]
    fn one_seed_is_one_text() {
        let text = |seed| write(&seconds(60.0, false), seed, None).0;
        let first = text(1);
        assert!(first == text(1) && first != text(2));
        assert!(first.starts_with("(1767247200.000000) vcan0 180#"));
    }

    #[test]
    fn each_bus_has_its_channel() {
        let (text, written) = write(&seconds(10.0, true), 1, None);
        let on = |channel: &str, id: &str| {
            text.lines().filter(|l| l.contains(&format!(" {channel} {id}#"))).count()
        };
        assert_eq!((on("vcan0", "180"), on("vcan1", "0F0")), (100, 500));
        assert_eq!((on("vcan1", "180"), on("vcan0", "0F0")), (0, 0));
        assert_eq!(text.lines().count() as u64, written.frames);
    }

    #[test]
    fn pacing_keeps_deadlines() {
        let (paced, written) = write(&seconds(2.0, false), 1, Some(10.0));
        assert!(
            written.took >= Duration::from_millis(190),
            "two seconds at ten times real time: {written:?}"
        );
        assert_eq!(paced, write(&seconds(2.0, false), 1, None).0);
    }
}
