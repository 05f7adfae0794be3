//! From clean traffic to a profile. The engineer's side: it reads the recordings twice, then verifies on others.
//!
//! The first reading finds when identifiers come and which bits of them move, the second what holds between those bits
//! (`relation`). What recordings for verification contradict is widened or dropped; nothing new is learned from
//! them. Margins are fixed: an interval is out of its range an eighth of the range beyond it, three frames are too close
//! when they are nearer to what one frame too many would make of them than to the closest that were seen, and an
//! interval is long when it is nearer to a frame that is missing.

use super::profile::{BusProfile, IdProfile, MAX_IDS, Timing};
use super::relation::{Columns, Span};
use crate::frame::{BusId, CanFrame, CanId, FrameKind};
use std::collections::BTreeMap;

/// A bus that was silent for so long begins anew.
const SLEEP_US: u64 = 2_000_000;
/// A bus that was silent for so long while another spoke may be: half of what the vehicle takes for silenced.
const ALONE_US: u64 = 500_000;
/// Intervals of an identifier of which the middle one is taken.
const INTERVALS: usize = 4_096;
/// Fewer frames than this have no period, and fewer than the second of these nothing at all: the identifier is unknown.
const PERIODIC_FROM: u32 = 8;
const KNOWN_FROM: u32 = 2;
/// A bit moves if it changes in one of so many frames, and at least so often: only then is what holds of it believed.
const MOVES_IN: u32 = 50;
const MOVES_AT_LEAST: u32 = 32;
/// Beside an eighth of the range of an identifier's intervals.
const MARGIN_US: u64 = 20;
/// A byte that has gone further than this in one step may go anywhere.
const WILD: u8 = 100;
const SECOND_US: u64 = 1_000_000;

/// What a reading is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// The first of the recordings to learn from.
    First,
    /// The same recordings again.
    Second,
    /// Other clean recordings, which contradict or do not.
    Verify,
}

/// Learns the profiles of buses.
pub struct Learner {
    reading: Reading,
    buses: Vec<BusLearner>,
}

struct BusLearner {
    name: String,
    ids: BTreeMap<CanId, Known>,
    /// Identifiers beyond what a profile holds.
    surplus: u64,
    latest: Option<u64>,
    gap: u64,
    sleeps_alone: bool,
    previous: Option<CanId>,
    second: u64,
    /// Whether the second under way began while the bus was awake.
    is_whole: bool,
    in_second: u32,
    frames_per_s: [u32; 2],
    seconds: u32,
}

struct Known {
    frames: u32,
    at: Option<u64>,
    before: Option<u64>,
    word: Option<u64>,
    len: [u8; 2],
    intervals: Vec<u32>,
    shortest: u64,
    longest: u64,
    closest: u64,
    first_word: u64,
    /// Bits that ever differed from the first payload.
    varied: u64,
    /// How often each bit changed, the first byte's highest first.
    changes: [u32; 64],
    step: [u8; 8],
    run: u32,
    repeats: u32,
    in_second: u32,
    per_s: [u32; 2],
    span: Span,
    after: BTreeMap<CanId, ()>,
}

impl Learner {
    /// A learner for these buses, by their [`BusId`], at its first reading.
    #[must_use]
    pub fn new(buses: &[String]) -> Learner {
        let bus = |name: &String| BusLearner {
            name: name.clone(),
            ids: BTreeMap::new(),
            surplus: 0,
            latest: None,
            gap: 0,
            sleeps_alone: false,
            previous: None,
            second: 0,
            is_whole: false,
            in_second: 0,
            frames_per_s: [u32::MAX, 0],
            seconds: 0,
        };
        Learner { reading: Reading::First, buses: buses.iter().map(bus).collect() }
    }

    /// Begins a reading. A recording after another in one reading begins anew by itself if there is a silence between them.
    pub fn begin(&mut self, reading: Reading) {
        self.reading = reading;
        self.buses.iter_mut().for_each(BusLearner::forget_time);
    }

