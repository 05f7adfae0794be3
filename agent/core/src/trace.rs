//! Log formats: one line of text to one frame, and a frame back to a line. Pure: whoever reads the file splits it
//! into lines, maps channels to buses and decides what a clock that steps back means.
//!
//! A log is input from outside. Every refusal has its reason, no line makes a parser panic, allocate or hold on to
//! more than the few bytes of its own state, and what is skipped on purpose is counted.

mod asc;
mod candump;
mod date;
mod field;
mod gvret;
mod write;

pub use write::{MAX_CANDUMP_LINE, write_candump_log};

use crate::frame::{BusId, CanFrame};
use std::fmt;
use std::str::FromStr;
use telltale_wire::time::{MonoTime, WallTime};

/// The longest line that is looked at, in bytes. A CAN FD frame with 64 decimal bytes, a symbolic name and all of
/// Vector's trailing columns stays below a quarter of it.
pub const MAX_LINE: usize = 4096;

/// The longest channel name: an interface name of Linux (`IFNAMSIZ` less the zero).
pub const MAX_CHANNEL: usize = 15;

/// `CAN_ERR_BUSERROR` of `linux/can/error.h`: what a log means that says "error frame" without a class.
const CAN_ERR_BUSERROR: u32 = 0x80;

/// Where the first line of these bytes ends: the place of its line feed.
#[must_use]
pub fn line_end(bytes: &[u8]) -> Option<usize> {
    field::find(bytes, b'\n')
}

/// A log format.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// What `candump -l` writes: `(1436509052.249713) can0 044#2A366C2BBA`.
    CandumpLog,
    /// What `candump` prints: `  can0  123   [8]  11 22 33 44 55 66 77 88`.
    Candump,
    /// Comma-separated GVRET, as SavvyCAN writes it; microseconds.
    Gvret,
    /// Vector ASC, classic and CAN FD.
    Asc,
}

impl Format {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Format; 4] = [Format::CandumpLog, Format::Candump, Format::Gvret, Format::Asc];

    /// The name by which a command line chooses it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Format::CandumpLog => "candump-log",
            Format::Candump => "candump",
            Format::Gvret => "gvret",
            Format::Asc => "asc",
        }
    }

    /// The format of a log by its first lines, or `None` if none of them is a line of a known format.
    #[must_use]
    pub fn sniff(head: &[u8]) -> Option<Format> {
        head.split(|&b| b == b'\n').take(Self::SNIFFED_LINES).find_map(|line| {
            let line = field::trim(line);
            if gvret::is_header(line) {
                return Some(Format::Gvret);
            }
            if asc::is_header(line) {
                return Some(Format::Asc);
            }
            Self::ALL.into_iter().find(|&f| matches!(LineParser::new(f).parse(line), Ok(Some(_))))
        })
    }

    /// Junk before the first good line that does not hide the format.
    const SNIFFED_LINES: usize = 64;
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Format, UnknownFormat> {
        Self::ALL.into_iter().find(|f| f.as_str() == name).ok_or(UnknownFormat)
    }
}

/// A name that is no log format's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown log format; known: candump-log, candump, gvret, asc")]
pub struct UnknownFormat;

/// One frame of a log.
#[derive(Clone, Copy, Debug)]
pub struct TraceFrame<'l> {
    /// Microseconds on the log's own clock. It may repeat, step back, start anew, and even be negative where a
    /// logger was synchronised while it ran.
    pub at_us: i64,
    /// The channel as the log names it: `can0`, `1`.
    pub channel: &'l str,
    /// Its time and bus are not yet set.
    frame: CanFrame,
}

impl TraceFrame<'_> {
    /// The frame at this time of the reader's monotonic clock, on this bus.
    #[must_use]
    pub const fn into_frame(mut self, at: MonoTime, bus: BusId) -> CanFrame {
        self.frame.at = at;
        self.frame.bus = bus;
        self.frame
    }
}

