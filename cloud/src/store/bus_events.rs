//! What happened on the buses, in order of time: changes of state as they were told, and what grew from one account of
//! a bus to the next.

use super::buses::Told;
use super::lines::{self, Origin};
use crate::buses::{BusEvent, MAX_BUS_EVENTS, identifier};
use std::collections::HashMap;
use telltale_wire::bus::{
    BusChange, BusErrors, BusState, BusStatistics, InterfaceCounters, MAX_MISSING, MAX_SUSPICIOUS,
    MAX_UNKNOWN, SuspiciousMessage,
};

/// How many names of one event are told.
const NAMED: usize = 8;

/// All events, the latest first. `is_all` says that no account is older than these.
pub(super) fn timeline(
    changes: &[Told<BusChange>],
    mut accounts: Vec<Told<BusStatistics>>,
    is_all: bool,
) -> Vec<BusEvent> {
    let mut events: Vec<BusEvent> = changes.iter().map(change).collect();
    accounts.sort_by_key(|told| (told.origin.boot, told.at.mono));
    let mut before: HashMap<(String, _), Told<BusStatistics>> = HashMap::new();
    let none = BusStatistics::default();
    for told in accounts {
        let key = (told.bus.clone(), told.origin.boot);
        match before.get(&key) {
            Some(earlier) => {
                let stretch_us = told.at.mono.since(earlier.at.mono).as_micros() as u64;
                Stretch { told: &told, before: &earlier.said, stretch_us }.tell(&mut events);
            }
            // Counters begin at zero with the boot; where older accounts were left out, they did before.
            None if is_all => {
                Stretch { told: &told, before: &none, stretch_us: told.said.stretch_us }.tell(&mut events);
            }
            None => {}
        }
        before.insert(key, told);
    }
    events.sort_by_key(|event| std::cmp::Reverse(event.when.unix_us));
    events.truncate(MAX_BUS_EVENTS);
    events
}

fn change(told: &Told<BusChange>) -> BusEvent {
    let change = &told.said;
    let mut what = format!("{}, was {}", told.state, change.before);
    if change.suppressed > 0 {
        what = format!("{what}; {} changes before it were too many to be told", change.suppressed);
    }
    BusEvent {
        when: lines::when(told.at, told.origin.received),
        stretch_s: None,
        boot: told.origin.boot.to_string(),
        bus: told.bus.clone(),
        kind: "state",
        what,
        count: None,
        why: Some(lines::clip_sentence(&change.why)).filter(|why| !why.is_empty()),
        is_fault: !matches!(told.state, BusState::Active | BusState::Unknown),
    }
}

/// An account and the one before it.
struct Stretch<'a> {
    told: &'a Told<BusStatistics>,
    before: &'a BusStatistics,
    stretch_us: u64,
}

