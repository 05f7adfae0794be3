//! Reads the statements of a DBC file one by one. `can-dbc` knows the grammar; here stands what files in the field
//! need besides: a fault costs its own statement only, and message identifiers are read in full.

use super::multiplex::{self, Marker};
use super::scan::{self, Statement, shorten};
use super::{ByteOrder, Database, Diagnostic, Findings, Layout, Message, RawKind, Signal};
use crate::frame::CanId;
use can_dbc::{
    AttributeValue, Comment, Dbc, MultiplexIndicator, NumericValue, SignalExtendedValueType, ValueDescription,
};
use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

/// The longest file that is read, in bytes. The largest public one has 2 MB; what is made of a file takes at most
/// about eight times its length.
pub const MAX_FILE_LEN: usize = 8 * 1024 * 1024;

/// The most signals of one message: far more than bits, for multiplexed messages have one set a selector.
const MAX_SIGNALS_PER_MESSAGE: usize = 4096;

/// The message that holds the signals which belong to none (DBC: `VECTOR__INDEPENDENT_SIG_MSG`).
const INDEPENDENT_SIGNALS: u32 = 0xC000_0000;
/// Set in a DBC identifier for 29-bit messages.
const EXTENDED_FLAG: u32 = 1 << 31;

pub(super) fn parse(bytes: &[u8], origin: &str) -> (Database, Vec<Diagnostic>) {
    let mut findings = Findings::new(origin);
    if bytes.len() > MAX_FILE_LEN {
        findings.error(0, "", format!("the file has {} bytes, the limit is {MAX_FILE_LEN}", bytes.len()));
        return (Database { origin: origin.to_owned(), messages: Vec::new() }, findings.finish());
    }
    let text = decode_text(bytes, &mut findings);
    let mut reader = Reader { findings, ..Reader::default() };
    for statement in scan::statements(&text, &mut reader.findings) {
        reader.take(&statement);
    }
    reader.finish(origin)
}

/// UTF-8 if it is, else Latin-1, in which every byte is a character.
fn decode_text<'b>(bytes: &'b [u8], findings: &mut Findings) -> Cow<'b, str> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(error) => {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count();
            findings.note(line as u32, "", "the text is not UTF-8, it is read as Latin-1".into());
            Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect())
        }
    }
}

/// What the signals that follow belong to.
#[derive(Default)]
enum Current {
    #[default]
    Nothing,
    Skipped,
    Message(usize),
}

#[derive(Default)]
struct Reader {
    findings: Findings,
    messages: Vec<Message>,
    /// For each message, how its signals are multiplexed.
    markers: Vec<Vec<Marker>>,
    /// The messages of each identifier, as the file writes it.
    by_id: HashMap<u32, Vec<usize>>,
    /// Long names to give at the end: until then statements refer to the short ones.
    long_names: Vec<(usize, Option<usize>, String)>,
    current: Current,
    /// Whether the mandatory `BS_:` was there, or its absence was told.
    has_bit_timing: bool,
}

