//! The pieces of a line: tokens, numbers, seconds, identifiers, data bytes.

use super::{MAX_CHANNEL, TraceError, TraceFrame};
use crate::frame::{BusId, CanFrame, CanId, FrameKind};
use telltale_wire::time::MonoTime;

/// Linux `CAN_ERR_FLAG`: set in an identifier that is an error class.
const CAN_ERR_FLAG: u32 = 0x2000_0000;

/// The line without a byte order mark, line ending and trailing blanks. Leading blanks stay: they mean something to
/// one format.
pub(super) fn trim(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line).trim_ascii_end()
}

/// Where a byte first stands. Eight bytes at a time: in a log most of the time goes into looking for separators.
pub(super) fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let (words, rest) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        // Zero where the byte stands; the lowest zero byte is the lowest one whose borrow reaches its high bit.
        let differs = u64::from_le_bytes(*word) ^ (ONES * wanted as u64);
        let found = differs.wrapping_sub(ONES) & !differs & HIGHS;
        if found != 0 {
            return Some(8 * place + found.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|byte| *byte == wanted).map(|at| 8 * words.len() + at)
}

/// Tokens between blanks.
#[derive(Clone, Copy)]
pub(super) struct Tokens<'l> {
    rest: &'l [u8],
}

impl<'l> Tokens<'l> {
    pub(super) const fn new(line: &'l [u8]) -> Self {
        Self { rest: line }
    }

    /// The next token, or an error that names what was looked for.
    pub(super) fn expect(&mut self, what: &'static str) -> Result<&'l [u8], TraceError> {
        self.next().ok_or(TraceError::Missing(what))
    }
}

impl<'l> Iterator for Tokens<'l> {
    type Item = &'l [u8];

    fn next(&mut self) -> Option<&'l [u8]> {
        let start = self.rest.iter().position(|b| !b.is_ascii_whitespace())?;
        let rest = &self.rest[start..];
        let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        let (token, rest) = rest.split_at(end);
        self.rest = rest;
        Some(token)
    }
}

/// The number base of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Base {
    Hex,
    Dec,
}

/// What a byte is worth as a hexadecimal digit; 0xFF if it is none.
const HEX: [u8; 256] = {
    let mut table = [0xFF; 256];
    let mut i = 0;
    while i < 10 {
        table[b'0' as usize + i] = i as u8;
        i += 1;
    }
    let mut i = 0;
    while i < 6 {
        table[b'a' as usize + i] = 10 + i as u8;
        table[b'A' as usize + i] = 10 + i as u8;
        i += 1;
    }
    table
};

/// One hexadecimal digit.
pub(super) fn hex_digit(digit: u8) -> Option<u8> {
    let value = HEX[usize::from(digit)];
    (value != 0xFF).then_some(value)
}

/// One byte of two hexadecimal digits.
pub(super) fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let (high, low) = (HEX[usize::from(high)], HEX[usize::from(low)]);
    // What is no digit has high bits.
    ((high | low) < 16).then_some(high << 4 | low)
}

/// A whole number of one digit or more that fits 32 bits.
pub(super) fn number(text: &[u8], base: Base) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    if base == Base::Hex && text.len() <= 8 {
        return text.iter().try_fold(0, |n, &b| Some(n << 4 | u32::from(hex_digit(b)?)));
    }
    text.iter().try_fold(0_u32, |n, &b| {
        let digit = u32::from(hex_digit(b)?);
        match base {
            Base::Hex if n >> 28 == 0 => Some(n << 4 | digit),
            Base::Dec if digit < 10 => n.checked_mul(10)?.checked_add(digit),
            _ => None,
        }
    })
}

/// A whole number of microseconds, with a sign if it is negative.
pub(super) fn micros(text: &[u8]) -> Result<i64, TraceError> {
    let (digits, negative) = match text {
        [b'-', digits @ ..] => (digits, true),
        digits => (digits, false),
    };
    let us = decimal(digits).ok_or(TraceError::BadTimestamp)?;
    Ok(if negative { -us } else { us })
}

