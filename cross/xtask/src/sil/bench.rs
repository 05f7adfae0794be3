//! One machine with what it needs: a folder of files, a disk, an authority, a cloud; and the course of the test.

mod job;
mod parity;
mod release;
mod update;

use super::judge::Report;
use super::machine::Machine;
use super::{Kind, Load, Programs};
use crate::demo::http;
use crate::shell;
use anyhow::{Context as _, Result, bail, ensure};
use release::{DIRECTOR_KEY, REPOSITORY, Release};
use serde_json::Value;
use std::env;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// A machine is up within seconds; a busy host is given more.
const BOOT: Duration = Duration::from_secs(120);
/// One step of the script.
const STEP: Duration = Duration::from_secs(180);
/// How the machines call their host.
const HOST: &str = "10.0.2.2";
/// Lines of each log that a failure prints.
const LOG_LINES: usize = 15;
/// The load once more, twice, each time to an agent that starts afresh: what else the host does only adds to a latency.
const AGAIN: [u32; 2] = [32_000; 2];
/// After this long without a commit at the cloud nothing is under way that could be cut.
const COMMIT: Duration = Duration::from_secs(30);

pub(super) use update::Course;

/// A machine's folder and its cloud.
pub(super) struct Bench<'a> {
    kind: Kind,
    programs: &'a Programs,
    folder: PathBuf,
    cloud: Child,
    pages: SocketAddr,
    heard: u64,
    has_recording: bool,
}

/// One rate of a sweep: what was asked, sent, heard and lost, and how long scores took.
pub(super) struct Step {
    pub(super) rate: u32,
    pub(super) sent_per_s: f64,
    pub(super) sent: u64,
    pub(super) heard: u64,
    pub(super) lost: u64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
}

