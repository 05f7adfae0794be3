//! A vehicle and its server, in one folder and on one port: started, ended and killed as real programs, and what is
//! left of them read past them.

use crate::{rig, snapshot, spooled};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};
use telltale_wire::ids::{BootId, Lane, Seq};
use telltale_wire::record::RawRecord;

/// For whatever should take a second, on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Key = (BootId, Lane, Seq);
pub(crate) type Records = BTreeMap<Key, RawRecord>;

/// A vehicle and its server in one folder.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let bench = Bench { folder: tempfile::tempdir().unwrap(), port: free_port() };
        let pki = bench.path("pki");
        for args in [
            ["pki", "init", "--dir", rig::text(&pki)].as_slice(),
            &["enroll", "--pki", rig::text(&pki), "--vehicle", "v1"],
        ] {
            let output = Command::new(rig::program("telltale-cloud")).args(args).output().unwrap();
            assert!(output.status.success(), "{args:?}: {}", rig::stderr(&output));
        }
        bench
    }

    /// A drive of so many hours, with a cell that drifts.
    pub(crate) fn drive(&self, log: &str, hours: &str) {
        let log = self.path(log);
        let fault = ["--fault", "cell-drift", "--onset-minutes", "5"];
        rig::telltale_ok(
            &[&["simulate", "--hours", hours], fault.as_slice(), &["-o", rig::text(&log)]].concat(),
        );
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn configure(&self, name: &str, log: &str, pace: &str, summary_s: u32) {
        self.configure_on("spool", name, log, pace, summary_s);
    }

    /// A configuration with its spool in a folder of the bench.
    pub(crate) fn configure_on(&self, spool: &str, name: &str, log: &str, pace: &str, summary_s: u32) {
        let (model, port) = (rig::cell_fault(), self.port);
        let text = format!(
            r#"
vehicle = "v1"
catalog = {catalog:?}
models = [{model:?}]
source = {{ log = {{ path = "{log}", pace = "{pace}" }} }}
summary_s = {summary_s}
status_s = 1
spool = {{ dir = "{spool}" }}

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
    pub(crate) fn agent(&self, config: &str) -> Process {
        self.agent_on(config, Stdio::null(), &[])
    }

    /// An agent that has opened its spool and reads its log from [`Process::stdin`].
    pub(crate) fn agent_that_reads(&self, config: &str, environment: &[(&str, &str)]) -> Process {
        self.agent_on(config, Stdio::piped(), environment)
    }

    fn agent_on(&self, config: &str, stdin: Stdio, environment: &[(&str, &str)]) -> Process {
        let mut command = Command::new(rig::program("telltale"));
        command.envs(environment.iter().copied()).arg("run").arg("--config").arg(self.path(config));
        let agent = Process::start_on(&mut command, stdin, self.path(&format!("{config}.said")));
        assert!(agent.says_within(PATIENCE, "records wait from before"), "{}", agent.said());
        agent
    }

    pub(crate) fn said(&self, config: &str) -> String {
        fs::read_to_string(self.path(&format!("{config}.said"))).unwrap()
    }

    /// A server that takes connections: the same one each time, as far as a vehicle can see.
    pub(crate) fn cloud(&self) -> Process {
        self.cloud_with(&[])
    }

    /// The same with more arguments.
    pub(crate) fn cloud_with(&self, more: &[&str]) -> Process {
        let ready = self.path("ready");
        let _ = fs::remove_file(&ready);
        let mut command = Command::new(rig::program("telltale-cloud"));
        command.arg("serve").arg("--pki").arg(self.path("pki")).arg("--db").arg(self.path("fleet.db"));
        command.args(["--listen", &format!("127.0.0.1:{}", self.port), "--dashboard", "127.0.0.1:0"]);
        command.arg("--ready-file").arg(&ready).args(more);
        let cloud = Process::start(&mut command, self.path("cloud.said"));
        let start = Instant::now();
        while !ready.exists() {
            assert!(start.elapsed() < PATIENCE, "the server is not ready: {}", cloud.said());
            sleep(Duration::from_millis(2));
        }
        cloud
    }

    /// Where people look at the server that was started last.
    pub(crate) fn people(&self) -> SocketAddr {
        let ready = fs::read_to_string(self.path("ready")).unwrap();
        let address = ready.lines().find_map(|line| line.strip_prefix("dashboard ")).unwrap();
        address.trim().parse().unwrap()
    }

    /// What a person reads on a page of a server of this database: its text, without tags.
    pub(crate) fn page(&self, path: &str) -> String {
        let mut cloud = self.cloud();
        let page = snapshot::get(self.people(), path);
        cloud.terminate();
        assert_eq!(cloud.ended(PATIENCE).code(), Some(0), "{}", cloud.said());
        let text = page.split('<').filter_map(|part| part.split_once('>').map(|(_tag, text)| text));
        text.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
    }

    /// Returns at the moment when the server writes its database: before the agent can know that it did. If nothing
    /// is sent for a while, the round is an ordinary one.
    pub(crate) fn wait_for_a_commit(&self) {
        let journal = self.path("fleet.db-wal");
        let state = || fs::metadata(&journal).and_then(|meta| Ok((meta.len(), meta.modified()?))).ok();
        let (before, start) = (state(), Instant::now());
        while state() == before && start.elapsed() < Duration::from_secs(2) {
            sleep(Duration::from_micros(200));
        }
    }

    /// Adds all that waits in the spool of a dead agent to `held`, and gives its number. Only a copy is opened:
    /// opening repairs.
    pub(crate) fn look_into_the_spool(&self, held: &mut Records) -> usize {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(self.path("spool")).unwrap() {
            let entry = entry.unwrap();
            // The agent's control socket lies there, too.
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
            }
        }
        spooled::add(held, copy.path())
    }

    pub(crate) fn fleet(&self) -> Fleet {
        block_on(Fleet::read(&self.path("fleet.db"))).unwrap()
    }

    /// Records in the server's database, which may be running.
    pub(crate) fn stored(&self) -> u64 {
        let count = async {
            let mut db = SqliteConnectOptions::new().filename(self.path("fleet.db")).connect().await?;
            let count: i64 = sqlx::query_scalar("SELECT coalesce(sum(records), 0) FROM vehicles")
                .fetch_one(&mut db)
                .await?;
            db.close().await?;
            Ok::<_, sqlx::Error>(count as u64)
        };
        block_on(count).unwrap()
    }

    /// Bytes and number of the files whose names in a folder of the bench begin so.
    pub(crate) fn size(&self, folder: &str, prefix: &str) -> (u64, usize) {
        let entries = fs::read_dir(self.path(folder)).unwrap().map(Result::unwrap);
        let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        // A file may go between the look at the folder and the look at it.
        let bytes: Vec<u64> = ours.filter_map(|entry| Some(entry.metadata().ok()?.len())).collect();
        (bytes.iter().sum(), bytes.len())
    }
}

/// What the server's database holds, read past the server.
pub(crate) struct Fleet {
    pub(crate) records: Records,
    pub(crate) duplicates: i64,
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
    pub(crate) fn holds_each_once(&self, held: &Records) {
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
    pub(crate) fn has_no_gap(&self) {
        let mut expected = BTreeMap::new();
        for (boot, lane, seq) in self.records.keys() {
            let next = expected.entry((*boot, *lane)).or_insert(Seq::FIRST);
            assert_eq!(seq, next, "boot {boot}, lane {lane}: a number is missing");
            *next = next.next();
        }
    }
}

/// A program that is killed with the test, however that ends.
pub(crate) struct Process {
    child: Child,
    said: PathBuf,
}

impl Process {
    pub(crate) fn start(command: &mut Command, said: PathBuf) -> Process {
        Process::start_on(command, Stdio::null(), said)
    }

    fn start_on(command: &mut Command, stdin: Stdio, said: PathBuf) -> Process {
        let file = File::create(&said).unwrap();
        let child = command.env("RUST_LOG", "info").stdin(stdin).stdout(Stdio::null()).stderr(file);
        Process { child: child.spawn().unwrap(), said }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, of one that reads.
    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.said).unwrap()).into_owned()
    }

    pub(crate) fn says_within(&self, limit: Duration, words: &str) -> bool {
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
    pub(crate) fn kill9(&mut self) -> bool {
        let alive = self.child.try_wait().unwrap().is_none();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        alive
    }

    /// SIGTERM.
    pub(crate) fn terminate(&mut self) {
        self.signal("TERM");
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    pub(crate) fn ended(&mut self, limit: Duration) -> ExitStatus {
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

fn block_on<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A port below those that the kernel gives to outgoing connections: it stays free while the server is dead.
fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let start = 10_000 + (std::process::id() % 20_000) as u16;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let next = || Some(start + TAKEN.fetch_add(1, Ordering::Relaxed)).filter(|port| *port < 32_000);
    std::iter::from_fn(next).find(free).expect("a free port")
}
