//! From controllers and sensors to the line: numbers frames, keeps them until the agent has taken them, accounts for
//! those that fell out.

use crate::acceptance::Acceptance;
use crate::ring::{Kept, Position, Ring};
use embedded_can::{Frame, Id};
use embedded_io::{Write, WriteReady};
use telltale_wire::bridge::{
    AgentMessage, AgentReader, Beat, BridgeId, BridgeKind, FilterSet, FrameBatch, Grant, HeardFrame, Hello,
    LINK_VERSION, LinkMessage, LossReport, MAX_ENCODED, OnLine as _, Open, SENSOR_CHANNEL,
};

/// How often the sender tells of itself.
const BEAT_US: u64 = 1_000_000;

/// How often it does while it waits for the agent to move the window on.
const WAITING_BEAT_US: u64 = 50_000;

/// An agent that says nothing for so long is gone. It grants ten times a second.
const AGENT_SILENCE_US: u64 = 3_000_000;

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Outcome {
    /// It has a number and will be sent, or reported if it falls out of the ring before.
    Kept,
    /// The agent's acceptance filters do not want it. It is counted.
    Filtered,
    /// No CAN bus carries such a frame. It is counted with what the controllers lost.
    Refused,
}

/// Forwards frames and readings to an agent. All times are microseconds on one clock that never goes back.
pub struct Forwarder<'k, const N: usize> {
    ring: Ring<'k, N>,
    /// What is to be sent next.
    cursor: Position,
    /// All below has been taken by an agent.
    taken: u64,
    session: Option<Session>,
    acceptance: Acceptance,
    reader: AgentReader,
    line: Outgoing,
    /// When the sender is to tell of itself next.
    tell_at_us: u64,
    filtered: u64,
    overruns: u64,
    refused: u32,
    stack_unused: u32,
}

/// An agent that listens.
struct Session {
    id: u32,
    window: u64,
    heard_us: u64,
    /// It has heard the beat that opened it, from which its numbers count.
    has_granted: bool,
}

/// A message on its way to the line.
struct Outgoing {
    bytes: [u8; MAX_ENCODED + 1],
    len: usize,
    gone: usize,
}

impl<'k, const N: usize> Forwarder<'k, N> {
    /// A forwarder over what the memory kept. `boot` should differ from start to start: a counter in flash, or a random
    /// number. It is used if the memory kept nothing.
    pub fn new(kept: &'k mut Kept<N>, boot: u32) -> Self {
        let ring = Ring::open(kept, boot);
        Self {
            cursor: ring.start(),
            taken: ring.first(),
            session: None,
            acceptance: Acceptance::default(),
            reader: AgentReader::new(),
            line: Outgoing { bytes: [0; MAX_ENCODED + 1], len: 0, gone: 0 },
            tell_at_us: 0,
            filtered: 0,
            overruns: 0,
            refused: 0,
            stack_unused: 0,
            ring,
        }
    }

