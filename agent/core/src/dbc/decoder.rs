//! The compiled decoder: from a frame to its catalog signals without allocation, in a few instructions a signal.
//!
//! Compiling turns each wanted signal into an [`Op`]: one unaligned 64-bit load, a byte swap for Motorola order, a
//! shift, a mask and a multiply-add. Floats, signals over nine bytes and those with several sentinels take a general
//! path. A table of 2,048 entries a bus finds standard identifiers, a hash table extended ones.

use super::Message;
use super::compile::Compiler;
use super::layout::{Buffer, Layout};
use crate::frame::{BusId, CanFrame, CanId, FrameKind};
use crate::signal::{NoData, SampleSink, SignalId};
use std::collections::BTreeMap;

/// What became of a frame. Every frame is exactly one of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// This many samples were delivered, absent ones included; at least one.
    Decoded(u16),
    /// A DBC file describes the identifier, but the catalog asks nothing of this frame.
    Filtered,
    /// No DBC file of the bus describes the identifier.
    Unknown,
    /// Too short for its signals, a remote frame or an error frame. Nothing of it was delivered.
    Malformed,
}

/// One signal that a decoder shall deliver.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The name under which it is delivered.
    pub id: SignalId,
    /// Where its frames come from.
    pub bus: BusId,
    /// Its message.
    pub message: &'a Message,
    /// Its place in the message's signals.
    pub signal: usize,
    /// Raw values that mean "no value"; negative ones for signed signals, or the same bits unsigned.
    pub sentinels: &'a [i64],
    /// The smallest physical value that is one.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Whether the value is delivered with the opposite sign; `min` and `max` are those of the delivered value.
    pub inverted: bool,
}

/// The compiled form of what the catalog asks of its buses. Immutable; made by `Catalog::decoder`.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    buses: Vec<Bus>,
    pub(super) groups: Vec<Group>,
    pub(super) ops: Vec<Op>,
    pub(super) general: Vec<General>,
    pub(super) switches: Vec<Switch>,
    pub(super) cases: Vec<Case>,
}

