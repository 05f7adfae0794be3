//! Messages on the line: COBS, CRC and the closing zero, and the reader that finds its way back after garbage.
//!
//! CRC-32C (iSCSI) tells every error of up to five bits apart at this length (P. Koopman, "32-Bit Cyclic Redundancy
//! Codes for Internet Applications", 2002). The two directions seed it differently: on a line that is looped back,
//! nobody takes its own voice for the other's.

use super::{AgentMessage, BridgeFrame, LinkMessage};
use core::fmt;
use core::marker::PhantomData;
use crc::{CRC_32_ISCSI, Crc, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest message before COBS, CRC included.
pub const MAX_MESSAGE: usize = 253;

/// The longest message on the line: COBS adds one byte below 254, then comes the zero.
pub const MAX_ENCODED: usize = MAX_MESSAGE + 2;

/// Room for the body of a message.
pub(super) const MAX_BODY: usize = MAX_MESSAGE - CRC_LEN;

const CRC_LEN: usize = 4;
const CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

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
            Self::UnknownMessage => "a message this side does not know: the other's program is newer",
            Self::NotAFrame => {
                "an identifier or a payload that no CAN frame has: the bridge's firmware is wrong"
            }
        })
    }
}

impl core::error::Error for LinkError {}

/// A direction of the line.
pub trait OnLine: Serialize + DeserializeOwned {
    /// Goes into the CRC before the message.
    const SEED: &'static [u8];

    /// Whether a CAN bus can carry every frame in it.
    fn is_possible(&self) -> bool;

    /// Writes the message as it goes over the line, the zero included; gives its length.
    #[must_use]
    fn encode(&self, line: &mut [u8; MAX_ENCODED]) -> usize {
        let mut message = [0; MAX_MESSAGE];
        // Every message fits: `the_longest_messages_fit` holds the bound.
        let len = postcard::to_slice(self, &mut message[..MAX_BODY]).map_or(0, |body| body.len());
        let crc = checksum::<Self>(&message[..len]);
        message[len..len + CRC_LEN].copy_from_slice(&crc.to_le_bytes());
        let encoded = cobs::encode(&message[..len + CRC_LEN], line);
        line[encoded] = 0;
        encoded + 1
    }
}

impl OnLine for LinkMessage {
    const SEED: &'static [u8] = &[];

    fn is_possible(&self) -> bool {
        match self {
            LinkMessage::Frame(BridgeFrame { id, kind, data, .. }) => {
                id.is_possible() && data.len() <= kind.max_len()
            }
            LinkMessage::Frames(batch) => batch.is_possible(),
            LinkMessage::Hello(_) | LinkMessage::Loss(_) | LinkMessage::Beat(_) => true,
        }
    }
}

impl OnLine for AgentMessage {
    const SEED: &'static [u8] = b"agent";

    fn is_possible(&self) -> bool {
        true
    }
}

fn checksum<M: OnLine>(body: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(M::SEED);
    digest.update(body);
    digest.finalize()
}

/// Reads what stood between two zeros; the bytes are used up.
fn decode<M: OnLine>(framed: &mut [u8]) -> Result<M, LinkError> {
    let len = cobs::decode_in_place(framed).map_err(|_| LinkError::NotFramed)?;
    let message = framed.get(..len).ok_or(LinkError::NotFramed)?;
    let (body, crc) = message.split_last_chunk::<CRC_LEN>().ok_or(LinkError::NotFramed)?;
    if checksum::<M>(body) != u32::from_le_bytes(*crc) {
        return Err(LinkError::CrcMismatch);
    }
    let (message, _appended) = postcard::take_from_bytes::<M>(body).map_err(|_| LinkError::UnknownMessage)?;
    if message.is_possible() { Ok(message) } else { Err(LinkError::NotAFrame) }
}

/// Takes bytes from the line one by one and gives messages. It holds one message and nothing more.
#[derive(Clone, Debug)]
pub struct LineReader<M> {
    buffer: [u8; MAX_ENCODED],
    len: usize,
    overrun: bool,
    direction: PhantomData<M>,
}

/// Reads what the microcontroller says.
pub type LinkReader = LineReader<LinkMessage>;

/// Reads what the agent says.
pub type AgentReader = LineReader<AgentMessage>;

impl<M: OnLine> LineReader<M> {
    /// A reader that has heard nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { buffer: [0; MAX_ENCODED], len: 0, overrun: false, direction: PhantomData }
    }

    /// Takes the next byte. A zero ends a message, or the noise that stood in its place; zeros in a row are idle.
    pub fn push(&mut self, byte: u8) -> Option<Result<M, LinkError>> {
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
            (false, len) => Some(decode(&mut self.buffer[..len])),
        }
    }
}

impl<M: OnLine> Default for LineReader<M> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
