//! Over the air from end to end: keys by the ceremony's commands, bundles by the real builder, the real server with its
//! director, the real agent, mutual TLS between them, and people who only type commands and read pages.

use crate::bench::Bench;
use crate::release::{Release, build, called};
use crate::rig;
use crate::update_server::Model;
use std::fs;
use std::time::Duration;

/// For what takes a minute, on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(400);

/// The pace of the drive: one of the model's windows of five minutes in a second.
const PACE: &str = "300";

/// Hours of driving: more than a test sees.
const HOURS: &str = "12";

/// One vehicle is the whole fleet.
const PLAN: &str = "
[[wave]]
percent = 100
[gates]
pause_above = 0.02
stop_above = 1.0
min_compared = 20
";

/// A bench with a drive, and an agent's configuration that begins with the model that the product ships.
pub(crate) fn bench(hours: &str, pace: &str, more: &str) -> Bench {
    let bench = Bench::new();
    rig::telltale_ok(&["simulate", "--hours", hours, "-o", rig::text(&bench.path("drive.log"))]);
    bench.configure("agent.toml", "drive.log", pace, 60);
    let config = fs::read_to_string(bench.path("agent.toml")).unwrap();
    let update = r#"
[update]
dir = "updates"
director_root = "director-root.json"
image_root = "image-root.json"
hardware = "bench-a"
shadow = { windows = 2, minutes = 10 }
trial = { windows = 2, minutes = 10 }
"#;
    fs::write(bench.path("agent.toml"), format!("{config}{update}{more}")).unwrap();
    bench
}

#[test]
fn a_model_goes_from_its_folder_to_the_vehicle_and_a_bad_one_is_stopped() {
    let bench = bench(HOURS, PACE, "");
    let release = Release::begin(&bench, &["cell-fault"]);
    let mut agent = bench.agent("agent.toml");

    let path = build(&bench, &rig::cell_fault(), 1);
    assert_eq!(path, "cell-fault/cell-fault-1.index");
    release.publish(&path);
    release.wait("/api/vehicles", &agent, PATIENCE, |fleet| fleet.to_string().contains("\"v1\""));
    let rollout = release.roll_out(&path, PLAN);
    let page = format!("/api/rollout/{rollout}");
    let report = release.wait(&page, &agent, PATIENCE, |report| report["phase"] == "completed");
    assert_eq!(report["vehicles"][0]["stage"], "committed", "{report:#}");
    for step in ["offered", "downloading", "staged", "self-tested", "in shadow", "on trial", "committed"] {
        let told = format!("cell-fault: {} {step}", called(1));
        assert_eq!(agent.said().matches(&told).count(), 1, "{told}\n{}", agent.said());
    }
    let read = release.page(&format!("/rollout/{rollout}"));
    assert!(read.contains("completed") && read.contains("v1"), "{read}");
    let read = release.page("/vehicle/v1");
    assert!(read.contains("Updates over the air") && read.contains("committed, release 1 "), "{read}");

    // The next one's golden outputs are not what it gives. Our builder would not have built it, so it is built by hand;
    // everybody signs, and the vehicle finds out.
    let good = Model::of(&rig::cell_fault());
    let bad = Model { golden: good.golden.replacen("output = \"06\"", "output = \"07\"", 1), ..good };
    let path = bad.write(&bench.path("bundles"), 2);
    release.publish(&path);
    let rollout = release.roll_out(&path, PLAN);
    let page = format!("/api/rollout/{rollout}");
    let report = release.wait(&page, &agent, PATIENCE, |report| report["phase"] == "paused");
    let reason = report["vehicles"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("golden outputs differ: vector one-cell: output 0 is"), "{reason}");
    let read = release.page(&format!("/rollout/{rollout}"));
    assert!(read.contains("paused") && read.contains("golden outputs differ"), "{read}");
    let list = rig::telltale_ok(&["model", "list", "--config", rig::text(&bench.path("agent.toml"))]);
    assert!(list.contains(&format!("cell-fault: {} speaks\n", called(1))), "{list}");
    assert!(list.contains("failed here: 2 (golden outputs differ)"), "{list}");
    agent.terminate();
    assert_eq!(agent.ended(PATIENCE).code(), Some(0), "{}", agent.said());
    release.end();
}