/// `1436509052.249713`: seconds with up to nine decimals, cut to whole microseconds.
pub(super) fn seconds(text: &[u8]) -> Result<i64, TraceError> {
    let dot = text.iter().position(|&b| b == b'.').unwrap_or(text.len());
    let (whole, fraction) = text.split_at(dot);
    let us = fraction_micros(fraction.get(1..).unwrap_or_default());
    let whole = decimal(whole).and_then(|s| s.checked_mul(1_000_000));
    whole.zip(us).and_then(|(whole, us)| whole.checked_add(us)).ok_or(TraceError::BadTimestamp)
}

/// The digits behind a decimal point, in microseconds; nothing is zero.
pub(super) fn fraction_micros(digits: &[u8]) -> Option<i64> {
    if digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut scale = 100_000;
    Some(digits.iter().fold(0, |us, &b| {
        let us = us + i64::from(b - b'0') * scale;
        scale /= 10;
        us
    }))
}

fn decimal(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    let mut digits = text.iter().map(|b| Some(b.wrapping_sub(b'0')).filter(|digit| *digit <= 9));
    if text.len() <= 18 {
        // 10^18 fits.
        return digits.try_fold(0, |n, digit| Some(n * 10 + i64::from(digit?)));
    }
    digits.try_fold(0_i64, |n, digit| n.checked_mul(10)?.checked_add(i64::from(digit?)))
}

/// A channel name.
pub(super) fn channel(token: &[u8]) -> Result<&str, TraceError> {
    let fits = (1..=MAX_CHANNEL).contains(&token.len()) && token.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(token).ok().filter(|_| fits).ok_or(TraceError::BadChannel)
}

/// An identifier of a known format.
pub(super) fn identifier(id: u32, extended: bool) -> Result<CanId, TraceError> {
    let (fitting, bits) = if extended { (CanId::extended(id), 29) } else { (CanId::standard(id), 11) };
    fitting.ok_or(TraceError::IdOutOfRange { id, bits })
}

/// candump's identifier: three digits are standard, eight are extended or, with `CAN_ERR_FLAG`, an error class.
pub(super) fn candump_id(digits: &[u8]) -> Result<(CanId, bool), TraceError> {
    let id = number(digits, Base::Hex).ok_or(TraceError::BadId)?;
    match digits.len() {
        3 => Ok((identifier(id, false)?, false)),
        8 if id & CAN_ERR_FLAG != 0 => Ok((identifier(id ^ CAN_ERR_FLAG, true)?, true)),
        8 => Ok((identifier(id, true)?, false)),
        _ => Err(TraceError::BadId),
    }
}

/// Data bytes as they are gathered, bounded by the longest frame there is.
pub(super) struct Payload {
    bytes: [u8; CanFrame::MAX_LEN],
    len: u8,
}

impl Payload {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; CanFrame::MAX_LEN], len: 0 }
    }

    pub(super) const fn len(&self) -> u8 {
        self.len
    }

    /// Takes one more byte; `None` is a byte that was not readable.
    pub(super) fn push(&mut self, byte: Option<u8>) -> Result<(), TraceError> {
        let byte = byte.ok_or(TraceError::BadData { index: self.len })?;
        match self.bytes.get_mut(usize::from(self.len)) {
            Some(slot) => *slot = byte,
            None => return Err(TraceError::TooManyBytes { len: self.len + 1 }),
        }
        self.len += 1;
        Ok(())
    }

    /// The frame with this payload.
    pub(super) fn into_frame<'l>(
        self,
        at_us: i64,
        channel: &'l str,
        id: CanId,
        kind: FrameKind,
    ) -> Result<TraceFrame<'l>, TraceError> {
        let bytes = &self.bytes[..usize::from(self.len)];
        let frame = CanFrame::new(MonoTime(0), BusId::UNMAPPED, id, kind, bytes);
        let frame = frame.ok_or(TraceError::TooManyBytes { len: self.len })?;
        Ok(TraceFrame { at_us, channel, frame })
    }
}