impl Decoder {
    /// Compiles the requests. `described` are all identifiers that a DBC file knows, wanted or not. Requests of
    /// signals that their message does not hold are left out.
    #[must_use]
    pub fn compile(described: impl IntoIterator<Item = (BusId, CanId)>, requests: &[Request<'_>]) -> Decoder {
        let mut decoder = Decoder::default();
        for (bus, id) in described {
            decoder.bus_mut(bus).set(id, Slot::FILTERED);
        }
        let mut by_id: BTreeMap<(BusId, CanId), Vec<&Request<'_>>> = BTreeMap::new();
        for request in requests {
            if request.message.signals.get(request.signal).is_some_and(|signal| request.message.holds(signal))
            {
                by_id.entry((request.bus, request.message.id)).or_default().push(request);
            }
        }
        for ((bus, id), wanted) in by_id {
            let group = Compiler::new(&mut decoder, &wanted).root();
            decoder.bus_mut(bus).set(id, Slot(group));
        }
        decoder
    }

    /// Delivers the catalog signals of a frame: those that are always present first, then those that each switch
    /// selects, within these in the order of the catalog.
    #[inline]
    pub fn dispatch<S: SampleSink>(&self, frame: &CanFrame, sink: &mut S) -> Disposition {
        if matches!(frame.kind, FrameKind::Remote | FrameKind::Error) {
            return Disposition::Malformed;
        }
        let Some(bus) = self.buses.get(usize::from(frame.bus.0)) else {
            return Disposition::Unknown;
        };
        let slot = bus.get(frame.id);
        let Some(group) = self.groups.get(slot.0 as usize) else {
            return if slot == Slot::FILTERED { Disposition::Filtered } else { Disposition::Unknown };
        };
        if group.switches.is_empty() {
            if frame.len() < usize::from(group.bytes_needed) {
                return Disposition::Malformed;
            }
            return Disposition::Decoded(self.run(group, frame.buffer(), sink));
        }
        self.dispatch_multiplexed(group, frame, sink)
    }

    fn dispatch_multiplexed<S: SampleSink>(
        &self,
        group: &Group,
        frame: &CanFrame,
        sink: &mut S,
    ) -> Disposition {
        let mut longest = 0;
        self.each_present(group, frame.buffer(), &mut |group| longest = longest.max(group.bytes_needed));
        if frame.len() < usize::from(longest) {
            return Disposition::Malformed;
        }
        let mut delivered = 0;
        self.each_present(group, frame.buffer(), &mut |group| {
            delivered += self.run(group, frame.buffer(), sink)
        });
        if delivered == 0 { Disposition::Filtered } else { Disposition::Decoded(delivered) }
    }

    /// Visits the group and those that its switches select. The depth is bounded by the reader of DBC files.
    fn each_present(&self, group: &Group, buffer: &Buffer, visit: &mut impl FnMut(&Group)) {
        visit(group);
        for switch in self.switches.get(group.switches.range()).unwrap_or_default() {
            let value = switch.layout.raw(buffer);
            let cases = self.cases.get(switch.cases.range()).unwrap_or_default();
            let candidates = cases.partition_point(|case| case.low <= value);
            for case in cases.get(..candidates).unwrap_or_default().iter().rev() {
                let selected = self.groups.get(case.group as usize).filter(|_| case.high >= value);
                if let Some(selected) = selected {
                    self.each_present(selected, buffer, visit);
                }
                if switch.disjoint {
                    break;
                }
            }
        }
    }

    #[inline]
    fn run<S: SampleSink>(&self, group: &Group, buffer: &Buffer, sink: &mut S) -> u16 {
        let ops = self.ops.get(group.ops.range()).unwrap_or_default();
        for op in ops {
            let Some(bytes) = buffer.get(usize::from(op.at)..).and_then(|rest| rest.first_chunk::<8>())
            else {
                continue;
            };
            if op.is_general {
                self.run_general(op, buffer, sink);
                continue;
            }
            let word = if op.motorola { u64::from_be_bytes(*bytes) } else { u64::from_le_bytes(*bytes) };
            let raw = (word >> (op.shift & 63)) & op.mask;
            if raw == op.sentinel {
                sink.absent(op.signal, NoData::SensorFault);
                continue;
            }
            let number = (raw ^ op.sign).wrapping_sub(op.sign) as i64;
            op.deliver(number as f64, sink);
        }
        ops.len() as u16
    }

    #[inline(never)]
    fn run_general<S: SampleSink>(&self, op: &Op, buffer: &Buffer, sink: &mut S) {
        let Some(general) = self.general.get(op.mask as usize) else { return };
        let raw = general.layout.raw(buffer);
        let number = general.layout.number(raw);
        if general.sentinels.contains(&raw) || !number.is_finite() {
            sink.absent(op.signal, NoData::SensorFault);
        } else {
            op.deliver(number, sink);
        }
    }

    fn bus_mut(&mut self, bus: BusId) -> &mut Bus {
        let place = usize::from(bus.0);
        if self.buses.len() <= place {
            self.buses.resize_with(place + 1, Bus::default);
        }
        &mut self.buses[place]
    }
}

/// Where an identifier leads: a group, or one of two marks that no group has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Slot(u32);

impl Slot {
    const UNKNOWN: Slot = Slot(u32::MAX);
    const FILTERED: Slot = Slot(u32::MAX - 1);
}

const STANDARD_IDS: usize = CanId::MAX_STANDARD as usize + 1;

#[derive(Clone, Debug)]
struct Bus {
    standard: Box<[Slot; STANDARD_IDS]>,
    /// Open addressing, at most half full; the length is a power of two.
    extended: Vec<(u32, Slot)>,
    extended_count: usize,
}

impl Default for Bus {
    fn default() -> Self {
        Self { standard: Box::new([Slot::UNKNOWN; STANDARD_IDS]), extended: Vec::new(), extended_count: 0 }
    }
}

/// No extended identifier has this number.
const VACANT: u32 = u32::MAX;

impl Bus {
    #[inline]
    fn get(&self, id: CanId) -> Slot {
        match id {
            CanId::Standard(id) => self.standard.get(usize::from(id)).copied().unwrap_or(Slot::UNKNOWN),
            CanId::Extended(id) => self.place(id).map_or(Slot::UNKNOWN, |(_, slot)| slot),
        }
    }