    /// Takes a frame.
    pub fn take(&mut self, frame: &CanFrame) {
        if self.reading != Reading::Second {
            let at = frame.at.as_micros();
            for bus in &mut self.buses {
                bus.sleeps_alone |= bus.latest.is_some_and(|latest| at.saturating_sub(latest) > ALONE_US);
            }
        }
        if let (Some(bus), FrameKind::Classic | FrameKind::Fd) =
            (self.buses.get_mut(usize::from(frame.bus.0)), frame.kind)
        {
            bus.take(self.reading, frame);
        }
    }

    /// How many frames of the bus had an identifier beyond the [`MAX_IDS`] that a profile holds.
    #[must_use]
    pub fn surplus(&self, bus: BusId) -> u64 {
        self.buses.get(usize::from(bus.0)).map_or(0, |bus| bus.surplus)
    }

    /// What was learned of each bus on which something was heard for whole seconds.
    #[must_use]
    pub fn profiles(&self) -> Vec<BusProfile> {
        self.buses.iter().filter(|bus| bus.seconds > 0).filter_map(BusLearner::profile).collect()
    }
}

impl BusLearner {
    fn forget_time(&mut self) {
        self.latest = None;
        self.previous = None;
        self.is_whole = false;
        self.in_second = 0;
        for known in self.ids.values_mut() {
            known.forget_time();
        }
    }

    fn take(&mut self, reading: Reading, frame: &CanFrame) {
        let at = frame.at.as_micros();
        match self.latest {
            Some(latest) if at >= latest && at - latest <= SLEEP_US => self.gap = self.gap.max(at - latest),
            Some(_) => self.forget_time(),
            None => {}
        }
        let second = at / SECOND_US;
        match self.latest {
            None => self.second = second,
            Some(_) if second != self.second => self.turn(reading, second),
            Some(_) => {}
        }
        self.latest = Some(at);
        self.in_second += 1;
        if reading == Reading::First && !self.ids.contains_key(&frame.id) {
            if self.ids.len() >= MAX_IDS {
                self.surplus += 1;
                return;
            }
            self.ids.insert(frame.id, Known::new(word_of(frame), frame.len() as u8));
        }
        let previous = self.previous.replace(frame.id);
        if let (Reading::First, Some(previous)) = (reading, previous)
            && let Some(known) = self.ids.get_mut(&previous)
        {
            known.after.insert(frame.id, ());
        }
        if let Some(known) = self.ids.get_mut(&frame.id) {
            known.take(reading, at, word_of(frame), frame.len() as u8);
        }
    }

    /// Ends the second under way.
    fn turn(&mut self, reading: Reading, second: u64) {
        let follows = second == self.second + 1;
        if self.is_whole && follows {
            if reading != Reading::Second {
                widen(&mut self.frames_per_s, self.in_second);
            }
            self.seconds += u32::from(reading == Reading::First);
        }
        for known in self.ids.values_mut() {
            let count = std::mem::take(&mut known.in_second);
            if self.is_whole && follows && reading != Reading::Second {
                widen(&mut known.per_s, count);
            }
        }
        self.in_second = 0;
        self.second = second;
        self.is_whole = follows;
    }

    fn profile(&self) -> Option<BusProfile> {
        let known: Vec<(&CanId, &Known)> =
            self.ids.iter().filter(|(_, known)| known.frames >= KNOWN_FROM).collect();
        let names: Vec<CanId> = known.iter().map(|(id, _)| **id).collect();
        let ids = known.iter().map(|(id, known)| known.profile(**id, &names)).collect::<Vec<_>>();
        let bus = BusProfile {
            name: self.name.clone(),
            seconds: self.seconds,
            frames_per_s: self.frames_per_s,
            gap_us: self.gap as u32,
            sleeps_alone: self.sleeps_alone,
            ids,
        };
        (!bus.ids.is_empty()).then_some(bus)
    }
}

