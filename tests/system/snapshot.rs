//! Snapshots from end to end: what a faulty drive's snapshot holds at the cloud is what stands in the log, to the bit;
//! and a person at the vehicle can ask for one.

use crate::{rig, spooled};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};
use telltale_cloud::pki::{Existing, Pki, Validity};
use telltale_cloud::server::{Config, Server};
use telltale_core::catalog::Catalog;
use telltale_core::frame::CanFrame;
use telltale_core::trace::{Format, LineParser};
use telltale_wire::ids::VehicleId;
use telltale_wire::record::Record;
use telltale_wire::snapshot::{self, SnapshotCause, SnapshotPart};
use telltale_wire::time::MonoTime;

const VEHICLE: &str = "bench-01";
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A fleet server on a thread of its own, which ends with the test: where vehicles and where people reach it.
pub(crate) fn serve(dir: &Path) -> (SocketAddr, SocketAddr) {
    let config = Config::new(dir.join("pki"), dir.join("fleet.db"));
    let (told, addresses) = channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::bind(config).await.unwrap();
            told.send((server.vehicle_addr(), server.dashboard_addr().unwrap())).unwrap();
            server.run(std::future::pending()).await;
        });
    });
    addresses.recv_timeout(PATIENCE).unwrap()
}

pub(crate) fn get(people: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(people).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && !head.contains("chunked"), "{path}: {head}");
    body.to_owned()
}

/// By signal and time: the raw integer, and the bits of the physical value where there is one.
pub(crate) type Samples = BTreeMap<(String, u64), (u64, Option<u64>)>;

/// What the log says, read by the DBC's messages: another way than the one that the vehicle decodes by.
pub(crate) fn in_the_log(catalog: &Catalog, log: &Path, from: u64, until: u64) -> Samples {
    let text = fs::read(log).unwrap();
    let mut parser = LineParser::new(Format::sniff(&text).unwrap());
    let mut samples = Samples::new();
    for line in text.split(|byte| *byte == b'\n') {
        let Some(frame) = parser.parse(line).unwrap() else { continue };
        let at = frame.at_us as u64;
        if !(from..until).contains(&at) {
            continue;
        }
        let bus = catalog.bus_of_channel(frame.channel);
        let frame: CanFrame = frame.into_frame(MonoTime(at), bus);
        // A bus that the catalog does not have, or an identifier that no DBC file has.
        let Some(bus_of) = catalog.buses.get(usize::from(bus.0)) else { continue };
        let Some(message) = bus_of.databases[0].message_by_id(frame.id) else { continue };
        for decoded in message.decode(frame.payload()).unwrap() {
            let of_name = |s: &&telltale_core::catalog::CatalogSignal| {
                (s.bus, &s.message, &s.signal) == (bus, &message.name, &decoded.signal.name)
            };
            let Some(signal) = catalog.signals.iter().find(of_name) else { continue };
            let value = if signal.inverted { -decoded.value } else { decoded.value } + 0.0;
            let number = decoded.signal.layout.sign_extend(decoded.raw);
            let sentinel = signal.sentinels.iter().any(|s| *s == number || *s == decoded.raw as i64);
            let is_value = !sentinel && (signal.min..=signal.max).contains(&value);
            samples.insert((signal.vss.clone(), at), (decoded.raw, is_value.then(|| value.to_bits())));
        }
    }
    samples
}

fn in_the_cloud(csv: &str) -> Samples {
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("signal,unit,mono_us,time,raw,value,absent"));
    let sample = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let [name, _, at, _, raw, value, absent] = fields[..] else { panic!("{line}") };
        assert_eq!(value.is_empty(), !absent.is_empty(), "{line}");
        let value = value.parse::<f64>().ok().map(|value| (value + 0.0).to_bits());
        ((name.to_owned(), at.parse().unwrap()), (raw.parse().unwrap(), value))
    };
    lines.map(sample).collect()
}

