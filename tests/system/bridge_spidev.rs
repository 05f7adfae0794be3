//! The agent with a bridge on SPI, as it runs in a vehicle: `telltale run` opens its spidev and its GPIO line and makes its
//! calls, the test answers them with the microcontroller's real half behind the wires. A drive goes in as CAN frames at
//! one end, and ends as a verdict at the other.

use crate::bridge_rig::{Agent, Timed, frames_of, model_in_a_hurry};
use crate::rig;
use crate::system_calls::{Asked, Call, SystemCalls};
use embedded_can::{Frame, Id, StandardId};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind, PipeWriter, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};
use telltale_bridge::{Exchange, Forwarder, Kept, Outcome};
use telltale_wire::bridge::SPI_TRANSACTION;
use telltale_wire::record::{Record, VerdictCode};

/// Devices that no machine has.
const SPIDEV: &str = "/dev/spidev99.0";
const CHIP: &str = "/dev/gpiochip99";
const LINE: u32 = 17;

/// The calls of `linux/spi/spidev.h` and `linux/gpio.h`, as they are on every architecture.
const SPI_IOC_WR_BITS_PER_WORD: u32 = 0x4001_6B03;
const SPI_IOC_WR_MAX_SPEED_HZ: u32 = 0x4004_6B04;
const SPI_IOC_WR_MODE32: u32 = 0x4004_6B05;
const SPI_IOC_MESSAGE_1: u32 = 0x4020_6B00;
const GPIO_V2_GET_LINE_IOCTL: u32 = 0xC250_B407;
const GPIO_V2_LINE_GET_VALUES_IOCTL: u32 = 0xC010_B40E;
/// `GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_EDGE_RISING`.
const INPUT_RISING: u64 = 0b10100;

/// How many times faster than its drive the bus is played.
const HASTE: f64 = 60.0;

/// The kernel's drivers and the microcontroller, played on one thread.
struct Bench<'k> {
    calls: SystemCalls,
    bridge: Forwarder<'k, { 32 * 1024 }>,
    exchange: Exchange,
    /// Where the agent reads the edges of `ready`, once it has the line.
    edges: Option<PipeWriter>,
    high: bool,
    transactions: u64,
    /// What the agent set the device to.
    settings: BTreeSet<(u32, u32)>,
}

impl Bench<'_> {
    fn serve(&mut self, asked: &Asked) -> io::Result<()> {
        match &asked.call {
            Call::Open(path) if path == SPIDEV || path == CHIP => {
                self.calls.answer_with(asked, &File::options().read(true).write(true).open("/dev/null")?)
            }
            Call::Ioctl { command, argument } => self.control(asked, *command, *argument),
            Call::Open(_) => {
                self.calls.pass_on(asked);
                Ok(())
            }
        }
    }

    fn control(&mut self, asked: &Asked, command: u32, argument: u64) -> io::Result<()> {
        match command {
            SPI_IOC_WR_BITS_PER_WORD => {
                let [bits] = self.calls.read::<1>(argument)?;
                self.settings.insert((command, bits.into()));
            }
            SPI_IOC_WR_MODE32 | SPI_IOC_WR_MAX_SPEED_HZ => {
                self.settings.insert((command, u32::from_ne_bytes(self.calls.read(argument)?)));
            }
            SPI_IOC_MESSAGE_1 => self.transact(argument)?,
            GPIO_V2_GET_LINE_IOCTL => self.open_line(asked, argument)?,
            GPIO_V2_LINE_GET_VALUES_IOCTL => {
                assert_eq!(
                    u64::from_ne_bytes(self.calls.read(argument + 8)?),
                    1,
                    "the mask is the one line's"
                );
                self.calls.write(argument, &u64::from(self.high).to_ne_bytes())?;
            }
            _ => {
                self.calls.pass_on(asked);
                return Ok(());
            }
        }
        self.calls.answer(asked, 0);
        Ok(())
    }

    /// `struct spi_ioc_transfer`: both buffers, their length, the clock.
    fn transact(&mut self, argument: u64) -> io::Result<()> {
        let word = |at: u64| Ok::<_, io::Error>(u32::from_ne_bytes(self.calls.read(argument + at)?));
        assert_eq!((word(16)?, word(20)?), (SPI_TRANSACTION as u32, 8_000_000));
        let buffer = |at: u64| Ok::<_, io::Error>(u64::from_ne_bytes(self.calls.read(argument + at)?));
        let said: [u8; SPI_TRANSACTION] = self.calls.read(buffer(0)?)?;
        self.calls.write(buffer(8)?, self.exchange.to_send())?;
        self.exchange.ended(&said);
        self.high = false;
        self.transactions += 1;
        Ok(())
    }

    /// `struct gpio_v2_line_request`: the line, what is wanted of it, and where its number is to stand.
    fn open_line(&mut self, asked: &Asked, argument: u64) -> io::Result<()> {
        let word = |at: u64| Ok::<_, io::Error>(u32::from_ne_bytes(self.calls.read(argument + at)?));
        assert_eq!((word(0)?, word(560)?), (LINE, 1));
        assert_eq!(u64::from_ne_bytes(self.calls.read(argument + 288)?), INPUT_RISING);
        let (edges, writer) = io::pipe()?;
        let number = self.calls.give(asked, &edges)?;
        self.calls.write(argument + 588, &number.to_ne_bytes())?;
        self.edges = Some(writer);
        Ok(())
    }

    /// One turn of the firmware.
    fn turn(&mut self, us: u64) -> io::Result<()> {
        while let Some(byte) = self.exchange.next_byte() {
            self.bridge.listen(byte, us);
        }
        while self.bridge.pump(&mut self.exchange, us).unwrap() {}
        self.exchange.bring_forward();
        let high = self.exchange.ready();
        if high
            && !self.high
            && let Some(edges) = &mut self.edges
        {
            // `struct gpio_v2_line_event`, of which only its coming is looked at.
            edges.write_all(&[0; 48])?;
        }
        self.high = high;
        Ok(())
    }
}

