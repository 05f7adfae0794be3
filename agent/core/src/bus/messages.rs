//! The messages of the catalog: which are overdue, too long, or fail their counter or checksum.

use crate::catalog::{Catalog, CatalogMessage};
use crate::dbc::Decoder;
use crate::e2e::{Checked, Checker};
use crate::frame::{BusId, CanFrame};
use std::time::Duration;
use telltale_wire::bus::{MAX_MISSING, MAX_SUSPICIOUS, MissingMessage, SuspiciousMessage};
use telltale_wire::time::MonoTime;

/// A message with a known cycle is overdue after so many of them.
const MISSED_CYCLES: u32 = 5;
/// None is overdue sooner: senders jitter.
const SHORTEST_SILENCE: Duration = Duration::from_millis(500);
/// No frame has that time.
const NEVER: MonoTime = MonoTime(u64::MAX);
/// No checker.
const UNPROTECTED: u16 = u16::MAX;

/// What only some frames of a message touch.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The longest payload that the DBC file's length allows.
    longest: u8,
    check: u16,
}

/// A message by name.
#[derive(Clone, Debug)]
struct Described {
    bus: BusId,
    name: String,
    number: usize,
    cycle: Option<Duration>,
    overdue_after: Duration,
}

/// A message whose frames are checked.
#[derive(Clone, Debug)]
struct Check {
    described: usize,
    checker: Checker,
    ok: u64,
    repeated: u64,
    wrong_sequence: u64,
    wrong_checksum: u64,
}

/// All messages of the catalog.
#[derive(Clone, Debug)]
pub(super) struct Messages {
    /// When each message came last, by its number; [`NEVER`] before the first.
    last: Vec<MonoTime>,
    entries: Vec<Entry>,
    described: Vec<Described>,
    checks: Vec<Check>,
}

/// What a frame was, besides being one of its message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    /// Whether its checksum fits, as far as it has one.
    pub(super) is_whole: bool,
    /// Whether it is longer than the DBC file says.
    pub(super) is_long: bool,
}

impl Messages {
    pub(super) fn new(catalog: &Catalog, decoder: &Decoder) -> Messages {
        let unused = Entry { longest: u8::MAX, check: UNPROTECTED };
        let mut messages = Messages {
            last: vec![NEVER; decoder.message_bound()],
            entries: vec![unused; decoder.message_bound()],
            described: Vec::new(),
            checks: Vec::new(),
        };
        for message in &catalog.messages {
            if let Some(found) = decoder.message(message.bus, message.id) {
                messages.add(message, found);
            }
        }
        messages
    }

    fn add(&mut self, message: &CatalogMessage, number: usize) {
        let described = self.described.len();
        let entry = &mut self.entries[number];
        entry.longest = longest(message.len);
        if let Some(protection) = &message.protection
            && self.checks.len() < usize::from(UNPROTECTED)
        {
            entry.check = self.checks.len() as u16;
            let checker = Checker::new(protection.clone());
            self.checks.push(Check {
                described,
                checker,
                ok: 0,
                repeated: 0,
                wrong_sequence: 0,
                wrong_checksum: 0,
            });
        }
        let silence = message.cycle.map(|cycle| cycle.saturating_mul(MISSED_CYCLES));
        self.described.push(Described {
            bus: message.bus,
            name: message.name.clone(),
            number,
            cycle: message.cycle,
            overdue_after: silence.unwrap_or(message.stale_after).max(SHORTEST_SILENCE),
        });
    }

    /// A frame of the message with this number.
    #[inline]
    pub(super) fn saw(&mut self, number: usize, at: MonoTime) {
        if let Some(last) = self.last.get_mut(number) {
            *last = at;
        }
    }

    /// Looks closer at a frame that is no ordinary one.
    pub(super) fn inspect(&mut self, number: usize, frame: &CanFrame) -> Seen {
        let Some(entry) = self.entries.get(number).copied() else {
            return Seen { is_whole: true, is_long: false };
        };
        let is_long = frame.len() > usize::from(entry.longest);
        Seen { is_whole: self.check(entry.check, frame), is_long }
    }

    fn check(&mut self, check: u16, frame: &CanFrame) -> bool {
        let Some(check) = self.checks.get_mut(usize::from(check)) else { return true };
        let checked = check.checker.check(frame);
        let counter = match checked {
            Checked::Ok => &mut check.ok,
            Checked::Repeated => &mut check.repeated,
            Checked::WrongSequence => &mut check.wrong_sequence,
            Checked::WrongChecksum => &mut check.wrong_checksum,
        };
        *counter += 1;
        checked != Checked::WrongChecksum
    }

    /// Frames of a bus that were checked, and its messages that failed, the worst first.
    pub(super) fn suspicious(&self, bus: BusId) -> (u64, Vec<SuspiciousMessage>) {
        let of_bus = self.checks.iter().filter(|check| self.described[check.described].bus == bus);
        let mut failed: Vec<&Check> = Vec::new();
        let mut checked = 0;
        for check in of_bus {
            checked += check.ok + check.failures();
            if check.failures() > 0 {
                failed.push(check);
            }
        }
        failed.sort_by_key(|check| std::cmp::Reverse((check.wrong_checksum, check.failures())));
        let told = failed.into_iter().take(MAX_SUSPICIOUS).map(|check| SuspiciousMessage {
            message: self.described[check.described].name.clone(),
            ok: check.ok,
            repeated: check.repeated,
            wrong_sequence: check.wrong_sequence,
            wrong_checksum: check.wrong_checksum,
        });
        (checked, told.collect())
    }

    /// How many messages of a bus are overdue, and the longest overdue of them. `start` is when listening began.
    pub(super) fn missing(&self, bus: BusId, start: MonoTime, now: MonoTime) -> (u32, Vec<MissingMessage>) {
        let last = |described: &Described| Some(self.last[described.number]).filter(|last| *last != NEVER);
        let silent = |described: &Described| now.since(last(described).unwrap_or(start));
        let of_bus = self.described.iter().filter(|described| described.bus == bus);
        let mut overdue: Vec<&Described> =
            of_bus.filter(|described| silent(described) > described.overdue_after).collect();
        overdue.sort_by_key(|described| std::cmp::Reverse((last(described).is_none(), silent(described))));
        let total = overdue.len() as u32;
        let told = overdue.into_iter().take(MAX_MISSING).map(|described| MissingMessage {
            message: described.name.clone(),
            silent_ms: last(described).map(|last| now.since(last).as_millis() as u64),
            cycle_ms: described.cycle.map(|cycle| cycle.as_millis() as u32),
        });
        (total, told.collect())
    }
}

impl Check {
    const fn failures(&self) -> u64 {
        self.repeated + self.wrong_sequence + self.wrong_checksum
    }
}

/// The longest payload of a message with so many bytes: CAN FD pads to the next length that a DLC can say
/// (ISO 11898-1, table 5). What travels in transport frames has no limit.
fn longest(len: usize) -> u8 {
    const STEPS: [u8; 7] = [12, 16, 20, 24, 32, 48, 64];
    match u8::try_from(len) {
        Ok(len @ 0..=8) => len,
        Ok(len) => STEPS.into_iter().find(|step| len <= *step).unwrap_or(u8::MAX),
        Err(_) => u8::MAX,
    }
}
