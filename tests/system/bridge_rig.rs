//! The machine with the firmware, the agent beside it, and the line between them.

use crate::{rig, spooled};
use serde_json::Value;
use std::fs;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};
use telltale_core::feature::spec::FeatureSpec;
use telltale_wire::bridge::{
    AgentMessage, Beat, BridgeFrame, BridgeId, BridgeKind, LINK_VERSION, LinkMessage, LinkReader,
    MAX_ENCODED, OnLine as _, Open,
};
use telltale_wire::record::{Counts, LossStage, Record};

/// For whatever should take a second, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// The firmware's stack: its RAM less its variables. The linker script gives it 32 KiB together.
const RAM: u64 = 32 * 1024;

/// A frame of a drive, with its time in seconds.
pub(crate) struct Timed {
    seconds: f64,
    pub(crate) id: u16,
    pub(crate) data: Vec<u8>,
}

impl Timed {
    /// When it is due after the first of its drive, which is played so many times faster.
    pub(crate) fn due(&self, first: &Timed, haste: f64) -> Duration {
        Duration::from_secs_f64(((self.seconds - first.seconds) / haste).max(0.0))
    }
}

/// The frames of a simulated drive that the catalog names.
pub(crate) fn frames_of(log: &Path) -> Vec<Timed> {
    let text = fs::read_to_string(log).unwrap();
    let frame = |line: &str| {
        let mut words = line.split(' ');
        let seconds = words.next().unwrap().trim_matches(['(', ')']).parse().unwrap();
        let (id, data) = words.nth(1).unwrap().split_once('#').unwrap();
        let byte = |at: usize| u8::from_str_radix(&data[2 * at..2 * at + 2], 16).unwrap();
        let data = (0..data.len() / 2).map(byte).collect();
        Timed { seconds, id: u16::from_str_radix(id, 16).unwrap(), data }
    };
    rig::heard(&text).map(frame).collect()
}

/// QEMU with the firmware.
pub(crate) struct Machine {
    child: Child,
    folder: PathBuf,
    elf: PathBuf,
    controller: UnixStream,
    /// The number of the controller's next frame.
    seq: u16,
}

impl Machine {
    /// What is missing to start one.
    pub(crate) fn missing() -> Option<String> {
        let qemu = Command::new("qemu-system-arm").arg("--version").stdout(Stdio::null()).status();
        if qemu.is_err() {
            return Some("qemu-system-arm not found: run sudo apt-get install qemu-system-arm".into());
        }
        firmware().is_none().then(|| "no firmware: `cargo xtask test` builds it".into())
    }

    pub(crate) fn start(folder: &Path) -> Machine {
        let elf = firmware().unwrap();
        let server = |name: &str| format!("unix:{},server=on,wait=off", folder.join(name).display());
        let child = Command::new("qemu-system-arm")
            .args(["-M", "mps2-an386", "-nographic", "-kernel", rig::text(&elf)])
            .args(["-serial", &server("line.sock"), "-serial", &server("can.sock")])
            .args(["-monitor", &server("monitor.sock")])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let controller = connect(&folder.join("can.sock"));
        Machine { child, folder: folder.into(), elf, controller, seq: 0 }
    }

    /// Where its line to the agent is.
    pub(crate) fn line(&self) -> PathBuf {
        self.folder.join("line.sock")
    }

    /// Feeds frames to the controller, so many times faster than they were recorded.
    pub(crate) fn play(&mut self, frames: &[Timed], haste: f64) {
        let started = Instant::now();
        let Some(first) = frames.first() else { return };
        for frame in frames {
            let due = frame.due(first, haste);
            if let Some(early) = due.checked_sub(started.elapsed()).filter(|early| early.as_millis() > 1) {
                sleep(early);
            }
            let message = LinkMessage::Frame(BridgeFrame {
                seq: self.seq,
                at_us: 0,
                id: BridgeId::Standard(frame.id),
                kind: BridgeKind::Classic,
                data: frame.data.iter().copied().collect(),
            });
            self.seq = self.seq.wrapping_add(1);
            let mut bytes = [0; MAX_ENCODED];
            let len = message.encode(&mut bytes);
            self.controller.write_all(&bytes[..len]).unwrap();
        }
    }

