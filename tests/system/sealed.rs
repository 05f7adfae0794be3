//! Sealed models from end to end, by the real programs: sealed by the builder, carried and kept sealed, opened in the memory
//! of the one vehicle that the director wrapped their key for, and of no other.

use crate::bench::{Bench, Process};
use crate::over_the_air::{PATIENCE, bench};
use crate::release::{HARDWARE, Release, build, called};
use crate::rig;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use telltale_wire::bundle::BundleIndex;
use telltale_wire::digest::Digest;

/// One vehicle is the whole fleet.
const PLAN: &str = "
[[wave]]
percent = 100
";

/// The vehicle demands what this is about.
const SEALED: &str = "sealing_key = \"sealing.key\"\nrequire_sealed = true\n";

/// Builds a sealed bundle of a model's folder into `bundles`; gives its path.
fn build_sealed(bench: &Bench, model: &Path, release: u32) -> String {
    let (release, bundles) = (release.to_string(), bench.path("bundles"));
    let told = rig::telltale_ok(
        &[
            &["bundle", "build", rig::text(model), "-o", rig::text(&bundles), "--release", &release],
            ["--hardware", HARDWARE, "--author", "ann", "--seal"].as_slice(),
            &["--latency-us", "500000", "--memory-bytes", "268435456"],
        ]
        .concat(),
    );
    let line = told.lines().find(|line| line.contains(".index: ")).unwrap();
    line.split_once(':').unwrap().0.to_owned()
}

fn until(agent: &Process, words: &str) {
    until_one(agent, &[words.to_owned()]);
}

/// Until the agent has said one of these.
fn until_one(agent: &Process, words: &[String]) {
    let start = Instant::now();
    while !words.iter().any(|words| agent.said().contains(words)) {
        assert!(start.elapsed() < PATIENCE, "never said: {words:?}\n{}", agent.said());
        sleep(Duration::from_millis(2));
    }
}

/// Whether any file of a folder holds these bytes.
fn lies_open(folder: &Path, bytes: &[u8]) -> bool {
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::read(&path).unwrap().windows(bytes.len()).any(|run| run == bytes) {
                return true;
            }
        }
    }
    false
}

/// How many chunks of a bundle the vehicle fetched, and how many it has.
fn fetched(agent: &Process, path: &str) -> (usize, usize) {
    let said = agent.said();
    let line = said
        .lines()
        .rev()
        .find(|line| line.contains(&format!("{path}: ")) && line.contains("are to be fetched"));
    let words: Vec<&str> = line
        .unwrap_or_else(|| panic!("{said}"))
        .split(&format!("{path}: "))
        .last()
        .unwrap()
        .split(' ')
        .collect();
    (words[0].parse().unwrap(), words[2].parse().unwrap())
}

