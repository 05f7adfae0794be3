//! Error frames: what a controller tells of its bus, as Linux encodes it. Source: `linux/can/error.h`.
//!
//! The classes stand in the identifier, the particulars in the eight data bytes. One frame may tell several things.

use crate::frame::{CanFrame, CanId, FrameKind};
use std::fmt;
use telltale_wire::bus::{BusErrors, BusState, ErrorCounters};

const TX_TIMEOUT: u32 = 0x001;
const LOST_ARBITRATION: u32 = 0x002;
const CONTROLLER: u32 = 0x004;
const PROTOCOL: u32 = 0x008;
const TRANSCEIVER: u32 = 0x010;
const NO_ACK: u32 = 0x020;
const BUS_OFF: u32 = 0x040;
const BUS_ERROR: u32 = 0x080;
const RESTARTED: u32 = 0x100;
const COUNTERS: u32 = 0x200;

/// `data[1]`: controller.
const RX_OVERFLOW: u8 = 0x01;
const TX_OVERFLOW: u8 = 0x02;
const RX_WARNING: u8 = 0x04;
const TX_WARNING: u8 = 0x08;
const RX_PASSIVE: u8 = 0x10;
const TX_PASSIVE: u8 = 0x20;
const ACTIVE: u8 = 0x40;

/// `data[2]`: how the protocol was violated.
const VIOLATIONS: [(u8, &str); 7] = [
    (0x01, "a single bit"),
    (0x02, "the frame's form"),
    (0x04, "bit stuffing"),
    (0x08, "no dominant bit could be sent"),
    (0x10, "no recessive bit could be sent"),
    (0x20, "overload"),
    (0x40, "an active error flag"),
];
const WHILE_SENDING: u8 = 0x80;

/// `data[4]`: transceiver.
const WIRES: [(u8, u8, &str); 9] = [
    (0x0F, 0x04, "CAN-H is not connected"),
    (0x0F, 0x05, "CAN-H is shorted to the battery"),
    (0x0F, 0x06, "CAN-H is shorted to the supply"),
    (0x0F, 0x07, "CAN-H is shorted to ground"),
    (0xF0, 0x40, "CAN-L is not connected"),
    (0xF0, 0x50, "CAN-L is shorted to the battery"),
    (0xF0, 0x60, "CAN-L is shorted to the supply"),
    (0xF0, 0x70, "CAN-L is shorted to ground"),
    (0xF0, 0x80, "CAN-L is shorted to CAN-H"),
];

/// An error frame, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ErrorReport {
    classes: u32,
    data: [u8; 8],
}

impl ErrorReport {
    /// The report of an error frame; `None` for other frames. Missing data bytes count as unspecified.
    #[must_use]
    pub fn of(frame: &CanFrame) -> Option<ErrorReport> {
        if frame.kind != FrameKind::Error {
            return None;
        }
        let [d0, d1, d2, d3, d4, d5, d6, d7, ..] = *frame.buffer();
        Some(ErrorReport { classes: frame.id.raw(), data: [d0, d1, d2, d3, d4, d5, d6, d7] })
    }

    /// The identifier and data of an error frame that tells of a protocol violation, for logs that say it in other
    /// words: `violation` is a bit of `data[2]`, `location` a code of `data[3]`.
    #[must_use]
    pub const fn violation(violation: u8, location: u8, sending: bool) -> (CanId, [u8; 8]) {
        let violation = if sending { violation | WHILE_SENDING } else { violation };
        (CanId::Extended(PROTOCOL | BUS_ERROR), [0, 0, violation, location, 0, 0, 0, 0])
    }

    const fn tells(&self, class: u32) -> bool {
        self.classes & class != 0
    }

    const fn controller(&self, bits: u8) -> bool {
        self.tells(CONTROLLER) && self.data[1] & bits != 0
    }

    /// The state that the controller has come to, if the frame says so.
    #[must_use]
    pub const fn state(&self) -> Option<BusState> {
        if self.tells(BUS_OFF) {
            Some(BusState::Off)
        } else if self.controller(RX_PASSIVE | TX_PASSIVE) {
            Some(BusState::Passive)
        } else if self.controller(RX_WARNING | TX_WARNING) {
            Some(BusState::Warning)
        } else if self.tells(RESTARTED) || self.controller(ACTIVE) {
            Some(BusState::Active)
        } else {
            None
        }
    }

    /// The error counters, if the frame tells them. Drivers before Linux 6.0 fill them in without the flag.
    #[must_use]
    pub const fn counters(&self) -> Option<ErrorCounters> {
        let (tx, rx) = (self.data[6], self.data[7]);
        if self.tells(COUNTERS) || (self.tells(CONTROLLER) && (tx > 0 || rx > 0)) {
            Some(ErrorCounters { tx: tx as u16, rx: rx as u16 })
        } else {
            None
        }
    }

