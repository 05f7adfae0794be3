//! The command of a virtual machine with two CAN controllers on one bus: brings both up, runs the agent on the first and
//! speaks on the second, until the agent has restarted a controller that was bus-off.
//!
//! It tells the host where the driver reads the controller's registers, so that the host can stand in for the wire (see
//! `cross/xtask/src/bench/controller.rs`), and at the end what was sent, and what the kernel counted.
#![forbid(unsafe_code)]
// The console is how the host learns of anything.
#![allow(clippy::print_stdout)]

mod link;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, Signal, kill_process};
use socketcan::{CanDataFrame, CanSocket, EmbeddedFrame as _, Socket as _, StandardId};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

const MODULES: [&str; 5] = ["can", "can-raw", "can-dev", "sja1000", "kvaser_pci"];
const HEARD: &str = "can0";
const SPEAKS: &str = "can1";
const BITRATE: u32 = 500_000;

const AGENT: &str = "/vehicle/telltale";
const CONFIG: &str = "/vehicle/telltale.toml";

/// What is sent: `BMS_Pack` of the model's DBC file. Eight bytes, so that the kernel's bytes are frames.
const MESSAGE: StandardId = StandardId::new(0x180).expect("eleven bits");
const PAYLOAD: [u8; 8] = [0x10, 0x27, 0, 0, 0x90, 0, 0, 0];
/// Between two frames.
const PAUSE: Duration = Duration::from_millis(20);
/// Frames after the controller is back.
const AFTERWARDS: u32 = 50;
/// For the host to do its part.
const PATIENCE: Duration = Duration::from_secs(240);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("controller: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    // The agent draws its boot's number from /dev/urandom.
    mount("dev", "/dev", "devtmpfs", MountFlags::empty(), None).context("/dev")?;
    for module in MODULES {
        let path = format!("/modules/{module}.ko");
        let file = File::open(&path).with_context(|| path.clone())?;
        rustix::system::finit_module(&file, c"", 0).with_context(|| path)?;
    }
    for interface in [HEARD, SPEAKS] {
        link::bring_up(interface, BITRATE).with_context(|| format!("{interface} cannot be brought up"))?;
    }
    let mut agent = Command::new(AGENT)
        .args(["run", "--config", CONFIG])
        .stderr(Stdio::piped())
        .spawn()
        .context("the agent cannot be started")?;
    let said = BufReader::new(agent.stderr.take().context("the agent has no stderr")?).lines();
    let (told, lines) = channel();
    thread::spawn(move || {
        for line in said.map_while(Result::ok) {
            println!("{line}");
            let _ = told.send(line);
        }
    });
    wait_for(&lines, "is up")?;
    let place = |function: &str| -> Result<String> {
        let symbols = fs::read_to_string("/proc/kallsyms").context("/proc/kallsyms")?;
        let line = symbols.lines().find(|line| line.split_whitespace().nth(2) == Some(function));
        let address = line.and_then(|line| line.split(' ').next());
        Ok(address.with_context(|| format!("the kernel has no {function}"))?.to_owned())
    };
    println!("controller: registers {} {}", place("kvaser_pci_read_reg")?, place("kvaser_pci_write_reg")?);

    let sent = speak(&lines)?;
    // What was sent last is read within a few milliseconds.
    thread::sleep(Duration::from_millis(500));
    let status = Command::new(AGENT).args(["status", "--json", "--config", CONFIG]).output()?;
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    println!("controller: status {}", status.trim());
    println!("controller: sent {sent}, bytes {}", received_bytes()?);
    let pid = Pid::from_raw(agent.id().cast_signed()).context("the agent has no number")?;
    kill_process(pid, Signal::TERM)?;
    let ended = agent.wait()?;
    ensure!(ended.success(), "the agent ended with {ended}");
    Ok(())
}

/// Sends until the agent has brought the controller back, and some frames more.
fn speak(lines: &Receiver<String>) -> Result<u32> {
    let socket = CanSocket::open(SPEAKS)?;
    let frame = CanDataFrame::new(MESSAGE, &PAYLOAD).context("no frame")?;
    let (began, mut sent, mut left) = (Instant::now(), 0, AFTERWARDS);
    let mut is_back = false;
    while left > 0 {
        ensure!(began.elapsed() < PATIENCE, "no controller was restarted in {} s", PATIENCE.as_secs());
        socket.write_frame(&frame).context("the second controller does not send")?;
        sent += 1;
        left -= u32::from(is_back);
        is_back |= lines.try_iter().any(|line| line.contains("active, was bus-off"));
        thread::sleep(PAUSE);
    }
    Ok(sent)
}

fn wait_for(lines: &Receiver<String>, what: &str) -> Result<()> {
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) if line.contains(what) => return Ok(()),
            Ok(_) => {}
            Err(_) => bail!("the agent did not say `{what}`"),
        }
    }
}

/// Bytes that the kernel counted as received on the first interface: error frames have none.
fn received_bytes() -> Result<u64> {
    let table = fs::read_to_string("/proc/net/dev").context("/proc/net/dev")?;
    let line = table.lines().find_map(|line| line.trim().strip_prefix("can0:")).context("no can0")?;
    let bytes = line.split_whitespace().next().context("no count")?;
    bytes.parse().context("the kernel's count is no number")
}
