//! The agent's half of the bridge link: bytes of a serial line or of SPI in, frames of the vehicle out, with every frame
//! that did not come counted.
//!
//! Driven like a protocol state machine. The shell owns the line: it calls [`BridgeLink::connected`] when it has one,
//! [`BridgeLink::receive`] with what came, [`BridgeLink::poll_transmit`] for what is to be said, and logs what
//! [`BridgeLink::poll_event`] tells; over SPI an [`SpiCarrier`] stands between. `telltale_wire::bridge` describes the link
//! itself.

mod clock;
mod filters;
mod spi;

pub use filters::acceptance;
pub use spi::{ReadyWire, SpiCarrier, SpiCounts, SpiTrouble};

use crate::frame::{BusId, CanFrame, CanId, FrameKind};
use clock::ClockMap;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;
use telltale_wire::bridge::{
    AgentMessage, Beat, BridgeId, BridgeKind, FilterPart, FilterSet, FrameBatch, Grant, HeardFrame, Hello,
    LINK_VERSION, LinkError, LinkMessage, LinkReader, LossReport, MAX_ENCODED, OnLine as _, Open,
    unwrap_number, unwrap_time,
};
use telltale_wire::time::MonoTime;

/// Frames that may be under way: 30 kB on the line at 15 bytes each, which is half of what a Linux serial port buffers.
pub const WINDOW: u32 = 2_048;

/// How often the link is opened until the bridge answers, and how often if its version is another.
const OPEN_PERIOD: Duration = Duration::from_millis(200);
const OTHER_VERSION_PERIOD: Duration = Duration::from_secs(10);

/// How often the bridge is told what was taken; it takes three seconds of silence for the agent's end.
const GRANT_PERIOD: Duration = Duration::from_millis(100);

/// How often the filters are sent until a beat shows them in force.
const FILTER_PERIOD: Duration = Duration::from_secs(1);

/// A bridge that says nothing for so long is told of. It beats once a second.
const SILENCE: Duration = Duration::from_secs(5);

/// Events that are held until they are asked for; the oldest fall out. They are words for a log.
const MAX_EVENTS: usize = 16;

/// A message on the line with a zero before it, so that noise before it never costs it.
pub const MAX_TRANSMIT: usize = MAX_ENCODED + 1;

/// What the bridge's channels are to the vehicle.
#[derive(Clone, Debug, Default)]
pub struct BridgeConfig {
    /// The bus that each channel is; frames of other channels count as unknown.
    pub channels: Vec<(u8, BusId)>,
    /// What the microcontroller is to let pass; `None` for everything.
    pub filters: Option<FilterSet>,
}

/// What happened on the link, for a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BridgeEvent {
    /// The bridge answered.
    Opened {
        /// Numbers that wait in the bridge.
        waiting: u64,
        /// How often it restarted without losing them.
        restarts: u32,
    },
    /// The bridge speaks another version.
    OtherVersion(u16),
    /// The bridge lost its numbers and what it held: it was without power.
    StartedAnew,
    /// The bridge restarted and kept what it held.
    Restarted,
    /// The filters are in force.
    Filtering,
    /// Nothing came for five seconds.
    Silent,
    /// Bytes come, and no message among them.
    Noise(LinkError),
}

impl fmt::Display for BridgeEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { waiting, restarts } => {
                write!(f, "open; {waiting} frames wait in it, it restarted {restarts} times")
            }
            Self::OtherVersion(theirs) => write!(
                f,
                "its firmware speaks version {theirs} of the link, this agent {LINK_VERSION}: flash the firmware \
                 that belongs to this agent"
            ),
            Self::StartedAnew => f.write_str("it was without power; what it held is gone"),
            Self::Restarted => f.write_str("it restarted and kept its last frames"),
            Self::Filtering => f.write_str("its acceptance filters are in force"),
            Self::Silent => {
                f.write_str("it says nothing: is it running, and is this its line? The agent goes on trying")
            }
            Self::Noise(why) => {
                write!(
                    f,
                    "bytes come, but no message ({why}): is the baud rate the firmware's, or the mode and speed of SPI?"
                )
            }
        }
    }
}