    /// Presses the reset button: the processor starts anew, RAM stays as it is.
    pub(crate) fn restart(&self) {
        let mut monitor = connect(&self.folder.join("monitor.sock"));
        monitor.write_all(b"system_reset\n").unwrap();
        sleep(Duration::from_millis(500));
    }

    /// Opens the line as an agent does, and asks the firmware for its state.
    pub(crate) fn ask(&self) -> Beat {
        let started = Instant::now();
        let mut line = connect(&self.line());
        line.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let session = std::process::id().max(1);
        let open = AgentMessage::Open(Open { version: LINK_VERSION, session, window: 0 });
        let (mut bytes, mut reader) = ([0; MAX_ENCODED], LinkReader::new());
        let len = open.encode(&mut bytes);
        let mut chunk = [0; 4096];
        while started.elapsed() < PATIENCE {
            line.write_all(&[0]).unwrap();
            line.write_all(&bytes[..len]).unwrap();
            let read = match line.read(&mut chunk) {
                Ok(read) => read,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(e) => panic!("the firmware's line broke: {e}"),
            };
            for byte in &chunk[..read] {
                match reader.push(*byte) {
                    Some(Ok(LinkMessage::Beat(beat))) if beat.session == session => return beat,
                    _ => {}
                }
            }
        }
        panic!("the firmware did not answer in {PATIENCE:?}")
    }

    /// Every number that the firmware gave came to the agent or was counted by it, but for the readings that it took of
    /// itself after that agent ended.
    pub(crate) fn accounts_for(&self, beat: &Beat, agent: &KeptByAgent) {
        let accounted = agent.counts.frames + agent.losses();
        let since = beat.next.checked_sub(accounted);
        assert!(since.is_some_and(|n| n <= 20), "{accounted} of {} are accounted for: {beat:?}", beat.next);
    }