impl Stretch<'_> {
    fn tell(&self, events: &mut Vec<BusEvent>) {
        self.frames(events);
        self.interface(events);
        self.errors(events);
        self.messages(events);
        self.missing(events);
    }

    fn event(&self, kind: &'static str, what: String, count: u64, why: Option<String>) -> BusEvent {
        let Origin { boot, received, .. } = self.told.origin;
        BusEvent {
            when: lines::when(self.told.at, received),
            stretch_s: Some(self.stretch_us as f64 / 1e6),
            boot: boot.to_string(),
            bus: self.told.bus.clone(),
            kind,
            what,
            count: Some(count),
            why,
            is_fault: true,
        }
    }

    /// Frames that are not as the DBC file says, and identifiers that it does not have.
    fn frames(&self, events: &mut Vec<BusEvent>) {
        let (now, before) = (&self.told.said, self.before);
        for (what, now, before) in [
            ("remote frames", now.remote, before.remote),
            ("frames shorter than their signals: not used", now.short, before.short),
            ("frames longer than the DBC file says: used", now.long, before.long),
        ] {
            let count = now.saturating_sub(before);
            if count > 0 {
                events.push(self.event("frames", what.to_owned(), count, None));
            }
        }
        let count = now.unknown_frames.saturating_sub(before.unknown_frames);
        // What has been there goes on without being told again. Of a list that was full nobody knows what was new.
        let was_full = before.unknown.len() >= MAX_UNKNOWN;
        let known =
            |id: u32, extended| before.unknown.iter().any(|old| (old.id, old.extended) == (id, extended));
        let new: Vec<String> = now
            .unknown
            .iter()
            .filter(|id| !was_full && !known(id.id, id.extended))
            .take(NAMED)
            .map(|id| format!("{} ({} times)", identifier(id), id.count))
            .collect();
        if count > 0 && !new.is_empty() {
            let what = "frames of identifiers that no DBC file has".to_owned();
            let why = format!("new among them: {}", new.join(", "));
            events.push(BusEvent { is_fault: false, ..self.event("frames", what, count, Some(why)) });
        }
    }

    /// What the controller and its driver lost, and what the agent did about them.
    fn interface(&self, events: &mut Vec<BusEvent>) {
        let now = self.told.said.interface.unwrap_or_default();
        let before = self.before.interface.unwrap_or_default();
        // The kernel counts anew with each interface that comes.
        let before = if now.received < before.received { InterfaceCounters::default() } else { before };
        for (what, now, before) in [
            ("frames lost: the driver dropped them", now.dropped, before.dropped),
            ("frames lost: the controller's buffer was full", now.overruns, before.overruns),
            (
                "restarts of the controller by the agent",
                u64::from(self.told.said.restarts_asked),
                u64::from(self.before.restarts_asked),
            ),
        ] {
            let count = now.saturating_sub(before);
            if count > 0 {
                events.push(self.event("interface", what.to_owned(), count, None));
            }
        }
    }

    /// Error frames by what they told. Lost arbitration is a bus at work, and states are told as they change.
    fn errors(&self, events: &mut Vec<BusEvent>) {
        let (now, before): (&BusErrors, &BusErrors) = (&self.told.said.errors, &self.before.errors);
        let last = self.told.said.last_error.as_ref().map(|error| lines::clip_sentence(&error.what));
        for (what, now, before) in [
            ("bus errors", now.bus.max(now.protocol), before.bus.max(before.protocol)),
            ("frames that nobody acknowledged", now.no_ack, before.no_ack),
            ("the transceiver sees a broken or shorted wire", now.transceiver, before.transceiver),
            ("overflows of the controller's receive buffer", now.rx_overflow, before.rx_overflow),
            ("overflows of the controller's transmit buffer", now.tx_overflow, before.tx_overflow),
            ("frames that the driver gave up sending", now.tx_timeout, before.tx_timeout),
        ] {
            let count = now.saturating_sub(before);
            if count > 0 {
                let why = last.as_ref().map(|what| format!("the last error frame: {what}"));
                events.push(self.event("error frames", what.to_owned(), count, why));
            }
        }
    }

    /// Messages whose counter or checksum was wrong.
    fn messages(&self, events: &mut Vec<BusEvent>) {
        let none = SuspiciousMessage {
            message: String::new(),
            ok: 0,
            repeated: 0,
            wrong_sequence: 0,
            wrong_checksum: 0,
        };
        // The list holds the worst: what was not in a full one had counts too, and nobody knows which.
        let was_full = self.before.suspicious.len() >= MAX_SUSPICIOUS;
        for now in self.told.said.suspicious.iter().take(MAX_SUSPICIOUS) {
            let before = self.before.suspicious.iter().find(|old| old.message == now.message);
            let before = match before {
                None if was_full => continue,
                before => before.unwrap_or(&none),
            };
            for (what, now_count, count_before) in [
                ("wrong checksum: not used", now.wrong_checksum, before.wrong_checksum),
                ("counter out of sequence", now.wrong_sequence, before.wrong_sequence),
                ("counter repeated", now.repeated, before.repeated),
            ] {
                let count = now_count.saturating_sub(count_before);
                if count > 0 {
                    let what = format!("{}: {what}", lines::clip_name(&now.message));
                    events.push(self.event("messages", what, count, None));
                }
            }
        }
    }

    /// Messages that have become overdue, or come again. Of a list that is not whole nobody knows what is not in it.
    fn missing(&self, events: &mut Vec<BusEvent>) {
        let (now, before) = (&self.told.said, self.before);
        for (what, these, others, is_fault) in [
            ("messages of the catalog have become overdue", now, before, true),
            ("messages of the catalog come again", before, now, false),
        ] {
            if others.missing_total as usize > others.missing.len() {
                continue;
            }
            let is_new = |name: &str| others.missing.iter().all(|other| other.message != name);
            let new: Vec<String> = these
                .missing
                .iter()
                .filter(|message| is_new(&message.message))
                .take(MAX_MISSING)
                .map(|message| lines::clip_name(&message.message))
                .collect();
            if !new.is_empty() {
                let event = self.event("messages", what.to_owned(), new.len() as u64, Some(new.join(", ")));
                events.push(BusEvent { is_fault, ..event });
            }
        }
    }
}