    /// The entry of an identifier, or the vacant one where it would stand.
    #[inline]
    fn place(&self, id: u32) -> Option<(usize, Slot)> {
        let mask = self.extended.len().checked_sub(1)?;
        // Fibonacci hashing: the product's upper bits depend on all of the identifier's.
        let mut at = (u64::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & mask;
        loop {
            match *self.extended.get(at)? {
                (found, slot) if found == id || found == VACANT => return Some((at, slot)),
                _ => at = (at + 1) & mask,
            }
        }
    }

    fn set(&mut self, id: CanId, slot: Slot) {
        match id {
            CanId::Standard(id) => {
                if let Some(entry) = self.standard.get_mut(usize::from(id)) {
                    *entry = slot;
                }
            }
            CanId::Extended(id) => {
                if (self.extended_count + 1) * 2 > self.extended.len() {
                    self.grow();
                }
                if let Some((at, _)) = self.place(id) {
                    self.extended_count += usize::from(self.extended[at].0 == VACANT);
                    self.extended[at] = (id, slot);
                }
            }
        }
    }

    fn grow(&mut self) {
        let larger = vec![(VACANT, Slot::UNKNOWN); (self.extended.len() * 2).max(16)];
        let entries = std::mem::replace(&mut self.extended, larger);
        for (id, slot) in entries.into_iter().filter(|(id, _)| *id != VACANT) {
            if let Some((at, _)) = self.place(id) {
                self.extended[at] = (id, slot);
            }
        }
    }
}

/// A run of entries in one of the decoder's tables.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    #[inline]
    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    const fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// Signals that are present together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    pub(super) ops: Span,
    pub(super) switches: Span,
    /// Of the signals and the switches.
    pub(super) bytes_needed: u8,
}

/// A signal whose value selects groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switch {
    pub(super) layout: Layout,
    /// Ascending by `low`.
    pub(super) cases: Span,
    /// Whether no two cases overlap, so that one candidate is enough.
    pub(super) disjoint: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) low: u64,
    pub(super) high: u64,
    pub(super) group: u32,
}

/// How to decode one signal. 64 bytes: one cache line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    /// The bits, right-aligned; for a general one its place in the table instead.
    pub(super) mask: u64,
    /// The sign's bit; zero if there is none.
    pub(super) sign: u64,
    /// The raw value that means "no value"; `u64::MAX`, which no signal here can have, if there is none.
    pub(super) sentinel: u64,
    pub(super) factor: f64,
    pub(super) offset: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) signal: SignalId,
    /// The first byte of the load.
    pub(super) at: u8,
    pub(super) shift: u8,
    pub(super) motorola: bool,
    pub(super) is_general: bool,
}

impl Op {
    #[inline]
    fn deliver<S: SampleSink>(&self, number: f64, sink: &mut S) {
        let value = number * self.factor + self.offset;
        if value >= self.min && value <= self.max {
            sink.value(self.signal, value);
        } else {
            sink.absent(self.signal, NoData::OutOfRange);
        }
    }
}

/// What the short form of an [`Op`] cannot say.
#[derive(Clone, Debug)]
pub(super) struct General {
    pub(super) layout: Layout,
    pub(super) sentinels: Box<[u64]>,
}
