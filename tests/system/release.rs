//! The people around a fleet, at work with the real programs: who hold keys, build bundles, sign them, import and approve
//! them, and roll them out; with the server that they do it for.

use crate::bench::{Bench, PATIENCE, Process};
use crate::{rig, snapshot};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What the bundles call the vehicle's hardware.
pub(crate) const HARDWARE: &str = "bench-a";

/// Who signs the image repository's snapshots and timestamps, online.
const ONLINE: [&str; 4] = ["--key", "online/snapshot.pem", "--key", "online/timestamp.pem"];

/// Keys, repository and server of one bench.
pub(crate) struct Release<'a> {
    bench: &'a Bench,
    server: Process,
    people: SocketAddr,
}

impl<'a> Release<'a> {
    /// Holds the ceremony, leaves each of `families` to its signer, and starts the server.
    pub(crate) fn begin(bench: &'a Bench, families: &[&str]) -> Release<'a> {
        let cloud = |words: &str| said(bench, words);
        for keys in ["anna/root", "ben/root", "eva/root", "anna/targets", "eva/models"] {
            cloud(&format!("keys generate {keys}"));
        }
        cloud("keys generate online/snapshot online/timestamp online/director");
        cloud(
            "repository init --dir repo --root anna/root.pub --root ben/root.pub --root eva/root.pub \
             --targets anna/targets.pub --snapshot online/snapshot.pub --timestamp online/timestamp.pub \
             --director online/director.pub",
        );
        cloud("repository sign --dir repo --key anna/root.pem --key anna/targets.pem");
        cloud("repository sign --dir repo --key ben/root.pem");
        publish(bench);
        for family in families {
            cloud(&format!("repository delegate --dir repo --family {family} --signer eva/models.pub"));
            cloud("repository sign --dir repo --key anna/targets.pem --key eva/models.pem");
            publish(bench);
        }
        for side in ["director", "image"] {
            let root = bench.path(&format!("repo/{side}/1.root.json"));
            fs::copy(root, bench.path(&format!("{side}-root.json"))).unwrap();
        }
        let director = bench.path("online/director.pem");
        let repository = bench.path("repo");
        let ota = ["--repository", rig::text(&repository), "--director-key", rig::text(&director)];
        let server = bench.cloud_with(&ota);
        Release { bench, server, people: bench.people() }
    }

    /// Has the family's signer sign a bundle of the folder `bundles`, and publishes it.
    pub(crate) fn publish(&self, path: &str) {
        said(self.bench, &format!("repository add --dir repo --from bundles {path}"));
        said(self.bench, "repository sign --dir repo --key eva/models.pem");
        publish(self.bench);
    }

    /// Imports what `bundles` holds and has a second person approve this bundle, write its rollout, and start it; gives
    /// its number.
    pub(crate) fn roll_out(&self, path: &str, plan: &str) -> i64 {
        fs::write(self.bench.path("plan.toml"), plan).unwrap();
        self.ask("model import", "--by ann bundles");
        self.ask("model approve", &format!("--by ben {path}"));
        let model = format!("--by ann --repository repo --model {path} --plan plan.toml --json");
        let written: Value = serde_json::from_str(&self.ask("rollout create", &model)).unwrap();
        let rollout = written["rollout"].as_i64().unwrap();
        self.ask("rollout approve", &format!("--by ben {rollout}"));
        self.ask("rollout start", &format!("--by ann {rollout}"));
        rollout
    }

    /// A command on the server's database, such as `rollout start`, with what follows it; gives what it says.
    pub(crate) fn ask(&self, command: &str, rest: &str) -> String {
        said(self.bench, &format!("{command} --db fleet.db {rest}"))
    }

    /// As JSON, what a page of the server's shows.
    pub(crate) fn json(&self, path: &str) -> Value {
        serde_json::from_str(&snapshot::get(self.people, path)).unwrap()
    }

    /// What a person reads on a page of the server's.
    pub(crate) fn page(&self, path: &str) -> String {
        let page = snapshot::get(self.people, path);
        let text = page.split('<').filter_map(|part| part.split_once('>').map(|(_tag, text)| text));
        text.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
    }

    /// Waits until a page's JSON is as `is_so` wants it; `agent` says what it did if that never happens.
    pub(crate) fn wait(
        &self,
        path: &str,
        agent: &Process,
        limit: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let start = Instant::now();
        loop {
            let found = self.json(path);
            if is_so(&found) {
                return found;
            }
            let said = || format!("{path}: {found:#}\n{}\n{}", agent.said(), self.server.said());
            assert!(start.elapsed() < limit, "{}", said());
            sleep(Duration::from_millis(100));
        }
    }

    /// Ends the server in good order.
    pub(crate) fn end(mut self) {
        self.server.terminate();
        assert_eq!(self.server.ended(PATIENCE).code(), Some(0), "{}", self.server.said());
    }
}

/// Publishes what is staged and signed, with the online keys.
fn publish(bench: &Bench) {
    said(bench, &format!("repository publish --dir repo {}", ONLINE.join(" ")));
}

/// `telltale-cloud` in the bench's folder; `words` are its arguments. Gives what it says.
pub(crate) fn said(bench: &Bench, words: &str) -> String {
    let output = cloud(&bench.path(""), words);
    assert!(output.status.success(), "telltale-cloud {words}: {}", rig::stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The same, whether or not it succeeds.
pub(crate) fn cloud(folder: &Path, words: &str) -> Output {
    let words = words.split_whitespace();
    Command::new(rig::program("telltale-cloud")).args(words).current_dir(folder).output().unwrap()
}

/// Builds a bundle of a model's folder by `telltale bundle build` into `bundles`; gives its path.
pub(crate) fn build(bench: &Bench, model: &Path, release: u32) -> String {
    build_for(bench, model, release, HARDWARE)
}

/// The same for other hardware.
pub(crate) fn build_for(bench: &Bench, model: &Path, release: u32, hardware: &str) -> String {
    let (release, bundles) = (release.to_string(), bench.path("bundles"));
    // A test's machine has other things to do, and the agent under test is not an optimised one.
    let said = rig::telltale_ok(&[
        "bundle",
        "build",
        rig::text(model),
        "-o",
        rig::text(&bundles),
        "--release",
        &release,
        "--hardware",
        hardware,
        "--author",
        "ann",
        "--latency-us",
        "500000",
        "--memory-bytes",
        "268435456",
    ]);
    said.split_once(':').unwrap().0.to_owned()
}

/// A release of the shipped model, as the agent's log calls it.
pub(crate) fn called(release: u32) -> String {
    let manifest = fs::read_to_string(rig::cell_fault().join("model.toml")).unwrap();
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = ")).unwrap();
    format!("release {release} ({})", version.trim_matches('"'))
}
