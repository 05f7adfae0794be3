//! A column map bound to a header and a DBC file: for each message what every one of its signals takes its bits
//! from. What does not fit is found here, before the first row.

use super::EncodeError;
use super::columns::{ColumnMap, Mapped, Protected};
use telltale_core::dbc::{Database, Layout, Message, RawKind, Signal};
use telltale_core::frame::{CanFrame, CanId};
use telltale_sil::protect::seal;

/// Everything that one row becomes.
pub(super) struct Plan {
    pub(super) time: usize,
    /// In the order of the DBC file.
    pub(super) messages: Vec<MessagePlan>,
}

/// One message of a row.
pub(super) struct MessagePlan {
    pub(super) id: CanId,
    pub(super) len: usize,
    /// The payload with its constants.
    pub(super) base: [u8; CanFrame::MAX_LEN],
    pub(super) fields: Vec<Field>,
    protection: Option<Protection>,
}

/// One signal and its column.
pub(super) struct Field {
    pub(super) column: usize,
    pub(super) name: String,
    absent: Vec<f64>,
    not_available: Option<u64>,
    /// Raw number = cell x scale + offset.
    scale: f64,
    offset: f64,
    pub(super) layout: Layout,
}

/// What a cell says.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Cell {
    Raw(u64),
    /// A value that the signal's bits cannot carry.
    Beyond,
    Missing,
}

struct Protection {
    counter: Layout,
    checksum: usize,
    next: u64,
}

