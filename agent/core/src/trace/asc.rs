//! Vector ASC: classic and CAN FD frames, error and remote frames, both number bases, absolute and relative times.
//!
//! ```text
//! date Thu, 09 Nov 2023 20:36:33 GMT
//! base hex  timestamps absolute
//!    0.153600 1  594             Rx   d 8 34 21 34 21 A0 61 04 20  Length = 240000 BitCount = 124 ID = 1428
//!    0.154110 2  18FEF100x       Rx   r
//!    0.154370 1  ErrorFrame
//!    0.154620 CANFD   1 Rx   300  Name   1 0 9 12 01 02 03 04 05 06 07 08 09 0A 0B 0C  130 132 3000 0 0 0 0 0
//! ```

use super::date::{self, Date};
use super::field::{self, Base, Payload, Tokens};
use super::{CAN_ERR_BUSERROR, TraceError, TraceFrame};
use crate::frame::{CanFrame, CanId, FrameKind};
use telltale_wire::time::WallTime;

/// Bits of the flags column of a `CANFD` line.
const FLAG_REMOTE: u32 = 0x10;
const FLAG_FD: u32 = 0x1000;

/// What the lines so far have told.
#[derive(Clone, Debug)]
pub(super) struct Asc {
    base: Base,
    relative: bool,
    /// The latest event, absolute; relative times count from it.
    clock_us: i64,
    date: Option<Date>,
    unreadable_date: bool,
    other_events: u64,
}

impl Default for Asc {
    fn default() -> Self {
        Self {
            base: Base::Hex,
            relative: false,
            clock_us: 0,
            date: None,
            unreadable_date: false,
            other_events: 0,
        }
    }
}

/// Whether the line opens an ASC log.
pub(super) fn is_header(line: &[u8]) -> bool {
    let mut tokens = Tokens::new(line);
    let (first, second) = (tokens.next().unwrap_or_default(), tokens.next().unwrap_or_default());
    let starts = |a: &[u8], b: &[u8]| first.eq_ignore_ascii_case(a) && second.eq_ignore_ascii_case(b);
    (first.eq_ignore_ascii_case(b"date") && date::parse(line.get(4..).unwrap_or_default()).is_some())
        || starts(b"base", b"hex")
        || starts(b"base", b"dec")
        || starts(b"begin", b"triggerblock")
}

