//! The CAN controller that hangs on a UART, for a board that has none: it reports each frame as `LinkMessage::Frame`,
//! numbered, so that frames which the line to it lost are counted like a controller's overruns.

use crate::uart::CONTROLLER;
use embedded_can::{ExtendedId, Frame, Id, StandardId};
use telltale_wire::bridge::{BridgeFrame, BridgeId, BridgeKind, LinkMessage, LinkReader};

pub(crate) struct Controller {
    reader: LinkReader,
    expected: Option<u16>,
}

/// What a turn of the controller gives.
pub(crate) struct Heard {
    pub(crate) frame: SerialFrame,
    /// Frames that were lost before this one.
    pub(crate) lost: u16,
}

impl Controller {
    pub(crate) const fn new() -> Self {
        Self { reader: LinkReader::new(), expected: None }
    }

    /// The next frame, if one is there.
    pub(crate) fn receive(&mut self) -> Option<Heard> {
        while let Some(byte) = CONTROLLER.read() {
            if let Some(Ok(LinkMessage::Frame(frame))) = self.reader.push(byte) {
                let lost = self.expected.map_or(0, |expected| frame.seq.wrapping_sub(expected));
                self.expected = Some(frame.seq.wrapping_add(1));
                return Some(Heard { frame: SerialFrame(frame), lost });
            }
        }
        None
    }
}

/// A frame as `embedded-can` wants it.
pub(crate) struct SerialFrame(BridgeFrame);

impl Frame for SerialFrame {
    fn new(id: impl Into<Id>, data: &[u8]) -> Option<Self> {
        let kind = if data.len() > 8 { BridgeKind::Fd } else { BridgeKind::Classic };
        let data = heapless::Vec::from_slice(data).ok()?;
        Some(Self(BridgeFrame { seq: 0, at_us: 0, id: from_id(id.into()), kind, data }))
    }

    fn new_remote(id: impl Into<Id>, _dlc: usize) -> Option<Self> {
        let (id, data) = (from_id(id.into()), heapless::Vec::new());
        Some(Self(BridgeFrame { seq: 0, at_us: 0, id, kind: BridgeKind::Remote, data }))
    }

    fn is_extended(&self) -> bool {
        matches!(self.0.id, BridgeId::Extended(_))
    }

    fn is_remote_frame(&self) -> bool {
        self.0.kind == BridgeKind::Remote
    }

    fn id(&self) -> Id {
        // The reader lets possible identifiers through alone; another one would be zero.
        match self.0.id {
            BridgeId::Standard(id) => Id::Standard(StandardId::new(id).unwrap_or(StandardId::ZERO)),
            BridgeId::Extended(id) => Id::Extended(ExtendedId::new(id).unwrap_or(ExtendedId::ZERO)),
        }
    }

    fn dlc(&self) -> usize {
        self.0.data.len()
    }

    fn data(&self) -> &[u8] {
        &self.0.data
    }
}

fn from_id(id: Id) -> BridgeId {
    match id {
        Id::Standard(id) => BridgeId::Standard(id.as_raw()),
        Id::Extended(id) => BridgeId::Extended(id.as_raw()),
    }
}