#[test]
fn a_sealed_model_reaches_the_one_vehicle_that_can_open_it_through_kills_and_a_change_of_keys() {
    let bench = bench("20", "300", SEALED);
    let release = Release::begin(&bench, &["cell-fault"]);
    let mut agent = bench.agent("agent.toml");
    let config = bench.path("agent.toml");
    let public = || rig::telltale_ok(&["model", "key", "--config", rig::text(&config)]);
    release.wait("/api/vehicles", &agent, PATIENCE, |fleet| fleet.to_string().contains("\"v1\""));
    let start = Instant::now();
    while !release.ask("vehicle keys", "").contains(public().trim()) {
        assert!(start.elapsed() < PATIENCE, "{}", agent.said());
        sleep(Duration::from_millis(50));
    }
    assert_eq!(fs::metadata(bench.path("sealing.key")).unwrap().permissions().mode() & 0o777, 0o600);

    // One that lies open is refused, and the rollout says why.
    let open = build(&bench, &rig::cell_fault(), 1);
    release.publish(&open);
    let rollout = release.roll_out(&open, PLAN);
    let page = format!("/api/rollout/{rollout}");
    let report =
        release.wait(&page, &agent, PATIENCE, |report| report["vehicles"][0]["stage"] == "passed_over");
    assert!(report["vehicles"][0]["reason"].as_str().unwrap().starts_with("not sealed"), "{report:#}");
    release.ask("rollout stop", &format!("--by ann --why open {rollout}"));

    // The sealed one goes the whole way, with the power gone in the middle of it.
    let path = build_sealed(&bench, &rig::cell_fault(), 2);
    release.publish(&path);
    release.ask("model import", "--by ann --content-key bundles/cell-fault.content-key bundles");
    let rollout = release.roll_out(&path, PLAN);
    let states =
        ["downloading", "self-tested", "on trial", "committed"].map(|state| format!("{} {state}", called(2)));
    for reached in 0..3 {
        // A step that a kill kept from being told is not told again; a later one will do.
        until_one(&agent, &states[reached..]);
        agent.kill9();
        agent = bench.agent("agent.toml");
    }
    let page = format!("/api/rollout/{rollout}");
    let report = release.wait(&page, &agent, PATIENCE, |report| report["phase"] == "completed");
    assert_eq!(report["vehicles"][0]["stage"], "committed", "{report:#}");

    // Nothing of it lies open on the vehicle, in the cloud's chunks or in the builder's folder; the search finds what does.
    let model = fs::read(rig::cell_fault().join("cell-fault.int8.onnx")).unwrap();
    let manifest = fs::read(rig::cell_fault().join("model.toml")).unwrap();
    for run in [&model[100..132], &model[1_100..1_132], &manifest[40..72]] {
        assert!(!lies_open(&bench.path("updates"), run), "the vehicle keeps it open");
        assert!(lies_open(&bench.path("bundles"), run), "release 1 lies open there");
    }
    assert!(bench.path("updates/cell-fault.a.key").is_file());

    // The next release fetches what differs. It is another version, so that its manifest and its provenance do.
    let folder = bench.path("changed/cell-fault");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(rig::cell_fault().join("../requirements.txt"), bench.path("changed/requirements.txt")).unwrap();
    for entry in fs::read_dir(rig::cell_fault()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
    }
    let text = fs::read_to_string(folder.join("model.toml")).unwrap();
    let version = text.lines().find(|line| line.starts_with("version = ")).unwrap();
    fs::write(folder.join("model.toml"), text.replace(version, "version = \"9.9.9\"")).unwrap();
    let path = build_sealed(&bench, &folder, 3);
    release.publish(&path);
    // The registry knows the key by now.
    let rollout = release.roll_out(&path, PLAN);
    until(&agent, "release 3 (9.9.9) committed");
    let chunks = |release: u32| -> BTreeSet<Digest> {
        let index = format!("bundles/index/cell-fault/cell-fault-{release}.index");
        BundleIndex::decode(&fs::read(bench.path(&index)).unwrap()).unwrap().chunks.into_iter().collect()
    };
    let differ = chunks(3).difference(&chunks(2)).count();
    let (new, all) = fetched(&agent, &path);
    assert_eq!(new, differ, "of {all} chunks");
    assert!((1..all / 3).contains(&differ), "{differ} of {all} chunks");
    let page = format!("/api/rollout/{rollout}");
    release.wait(&page, &agent, PATIENCE, |report| report["phase"] == "completed");

    // The vehicle's key is lost. What it holds it opens no more, the configured model speaks, and the cloud takes the new
    // key when a person says so.
    agent.terminate();
    assert_eq!(agent.ended(PATIENCE).code(), Some(0), "{}", agent.said());
    let before = public();
    fs::remove_file(bench.path("sealing.key")).unwrap();
    agent = bench.agent("agent.toml");
    until(&agent, "release 3 (9.9.9) rolled back (wrapped for another sealing key)");
    until(&agent, "the cloud holds another sealing key of this vehicle");
    until(&agent, "release 3 (9.9.9) refused (wrapped for another sealing key)");
    assert_ne!(public(), before);
    let list = rig::telltale_ok(&["model", "list", "--config", rig::text(&config)]);
    assert!(list.contains("configured model speaks"), "{list}");
    agent.terminate();
    assert_eq!(agent.ended(PATIENCE).code(), Some(0), "{}", agent.said());
    release.ask("vehicle forget-key", "--by ann --why new-ecu v1");
    agent = bench.agent("agent.toml");
    until(&agent, "release 3 (9.9.9) on trial");
    assert!(
        fetched(&agent, &path).0 > 10,
        "what nothing could open any more was deleted, and is fetched again"
    );
    agent.terminate();
    assert_eq!(agent.ended(PATIENCE).code(), Some(0), "{}", agent.said());
    release.end();
}
