//! An agent at work, asked and told from outside: the real binary, its real sockets and signals.

use crate::{rig, spooled};
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use telltale_cloud::pki::{Existing, Pki, Validity};
use telltale_wire::agent_event::AgentChange;
use telltale_wire::ids::VehicleId;
use telltale_wire::record::Record;
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
    stdin: Option<ChildStdin>,
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
        Agent { folder, process, said, log: Vec::new(), stdin }
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

    /// Ends it as systemd would.
    fn end(&mut self) {
        self.signal("-TERM");
        let status = self.process.wait().unwrap();
        self.log.extend(self.said.iter());
        assert!(status.success(), "{status}\n{}", self.log.join("\n"));
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
    prepare_files(folder, config);
    let log = folder.join("drive.log");
    rig::telltale_ok(&["simulate", "--hours", HOURS, "-o", rig::text(&log)]);
}

fn prepare_files(folder: &Path, config: &str) {
    for entry in fs::read_dir(rig::cell_fault()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    fs::copy(rig::cell_fault().join("catalog-sim.toml"), folder.join("catalog.toml")).unwrap();
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

#[test]
fn a_reload_changes_what_it_may_and_refuses_the_rest_with_its_reason() {
    let mut agent = Agent::start(CONFIG);
    agent.hear("control socket");
    let before = agent.status_when(|status| status["models"][0]["window_age_s"].is_f64());
    let config = agent.path("telltale.toml");

    // A catalog that is broken, by SIGHUP: the old one goes on.
    let catalog = fs::read_to_string(agent.path("catalog.toml")).unwrap();
    fs::write(agent.path("catalog.toml"), catalog.replace("[[bus]]", "[[omnibus]]")).unwrap();
    agent.signal("-HUP");
    let said = agent.hear("the reload is refused");
    assert!(said.contains("catalog.toml") && said.contains("the catalog has no bus"), "{said}");
    let still = agent.status();
    assert_eq!(still["agent"]["catalog"], before["agent"]["catalog"]);

    // What can't change is named.
    fs::write(agent.path("catalog.toml"), &catalog).unwrap();
    fs::write(&config, CONFIG.replace("bench-01", "bench-02").replace("dir = \"spool\"", "dir = \"other\""))
        .unwrap();
    let socket = agent.path("spool/control.sock");
    let said = rig::telltale_fails(&["reload", "--socket", rig::text(&socket)]);
    assert!(said.contains("`vehicle`, `spool` can't change"), "{said}");

    // A catalog with a limit more, and another log level: the pipeline is another one, the counts go on.
    fs::write(agent.path("catalog.toml"), format!("{catalog}\n# the same, by another digest\n")).unwrap();
    fs::write(&config, format!("{CONFIG}\nlog = {{ level = \"debug\" }}\n")).unwrap();
    agent.signal("-HUP");
    agent.hear("reloaded");
    let after = agent.status();
    assert_ne!(after["agent"]["catalog"], before["agent"]["catalog"]);
    let frames = |status: &Value| status["capture"]["frames"].as_u64().unwrap();
    assert!(frames(&after) >= frames(&before));
    assert!(after["models"][0]["window_age_s"].is_null(), "the windows began anew: {}", after["models"][0]);

    // The same again: the model keeps its windows.
    agent.status_when(|status| status["models"][0]["window_age_s"].is_f64());
    assert!(agent.ask(&["reload"]).starts_with("reloaded: catalog "));
    assert!(agent.status()["models"][0]["window_age_s"].is_f64());

    agent.ask(&["log-level", "warn"]);
    agent.end();
    let changes: Vec<_> = spooled::records(&agent.path("spool"))
        .into_iter()
        .filter_map(|record| if let Record::Agent(event) = record { Some(event.change) } else { None })
        .collect();
    let [AgentChange::ReloadRefused { why }, AgentChange::ReloadRefused { .. }, first, second] = &changes[..]
    else {
        panic!("{changes:?}")
    };
    assert!(why.contains("the catalog has no bus"), "{why}");
    let digest = |change: &AgentChange| match change {
        AgentChange::Reloaded { catalog, models } => (catalog.to_hex(), models.len()),
        other => panic!("{other:?}"),
    };
    assert_eq!(digest(first), (after["agent"]["catalog"].as_str().unwrap().to_owned(), 1));
    assert_eq!(digest(first), digest(second));
}

#[test]
fn figures_are_scraped_over_http() {
    let mut agent = Agent::start(&format!("{CONFIG}\nmetrics = {{ listen = \"127.0.0.1:0\" }}\n"));
    let said = agent.hear("metrics on http://");
    let address = said.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    };
    let page = get("/metrics");
    assert!(page.starts_with("HTTP/1.1 200 OK"), "{page}");
    assert!(page.contains("content-type: text/plain; version=0.0.4"), "{page}");
    let frames = || {
        let page = get("/metrics");
        let line =
            page.lines().find_map(|line| line.strip_prefix("telltale_frames_total{fate=\"decoded\"} "));
        line.unwrap().parse::<u64>().unwrap()
    };
    let first = frames();
    assert!(frames() > first);
    assert!(page.contains("# TYPE telltale_frames_total counter\n"));
    assert!(page.contains("telltale_info{vehicle=\"bench-01\""));
    assert!(get("/").starts_with("HTTP/1.1 404"));
    agent.end();
}

/// What a service manager would hear.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn at(path: &Path) -> Manager {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager { socket }
    }

    fn next(&self) -> String {
        let mut text = [0; 1024];
        let len = self.socket.recv(&mut text).expect("the agent tells its manager nothing");
        String::from_utf8(text[..len].to_vec()).unwrap()
    }

    /// Waits for a message that contains this.
    fn hear(&self, what: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let text = self.next();
            if text.contains(what) {
                return text;
            }
            assert!(Instant::now() < until, "not told: {what}");
        }
    }
}

