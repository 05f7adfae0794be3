//! What a person sees: the real agent syncs to the real server, and a real browser shows the faulty cell.

use crate::rig;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const BROWSER: &str = "/usr/bin/chromium";

/// For a server's start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that is killed with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_browser_shows_the_cell_that_stands_out() {
    if !Path::new(BROWSER).exists() {
        println!("skipped: {BROWSER} not found: run sudo apt-get install chromium");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let pki = at("pki");
    cloud(&["pki", "init", "--dir", rig::text(&pki)]);
    cloud(&["enroll", "--pki", rig::text(&pki), "--vehicle", "bench-01"]);
    let (_server, vehicles, dashboard) = serve(folder.path());

    let drive = ["--seed", "2", "--hours", "4", "--fault", "cell-drift", "--cell", "42"];
    let log = at("drive.log");
    rig::telltale_ok(&[["simulate"].as_slice(), &drive, &["-o", rig::text(&log)]].concat());
    disturb(&log);
    let model = rig::cell_fault();
    let catalog = model.join("catalog-sim.toml");
    let identity = |file: &str| pki.join("vehicles/bench-01").join(file);
    let config = format!(
        "vehicle = \"bench-01\"\ncatalog = {catalog:?}\nmodels = [{model:?}]\n\
         source = {{ log = {{ path = \"drive.log\" }} }}\nspool = {{ dir = \"spool\" }}\n\
         [uplink]\nurl = \"https://{vehicles}\"\nca = {:?}\ncert = {:?}\nkey = {:?}\n",
        identity("ca.pem"),
        identity("vehicle.pem"),
        identity("vehicle.key"),
    );
    fs::write(at("telltale.toml"), config).unwrap();
    rig::telltale_ok(&["run", "--config", rig::text(&at("telltale.toml"))]);

    let fleet = browse(&format!("http://{dashboard}/"), folder.path());
    assert!(fleet.contains("bench-01") && fleet.contains("Cell42"), "{fleet}");
    let page = browse(&format!("http://{dashboard}/vehicle/bench-01"), folder.path());
    for part in ["Cell42", "Cell96", "anomalous", "deviation_median", "<svg"] {
        assert!(page.contains(part), "the vehicle's page lacks {part:?}:\n{page}");
    }
    let buses = &page[page.find("<h2>Buses</h2>").unwrap()..page.find("<h2>Signals</h2>").unwrap()];
    for part in [
        "error passive, was active",
        "active, was error passive",
        "counters 136 sending, 0 receiving",
        "frames that nobody acknowledged",
        "remote frames",
        "frames shorter than their signals",
        "new among them: 7A1 (1 times)",
    ] {
        assert!(buses.contains(part), "the buses' section lacks {part:?}:\n{buses}");
    }
}

/// What a bus has to suffer, in the middle of a log: a controller that turns passive and recovers, a frame that nobody
/// acknowledged, a remote frame, a frame cut short, an identifier that nobody knows.
fn disturb(log: &Path) {
    let text = fs::read_to_string(log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let (before, after) = lines.split_at(lines.len() / 2);
    let time = before[before.len() - 1].split(' ').next().unwrap();
    let odd = [
        "20000204#0020000000008800",
        "20000020#0000000000008800",
        "180#R",
        "180#00",
        "7A1#00",
        "20000004#0040000000008800",
    ];
    let odd: Vec<String> = odd.iter().map(|frame| format!("{time} can0 {frame}")).collect();
    let disturbed = [before, &odd.iter().map(String::as_str).collect::<Vec<_>>(), after].concat();
    fs::write(log, disturbed.join("\n") + "\n").unwrap();
}

fn cloud(args: &[&str]) {
    let output = Command::new(rig::program("telltale-cloud")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", rig::stderr(&output));
}

/// A server, where vehicles reach it, and where its pages are.
fn serve(folder: &Path) -> (Server, String, String) {
    let ready = folder.join("ready");
    let mut command = Command::new(rig::program("telltale-cloud"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--dashboard", "127.0.0.1:0"]);
    command.arg("--pki").arg(folder.join("pki")).arg("--db").arg(folder.join("fleet.db"));
    command.arg("--ready-file").arg(&ready).stdin(Stdio::null()).stdout(Stdio::null());
    let server = Server(command.stderr(File::create(folder.join("cloud.log")).unwrap()).spawn().unwrap());
    let start = Instant::now();
    loop {
        let text = fs::read_to_string(&ready).unwrap_or_default();
        let address =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(|a| a.trim().to_owned());
        if let (Some(vehicles), Some(dashboard)) = (address("vehicles "), address("dashboard ")) {
            return (server, vehicles, dashboard);
        }
        assert!(start.elapsed() < PATIENCE, "the server is not ready");
        sleep(Duration::from_millis(20));
    }
}

/// The document as the browser has it after loading.
fn browse(address: &str, folder: &Path) -> String {
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    let output = Command::new(BROWSER)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args([profile.as_str(), "--dump-dom", address])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", rig::stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}
