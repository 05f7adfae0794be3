//! candump of can-utils: the log that `-l` and `-L` write (`parse_canframe` in can-utils `lib.h` defines it), and
//! what is printed on the screen, with or without `-t`, `-x`, `-e` and `-a`.

use super::field::{self, Base, Payload, Tokens};
use super::{TraceError, TraceFrame, date};
use crate::frame::FrameKind;

/// The step between frames of a log without times.
const SYNTHETIC_STEP_US: i64 = 1_000;

/// `(1436509052.249713) can0 044#2A366C2BBA`, then optionally `R` or `T`.
pub(super) fn parse_log(line: &[u8]) -> Result<TraceFrame<'_>, TraceError> {
    let (time, rest) = bracketed(line.trim_ascii_start())?;
    let at_us = field::seconds(time)?;
    let mut tokens = Tokens::new(rest);
    let channel = field::channel(tokens.expect("channel")?)?;
    let frame = tokens.expect("frame")?;
    match tokens.next() {
        None | Some(b"R" | b"T") => {}
        Some(_) => return Err(TraceError::BadField("direction")),
    }
    if tokens.next().is_some() {
        return Err(TraceError::Trailing);
    }
    compact(frame, at_us, channel)
}

/// The text between `(` and `)`, and what follows.
fn bracketed(line: &[u8]) -> Result<(&[u8], &[u8]), TraceError> {
    let inner = line.strip_prefix(b"(").ok_or(TraceError::Unrecognised)?;
    let close = inner.iter().position(|&b| b == b')').ok_or(TraceError::BadTimestamp)?;
    Ok((&inner[..close], &inner[close + 1..]))
}

/// `<id>#<data>`, `<id>#R<dlc>`, `<id>##<flags><data>`.
fn compact<'l>(text: &[u8], at_us: i64, channel: &'l str) -> Result<TraceFrame<'l>, TraceError> {
    let hash = text.iter().position(|&b| b == b'#').ok_or(TraceError::Missing("#"))?;
    let (id, is_error) = field::candump_id(&text[..hash])?;
    let body = &text[hash + 1..];
    let mut payload = Payload::new();
    let kind = match body {
        [b'#', flags, data @ ..] => {
            field::hex_digit(*flags).ok_or(TraceError::BadField("FD flags"))?;
            hex_pairs(data, &mut payload)?;
            FrameKind::Fd
        }
        [b'#'] => return Err(TraceError::Missing("FD flags")),
        [b'R' | b'r', dlc @ ..] if !is_error => {
            remote_dlc(dlc)?;
            FrameKind::Remote
        }
        data => {
            hex_pairs(without_raw_dlc(data)?, &mut payload)?;
            if is_error { FrameKind::Error } else { FrameKind::Classic }
        }
    };
    if is_error && kind != FrameKind::Error {
        return Err(TraceError::BadField("error class"));
    }
    payload.into_frame(at_us, channel, id, kind)
}

/// A remote frame may say how many bytes it asks for; it carries none.
fn remote_dlc(dlc: &[u8]) -> Result<(), TraceError> {
    match without_raw_dlc(dlc)? {
        [] => Ok(()),
        [digit] if field::hex_digit(*digit).is_some() => Ok(()),
        _ => Err(TraceError::BadLength),
    }
}

/// Without `_<dlc>`, the raw length code 9 to F of a classic frame with 8 bytes.
fn without_raw_dlc(data: &[u8]) -> Result<&[u8], TraceError> {
    match data {
        [head @ .., b'_', digit] => match field::hex_digit(*digit) {
            Some(9..) => Ok(head),
            _ => Err(TraceError::BadLength),
        },
        _ => Ok(data),
    }
}

/// Pairs of digits, optionally parted by points.
fn hex_pairs(mut data: &[u8], payload: &mut Payload) -> Result<(), TraceError> {
    while let [high, rest @ ..] = data {
        if *high == b'.' && payload.len() > 0 {
            data = rest;
            continue;
        }
        let [low, rest @ ..] = rest else { return Err(TraceError::BadData { index: payload.len() }) };
        payload.push(field::hex_byte(*high, *low))?;
        data = rest;
    }
    Ok(())
}

/// What candump prints on the screen.
#[derive(Clone, Debug, Default)]
pub(super) struct Screen {
    without_time: i64,
    zoneless: bool,
}

