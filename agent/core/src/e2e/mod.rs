//! End-to-end protection: the counter and the checksum by which a receiver tells whether a message is fresh and
//! whole, whatever the gateways between did to it. The catalog states them for each message that has them.
//!
//! Source: AUTOSAR FO R23-11, PRS E2E Protocol, profiles 1, 2 and 5; and the plain sums and CRCs of carmakers.

mod checksum;
#[cfg(test)]
mod tests;

pub use checksum::Algo;

use crate::dbc::{ByteOrder, Layout, RawKind};
use crate::frame::CanFrame;

/// How the data id takes part in profile 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DataIdMode {
    /// Its low byte, then its high byte.
    #[default]
    Both,
    /// The low byte with even counters, the high byte with odd ones.
    Alternating,
    /// Its low byte alone.
    Low,
    /// Its low byte, then a zero; the lower nibble of its high byte stands in the message, over the counter.
    Nibble,
}

/// How the checksum of a message is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// An algorithm over the other bytes, then these.
    Plain {
        /// Which.
        algo: Algo,
        /// Where it stands.
        place: Layout,
        /// What both ends know besides; at most [`MAX_TAIL`] bytes.
        tail: Vec<u8>,
    },
    /// AUTOSAR profile 1: CRC8 SAE J1850 over data id and data.
    Profile1 {
        /// The byte that holds the CRC; counter and nibble lie in the next.
        offset: u8,
        /// The data id.
        data_id: u16,
        /// How it takes part.
        mode: DataIdMode,
    },
    /// AUTOSAR profile 2: CRC8 H2F over the data and the counter's own data id. The CRC is byte 0.
    Profile2 {
        /// One for each counter.
        data_ids: [u8; 16],
    },
    /// AUTOSAR profile 5: CRC16 over data and data id, least significant byte first.
    Profile5 {
        /// The first of the CRC's two bytes; the counter is the byte behind them.
        offset: u8,
        /// The data id.
        data_id: u16,
    },
}

/// The longest that both ends may know besides the message.
pub const MAX_TAIL: usize = 8;

/// The alive counter of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counter {
    /// Its bits.
    pub place: Layout,
    /// It goes from 0 to one less than this.
    pub modulo: u64,
    /// The furthest that it may move from one message to the next and still be in order. 1 allows no loss.
    pub max_jump: u64,
}

/// What protects a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Protection {
    /// Its counter, if it has one.
    pub counter: Option<Counter>,
    /// Its checksum, if it has one.
    pub checksum: Option<Scheme>,
}

impl Protection {
    /// How many bytes a message needs to hold its counter and checksum.
    #[must_use]
    pub fn bytes_needed(&self) -> usize {
        let counter = self.counter.map_or(0, |counter| counter.place.bytes_needed());
        counter.max(match &self.checksum {
            None => 0,
            Some(Scheme::Plain { place, .. }) => place.bytes_needed(),
            Some(Scheme::Profile1 { offset, .. }) => usize::from(*offset) + 2,
            Some(Scheme::Profile2 { .. }) => 2,
            Some(Scheme::Profile5 { offset, .. }) => usize::from(*offset) + 3,
        })
    }

    /// Profile 1 with its header at a byte.
    #[must_use]
    pub fn profile1(offset: u8, data_id: u16, mode: DataIdMode, max_jump: u64) -> Option<Protection> {
        let place = bits(u64::from(offset) * 8 + 8, 4)?;
        let checksum = Some(Scheme::Profile1 { offset, data_id, mode });
        Some(Protection { counter: Some(Counter { place, modulo: 15, max_jump }), checksum })
    }

    /// Profile 2 with the data ids of its counters.
    #[must_use]
    pub fn profile2(data_ids: [u8; 16], max_jump: u64) -> Option<Protection> {
        let counter = Counter { place: bits(8, 4)?, modulo: 16, max_jump };
        Some(Protection { counter: Some(counter), checksum: Some(Scheme::Profile2 { data_ids }) })
    }

