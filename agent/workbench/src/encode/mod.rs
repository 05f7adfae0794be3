//! Recordings in CSV brought onto CAN: each row becomes one frame of every message that the column map feeds, as
//! a `candump -l` log. So a fleet's old tables replay through the very decoder that runs in the vehicle.

mod columns;
mod plan;

pub use columns::{ColumnMap, ColumnMapError};

use crate::channel::Channel;
use plan::{Cell, MessagePlan, Plan};
use std::io::{self, Read, Write};
use telltale_core::dbc::Database;
use telltale_core::frame::{BusId, CanFrame, FrameKind};
use telltale_core::trace::write_candump_log;
use telltale_wire::time::{MonoTime, WallTime};

/// Microseconds between the frames of one row: they share its time, but a bus carries one at a time.
const FRAME_SPACING_US: i64 = 200;

/// What an encoding has read and written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Encoded {
    /// Rows read.
    pub rows: u64,
    /// Frames written.
    pub frames: u64,
    /// Messages left out, because a cell had no value and the map gives no raw value for that.
    pub left_out: u64,
    /// Cells without a value, sent as not available.
    pub missing: u64,
    /// Cells beyond what their signal can carry, sent as not available.
    pub beyond: u64,
    /// Rows with the time of the row before. They are written as they are: the reader has to cope.
    pub repeated: u64,
    /// Rows with a time before that of the row before. Written as they are, too.
    pub stepped_back: u64,
}

/// Why a recording was not encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// A column that the header lacks, or has more than once.
    #[error("the header has the column `{column}` {times} times: the map needs it exactly once")]
    Column {
        /// Its title.
        column: String,
        /// 0, or 2 for more than one.
        times: usize,
    },
    /// A signal that is not in exactly one message and one entry.
    #[error(
        "the signal `{signal}` is in {carriers} messages of the DBC file and {named} entries of the map: it has to be one each"
    )]
    Signal {
        /// Its name.
        signal: String,
        /// Messages that carry it.
        carriers: usize,
        /// Entries that name it.
        named: usize,
    },
    /// A message that cannot be filled.
    #[error("the message `{message}` cannot be encoded because of `{signal}`: {reason}")]
    Layout {
        /// Its name.
        message: String,
        /// The signal.
        signal: String,
        /// Why.
        reason: &'static str,
    },
    /// A raw value of the map that the signal's bits do not hold.
    #[error("the signal `{signal}` cannot hold the raw value {raw}")]
    Raw {
        /// Its name.
        signal: String,
        /// The value.
        raw: i64,
    },
    /// The table itself: a row of another length, text that is not UTF-8, a read that failed.
    #[error("cannot read {origin}")]
    Csv {
        /// The file.
        origin: String,
        /// With the line.
        source: csv::Error,
    },
    /// A cell that is no number or no time.
    #[error("{origin}:{line}: column `{column}`: `{value}` is no {expected}")]
    Value {
        /// The file.
        origin: String,
        /// The line, from 1.
        line: u64,
        /// The column.
        column: String,
        /// The cell, cut to 40 characters.
        value: String,
        /// What it should have been.
        expected: &'static str,
    },
    /// The output.
    #[error("cannot write the encoded frames")]
    Output(#[from] io::Error),
}

/// Encodes a recording. `origin` names it in errors; the first line has to be the header.
///
/// # Errors
/// A map that does not fit the header or the DBC file, before anything is written; a cell that cannot be read,
/// with its place; the output.
pub fn encode(
    recording: impl Read,
    origin: &str,
    database: &Database,
    map: &ColumnMap,
    channel: &Channel,
    out: &mut impl Write,
) -> Result<Encoded, EncodeError> {
    let in_csv = |source| EncodeError::Csv { origin: origin.into(), source };
    let mut reader = csv::Reader::from_reader(recording);
    let plan = Plan::bind(map, reader.headers().map_err(in_csv)?, database)?;
    let mut encoder = Encoder {
        origin,
        map,
        channel,
        plan,
        counted: Encoded::default(),
        last_us: None,
        line: String::new(),
    };
    let mut row = csv::StringRecord::new();
    while reader.read_record(&mut row).map_err(in_csv)? {
        encoder.row(&row, out)?;
    }
    out.flush()?;
    Ok(encoder.counted)
}

struct Encoder<'a> {
    origin: &'a str,
    map: &'a ColumnMap,
    channel: &'a Channel,
    plan: Plan,
    counted: Encoded,
    last_us: Option<i64>,
    line: String,
}

impl Encoder<'_> {
    fn row(&mut self, row: &csv::StringRecord, out: &mut impl Write) -> Result<(), EncodeError> {
        let text = row.get(self.plan.time).unwrap_or_default();
        let wrong = |column: &str, value, expected| wrong_cell(self.origin, row, column, value, expected);
        let at_us = self.map.time_format.micros(text.trim());
        let at_us = at_us.ok_or_else(|| wrong(&self.map.time_column, text, "time in the map's format"))?;
        self.counted.rows += 1;
        self.counted.repeated += u64::from(self.last_us == Some(at_us));
        self.counted.stepped_back += u64::from(self.last_us.is_some_and(|last| at_us < last));
        self.last_us = Some(at_us);

        self.line.clear();
        let mut frame_us = at_us;
        for message in &mut self.plan.messages {
            let filled = fill(message, row, &mut self.counted)
                .map_err(|(column, value)| wrong_cell(self.origin, row, &column, &value, "number"))?;
            let Some(mut payload) = filled else {
                self.counted.left_out += 1;
                continue;
            };
            message.protect(&mut payload);
            let kind =
                if message.len > CanFrame::MAX_CLASSIC_LEN { FrameKind::Fd } else { FrameKind::Classic };
            let frame = CanFrame::new(MonoTime(0), BusId(0), message.id, kind, &payload[..message.len]);
            if let Some(frame) = frame {
                write_candump_log(&mut self.line, &frame, self.channel.as_str(), WallTime(frame_us))
                    .map_err(io::Error::other)?;
                self.counted.frames += 1;
                frame_us += FRAME_SPACING_US;
            }
        }
        out.write_all(self.line.as_bytes())?;
        Ok(())
    }
}

/// The payload of one message of a row; `None` if it has to be left out. Fails with the column and the text of a
/// cell that is no number.
fn fill(
    message: &MessagePlan,
    row: &csv::StringRecord,
    counted: &mut Encoded,
) -> Result<Option<[u8; CanFrame::MAX_LEN]>, (String, String)> {
    let mut payload = message.base;
    let mut whole = true;
    for field in &message.fields {
        let text = row.get(field.column).unwrap_or_default();
        let cell = field.read(text).ok_or_else(|| (field.name.clone(), text.to_owned()))?;
        let raw = match cell {
            Cell::Raw(raw) => Some(raw),
            Cell::Beyond => {
                counted.beyond += 1;
                field.not_available()
            }
            Cell::Missing => {
                counted.missing += 1;
                field.not_available()
            }
        };
        match raw {
            Some(raw) => field.layout.set_raw(&mut payload, raw),
            None => whole = false,
        }
    }
    Ok(whole.then_some(payload))
}

fn wrong_cell(
    origin: &str,
    row: &csv::StringRecord,
    column: &str,
    value: &str,
    expected: &'static str,
) -> EncodeError {
    EncodeError::Value {
        origin: origin.into(),
        line: row.position().map_or(0, csv::Position::line),
        column: column.into(),
        value: value.chars().take(40).flat_map(char::escape_default).collect(),
        expected,
    }
}

#[cfg(test)]
mod tests;