impl Plan {
    pub(super) fn bind(
        map: &ColumnMap,
        header: &csv::StringRecord,
        database: &Database,
    ) -> Result<Plan, EncodeError> {
        for name in map.columns.iter().map(|c| &c.signal).chain(map.constants.iter().map(|c| &c.signal)) {
            let carriers = database.messages.iter().filter(|message| message.signal(name).is_some()).count();
            let named = map.columns.iter().filter(|c| c.signal == *name).count()
                + map.constants.iter().filter(|c| c.signal == *name).count();
            if carriers != 1 || named != 1 {
                return Err(EncodeError::Signal { signal: name.clone(), carriers, named });
            }
        }
        let carries = |message: &&Message| map.columns.iter().any(|c| message.signal(&c.signal).is_some());
        let messages = database.messages.iter().filter(carries);
        Ok(Plan {
            time: column(header, &map.time_column)?,
            messages: messages
                .map(|message| MessagePlan::bind(map, header, message))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl MessagePlan {
    fn bind(
        map: &ColumnMap,
        header: &csv::StringRecord,
        message: &Message,
    ) -> Result<MessagePlan, EncodeError> {
        let refused = |signal: &str, reason| EncodeError::Layout {
            message: message.name.clone(),
            signal: signal.to_owned(),
            reason,
        };
        if message.len > CanFrame::MAX_LEN {
            return Err(refused("", "the message is longer than a frame"));
        }
        let protected = map.protected.iter().find(|p| p.message == message.name);
        let protection = protected.map(|p| Protection::bind(p, message)).transpose()?;
        let (mut fields, mut base) = (Vec::new(), [0; CanFrame::MAX_LEN]);
        for signal in &message.signals {
            if !message.holds(signal) {
                return Err(refused(&signal.name, "its bits lie behind the end of the message"));
            }
            if signal.is_switch || signal.selection.is_some() {
                return Err(refused(&signal.name, "multiplexed messages cannot be encoded from a table"));
            }
            if let Some(mapped) = map.columns.iter().find(|c| c.signal == signal.name) {
                fields.push(Field::bind(mapped, header, signal)?);
            } else if let Some(constant) = map.constants.iter().find(|c| c.signal == signal.name) {
                let raw = raw_bits(signal, constant.raw)?;
                signal.layout.set_raw(&mut base, raw);
            } else if !protected.is_some_and(|p| p.counter == signal.name || p.checksum == signal.name) {
                return Err(refused(&signal.name, "it is neither mapped nor constant, and 0 may be a value"));
            }
        }
        Ok(MessagePlan { id: message.id, len: message.len, base, fields, protection })
    }

    /// Closes a payload with the counter and the checksum, where the message has them.
    pub(super) fn protect(&mut self, payload: &mut [u8; CanFrame::MAX_LEN]) {
        if let Some(protection) = &mut self.protection {
            protection.counter.set_raw(payload, protection.next);
            protection.next = (protection.next + 1) & protection.counter.mask();
            payload[protection.checksum] = seal(&payload[..protection.checksum]);
        }
    }
}

impl Protection {
    /// The checksum has to be the byte that closes the message: it covers all bytes before it.
    fn bind(protected: &Protected, message: &Message) -> Result<Protection, EncodeError> {
        let refused = |signal: &str, reason| EncodeError::Layout {
            message: message.name.clone(),
            signal: signal.to_owned(),
            reason,
        };
        let layout = |name: &str| {
            let signal = message.signal(name).filter(|signal| message.holds(signal));
            signal.map(|signal| signal.layout).ok_or_else(|| refused(name, "the message has no such signal"))
        };
        let (counter, checksum) = (layout(&protected.counter)?, layout(&protected.checksum)?);
        let mut ones = [0; CanFrame::MAX_LEN];
        checksum.set_raw(&mut ones, u64::MAX);
        let place = message.len.saturating_sub(1);
        let whole_byte = ones.iter().enumerate().all(|(k, byte)| *byte == if k == place { 0xFF } else { 0 });
        if !whole_byte {
            return Err(refused(&protected.checksum, "the checksum has to be the last byte of the message"));
        }
        Ok(Protection { counter, checksum: place, next: 0 })
    }
}

impl Field {
    fn bind(mapped: &Mapped, header: &csv::StringRecord, signal: &Signal) -> Result<Field, EncodeError> {
        if signal.factor == 0.0 || !signal.factor.is_finite() || !signal.offset.is_finite() {
            return Err(EncodeError::Raw { signal: signal.name.clone(), raw: 0 });
        }
        Ok(Field {
            column: column(header, &mapped.column)?,
            name: mapped.column.clone(),
            absent: mapped.absent.clone(),
            not_available: mapped.not_available.map(|raw| raw_bits(signal, raw)).transpose()?,
            scale: mapped.scale / signal.factor,
            offset: (mapped.offset - signal.offset) / signal.factor,
            layout: signal.layout,
        })
    }

    /// The bits for this text; `None` if it is no number.
    pub(super) fn read(&self, text: &str) -> Option<Cell> {
        let text = text.trim();
        if text.is_empty() || text.eq_ignore_ascii_case("nan") {
            return Some(Cell::Missing);
        }
        let number: f64 = text.parse().ok()?;
        if self.absent.contains(&number) {
            return Some(Cell::Missing);
        }
        // A value whose bits would say "not available" is none that this signal can carry.
        let raw = self.layout.raw_of(number * self.scale + self.offset);
        Some(match raw.filter(|raw| number.is_finite() && Some(*raw) != self.not_available) {
            Some(raw) => Cell::Raw(raw),
            None => Cell::Beyond,
        })
    }

    /// The bits that stand for no value.
    pub(super) const fn not_available(&self) -> Option<u64> {
        self.not_available
    }
}

fn column(header: &csv::StringRecord, name: &str) -> Result<usize, EncodeError> {
    let mut places =
        header.iter().enumerate().filter(|(_, title)| title.trim() == name).map(|(place, _)| place);
    match (places.next(), places.next()) {
        (Some(place), None) => Ok(place),
        (first, _) => {
            Err(EncodeError::Column { column: name.into(), times: if first.is_none() { 0 } else { 2 } })
        }
    }
}

/// A raw value as the map writes it, in the signal's bits.
fn raw_bits(signal: &Signal, raw: i64) -> Result<u64, EncodeError> {
    let (low, high) = signal.layout.range();
    let integer = matches!(signal.layout.kind(), RawKind::Unsigned | RawKind::Signed);
    if integer && (low..=high).contains(&(raw as f64)) {
        Ok(raw as u64 & signal.layout.mask())
    } else {
        Err(EncodeError::Raw { signal: signal.name.clone(), raw })
    }
}
