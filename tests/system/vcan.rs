//! The agent's reader on a real CAN stack: vcan interfaces in a kernel that runs as a process.

use super::uml;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// The phases take about ten seconds; on a busy machine several times that.
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn live_frames_arrive_whole_and_losses_are_counted() {
    if let Some(missing) = uml::missing() {
        println!("skipped: {missing}");
        return;
    }
    let (status, said) = run(&[env!("CARGO_BIN_EXE_vcan_probe").into()]);
    assert_eq!(status, 0, "{said}");
    // The probe compares each frame with what it sent; what it claims is checked once more from outside.
    assert_eq!(figures(&said, "kinds"), (1_600, 0), "{said}");
    assert_eq!(figures(&said, "rate-1"), (16_000, 0), "{said}");
    assert_eq!(figures(&said, "rate-4"), (20_000, 0), "{said}");
    let (kept, lost) = figures(&said, "overflow");
    assert!(lost > 0 && kept + lost == 3_001, "{said}");
    assert!(said.contains("come-and-go ok") && said.contains("error-frames ok"), "{said}");
    println!("{said}");
}

#[test]
fn the_vcan_machine_gives_back_output_and_status() {
    if let Some(missing) = uml::missing() {
        println!("skipped: {missing}");
        return;
    }
    let script = "cat /sys/class/net/vcan3/mtu; echo \"it's $TELLTALE_NONE\" >&2; exit 7";
    let (status, said) = run(&["sh".into(), "-c".into(), script.into()]);
    assert_eq!((status, said.as_str()), (7, "72\nit's \n"));
}

/// Runs a command in the vcan machine and gives its status and what it printed.
fn run(command: &[OsString]) -> (i32, String) {
    let init = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cross/uml/init").canonicalize().unwrap();
    let mut said = Vec::new();
    let status = uml::run_in_uml(&init, command, &mut said, LIMIT);
    let said = String::from_utf8_lossy(&said).into_owned();
    (status.unwrap_or_else(|e| panic!("{e:#}\n{said}")), said)
}

/// `frames=… lost=…` of a phase.
fn figures(said: &str, phase: &str) -> (u64, u64) {
    let line = said.lines().find_map(|line| line.strip_prefix(phase)?.strip_prefix(' ')).unwrap_or_default();
    let figure = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name)?.parse().ok());
    (figure("frames=").unwrap_or(0), figure("lost=").unwrap_or(u64::MAX))
}