#[test]
fn the_service_manager_is_told_and_the_watchdog_is_fed() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("notify");
    let manager = Manager::at(&path);
    let environment = [("NOTIFY_SOCKET", rig::text(&path)), ("WATCHDOG_USEC", "1000000")];
    let mut agent = Agent::start_with(CONFIG, &environment);
    manager.hear("READY=1");
    for _ in 0..3 {
        let text = manager.hear("WATCHDOG=1");
        assert!(text.contains("STATUS=") && text.contains("records wait"), "{text}");
    }
    agent.signal("-HUP");
    let text = manager.hear("RELOADING=1");
    assert!(text.split_once("MONOTONIC_USEC=").unwrap().1.trim().parse::<u64>().unwrap() > 0);
    manager.hear("READY=1");
    agent.end();
    manager.hear("STOPPING=1");
}

#[test]
fn a_capture_thread_that_is_stuck_starves_the_watchdog() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("notify");
    let manager = Manager::at(&path);
    let environment = [("NOTIFY_SOCKET", rig::text(&path)), ("WATCHDOG_USEC", "400000")];
    let config = CONFIG.replace("path = \"drive.log\", pace = \"300\"", "path = \"-\"");
    let mut agent = Agent::start_with(&config, &environment);
    // A log that goes on for a second and then neither continues nor ends: a read that never returns.
    for n in 0..20_000 {
        let line = format!("({}.{:06}) can0 123#00\n", 1_700_000_000 + n / 100, n % 100 * 10_000);
        agent.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    }
    manager.hear("READY=1");
    manager.hear("the capture thread does not turn");
    for _ in 0..5 {
        let text = manager.next();
        assert!(!text.contains("WATCHDOG=1"), "{text}");
    }
    drop(agent.stdin.take());
    assert!(agent.process.wait().unwrap().success());
}

