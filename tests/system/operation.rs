//! An agent at work, asked and told from outside: the real binary, its real sockets and signals.

use crate::rig;
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Hours of driving, of which a test sees as much as it needs.
const HOURS: &str = "3";

const CONFIG: &str = r#"
vehicle = "bench-01"
catalog = "catalog.toml"
models = ["."]
source = { log = { path = "drive.log", pace = "300" } }
summary_s = 10
spool = { dir = "spool" }
"#;

/// An agent in a folder of its own, which replays a drive at three hundred times real time.
struct Agent {
    folder: TempDir,
    process: Child,
    said: Receiver<String>,
    /// Everything it said so far.
    log: Vec<String>,
    _stdin: Option<ChildStdin>,
}

impl Agent {
    fn start(config: &str) -> Agent {
        Agent::start_with(config, &[])
    }

    fn start_with(config: &str, environment: &[(&str, &str)]) -> Agent {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path(), config);
        let mut command = Command::new(rig::program("telltale"));
        command.args(["run", "--config"]).arg(folder.path().join("telltale.toml"));
        command.envs(environment.iter().copied()).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let (told, said) = channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| told.send(line)));
        let stdin = process.stdin.take();
        Agent { folder, process, said, log: Vec::new(), _stdin: stdin }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits until it has said so, from here on.
    fn hear(&mut self, what: &str) -> String {
        let until = Instant::now() + PATIENCE;
        while let Ok(line) = self.said.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.log.push(line.clone());
            if line.contains(what) {
                return line;
            }
        }
        panic!("the agent did not say `{what}`; it said:\n{}", self.log.join("\n"));
    }

    /// A command that asks this agent.
    fn ask(&self, arguments: &[&str]) -> String {
        let config = self.path("telltale.toml");
        let arguments = [arguments, &["--config", rig::text(&config)]].concat();
        rig::telltale_ok(&arguments)
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.ask(&["status", "--json"])).unwrap()
    }

    /// Asks until the status is as wanted.
    fn status_when(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < until, "it did not come to that: {status}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Ends it as systemd would, and gives what it said.
    fn end(mut self) -> String {
        self.signal("-TERM");
        let status = self.process.wait().unwrap();
        self.log.extend(self.said.iter());
        let said = self.log.join("\n");
        assert!(status.success(), "{status}\n{said}");
        said
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // One that has ended can't be killed, which is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn prepare(folder: &Path, config: &str) {
    for entry in fs::read_dir(rig::cell_fault()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    fs::copy(rig::cell_fault().join("catalog-sim.toml"), folder.join("catalog.toml")).unwrap();
    let log = folder.join("drive.log");
    rig::telltale_ok(&["simulate", "--hours", HOURS, "-o", rig::text(&log)]);
    fs::write(folder.join("telltale.toml"), config).unwrap();
}

#[test]
fn a_running_agent_tells_what_it_holds() {
    let mut agent = Agent::start(CONFIG);
    agent.hear("control socket");
    let status = agent.status_when(|status| {
        status["models"][0]["subjects"][0]["score"].is_f64()
            && status["capture"]["frames_per_s"].as_f64().is_some_and(|rate| rate > 0.0)
    });
    assert_eq!(status["agent"]["vehicle"], "bench-01");
    assert_eq!(status["agent"]["pid"], agent.process.id());
    assert_eq!(status["capture"]["state"], "running");
    let count = |key: &str| status["capture"][key].as_u64().unwrap();
    let parts = count("decoded") + count("filtered") + count("unknown") + count("malformed");
    assert_eq!(count("frames"), parts);
    assert_eq!(status["buses"][0]["frames"], count("frames"));
    let cell = status["signals"].as_array().unwrap().iter().find(|signal| signal["unit"] == "V").unwrap();
    assert!((2.0..500.0).contains(&cell["value"].as_f64().unwrap()), "{cell}");
    assert!(cell["age_s"].as_f64().unwrap() < 60.0, "{cell}");
    assert_eq!(status["spool"]["lanes"].as_array().unwrap().len(), 4);
    assert!(status["spool"]["appended"].as_u64().unwrap() > 0);
    assert!(status["uplink"].is_null());
    assert!(status["memory"]["pss_bytes"].as_u64().unwrap() > 1_000_000);
    let page = agent.ask(&["status"]);
    assert!(page.contains("bench-01 telltale") && page.contains("model     cell-fault"), "{page}");

    let socket = agent.path("spool/control.sock");
    assert!(socket.exists());
    agent.end();
}

#[test]
fn nobody_there_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let said = rig::telltale_fails(&["status", "--socket", rig::text(&folder.path().join("none.sock"))]);
    assert!(said.contains("no agent listens on") && said.contains("telltale run"), "{said}");
}