impl Screen {
    pub(super) const fn is_synthetic(&self) -> bool {
        self.without_time > 0
    }

    pub(super) const fn is_zoneless(&self) -> bool {
        self.zoneless
    }

    pub(super) fn parse<'l>(&mut self, line: &'l [u8]) -> Result<Option<TraceFrame<'l>>, TraceError> {
        if line.starts_with(b"\t") {
            return Ok(None); // `-e` explains an error frame on lines of its own.
        }
        let line = line.trim_ascii_start();
        let (time, rest) = if line.starts_with(b"(") {
            let (time, rest) = bracketed(line)?;
            (Some(time), rest)
        } else {
            (None, line)
        };
        let mut frame = parse_columns(rest)?;
        frame.at_us = self.time(time)?;
        Ok(Some(frame))
    }

    fn time(&mut self, text: Option<&[u8]>) -> Result<i64, TraceError> {
        match text {
            None => {
                let at = self.without_time.saturating_mul(SYNTHETIC_STEP_US);
                self.without_time += 1;
                Ok(at)
            }
            Some(text) if text.contains(&b'-') => {
                self.zoneless = true;
                let date = date::parse(text).ok_or(TraceError::BadTimestamp)?;
                Ok(date.wall.as_unix_micros())
            }
            Some(text) => field::seconds(text),
        }
    }
}

/// `can0  RX - -  123   [8]  11 22 33 44 55 66 77 88   '.."3DUfw'`; the flags only with `-x`.
fn parse_columns(text: &[u8]) -> Result<TraceFrame<'_>, TraceError> {
    let mut tokens = Tokens::new(text);
    let channel = field::channel(tokens.expect("channel")?)?;
    let mut id = tokens.expect("identifier")?;
    if matches!(id, b"RX" | b"TX") {
        for flag in ["bitrate switch", "error state"] {
            if !matches!(tokens.expect(flag)?, b"-" | b"B" | b"E") {
                return Err(TraceError::BadField(flag));
            }
        }
        id = tokens.expect("identifier")?;
    }
    let (id, is_error) = field::candump_id(id)?;
    let (said, is_fd) = bracketed_length(tokens.expect("length")?)?;
    let mut ahead = tokens;
    let (remote, request) = (ahead.next() == Some(b"remote"), ahead.next() == Some(b"request"));
    if remote && request && !is_error && !is_fd {
        return Payload::new().into_frame(0, channel, id, FrameKind::Remote);
    }
    let payload = spaced_bytes(tokens, said)?;
    let kind = match (is_error, is_fd) {
        (true, true) => return Err(TraceError::BadField("error class")),
        (true, false) => FrameKind::Error,
        (false, true) => FrameKind::Fd,
        (false, false) => FrameKind::Classic,
    };
    payload.into_frame(0, channel, id, kind)
}

/// `[8]` is classic; two digits, `[08]` or `[12]`, are CAN FD.
fn bracketed_length(token: &[u8]) -> Result<(u8, bool), TraceError> {
    let digits = token.strip_prefix(b"[").and_then(|t| t.strip_suffix(b"]")).ok_or(TraceError::BadLength)?;
    let value = field::number(digits, Base::Dec).and_then(|n| u8::try_from(n).ok());
    match (value, digits.len()) {
        (Some(n), 1 | 2) => Ok((n, digits.len() == 2)),
        _ => Err(TraceError::BadLength),
    }
}

/// As many bytes as the length says, then nothing but candump's own remarks.
fn spaced_bytes(tokens: Tokens<'_>, said: u8) -> Result<Payload, TraceError> {
    let mut payload = Payload::new();
    let mut tokens = tokens.peekable();
    while payload.len() < said {
        match tokens.next() {
            Some([high, low]) => payload.push(field::hex_byte(*high, *low))?,
            Some(b"ERRORFRAME") | None => {
                return Err(TraceError::LengthMismatch { said, found: payload.len() });
            }
            Some(_) => return Err(TraceError::BadData { index: payload.len() }),
        }
    }
    match tokens.next() {
        None | Some(b"ERRORFRAME" | [b'\'', ..]) => Ok(payload),
        Some([high, low]) if field::hex_byte(*high, *low).is_some() => {
            Err(TraceError::LengthMismatch { said, found: said.saturating_add(1) })
        }
        Some(_) => Err(TraceError::Trailing),
    }
}
