//! `cargo xtask demo`: a fleet on this machine. A cloud, vehicles that drive six simulated hours, a cell that drifts
//! in one of them, a charge that shows another's state of health, and pages that show both.
//!
//! The parts are the real ones: the vehicle's binary reads frames from a pipe, runs its model, spools, and syncs
//! over mutual TLS; the page is the cloud's. Only the frames are made, by `telltale simulate`.

mod children;
mod fleet;
pub(crate) mod http;
mod vehicle;

use crate::shell;
use anyhow::{Context as _, Result, bail};
use children::{Children, Workspace};
use fleet::{Fleet, Progress};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use vehicle::Vehicle;

/// How often the cloud is asked.
const POLL: Duration = Duration::from_millis(250);
/// How long the cloud may take to listen.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long a headless run may take when `--seconds` does not say.
const HEADLESS_LIMIT: Duration = Duration::from_secs(180);
/// How long after its simulation's end a vehicle may still sync.
const LAST_SYNC: Duration = Duration::from_secs(10);

/// What the command line asks.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Check by itself and end, for CI.
    pub(crate) headless: bool,
    /// End after so many seconds.
    pub(crate) seconds: Option<u64>,
    /// How many vehicles.
    pub(crate) vehicles: u8,
    /// How many simulated seconds pass in one.
    pub(crate) speed: u32,
}

/// Runs the demo.
pub(crate) fn run(options: &Options) -> Result<()> {
    let stop = asked_to_stop()?;
    let binaries = Binaries::build()?;
    let workspace = Workspace::new()?;
    let mut children = Children::default();
    let outcome = act(options, &binaries, &workspace, &mut children, &stop);
    // Ended before the last line is printed, so that nothing prints behind it.
    children.end();
    match outcome {
        Ok(told) => {
            println!("demo: {told}");
            Ok(())
        }
        Err(why) => {
            print!("{}", workspace.logs());
            bail!("demo: FAILED: {why:#}")
        }
    }
}

fn act(
    options: &Options,
    binaries: &Binaries,
    workspace: &Workspace,
    children: &mut Children,
    stop: &AtomicBool,
) -> Result<String> {
    let vehicles = vehicle::fleet(options.vehicles);
    let cloud = Cloud::start(binaries, workspace, children, &vehicles)?;
    println!("the fleet's page: http://{}/", cloud.dashboard);
    let started = Instant::now();
    for vehicle in &vehicles {
        vehicle.start(&binaries.telltale, workspace, children, cloud.vehicles, options.speed)?;
        println!("{vehicle}");
    }
    watch(options, &vehicles, cloud.dashboard, workspace, children, stop, started)
}

/// Asks the cloud until the story is over, telling each new thing once.
fn watch(
    options: &Options,
    vehicles: &[Vehicle],
    dashboard: SocketAddr,
    workspace: &Workspace,
    children: &mut Children,
    stop: &AtomicBool,
    started: Instant,
) -> Result<String> {
    let limit = options.seconds.map(Duration::from_secs);
    let limit = if options.headless { limit.or(Some(HEADLESS_LIMIT)) } else { limit };
    let mut progress = Progress::new(vehicles);
    let mut drives_over: Option<Instant> = None;
    loop {
        children.check()?;
        let fleet = Fleet::ask(dashboard, vehicles)?;
        for line in progress.news(&fleet, started.elapsed()) {
            println!("{line}");
        }
        if drives_over.is_none() && children.drives_are_over() {
            println!(
                "the drives are over{}",
                if options.headless { "" } else { "; the page stays until Ctrl-C" }
            );
            drives_over = Some(Instant::now());
        }
        let settled = drives_over.is_some_and(|at| at.elapsed() > LAST_SYNC || children.vehicles_are_done());
        let stopped = stop.load(Ordering::Relaxed);
        let late = limit.is_some_and(|limit| started.elapsed() >= limit);
        if !options.headless && (stopped || late) {
            return Ok(format!("ended: {}", progress.told()));
        }
        if options.headless && stopped {
            bail!("interrupted");
        }
        if options.headless && (settled || late) {
            // Asked once more: what the last sync brought arrived after the question above.
            let fleet = Fleet::ask(dashboard, vehicles)?;
            let told = progress.judge(&fleet, started.elapsed(), &|vehicle| vehicle.health(workspace))?;
            return Ok(format!("ok: {told}"));
        }
        thread::sleep(POLL);
    }
}

/// The two programs.
struct Binaries {
    telltale: PathBuf,
    cloud: PathBuf,
}

impl Binaries {
    /// Built as for tests: whoever has run the tests has them, and the rooms that are hot are optimised in that
    /// profile too. A release build optimises across crates for minutes before the first frame.
    fn build() -> Result<Self> {
        println!("building telltale and telltale-cloud");
        shell::run(&mut shell::cargo([
            "build",
            "--quiet",
            "--package=telltale-agent",
            "--package=telltale-cloud",
        ]))?;
        let built = shell::target_dir().join("debug");
        Ok(Self { telltale: built.join("telltale"), cloud: built.join("telltale-cloud") })
    }
}

/// The running cloud's two addresses.
struct Cloud {
    vehicles: SocketAddr,
    dashboard: SocketAddr,
}

impl Cloud {
    fn start(
        binaries: &Binaries,
        workspace: &Workspace,
        children: &mut Children,
        fleet: &[Vehicle],
    ) -> Result<Self> {
        let pki = workspace.path("pki");
        shell::output(Command::new(&binaries.cloud).args(["pki", "init", "--dir"]).arg(&pki))?;
        for vehicle in fleet {
            let mut enroll = Command::new(&binaries.cloud);
            enroll.args(["enroll", "--vehicle", vehicle.id()]).arg("--pki").arg(&pki);
            shell::output(enroll.arg("--out").arg(workspace.path(vehicle.id())))?;
        }
        println!("made a certificate authority and enrolled {} vehicles", fleet.len());

        let ready = workspace.path("cloud.ready");
        let mut serve = Command::new(&binaries.cloud);
        serve.args(["serve", "--listen", "127.0.0.1:0", "--dashboard", "127.0.0.1:0"]);
        serve
            .arg("--pki")
            .arg(&pki)
            .arg("--db")
            .arg(workspace.path("fleet.db"))
            .arg("--ready-file")
            .arg(&ready);
        children.start_cloud(serve, workspace.log("cloud")?)?;

        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            children.check()?;
            if let Some(cloud) = fs::read_to_string(&ready).ok().and_then(|text| Self::parse(&text)) {
                return Ok(cloud);
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!("the cloud did not listen within {} s", START_LIMIT.as_secs())
    }

    /// `vehicles ADDRESS` and `dashboard ADDRESS`, a line each.
    fn parse(ready: &str) -> Option<Self> {
        let address = |name: &str| {
            let line = ready.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
            line.parse().ok()
        };
        Some(Self { vehicles: address("vehicles")?, dashboard: address("dashboard")? })
    }
}

/// A flag that Ctrl-C, SIGTERM and a closed terminal raise.
fn asked_to_stop() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("cannot listen for signals")?;
    }
    Ok(stop)
}

/// A path as a TOML string: TOML's basic strings escape as JSON does.
fn toml_string(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_file_gives_both_addresses() {
        let cloud = Cloud::parse("vehicles 127.0.0.1:4001\ndashboard 127.0.0.1:4002\n").unwrap();
        assert_eq!((cloud.vehicles.port(), cloud.dashboard.port()), (4001, 4002));
        assert!(Cloud::parse("vehicles 127.0.0.1:4001\n").is_none());
    }
}
