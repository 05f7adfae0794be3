//! Agent and server end without warning, again and again: every record that was durable in the spool arrives
//! exactly once. And the agent's end with warning: SIGTERM.
//!
//! SIGKILL keeps the page cache, so this proves what the programs do, not what the disk does; the cut of power is
//! proven beside the spool itself.

use crate::rig;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};
use telltale_agent::files::SpoolDirectory;
use telltale_core::spool::{BatchLimits, Spool, SpoolConfig};
use telltale_wire::ids::{BootId, Lane, Seq};
use telltale_wire::record::{RawRecord, Record};
use telltale_wire::sync::Ack;
use telltale_wire::time::{MonoTime, Stamp};

const ROUNDS: u32 = 12;

/// How the agent dies depends on this and on the machine's load.
const SEED: u64 = 42;

/// For whatever should take a second, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pace of the drive: two hours in 2.4 s, so that there is always a next record.
const PACE: &str = "3000";

/// How long an agent may go on without its server.
const GRACE: Duration = Duration::from_millis(300);

/// What an agent says if its connection stood and a request was under way.
const LOST_WHILE_SENDING: &str = "sync failed: the connection was lost";

type Key = (BootId, Lane, Seq);
type Records = BTreeMap<Key, RawRecord>;

#[test]
fn every_durable_record_arrives_exactly_once_though_both_sides_are_killed() {
    let bench = Bench::new();
    let mut dice = Dice(SEED);
    let mut held = Records::new();
    let (mut full_kills, mut sending_kills) = (0, 0);
    let mut cloud = Some(bench.cloud());
    for round in 1..=ROUNDS {
        let mut agent = bench.agent("drive.toml");
        // Killed in the round before, and late: the agent has met a server that is not there.
        cloud.get_or_insert_with(|| bench.cloud());
        sleep(Duration::from_millis(dice.between(50, 900)));
        if round.is_multiple_of(3) {
            bench.wait_for_a_commit();
            cloud.take().unwrap().kill9();
            sending_kills += usize::from(agent.says_within(GRACE, LOST_WHILE_SENDING));
        }
        let alive = agent.kill9();
        let found = bench.look_into_the_spool(round, &mut held);
        full_kills += usize::from(alive && found > 0);
        if cloud.is_none() && round.is_multiple_of(2) {
            cloud = Some(bench.cloud());
        }
    }
    let mut cloud = cloud.unwrap_or_else(|| bench.cloud());
    assert_eq!(bench.agent("tail.toml").ended(PATIENCE).code(), Some(0), "{}", bench.said("tail.toml"));
    assert_eq!(bench.look_into_the_spool(ROUNDS + 1, &mut held), 0, "the drained spool holds records");
    cloud.terminate();
    assert_eq!(cloud.ended(PATIENCE).code(), Some(0), "{}", cloud.said());

    let fleet = bench.fleet();
    println!(
        "{} records seen in the spool, {} in the cloud, {} came twice; {full_kills} kills with records in the \
         spool, {sending_kills} kills of the server while the agent was sending",
        held.len(),
        fleet.records.len(),
        fleet.duplicates
    );
    fleet.holds_each_once(&held);
    fleet.has_no_gap();
    // What was just proven is worth something only if enough happened.
    assert!(held.len() > 500 && fleet.records.len() > held.len(), "too little happened");
    assert!(full_kills >= 5, "only {full_kills} kills hit an agent with records in its spool");
    assert!(sending_kills >= 1, "no kill of the server hit while the agent was sending");
    assert!(fleet.duplicates > 0, "no acknowledgement was lost: nothing was sent twice");
}

#[test]
fn sigterm_ends_the_agent_within_three_seconds_with_everything_durable() {
    let bench = Bench::new();
    // One summary for the whole drive: it exists only if the agent closed it at the signal, and the server that
    // would take it is not there.
    let mut agent = bench.agent("one-summary.toml");
    sleep(Duration::from_millis(500));
    agent.terminate();
    let asked = Instant::now();
    let status = agent.ended(PATIENCE);
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(0), "{}", agent.said());
    assert!(took < Duration::from_secs(3), "it took {took:?}:\n{}", agent.said());
    assert!(agent.said().contains("every record is durable"), "{}", agent.said());

    let mut held = Records::new();
    bench.look_into_the_spool(1, &mut held);
    let records: Vec<Record> = held.values().map(|raw| raw.parse().unwrap()).collect();
    assert!(records.iter().any(|record| matches!(record, Record::Boot(_))), "{records:?}");
    let frames: Vec<u64> = records
        .iter()
        .filter_map(|record| match record {
            Record::Summary(summary) => Some(summary.counts.frames),
            _ => None,
        })
        .collect();
    assert!(matches!(frames[..], [frames] if frames > 1_000), "{frames:?}\n{}", agent.said());
}