impl Known {
    fn new(word: u64, len: u8) -> Known {
        Known {
            frames: 0,
            at: None,
            before: None,
            word: None,
            len: [len; 2],
            intervals: Vec::new(),
            shortest: u64::MAX,
            longest: 0,
            closest: u64::MAX,
            first_word: word,
            varied: 0,
            changes: [0; 64],
            step: [0; 8],
            run: 0,
            repeats: 0,
            in_second: 0,
            per_s: [u32::MAX, 0],
            span: Span::new(),
            after: BTreeMap::new(),
        }
    }

    fn forget_time(&mut self) {
        (self.at, self.before, self.word) = (None, None, None);
        (self.run, self.in_second) = (0, 0);
    }

    fn take(&mut self, reading: Reading, at: u64, word: u64, len: u8) {
        self.in_second += 1;
        if reading != Reading::Second {
            self.time(reading, at);
            self.len = [self.len[0].min(len), self.len[1].max(len)];
            self.varied |= word ^ self.first_word;
        }
        let Some(last) = self.word.replace(word) else { return };
        match reading {
            Reading::Second => return self.span.take(word, last, self.columns()),
            Reading::Verify => self.span.contradict(word, last, self.columns()),
            Reading::First => {
                for (place, changes) in self.changes.iter_mut().enumerate() {
                    *changes += ((word ^ last) >> (63 - place) & 1) as u32;
                }
            }
        }
        for (step, (a, b)) in self.step.iter_mut().zip(word.to_be_bytes().iter().zip(last.to_be_bytes())) {
            *step = (*step).max(a.abs_diff(b));
        }
        self.run = if word == last { self.run + 1 } else { 0 };
        self.repeats = self.repeats.max(self.run);
    }

    fn time(&mut self, reading: Reading, at: u64) {
        if reading == Reading::First {
            self.frames += 1;
        }
        let last = self.at.replace(at);
        let before = std::mem::replace(&mut self.before, last);
        if let Some(last) = last {
            let interval = at - last;
            self.shortest = self.shortest.min(interval);
            self.longest = self.longest.max(interval);
            if reading == Reading::First && self.intervals.len() < INTERVALS {
                self.intervals.push(interval.min(u64::from(u32::MAX)) as u32);
            }
        }
        if let Some(before) = before {
            self.closest = self.closest.min(at - before);
        }
    }

    /// The bits that changed, as the first reading left them.
    fn columns(&self) -> Columns {
        let enough = (self.frames / MOVES_IN).max(MOVES_AT_LEAST);
        let mut columns = Columns { seldom: 0, moving: 0 };
        for (place, changes) in self.changes.iter().enumerate().filter(|(_, changes)| **changes > 0) {
            let side = if *changes >= enough { &mut columns.moving } else { &mut columns.seldom };
            *side |= 1 << (63 - place);
        }
        columns
    }

    fn profile(&self, id: CanId, names: &[CanId]) -> IdProfile {
        // A margin of half, and none where a byte has gone about half of its range or is constant: those are told apart.
        let margin = |step: u8| if step == 0 || step > WILD { u8::MAX } else { step + step / 2 + 1 };
        let checks = match self.span.is_settled() {
            true => self.span.checks(u64::from(id.raw())),
            false => Vec::new(),
        };
        IdProfile {
            id,
            frames: self.frames,
            len: self.len,
            per_s: if self.per_s[0] > self.per_s[1] { [0, 0] } else { self.per_s },
            timing: self.timing(),
            constant: !self.varied,
            step: self.step.map(margin),
            repeats: self.repeats.saturating_mul(2).saturating_add(1),
            checks,
            after: names.iter().map(|name| self.after.contains_key(name)).collect(),
        }
    }