    /// Gives the memory back, as a restart finds it.
    #[must_use]
    pub fn release(self) -> &'k mut Kept<N> {
        self.ring.into_memory()
    }

    /// The latest time that the memory knows of: the clock has to go on from here after a restart.
    #[must_use]
    pub fn clock_us(&self) -> u64 {
        self.ring.clock_us()
    }

    /// How often the firmware restarted without losing what it kept.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.ring.restarts()
    }

    /// Frames that wait to be sent.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.ring.next() - self.cursor.number
    }

    /// The acceptance filters, for a controller that can filter by itself; `None` while everything passes.
    #[must_use]
    pub fn filters(&self) -> Option<&FilterSet> {
        self.acceptance.in_force()
    }

    /// Takes a frame of controller `channel`.
    pub fn heard(&mut self, channel: u8, frame: &impl Frame, now_us: u64) -> Outcome {
        let id = match frame.id() {
            Id::Standard(id) => BridgeId::Standard(id.as_raw()),
            Id::Extended(id) => BridgeId::Extended(id.as_raw()),
        };
        let data = if frame.is_remote_frame() { &[] } else { frame.data() };
        self.keep(HeardFrame { at_us: now_us as u32, channel, id, kind: kind_of(frame), data }, now_us)
    }

    /// Takes a reading of a sensor: up to 64 bytes under a standard identifier of the sensors' own channel.
    pub fn sampled(&mut self, id: u16, data: &[u8], now_us: u64) -> Outcome {
        let kind = if data.len() > 8 { BridgeKind::Fd } else { BridgeKind::Classic };
        let id = BridgeId::Standard(id);
        self.keep(HeardFrame { at_us: now_us as u32, channel: SENSOR_CHANNEL, id, kind, data }, now_us)
    }

    /// Counts frames that a controller lost before they could be read.
    pub fn controller_lost(&mut self, frames: u32) {
        self.overruns += u64::from(frames);
    }

    /// Tells how much of the stack was never used, for the beats.
    pub fn measured_stack(&mut self, unused_bytes: u32) {
        self.stack_unused = unused_bytes;
    }

    /// Takes a byte from the agent.
    pub fn listen(&mut self, byte: u8, now_us: u64) {
        match self.reader.push(byte) {
            None => {}
            Some(Err(_)) => self.refused = self.refused.saturating_add(1),
            Some(Ok(AgentMessage::Open(open))) => self.open(open, now_us),
            Some(Ok(AgentMessage::Grant(grant))) => self.grant(grant, now_us),
            Some(Ok(AgentMessage::Filters(part))) => {
                let before = self.acceptance.digest();
                if !self.acceptance.take(&part) {
                    self.refused = self.refused.saturating_add(1);
                } else if self.acceptance.digest() != before {
                    self.tell_at_us = now_us;
                }
            }
        }
    }

    /// Goes on with the message under way, or begins the next one; writes what the line takes without waiting. Whether
    /// anything was done: if not, there is time to sleep.
    ///
    /// # Errors
    /// What the line says. The bytes that it did not take stay.
    pub fn pump<W: Write + WriteReady>(&mut self, line: &mut W, now_us: u64) -> Result<bool, W::Error> {
        if self.line.gone == self.line.len {
            self.notice_silence(now_us);
            let Some(message) = self.compose(now_us) else { return Ok(false) };
            self.line.put(&message);
        }
        self.line.write(line)
    }

    fn keep(&mut self, frame: HeardFrame<'_>, now_us: u64) -> Outcome {
        if !frame.is_possible() {
            self.overruns += 1;
            return Outcome::Refused;
        }
        if !self.acceptance.passes(frame.channel, frame.id) {
            self.filtered += 1;
            return Outcome::Filtered;
        }
        self.ring.push(&frame, now_us);
        Outcome::Kept
    }

    /// An agent opens the link: it is sent everything that was not taken yet.
    fn open(&mut self, open: Open, now_us: u64) {
        self.tell_at_us = now_us;
        if open.version != LINK_VERSION || open.session == 0 {
            // The hello that follows tells it which version would be right.
            self.session = None;
            return;
        }
        let goes_on = |session: &Session| session.id == open.session && session.has_granted;
        if !self.session.as_ref().is_some_and(goes_on) {
            self.cursor = self.ring.start();
            // What fell out after it was sent, and was never taken, is reported as lost: nobody is known to have it.
            self.cursor.number = self.taken;
        }
        self.session = Some(Session {
            id: open.session,
            window: u64::from(open.window),
            heard_us: now_us,
            has_granted: self.session.as_ref().is_some_and(goes_on),
        });
    }

    fn grant(&mut self, grant: Grant, now_us: u64) {
        let Some(session) = self.session.as_mut().filter(|session| session.id == grant.session) else {
            return;
        };
        (session.heard_us, session.has_granted) = (now_us, true);
        if grant.taken > self.taken && grant.taken <= self.cursor.number {
            self.taken = grant.taken;
            self.ring.release(grant.taken, now_us);
        }
    }

    fn notice_silence(&mut self, now_us: u64) {
        if self
            .session
            .as_ref()
            .is_some_and(|session| now_us.saturating_sub(session.heard_us) > AGENT_SILENCE_US)
        {
            self.session = None;
            self.tell_at_us = now_us;
        }
    }

    /// The next message, if there is one.
    fn compose(&mut self, now_us: u64) -> Option<LinkMessage> {
        let told = now_us >= self.tell_at_us;
        if told {
            self.tell_at_us = now_us + BEAT_US;
            self.ring.commit(now_us);
        }
        let Some(session) = &self.session else { return told.then(|| self.hello(now_us)) };
        if told {
            return Some(LinkMessage::Beat(self.beat(session.id, now_us)));
        }
        let lost = self.ring.first().saturating_sub(self.cursor.number);
        if lost > 0 {
            let report = LossReport {
                first_seq: self.cursor.number as u16,
                at_us: now_us as u32,
                count: u32::try_from(lost).unwrap_or(u32::MAX),
            };
            self.ring.count_dropped(lost);
            self.cursor = self.ring.start();
            return Some(LinkMessage::Loss(report));
        }
        let room = session.window.saturating_sub(self.cursor.number - self.taken);
        if room == 0 && self.waiting() > 0 {
            // The agent may not know what it missed at the end: a beat tells it, and it moves the window on.
            self.tell_at_us = self.tell_at_us.min(now_us + WAITING_BEAT_US);
        }
        self.batch(room).map(LinkMessage::Frames)
    }

    /// The frames that come next, as many as fit into a message and the window.
    fn batch(&mut self, room: u64) -> Option<FrameBatch> {
        let last = self.cursor.number + room;
        let mut batch: Option<FrameBatch> = None;
        let mut latest_us = 0;
        while self.cursor.number < last {
            let Some((held, next)) = self.ring.read(self.cursor) else { break };
            let frame = held.frame();
            let open = batch.get_or_insert_with(|| {
                latest_us = frame.at_us;
                FrameBatch::new(self.cursor.number as u16, frame.at_us)
            });
            if !open.push(&frame, frame.at_us.wrapping_sub(latest_us)) {
                break;
            }
            latest_us = frame.at_us;
            self.cursor = next;
        }
        batch
    }

    fn hello(&self, now_us: u64) -> LinkMessage {
        LinkMessage::Hello(Hello {
            version: LINK_VERSION,
            boot: self.ring.boot(),
            next_seq: self.ring.next() as u16,
            at_us: now_us as u32,
        })
    }

    fn beat(&self, session: u32, now_us: u64) -> Beat {
        Beat {
            session,
            boot: self.ring.boot(),
            restarts: self.ring.restarts(),
            clock_us: now_us,
            next: self.ring.next(),
            sent: self.cursor.number,
            dropped: self.ring.dropped(),
            filtered: self.filtered,
            overruns: self.overruns,
            refused: self.refused,
            filters: self.acceptance.digest(),
            stack_unused: self.stack_unused,
        }
    }
}

impl Outgoing {
    /// Between two zeros, so that noise before a message never costs it.
    fn put(&mut self, message: &LinkMessage) {
        let mut encoded = [0; MAX_ENCODED];
        let len = message.encode(&mut encoded);
        self.bytes[0] = 0;
        self.bytes[1..=len].copy_from_slice(&encoded[..len]);
        (self.len, self.gone) = (len + 1, 0);
    }

    /// Writes what the line takes; whether it took any.
    fn write<W: Write + WriteReady>(&mut self, line: &mut W) -> Result<bool, W::Error> {
        let before = self.gone;
        while self.gone < self.len && line.write_ready()? {
            self.gone += line.write(&self.bytes[self.gone..self.len])?;
        }
        Ok(self.gone > before)
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
