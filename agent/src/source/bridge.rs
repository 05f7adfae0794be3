//! A firmware bridge as a source: one more bus, or several, behind a serial line.
//!
//! The link itself is `telltale_core::bridge`; here are the line, its reconnecting and what a person is told of it. A
//! bridge that is not there is no error: the agent goes on trying, and the bridge keeps its last frames meanwhile.

mod port;

pub use port::{NotAPlace, Place};

use super::socket_can::live_anchor;
use super::{MAX_BATCH, MIN_BATCH, Source, SourceError, SourceEvent, SourceReport, boot_time};
use port::Port;
use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::thread;
use std::time::Duration;
use telltale_core::bridge::{BridgeConfig, BridgeCounts, BridgeLink, MAX_TRANSMIT};
use telltale_core::clock::ClockAnchor;
use telltale_core::frame::CanFrame;
use telltale_wire::time::MonoTime;

/// Bytes of one read: 5 ms of a line at 2 Mbaud.
const CHUNK: usize = 1024;

/// Frames that one chunk and the message begun before it hold at most: 60 in each 255 bytes. 32 kB.
const FRAMES_PER_CHUNK: usize = 60 * (CHUNK / 255 + 2);

/// Bytes that wait for the line to take them; a link that has more to say waits.
const MAX_UNSENT: usize = 4 * MAX_TRANSMIT;

/// How long a read is put off after one that took all there was: a wake-up costs more than the frames.
const REST: Duration = Duration::from_millis(1);

/// How long to wait before a line is opened again, doubled from the first to the last.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_LAST: Duration = Duration::from_secs(5);

/// What to listen to.
#[derive(Clone, Debug)]
pub struct BridgeOptions {
    /// Where the line is.
    pub place: Place,
    /// Bits a second, for a serial port.
    pub baud: u32,
    /// What the bridge's channels are, and what is to pass.
    pub link: BridgeConfig,
}

/// A bridge as a source.
pub struct BridgeSource {
    place: Place,
    baud: u32,
    link: BridgeLink,
    port: Option<Port>,
    unsent: VecDeque<u8>,
    pending: VecDeque<CanFrame>,
    rest: bool,
    retry_at: MonoTime,
    backoff: Duration,
    /// The latest reason why there was no line; told when it changes.
    refusal: Option<String>,
}

impl BridgeSource {
    /// A source that opens its line when it is first asked.
    #[must_use]
    pub fn new(options: BridgeOptions) -> BridgeSource {
        BridgeSource {
            place: options.place,
            baud: options.baud,
            link: BridgeLink::new(options.link),
            port: None,
            unsent: VecDeque::with_capacity(MAX_UNSENT),
            pending: VecDeque::with_capacity(FRAMES_PER_CHUNK),
            rest: false,
            retry_at: MonoTime(0),
            backoff: BACKOFF_FIRST,
            refusal: None,
        }
    }

    /// What the link counted.
    #[must_use]
    pub const fn counts(&self) -> &BridgeCounts {
        self.link.counts()
    }

    /// Opens the line, or waits a while if it cannot be opened yet.
    fn connect(&mut self, wait: Duration) -> Option<Port> {
        let early = self.retry_at.since(boot_time());
        if !early.is_zero() {
            thread::sleep(early.min(wait));
            return None;
        }
        match Port::open(&self.place, self.baud) {
            Ok(port) => {
                log::info!("bridge {}: the line is open", self.place);
                self.refusal = None;
                self.unsent.clear();
                self.link.connected(nonce(), boot_time());
                Some(port)
            }
            Err(error) => {
                let refusal = error.to_string();
                if self.refusal.as_ref() != Some(&refusal) {
                    log::warn!("bridge {}: {refusal}; trying again", self.place);
                    self.refusal = Some(refusal);
                }
                self.step_back();
                None
            }
        }
    }

    fn step_back(&mut self) {
        self.retry_at = boot_time().plus(self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF_LAST);
    }

    /// Says what is to be said, waits for bytes and takes them.
    fn exchange(&mut self, port: &Port, wait: Duration) -> io::Result<()> {
        if std::mem::take(&mut self.rest) {
            thread::sleep(REST.min(wait));
        }
        self.say(port)?;
        let due = self.link.poll_timeout().since(boot_time());
        port.wait(!self.unsent.is_empty(), wait.min(due))?;
        let mut chunk = [0; CHUNK];
        let read = port.read(&mut chunk)?;
        self.rest = read < CHUNK;
        if read > 0 {
            self.link.receive(&chunk[..read], boot_time(), &mut self.pending);
            // Bytes may be anyone's; frames come from a bridge.
            if !self.pending.is_empty() {
                self.backoff = BACKOFF_FIRST;
            }
        }
        self.say(port)
    }

    fn say(&mut self, port: &Port) -> io::Result<()> {
        let mut message = [0; MAX_TRANSMIT];
        while self.unsent.len() + MAX_TRANSMIT <= MAX_UNSENT {
            let Some(len) = self.link.poll_transmit(boot_time(), &mut message) else { break };
            self.unsent.extend(&message[..len]);
        }
        while !self.unsent.is_empty() {
            let sent = port.write(self.unsent.as_slices().0)?;
            if sent == 0 {
                break;
            }
            self.unsent.drain(..sent);
        }
        Ok(())
    }

    fn tell(&mut self) {
        while let Some(event) = self.link.poll_event() {
            log::info!("bridge {}: {event}", self.place);
        }
    }

    /// Hands over frames that came; how many.
    fn give(&mut self, frames: &mut Vec<CanFrame>) -> usize {
        let room = frames.capacity().clamp(MIN_BATCH, MAX_BATCH);
        let given = room.min(self.pending.len());
        frames.extend(self.pending.drain(..given));
        given
    }
}

impl Source for BridgeSource {
    fn next(&mut self, frames: &mut Vec<CanFrame>, wait: Duration) -> Result<SourceEvent, SourceError> {
        frames.clear();
        if self.pending.is_empty() {
            let Some(port) = self.port.take().or_else(|| self.connect(wait)) else {
                return Ok(SourceEvent::Idle);
            };
            match self.exchange(&port, wait) {
                Ok(()) => self.port = Some(port),
                Err(error) => {
                    log::warn!("bridge {}: the line is gone ({error}); trying again", self.place);
                    self.step_back();
                }
            }
            self.tell();
        }
        Ok(match self.give(frames) {
            0 => SourceEvent::Idle,
            given => SourceEvent::Frames(given),
        })
    }

    fn now(&self) -> MonoTime {
        boot_time()
    }

    fn anchor(&self) -> Option<ClockAnchor> {
        live_anchor()
    }

    fn lost(&self) -> u64 {
        self.counts().lost + self.counts().overruns
    }

    fn lost_in_bridge(&self) -> u64 {
        self.lost()
    }

    fn report(&self) -> SourceReport {
        let counts = self.counts();
        let mut notes = Vec::new();
        if self.lost() > 0 {
            notes.push(format!(
                "bridge {}: {} frames lost in its full ring, {} in its controllers, {} on the line",
                self.place,
                counts.dropped,
                counts.overruns,
                counts.lost.saturating_sub(counts.dropped),
            ));
        }
        SourceReport {
            frames: counts.frames,
            lost: self.lost(),
            bad_lines: counts.bad_messages,
            clock_steps: counts.clock_steps,
            notes,
            ..SourceReport::default()
        }
    }
}

/// A number that no session before had.
fn nonce() -> u32 {
    RandomState::new().build_hasher().finish() as u32
}

#[cfg(test)]
mod tests;
