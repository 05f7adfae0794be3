//! Compiles the wanted signals of one identifier into the decoder's tables: a group of those that are always
//! present, and under each switch a group for every range of its values.

use super::Message;
use super::decoder::{Case, Decoder, Group, Request, Span, Switch};
use super::layout::Layout;
use super::op::{General, Op, Place};
use std::collections::{BTreeMap, HashMap};

/// Compiles the signals of one identifier.
pub(super) struct Compiler<'d, 'r> {
    decoder: &'d mut Decoder,
    wanted: &'r [&'r Request<'r>],
    /// The switches that are compiled. A nested one may be selected by many values, and is compiled once.
    done: HashMap<(*const Message, usize), Switch>,
}

impl<'d, 'r> Compiler<'d, 'r> {
    pub(super) fn new(decoder: &'d mut Decoder, wanted: &'r [&'r Request<'r>]) -> Self {
        Self { decoder, wanted, done: HashMap::new() }
    }

    /// The group of the signals that are always present; gives its number.
    pub(super) fn root(&mut self) -> u32 {
        let always: Vec<&Request<'r>> =
            self.wanted.iter().copied().filter(|r| r.message.signals[r.signal].selection.is_none()).collect();
        // Several DBC files may describe one identifier: each brings its own switches.
        let mut switches: Vec<(&'r Message, usize)> = Vec::new();
        for request in self.wanted {
            let mut at = request.signal;
            while let Some(selection) = &request.message.signals[at].selection {
                at = selection.switch;
            }
            let known = switches
                .iter()
                .any(|(message, place)| std::ptr::eq(*message, request.message) && *place == at);
            if at != request.signal && !known {
                switches.push((request.message, at));
            }
        }
        self.group(&always, &switches)
    }

    fn group(&mut self, signals: &[&Request<'r>], switches: &[(&'r Message, usize)]) -> u32 {
        // The switches' own groups first: what belongs to one group lies together in the tables.
        let compiled: Vec<Switch> =
            switches.iter().map(|(message, place)| self.switch_once(message, *place)).collect();
        let layouts = signals.iter().map(|r| r.message.signals[r.signal].layout);
        let needed =
            layouts.chain(compiled.iter().map(|s| s.layout)).map(Layout::bytes_needed).max().unwrap_or(0);
        let longest =
            compiled.iter().map(|switch| usize::from(switch.longest)).chain([needed]).max().unwrap_or(0);
        let (first_op, first_general) = (self.decoder.ops.len(), self.decoder.general.len());
        for request in signals {
            let general = self.signal(request);
            self.decoder.general.extend(general);
        }
        let ops = &mut self.decoder.ops[first_op..];
        ops.sort_by_key(|op| op.place.motorola);
        let intel = ops.partition_point(|op| !op.place.motorola);
        let first_switch = self.decoder.switches.len();
        self.decoder.switches.extend(compiled);
        self.decoder.groups.push(Group {
            ops: Span::new(first_op, self.decoder.ops.len()),
            general: Span::new(first_general, self.decoder.general.len()),
            switches: Span::new(first_switch, self.decoder.switches.len()),
            intel: intel as u16,
            bytes_needed: needed as u8,
            longest: longest as u8,
            usual_len: self.usual_len(),
        });
        self.decoder.groups.len() as u32 - 1
    }

    /// Of the identifier's message, as the first of the DBC files says.
    fn usual_len(&self) -> u8 {
        let len = self.wanted.first().map(|request| request.message.len);
        len.and_then(|len| u8::try_from(len).ok()).unwrap_or(Group::NO_USUAL_LEN)
    }

    fn switch_once(&mut self, message: &'r Message, place: usize) -> Switch {
        let key = (std::ptr::from_ref(message), place);
        if let Some(done) = self.done.get(&key) {
            return *done;
        }
        let switch = self.switch(message, place);
        self.done.insert(key, switch);
        switch
    }

    /// A switch with one case for each range of values that selects anything wanted.
    fn switch(&mut self, message: &'r Message, place: usize) -> Switch {
        let mut by_range: BTreeMap<(u64, u64), Selected<'r>> = BTreeMap::new();
        let ranges_under = |at: usize| match &message.signals[at].selection {
            Some(selection) if selection.switch == place => selection.ranges.as_slice(),
            _ => &[],
        };
        for request in self.wanted.iter().copied().filter(|r| std::ptr::eq(r.message, message)) {
            for range in ranges_under(request.signal) {
                by_range.entry(*range).or_default().signals.push(request);
            }
            if let Some(below) = self.switch_below(message, request.signal, place) {
                for range in ranges_under(below) {
                    let switches = &mut by_range.entry(*range).or_default().switches;
                    if !switches.iter().any(|(_, known)| *known == below) {
                        switches.push((message, below));
                    }
                }
            }
        }
        let cases: Vec<Case> = by_range
            .into_iter()
            .map(|((low, high), under)| Case {
                low,
                high,
                group: self.group(&under.signals, &under.switches),
            })
            .collect();
        let disjoint = cases.windows(2).all(|pair| matches!(pair, [a, b] if a.high < b.low));
        let groups = cases.iter().filter_map(|case| self.decoder.groups.get(case.group as usize));
        let longest = groups.map(|group| group.longest).max().unwrap_or(0);
        let first = self.decoder.cases.len();
        self.decoder.cases.extend(cases);
        Switch {
            layout: message.signals[place].layout,
            place: Place::of(message.signals[place].layout),
            cases: Span::new(first, self.decoder.cases.len()),
            longest,
            disjoint,
        }
    }

    /// The switch next below `above` on the way to a signal, unless the signal stands directly under it.
    fn switch_below(&self, message: &Message, signal: usize, above: usize) -> Option<usize> {
        let mut at = message.signals[signal].selection.as_ref()?.switch;
        while at != above {
            let next = message.signals[at].selection.as_ref()?.switch;
            if next == above {
                return Some(at);
            }
            at = next;
        }
        None
    }

    /// Takes a signal in its short form, or gives it back in the general one.
    fn signal(&mut self, request: &Request<'_>) -> Option<General> {
        let mask = request.message.signals[request.signal].layout.mask();
        let sentinels: Vec<u64> = request.sentinels.iter().map(|value| *value as u64 & mask).collect();
        let first = self.decoder.sentinels.len();
        let Some(op) = Op::of(request, &sentinels, Span::new(first, first + sentinels.len())) else {
            return Some(General::of(request, &sentinels));
        };
        self.decoder.sentinels.extend(sentinels);
        self.decoder.ops.push(op);
        None
    }
}

/// What one range of a switch's values selects.
#[derive(Default)]
struct Selected<'r> {
    signals: Vec<&'r Request<'r>>,
    switches: Vec<(&'r Message, usize)>,
}
