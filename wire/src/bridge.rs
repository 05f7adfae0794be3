//! The bridge link: CAN frames from a microcontroller over a serial line, to be read after any garbage.
//!
//! A message is `COBS(postcard(LinkMessage), CRC-32C little-endian) 0x00`. The zero stands nowhere else, so a reader
//! that comes late, or that heard noise, is in step again behind the next zero. CRC-32C (iSCSI) tells every error
//! of up to five bits apart at this length (P. Koopman, "32-Bit Cyclic Redundancy Codes for Internet
//! Applications", 2002).
//!
//! The sender numbers every CAN frame that it hears, also those that it must drop: a gap of numbers that no
//! [`LossReport`] explains was lost on the line. Its clock is a `u32` of microseconds that wraps after 71.6 minutes;
//! a [`Hello`] each second lets a reader follow the wraps.

use core::fmt;
use crc::{CRC_32_ISCSI, Crc, Table};
use heapless::Vec;
use serde::{Deserialize, Serialize};

/// The version of this link that a [`Hello`] names.
pub const LINK_VERSION: u16 = 1;

/// The longest message before COBS, CRC included. Today's longest has 83 bytes; the rest is for appended fields.
pub const MAX_MESSAGE: usize = 96;

/// The longest message on the line: COBS adds one byte below 254, then comes the zero.
pub const MAX_ENCODED: usize = MAX_MESSAGE + 2;

const CRC_LEN: usize = 4;
const CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

/// What goes over the line. Append only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LinkMessage {
    /// The sender is there.
    Hello(Hello),
    /// A CAN frame.
    Frame(BridgeFrame),
    /// Frames were dropped because the line was busy.
    Loss(LossReport),
}

/// The sender is there: sent at the start and once a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`LINK_VERSION`] of the sender.
    pub version: u16,
    /// Differs from start to start, so that a restart is not taken for a gap.
    #[serde(with = "postcard::fixint::le")]
    pub boot: u32,
    /// The number that the next CAN frame will get.
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

/// Frames that were heard and dropped because the line was busy: the numbers `first_seq` and on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LossReport {
    /// The number of the first one.
    #[serde(with = "postcard::fixint::le")]
    pub first_seq: u16,
    /// When the first one was heard, on the sender's wrapping clock of microseconds.
    #[serde(with = "postcard::fixint::le")]
    pub at_us: u32,
    /// How many; more than 65,535 where the numbers went round.
    pub count: u32,
}

/// Why bytes between two zeros were no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkError {
    /// Longer than [`MAX_ENCODED`]: noise, or another protocol.
    TooLong,
    /// Not COBS, or too short for a CRC.
    NotFramed,
    /// The CRC does not match.
    CrcMismatch,
    /// The CRC matches, but this side does not know such a message.
    UnknownMessage,
    /// A frame that no CAN bus carries: an identifier or a payload beyond its format.
    NotAFrame,
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "no zero within the longest message: noise, or another protocol on this line",
            Self::NotFramed => "not framed as a bridge message: cut, or noise",
            Self::CrcMismatch => "the CRC does not match: bytes were changed on the line",
            Self::UnknownMessage => "a message this side does not know: the bridge's firmware is newer",
            Self::NotAFrame => {
                "an identifier or a payload that no CAN frame has: the bridge's firmware is wrong"
            }
        })
    }
}

impl core::error::Error for LinkError {}

impl BridgeFrame {
    /// Whether a CAN bus can carry it (ISO 11898-1: identifiers of 11 or 29 bits, 8 or 64 bytes).
    fn is_possible(&self) -> bool {
        let id = match self.id {
            BridgeId::Standard(id) => id <= 0x7FF,
            BridgeId::Extended(id) => id <= 0x1FFF_FFFF,
        };
        let limit = match self.kind {
            BridgeKind::Classic | BridgeKind::Error => 8,
            BridgeKind::Fd => 64,
            BridgeKind::Remote => 0,
        };
        id && self.data.len() <= limit
    }
}

impl LinkMessage {
    /// Writes the message as it goes over the line, the zero included; gives its length.
    #[must_use]
    pub fn encode(&self, line: &mut [u8; MAX_ENCODED]) -> usize {
        let mut message = [0; MAX_MESSAGE];
        // Every message fits: `the_longest_message_fits` holds the bound.
        let len =
            postcard::to_slice(self, &mut message[..MAX_MESSAGE - CRC_LEN]).map_or(0, |body| body.len());
        let crc = CRC.checksum(&message[..len]);
        message[len..len + CRC_LEN].copy_from_slice(&crc.to_le_bytes());
        let encoded = cobs::encode(&message[..len + CRC_LEN], line);
        line[encoded] = 0;
        encoded + 1
    }

    /// Reads what stood between two zeros; the bytes are used up.
    fn decode(framed: &mut [u8]) -> Result<LinkMessage, LinkError> {
        let len = cobs::decode_in_place(framed).map_err(|_| LinkError::NotFramed)?;
        let message = framed.get(..len).ok_or(LinkError::NotFramed)?;
        let (body, crc) = message.split_last_chunk::<CRC_LEN>().ok_or(LinkError::NotFramed)?;
        if CRC.checksum(body) != u32::from_le_bytes(*crc) {
            return Err(LinkError::CrcMismatch);
        }
        let (message, _appended) = postcard::take_from_bytes(body).map_err(|_| LinkError::UnknownMessage)?;
        match message {
            LinkMessage::Frame(frame) if !frame.is_possible() => Err(LinkError::NotAFrame),
            message => Ok(message),
        }
    }
}

