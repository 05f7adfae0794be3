//! `cargo xtask bench controller`: the vehicle's binary on a CAN controller that turns error passive, recovers, goes bus-off
//! and is restarted.
//!
//! An emulated aarch64 machine has two SJA1000 on one bus, Debian's kernel and its driver. Frames go from one controller to
//! the other. The emulator's controllers know no faulty bits, so that a debugger stands in for the wire: it lets the driver
//! read an error interrupt and the registers behind it. From there on everything is real: the driver's and the kernel's state,
//! error frames, rtnetlink, the agent, its request, the restart, and the frames that are heard again.

use crate::bench::registers::{
    AT_WARNING, BUS_OFF, Debugger, Driver, Fault, PASSIVE_CHANGED, WARNING_CHANGED,
};
use crate::vm::{Initrd, Machine};
use crate::{cross_build, shell};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Booting takes seconds, and a loaded host is given more.
const LIMIT: Duration = Duration::from_secs(400);

const CONFIG: &str = "vehicle = \"bench-01\"\ncatalog = \"catalog-sim.toml\"\nsource = \"live\"\n\
    spool = { dir = \"/spool\" }\n[bus]\nrestart = \"auto\"\n";

/// What the wire does, and what the agent says when it has seen it.
const SCRIPT: [(Fault, &[&str]); 4] = [
    (
        Fault { interrupt: WARNING_CHANGED | PASSIVE_CHANGED, status: AT_WARNING, tx: 136, rx: 3 },
        &["error passive, was active: error passive (sending); tx errors 136, rx errors 3"],
    ),
    (
        Fault { interrupt: PASSIVE_CHANGED, status: AT_WARNING, tx: 120, rx: 0 },
        &["error warning, was error passive"],
    ),
    (Fault { interrupt: WARNING_CHANGED, status: 0, tx: 90, rx: 0 }, &["active, was error warning"]),
    (
        Fault { interrupt: WARNING_CHANGED, status: AT_WARNING | BUS_OFF, tx: 255, rx: 0 },
        &[
            "bus-off, was active",
            "is bus-off: restarting its controller",
            "active, was bus-off: controller restarted",
        ],
    ),
];

/// Runs it with the binary given, or else the vehicle's build of this tree.
pub(crate) fn run(binary: Option<PathBuf>) -> Result<()> {
    let machine = Machine::prepare_with_controllers()?;
    let binary = match binary {
        Some(binary) => {
            fs::canonicalize(&binary).with_context(|| format!("{} is not there", binary.display()))?
        }
        None => cross_build::build(cross_build::VEHICLE, true)?,
    };
    let guest = ["build", "--release", "--package=telltale-vm-controller", "--target", cross_build::VEHICLE];
    shell::run(&mut shell::cargo(guest))?;
    let guest = shell::target_dir().join(cross_build::VEHICLE).join("release/telltale-vm-controller");

    let config = shell::target_dir().join("vm/controller.toml");
    fs::write(&config, CONFIG)?;
    let mut files = Initrd::default();
    files.folder("spool")?;
    files.folder("dev")?;
    files.file("vehicle/telltale", &binary)?;
    files.file("vehicle/telltale.toml", &config)?;
    let model = shell::root().join("models/cell-fault");
    for name in ["catalog-sim.toml", "bms.dbc"] {
        files.file(&format!("vehicle/{name}"), &model.join(name))?;
    }
    files.file("vehicle/controller", &guest)?;
    let said = machine.run_with_controllers(files, "/vehicle/controller", LIMIT, play)?;
    let outcome = outcome(&said).with_context(|| format!("the machine's console said:\n{said}"))?;
    println!("{outcome}\non Linux {}", machine.kernel_release());
    Ok(())
}

/// Plays the script against the machine: `hear` waits for a line of its console that holds these words.
fn play(debugger: &Path, hear: &mut dyn FnMut(&str) -> Result<String>) -> Result<()> {
    let driver = driver(&hear("controller: registers ")?)?;
    for (fault, expected) in SCRIPT {
        let mut machine = Debugger::attach(debugger, driver)?;
        machine.inject(fault).with_context(|| format!("{fault:?}"))?;
        machine.detach()?;
        for words in expected {
            println!("{}", hear(words)?);
        }
    }
    Ok(())
}

/// `controller: registers ffff800000d13010 ffff800000d131a4`.
fn driver(line: &str) -> Result<Driver> {
    let (_, places) = line.split_once("registers ").context("no registers")?;
    let places: Result<Vec<u64>, _> =
        places.split_whitespace().map(|place| u64::from_str_radix(place, 16)).collect();
    match places?[..] {
        [read, write] if read > 0 && write > 0 => Ok(Driver { read, write }),
        _ => anyhow::bail!("the kernel hides where its functions are: {line}"),
    }
}

/// Compares what was heard with what the kernel counted; a sentence.
fn outcome(said: &str) -> Result<String> {
    let told = |start: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(start));
        line.with_context(|| format!("the machine did not tell its {start}"))
    };
    let status: Value = serde_json::from_str(told("controller: status ")?)?;
    let (sent, bytes) = told("controller: sent ")?.split_once(", bytes ").context("no bytes")?;
    let (sent, received) = (sent.parse::<u64>()?, bytes.parse::<u64>()? / 8);
    let heard = status["buses"][0]["frames"].as_u64().context("no frames")?;
    ensure!(heard == received, "the agent heard {heard} frames, the kernel received {received}");
    ensure!(status["capture"]["lost"] == 0, "{}", status["capture"]);
    let missed = sent.checked_sub(received).context("more were received than sent")?;
    ensure!(missed > 0, "a controller that was bus-off missed nothing");
    ensure!(said.contains("every record is durable"), "the agent did not end well");
    Ok(format!(
        "{sent} frames sent, {received} received by the controller and all heard; {missed} sent while it was bus-off"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_hides_its_functions_is_told() {
        let driver = driver("controller: registers ffff800000d13010 ffff800000d131a4").unwrap();
        assert_eq!((driver.read, driver.write), (0xffff_8000_00d1_3010, 0xffff_8000_00d1_31a4));
        assert!(super::driver("controller: registers 0000000000000000 0000000000000000").is_err());
        assert!(super::driver("controller: registers ffff").is_err());
    }

    #[test]
    fn frames_that_are_not_heard_are_a_failure() {
        let said = |heard: u64, bytes: u64| {
            format!(
                "controller: status {{\"buses\":[{{\"frames\":{heard}}}],\"capture\":{{\"lost\":0}}}}\n\
                 controller: sent 100, bytes {bytes}\nended; every record is durable\n"
            )
        };
        assert!(outcome(&said(90, 720)).unwrap().starts_with("100 frames sent, 90 received"));
        assert!(outcome(&said(89, 720)).unwrap_err().to_string().contains("heard 89 frames"));
        assert!(outcome(&said(100, 800)).unwrap_err().to_string().contains("missed nothing"));
        assert!(outcome("").is_err());
    }
}
