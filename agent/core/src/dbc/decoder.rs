//! The compiled decoder: from a frame to its catalog signals without allocation, in a few instructions a signal.
//!
//! Compiling turns each wanted signal into an [`Op`]: a shift and a mask on a word that is loaded once a frame, one
//! comparison that finds sentinels and values out of range together, and a multiply-add. Floats and what does not
//! fit into a word take a general path.

use super::Message;
use super::compile::Compiler;
use super::ids::{Bus, Slot};
use super::layout::{Buffer, Layout};
use super::op::{General, Op, Place};
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

/// What an identifier leads to.
#[derive(Clone, Copy, Debug)]
pub enum Found<'d> {
    /// A message of which the catalog wants at least one signal.
    Message(MessageRef<'d>),
    /// See [`Disposition::Filtered`].
    Filtered,
    /// See [`Disposition::Unknown`].
    Unknown,
    /// A remote frame or an error frame.
    Malformed,
}

/// A message of one decoder of which the catalog wants at least one signal.
#[derive(Clone, Copy, Debug)]
pub struct MessageRef<'d> {
    group: &'d Group,
    number: u32,
}

impl MessageRef<'_> {
    /// A small number of its own, for tables.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self.number as usize
    }

    /// Whether a frame of the message is as long as the DBC file says, and there is nothing else to look at.
    #[inline]
    #[must_use]
    pub fn is_ordinary(self, frame: &CanFrame) -> bool {
        frame.len() == usize::from(self.group.usual_len)
    }
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
    pub(super) sentinels: Vec<u64>,
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

    /// Finds what a frame leads to. Allocates nothing.
    #[inline]
    #[must_use]
    pub fn find(&self, frame: &CanFrame) -> Found<'_> {
        if matches!(frame.kind, FrameKind::Remote | FrameKind::Error) {
            return Found::Malformed;
        }
        let Some(bus) = self.buses.get(usize::from(frame.bus.0)) else {
            return Found::Unknown;
        };
        let slot = bus.get(frame.id);
        if let Some(group) = self.groups.get(slot.0 as usize) {
            return Found::Message(MessageRef { group, number: slot.0 });
        }
        if slot == Slot::FILTERED { Found::Filtered } else { Found::Unknown }
    }

    /// Delivers the catalog signals of a frame that was found: those that are always present first, then those that
    /// each switch selects. Allocates nothing.
    #[inline]
    pub fn deliver<S: SampleSink>(&self, message: MessageRef, frame: &CanFrame, sink: &mut S) -> Disposition {
        let Some(group) = self.groups.get(message.index()) else { return Disposition::Unknown };
        if group.switches.is_empty() {
            if frame.len() < usize::from(group.bytes_needed) {
                return Disposition::Malformed;
            }
            return Disposition::Decoded(self.run(group, frame.buffer(), sink));
        }
        self.dispatch_multiplexed(group, frame, sink)
    }

    /// Finds what a frame leads to and delivers its catalog signals.
    #[inline]
    pub fn dispatch<S: SampleSink>(&self, frame: &CanFrame, sink: &mut S) -> Disposition {
        match self.find(frame) {
            Found::Message(message) => self.deliver(message, frame, sink),
            Found::Filtered => Disposition::Filtered,
            Found::Unknown => Disposition::Unknown,
            Found::Malformed => Disposition::Malformed,
        }
    }

    /// The number of an identifier's message, if any signal of it is wanted.
    #[must_use]
    pub fn message(&self, bus: BusId, id: CanId) -> Option<usize> {
        let slot = self.buses.get(usize::from(bus.0))?.get(id);
        self.groups.get(slot.0 as usize).map(|_| slot.0 as usize)
    }

    /// One more than the highest [`MessageRef::index`].
    #[must_use]
    pub const fn message_bound(&self) -> usize {
        self.groups.len()
    }

    /// Makes no frame of this message an ordinary one, whatever its length.
    pub(crate) fn look_closer(&mut self, bus: BusId, id: CanId) {
        if let Some(message) = self.message(bus, id)
            && let Some(group) = self.groups.get_mut(message)
        {
            group.usual_len = Group::NO_USUAL_LEN;
        }
    }

    fn dispatch_multiplexed<S: SampleSink>(
        &self,
        group: &Group,
        frame: &CanFrame,
        sink: &mut S,
    ) -> Disposition {
        let buffer = frame.buffer();
        // Where the payload is too short for something, perhaps that is not selected either.
        if frame.len() < usize::from(group.longest)
            && frame.len() < usize::from(self.longest_present(group, buffer))
        {
            return Disposition::Malformed;
        }
        match self.run_present(group, buffer, sink) {
            0 => Disposition::Filtered,
            delivered => Disposition::Decoded(delivered),
        }
    }

    /// The most bytes that the group and those that its switches select need. The depth is bounded by the reader of
    /// DBC files.
    fn longest_present(&self, group: &Group, buffer: &Buffer) -> u8 {
        let switches = self.switches.get(group.switches.range()).unwrap_or_default();
        let selected = switches.iter().flat_map(|switch| self.selected(switch, buffer));
        selected.map(|group| self.longest_present(group, buffer)).fold(group.bytes_needed, u8::max)
    }

    /// Delivers the signals of the group and of those that its switches select.
    fn run_present<S: SampleSink>(&self, group: &Group, buffer: &Buffer, sink: &mut S) -> u16 {
        let mut delivered = self.run(group, buffer, sink);
        for switch in self.switches.get(group.switches.range()).unwrap_or_default() {
            for group in self.selected(switch, buffer) {
                delivered += if group.switches.is_empty() {
                    self.run(group, buffer, sink)
                } else {
                    self.run_present(group, buffer, sink)
                };
            }
        }
        delivered
    }

    /// The groups that a switch selects; at most one if its cases are disjoint.
    #[inline]
    fn selected<'d>(&'d self, switch: &Switch, buffer: &Buffer) -> impl Iterator<Item = &'d Group> {
        let value = switch.value(buffer);
        let cases = self.cases.get(switch.cases.range()).unwrap_or_default();
        let end = cases.partition_point(|case| case.low <= value);
        let first = if switch.disjoint { end.saturating_sub(1) } else { 0 };
        let candidates = cases.get(first..end).unwrap_or_default().iter().rev();
        candidates
            .filter(move |case| value <= case.high)
            .filter_map(|case| self.groups.get(case.group as usize))
    }

    /// Delivers the signals of one group; the payload is long enough. Inlined into the way of most frames; a call would
    /// save and restore more registers than it is worth.
    #[inline(always)]
    fn run<S: SampleSink>(&self, group: &Group, buffer: &Buffer, sink: &mut S) -> u16 {
        let ops = self.ops.get(group.ops.range()).unwrap_or_default();
        if group.bytes_needed <= 8 {
            // All signals lie in the first eight bytes: one load serves them all.
            let [b0, b1, b2, b3, b4, b5, b6, b7, ..] = *buffer;
            let word = u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
            let (intel, motorola) = ops.split_at_checked(usize::from(group.intel)).unwrap_or_default();
            for op in intel {
                self.sample(op, word, sink);
            }
            let word = word.swap_bytes();
            for op in motorola {
                self.sample(op, word, sink);
            }
        } else {
            for op in ops {
                self.sample(op, op.place.load(buffer), sink);
            }
        }
        let general = self.general.get(group.general.range()).unwrap_or_default();
        for signal in general {
            signal.deliver(buffer, sink);
        }
        (ops.len() + general.len()) as u16
    }

    #[inline(always)]
    fn sample<S: SampleSink>(&self, op: &Op, word: u64, sink: &mut S) {
        match op.value(word) {
            Some(value) => sink.value(op.signal, value),
            None => sink.absent(op.signal, self.why_absent(op, word)),
        }
    }

    #[cold]
    fn why_absent(&self, op: &Op, word: u64) -> NoData {
        let sentinels = self.sentinels.get(op.sentinels.range()).unwrap_or_default();
        if sentinels.contains(&op.raw(word)) { NoData::SensorFault } else { NoData::OutOfRange }
    }

    fn bus_mut(&mut self, bus: BusId) -> &mut Bus {
        let place = usize::from(bus.0);
        if self.buses.len() <= place {
            self.buses.resize_with(place + 1, Bus::default);
        }
        &mut self.buses[place]
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
    pub(super) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    const fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// Signals that are present together.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
pub(super) struct Group {
    /// Those in Intel order first.
    pub(super) ops: Span,
    pub(super) general: Span,
    pub(super) switches: Span,
    /// How many of `ops` are in Intel order.
    pub(super) intel: u16,
    /// Of the group's own signals and switches.
    pub(super) bytes_needed: u8,
    /// Of all that the switches may select, too.
    pub(super) longest: u8,
    /// The length of the message by the DBC file.
    pub(super) usual_len: u8,
}

impl Group {
    /// No frame is so long.
    pub(super) const NO_USUAL_LEN: u8 = u8::MAX;
}

/// A signal whose value selects groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switch {
    pub(super) layout: Layout,
    /// The same in short, if it has a short form.
    pub(super) place: Option<Place>,
    /// Ascending by `low`.
    pub(super) cases: Span,
    /// The most bytes that any case needs.
    pub(super) longest: u8,
    /// Whether no two cases overlap, so that one candidate is enough.
    pub(super) disjoint: bool,
}

impl Switch {
    #[inline]
    fn value(&self, buffer: &Buffer) -> u64 {
        match &self.place {
            Some(place) => place.raw(place.load(buffer), self.layout.mask()),
            None => self.layout.raw(buffer),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) low: u64,
    pub(super) high: u64,
    pub(super) group: u32,
}
