//! From clean traffic to a profile. The engineer's side: it reads the recordings twice, then verifies on others.
//!
//! The first reading finds when identifiers come and which bits of them move, the second what holds between those bits
//! (`relation`). What recordings for verification contradict is widened or dropped; nothing new is learned from
//! them. Margins are fixed: an interval is out of its range an eighth of the range beyond it, three frames are too close
//! when they are nearer to what one frame too many would make of them than to the closest that were seen, and an
//! interval is long when it is nearer to a frame that is missing.

use super::known::Known;
use super::profile::{BusProfile, MAX_IDS};
use crate::frame::{BusId, CanFrame, CanId, FrameKind};
use std::collections::BTreeMap;

/// A bus that was silent for so long begins anew.
const SLEEP_US: u64 = 2_000_000;
/// A bus that was silent for so long while another spoke may be: half of what the vehicle takes for silenced.
const ALONE_US: u64 = 500_000;
/// Identifiers of fewer frames are unknown.
const KNOWN_FROM: u32 = 2;
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
    use super::super::profile::{IdProfile, Profile, document};
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