    /// Profile 5 with its header at a byte.
    #[must_use]
    pub fn profile5(offset: u8, data_id: u16, max_jump: u64) -> Option<Protection> {
        let place = bits(u64::from(offset) * 8 + 16, 8)?;
        let checksum = Some(Scheme::Profile5 { offset, data_id });
        Some(Protection { counter: Some(Counter { place, modulo: 256, max_jump }), checksum })
    }
}

fn bits(start: u64, bits: u64) -> Option<Layout> {
    Layout::new(start, bits, ByteOrder::Intel, RawKind::Unsigned)
}

impl Scheme {
    /// Whether the checksum of a message fits.
    fn holds(&self, frame: &CanFrame) -> bool {
        let (buffer, payload) = (frame.buffer(), frame.payload());
        let byte = |at: usize| payload.get(at).copied().unwrap_or_default();
        // The data without `size` bytes at `offset`.
        let rest = |offset: usize, size: usize| {
            let (before, behind) = (payload.iter().take(offset), payload.iter().skip(offset + size));
            before.chain(behind).copied()
        };
        match self {
            Scheme::Plain { algo, place, tail } => {
                place.raw(buffer) == algo.of(buffer, payload.len(), *place, tail)
            }
            Scheme::Profile1 { offset, data_id, mode } => {
                let at = usize::from(*offset);
                let [low, high] = data_id.to_le_bytes();
                let is_odd = byte(at + 1) & 1 == 1;
                let (head, count) = match mode {
                    DataIdMode::Both => ([low, high], 2),
                    DataIdMode::Alternating => ([if is_odd { high } else { low }, 0], 1),
                    DataIdMode::Low => ([low, 0], 1),
                    DataIdMode::Nibble if byte(at + 1) >> 4 != high & 15 => return false,
                    DataIdMode::Nibble => ([low, 0], 2),
                };
                let head = head.into_iter().take(count);
                u64::from(byte(at)) == checksum::j1850_from_zero(head.chain(rest(at, 1)))
            }
            Scheme::Profile2 { data_ids } => {
                let id = data_ids[usize::from(byte(1) & 15)];
                bits(0, 8).is_some_and(|place| {
                    u64::from(byte(0)) == Algo::H2f.of(buffer, payload.len(), place, &[id])
                })
            }
            Scheme::Profile5 { offset, data_id } => {
                let start = u64::from(*offset) * 8;
                bits(start, 16).is_some_and(|place| {
                    let tail = data_id.to_le_bytes();
                    place.raw(buffer) == Algo::Ccitt.of(buffer, payload.len(), place, &tail)
                })
            }
        }
    }
}

/// What a check says of one message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checked {
    /// Fresh and whole; the first one always counts as fresh.
    Ok,
    /// Whole, with the counter of the one before.
    Repeated,
    /// Whole, with a counter too far from the one before, or one that the counter never takes.
    WrongSequence,
    /// Not whole: the checksum does not fit, or the message is too short to hold it.
    WrongChecksum,
}

/// Follows the messages of one identifier.
#[derive(Clone, Debug)]
pub struct Checker {
    protection: Protection,
    latest: Option<u64>,
}

impl Checker {
    /// A checker that has seen none.
    #[must_use]
    pub const fn new(protection: Protection) -> Checker {
        Checker { protection, latest: None }
    }

    /// Checks the next message. Allocates nothing.
    pub fn check(&mut self, frame: &CanFrame) -> Checked {
        let protection = &self.protection;
        let is_whole = frame.len() >= protection.bytes_needed()
            && protection.checksum.as_ref().is_none_or(|scheme| scheme.holds(frame));
        if !is_whole {
            return Checked::WrongChecksum;
        }
        let Some(counter) = &protection.counter else { return Checked::Ok };
        let now = counter.place.raw(frame.buffer());
        if now >= counter.modulo {
            return Checked::WrongSequence;
        }
        let Some(before) = self.latest.replace(now) else { return Checked::Ok };
        match (now + counter.modulo - before) % counter.modulo {
            0 => Checked::Repeated,
            jump if jump <= counter.max_jump => Checked::Ok,
            _ => Checked::WrongSequence,
        }
    }
}