/// Takes bytes from the line one by one and gives messages. It holds one message and nothing more.
#[derive(Clone, Debug)]
pub struct LinkReader {
    buffer: [u8; MAX_ENCODED],
    len: usize,
    overrun: bool,
}

impl LinkReader {
    /// A reader that has heard nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { buffer: [0; MAX_ENCODED], len: 0, overrun: false }
    }

    /// Takes the next byte. A zero ends a message, or the noise that stood in its place; zeros in a row are idle.
    pub fn push(&mut self, byte: u8) -> Option<Result<LinkMessage, LinkError>> {
        if byte != 0 {
            match self.buffer.get_mut(self.len) {
                Some(place) => {
                    *place = byte;
                    self.len += 1;
                }
                None => self.overrun = true,
            }
            return None;
        }
        let (len, overrun) = (self.len, self.overrun);
        (self.len, self.overrun) = (0, false);
        match (overrun, len) {
            (true, _) => Some(Err(LinkError::TooLong)),
            (false, 0) => None,
            (false, len) => Some(LinkMessage::decode(&mut self.buffer[..len])),
        }
    }
}

impl Default for LinkReader {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = std::vec::Vec<Result<LinkMessage, LinkError>>;
    extern crate std;

    fn frame(len: usize) -> LinkMessage {
        let payload: [u8; 64] = core::array::from_fn(|i| (i % 5) as u8);
        let kind = if len > 8 { BridgeKind::Fd } else { BridgeKind::Classic };
        LinkMessage::Frame(BridgeFrame {
            seq: 0x0100,
            at_us: 0xFFFF_0000,
            id: BridgeId::Extended(0x1FFF_FFFF),
            kind,
            data: Vec::from_slice(&payload[..len]).unwrap(),
        })
    }

    fn samples() -> [LinkMessage; 5] {
        let hello = Hello { version: LINK_VERSION, boot: 0, next_seq: u16::MAX, at_us: u32::MAX };
        let loss = LossReport { first_seq: 0, at_us: 0, count: u32::MAX };
        [LinkMessage::Hello(hello), LinkMessage::Loss(loss), frame(0), frame(8), frame(64)]
    }

    fn encode(message: &LinkMessage) -> std::vec::Vec<u8> {
        let mut line = [0; MAX_ENCODED];
        let len = message.encode(&mut line);
        line[..len].to_vec()
    }

    fn read(bytes: &[u8]) -> Read {
        let mut reader = LinkReader::new();
        bytes.iter().filter_map(|byte| reader.push(*byte)).collect()
    }

    #[test]
    fn what_was_sent_is_read() {
        let line: std::vec::Vec<u8> = samples().iter().flat_map(encode).collect();
        assert_eq!(read(&line), samples().map(Ok));
    }

    #[test]
    fn the_longest_message_fits() {
        let longest = encode(&frame(64)).len();
        assert_eq!(longest, 83 + 2);
        assert!(samples().iter().all(|message| (8..=longest).contains(&encode(message).len())));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        for message in samples() {
            let line = encode(&message);
            // The closing zero is left out: flipped, it joins two messages, which the test below covers.
            for bit in 0..(line.len() - 1) * 8 {
                let mut flipped = line.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(read(&flipped).iter().all(Result::is_err), "bit {bit} of {message:?}");
            }
        }
    }

    #[test]
    fn two_messages_that_run_together_are_refused_and_the_third_is_read() {
        let mut line = encode(&frame(8));
        line.pop();
        line.extend(encode(&frame(8)));
        line.extend(encode(&frame(3)));
        let got = read(&line);
        assert!(got.len() == 2 && got[0].is_err(), "{got:?}");
        assert_eq!(got[1], Ok(frame(3)));
    }

    #[test]
    fn after_garbage_one_message_is_lost_at_most() {
        // xorshift32: repeatable noise, of every length around the buffer's.
        let mut state = 0x9E37_79B9_u32;
        for len in 0..400 {
            let mut line = std::vec::Vec::new();
            for _ in 0..len {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                line.push(state as u8);
            }
            line.extend(encode(&frame(8)));
            line.extend(encode(&frame(64)));
            let got = read(&line);
            assert_eq!(got.last(), Some(&Ok(frame(64))), "{len} bytes of noise");
            let believed = got.iter().filter_map(|read| read.as_ref().ok());
            assert!(believed.into_iter().all(|message| *message == frame(8) || *message == frame(64)));
        }
    }

    #[test]
    fn noise_without_end_is_held_in_one_buffer_and_told() {
        let mut line = std::vec![1; 10_000];
        line.push(0);
        assert_eq!(read(&line), [Err(LinkError::TooLong)]);
    }

    #[test]
    fn frames_that_no_bus_carries_are_refused() {
        let LinkMessage::Frame(good) = frame(8) else { unreachable!() };
        let bad = [
            BridgeFrame { id: BridgeId::Standard(0x800), ..good.clone() },
            BridgeFrame { id: BridgeId::Extended(0x2000_0000), ..good.clone() },
            BridgeFrame { kind: BridgeKind::Remote, ..good.clone() },
            BridgeFrame { data: Vec::from_slice(&[0; 9]).unwrap(), ..good },
        ];
        for frame in bad {
            assert_eq!(read(&encode(&LinkMessage::Frame(frame))), [Err(LinkError::NotAFrame)]);
        }
    }
}
