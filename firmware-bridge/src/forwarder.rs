//! From the controller to the line: numbers frames, queues their bytes, accounts for those that found no room.

use embedded_can::{Frame, Id};
use embedded_io::{Write, WriteReady};
use heapless::{Deque, Vec};
use telltale_wire::bridge::{
    BridgeFrame, BridgeId, BridgeKind, Hello, LINK_VERSION, LinkMessage, LossReport, MAX_ENCODED,
};

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Outcome {
    /// It stands in the queue and will go out whole.
    Queued,
    /// There was no room. It is counted and will be reported.
    Dropped,
}

/// Forwards CAN frames to a line.
///
/// `QUEUE` is the room for encoded bytes while the line is busy. A frame with 8 bytes takes 26 to 28, so 1,024 bytes
/// hold about 4 ms of a full bus at 1 Mbit/s; below [`MAX_ENCODED`] it does not compile.
pub struct Forwarder<W, const QUEUE: usize> {
    line: W,
    queue: Deque<u8, QUEUE>,
    boot: u32,
    next_seq: u16,
    losing: Option<LossReport>,
}

impl<W: Write + WriteReady, const QUEUE: usize> Forwarder<W, QUEUE> {
    /// A forwarder that announces itself first.
    ///
    /// `boot` should differ from start to start: a counter in flash, or a random number. `at_us` is the time on the
    /// clock that stamps the frames: microseconds, wrapping.
    pub fn new(line: W, boot: u32, at_us: u32) -> Self {
        const { assert!(QUEUE > MAX_ENCODED, "the queue must hold the longest message") }
        let mut forwarder = Self { line, queue: Deque::new(), boot, next_seq: 0, losing: None };
        // A zero first ends whatever the line carried before this start.
        let _ = forwarder.queue.push_back(0);
        let _ = forwarder.announce(at_us);
        forwarder
    }

    /// Takes a frame that was received at `at_us`.
    pub fn forward(&mut self, frame: &impl Frame, at_us: u32) -> Outcome {
        let seq = self.next_seq;
        self.next_seq = seq.wrapping_add(1);
        if !self.report_loss() {
            return self.drop_frame(seq, at_us);
        }
        // A controller with a payload beyond CAN FD's 64 bytes does not exist; its frame would be counted as lost.
        let Ok(data) = Vec::from_slice(frame.data()) else { return self.drop_frame(seq, at_us) };
        let id = match frame.id() {
            Id::Standard(id) => BridgeId::Standard(id.as_raw()),
            Id::Extended(id) => BridgeId::Extended(id.as_raw()),
        };
        let kind = kind_of(frame);
        match self.send(&LinkMessage::Frame(BridgeFrame { seq, at_us, id, kind, data })) {
            Outcome::Queued => Outcome::Queued,
            Outcome::Dropped => self.drop_frame(seq, at_us),
        }
    }

    /// Announces version, boot and clock. [`Outcome::Dropped`] while the queue is full: try again at the next second.
    pub fn announce(&mut self, at_us: u32) -> Outcome {
        let hello = Hello { version: LINK_VERSION, boot: self.boot, next_seq: self.next_seq, at_us };
        self.send(&LinkMessage::Hello(hello))
    }

    /// Writes as much as the line takes without waiting.
    ///
    /// # Errors
    /// What the line says. The bytes that it did not take stay queued.
    pub fn pump(&mut self) -> Result<(), W::Error> {
        loop {
            // An open loss is reported even if the bus has fallen silent.
            self.report_loss();
            let (front, _) = self.queue.as_slices();
            if front.is_empty() || !self.line.write_ready()? {
                return Ok(());
            }
            for _ in 0..self.line.write(front)? {
                self.queue.pop_front();
            }
        }
    }

    /// Bytes that wait for the line.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Queues the report of an open loss; whether none is open now.
    fn report_loss(&mut self) -> bool {
        let Some(report) = self.losing else { return true };
        let reported = self.send(&LinkMessage::Loss(report)) == Outcome::Queued;
        if reported {
            self.losing = None;
        }
        reported
    }

    fn drop_frame(&mut self, seq: u16, at_us: u32) -> Outcome {
        let report = self.losing.get_or_insert(LossReport { first_seq: seq, at_us, count: 0 });
        report.count = report.count.saturating_add(1);
        Outcome::Dropped
    }

    /// Queues a message whole or not at all.
    fn send(&mut self, message: &LinkMessage) -> Outcome {
        let mut encoded = [0; MAX_ENCODED];
        let len = message.encode(&mut encoded);
        if QUEUE - self.queue.len() < len {
            return Outcome::Dropped;
        }
        self.queue.extend(&encoded[..len]);
        Outcome::Queued
    }
}

/// `embedded-can` knows no FD flag: a payload that a classic frame cannot hold is an FD frame's.
fn kind_of(frame: &impl Frame) -> BridgeKind {
    if frame.is_remote_frame() {
        BridgeKind::Remote
    } else if frame.data().len() > 8 {
        BridgeKind::Fd
    } else {
        BridgeKind::Classic
    }
}