/// What was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BridgeCounts {
    /// Frames given.
    pub frames: u64,
    /// Numbered frames that did not come: lost on the line, or in the bridge.
    pub lost: u64,
    /// Of these, the ones that the bridge dropped because its ring was full.
    pub dropped: u64,
    /// Frames that the bridge's controllers lost before they had a number.
    pub overruns: u64,
    /// Frames that came a second time, after the link was opened anew, and were left out.
    pub again: u64,
    /// Bytes between zeros that were no message.
    pub bad_messages: u64,
    /// Frames that the acceptance filters held back, as the bridge counts them.
    pub filtered: u64,
    /// Times that lay before one already given, or ahead of now, by a millisecond or more, and were moved.
    pub clock_steps: u64,
    /// Bytes of the bridge's stack that were never used; zero if it does not measure that.
    pub stack_unused: u32,
}

/// The link.
pub struct BridgeLink {
    config: BridgeConfig,
    reader: LinkReader,
    clock: ClockMap,
    /// The latest time on the bridge's clock.
    bridge_us: u64,
    latest: MonoTime,
    session: u32,
    is_open: bool,
    open_at: MonoTime,
    grant_at: MonoTime,
    filters_at: MonoTime,
    parts: VecDeque<FilterPart>,
    /// What is known of the bridge, once it has beaten.
    peer: Option<Peer>,
    granted: u64,
    other_version: bool,
    heard_at: MonoTime,
    told_silence: bool,
    told_noise: bool,
    events: VecDeque<BridgeEvent>,
    counts: BridgeCounts,
}

/// The bridge, as its beats tell.
#[derive(Clone, Copy)]
struct Peer {
    boot: u32,
    restarts: u32,
    /// The next number.
    expected: u64,
    dropped: u64,
    overruns: u64,
    filters: u32,
}

impl BridgeLink {
    /// A link without a line.
    #[must_use]
    pub fn new(config: BridgeConfig) -> BridgeLink {
        let parts = config.filters.as_ref().map_or(0, |set| set.parts().count());
        BridgeLink {
            config,
            reader: LinkReader::new(),
            clock: ClockMap::default(),
            bridge_us: 0,
            latest: MonoTime(0),
            session: 0,
            is_open: false,
            open_at: MonoTime(0),
            grant_at: MonoTime(0),
            filters_at: MonoTime(0),
            parts: VecDeque::with_capacity(parts),
            peer: None,
            granted: 0,
            other_version: false,
            heard_at: MonoTime(0),
            told_silence: false,
            told_noise: false,
            events: VecDeque::with_capacity(MAX_EVENTS),
            counts: BridgeCounts::default(),
        }
    }

    /// There is a line. `session` should differ from every one before, whoever opened it: a random number.
    pub fn connected(&mut self, session: u32, now: MonoTime) {
        self.reader = LinkReader::new();
        self.session = session.max(1);
        self.is_open = false;
        (self.open_at, self.heard_at) = (now, now);
        (self.other_version, self.told_silence, self.told_noise) = (false, false, false);
    }

    /// Takes bytes that came at `now`, which must not go back, and appends the frames in them. At most 60 frames come
    /// with each 255 bytes.
    pub fn receive(&mut self, bytes: &[u8], now: MonoTime, frames: &mut VecDeque<CanFrame>) {
        for byte in bytes {
            match self.reader.push(*byte) {
                None => {}
                Some(Ok(message)) => {
                    (self.heard_at, self.told_silence) = (now, false);
                    self.told_noise = true;
                    self.take(&message, now, frames);
                }
                Some(Err(why)) => {
                    self.counts.bad_messages += 1;
                    if !self.told_noise {
                        self.told_noise = true;
                        self.tell(BridgeEvent::Noise(why));
                    }
                }
            }
        }
    }