#[test]
fn a_second_agent_is_kept_out_of_the_spool_and_told_why() {
    let bench = Bench::new();
    let mut first = bench.agent("one-summary.toml");
    let said = rig::telltale_fails(&["run", "--config", rig::text(&bench.path("one-summary.toml"))]);
    let spool = bench.path("spool");
    assert!(said.contains(&format!("{} is in use by another agent", spool.display())), "{said}");
    first.terminate();
    assert_eq!(first.ended(PATIENCE).code(), Some(0), "the first did not go on: {}", first.said());
}

/// A vehicle and its server in one folder.
struct Bench {
    folder: tempfile::TempDir,
    port: u16,
}

impl Bench {
    fn new() -> Bench {
        let bench = Bench { folder: tempfile::tempdir().unwrap(), port: free_port() };
        let pki = bench.path("pki");
        for args in [
            ["pki", "init", "--dir", rig::text(&pki)].as_slice(),
            &["enroll", "--pki", rig::text(&pki), "--vehicle", "v1"],
        ] {
            let output = Command::new(rig::program("telltale-cloud")).args(args).output().unwrap();
            assert!(output.status.success(), "{args:?}: {}", rig::stderr(&output));
        }
        for (log, hours) in [("drive.log", "2"), ("tail.log", "0.02")] {
            let log = bench.path(log);
            let fault = ["--fault", "cell-drift", "--onset-minutes", "5"];
            let to = ["-o", rig::text(&log)];
            rig::telltale_ok(&[&["simulate", "--hours", hours], fault.as_slice(), &to].concat());
        }
        bench.configure("drive.toml", "drive.log", PACE, 2);
        bench.configure("tail.toml", "tail.log", "max", 2);
        bench.configure("one-summary.toml", "drive.log", PACE, 86_400);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, name: &str, log: &str, pace: &str, summary_s: u32) {
        let (model, port) = (rig::cell_fault(), self.port);
        let text = format!(
            r#"
vehicle = "v1"
catalog = {catalog:?}
models = [{model:?}]
source = {{ log = {{ path = "{log}", pace = "{pace}" }} }}
summary_s = {summary_s}
status_s = 1
spool = {{ dir = "spool" }}

[uplink]
url = "https://127.0.0.1:{port}"
ca = "pki/vehicles/v1/ca.pem"
cert = "pki/vehicles/v1/vehicle.pem"
key = "pki/vehicles/v1/vehicle.key"
"#,
            catalog = model.join("catalog-sim.toml"),
        );
        fs::write(self.path(name), text).unwrap();
    }

    /// An agent that has opened its spool.
    fn agent(&self, config: &str) -> Process {
        let mut command = Command::new(rig::program("telltale"));
        command.arg("run").arg("--config").arg(self.path(config));
        let agent = Process::start(&mut command, self.path(&format!("{config}.said")));
        assert!(agent.says_within(PATIENCE, "records wait from before"), "{}", agent.said());
        agent
    }

    fn said(&self, config: &str) -> String {
        fs::read_to_string(self.path(&format!("{config}.said"))).unwrap()
    }

    /// A server that takes connections: the same one each time, as far as a vehicle can see.
    fn cloud(&self) -> Process {
        let ready = self.path("ready");
        let _ = fs::remove_file(&ready);
        let mut command = Command::new(rig::program("telltale-cloud"));
        command.arg("serve").arg("--pki").arg(self.path("pki")).arg("--db").arg(self.path("fleet.db"));
        command.args(["--listen", &format!("127.0.0.1:{}", self.port), "--dashboard", "127.0.0.1:0"]);
        command.arg("--ready-file").arg(&ready);
        let cloud = Process::start(&mut command, self.path("cloud.said"));
        let start = Instant::now();
        while !ready.exists() {
            assert!(start.elapsed() < PATIENCE, "the server is not ready: {}", cloud.said());
            sleep(Duration::from_millis(2));
        }
        cloud
    }

    /// Returns at the moment when the server writes its database: before the agent can know that it did. If nothing
    /// is sent for a while, the round is an ordinary one.
    fn wait_for_a_commit(&self) {
        let journal = self.path("fleet.db-wal");
        let state = || fs::metadata(&journal).and_then(|meta| Ok((meta.len(), meta.modified()?))).ok();
        let (before, start) = (state(), Instant::now());
        while state() == before && start.elapsed() < Duration::from_secs(2) {
            sleep(Duration::from_micros(200));
        }
    }