impl Asc {
    pub(super) fn parse<'l>(&mut self, line: &'l [u8]) -> Result<Option<TraceFrame<'l>>, TraceError> {
        let line = line.trim_ascii_start();
        match line.first() {
            Some(b'0'..=b'9') => self.event(line),
            Some(b'/') => Ok(None),
            _ => self.header(line).map(|()| None),
        }
    }

    /// Times count from the start of the measurement, which is what the date names.
    pub(super) fn wall_at(&self, at_us: i64) -> Option<WallTime> {
        self.date?.wall.as_unix_micros().checked_add(at_us).map(WallTime::from_unix_micros)
    }

    pub(super) fn is_zoneless(&self) -> bool {
        self.date.is_some_and(|d| !d.has_zone)
    }

    pub(super) const fn has_unreadable_date(&self) -> bool {
        self.unreadable_date && self.date.is_none()
    }

    pub(super) const fn other_events(&self) -> u64 {
        self.other_events
    }

    fn header(&mut self, line: &[u8]) -> Result<(), TraceError> {
        let mut tokens = Tokens::new(line);
        let first = tokens.next().unwrap_or_default();
        let is = |name: &str| first.eq_ignore_ascii_case(name.as_bytes());
        if is("date") {
            self.date = date::parse(&line[first.len()..]);
            self.unreadable_date = self.date.is_none();
        } else if is("base") {
            let base = tokens.expect("base")?;
            self.base = match base.eq_ignore_ascii_case(b"dec") {
                true => Base::Dec,
                false if base.eq_ignore_ascii_case(b"hex") => Base::Hex,
                false => return Err(TraceError::BadField("base")),
            };
            self.relative = tokens.any(|t| t.eq_ignore_ascii_case(b"relative"));
        } else if !["begin", "end", "internal", "no", "previous"].into_iter().any(is) {
            return Err(TraceError::Unrecognised);
        }
        Ok(())
    }

    fn event<'l>(&mut self, line: &'l [u8]) -> Result<Option<TraceFrame<'l>>, TraceError> {
        let mut tokens = Tokens::new(line);
        let time = field::seconds(tokens.expect("timestamp")?)?;
        if self.relative {
            self.clock_us = self.clock_us.checked_add(time).ok_or(TraceError::BadTimestamp)?;
        } else {
            self.clock_us = time;
        }
        let source = tokens.expect("channel")?;
        if source.iter().all(u8::is_ascii_digit) {
            return self.classic(field::channel(source)?, tokens);
        }
        if source.eq_ignore_ascii_case(b"CANFD") {
            return self.fd(tokens);
        }
        if !source[0].is_ascii_alphabetic() {
            return Err(TraceError::Unrecognised);
        }
        // "Start of measurement" is a remark; anything else is another bus, a variable or a statistic.
        self.other_events += u64::from(!source.eq_ignore_ascii_case(b"Start"));
        Ok(None)
    }

    fn classic<'l>(
        &mut self,
        channel: &'l str,
        mut tokens: Tokens<'l>,
    ) -> Result<Option<TraceFrame<'l>>, TraceError> {
        let id = tokens.expect("identifier")?;
        if id.eq_ignore_ascii_case(b"ErrorFrame") {
            return self.error_frame(channel).map(Some);
        }
        if id.starts_with(b"Statistic") || id.starts_with(b"J1939") {
            self.other_events += 1;
            return Ok(None);
        }
        let direction = tokens.expect("direction")?;
        let id = self.identifier(id)?;
        if !self.is_on_the_bus(direction)? {
            return Ok(None);
        }
        let frame = match tokens.expect("frame type")? {
            b"r" | b"R" => Payload::new().into_frame(self.clock_us, channel, id, FrameKind::Remote)?,
            b"d" | b"D" => {
                let code = field::number(tokens.expect("data length")?, self.base);
                let code = code.filter(|&c| c <= 15).ok_or(TraceError::BadLength)?;
                let said = (code as u8).min(CanFrame::MAX_CLASSIC_LEN as u8); // codes 9 to 15 mean 8 bytes
                let payload = self.bytes(&mut tokens, said)?;
                if tokens.next().is_some_and(|t| self.byte(t).is_some()) {
                    return Err(TraceError::LengthMismatch { said, found: said + 1 });
                }
                payload.into_frame(self.clock_us, channel, id, FrameKind::Classic)?
            }
            _ => return Err(TraceError::BadField("frame type")),
        };
        Ok(Some(frame))
    }

    fn fd<'l>(&mut self, mut tokens: Tokens<'l>) -> Result<Option<TraceFrame<'l>>, TraceError> {
        let channel = field::channel(tokens.expect("channel")?)?;
        let direction = tokens.expect("direction")?;
        let id = tokens.expect("identifier")?;
        if id.eq_ignore_ascii_case(b"ErrorFrame") {
            return self.error_frame(channel).map(Some);
        }
        let id = self.identifier(id)?;
        if !self.is_on_the_bus(direction)? {
            return Ok(None);
        }
        let mut switch = tokens.expect("bitrate switch")?;
        if !matches!(switch, b"0" | b"1") {
            switch = tokens.expect("bitrate switch")?; // a symbolic name stood before it
        }
        let state = tokens.expect("error state")?;
        if !matches!((switch, state), (b"0" | b"1", b"0" | b"1")) {
            return Err(TraceError::BadField("bitrate switch or error state"));
        }
        let code = field::number(tokens.expect("length code")?, Base::Hex);
        let code = code.filter(|&c| c <= 15).ok_or(TraceError::BadLength)?;
        let said = field::number(tokens.expect("data length")?, Base::Dec);
        let said = said.filter(|&n| n <= 64).ok_or(TraceError::BadLength)? as u8;
        let payload = self.bytes(&mut tokens, said)?;
        let (_duration, _bits) = (tokens.next(), tokens.next());
        let flags = tokens.next().and_then(|t| field::number(t, Base::Hex));
        let kind = fd_line_kind(code, said, flags)?;
        payload.into_frame(self.clock_us, channel, id, kind).map(Some)
    }

    fn error_frame<'l>(&self, channel: &'l str) -> Result<TraceFrame<'l>, TraceError> {
        Payload::new().into_frame(self.clock_us, channel, CanId::Extended(CAN_ERR_BUSERROR), FrameKind::Error)
    }

    /// A trailing `x` marks 29 bits.
    fn identifier(&self, token: &[u8]) -> Result<CanId, TraceError> {
        let (digits, extended) = match token {
            [digits @ .., b'x' | b'X'] => (digits, true),
            digits => (digits, false),
        };
        field::identifier(field::number(digits, self.base).ok_or(TraceError::BadId)?, extended)
    }

    /// A request to transmit is followed by the frame itself and is no frame.
    fn is_on_the_bus(&mut self, direction: &[u8]) -> Result<bool, TraceError> {
        match direction {
            b"Rx" | b"Tx" | b"RX" | b"TX" | b"rx" | b"tx" => Ok(true),
            b"TxRq" => {
                self.other_events += 1;
                Ok(false)
            }
            _ => Err(TraceError::BadField("direction")),
        }
    }

    fn bytes(&self, tokens: &mut Tokens<'_>, said: u8) -> Result<Payload, TraceError> {
        let mut payload = Payload::new();
        while payload.len() < said {
            let Some(token) = tokens.next() else {
                return Err(TraceError::LengthMismatch { said, found: payload.len() });
            };
            payload.push(self.byte(token))?;
        }
        Ok(payload)
    }

    fn byte(&self, token: &[u8]) -> Option<u8> {
        if let (Base::Hex, [high, low]) = (self.base, token) {
            return field::hex_byte(*high, *low);
        }
        field::number(token, self.base).and_then(|n| u8::try_from(n).ok())
    }
}

/// What a `CANFD` line holds: such lines log classic and remote frames of an FD channel too.
fn fd_line_kind(code: u32, said: u8, flags: Option<u32>) -> Result<FrameKind, TraceError> {
    let asks = code > 0 && said == 0;
    let is_fd = flags.is_none_or(|f| f & FLAG_FD != 0);
    if asks || (!is_fd && flags.is_some_and(|f| f & FLAG_REMOTE != 0)) {
        return Ok(FrameKind::Remote);
    }
    let by_code = match code {
        0..=8 => code as u8,
        _ if !is_fd => CanFrame::MAX_CLASSIC_LEN as u8,
        9..=12 => (code as u8 - 6) * 4,
        _ => (code as u8 - 11) * 16,
    };
    if by_code != said {
        return Err(TraceError::LengthMismatch { said: by_code, found: said });
    }
    Ok(if is_fd { FrameKind::Fd } else { FrameKind::Classic })
}
