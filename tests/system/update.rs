//! Models over the air, the real agent against real repositories: a good one goes through shadow and trial to commit, a
//! bad one is stopped at its gate with the old one running on, and neither a cut line nor a kill costs more than time.

use crate::bench::{Bench, Process};
use crate::rig;
use crate::update_server::{Model, Server};
use std::fs;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};
use telltale_wire::record::Record;
use telltale_wire::update::ShadowReport;

/// For what takes some seconds, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// The pace of the drive: a window of thirty seconds in 0.4 s.
const PACE: &str = "75";

/// Hours of driving, of which a test sees as much as it needs.
const HOURS: &str = "6";

/// A bench with a drive, the shipped model on short windows as the configured one, and a server.
fn rig() -> (Bench, Server, Model) {
    let bench = Bench::new();
    let log = bench.path("drive.log");
    rig::telltale_ok(&["simulate", "--hours", HOURS, "-o", rig::text(&log)]);
    let model = Model::shipped();
    model.install(&bench.path("model"));
    let (catalog, port) = (rig::cell_fault().join("catalog-sim.toml"), bench.port);
    let text = format!(
        r#"
vehicle = "v1"
catalog = {catalog:?}
models = ["model"]
source = {{ log = {{ path = "drive.log", pace = "{PACE}" }} }}
summary_s = 10
spool = {{ dir = "spool" }}

[uplink]
url = "https://127.0.0.1:{port}"
ca = "pki/vehicles/v1/ca.pem"
cert = "pki/vehicles/v1/vehicle.pem"
key = "pki/vehicles/v1/vehicle.key"

[update]
dir = "updates"
director_root = "director-root.json"
image_root = "image-root.json"
hardware = "bench-a"
shadow = {{ windows = 4, minutes = 1 }}
trial = {{ windows = 4, minutes = 1 }}
attempts = 3
"#
    );
    fs::write(bench.path("agent.toml"), text).unwrap();
    let server = Server::start(&bench);
    (bench, server, model)
}

fn list(bench: &Bench) -> String {
    rig::telltale_ok(&["model", "list", "--config", rig::text(&bench.path("agent.toml"))])
}

fn shadow_reports(server: &Server, release: u32) -> Vec<ShadowReport> {
    let held = server.held();
    let reports = held.records.iter().filter_map(|record| match record {
        Record::Shadow(report) if report.release == release => Some(report.clone()),
        _ => None,
    });
    reports.collect()
}

const GOOD: [&str; 7] =
    ["offered", "downloading", "staged", "self-tested", "in shadow", "on trial", "committed"];

/// Ends the agent in good order.
fn end(mut agent: Process) {
    agent.terminate();
    assert_eq!(agent.ended(PATIENCE).code(), Some(0), "{}", agent.said());
}