/// A frame of the bus, as the microcontroller's controller has it.
struct Heard {
    id: StandardId,
    data: Vec<u8>,
}

impl Heard {
    fn of(frame: &Timed) -> Heard {
        Heard { id: StandardId::new(frame.id).unwrap(), data: frame.data.clone() }
    }
}

impl Frame for Heard {
    fn new(_: impl Into<Id>, _: &[u8]) -> Option<Self> {
        None
    }
    fn new_remote(_: impl Into<Id>, _: usize) -> Option<Self> {
        None
    }
    fn is_extended(&self) -> bool {
        false
    }
    fn is_remote_frame(&self) -> bool {
        false
    }
    fn id(&self) -> Id {
        Id::Standard(self.id)
    }
    fn dlc(&self) -> usize {
        self.data.len()
    }
    fn data(&self) -> &[u8] {
        &self.data
    }
}

/// What the microcontroller did.
struct Done {
    kept: u64,
    transactions: u64,
    settings: BTreeSet<(u32, u32)>,
}

/// Answers until it is told to end; frames come over the channel as the bus would bring them.
fn run(calls: SystemCalls, bus: &Receiver<Heard>, ends: &AtomicBool) -> Done {
    let mut memory = Kept::new();
    let bridge = Forwarder::new(&mut memory, 7);
    let (exchange, settings) = (Exchange::new(), BTreeSet::new());
    let mut bench = Bench { calls, bridge, exchange, edges: None, high: false, transactions: 0, settings };
    let (started, mut kept) = (Instant::now(), 0);
    while !ends.load(Ordering::Relaxed) {
        let asked = bench.calls.next(Duration::from_micros(500));
        // A call that could not be answered is one of an agent that ended: the test sees what it left.
        if let Some(asked) = asked
            && bench.serve(&asked).is_err()
        {
            bench.calls.pass_on(&asked);
        }
        let us = started.elapsed().as_micros() as u64;
        while let Ok(frame) = bus.try_recv() {
            kept += u64::from(bench.bridge.heard(0, &frame, us) == Outcome::Kept);
        }
        if bench.turn(us).is_err() {
            bench.edges = None;
        }
    }
    Done { kept, transactions: bench.transactions, settings: bench.settings }
}

#[test]
fn a_drive_over_spidev_ends_in_a_verdict_and_no_frame_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("drive.log");
    let fault = ["--hours", "0.34", "--fault", "cell-drift:onset=0,mv_per_hour=3000", "-o", rig::text(&log)];
    rig::telltale_ok(&["simulate", "-q"].into_iter().chain(fault).collect::<Vec<_>>());
    model_in_a_hurry(folder.path(), HASTE);
    let frames = frames_of(&log);

    let line = format!("spi = \"{SPIDEV}\", speed_hz = 8_000_000, mode = 1, ready = \"{CHIP}:{LINE}\"");
    let mut held = None;
    let agent = Agent::with(folder.path(), &line, |command| {
        let (child, calls) = SystemCalls::of(command)?;
        held = Some(calls);
        Ok(child)
    });
    let agent = match agent {
        Ok(agent) => agent,
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
            println!(
                "skipped: system calls may not be answered by a test here ({error}): allow seccomp and pidfd_getfd"
            );
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let calls = held.unwrap();
    let (play, bus) = channel();
    let ends = Arc::new(AtomicBool::new(false));
    let ending = Arc::clone(&ends);
    let microcontroller = thread::spawn(move || run(calls, &bus, &ending));

    agent.wait_for("acceptance filters are in force");
    let started = Instant::now();
    for frame in &frames {
        let due = frame.due(&frames[0], HASTE);
        if let Some(early) = due.checked_sub(started.elapsed()).filter(|early| early.as_millis() > 1) {
            sleep(early);
        }
        play.send(Heard::of(frame)).unwrap();
    }
    let status = agent.settle();
    let kept = agent.end();
    ends.store(true, Ordering::Relaxed);
    let done = microcontroller.join().unwrap();

    println!("{} frames in {} transactions", frames.len(), done.transactions);
    let settings =
        [(SPI_IOC_WR_BITS_PER_WORD, 8), (SPI_IOC_WR_MAX_SPEED_HZ, 8_000_000), (SPI_IOC_WR_MODE32, 1)];
    assert_eq!(done.settings, BTreeSet::from(settings));
    assert_eq!((status["capture"]["lost"].as_u64(), kept.losses()), (Some(0), 0), "{}", kept.said);
    assert_eq!((done.kept, kept.counts.frames), (frames.len() as u64, frames.len() as u64), "{}", kept.said);
    let anomalous = kept.records.iter().filter_map(|record| match record {
        Record::Verdict(v) if v.verdict == VerdictCode::Anomalous && v.model.name == "cell-fault" => {
            Some(v.subject.as_str())
        }
        _ => None,
    });
    assert_eq!(anomalous.collect::<BTreeSet<_>>(), BTreeSet::from(["Cell42"]), "{}", kept.said);
}