    /// The figures of a run, as one line of JSON.
    pub(crate) fn measured(&self, beat: &Beat) -> String {
        let bytes = fs::read(&self.elf).unwrap();
        assert!(beat.stack_unused > 0 && u64::from(beat.stack_unused) < RAM, "{beat:?}");
        let stack = stack_size(&bytes) - u64::from(beat.stack_unused);
        format!("{{\"stack_bytes\":{stack},\"restarts\":{},\"dropped\":{}}}", beat.restarts, beat.dropped)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// From the end of the variables to the end of RAM, by the sizes of the ELF file's writable sections.
fn stack_size(elf: &[u8]) -> u64 {
    let half = |at: usize| u64::from(u16::from_le_bytes([elf[at], elf[at + 1]]));
    let word = |at: usize| u64::from(u32::from_le_bytes([elf[at], elf[at + 1], elf[at + 2], elf[at + 3]]));
    assert_eq!(elf[..5], [0x7F, b'E', b'L', b'F', 1], "not an ELF file of 32 bits");
    let (table, size, count) = (word(0x20), half(0x2E), half(0x30));
    let sections = (0..count).map(|n| (table + n * size) as usize);
    // Allocated (2) and written (1): the variables.
    let variables = sections.filter(|at| word(at + 8) & 3 == 3).map(|at| word(at + 12) + word(at + 20));
    0x2000_0000 + RAM - variables.max().unwrap()
}

fn firmware() -> Option<PathBuf> {
    std::env::var_os("TELLTALE_FIRMWARE").map(PathBuf::from).filter(|path| path.is_file())
}

fn connect(path: &Path) -> UnixStream {
    let started = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return stream,
            Err(_) if started.elapsed() < PATIENCE => sleep(Duration::from_millis(20)),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
}

/// A model folder and a catalog whose windows go so many times faster than those of the model that ships.
pub(crate) fn model_in_a_hurry(folder: &Path, haste: f64) {
    for entry in fs::read_dir(rig::cell_fault()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    fs::copy(rig::root().join("firmware-bridge/sensors.dbc"), folder.join("sensors.dbc")).unwrap();
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let replaced = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{from} is not there any more");
        text.replace(from, to)
    };
    let spec = text("features.toml");
    let before = FeatureSpec::parse(&spec, "features").unwrap().digest.to_hex();
    let spec = replaced(&spec, "period_s = 30", &format!("period_s = {:.3}", 30.0 / haste));
    let after = FeatureSpec::parse(&spec, "features").unwrap().digest.to_hex();
    fs::write(folder.join("features.toml"), spec).unwrap();
    let manifest = replaced(&text("model.toml"), &before, &after);
    // Two windows of two: the drive is short.
    let manifest = replaced(&manifest, "enter_windows = 6, enter_of = 8", "enter_windows = 2, enter_of = 2");
    fs::write(folder.join("model.toml"), manifest).unwrap();
    fs::write(folder.join("catalog.toml"), text("catalog-sim.toml") + SENSORS).unwrap();
}

/// What the firmware samples, as signals.
const SENSORS: &str = r#"
[[bus]]
name = "board"
interface = "bridge"
dbc = ["sensors.dbc"]

[[signal]]
vss = "Vehicle.Bridge.StackUnused"
bus = "board"
signal = "BridgeStackUnused"
min = 0
max = 65534
sentinels = [65535]
"#;

/// The agent, with the line as its source.
pub(crate) struct Agent {
    child: Child,
    folder: PathBuf,
}

/// What an agent left in its spool, and what it said.
pub(crate) struct KeptByAgent {
    pub(crate) records: Vec<Record>,
    pub(crate) counts: Counts,
    pub(crate) said: String,
}

impl KeptByAgent {
    /// Frames of the bridge that its loss records count.
    pub(crate) fn losses(&self) -> u64 {
        let lost = |record: &Record| match record {
            Record::Loss(loss) if loss.stage == LossStage::Bridge => loss.count,
            _ => 0,
        };
        self.records.iter().map(lost).sum()
    }
}

impl Agent {
    /// Starts it in this folder, with a fresh spool and a bridge behind this socket.
    pub(crate) fn start(folder: &Path, line: &Path) -> Agent {
        let line = format!("device = \"unix:{}\", sensors = \"board\"", line.display());
        Agent::with(folder, &line, Command::spawn).unwrap()
    }

    /// Starts it in this folder, with a fresh spool, a bridge on this line, and in this way.
    pub(crate) fn with(
        folder: &Path,
        line: &str,
        spawn: impl FnOnce(&mut Command) -> io::Result<Child>,
    ) -> io::Result<Agent> {
        let _ = fs::remove_dir_all(folder.join("spool"));
        let config = format!(
            "vehicle = \"bench-01\"\ncatalog = \"catalog.toml\"\nmodels = [\".\"]\nsummary_s = 2\n\
             source = {{ bridge = {{ {line}, bus = \"bms\" }} }}\n\
             spool = {{ dir = \"spool\" }}\n"
        );
        fs::write(folder.join("telltale.toml"), config).unwrap();
        let said = fs::File::create(folder.join("agent.log")).unwrap();
        let config = folder.join("telltale.toml");
        let mut agent = Command::new(rig::program("telltale"));
        agent.args(["run", "--config", rig::text(&config)]).stdin(Stdio::null()).stderr(said);
        Ok(Agent { child: spawn(&mut agent)?, folder: folder.into() })
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.join("agent.log")).unwrap()
    }

    pub(crate) fn wait_for(&self, words: &str) {
        let started = Instant::now();
        while !self.said().contains(words) {
            assert!(started.elapsed() < PATIENCE, "the agent did not say {words:?}:\n{}", self.said());
            sleep(Duration::from_millis(50));
        }
    }

    /// What it says when it is asked.
    pub(crate) fn status(&self) -> Value {
        let config = self.folder.join("telltale.toml");
        serde_json::from_str(&rig::telltale_ok(&["status", "--json", "--config", rig::text(&config)]))
            .unwrap()
    }

    /// Waits until no more comes than the firmware's own readings, one a second.
    pub(crate) fn settle(&self) -> Value {
        let started = Instant::now();
        let count = |status: &Value| {
            status["capture"]["frames"].as_u64().unwrap() + status["capture"]["lost"].as_u64().unwrap()
        };
        let mut before = self.status();
        loop {
            sleep(Duration::from_millis(2_500));
            let now = self.status();
            if count(&now) - count(&before) <= 4 {
                return now;
            }
            assert!(started.elapsed() < PATIENCE, "frames come without end: {}", now["capture"]);
            before = now;
        }
    }

    /// SIGKILL.
    pub(crate) fn kill9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; gives what it kept.
    pub(crate) fn end(mut self) -> KeptByAgent {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "{}", self.said());
        let records = spooled::records(&self.folder.join("spool"));
        let counts = spooled::summed(&records);
        KeptByAgent { records, counts, said: self.said() }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of limited speed between the machine and the agent, which spoils bytes on both ways.
pub(crate) struct Spoiler {
    socket: PathBuf,
    /// In millionths.
    rate: Arc<AtomicU32>,
    spoilt: Arc<AtomicU64>,
    /// Bytes a second to the agent.
    speed: Arc<AtomicU32>,
}

impl Spoiler {
    /// A line to the machine's, of so many bytes a second.
    pub(crate) fn start(folder: &Path, machine: &Path, bytes_per_second: u32) -> Spoiler {
        let socket = folder.join("spoilt.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (rate, spoilt) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU64::new(0)));
        let to_agent = Arc::new(AtomicU32::new(bytes_per_second));
        let to_machine = Arc::new(AtomicU32::new(bytes_per_second));
        let spoiler = Spoiler {
            socket,
            rate: Arc::clone(&rate),
            spoilt: Arc::clone(&spoilt),
            speed: Arc::clone(&to_agent),
        };
        let far = connect(machine);
        thread::spawn(move || {
            let near = listener.accept().unwrap().0;
            let ways = [
                (near.try_clone().unwrap(), far.try_clone().unwrap(), to_machine, 1),
                (far, near, to_agent, 2),
            ];
            for (from, to, speed, seed) in ways {
                let (rate, spoilt) = (Arc::clone(&rate), Arc::clone(&spoilt));
                thread::spawn(move || carry(from, to, &speed, &rate, &spoilt, seed));
            }
        });
        spoiler
    }

    pub(crate) fn line(&self) -> PathBuf {
        self.socket.clone()
    }

    /// From now on such a share of the bytes is spoilt.
    pub(crate) fn rate(&self, share: f64) {
        self.rate.store((share * 1e6) as u32, Ordering::Relaxed);
    }

    /// From now on so many bytes a second go to the agent; its own words take the speed from the start.
    pub(crate) fn speed(&self, bytes_per_second: u32) {
        self.speed.store(bytes_per_second, Ordering::Relaxed);
    }

    pub(crate) fn spoilt(&self) -> u64 {
        self.spoilt.load(Ordering::Relaxed)
    }
}

/// Carries bytes one way: a hundredth of a second's worth at a time, some of them changed, missing or doubled.
fn carry(
    mut from: UnixStream,
    mut to: UnixStream,
    speed: &AtomicU32,
    rate: &AtomicU32,
    spoilt: &AtomicU64,
    seed: u32,
) {
    let mut state = seed;
    let mut dice = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    loop {
        let speed = speed.load(Ordering::Relaxed);
        let mut chunk = vec![0; (speed as usize / 100).max(1)];
        let Ok(read @ 1..) = from.read(&mut chunk) else { break };
        let started = Instant::now();
        let mut out = Vec::with_capacity(2 * read);
        for byte in &chunk[..read] {
            if dice() % 1_000_000 >= rate.load(Ordering::Relaxed) {
                out.push(*byte);
                continue;
            }
            spoilt.fetch_add(1, Ordering::Relaxed);
            match dice() % 4 {
                0 => out.push(dice() as u8),
                1 => out.push(*byte ^ 1 << (dice() % 8)),
                2 => {}
                _ => out.extend([*byte, dice() as u8]),
            }
        }
        if to.write_all(&out).is_err() {
            return;
        }
        sleep(Duration::from_secs_f64(read as f64 / f64::from(speed)).saturating_sub(started.elapsed()));
    }
    let _ = to.shutdown(Shutdown::Both);
}