#[test]
fn each_bad_bundle_is_stopped_at_its_gate_and_a_good_one_is_committed() {
    let (bench, mut server, good) = rig();
    let agent = bench.agent("agent.toml");
    let calibrated = |to: &str| {
        let is_calibration = |line: &&str| line.starts_with("calibration = ");
        let line = good.manifest.lines().find(is_calibration).unwrap();
        good.manifest.replace(line, to)
    };
    let bad = [
        (
            Model { golden: good.golden.replacen("output = \"06\"", "output = \"07\"", 1), ..good.clone() },
            vec!["offered", "downloading", "staged", "refused (golden outputs differ)"],
        ),
        (
            Model { onnx: good.onnx[..900].to_vec(), ..good.clone() },
            vec!["offered", "downloading", "staged", "refused (can't be loaded)"],
        ),
        (
            Model { latency_us: 1, ..good.clone() },
            vec!["offered", "downloading", "staged", "refused (too slow)"],
        ),
        (
            Model {
                manifest: calibrated("calibration = { slope = 0.0, intercept = 0.0 }")
                    .replace("scale = 0.09448818862438202", "scale = 3e38"),
                ..good.clone()
            },
            vec![
                "offered",
                "downloading",
                "staged",
                "self-tested",
                "in shadow",
                "refused (an output that is no number)",
            ],
        ),
        (
            Model { manifest: calibrated("calibration = { slope = 1.0, intercept = 30.0 }"), ..good.clone() },
            vec![
                "offered",
                "downloading",
                "staged",
                "self-tested",
                "in shadow",
                "refused (disagrees with the model before)",
            ],
        ),
    ];
    let mut release = 0;
    for (model, expected) in bad {
        release += 1;
        server.offer(release, &model);
        let steps = server.wait_for(release, expected.last().unwrap(), PATIENCE);
        assert_eq!(steps, expected, "{}", agent.said());
        let told = list(&bench);
        assert!(told.contains("cell-fault: configured model speaks"), "{told}");
    }
    // It disagreed in what it reported, and never spoke.
    let reports = shadow_reports(&server, 5);
    let last = reports.last().expect("a refused shadow is reported");
    assert!(!last.is_trial && last.disagreements.only_candidate_anomalous * 20 > last.compared, "{last:?}");
    assert!(last.candidate.inferences > 0 && last.candidate.max_us > 0, "{last:?}");
    let anomalous = server.held().records.iter().any(|record| {
        matches!(record, Record::Verdict(event) if event.verdict == telltale_wire::record::VerdictCode::Anomalous)
    });
    assert!(!anomalous, "the drive has no fault, and the one that found some was in shadow");

    server.offer(6, &good);
    assert_eq!(server.wait_for(6, "committed", PATIENCE), GOOD, "{}", agent.said());
    let reports = shadow_reports(&server, 6);
    assert!(reports.iter().any(|r| !r.is_trial) && reports.iter().any(|r| r.is_trial), "{reports:?}");
    assert!(reports.iter().all(|report| report.disagreements.total() == 0), "{reports:?}");
    let told = list(&bench);
    assert!(told.contains("release 6 (1.6.0) speaks\n") && told.contains("the floor is 6"), "{told}");
    assert!(!told.contains("failed here: "), "the floor forbids them: {told}");

    // The person's part: older ones stay away, and there is a way back.
    let config = bench.path("agent.toml");
    let ask = |arguments: &[&str]| {
        rig::telltale_ok(&[&["model"], arguments, &["--config", rig::text(&config)]].concat())
    };
    assert!(ask(&["rollback", "cell-fault", "--release", "6"]).contains("configured model speaks"));
    server.wait_for(6, "rolled back (asked for)", PATIENCE);
    end(agent);
    let told = ask(&["list"]);
    assert!(
        told.contains("configured model speaks") && told.contains("failed here: 6 (asked for)"),
        "{told}"
    );
    assert!(ask(&["pin", "cell-fault"]).contains("pinned"), "without an agent, too");
    assert!(!ask(&["forget", "cell-fault", "--release", "6"]).contains("failed here"));
}

