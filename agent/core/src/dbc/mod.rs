//! DBC databases: read tolerantly with a diagnostic for every oddity, decoded by compiled tables, encoded back.
//!
//! [`Database::parse`] reads a file's text, [`Message::decode`] and [`Message::encode`] serve tools and tests, and
//! [`Decoder`] is the compiled form that the capture loop runs.

mod codec;
mod compile;
mod decoder;
mod diagnostic;
#[cfg(test)]
mod hostile;
mod ids;
mod layout;
mod multiplex;
mod op;
mod parse;
mod raw;
mod scan;

pub use codec::{DecodeError, EncodeError, SignalValue};
pub use decoder::{Decoder, Disposition, Found, MessageRef, Request};
pub use diagnostic::{Diagnostic, MAX_DIAGNOSTICS, Severity};
pub use layout::{Buffer, ByteOrder, Layout, RawKind};
pub use parse::MAX_FILE_LEN;
pub use raw::{RawMessage, RawSignal, raw_messages};

pub(crate) use diagnostic::Findings;

use crate::frame::CanId;
use std::time::Duration;

/// What one DBC file says.
#[derive(Clone, Debug, Default)]
pub struct Database {
    /// The file, as the caller named it.
    pub origin: String,
    /// The messages in the order of the file.
    pub messages: Vec<Message>,
}

impl Database {
    /// Reads a DBC file. Whatever can be read is; every statement that could not be, and everything that was read
    /// in spite of a fault, stands in the diagnostics with its line. Text that is not UTF-8 is taken as Latin-1.
    #[must_use]
    pub fn parse(text: impl AsRef<[u8]>, origin: &str) -> (Database, Vec<Diagnostic>) {
        parse::parse(text.as_ref(), origin)
    }

    /// The first message of this name.
    #[must_use]
    pub fn message(&self, name: &str) -> Option<&Message> {
        self.messages.iter().find(|message| message.name == name)
    }

    /// The first message with this identifier.
    #[must_use]
    pub fn message_by_id(&self, id: CanId) -> Option<&Message> {
        self.messages.iter().find(|message| message.id == id)
    }
}

/// A message (`BO_`).
#[derive(Clone, Debug)]
pub struct Message {
    /// Its identifier.
    pub id: CanId,
    /// Its name, the long one if the file has one.
    pub name: String,
    /// Its length in bytes, as the file says. It may be over 64 for messages that travel in transport frames.
    pub len: usize,
    /// The node that sends it.
    pub sender: Option<String>,
    /// The time between two of them, where the file gives one (`BA_ "GenMsgCycleTime"`).
    pub cycle: Option<Duration>,
    /// Its signals in the order of the file.
    pub signals: Vec<Signal>,
    /// Its comment (`CM_ BO_`).
    pub comment: Option<String>,
    /// Where the file describes it, from 1.
    pub line: u32,
}

impl Message {
    /// The signal of this name.
    #[must_use]
    pub fn signal(&self, name: &str) -> Option<&Signal> {
        self.signals.iter().find(|signal| signal.name == name)
    }

    /// Whether the message is long enough for the signal. One that runs over is never decoded.
    #[must_use]
    pub fn holds(&self, signal: &Signal) -> bool {
        signal.layout.bytes_needed() <= self.len
    }
}

/// A signal (`SG_`).
#[derive(Clone, Debug)]
pub struct Signal {
    /// Its name, the long one if the file has one.
    pub name: String,
    /// Its bits.
    pub layout: Layout,
    /// Physical value = number x factor + offset.
    pub factor: f64,
    /// See `factor`.
    pub offset: f64,
    /// The smallest physical value; with `max` equal to it the file gives no range.
    pub min: f64,
    /// The largest physical value.
    pub max: f64,
    /// The unit's symbol as the file has it.
    pub unit: String,
    /// Whether its value selects other signals of the message (`M`).
    pub is_switch: bool,
    /// When it is present; always, if there is none.
    pub selection: Option<Selection>,
    /// Names of raw values (`VAL_`).
    pub labels: Vec<(i64, String)>,
    /// Its comment (`CM_ SG_`).
    pub comment: Option<String>,
    /// Where the file describes it, from 1.
    pub line: u32,
}

impl Signal {
    /// The physical value of these raw bits.
    #[must_use]
    pub fn physical(&self, raw: u64) -> f64 {
        self.layout.number(raw) * self.factor + self.offset
    }

    /// The name of these raw bits, where the file gives one.
    #[must_use]
    pub fn label(&self, raw: u64) -> Option<&str> {
        let value = match self.layout.kind() {
            RawKind::Unsigned => i64::try_from(raw).ok()?,
            RawKind::Signed => self.layout.sign_extend(raw),
            RawKind::Float | RawKind::Double => return None,
        };
        self.labels.iter().find(|(key, _)| *key == value).map(|(_, label)| label.as_str())
    }

    /// The physical range that the file gives, if it gives one.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        (self.min < self.max).then_some((self.min, self.max))
    }
}

/// Which values of which switch make a multiplexed signal present.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selection {
    /// The switch, by its place in [`Message::signals`].
    pub switch: usize,
    /// Raw values of the switch, both ends included, in ascending order without overlap.
    pub ranges: Vec<(u64, u64)>,
}

impl Selection {
    /// Whether this raw value of the switch selects the signal.
    #[must_use]
    pub fn selects(&self, raw: u64) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&raw))
    }
}