    /// `None` where the longest interval is more than three periods: it comes when something happens.
    fn timing(&self) -> Option<Timing> {
        if self.frames < PERIODIC_FROM || self.intervals.is_empty() {
            return None;
        }
        let mut sorted = self.intervals.clone();
        sorted.sort_unstable();
        let period = u64::from(sorted[sorted.len() / 2]);
        if period == 0 || self.longest > 3 * period {
            return None;
        }
        // One frame too many makes three frames span one period, and one too few makes two of one interval.
        let close = if self.closest * 4 > period * 5 { (period + self.closest) / 2 } else { 0 };
        let long = if self.longest < 2 * period {
            (self.longest + 2 * period) / 2
        } else {
            self.longest + self.longest / 2
        };
        let margin = (self.longest - self.shortest) / 8 + MARGIN_US;
        let high = self.longest + margin;
        let timing = Timing {
            period_us: u32::try_from(period).ok()?,
            low_us: u32::try_from(self.shortest.saturating_sub(margin)).ok()?,
            high_us: u32::try_from(high).ok()?,
            close_us: u32::try_from(close).ok()?,
            long_us: u32::try_from(long.max(high)).ok()?,
        };
        Some(timing)
    }
}

/// The first eight bytes of a payload, the first in the highest place; what is not there is zero.
#[inline]
pub(super) fn word_of(frame: &CanFrame) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *frame.buffer();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn widen(range: &mut [u32; 2], value: u32) {
    *range = [range[0].min(value), range[1].max(value)];
}

#[cfg(test)]
mod tests {
    use super::super::profile::{Profile, document};
    use super::super::tests::traffic;
    use super::*;

    fn learned(frames: &[CanFrame]) -> BusProfile {
        let mut learner = Learner::new(&["can0".into()]);
        for reading in [Reading::First, Reading::Second] {
            learner.begin(reading);
            frames.iter().for_each(|frame| learner.take(frame));
        }
        learner.profiles().remove(0)
    }

    #[test]
    fn periods_bounds_counters_and_checksums_are_learned() {
        let bus = learned(&traffic(0, 60));
        assert_eq!(bus.ids.len(), 3);
        assert!((58..=60).contains(&bus.seconds), "{}", bus.seconds);
        let sealed = &bus.ids[0];
        let timing = sealed.timing.unwrap();
        assert!((9_900..10_100).contains(&timing.period_us), "{timing:?}");
        assert!(timing.close_us > 12_000 && timing.close_us < 19_000, "{timing:?}");
        assert!(timing.long_us > 11_000 && timing.long_us < 20_000, "{timing:?}");
        assert_eq!(sealed.checks.len(), 4, "it has a counter and a checksum");
        assert_eq!(sealed.repeats, 1);
        assert!(sealed.constant >> 56 & 0xF0 == 0xF0, "the high half of the first byte never changes");
        assert!(bus.ids[1].repeats > 10, "this one stands still for a while");
        assert!(bus.ids[2].timing.is_none(), "this one comes when something happens");
        let text = document("car", std::slice::from_ref(&bus));
        assert_eq!(Profile::parse(&text, "p").unwrap().buses, [bus]);
    }

    #[test]
    fn verification_drops_what_it_contradicts_and_teaches_nothing() {
        let frames = traffic(0, 60);
        let mut learner = Learner::new(&["can0".into()]);
        for reading in [Reading::First, Reading::Second] {
            learner.begin(reading);
            frames.iter().for_each(|frame| learner.take(frame));
        }
        learner.begin(Reading::Verify);
        for mut frame in traffic(100, 20) {
            if frame.id == CanId::Standard(0x100) {
                let mut payload = *frame.buffer();
                payload[0] |= 0x80;
                payload[7] ^= 0x55;
                frame = CanFrame::new(frame.at, frame.bus, frame.id, frame.kind, &payload[..8]).unwrap();
            }
            learner.take(&frame);
            let stranger =
                CanFrame::new(frame.at, frame.bus, CanId::Standard(0x7FF), frame.kind, &[]).unwrap();
            learner.take(&stranger);
        }
        let (before, after) = (learned(&frames), learner.profiles().remove(0));
        assert_eq!(after.ids.len(), before.ids.len(), "a stranger is not learned");
        assert!(after.ids[0].constant < before.ids[0].constant);
        assert_ne!(after.ids[0].checks, before.ids[0].checks);
        assert_eq!(after.ids[0].after, before.ids[0].after);
        let fixed = |id: &IdProfile| (id.constant, id.step, id.checks.clone(), id.frames);
        assert_eq!(fixed(&after.ids[1]), fixed(&before.ids[1]));
    }
}