#[test]
fn a_line_cut_after_each_chunk_and_an_agent_killed_in_each_state_cost_no_byte_twice() {
    let (bench, mut server, good) = rig();
    server.cuts_after_each_chunk.store(true, Ordering::Relaxed);
    let index = server.offer(1, &good);
    let mut agent = bench.agent("agent.toml");
    let sent =
        |server: &Server| server.held().sent.iter().filter(|(name, _)| name.starts_with("chunk/")).count();
    let start = Instant::now();
    while sent(&server) < 5 {
        assert!(start.elapsed() < PATIENCE, "{}", agent.said());
        sleep(Duration::from_millis(5));
    }
    agent.kill9();
    agent = bench.agent("agent.toml");
    let steps = ["staged", "in shadow", "on trial", "committed"];
    for reached in 0..3 {
        // A step that is told twice is told by one log alone; a later one will do.
        let start = Instant::now();
        let is_there = |said: &str| {
            steps[reached..].iter().any(|step| said.contains(&format!("release 1 (1.1.0) {step}")))
        };
        while !is_there(&agent.said()) {
            assert!(start.elapsed() < PATIENCE, "{}", agent.said());
            sleep(Duration::from_millis(2));
        }
        agent.kill9();
        agent = bench.agent("agent.toml");
    }
    server.wait_for(1, "committed", PATIENCE);
    let chunks: Vec<(String, u32)> = {
        let held = server.held();
        held.sent
            .iter()
            .filter(|(name, _)| name.starts_with("chunk/"))
            .map(|(n, c)| (n.clone(), *c))
            .collect()
    };
    let digests: std::collections::BTreeSet<_> = index.chunks.iter().collect();
    assert_eq!(chunks.len(), digests.len());
    let twice: Vec<_> = chunks.iter().filter(|(_, count)| *count > 1).collect();
    // A chunk that was on its way when the agent was killed was never verified.
    assert!(twice.len() <= 1, "{twice:?}");
    assert!(
        server.held().cuts as usize + 3 >= digests.len(),
        "{} cuts of {}",
        server.held().cuts,
        digests.len()
    );
    assert!(list(&bench).contains("release 1 (1.1.0) speaks\n"));

    // The next release shares most chunks with this one: only the others come over the line.
    server.cuts_after_each_chunk.store(false, Ordering::Relaxed);
    let calibration = good.manifest.lines().find(|line| line.starts_with("calibration = ")).unwrap();
    // The last digit of the intercept.
    let digit = if calibration.ends_with("5 }") { "6 }" } else { "5 }" };
    let other = format!("{}{digit}", &calibration[..calibration.len() - 3]);
    let changed = Model { manifest: good.manifest.replace(calibration, &other), ..good };
    let next = server.offer(2, &changed);
    server.wait_for(2, "committed", PATIENCE);
    let new = next.chunks.iter().filter(|chunk| !index.chunks.contains(chunk)).count();
    assert_eq!((sent(&server), new), (digests.len() + 1, 1), "one chunk differs, one was fetched");
    end(agent);

    // Flash ages: a chunk that both releases need is no longer what was signed. The configured model speaks, that one
    // chunk is fetched again, and the release comes back the whole way.
    let aged = bench.path("updates").join(format!("{}.chunk", index.chunks[0]));
    let mut bytes = fs::read(&aged).unwrap();
    bytes[7] ^= 1;
    fs::write(&aged, bytes).unwrap();
    let before = server.steps(2).len();
    let agent = bench.agent("agent.toml");
    let start = Instant::now();
    while server.steps(2).len() < before + 8 {
        assert!(start.elapsed() < PATIENCE, "{:?}\n{}", server.steps(2), agent.said());
        sleep(Duration::from_millis(20));
    }
    assert_eq!(server.steps(2)[before], "rolled back (damaged on disk)");
    assert_eq!(server.steps(2)[before + 1..], GOOD);
    assert_eq!(server.held().sent[&format!("chunk/{}", index.chunks[0])], 2);
    end(agent);
}

#[test]
fn a_candidate_that_takes_the_agent_with_it_is_given_up_after_its_attempts() {
    let (bench, mut server, good) = rig();
    let slow = fs::read_to_string(bench.path("agent.toml")).unwrap();
    let slow =
        slow.replace("trial = { windows = 4, minutes = 1 }", "trial = { windows = 100000, minutes = 1 }");
    fs::write(bench.path("agent.toml"), slow).unwrap();
    server.offer(1, &good);
    let mut agent = bench.agent("agent.toml");
    server.wait_for(1, "on trial", PATIENCE);
    for _ in 0..3 {
        agent.kill9();
        agent = bench.agent("agent.toml");
    }
    server.wait_for(1, "rolled back (trial attempts used up)", PATIENCE);
    let told = list(&bench);
    assert!(told.contains("configured model speaks"), "{told}");
    assert!(told.contains("failed here: 1 (trial attempts used up)"), "{told}");
    end(agent);
}
