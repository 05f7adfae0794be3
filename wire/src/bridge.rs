//! The bridge link: CAN frames and sampled sensors from a microcontroller over a serial line or SPI, to be read after
//! any garbage.
//!
//! A message is `COBS(postcard(message), CRC-32C little-endian) 0x00`. The zero stands nowhere else, so a reader that
//! comes late, or that heard noise, is in step again behind the next zero ([`LineReader`]). Over SPI the same bytes stand in
//! transactions ([`SpiTransaction`]).
//!
//! The microcontroller numbers every frame that passes its acceptance filters, also those that it must drop. Nothing
//! is sent twice to the same agent and nothing is repeated on request: what the line spoils is a gap of numbers, and
//! a [`Beat`] each second names the numbers in full, so that every loss is counted, whatever was lost beside it.
//!
//! ```text
//! bridge                                   agent
//!   Hello each second          ──────►                      "I am here, this is my version"
//!                              ◄──────     Open             "so am I; this many frames may be under way"
//!   Beat, then what was kept   ──────►                      the ring, from the first frame not yet taken
//!   Frames, Loss, Beat         ──────►
//!                              ◄──────     Grant, Filters   "taken up to here", which moves the window on
//! ```
//!
//! Times are microseconds of the sender's clock, which wraps after 71.6 minutes; numbers wrap at 65,536. Both are
//! unwrapped by the nearest to the latest ([`unwrap_time`], [`unwrap_number`]); a [`Beat`] has them unwrapped.

mod agent;
mod batch;
mod framing;
mod spi;

pub use agent::{AgentMessage, Filter, FilterPart, FilterSet, FiltersPerPart, Grant, MAX_FILTERS, Open};
pub use batch::{FrameBatch, Frames, HeardFrame, MAX_CHANNEL, MAX_PACKED, SENSOR_CHANNEL};
pub use framing::{AgentReader, LineReader, LinkError, LinkReader, MAX_ENCODED, MAX_MESSAGE, OnLine};
pub use spi::{SPI_TRANSACTION, SpiTransaction, is_unanswered};

use heapless::Vec;
use serde::{Deserialize, Serialize};

/// The version of this link that a [`Hello`] and an [`Open`] name. Version 1 knew neither agent nor batches.
pub const LINK_VERSION: u16 = 2;

/// What the microcontroller says. Append only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LinkMessage {
    /// The sender is there and looks for an agent.
    Hello(Hello),
    /// One CAN frame: how a controller that hangs on a serial line reports it.
    Frame(BridgeFrame),
    /// Frames were dropped because the agent or the line was away or busy.
    Loss(LossReport),
    /// Frames that follow one another.
    Frames(FrameBatch),
    /// The state of the sender in full.
    Beat(Beat),
}

/// The sender is there: sent each second while no agent has opened the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`LINK_VERSION`] of the sender.
    pub version: u16,
    /// Differs from start to start, unless frames and numbers survived it.
    #[serde(with = "postcard::fixint::le")]
    pub boot: u32,
    /// The number that the next frame will get, wrapping.
    #[serde(with = "postcard::fixint::le")]
    pub next_seq: u16,
    /// The sender's clock, in microseconds, wrapping.
    #[serde(with = "postcard::fixint::le")]
    pub at_us: u32,
}

/// A CAN frame as the microcontroller heard it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BridgeFrame {
    /// Its number, wrapping.
    #[serde(with = "postcard::fixint::le")]
    pub seq: u16,
    /// When it was received, on the sender's wrapping clock of microseconds.
    #[serde(with = "postcard::fixint::le")]
    pub at_us: u32,
    /// Its identifier.
    pub id: BridgeId,
    /// What kind of frame.
    pub kind: BridgeKind,
    /// The payload: up to 8 bytes, up to 64 for [`BridgeKind::Fd`], none for [`BridgeKind::Remote`].
    pub data: Vec<u8, 64>,
}