    /// Writes what is to be said at `now`; gives its length. To be called until there is nothing more.
    pub fn poll_transmit(&mut self, now: MonoTime, line: &mut [u8; MAX_TRANSMIT]) -> Option<usize> {
        let message = self.next_message(now)?;
        let mut encoded = [0; MAX_ENCODED];
        let len = message.encode(&mut encoded);
        line[0] = 0;
        line[1..=len].copy_from_slice(&encoded[..len]);
        Some(len + 1)
    }

    /// When [`BridgeLink::poll_transmit`] has something to say next, unless bytes come before.
    #[must_use]
    pub fn poll_timeout(&self) -> MonoTime {
        if self.is_open { self.grant_at } else { self.open_at }
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<BridgeEvent> {
        self.events.pop_front()
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counts(&self) -> &BridgeCounts {
        &self.counts
    }

    fn next_message(&mut self, now: MonoTime) -> Option<AgentMessage> {
        if now.since(self.heard_at) >= SILENCE && !self.told_silence {
            self.told_silence = true;
            self.tell(BridgeEvent::Silent);
        }
        if !self.is_open {
            if now < self.open_at {
                return None;
            }
            let period = if self.other_version { OTHER_VERSION_PERIOD } else { OPEN_PERIOD };
            self.open_at = now.plus(period);
            let open = Open { version: LINK_VERSION, session: self.session, window: WINDOW };
            return Some(AgentMessage::Open(open));
        }
        let peer = self.peer?;
        let much = peer.expected - self.granted >= u64::from(WINDOW / 4);
        if now >= self.grant_at || much {
            self.grant_at = now.plus(GRANT_PERIOD);
            self.granted = peer.expected;
            return Some(AgentMessage::Grant(Grant { session: self.session, taken: peer.expected }));
        }
        let set = self.config.filters.as_ref().filter(|set| set.digest() != peer.filters)?;
        if self.parts.is_empty() && now >= self.filters_at {
            self.filters_at = now.plus(FILTER_PERIOD);
            self.parts.extend(set.parts());
        }
        self.parts.pop_front().map(AgentMessage::Filters)
    }

    fn take(&mut self, message: &LinkMessage, now: MonoTime, frames: &mut VecDeque<CanFrame>) {
        match message {
            LinkMessage::Hello(hello) => self.hello(hello, now),
            LinkMessage::Beat(beat) => self.beat(beat, now),
            LinkMessage::Loss(report) if self.is_open => self.loss(report),
            LinkMessage::Frames(batch) if self.is_open => self.frames(batch, now, frames),
            // Sent for whoever listened before, or by a controller and not by a bridge. What was sent to another
            // session comes again in this one.
            LinkMessage::Frame(_) | LinkMessage::Loss(_) | LinkMessage::Frames(_) => {}
        }
    }

    fn hello(&mut self, hello: &Hello, now: MonoTime) {
        if hello.version != LINK_VERSION {
            if !self.other_version {
                self.other_version = true;
                self.tell(BridgeEvent::OtherVersion(hello.version));
            }
            self.is_open = false;
            self.open_at = now.plus(OTHER_VERSION_PERIOD);
            return;
        }
        self.other_version = false;
        if self.is_open {
            // It restarted, or did not hear this agent for a while.
            self.is_open = false;
            self.session = self.session.wrapping_add(1).max(1);
            self.open_at = now;
        }
    }

    fn beat(&mut self, beat: &Beat, now: MonoTime) {
        if beat.session != self.session {
            return;
        }
        // A bridge without a source of chance has the same boot number again; numbers or clock then went back.
        let goes_on = |peer: &Peer| {
            peer.boot == beat.boot && beat.next >= peer.expected && beat.clock_us >= self.bridge_us
        };
        let known = self.peer.filter(goes_on);
        if known.is_none() {
            if self.peer.is_some() {
                self.tell(BridgeEvent::StartedAnew);
            }
            self.clock = ClockMap::default();
            self.bridge_us = beat.clock_us;
        } else if known.is_some_and(|peer| peer.restarts != beat.restarts) {
            // Its clock stood still meanwhile.
            self.tell(BridgeEvent::Restarted);
            self.clock = ClockMap::default();
        }
        if !self.is_open {
            self.is_open = true;
            self.tell(BridgeEvent::Opened {
                waiting: beat.next - beat.sent.min(beat.next),
                restarts: beat.restarts,
            });
            (self.grant_at, self.filters_at) = (now, now);
            self.parts.clear();
        }
        let expected = known.map_or(beat.sent, |peer| peer.expected);
        let (dropped, overruns) =
            known.map_or((beat.dropped, beat.overruns), |peer| (peer.dropped, peer.overruns));
        self.counts.lost += beat.sent.saturating_sub(expected);
        self.counts.dropped += beat.dropped.saturating_sub(dropped);
        self.counts.overruns += beat.overruns.saturating_sub(overruns);
        self.counts.filtered = beat.filtered;
        self.counts.stack_unused = beat.stack_unused;
        let filtered = self.config.filters.as_ref().is_some_and(|set| set.digest() == beat.filters);
        if filtered && known.is_none_or(|peer| peer.filters != beat.filters) {
            self.tell(BridgeEvent::Filtering);
        }
        self.bridge_us = self.bridge_us.max(beat.clock_us);
        self.clock.observe_beat(beat.clock_us, now);
        let expected = expected.max(beat.sent);
        if known.is_none() {
            self.granted = expected;
        }
        self.peer = Some(Peer {
            boot: beat.boot,
            restarts: beat.restarts,
            expected,
            dropped: beat.dropped,
            overruns: beat.overruns,
            filters: beat.filters,
        });
    }

    fn loss(&mut self, report: &LossReport) {
        let Some(peer) = &mut self.peer else { return };
        let first = unwrap_number(peer.expected, report.first_seq);
        let behind = first + u64::from(report.count);
        // A gap before the first is what the line lost; the next beat tells how many of all were the bridge's.
        self.counts.lost += behind.saturating_sub(peer.expected);
        peer.expected = peer.expected.max(behind);
    }

    fn frames(&mut self, batch: &FrameBatch, now: MonoTime, frames: &mut VecDeque<CanFrame>) {
        let Some(mut peer) = self.peer else { return };
        let first = unwrap_number(peer.expected, batch.seq);
        let mut last_us = self.bridge_us;
        for (number, heard) in (first..).zip(batch.frames()) {
            last_us = unwrap_time(self.bridge_us, heard.at_us);
            if number < peer.expected {
                self.counts.again += 1;
                continue;
            }
            self.counts.lost += number - peer.expected;
            peer.expected = number + 1;
            frames.extend(self.place(&heard, last_us, now));
            self.counts.frames += 1;
        }
        self.bridge_us = self.bridge_us.max(last_us);
        self.clock.observe(last_us, now);
        self.peer = Some(peer);
    }

    /// A frame of the bridge as the vehicle's: on its bus, at its time.
    fn place(&mut self, heard: &HeardFrame<'_>, bridge_us: u64, now: MonoTime) -> Option<CanFrame> {
        const STEP: Duration = Duration::from_millis(1);
        let at = self.clock.to_mono(bridge_us, now);
        let placed = at.max(self.latest).min(now.max(self.latest));
        self.counts.clock_steps += u64::from(placed.since(at) >= STEP || at.since(placed) >= STEP);
        self.latest = placed;
        let claimed = self.config.channels.iter().find(|(channel, _)| *channel == heard.channel);
        let bus = claimed.map_or(BusId::UNMAPPED, |(_, bus)| *bus);
        let id = match heard.id {
            BridgeId::Standard(id) => CanId::Standard(id),
            BridgeId::Extended(id) => CanId::Extended(id),
        };
        let kind = match heard.kind {
            BridgeKind::Classic => FrameKind::Classic,
            BridgeKind::Fd => FrameKind::Fd,
            BridgeKind::Remote => FrameKind::Remote,
            BridgeKind::Error => FrameKind::Error,
        };
        CanFrame::new(placed, bus, id, kind, heard.data)
    }

    fn tell(&mut self, event: BridgeEvent) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

#[cfg(test)]
mod tests;
