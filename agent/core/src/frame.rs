//! A frame as it stood on the bus, whatever brought it here: a live interface, a log, the firmware bridge.

use std::fmt;
use telltale_wire::time::MonoTime;

/// A bus of the catalog, by its place in the `[[bus]]` list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BusId(pub u8);

impl BusId {
    /// A frame from a channel that no bus of the catalog claims. Its frames count as unknown.
    pub const UNMAPPED: BusId = BusId(u8::MAX);
}

/// An identifier on the bus. Standard 0x123 and extended 0x123 are two different messages (ISO 11898-1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CanId {
    /// 11 bits.
    Standard(u16),
    /// 29 bits.
    Extended(u32),
}

impl CanId {
    /// The highest 11-bit identifier.
    pub const MAX_STANDARD: u32 = 0x7FF;
    /// The highest 29-bit identifier.
    pub const MAX_EXTENDED: u32 = 0x1FFF_FFFF;

    /// An 11-bit identifier, if it fits.
    #[must_use]
    pub const fn standard(id: u32) -> Option<CanId> {
        if id <= Self::MAX_STANDARD { Some(CanId::Standard(id as u16)) } else { None }
    }

    /// A 29-bit identifier, if it fits.
    #[must_use]
    pub const fn extended(id: u32) -> Option<CanId> {
        if id <= Self::MAX_EXTENDED { Some(CanId::Extended(id)) } else { None }
    }

    /// The bare number, without the format bit.
    #[must_use]
    pub const fn raw(self) -> u32 {
        match self {
            CanId::Standard(id) => id as u32,
            CanId::Extended(id) => id,
        }
    }
}

/// `123` or `00000123`: the number of digits tells the format, as candump prints it.
impl fmt::Display for CanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CanId::Standard(id) => write!(f, "{id:03X}"),
            CanId::Extended(id) => write!(f, "{id:08X}"),
        }
    }
}

/// What kind of frame it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FrameKind {
    /// A classic data frame, up to 8 bytes.
    Classic,
    /// A CAN FD data frame, up to 64 bytes.
    Fd,
    /// A remote frame: it asks, and carries no data.
    Remote,
    /// An error frame of the controller (Linux `CAN_ERR_FLAG`); `data` is the kernel's report.
    Error,
}

/// One frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CanFrame {
    /// When it was received.
    pub at: MonoTime,
    /// Where.
    pub bus: BusId,
    /// What kind.
    pub kind: FrameKind,
    /// Its identifier.
    pub id: CanId,
    len: u8,
    data: [u8; CanFrame::MAX_LEN],
}

impl CanFrame {
    /// The longest payload: CAN FD's 64 bytes.
    pub const MAX_LEN: usize = 64;
    /// The longest payload of a classic frame.
    pub const MAX_CLASSIC_LEN: usize = 8;

    /// A frame with this payload; `None` if the kind does not carry so many bytes. FD lengths between the DLC
    /// steps (ISO 11898-1, table 5) are taken: logs hold them.
    #[must_use]
    pub fn new(at: MonoTime, bus: BusId, id: CanId, kind: FrameKind, payload: &[u8]) -> Option<CanFrame> {
        let limit = match kind {
            FrameKind::Classic | FrameKind::Error => Self::MAX_CLASSIC_LEN,
            FrameKind::Fd => Self::MAX_LEN,
            FrameKind::Remote => 0,
        };
        if payload.len() > limit {
            return None;
        }
        let mut data = [0; Self::MAX_LEN];
        data[..payload.len()].copy_from_slice(payload);
        Some(CanFrame { at, bus, kind, id, len: payload.len() as u8, data })
    }

    /// The payload as received.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.data[..usize::from(self.len)]
    }

    /// The whole buffer, zero behind the payload: what a decoder may read without looking at the length again.
    #[must_use]
    pub const fn buffer(&self) -> &[u8; CanFrame::MAX_LEN] {
        &self.data
    }

    /// Bytes of payload.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the payload is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for CanFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}us bus{} {:?} {}#", self.at.as_micros(), self.bus.0, self.kind, self.id)?;
        self.payload().iter().try_for_each(|b| write!(f, "{b:02X}"))?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_formats_never_meet() {
        assert_ne!(CanId::standard(0x123), CanId::extended(0x123));
        assert_eq!(CanId::standard(0x800), None);
        assert_eq!(CanId::extended(0x2000_0000), None);
        assert_eq!(CanId::Standard(0x12).to_string(), "012");
        assert_eq!(CanId::Extended(0x12).to_string(), "00000012");
    }

    #[test]
    fn payloads_that_the_kind_cannot_carry_are_refused() {
        let make = |kind, len: usize| {
            CanFrame::new(MonoTime(0), BusId(0), CanId::Standard(1), kind, &[1; 65][..len])
        };
        assert!(make(FrameKind::Classic, 9).is_none());
        assert!(make(FrameKind::Fd, 65).is_none());
        assert!(make(FrameKind::Remote, 1).is_none());
        assert_eq!(make(FrameKind::Fd, 64).unwrap().payload(), [1; 64]);
    }
}