#[test]
fn the_journal_is_given_priorities_instead_of_times() {
    let folder = tempfile::tempdir().unwrap();
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let stat = log.metadata().unwrap();
    let status = Command::new(rig::program("telltale"))
        .args(["status", "--socket", "nowhere.sock"])
        .env("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino()))
        .stderr(log)
        .status();
    assert_eq!(status.unwrap().code(), Some(1));
    let said = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(said.starts_with("<3>no agent listens on nowhere.sock"), "{said}");
}

#[test]
fn an_engineer_watches_and_looks_into_the_spool() {
    let mut agent = Agent::start(CONFIG);
    agent.hear("control socket");
    agent.status_when(|status| status["models"][0]["window_age_s"].is_f64());
    let frame = agent.ask(&["top", "--once", "--width", "110", "--height", "30"]);
    println!("{frame}");
    assert_eq!(frame.lines().count(), 30);
    for expected in ["bench-01", "running", "cell-fault", "critical", "none configured", "signals: "] {
        assert!(frame.contains(expected), "{expected} is missing in\n{frame}");
    }
    let spool = agent.path("spool");
    let before = listing(&spool);
    rig::telltale_ok(&["spool", "inspect", rig::text(&spool)]);
    agent.end();
    let text = rig::telltale_ok(&["spool", "inspect", rig::text(&spool)]);
    assert!(text.contains("status-00000000-") && text.contains("cursor: "), "{text}");
    assert!(!before.is_empty());

    let before = listing(&spool);
    let told =
        rig::telltale_ok(&["spool", "inspect", rig::text(&spool), "--json", "--records", "--lane", "status"]);
    assert_eq!(listing(&spool), before, "looking changed the spool");
    let mut lines = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let head = lines.next().unwrap();
    assert!(head["segments"].as_array().unwrap().iter().all(|segment| segment["lane"] == "status"));
    let first = lines.next().unwrap();
    assert_eq!((first["seq"].as_u64(), first["kind"].as_u64()), (Some(1), Some(1)));
    assert_eq!(first["record"]["agent_version"], env!("CARGO_PKG_VERSION"));
}

/// Every file of a folder with its bytes.
fn listing(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let mut files: Vec<_> = files.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn a_check_names_every_fault_with_its_line_and_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    prepare_files(dir, CONFIG);
    let config = dir.join("telltale.toml");
    let text = rig::telltale_ok(&["check", "--config", rig::text(&config)]);
    assert!(text.ends_with("telltale.toml: ok, 0 warnings\n"), "{text}");

    let wrong = CONFIG.replace("summary_s", "sumary_s").replace("catalog = ", "catlog = ");
    fs::write(&config, wrong).unwrap();
    let output = rig::telltale(&["check", "--config", rig::text(&config)]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains("telltale.toml:3: error: unknown field `catlog`"), "{told}");
    assert!(told.contains("did you mean `catalog`?") && told.contains("did you mean `summary_s`?"), "{told}");

    // Certificates: a pair that holds for a day, of another vehicle, and a key for everyone to read.
    let pki = Pki::init(&dir.join("pki"), &[], Existing::Keep).unwrap();
    let other = VehicleId::new("bench-02").unwrap();
    let files = pki.enroll(&other, &dir.join("other"), Validity::days(1), Existing::Keep).unwrap();
    let uplink = format!(
        "[uplink]\nurl = \"https://127.0.0.1:1\"\nca = {:?}\ncert = {:?}\nkey = {:?}\n",
        files.authority, files.certificate, files.key
    );
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
    let with_uplink = format!("{CONFIG}\n{uplink}");
    fs::write(&config, &with_uplink).unwrap();
    let output = rig::telltale(&["check", "--config", rig::text(&config)]);
    let told = String::from_utf8(output.stdout).unwrap();
    let line = 1 + with_uplink.lines().position(|line| line.starts_with("cert = ")).unwrap();
    assert!(
        told.contains(&format!("telltale.toml:{}: error: the certificate names the vehicle bench-02", line)),
        "{told}"
    );
    assert!(told.contains("vehicle.pem expires on 20"), "{told}");
    assert!(told.contains("everybody may read the key"), "{told}");

    // A catalog's faults keep their own places; a folder that is no model's is found beside them.
    let catalog = fs::read_to_string(dir.join("catalog.toml")).unwrap();
    fs::write(
        dir.join("catalog.toml"),
        format!("{catalog}\n[[signal]]\nvss = \"Vehicle.X\"\nsignal = \"NoSuch\"\n"),
    )
    .unwrap();
    fs::write(&config, CONFIG).unwrap();
    let told = String::from_utf8(rig::telltale(&["check", "--config", rig::text(&config)]).stdout).unwrap();
    let line = catalog.lines().count() + 4;
    assert!(told.contains(&format!("catalog.toml:{line}: error: ")) && told.contains("NoSuch"), "{told}");
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    rig::telltale_ok(&["man", "--dir", rig::text(folder.path())]);
    let run = fs::read_to_string(folder.path().join("telltale-run.1")).unwrap();
    assert!(run.contains(".TH telltale-run 1") || run.contains(".TH run 1"), "{run}");
    for page in ["telltale.1", "telltale-top.1", "telltale-spool-inspect.1"] {
        assert!(folder.path().join(page).is_file(), "{page}");
    }
}