    /// Adds all that waits in the spool of a dead agent to `held`, and gives its number. Only a copy is opened:
    /// opening repairs.
    fn look_into_the_spool(&self, round: u32, held: &mut Records) -> usize {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(self.path("spool")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        let me = BootId::new(u32::MAX, round);
        let now = Stamp { mono: MonoTime(0), wall: None };
        let files = SpoolDirectory::open(copy.path()).unwrap();
        let (mut spool, report) = Spool::open(files, SpoolConfig::default(), me, now).unwrap();
        assert_eq!(report.losses, [], "round {round}: a kill cost records that were in the spool");
        let mut found = 0;
        loop {
            let batches = spool.next_batch(now, BatchLimits { records: 2_000, bytes: 1_000_000 });
            if batches.is_empty() {
                return found;
            }
            for batch in &batches {
                assert_ne!(batch.boot, me, "opening a spool without losses wrote records");
                for (number, raw) in (batch.first_seq.0..).zip(&batch.records) {
                    found += 1;
                    let key = (batch.boot, batch.lane, Seq(number));
                    let before = held.insert(key, raw.clone());
                    assert!(
                        before.is_none_or(|before| before == *raw),
                        "{key:?} holds another record than before"
                    );
                }
            }
            let acks =
                batches.iter().map(|b| Ack { boot: b.boot, lane: b.lane, through: b.last_seq().unwrap() });
            spool.ack(now, &acks.collect::<Vec<_>>());
        }
    }

    fn fleet(&self) -> Fleet {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Fleet::read(&self.path("fleet.db"))).unwrap()
    }
}

/// What the server's database holds, read past the server.
struct Fleet {
    records: Records,
    duplicates: i64,
}

impl Fleet {
    async fn read(path: &Path) -> Result<Fleet, sqlx::Error> {
        let mut db: SqliteConnection = SqliteConnectOptions::new().filename(path).connect().await?;
        let rows: Vec<(i64, u8, i64, u16, Vec<u8>)> =
            sqlx::query_as("SELECT boot, lane, seq, kind, body FROM records").fetch_all(&mut db).await?;
        let count = rows.len();
        let record = |(boot, lane, seq, kind, body)| {
            let lane = Lane::from_index(lane).unwrap();
            ((BootId(i64::cast_unsigned(boot)), lane, Seq(i64::cast_unsigned(seq))), RawRecord { kind, body })
        };
        let records: Records = rows.into_iter().map(record).collect();
        assert_eq!(records.len(), count, "a record is stored twice");
        let (counted, duplicates, conflicts, flawed): (i64, i64, i64, i64) =
            sqlx::query_as("SELECT records, duplicates, conflicts, unknown + malformed FROM vehicles")
                .fetch_one(&mut db)
                .await?;
        assert_eq!(counted as usize, count, "a record had its effect twice, or none");
        assert_eq!((conflicts, flawed), (0, 0), "records in conflict; records that do not decode");
        db.close().await?;
        Ok(Fleet { records, duplicates })
    }

    /// Each of `held` is here, and says what it said in the spool.
    fn holds_each_once(&self, held: &Records) {
        let missing: Vec<_> = held.keys().filter(|key| !self.records.contains_key(key)).collect();
        assert!(
            missing.is_empty(),
            "{} durable records never arrived, such as {:?}",
            missing.len(),
            missing[0]
        );
        let other = held.iter().find(|(key, raw)| self.records[key] != **raw);
        assert!(other.is_none(), "arrived with other bytes than the spool held: {other:?}");
    }

    /// The numbers of each lane of each boot run from 1: what was durable only between two looks is here as well.
    fn has_no_gap(&self) {
        let mut expected = BTreeMap::new();
        for (boot, lane, seq) in self.records.keys() {
            let next = expected.entry((*boot, *lane)).or_insert(Seq::FIRST);
            assert_eq!(seq, next, "boot {boot}, lane {lane}: a number is missing");
            *next = next.next();
        }
    }
}

/// A program that is killed with the test, however that ends.
struct Process {
    child: Child,
    said: PathBuf,
}

impl Process {
    fn start(command: &mut Command, said: PathBuf) -> Process {
        let file = File::create(&said).unwrap();
        let child = command.env("RUST_LOG", "info").stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        Process { child: child.spawn().unwrap(), said }
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.said).unwrap()).into_owned()
    }

    fn says_within(&self, limit: Duration, words: &str) -> bool {
        let start = Instant::now();
        while !self.said().contains(words) {
            if start.elapsed() > limit {
                return false;
            }
            sleep(Duration::from_millis(2));
        }
        true
    }

    /// SIGKILL; false if it had ended by itself.
    fn kill9(&mut self) -> bool {
        let alive = self.child.try_wait().unwrap().is_none();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        alive
    }

    /// SIGTERM.
    fn terminate(&mut self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn ended(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < limit, "it does not end:\n{}", self.said());
            sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port below those that the kernel gives to outgoing connections: it stays free while the server is dead.
fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let start = 10_000 + (std::process::id() % 20_000) as u16;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let next = || Some(start + TAKEN.fetch_add(1, Ordering::Relaxed)).filter(|port| *port < 32_000);
    std::iter::from_fn(next).find(free).expect("a free port")
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        low + (z ^ (z >> 31)) % (high - low)
    }
}
