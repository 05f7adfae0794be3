//! A firmware bridge as a source: one more bus, or several, behind a serial line or SPI.
//!
//! The link itself is `telltale_core::bridge`; here are the line, its reconnecting and what a person is told of it. A
//! bridge that is not there is no error: the agent goes on trying, and the bridge keeps its last frames meanwhile.

mod ioctl;
mod port;
mod spi;
mod stream;

pub use port::{NotAPlace, Place};
pub use spi::{NotALine, ReadyLine, SpiPlace};

use super::socket_can::live_anchor;
use super::{MAX_BATCH, MIN_BATCH, Source, SourceError, SourceEvent, SourceReport, boot_time};
use spi::Spi;
use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::thread;
use std::time::Duration;
use stream::{CHUNK, Stream};
use telltale_core::bridge::{BridgeConfig, BridgeCounts, BridgeLink};
use telltale_core::clock::ClockAnchor;
use telltale_core::frame::CanFrame;
use telltale_wire::bridge::SPI_TRANSACTION;
use telltale_wire::time::MonoTime;

/// Frames that one chunk and the message begun before it hold at most: 60 in each 255 bytes. 32 kB.
const FRAMES_PER_CHUNK: usize = 60 * (CHUNK / 255 + 2);
const _: () = assert!(SPI_TRANSACTION <= CHUNK);

/// How long to wait before a line is opened again, doubled from the first to the last.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_LAST: Duration = Duration::from_secs(5);

/// The line to a bridge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BridgeLine {
    /// A stream of bytes.
    Stream {
        /// Where it is.
        place: Place,
        /// Bits a second, for a serial port.
        baud: u32,
    },
    /// SPI, with this machine as its controller.
    Spi(SpiPlace),
}

impl fmt::Display for BridgeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BridgeLine::Stream { place, .. } => place.fmt(f),
            BridgeLine::Spi(place) => place.device.display().fmt(f),
        }
    }
}

/// What to listen to.
#[derive(Clone, Debug)]
pub struct BridgeOptions {
    /// The line.
    pub line: BridgeLine,
    /// What the bridge's channels are, and what is to pass.
    pub link: BridgeConfig,
}

/// A bridge as a source.
pub struct BridgeSource {
    line: BridgeLine,
    link: BridgeLink,
    open: Option<OpenLine>,
    pending: VecDeque<CanFrame>,
    retry_at: MonoTime,
    backoff: Duration,
    /// The latest reason why there was no line; told when it changes.
    refusal: Option<String>,
}

enum OpenLine {
    Stream(Stream),
    Spi(Box<Spi>),
}

impl OpenLine {
    fn open(line: &BridgeLine) -> io::Result<OpenLine> {
        Ok(match line {
            BridgeLine::Stream { place, baud } => OpenLine::Stream(Stream::open(place, *baud)?),
            BridgeLine::Spi(place) => OpenLine::Spi(Box::new(Spi::open(place)?)),
        })
    }

    /// Says what is to be said, and takes what comes within that time.
    fn exchange(
        &mut self,
        link: &mut BridgeLink,
        wait: Duration,
        frames: &mut VecDeque<CanFrame>,
    ) -> io::Result<()> {
        match self {
            OpenLine::Stream(stream) => stream.exchange(link, wait, frames),
            OpenLine::Spi(spi) => spi.exchange(link, wait, frames),
        }
    }
}

impl BridgeSource {
    /// A source that opens its line when it is first asked.
    #[must_use]
    pub fn new(options: BridgeOptions) -> BridgeSource {
        BridgeSource {
            line: options.line,
            link: BridgeLink::new(options.link),
            open: None,
            pending: VecDeque::with_capacity(FRAMES_PER_CHUNK),
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
    fn connect(&mut self, wait: Duration) -> Option<OpenLine> {
        let early = self.retry_at.since(boot_time());
        if !early.is_zero() {
            thread::sleep(early.min(wait));
            return None;
        }
        match OpenLine::open(&self.line) {
            Ok(line) => {
                log::info!("bridge {}: the line is open", self.line);
                self.refusal = None;
                self.link.connected(nonce(), boot_time());
                Some(line)
            }
            Err(error) => {
                let refusal = error.to_string();
                if self.refusal.as_ref() != Some(&refusal) {
                    log::warn!("bridge {}: {refusal}; trying again", self.line);
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

    fn tell(&mut self) {
        while let Some(event) = self.link.poll_event() {
            log::info!("bridge {}: {event}", self.line);
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
            let Some(mut line) = self.open.take().or_else(|| self.connect(wait)) else {
                return Ok(SourceEvent::Idle);
            };
            match line.exchange(&mut self.link, wait, &mut self.pending) {
                Ok(()) => self.open = Some(line),
                Err(error) => {
                    log::warn!("bridge {}: the line is gone ({error}); trying again", self.line);
                    self.step_back();
                }
            }
            // Bytes may be anyone's; frames come from a bridge.
            if !self.pending.is_empty() {
                self.backoff = BACKOFF_FIRST;
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
                self.line,
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