impl<'a> Bench<'a> {
    /// Makes the folder and starts the cloud.
    pub(super) fn new(kind: Kind, programs: &'a Programs, load: &Load) -> Result<Bench<'a>> {
        let folder = env::temp_dir().join(format!("telltale-sil-{}-{}", kind.name(), std::process::id()));
        let job = folder.join("job");
        for below in ["dev", "disk", "model"] {
            fs::create_dir_all(job.join(below))
                .with_context(|| format!("{} cannot be made", job.display()))?;
        }
        Release { programs, folder: &folder }.found()?;
        let (cloud, vehicles, pages) = start_cloud(&folder, programs, kind)?;
        let mut bench = Bench { kind, programs, folder, cloud, pages, heard: 0, has_recording: false };
        bench.fill(load, vehicles)?;
        Ok(bench)
    }

    /// The whole course: buses under load, power cut in a sync, another boot, everything at the cloud once.
    pub(super) fn drive(mut self) -> Result<Report> {
        self.course().with_context(|| self.logs())
    }

    /// The ends of what the kernel and the cloud said.
    fn logs(&self) -> String {
        let tail = |name: &str| {
            let text = fs::read(self.folder.join(name)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            format!("-- {name} --\n{}\n", lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"))
        };
        format!("{}{}the {} machine did not hold", tail("kernel.log"), tail("cloud.log"), self.kind.name())
    }

    fn course(&mut self) -> Result<Report> {
        let mut report = Report::new(self.kind, self.heard);
        let (rate, frames) = match self.kind {
            Kind::Uml => (8_000, 160_000),
            Kind::Aarch64 => (1_000, 10_000),
        };
        self.write("plan", &format!("PHASE=first RATE={rate} FRAMES={frames}\n"))?;
        let mut machine = self.boot()?;
        let up = machine.console.expect("up", BOOT)?;
        report.boot_s = up.at.duration_since(machine.began).as_secs_f64();
        report.kernel = up.rest;
        machine.console.expect("ready", STEP)?;
        loop {
            let said = machine.console.next(STEP)?;
            match said.word.as_str() {
                "sent" | "status" => {
                    let (name, told) = said.rest.split_once(' ').context("a name and what was told")?;
                    let told = serde_json::from_str(told).with_context(|| format!("{name}: {told}"))?;
                    report.take(&said.word, name, told);
                }
                "cutting" => break,
                other => bail!("the machine said @{other}"),
            }
        }
        self.wait_for_a_commit()?;
        machine.cut_power()?;
        let records = self.cloud()?["counts"]["records"].as_u64();
        report.at_cut = records.context("the cloud counts no records")?;
        self.keep_what_the_cut_left()?;

        self.write("plan", "PHASE=again RATE=0 FRAMES=0\n")?;
        let mut machine = self.boot()?;
        machine.console.expect("up", BOOT)?;
        machine.console.expect("ready", STEP)?;
        for (word, name) in [("sent", "after"), ("status", "after")] {
            let said = machine.console.expect(word, STEP)?;
            let told = said.rest.strip_prefix(name).context("another step than expected")?;
            report.take(word, name, serde_json::from_str(told)?);
        }
        machine.console.expect("drained", STEP)?;
        machine.console.expect("done", STEP)?;
        machine.wait(STEP)?;
        if self.kind == Kind::Uml {
            report.again = self.steps(&AGAIN)?;
        }
        report.update = self.take_an_update()?;
        report.same_verdicts = self.same_verdicts()?;
        report.recording = self.has_recording;
        report.cloud = self.cloud()?;
        report.witness = self.witness()?;
        Ok(report)
    }

    /// Sends at each of these rates, frames a second on four buses together, ten seconds each to an agent that starts
    /// afresh; gives what the sender and the agent told of each.
    pub(super) fn sweep(mut self, rates: &[u32]) -> Result<Vec<Step>> {
        self.steps(rates).with_context(|| self.logs())
    }

    fn steps(&mut self, rates: &[u32]) -> Result<Vec<Step>> {
        let list: Vec<String> = rates.iter().map(u32::to_string).collect();
        self.write("plan", &format!("PHASE=load SWEEP=\"{}\"\n", list.join(" ")))?;
        let mut machine = self.boot()?;
        machine.console.expect("up", BOOT)?;
        let mut steps = Vec::new();
        for rate in rates {
            let mut told = |word: &str| {
                let said = machine.console.expect(word, STEP)?;
                let (_, told) = said.rest.split_once(' ').context("a rate and what was told")?;
                Ok::<Value, anyhow::Error>(serde_json::from_str(told)?)
            };
            let (sent, status) = (told("sent")?, told("status")?);
            let capture = &status["capture"];
            let count = |value: &Value| value.as_u64().context("the machine told no number");
            steps.push(Step {
                rate: *rate,
                sent_per_s: sent["per_second"].as_f64().context("the sender told no rate")?,
                sent: count(&sent["sent"])?,
                heard: count(&capture["frames"])?,
                lost: count(&capture["lost"])?,
                p50_us: count(&capture["score_latency"]["p50_us"])?,
                p99_us: count(&capture["score_latency"]["p99_us"])?,
            });
        }
        machine.console.expect("done", STEP)?;
        machine.wait(STEP)?;
        Ok(steps)
    }

    fn job(&self) -> PathBuf {
        self.folder.join("job")
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.job().join(name);
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    }

    fn copy(&self, from: &Path, name: &str) -> Result<()> {
        fs::copy(from, self.job().join(name))
            .with_context(|| format!("{} cannot be copied", from.display()))?;
        Ok(())
    }

    fn boot(&self) -> Result<Machine> {
        Machine::boot(self.kind, &self.job(), &self.folder.join("disk.img"), &self.folder.join("kernel.log"))
    }

    /// Returns at the moment when the cloud writes its database: before the vehicle can know that it did.
    fn wait_for_a_commit(&self) -> Result<()> {
        let journal = self.folder.join("fleet.db-wal");
        let state = || fs::metadata(&journal).and_then(|meta| Ok((meta.len(), meta.modified()?))).ok();
        // One that is surely of this phase, then the next.
        for _ in 0..2 {
            let (before, began): (Option<(u64, SystemTime)>, _) = (state(), Instant::now());
            while state() == before {
                ensure!(began.elapsed() < COMMIT, "the vehicle syncs nothing");
                sleep(Duration::from_micros(200));
            }
        }
        Ok(())
    }

    /// The spool as a power cut left it on the disk: the journal replayed as the next boot will, on a copy.
    fn keep_what_the_cut_left(&self) -> Result<()> {
        let copy = self.folder.join("cut.img");
        fs::copy(self.folder.join("disk.img"), &copy).context("the disk cannot be copied")?;
        // Its status tells of repairs; what counts is what can be read afterwards.
        let _ = shell::program("/sbin/e2fsck")
            .args(["-f", "-y"])
            .arg(&copy)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let to = self.folder.join("cut");
        fs::create_dir(&to)?;
        let dump = format!("rdump /spool {}", to.display());
        shell::output(shell::program("/sbin/debugfs").args(["-R", &dump]).arg(&copy))?;
        ensure!(to.join("spool").is_dir(), "the disk holds no spool after the cut");
        Ok(())
    }

    /// What of the cut's spool is at the cloud: the witness compares record by record.
    fn witness(&self) -> Result<Value> {
        let mut witness = shell::program(&self.programs.witness);
        witness.arg(self.folder.join("cut/spool")).arg(self.folder.join("fleet.db"));
        Ok(serde_json::from_str(&shell::output(&mut witness)?)?)
    }

    /// The cloud's line on the vehicle.
    fn cloud(&mut self) -> Result<Value> {
        ensure!(self.cloud.try_wait()?.is_none(), "the cloud has ended");
        let fleet: Value = serde_json::from_str(&http::get(self.pages, "/api/vehicles")?)?;
        fleet["vehicles"].get(0).cloned().context("the cloud has heard of no vehicle")
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        let _ = self.cloud.kill();
        let _ = self.cloud.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// An authority, a vehicle's certificate and a cloud; gives where vehicles and people find it.
fn start_cloud(folder: &Path, programs: &Programs, kind: Kind) -> Result<(Child, SocketAddr, SocketAddr)> {
    let pki = folder.join("pki");
    let cloud = |words: &[&str]| {
        let mut command = shell::program(&programs.cloud);
        command.args(words).env("RUST_LOG", "warn");
        command
    };
    shell::output(cloud(&["pki", "init", "--host", HOST, "--dir"]).arg(&pki))?;
    let enroll = ["enroll", "--vehicle", kind.name(), "--pki"];
    shell::output(cloud(&enroll).arg(&pki).arg("--out").arg(folder.join("vehicle")))?;
    let ready = folder.join("ready");
    let said = File::create(folder.join("cloud.log"))?;
    let mut serve = cloud(&["serve", "--listen", "127.0.0.1:0", "--dashboard", "127.0.0.1:0", "--pki"]);
    serve.arg(&pki).arg("--db").arg(folder.join("fleet.db")).arg("--ready-file").arg(&ready);
    serve
        .arg("--repository")
        .arg(folder.join(REPOSITORY))
        .arg("--director-key")
        .arg(folder.join(DIRECTOR_KEY));
    let mut child = serve.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said).spawn()?;
    let began = Instant::now();
    while !ready.exists() {
        if child.try_wait()?.is_some() || began.elapsed() > BOOT {
            let _ = child.kill();
            bail!(
                "the cloud does not start: {}",
                fs::read_to_string(folder.join("cloud.log")).unwrap_or_default()
            );
        }
        sleep(Duration::from_millis(20));
    }
    let told = fs::read_to_string(&ready)?;
    let address = |name: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|line| line.parse().ok()).with_context(|| format!("the cloud tells no {name}: {told}"))
    };
    Ok((child, address("vehicles")?, address("dashboard")?))
}