#[test]
fn a_faults_snapshot_at_the_cloud_is_the_log_to_the_bit() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let pki = Pki::init(&at("pki"), &[], Existing::Keep).unwrap();
    let vehicle = VehicleId::new(VEHICLE).unwrap();
    let files = pki.enroll(&vehicle, &at("vehicle"), Validity::days(1), Existing::Keep).unwrap();
    let (vehicles, people) = serve(dir.path());
    let drive = ["--seed", "2", "--hours", "4", "--fault", "cell-drift", "--cell", "42"];
    let log = at("drive.log");
    rig::telltale_ok(&[["simulate"].as_slice(), &drive, &["-o", rig::text(&log)]].concat());
    let model = rig::cell_fault();
    let catalog = model.join("catalog-sim.toml");
    let config = format!(
        "vehicle = \"{VEHICLE}\"\ncatalog = {catalog:?}\nmodels = [{model:?}]\n\
         source = {{ log = {{ path = \"drive.log\" }} }}\nspool = {{ dir = \"spool\" }}\n\
         [uplink]\nurl = \"https://localhost:{}\"\nca = {:?}\ncert = {:?}\nkey = {:?}\n",
        vehicles.port(),
        files.authority,
        files.certificate,
        files.key,
    );
    fs::write(at("telltale.toml"), config).unwrap();
    rig::telltale_ok(&["run", "--config", rig::text(&at("telltale.toml"))]);

    let report: Value = serde_json::from_str(&get(people, &format!("/api/vehicle/{VEHICLE}"))).unwrap();
    let snapshots = report["snapshots"].as_array().unwrap();
    let line =
        snapshots.iter().find(|line| line["subject"] == "Cell42").unwrap_or_else(|| panic!("{report}"));
    let event =
        report["events"].as_array().unwrap().iter().find(|event| event["subject"] == "Cell42").unwrap();
    assert_eq!((&line["when"]["at"], &line["complete"]), (&event["when"]["at"], &true.into()));
    assert_eq!((&line["before_ms"], &line["missing_ms"]), (&60_000.into(), &0.into()));

    let trigger = (line["when"]["mono_s"].as_f64().unwrap() * 1e6).round() as u64;
    let after = line["after_ms"].as_u64().unwrap() * 1_000;
    let catalog = telltale_agent::load::catalog(&catalog).unwrap();
    let wanted = in_the_log(&catalog, &log, trigger - 60_000_000, trigger + after);
    let found = in_the_cloud(&get(people, &format!("/api/vehicle/{VEHICLE}/snapshot/{}.csv", line["n"])));
    assert!(wanted.len() > 10_000, "the vehicle stood still: {} samples", wanted.len());
    assert_eq!(found.len() as u64, line["samples"].as_u64().unwrap(), "a sample stands twice in the answer");
    let differ = wanted.iter().find(|(key, sample)| found.get(*key) != Some(*sample));
    assert_eq!(differ, None, "found {:?}", differ.map(|(key, _)| found.get(key)));
    assert_eq!(found.len(), wanted.len());
    let each = line["bytes"].as_f64().unwrap() / found.len() as f64;
    println!("{} samples, {each:.3} bytes each", found.len());
    assert!(each < 1.0, "{each} bytes a sample");
    let page = get(people, &format!("/vehicle/{VEHICLE}/snapshot/{}", line["n"]));
    assert!(page.contains("<svg") && page.contains("Cell42.Voltage"), "{page}");
}

/// An agent that is killed with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        // One that has ended can't be killed, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The snapshots in the spool of an agent that has ended.
fn snapshots(spool: &Path) -> Vec<SnapshotPart> {
    let records = spooled::records(spool).into_iter();
    records.filter_map(|record| if let Record::Snapshot(part) = record { Some(part) } else { None }).collect()
}

#[test]
fn a_person_at_the_vehicle_asks_for_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    rig::telltale_ok(&["simulate", "--hours", "3", "-o", rig::text(&at("drive.log"))]);
    let catalog = rig::cell_fault().join("catalog-sim.toml");
    let config = format!(
        "vehicle = \"{VEHICLE}\"\ncatalog = {catalog:?}\nspool = {{ dir = \"spool\" }}\n\
         source = {{ log = {{ path = \"drive.log\", pace = \"120\" }} }}\n"
    );
    let config_file = at("telltale.toml");
    fs::write(&config_file, config).unwrap();
    let mut command = Command::new(rig::program("telltale"));
    command.args(["run", "--config", rig::text(&config_file)]).stdin(Stdio::null());
    let mut agent = Agent(command.spawn().unwrap());
    let until = Instant::now() + PATIENCE;
    while !at("spool/control.sock").exists() {
        assert!(Instant::now() < until, "the agent does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(500));
    let place = ["--config", rig::text(&config_file)];
    let refused = rig::telltale_fails(&[&["snapshot", "--signals", "Vehicle.Sped"][..], &place].concat());
    assert!(refused.contains("no signal of the catalog fits `Vehicle.Sped`"), "{refused}");
    let order =
        ["--before", "20", "--after", "60", "--note", "it smells", "--signals", "Vehicle.Powertrain.*"];
    let begun = rig::telltale_ok(&[&["snapshot"][..], &order, &place].concat());
    assert_eq!(begun, "snapshot 1 has begun\n");
    // The minute behind it takes half a second at this pace; the end of the agent would cut it short.
    thread::sleep(Duration::from_secs(2));
    let pid = agent.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(agent.0.wait().unwrap().success());

    let parts = snapshots(&at("spool"));
    let first = parts.first().expect("no snapshot in the spool");
    assert_eq!(first.cause, SnapshotCause::Command { note: "it smells".into() });
    assert_eq!((first.before_ms, first.after_ms, usize::from(first.parts)), (20_000, 60_000, parts.len()));
    let blocks: Vec<_> = parts.iter().map(|part| snapshot::decode(&part.block).unwrap()).collect();
    let messages = || blocks.iter().flat_map(|block| &block.messages);
    let times: Vec<u64> = messages().flat_map(|message| &message.rows).map(|row| row.at).collect();
    let trigger = first.at.mono.0;
    assert!(times.iter().all(|at| (trigger - 20_000_000..trigger + 60_000_000).contains(at)));
    assert!(times.iter().any(|at| *at < trigger) && times.iter().any(|at| *at > trigger + 50_000_000));
    let names: Vec<&str> = messages().flat_map(|message| &message.signals).map(|s| s.name.as_str()).collect();
    assert!(names.contains(&"Vehicle.Powertrain.TractionBattery.Cell96.Voltage"), "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("Vehicle.Powertrain.")), "{names:?}");
}