    /// Counts the frame.
    pub fn count_into(&self, errors: &mut BusErrors) {
        errors.frames += 1;
        for (counter, told) in [
            (&mut errors.warning, self.controller(RX_WARNING | TX_WARNING)),
            (&mut errors.passive, self.controller(RX_PASSIVE | TX_PASSIVE)),
            (&mut errors.off, self.tells(BUS_OFF)),
            (&mut errors.restarted, self.tells(RESTARTED)),
            (&mut errors.no_ack, self.tells(NO_ACK)),
            (&mut errors.arbitration, self.tells(LOST_ARBITRATION)),
            (&mut errors.protocol, self.tells(PROTOCOL)),
            (&mut errors.bus, self.tells(BUS_ERROR)),
            (&mut errors.transceiver, self.tells(TRANSCEIVER)),
            (&mut errors.rx_overflow, self.controller(RX_OVERFLOW)),
            (&mut errors.tx_overflow, self.controller(TX_OVERFLOW)),
            (&mut errors.tx_timeout, self.tells(TX_TIMEOUT)),
        ] {
            *counter += u64::from(told);
        }
    }

    fn protocol(&self, list: &mut List<'_, '_>) -> fmt::Result {
        let violations = VIOLATIONS.iter().filter(|(bit, _)| self.data[2] & bit != 0);
        list.item("protocol violation")?;
        let mut lead = ": ";
        for (_, name) in violations {
            list.out.write_str(lead)?;
            list.out.write_str(name)?;
            lead = ", ";
        }
        if let Some(place) = location(self.data[3]) {
            write!(list.out, " at the {place}")?;
        }
        list.out.write_str(if self.data[2] & WHILE_SENDING != 0 { " while sending" } else { "" })
    }
}

/// `data[3]`: where in the frame the violation lies.
const fn location(code: u8) -> Option<&'static str> {
    Some(match code {
        0x03 => "start of frame",
        0x02 => "identifier bits 28 to 21",
        0x06 => "identifier bits 20 to 18",
        0x04 => "substitute remote request",
        0x05 => "identifier extension",
        0x07 => "identifier bits 17 to 13",
        0x0F => "identifier bits 12 to 5",
        0x0E => "identifier bits 4 to 0",
        0x0C => "remote request",
        0x0D => "reserved bit 1",
        0x09 => "reserved bit 0",
        0x0B => "data length code",
        0x0A => "data",
        0x08 => "CRC sequence",
        0x18 => "CRC delimiter",
        0x19 => "acknowledge slot",
        0x1B => "acknowledge delimiter",
        0x1A => "end of frame",
        0x12 => "intermission",
        _ => return None,
    })
}

/// Items with a semicolon between them.
struct List<'o, 'f> {
    out: &'o mut fmt::Formatter<'f>,
    any: bool,
}

impl List<'_, '_> {
    fn item(&mut self, text: &str) -> fmt::Result {
        if std::mem::replace(&mut self.any, true) {
            self.out.write_str("; ")?;
        }
        self.out.write_str(text)
    }
}