impl Reader {
    fn take(&mut self, statement: &Statement<'_>) {
        let outcome = match statement.keyword {
            "BO_" => self.message(statement),
            "SG_" => self.signal(statement),
            "VAL_" => self.labels(statement),
            "CM_" => self.comment(statement),
            "BA_" => self.attribute(statement),
            "SIG_VALTYPE_" => self.value_type(statement),
            "SG_MUL_VAL_" => self.extended_multiplexing(statement),
            "BS_" => {
                self.has_bit_timing = true;
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(why) = outcome {
            let text = format!("`{} {}` is not used: {why}", statement.keyword, shorten(statement.rest));
            match statement.keyword {
                // What is lost is a name or a remark, no value.
                "VAL_" | "CM_" | "BA_" => self.findings.warn(statement.line, "", text),
                _ => self.findings.error(statement.line, "", text),
            }
        }
    }

    fn message(&mut self, statement: &Statement<'_>) -> Result<(), String> {
        if self.messages.is_empty() && !self.has_bit_timing {
            let text = "no `BS_:` stands before the first message: strict tools refuse the file".to_owned();
            self.findings.warn(statement.line, "", text);
            self.has_bit_timing = true;
        }
        self.current = Current::Skipped;
        let (written, rest) =
            split_id(statement.rest).ok_or("a number under 2^32 must follow as its identifier")?;
        if written == INDEPENDENT_SIGNALS || rest.starts_with("VECTOR__INDEPENDENT_SIG_MSG") {
            self.findings.note(statement.line, "", "signals that belong to no message are left out".into());
            return Ok(());
        }
        let parsed = parse_message(&format!("BO_ 0 {rest}\n"))
            .or_else(|why| parse_message(&format!("BO_ 0 {rest} Vector__XXX\n")).map_err(|_| why))?;
        let name = parsed.name;
        let id = self.identifier(written, statement.line, &name);
        let place = self.messages.len();
        if let Some(first) =
            self.by_id.get(&written).and_then(|list| list.first()).and_then(|i| self.messages.get(*i))
        {
            let text = format!("identifier {id} also stands at line {} as {}", first.line, first.name);
            self.findings.warn(statement.line, &name, text);
        }
        self.by_id.entry(written).or_default().push(place);
        self.messages.push(Message {
            id,
            name,
            len: usize::try_from(parsed.size).unwrap_or(usize::MAX),
            sender: parsed.transmitter,
            cycle: None,
            signals: Vec::new(),
            comment: None,
            line: statement.line,
        });
        self.markers.push(Vec::new());
        self.current = Current::Message(place);
        Ok(())
    }

    /// The identifier on the bus. One over 11 bits can only be an extended one, whether or not bit 31 says so.
    fn identifier(&mut self, written: u32, line: u32, name: &str) -> CanId {
        if written & EXTENDED_FLAG == 0 && written <= CanId::MAX_STANDARD {
            return CanId::Standard(written as u16);
        }
        let id = CanId::Extended(written & CanId::MAX_EXTENDED);
        if written & EXTENDED_FLAG == 0 || written & !EXTENDED_FLAG > CanId::MAX_EXTENDED {
            let text = format!(
                "identifier {written} is no standard one and not marked as extended: taken as extended {id}"
            );
            self.findings.warn(line, name, text);
        }
        id
    }

    fn signal(&mut self, statement: &Statement<'_>) -> Result<(), String> {
        let place = match self.current {
            Current::Message(place) => place,
            Current::Skipped => return Ok(()),
            Current::Nothing => return Err("no message stands before it".into()),
        };
        let (parsed, repaired) = parse_signal(statement.rest)?;
        let (Some(message), Some(markers)) = (self.messages.get_mut(place), self.markers.get_mut(place))
        else {
            return Ok(());
        };
        let name = message.name.clone();
        if repaired {
            let text = format!("the receivers of signal {} cannot be read, they are left out", parsed.name);
            self.findings.warn(statement.line, &name, text);
        }
        if message.signals.len() >= MAX_SIGNALS_PER_MESSAGE {
            return Err(format!("{name} has more than {MAX_SIGNALS_PER_MESSAGE} signals"));
        }
        if message.signal(&parsed.name).is_some() {
            return Err(format!("{name} already has a signal of this name"));
        }
        if !(parsed.factor.is_finite() && parsed.offset.is_finite()) {
            return Err("factor and offset must be finite".into());
        }
        let order = match parsed.byte_order {
            can_dbc::ByteOrder::LittleEndian => ByteOrder::Intel,
            can_dbc::ByteOrder::BigEndian => ByteOrder::Motorola,
        };
        let kind = match parsed.value_type {
            can_dbc::ValueType::Signed => RawKind::Signed,
            can_dbc::ValueType::Unsigned => RawKind::Unsigned,
        };
        let layout = Layout::new(parsed.start_bit, parsed.size, order, kind)
            .ok_or("it needs 1 to 64 bits within the 64 bytes of a frame")?;
        if layout.bytes_needed() > message.len {
            let text = format!(
                "signal {} needs {} bytes, the message has {}: it is not decoded",
                parsed.name,
                layout.bytes_needed(),
                message.len
            );
            self.findings.warn(statement.line, &name, text);
        }
        if parsed.factor == 0.0 {
            self.findings.warn(
                statement.line,
                &name,
                format!("signal {} has factor 0: it is constant", parsed.name),
            );
        }
        markers.push(Marker::of(parsed.multiplexer_indicator));
        message.signals.push(Signal {
            name: parsed.name,
            layout,
            factor: parsed.factor,
            offset: parsed.offset,
            min: numeric(parsed.min),
            max: numeric(parsed.max),
            unit: parsed.unit,
            is_switch: matches!(
                parsed.multiplexer_indicator,
                MultiplexIndicator::Multiplexor | MultiplexIndicator::MultiplexorAndMultiplexedSignal(_)
            ),
            selection: None,
            labels: Vec::new(),
            comment: None,
            line: statement.line,
        });
        Ok(())
    }

    fn labels(&mut self, statement: &Statement<'_>) -> Result<(), String> {
        // Without a number first, it names the values of an environment variable.
        let Some((id, rest)) = split_id(statement.rest) else { return Ok(()) };
        if id == INDEPENDENT_SIGNALS {
            return Ok(());
        }
        let parsed = parse_one(&format!("VAL_ 0 {rest};\n"), |dbc| dbc.value_descriptions)?;
        let ValueDescription::Signal { name, value_descriptions, .. } = parsed else { return Ok(()) };
        let labels: Vec<(i64, String)> =
            value_descriptions.into_iter().map(|v| (v.id, v.description)).collect();
        self.each_signal(id, &name, |signal, _| signal.labels.clone_from(&labels))
    }

    fn comment(&mut self, statement: &Statement<'_>) -> Result<(), String> {
        let (kind, rest) = statement.rest.split_once(char::is_whitespace).unwrap_or((statement.rest, ""));
        let (id, rest) = match (kind, split_id(rest)) {
            ("BO_" | "SG_", Some((INDEPENDENT_SIGNALS, _))) => return Ok(()),
            ("BO_" | "SG_", Some(parts)) => parts,
            _ => return Ok(()),
        };
        let parsed = parse_one(&format!("CM_ {kind} 0 {rest};\n"), |dbc| dbc.comments)?;
        match parsed {
            Comment::Signal { name, comment, .. } => {
                self.each_signal(id, &name, |signal, _| signal.comment = Some(comment.clone()))
            }
            Comment::Message { comment, .. } => {
                for place in self.by_id.get(&id).ok_or_else(|| no_message(id))? {
                    if let Some(message) = self.messages.get_mut(*place) {
                        message.comment = Some(comment.clone());
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Of the attributes only the long names, because short ones are cut at 32 characters, and cycles matter here.
    fn attribute(&mut self, statement: &Statement<'_>) -> Result<(), String> {
        let Some((name, rest)) = statement.rest.strip_prefix('"').and_then(|rest| rest.split_once('"'))
        else {
            return Err("the attribute's name must follow in quotes".into());
        };
        let kind = match name {
            "SystemSignalLongSymbol" => "SG_",
            "SystemMessageLongSymbol" => "BO_",
            "GenMsgCycleTime" => return self.cycle(rest),
            _ => return Ok(()),
        };
        let (id, rest) =
            rest.trim_start().strip_prefix(kind).and_then(split_id).ok_or("an identifier must follow")?;
        let text = format!("BA_ \"{name}\" {kind} 0 {rest};\n");
        if kind == "SG_" {
            let parsed = parse_one(&text, |dbc| dbc.attribute_values_signal)?;
            let AttributeValue::String(long) = parsed.value else { return Err("it must be a string".into()) };
            let places = self.places_of(id, &parsed.signal_name)?;
            self.long_names
                .extend(places.into_iter().map(|(message, signal)| (message, Some(signal), long.clone())));
        } else {
            let parsed = parse_one(&text, |dbc| dbc.attribute_values_message)?;
            let AttributeValue::String(long) = parsed.value else { return Err("it must be a string".into()) };
            let places = self.by_id.get(&id).ok_or_else(|| no_message(id))?;
            self.long_names.extend(places.iter().map(|message| (*message, None, long.clone())));
        }
        Ok(())
    }

    /// ` BO_ 256 100`: milliseconds, where 0 is how files say that a message has no cycle.
    fn cycle(&mut self, rest: &str) -> Result<(), String> {
        let after = rest.trim_start().strip_prefix("BO_").and_then(split_id);
        let (id, rest) = after.ok_or("an identifier must follow")?;
        let number = rest.trim().trim_end_matches(';').trim_end();
        let ms: f64 = number.parse().map_err(|_| "a number of milliseconds must follow")?;
        let cycle = Duration::try_from_secs_f64(ms / 1_000.0).ok().filter(|cycle| !cycle.is_zero());
        for place in self.by_id.get(&id).ok_or_else(|| no_message(id))? {
            if let Some(message) = self.messages.get_mut(*place) {
                message.cycle = cycle;
            }
        }
        Ok(())
    }

    fn value_type(&mut self, statement: &Statement<'_>) -> Result<(), String> {
        let (id, rest) = split_id(statement.rest).ok_or("an identifier must follow")?;
        // Both `SIG_VALTYPE_ 1 s : 1;` and, without the colon, `SIG_VALTYPE_ 1 s 1;` are written by tools.
        let (name, value) = rest.rsplit_once([':', ' ']).ok_or("a signal and a type must follow")?;
        let text = format!("SIG_VALTYPE_ 0 {} : {};\n", name.trim_end_matches([':', ' ']), value.trim());
        let parsed = parse_one(&text, |dbc| dbc.signal_extended_value_type_list)?;
        let kind = match parsed.signal_extended_value_type {
            SignalExtendedValueType::IEEEfloat32Bit => RawKind::Float,
            SignalExtendedValueType::IEEEdouble64bit => RawKind::Double,
            SignalExtendedValueType::SignedOrUnsignedInteger => return Ok(()),
        };
        let mut misfit = false;
        self.each_signal(id, &parsed.signal_name, |signal, _| match signal.layout.with_kind(kind) {
            Some(layout) => signal.layout = layout,
            None => misfit = true,
        })?;
        if misfit { Err("a float has 32 bits and a double 64".into()) } else { Ok(()) }
    }

    fn extended_multiplexing(&mut self, statement: &Statement<'_>) -> Result<(), String> {
        let (id, rest) = split_id(statement.rest).ok_or("an identifier must follow")?;
        let parsed = parse_one(&format!("SG_MUL_VAL_ 0 {rest};\n"), |dbc| dbc.extended_multiplex)?;
        let ranges: Vec<(u64, u64)> = parsed.mappings.iter().map(|m| (m.min_value, m.max_value)).collect();
        if ranges.iter().any(|(low, high)| low > high) {
            return Err("a range must not end before it starts".into());
        }
        self.each_signal(id, &parsed.signal_name, |_, marker| {
            marker.selected_by(&parsed.multiplexor_signal_name, &ranges);
        })
    }

    /// Applies a change to the signal of this name in each message with this identifier.
    fn each_signal(
        &mut self,
        id: u32,
        name: &str,
        mut change: impl FnMut(&mut Signal, &mut Marker),
    ) -> Result<(), String> {
        for (message, signal) in self.places_of(id, name)? {
            let found = self.messages.get_mut(message).and_then(|m| m.signals.get_mut(signal));
            let marker = self.markers.get_mut(message).and_then(|m| m.get_mut(signal));
            if let (Some(signal), Some(marker)) = (found, marker) {
                change(signal, marker);
            }
        }
        Ok(())
    }

    /// The places of the signals of this name in the messages with this identifier; at least one.
    fn places_of(&self, id: u32, name: &str) -> Result<Vec<(usize, usize)>, String> {
        let messages = self.by_id.get(&id).ok_or_else(|| no_message(id))?;
        let place = |message: &usize| {
            let signals = &self.messages.get(*message)?.signals;
            Some((*message, signals.iter().position(|signal| signal.name == name)?))
        };
        let places: Vec<_> = messages.iter().filter_map(place).collect();
        if places.is_empty() { Err(format!("the message has no signal {name}")) } else { Ok(places) }
    }

    fn finish(mut self, origin: &str) -> (Database, Vec<Diagnostic>) {
        for (message, markers) in self.messages.iter_mut().zip(self.markers) {
            multiplex::resolve(message, markers, &mut self.findings);
        }
        for (message, signal, long) in self.long_names {
            let Some(message) = self.messages.get_mut(message) else { continue };
            match signal {
                None => message.name = long,
                Some(signal) => {
                    if let Some(signal) = message.signals.get_mut(signal) {
                        signal.name = long;
                    }
                }
            }
        }
        if self.messages.is_empty() {
            self.findings.error(0, "", "the file describes no message: is it a DBC file?".into());
        }
        (Database { origin: origin.to_owned(), messages: self.messages }, self.findings.finish())
    }
}

fn no_message(id: u32) -> String {
    format!("there is no message {id}")
}

/// The number that a text starts with, and what follows it.
fn split_id(text: &str) -> Option<(u32, &str)> {
    let text = text.trim_start();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..digits].parse().ok()?, text[digits..].trim_start()))
}

fn parse_message(text: &str) -> Result<can_dbc::Message, String> {
    parse_one(text, |dbc| dbc.messages)
}

/// Reads a signal; true if its list of receivers had to be left out for that.
fn parse_signal(rest: &str) -> Result<(can_dbc::Signal, bool), String> {
    let parse = |rest: &str| {
        let message = parse_message(&format!("BO_ 0 M: 8 X\n SG_ {rest}\n"))?;
        message.signals.into_iter().next().ok_or_else(|| "it is no signal".to_owned())
    };
    parse(rest).map(|signal| (signal, false)).or_else(|why| {
        let (unit_ends, _) = rest.match_indices('"').nth(1).ok_or_else(|| why.clone())?;
        parse(&format!("{} Vector__XXX", &rest[..=unit_ends])).map(|signal| (signal, true)).map_err(|_| why)
    })
}

/// Reads a text that holds one statement of one kind.
fn parse_one<T>(text: &str, pick: impl FnOnce(Dbc) -> Vec<T>) -> Result<T, String> {
    let dbc = Dbc::try_from(text).map_err(|error| explain(&error))?;
    pick(dbc).into_iter().next().ok_or_else(|| "it is incomplete".to_owned())
}

/// The parser's reason in one line.
fn explain(error: &can_dbc::DbcError) -> String {
    let text = error.to_string();
    // A syntax error is drawn over several lines, of which the last says what was expected.
    let last = text.lines().last().unwrap_or_default().trim();
    last.trim_start_matches("= ").to_owned()
}

fn numeric(value: NumericValue) -> f64 {
    match value {
        NumericValue::Uint(value) => value as f64,
        NumericValue::Int(value) => value as f64,
        NumericValue::Double(value) => value,
    }
}