/// Why a line is not a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// Longer than [`MAX_LINE`].
    #[error("line is longer than {MAX_LINE} bytes")]
    TooLong,
    /// It ended before this field.
    #[error("line ends before the {0}")]
    Missing(&'static str),
    /// No line of this format.
    #[error("not a line of this format")]
    Unrecognised,
    /// The time is not a number, or too large for microseconds in 63 bits.
    #[error("timestamp is not a time, or too large")]
    BadTimestamp,
    /// The channel is empty, not printable ASCII, or longer than [`MAX_CHANNEL`].
    #[error("channel name is not 1 to {MAX_CHANNEL} printable characters")]
    BadChannel,
    /// The identifier is not a number of the format's base and width.
    #[error("identifier is not a number of the expected width")]
    BadId,
    /// The identifier does not fit 11 (standard) or 29 bits (extended).
    #[error("identifier 0x{id:X} exceeds {bits} bits")]
    IdOutOfRange {
        /// As written.
        id: u32,
        /// What it has to fit.
        bits: u8,
    },
    /// A flag, direction or type field holds something else.
    #[error("{0} field is not understood")]
    BadField(&'static str),
    /// The length is not a number.
    #[error("data length is not a number")]
    BadLength,
    /// A data byte is not a byte of the format's base.
    #[error("data byte {index} is not a byte")]
    BadData {
        /// Counted from 0.
        index: u8,
    },
    /// The line says one length and carries another.
    #[error("line says {said} data bytes and carries {found}")]
    LengthMismatch {
        /// By the length field.
        said: u8,
        /// By the data.
        found: u8,
    },
    /// More bytes than this kind of frame holds.
    #[error("{len} data bytes do not fit this kind of frame")]
    TooManyBytes {
        /// As written.
        len: u8,
    },
    /// Something follows the frame.
    #[error("unexpected text after the frame")]
    Trailing,
}

/// What a reader of the log should know about all of its frames.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TraceNote {
    /// The log has no times: frames stand one millisecond apart.
    SyntheticTime,
    /// The log's wall time names no zone and is taken for UTC.
    DateWithoutZone,
    /// The log's date is in no known form, so its wall time stays unknown.
    DateUnreadable,
    /// The log holds events that are no CAN frames; they were left out.
    OtherEvents,
}

impl fmt::Display for TraceNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TraceNote::SyntheticTime => "the log has no times: frames are taken to stand 1 ms apart",
            TraceNote::DateWithoutZone => "the log's date names no time zone: taken for UTC",
            TraceNote::DateUnreadable => "the log's date is in no known form: its wall time is unknown",
            TraceNote::OtherEvents => "the log holds events that are no CAN frames: they were left out",
        })
    }
}

/// Parses a log line by line; it keeps what one line tells about the next (base, dates, relative times).
#[derive(Clone, Debug)]
pub struct LineParser {
    dialect: Dialect,
}

#[derive(Clone, Debug)]
enum Dialect {
    CandumpLog,
    Candump(candump::Screen),
    Gvret,
    Asc(asc::Asc),
}

impl LineParser {
    /// A parser at the start of a log.
    #[must_use]
    pub fn new(format: Format) -> LineParser {
        let dialect = match format {
            Format::CandumpLog => Dialect::CandumpLog,
            Format::Candump => Dialect::Candump(candump::Screen::default()),
            Format::Gvret => Dialect::Gvret,
            Format::Asc => Dialect::Asc(asc::Asc::default()),
        };
        LineParser { dialect }
    }

    /// The frame of a line, with or without its line ending; `None` for headers, comments, empty lines and events
    /// that are no frames.
    ///
    /// # Errors
    /// The reason why the line is neither; the parser goes on with the next line.
    pub fn parse<'l>(&mut self, line: &'l [u8]) -> Result<Option<TraceFrame<'l>>, TraceError> {
        if line.len() > MAX_LINE {
            return Err(TraceError::TooLong);
        }
        let line = field::trim(line);
        if line.is_empty() {
            return Ok(None);
        }
        match &mut self.dialect {
            Dialect::CandumpLog => candump::parse_log(line).map(Some),
            Dialect::Candump(screen) => screen.parse(line),
            Dialect::Gvret if gvret::is_header(line) => Ok(None),
            Dialect::Gvret => gvret::parse(line).map(Some),
            Dialect::Asc(asc) => asc.parse(line),
        }
    }

    /// The wall time of a moment on the log's clock, where the log says what it is: candump's absolute times, an
    /// ASC date. It may become known, or change, as lines are parsed.
    #[must_use]
    pub fn wall_at(&self, at_us: i64) -> Option<WallTime> {
        match &self.dialect {
            Dialect::CandumpLog | Dialect::Candump(_) => epoch(at_us),
            Dialect::Gvret => None,
            Dialect::Asc(asc) => asc.wall_at(at_us),
        }
    }

    /// What there is to say about the log so far.
    pub fn notes(&self) -> impl Iterator<Item = TraceNote> {
        let (synthetic, zoneless, unreadable, others) = match &self.dialect {
            Dialect::CandumpLog | Dialect::Gvret => (false, false, false, false),
            Dialect::Candump(screen) => (screen.is_synthetic(), screen.is_zoneless(), false, false),
            Dialect::Asc(asc) => {
                (false, asc.is_zoneless(), asc.has_unreadable_date(), asc.other_events() > 0)
            }
        };
        [
            synthetic.then_some(TraceNote::SyntheticTime),
            zoneless.then_some(TraceNote::DateWithoutZone),
            unreadable.then_some(TraceNote::DateUnreadable),
            others.then_some(TraceNote::OtherEvents),
        ]
        .into_iter()
        .flatten()
    }
}

/// candump's times are Unix times unless it was asked for relative ones, which stay far below the year 2000.
const fn epoch(at_us: i64) -> Option<WallTime> {
    const YEAR_2000_US: i64 = 946_684_800_000_000;
    if at_us < YEAR_2000_US { None } else { Some(WallTime::from_unix_micros(at_us)) }
}

#[cfg(test)]
mod tests;