/// `bus-off; protocol violation: bit stuffing at the CRC sequence; tx errors 248, rx errors 0`.
impl fmt::Display for ErrorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = List { out: f, any: false };
        for (told, name) in [
            (self.tells(BUS_OFF), "bus-off"),
            (self.tells(RESTARTED), "controller restarted"),
            (self.controller(TX_PASSIVE), "error passive (sending)"),
            (self.controller(RX_PASSIVE), "error passive (receiving)"),
            (self.controller(TX_WARNING), "error warning (sending)"),
            (self.controller(RX_WARNING), "error warning (receiving)"),
            (self.controller(ACTIVE), "back to error active"),
            (self.controller(RX_OVERFLOW), "the controller's receive buffer overflowed"),
            (self.controller(TX_OVERFLOW), "the controller's transmit buffer overflowed"),
            (self.tells(CONTROLLER) && self.data[1] == 0, "controller problem"),
            (self.tells(NO_ACK), "no acknowledgement"),
            (self.tells(TX_TIMEOUT), "transmission timed out"),
        ] {
            if told {
                list.item(name)?;
            }
        }
        if self.tells(LOST_ARBITRATION) {
            list.item("arbitration lost")?;
            if self.data[0] > 0 {
                write!(list.out, " at bit {}", self.data[0])?;
            }
        }
        if self.tells(PROTOCOL) {
            self.protocol(&mut list)?;
        } else if self.tells(BUS_ERROR) {
            list.item("bus error")?;
        }
        if self.tells(TRANSCEIVER) {
            list.item("transceiver")?;
            let mut lead = ": ";
            for (_, _, name) in WIRES.iter().filter(|(mask, code, _)| self.data[4] & mask == *code) {
                write!(list.out, "{lead}{name}")?;
                lead = ", ";
            }
        }
        if let Some(counters) = self.counters() {
            list.item("")?;
            write!(list.out, "tx errors {}, rx errors {}", counters.tx, counters.rx)?;
        }
        if list.any { Ok(()) } else { write!(f, "unspecified error (class 0x{:X})", self.classes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::BusId;
    use telltale_wire::time::MonoTime;

    fn report(classes: u32, data: &[u8]) -> ErrorReport {
        let id = CanId::Extended(classes);
        let frame = CanFrame::new(MonoTime(0), BusId(0), id, FrameKind::Error, data).unwrap();
        ErrorReport::of(&frame).unwrap()
    }

    #[test]
    fn each_class_is_read_in_words_and_state() {
        for (classes, data, words, state) in [
            (0x040, [0; 8], "bus-off", Some(BusState::Off)),
            (0x100, [0; 8], "controller restarted", Some(BusState::Active)),
            (
                0x204,
                [0, 0x08, 0, 0, 0, 0, 96, 2],
                "error warning (sending); tx errors 96, rx errors 2",
                Some(BusState::Warning),
            ),
            (
                0x204,
                [0, 0x30, 0, 0, 0, 0, 128, 135],
                "error passive (sending); error passive (receiving); tx errors 128, rx errors 135",
                Some(BusState::Passive),
            ),
            (
                0x204,
                [0, 0x40, 0, 0, 0, 0, 0, 0],
                "back to error active; tx errors 0, rx errors 0",
                Some(BusState::Active),
            ),
            (0x004, [0, 0x01, 0, 0, 0, 0, 0, 0], "the controller's receive buffer overflowed", None),
            (0x004, [0; 8], "controller problem", None),
            (0x020, [0; 8], "no acknowledgement", None),
            (0x001, [0; 8], "transmission timed out", None),
            (0x002, [11, 0, 0, 0, 0, 0, 0, 0], "arbitration lost at bit 11", None),
            (0x002, [0; 8], "arbitration lost", None),
            (
                0x088,
                [0, 0, 0x84, 0x08, 0, 0, 0, 0],
                "protocol violation: bit stuffing at the CRC sequence while sending",
                None,
            ),
            (0x008, [0; 8], "protocol violation", None),
            (0x080, [0; 8], "bus error", None),
            (
                0x010,
                [0, 0, 0, 0, 0x74, 0, 0, 0],
                "transceiver: CAN-H is not connected, CAN-L is shorted to ground",
                None,
            ),
            (0x010, [0, 0, 0, 0, 0x80, 0, 0, 0], "transceiver: CAN-L is shorted to CAN-H", None),
            (0x000, [0; 8], "unspecified error (class 0x0)", None),
            (0x400, [0; 8], "unspecified error (class 0x400)", None),
        ] {
            let report = report(classes, &data);
            assert_eq!((report.to_string().as_str(), report.state()), (words, state));
        }
    }

    #[test]
    fn bus_off_outweighs_whatever_else_one_frame_tells() {
        // What sja1000 sends: bus-off and error counters together.
        let both = report(0x244, &[0, 0x20, 0, 0, 0, 0, 127, 0]);
        assert_eq!(both.state(), Some(BusState::Off));
        assert_eq!(both.counters(), Some(ErrorCounters { tx: 127, rx: 0 }));
    }

    #[test]
    fn counters_come_with_their_flag_or_from_an_older_driver() {
        assert_eq!(report(0x080, &[0, 0, 0, 0, 0, 0, 9, 9]).counters(), None);
        assert_eq!(
            report(0x004, &[0, 8, 0, 0, 0, 0, 96, 0]).counters(),
            Some(ErrorCounters { tx: 96, rx: 0 })
        );
        assert_eq!(report(0x200, &[]).counters(), Some(ErrorCounters { tx: 0, rx: 0 }));
    }

    #[test]
    fn one_frame_counts_for_all_that_it_tells() {
        let mut errors = BusErrors::default();
        report(0x0AA, &[3, 0, 2, 0, 0, 0, 0, 0]).count_into(&mut errors);
        let expected =
            BusErrors { frames: 1, no_ack: 1, arbitration: 1, protocol: 1, bus: 1, ..BusErrors::default() };
        assert_eq!(errors, expected);
        for classes in 0..0x400 {
            report(classes, &[0xFF; 8]).count_into(&mut errors);
            assert!(!report(classes, &[0xFF; 8]).to_string().is_empty());
        }
        assert_eq!(errors.frames, 1_025);
        assert_eq!(errors.off, 512);
    }

    #[test]
    fn other_frames_are_no_reports() {
        let frame = CanFrame::new(MonoTime(0), BusId(0), CanId::Extended(0x40), FrameKind::Classic, &[]);
        assert_eq!(ErrorReport::of(&frame.unwrap()), None);
    }
}
