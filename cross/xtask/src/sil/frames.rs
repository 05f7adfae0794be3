//! What is sent in a machine: a simulated drive, other kinds of frames, and a real car's recording where there is one.

use super::Programs;
use crate::shell;
use anyhow::{Context as _, Result};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A minute and a bit of driving, seeded: every machine sends the same frames.
const DRIVE: [&str; 6] = ["simulate", "--quiet", "--seed=1", "--hours=0.02", "--channel=vcan0", "--output"];
/// What the catalog has no use for, so that filters keep it from the agent: limits and balancing.
const UNHEARD: [&str; 2] = [" 183#", " 184#"];
/// Frames of each of the other kinds.
const EACH: usize = 400;
/// A recording of a whole car, in a folder of the real recordings.
const RECORDING: &str = "kona_ev_can/230112-7-2019-pcan-ccan-power-off-on-ready-off.csv";
/// What describes one of its buses.
const DATABASE: &str = "kona_ev_can/dbc/pcan.dbc";

/// The frames of a drive that the catalog names, as a candump log.
pub(super) fn drive(programs: &Programs, scratch: &Path) -> Result<String> {
    let log = scratch.join("whole-drive.log");
    shell::output(shell::program(&programs.telltale).args(DRIVE).arg(&log))?;
    let whole = fs::read_to_string(&log).context("the simulated drive cannot be read")?;
    let heard = whole.lines().filter(|line| !UNHEARD.iter().any(|id| line.contains(id)));
    Ok(heard.flat_map(|line| [line, "\n"]).collect())
}

/// Frames of other kinds, and how many of them the agent is to hear: classic ones and CAN FD with the catalog's
/// identifiers, and error frames; not those of extended identifiers that nobody asked for.
pub(super) fn kinds() -> (String, u64) {
    let mut log = String::new();
    let long: String = (0..64).map(|byte| format!("{byte:02X}")).collect();
    for n in 0..EACH {
        let id = 0x1A0 + n % 24;
        // A write into a string does not fail.
        let _ = write!(
            log,
            "(0) vcan0 {id:03X}#740E750E760E770E\n\
             (0) vcan0 {id:03X}##1740E750E760E770E\n\
             (0) vcan0 {id:03X}##0{long}\n\
             (0) vcan0 {:08X}#00\n\
             (0) vcan0 20000008#0000000000000000\n",
            0x1000_0000 + id
        );
    }
    (log, 4 * EACH as u64)
}

/// A recording as a candump log, and the DBC file that describes it; `None` without the real recordings.
pub(super) fn recording() -> Result<Option<(String, PathBuf)>> {
    let data =
        env::var_os("TELLTALE_DATA").map_or_else(|| shell::root().join("../shared/data"), PathBuf::from);
    let (log, database) = (data.join(RECORDING), data.join(DATABASE));
    if !log.is_file() || !database.is_file() {
        eprintln!("skipped: the recordings are not at {} (set TELLTALE_DATA)", data.display());
        return Ok(None);
    }
    let text = fs::read_to_string(&log).with_context(|| format!("{} cannot be read", log.display()))?;
    Ok(Some((candump(&text).with_context(|| format!("{} is no GVRET log", log.display()))?, database)))
}

/// A GVRET log (microseconds, identifier, extended, bus, length, bytes) as candump writes one.
fn candump(gvret: &str) -> Result<String> {
    let mut log = String::new();
    for (number, line) in gvret.lines().enumerate().skip(1) {
        let fields: Vec<&str> = line.trim_end_matches(',').split(',').collect();
        let frame = || {
            let [at, id, extended, _bus, length, data @ ..] = fields.as_slice() else { return None };
            let (at, id) = (at.parse::<f64>().ok()? / 1e6, u32::from_str_radix(id, 16).ok()?);
            let id = if *extended == "true" { format!("{id:08X}") } else { format!("{id:03X}") };
            let data = data.get(..length.parse().ok()?)?.concat();
            Some(format!("({at:.6}) vcan4 {id}#{data}\n"))
        };
        log.push_str(&frame().with_context(|| format!("line {}", number + 1))?);
    }
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gvret_log_becomes_a_candump_log() {
        let head = "Time Stamp,ID,Extended,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n";
        let log = format!("{head}1500000,00000109,false,0,2,00,01\n2,1FFFFFFF,true,1,0,,\n");
        assert_eq!(candump(&log).unwrap(), "(1.500000) vcan4 109#0001\n(0.000002) vcan4 1FFFFFFF#\n");
        assert!(candump(&format!("{head}1,109,false,0,3,00\n")).unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn what_the_agent_is_to_hear_is_counted() {
        let (log, heard) = kinds();
        let all = log.lines().count() as u64;
        assert_eq!(log.lines().filter(|line| line.contains(" 10000")).count() as u64, all - heard);
    }
}