/// An identifier with its format. Append only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum BridgeId {
    /// 11 bits.
    Standard(u16),
    /// 29 bits.
    Extended(u32),
}

/// The kinds of frame. Append only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum BridgeKind {
    /// A classic data frame.
    Classic,
    /// A CAN FD data frame.
    Fd,
    /// A remote frame.
    Remote,
    /// A report of the controller.
    Error,
}

/// Frames that were heard and dropped: the numbers `first_seq` and on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LossReport {
    /// The number of the first one, wrapping.
    #[serde(with = "postcard::fixint::le")]
    pub first_seq: u16,
    /// When the loss was noticed, on the sender's wrapping clock of microseconds.
    #[serde(with = "postcard::fixint::le")]
    pub at_us: u32,
    /// How many; more than 65,535 where the numbers went round.
    pub count: u32,
}

/// The state of the sender in full: sent when a session opens, each second, and when the window is used up. Totals
/// count since the sender's numbers began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Beat {
    /// The session that the agent opened.
    #[serde(with = "postcard::fixint::le")]
    pub session: u32,
    /// As in [`Hello`].
    #[serde(with = "postcard::fixint::le")]
    pub boot: u32,
    /// How often the sender restarted without losing its numbers and the frames it kept.
    pub restarts: u32,
    /// The sender's clock, in microseconds, not wrapped.
    pub clock_us: u64,
    /// The number that the next frame will get: how many passed the filters.
    pub next: u64,
    /// The number that will be sent next. All below it went before this message, or were dropped.
    pub sent: u64,
    /// Frames that were dropped because the ring was full.
    pub dropped: u64,
    /// Frames that the acceptance filters held back. They have no number.
    pub filtered: u64,
    /// Frames that the controllers lost before they could be read, as far as those count them.
    pub overruns: u64,
    /// Messages of the agent that could not be read.
    pub refused: u32,
    /// [`FilterSet::digest`] of the filters in force; zero while everything passes.
    #[serde(with = "postcard::fixint::le")]
    pub filters: u32,
    /// Bytes of stack that were never used since the start; zero where that is not measured.
    pub stack_unused: u32,
}

impl BridgeId {
    /// Whether it fits its format.
    #[must_use]
    pub const fn is_possible(self) -> bool {
        match self {
            BridgeId::Standard(id) => id <= 0x7FF,
            BridgeId::Extended(id) => id <= 0x1FFF_FFFF,
        }
    }
}

impl BridgeKind {
    /// The longest payload (ISO 11898-1).
    #[must_use]
    pub const fn max_len(self) -> usize {
        match self {
            BridgeKind::Classic | BridgeKind::Error => 8,
            BridgeKind::Fd => 64,
            BridgeKind::Remote => 0,
        }
    }
}

/// The time whose low 32 bits are these and that lies nearest to `latest`, both in microseconds.
#[must_use]
pub const fn unwrap_time(latest: u64, low: u32) -> u64 {
    let ahead = low.wrapping_sub(latest as u32) as i32;
    // Before the clock's zero lies only what was stamped there: the sum cannot be below it.
    latest.saturating_add_signed(ahead as i64)
}

/// The number whose low 16 bits are these and that lies nearest to `expected`.
#[must_use]
pub const fn unwrap_number(expected: u64, low: u16) -> u64 {
    let ahead = low.wrapping_sub(expected as u16) as i16;
    expected.saturating_add_signed(ahead as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_are_the_nearest_to_the_latest() {
        let wrap = 1 << 32;
        assert_eq!(unwrap_time(wrap - 5, 3), wrap + 3);
        assert_eq!(unwrap_time(wrap + 3, u32::MAX), wrap - 1);
        assert_eq!(unwrap_time(7 * wrap, 1_000_000), 7 * wrap + 1_000_000);
        assert_eq!(unwrap_number(65_530, 2), 65_538);
        assert_eq!(unwrap_number(65_538, 65_530), 65_530);
        assert_eq!(unwrap_number(0, u16::MAX), 0, "nothing lies before the first");
    }
}
