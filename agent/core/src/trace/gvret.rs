//! GVRET's comma-separated columns, as SavvyCAN writes them:
//! `Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8`, older ones without `Dir`. Times are microseconds
//! since the logger's own start (negative where it was set
//! while it ran), identifiers and data hexadecimal; a comma may end the line.

use super::field::{self, Base, Payload};
use super::{TraceError, TraceFrame};
use crate::frame::{CanFrame, FrameKind};

/// Whether the line names columns.
pub(super) fn is_header(line: &[u8]) -> bool {
    let name = b"time stamp,";
    line.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name))
}

/// One row.
pub(super) fn parse(line: &[u8]) -> Result<TraceFrame<'_>, TraceError> {
    let mut columns = Columns { rest: Some(line) };
    let time = columns.next().ok_or(TraceError::Unrecognised)?;
    let id = columns.next().ok_or(TraceError::Unrecognised)?;
    let at_us = field::micros(time)?;
    let id = field::number(id, Base::Hex).ok_or(TraceError::BadId)?;
    let id = field::identifier(id, is_extended(columns.expect("Extended")?)?)?;
    let mut bus = columns.expect("Bus")?;
    if matches!(bus, b"Rx" | b"Tx") {
        bus = columns.expect("Bus")?;
    }
    let channel = field::channel(bus)?;
    let said = columns.expect("LEN")?;
    let said = field::number(said, Base::Dec).and_then(|n| u8::try_from(n).ok());
    let said = said.ok_or(TraceError::BadLength)?;
    let payload = bytes(columns, said)?;
    let is_classic = usize::from(said) <= CanFrame::MAX_CLASSIC_LEN;
    payload.into_frame(at_us, channel, id, if is_classic { FrameKind::Classic } else { FrameKind::Fd })
}

fn is_extended(text: &[u8]) -> Result<bool, TraceError> {
    match text {
        b"false" | b"False" | b"0" => Ok(false),
        b"true" | b"True" | b"1" => Ok(true),
        _ => Err(TraceError::BadField("Extended")),
    }
}

/// As many columns as the length says; the columns behind them may exist but must be empty.
fn bytes(mut columns: Columns<'_>, said: u8) -> Result<Payload, TraceError> {
    let mut payload = Payload::new();
    // As loggers write them: two digits and a comma. Whatever else there is goes column by column.
    while payload.len() < said
        && let Some([high, low, b',', rest @ ..]) = columns.rest
        && let Some(byte) = field::hex_byte(*high, *low)
    {
        payload.push(Some(byte))?;
        columns.rest = Some(rest);
    }
    while payload.len() < said {
        match columns.next() {
            Some([high, low]) => payload.push(field::hex_byte(*high, *low))?,
            Some([low]) => payload.push(field::hex_digit(*low))?,
            Some([]) | None => return Err(TraceError::LengthMismatch { said, found: payload.len() }),
            Some(_) => return Err(TraceError::BadData { index: payload.len() }),
        }
    }
    let surplus = columns.filter(|c| !c.is_empty()).count();
    if surplus > 0 {
        let found = usize::from(said) + surplus;
        return Err(TraceError::LengthMismatch { said, found: u8::try_from(found).unwrap_or(u8::MAX) });
    }
    Ok(payload)
}

/// Text between commas, without blanks around it.
struct Columns<'l> {
    rest: Option<&'l [u8]>,
}

impl<'l> Columns<'l> {
    fn expect(&mut self, what: &'static str) -> Result<&'l [u8], TraceError> {
        self.next().ok_or(TraceError::Missing(what))
    }
}

impl<'l> Iterator for Columns<'l> {
    type Item = &'l [u8];

    fn next(&mut self) -> Option<&'l [u8]> {
        let rest = self.rest?;
        let column = match field::find(rest, b',') {
            Some(comma) => {
                self.rest = Some(&rest[comma + 1..]);
                &rest[..comma]
            }
            None => {
                self.rest = None;
                rest
            }
        };
        match column {
            [first, .., last] if *first > b' ' && *last > b' ' => Some(column),
            _ => Some(column.trim_ascii()),
        }
    }
}
