//! Many frames in one message: what a full bus costs on the line is the frame, not the message around it.
//!
//! A classic frame of 8 bytes takes 13 bytes here, and its share of the message around it; alone in a message it
//! took 26. Each frame is `(microseconds since the one before, tag, identifier, data)` in postcard.

use super::{BridgeId, BridgeKind};
use heapless::Vec;
use serde::{Deserialize, Serialize};

/// The most bytes of packed frames in one message: 18 classic frames of 8 bytes, or 3 of CAN FD's 64.
pub const MAX_PACKED: usize = super::framing::MAX_BODY - 1 - 2 - 4 - 2;

/// The highest channel.
pub const MAX_CHANNEL: u8 = 31;

/// The channel of sampled sensors. Its "frames" are readings; a DBC file describes them as it does messages.
pub const SENSOR_CHANNEL: u8 = MAX_CHANNEL;

/// Frames that follow one another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FrameBatch {
    /// The number of the first one, wrapping; the others follow it.
    #[serde(with = "postcard::fixint::le")]
    pub seq: u16,
    /// From where the first one's time counts, on the sender's wrapping clock of microseconds.
    #[serde(with = "postcard::fixint::le")]
    pub at_us: u32,
    packed: Vec<u8, MAX_PACKED>,
}

/// A frame as a controller of the microcontroller heard it, or a reading of a sensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeardFrame<'d> {
    /// When, on the sender's wrapping clock of microseconds.
    pub at_us: u32,
    /// Which controller, up to [`MAX_CHANNEL`]; [`SENSOR_CHANNEL`] are sensors.
    pub channel: u8,
    /// Its identifier.
    pub id: BridgeId,
    /// What kind of frame.
    pub kind: BridgeKind,
    /// The payload.
    pub data: &'d [u8],
}

#[derive(Serialize, Deserialize)]
struct Packed<'d> {
    since_us: u32,
    /// Two bits of kind, one of format, five of channel.
    tag: u8,
    id: u32,
    data: &'d [u8],
}

impl HeardFrame<'_> {
    /// Whether a CAN bus can carry it (ISO 11898-1: identifiers of 11 or 29 bits, 8 or 64 bytes).
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.channel <= MAX_CHANNEL && self.id.is_possible() && self.data.len() <= self.kind.max_len()
    }

    /// Kind, format and channel in one byte; and the bare identifier.
    #[must_use]
    pub const fn tag(&self) -> (u8, u32) {
        let kind = match self.kind {
            BridgeKind::Classic => 0,
            BridgeKind::Fd => 1,
            BridgeKind::Remote => 2,
            BridgeKind::Error => 3,
        };
        let (format, id) = match self.id {
            BridgeId::Standard(id) => (0, id as u32),
            BridgeId::Extended(id) => (1, id),
        };
        (kind | format << 2 | self.channel << 3, id)
    }

    /// The frame of such a byte and identifier.
    #[must_use]
    pub const fn from_tag(tag: u8, id: u32, at_us: u32, data: &[u8]) -> HeardFrame<'_> {
        let kind = match tag & 3 {
            0 => BridgeKind::Classic,
            1 => BridgeKind::Fd,
            2 => BridgeKind::Remote,
            _ => BridgeKind::Error,
        };
        // A standard identifier that does not fit stays one that is not possible.
        let cut = if id > u16::MAX as u32 { u16::MAX } else { id as u16 };
        let id = if tag & 4 == 0 { BridgeId::Standard(cut) } else { BridgeId::Extended(id) };
        HeardFrame { at_us, channel: tag >> 3, id, kind, data }
    }
}

impl FrameBatch {
    /// A batch without frames, whose first will have this number and about this time.
    #[must_use]
    pub const fn new(seq: u16, at_us: u32) -> FrameBatch {
        FrameBatch { seq, at_us, packed: Vec::new() }
    }

    /// Appends a frame, which came `since_us` after the one before or after the batch's own time; `false` if there is no
    /// room for it.
    #[must_use]
    pub fn push(&mut self, frame: &HeardFrame<'_>, since_us: u32) -> bool {
        let (tag, id) = frame.tag();
        let packed = Packed { since_us, tag, id, data: frame.data };
        let mut bytes = [0; MAX_PACKED];
        postcard::to_slice(&packed, &mut bytes)
            .is_ok_and(|bytes| self.packed.extend_from_slice(bytes).is_ok())
    }

    /// Whether it holds no frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    /// The frames, each with its time. Ends early where the bytes are none, which no batch from the line holds.
    #[must_use]
    pub fn frames(&self) -> Frames<'_> {
        Frames { at_us: self.at_us, packed: &self.packed }
    }

    pub(super) fn is_possible(&self) -> bool {
        let mut frames = self.frames();
        let possible = frames.by_ref().all(|frame| frame.is_possible());
        possible && frames.packed.is_empty()
    }
}

/// The frames of a batch.
#[derive(Clone, Debug)]
pub struct Frames<'b> {
    at_us: u32,
    packed: &'b [u8],
}

impl<'b> Iterator for Frames<'b> {
    type Item = HeardFrame<'b>;

    fn next(&mut self) -> Option<HeardFrame<'b>> {
        let (packed, rest) = postcard::take_from_bytes::<Packed<'b>>(self.packed).ok()?;
        self.packed = rest;
        self.at_us = self.at_us.wrapping_add(packed.since_us);
        Some(HeardFrame::from_tag(packed.tag, packed.id, self.at_us, packed.data))
    }
}
