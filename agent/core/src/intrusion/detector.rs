//! Each frame against its identifier's profile.
//!
//! A frame costs one look into a table, a handful of comparisons and some bit arithmetic, the same for every frame that is
//! as expected; only what is odd takes the longer way. Nothing is allocated after the start:
//! memory is bounded by the profile's identifiers.

use super::learn::word_of;
use super::profile::{BusProfile, CHECKS, IdProfile, Profile};
use super::second::{Count, Second, Tally};
use crate::frame::{CanFrame, CanId, FrameKind};
use std::collections::HashMap;
use telltale_wire::time::MonoTime;
use thiserror::Error;

/// The grid: counts of one second make a row of features.
pub const SECOND_US: u64 = 1_000_000;
/// Seconds after a bus begins to speak in which nothing is judged: not every identifier has been heard twice.
pub const WARM_UP: u32 = 2;
/// An identifier is missing when it has been silent for so many of its longest intervals.
const MISSING_AFTER: u64 = 2;
/// No such identifier.
const NONE: u16 = u16::MAX;
/// Even bytes of a word, and the odd ones shifted onto them, each in 16 bits.
const LANES: u64 = 0x00FF_00FF_00FF_00FF;
const LANE_TOPS: u64 = 0x8000_8000_8000_8000;
const LANE_ONES: u64 = 0x0100_0100_0100_0100;

/// What can be odd about one frame: bits of a mask, in the order of the first members of [`Count`].
pub(super) const ODDITIES: usize = 8;
const JITTER: u32 = 1;
const CLOSE: u32 = 1 << 1;
const LONG: u32 = 1 << 2;
const SHAPE: u32 = 1 << 3;
const STEP: u32 = 1 << 4;
const CHECK: u32 = 1 << 5;
const FROZEN: u32 = 1 << 6;
const PAIR: u32 = 1 << 7;

/// A profile that does not fit the vehicle.
#[derive(Debug, Error)]
pub enum FitError {
    /// The profile has a bus that the catalog lacks.
    #[error(
        "the profile {profile} describes the bus {bus}, and the catalog has no bus of that name: it is of another vehicle type"
    )]
    NoSuchBus {
        /// The profile's name.
        profile: String,
        /// The bus.
        bus: String,
    },
}

/// Watches the buses of a profile.
pub struct Detector {
    /// By [`crate::frame::BusId`]; a bus without a profile is not watched.
    buses: Vec<Option<Box<Bus>>>,
    names: Vec<String>,
    /// The end of the second under way.
    due: Option<MonoTime>,
}

struct Bus {
    /// The place of each standard identifier in `tracks`.
    standard: Box<[u16; 2048]>,
    extended: HashMap<u32, u16>,
    tracks: Vec<Track>,
    /// Who may follow whom: bits by the one before times [`Bus::width`] plus the one after. Behind the identifiers
    /// stand the strangers, whom nobody follows, and the beginning, which anybody does.
    pairs: Vec<u64>,
    width: u32,
    previous: u32,
    tally: Tally,
    latest: u64,
    /// Longer than this without a frame, and the bus has stopped.
    stops_after: u64,
    sleeps_alone: bool,
    awake: u32,
    second: Second,
}

/// An identifier: what is known of it, and what it did last.
#[derive(Clone)]
pub(super) struct Track {
    at: u64,
    before: u64,
    word: u64,
    /// Frames heard since the bus began to speak, up to 2: before the third there is no interval of three.
    heard: u32,
    low: u32,
    range: u64,
    close: u32,
    long: u64,
    constant: u64,
    len: u8,
    len_span: u8,
    has_checks: bool,
    /// For the even and the odd bytes: what is added before a byte is taken away, and what may come of it at the most.
    steps: [(u64, u64); 2],
    checks: [(u64, u64); CHECKS],
    parities: u64,
    run: u32,
    /// The repetition with which it stands still, told once.
    frozen_at: u32,
    /// Frames of the second under way, and what was odd of them.
    pub(super) seen: u32,
    pub(super) odd: [u32; ODDITIES],
    pub(super) is_missing: bool,
    missing_after: u64,
    pub(super) per_s: [u32; 2],
    pub(super) id: CanId,
}

impl Detector {
    /// A detector for the buses that both a profile and the catalog have.
    ///
    /// # Errors
    /// [`FitError`] if the profile has a bus that is not among `buses`, the catalog's names by [`crate::frame::BusId`].
    pub fn new(profile: &Profile, buses: &[String]) -> Result<Detector, FitError> {
        let stranger = profile.buses.iter().find(|bus| !buses.contains(&bus.name));
        if let Some(bus) = stranger {
            return Err(FitError::NoSuchBus { profile: profile.name.clone(), bus: bus.name.clone() });
        }
        let bus = |name: &String| {
            profile.buses.iter().find(|bus| bus.name == *name).map(|bus| Box::new(Bus::new(bus)))
        };
        Ok(Detector { buses: buses.iter().map(bus).collect(), names: buses.to_vec(), due: None })
    }

    /// The buses that are watched, in the order of [`Detector::advance`].
    pub fn subjects(&self) -> impl Iterator<Item = &str> {
        self.buses.iter().zip(&self.names).filter_map(|(bus, name)| bus.as_ref().map(|_| name.as_str()))
    }

    /// Takes a frame, up to whose time the detector was advanced.
    #[inline]
    pub fn saw(&mut self, frame: &CanFrame) {
        if let Some(Some(bus)) = self.buses.get_mut(usize::from(frame.bus.0)) {
            bus.saw(frame);
        }
    }

    /// When the second under way ends; `None` before the first frame.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<MonoTime> {
        self.due
    }

    /// Turns time to `now`: ends what seconds are over, and hands over each in which a watched bus spoke. Whether it is
    /// called in between changes nothing.
    pub fn advance(&mut self, now: MonoTime, mut over: impl FnMut(MonoTime, &Seconds<'_>)) {
        let Some(mut due) = self.due else {
            self.due = Some(next_end(now));
            return;
        };
        // After one empty second every bus is asleep, and a further one changes nothing.
        for _ in 0..2 {
            if now < due {
                break;
            }
            // Where one speaks, the vehicle is awake, and who stopped did not go to sleep with it.
            let speaks = |bus: &Bus| !bus.has_stopped(due);
            let is_awake = self.buses.iter().flatten().any(|bus| speaks(bus));
            self.buses.iter_mut().flatten().for_each(|bus| bus.close(due, is_awake));
            let seconds = Seconds(&self.buses);
            if seconds.heard().next().is_some() {
                over(due, &seconds);
            }
            due = MonoTime(due.as_micros().saturating_add(SECOND_US));
        }
        self.due = Some(if now < due { due } else { next_end(now) });
    }
}

/// One second of all watched buses.
pub struct Seconds<'a>(&'a [Option<Box<Bus>>]);

impl Seconds<'_> {
    /// The buses that spoke or should have spoken, by their place among [`Detector::subjects`].
    pub fn heard(&self) -> impl Iterator<Item = (usize, &Second)> {
        let all = self.0.iter().flatten().map(|bus| &bus.second).enumerate();
        all.filter(|(_, second)| second.is_told())
    }
}

const fn next_end(at: MonoTime) -> MonoTime {
    MonoTime((at.as_micros() / SECOND_US + 1).saturating_mul(SECOND_US))
}

impl Bus {
    fn new(profile: &BusProfile) -> Bus {
        let count = profile.ids.len();
        let mut standard = Box::new([NONE; 2048]);
        let mut extended = HashMap::new();
        for (place, known) in profile.ids.iter().enumerate() {
            match known.id {
                CanId::Standard(id) => standard[usize::from(id & 0x7FF)] = place as u16,
                CanId::Extended(id) => {
                    extended.insert(id, place as u16);
                }
            }
        }
        let width = count.next_multiple_of(64).max(64);
        let mut pairs = vec![0u64; (count + 2) * width / 64];
        for (place, known) in profile.ids.iter().enumerate() {
            for (after, _) in known.after.iter().enumerate().filter(|(_, came)| **came) {
                pairs[(place * width + after) / 64] |= 1 << (after % 64);
            }
        }
        pairs[(count + 1) * width / 64..].fill(u64::MAX);
        Bus {
            standard,
            extended,
            tracks: profile.ids.iter().map(Track::new).collect(),
            pairs,
            width: width as u32,
            previous: count as u32 + 1,
            tally: Tally::default(),
            latest: 0,
            stops_after: 2 * u64::from(profile.gap_us),
            sleeps_alone: profile.sleeps_alone,
            awake: 0,
            second: Second::new(profile.frames_per_s),
        }
    }

    #[inline]
    fn saw(&mut self, frame: &CanFrame) {
        let place = match (frame.kind, frame.id) {
            (FrameKind::Classic | FrameKind::Fd, CanId::Standard(id)) => {
                self.standard[usize::from(id & 0x7FF)]
            }
            _ => self.elsewhere(frame),
        };
        let Some(track) = self.tracks.get_mut(usize::from(place)) else {
            self.stranger(frame);
            return;
        };
        self.tally.frames += 1;
        self.latest = frame.at.as_micros();
        let pair = self.previous * self.width + u32::from(place);
        self.previous = u32::from(place);
        let known = self.pairs.get(pair as usize / 64).is_some_and(|bits| bits >> (pair % 64) & 1 == 1);
        let odd = track.saw(frame) | if known { 0 } else { PAIR };
        if odd != 0 {
            self.note(usize::from(place), odd);
        }
    }

    /// The place of an identifier that is not a data frame's standard one.
    #[inline(never)]
    fn elsewhere(&self, frame: &CanFrame) -> u16 {
        match (frame.kind, frame.id) {
            (FrameKind::Classic | FrameKind::Fd, CanId::Extended(id)) => {
                self.extended.get(&id).copied().unwrap_or(NONE)
            }
            _ => NONE,
        }
    }

    /// An identifier that the clean traffic did not have, or a remote frame, which it never has.
    #[inline(never)]
    fn stranger(&mut self, frame: &CanFrame) {
        if frame.kind == FrameKind::Error {
            return;
        }
        self.latest = frame.at.as_micros();
        self.previous = self.tracks.len() as u32;
        self.tally.stranger(frame.id);
    }

    #[inline(never)]
    fn note(&mut self, place: usize, mut odd: u32) {
        while odd != 0 {
            let which = odd.trailing_zeros() as usize;
            odd &= odd - 1;
            self.tracks[place].odd[which] += 1;
            self.tally.odd[which] += 1;
        }
    }

    fn has_stopped(&self, end: MonoTime) -> bool {
        end.as_micros().saturating_sub(self.latest) > self.stops_after
    }

    /// Ends the second that ends at `end`. What a bus still said in the second in which it stopped is judged by the time of
    /// its last frame. The next one, without a frame, is sleep if the others sleep, too, or clean traffic has that; else the
    /// bus was silenced.
    fn close(&mut self, end: MonoTime, is_awake: bool) {
        let stopped = self.has_stopped(end);
        let silenced = self.tally.frames == 0 && is_awake && !self.sleeps_alone && self.awake > 0;
        if self.tally.frames == 0 && !silenced {
            self.second.skip();
            self.sleep();
            return;
        }
        self.awake = self.awake.saturating_add(1);
        let is_cut = stopped && !silenced;
        let until = if is_cut { self.latest } else { end.as_micros() };
        for track in &mut self.tracks {
            track.is_missing = track.heard > 0 && until.saturating_sub(track.at) > track.missing_after;
        }
        self.second.close(&mut self.tally, is_cut, self.awake > WARM_UP, &mut self.tracks);
    }

    /// After a silence of the whole bus, intervals mean nothing.
    fn sleep(&mut self) {
        self.awake = 0;
        self.previous = self.tracks.len() as u32 + 1;
        self.tracks.iter_mut().for_each(|track| track.heard = 0);
    }
}

impl Track {
    fn new(known: &IdProfile) -> Track {
        let lanes = |odd: usize| {
            let byte = |lane: usize| u64::from(known.step[2 * lane + odd]) << (48 - 16 * lane);
            let step = (0..4).fold(0, |all, lane| all | byte(lane));
            (LANE_ONES + step, LANE_TOPS + LANE_ONES + 2 * step)
        };
        let mut checks = [(0, 0); CHECKS];
        let mut parities = 0;
        for (place, check) in known.checks.iter().take(CHECKS).enumerate() {
            checks[place] = (check.now, check.before);
            parities |= u64::from(check.odd) << (16 * place);
        }
        let timing = known.timing;
        Track {
            at: 0,
            before: 0,
            word: 0,
            heard: 0,
            low: timing.map_or(0, |t| t.low_us),
            range: timing.map_or(u64::MAX, |t| u64::from(t.high_us - t.low_us)),
            close: timing.map_or(0, |t| t.close_us),
            long: timing.map_or(u64::MAX, |t| u64::from(t.long_us)),
            constant: known.constant,
            len: known.len[0],
            len_span: known.len[1] - known.len[0],
            has_checks: !known.checks.is_empty(),
            steps: [lanes(0), lanes(1)],
            checks,
            parities,
            run: 0,
            frozen_at: known.repeats.saturating_add(1),
            seen: 0,
            odd: [0; ODDITIES],
            is_missing: false,
            missing_after: timing.map_or(u64::MAX, |t| MISSING_AFTER * u64::from(t.long_us)),
            per_s: known.per_s,
            id: known.id,
        }
    }

    /// What is odd about a frame of this identifier.
    #[inline]
    fn saw(&mut self, frame: &CanFrame) -> u32 {
        let (at, word) = (frame.at.as_micros(), word_of(frame));
        self.seen += 1;
        let mut odd = flag((frame.len() as u8).wrapping_sub(self.len) > self.len_span, SHAPE);
        let (last, last_word) = (self.at, self.word);
        if self.heard < 2 {
            self.begin(at, word);
            return odd;
        }
        let interval = at.wrapping_sub(last);
        let same = word == last_word;
        self.run = if same { self.run + 1 } else { 0 };
        odd |= flag(interval.wrapping_sub(u64::from(self.low)) > self.range, JITTER)
            | flag(at.wrapping_sub(self.before) < u64::from(self.close), CLOSE)
            | flag(interval > self.long, LONG)
            | flag(self.run == self.frozen_at, FROZEN);
        if !same {
            // Three at once: a flag that nobody touched before is one bit or two.
            let constant = (word ^ last_word) & self.constant;
            let but_one = constant & constant.wrapping_sub(1);
            odd |= flag(but_one & but_one.wrapping_sub(1) != 0, SHAPE)
                | flag(self.steps_beyond(word, last_word), STEP);
        }
        if self.has_checks {
            odd |= flag(self.parities_of(word, last_word) != self.parities, CHECK);
        }
        (self.before, self.at, self.word) = (last, at, word);
        odd
    }

    /// One of the first two frames.
    #[inline(never)]
    fn begin(&mut self, at: u64, word: u64) {
        self.before = if self.heard == 0 { at } else { self.at };
        (self.at, self.word, self.run) = (at, word, 0);
        self.heard += 1;
    }

    /// Whether a byte changed by more than it may: four bytes at a time, 256 plus their difference in 16 bits each.
    #[inline]
    fn steps_beyond(&self, now: u64, before: u64) -> bool {
        let within = |now: u64, before: u64, (add, most): (u64, u64)| {
            let shifted = (now & LANES) + add - (before & LANES);
            ((shifted | LANE_TOPS) - LANE_ONES) & (most - shifted)
        };
        let all = within(now >> 8, before >> 8, self.steps[0]) & within(now, before, self.steps[1]);
        all & LANE_TOPS != LANE_TOPS
    }

    /// The parity of each check, at the foot of 16 bits each.
    #[inline]
    fn parities_of(&self, now: u64, before: u64) -> u64 {
        const LOW: u64 = 0xFFFF_FFFF;
        let [a, b, c, d] = self.checks.map(|(mask, mask_before)| (now & mask) ^ (before & mask_before));
        // Halves folded onto each other until each word has 16 bits, side by side.
        let ac = ((a ^ a >> 32) & LOW) | ((c ^ c << 32) & !LOW);
        let bd = ((b ^ b >> 32) & LOW) | ((d ^ d << 32) & !LOW);
        const EVEN: u64 = 0x0000_FFFF_0000_FFFF;
        let mut all = ((ac ^ ac >> 16) & EVEN) | ((bd ^ bd << 16) & !EVEN);
        all ^= all >> 8;
        all ^= all >> 4;
        all ^= all >> 2;
        all ^= all >> 1;
        all & 0x0001_0001_0001_0001
    }
}

#[inline]
const fn flag(holds: bool, bit: u32) -> u32 {
    if holds { bit } else { 0 }
}

/// The counts of oddities stand first, in the order of their bits.
const _: () = assert!(Count::Pair as usize == PAIR.trailing_zeros() as usize);

#[cfg(test)]
mod tests {
    use super::super::profile::Check;
    use super::super::profile::tests::example;
    use super::*;
    use crate::frame::BusId;

    fn track(change: impl FnOnce(&mut IdProfile)) -> Track {
        let mut known = example().ids.remove(0);
        known.constant = 0;
        known.checks.clear();
        known.step = [255; 8];
        known.timing = None;
        known.repeats = u32::MAX;
        change(&mut known);
        Track::new(&known)
    }

    fn frame(at: u64, word: u64) -> CanFrame {
        let payload = word.to_be_bytes();
        CanFrame::new(MonoTime(at), BusId(0), CanId::Standard(0x100), FrameKind::Classic, &payload).unwrap()
    }

    #[test]
    fn the_steps_of_bytes_are_compared_as_one_by_one() {
        let step = [0, 1, 254, 255, 3, 128, 127, 16];
        let track = track(|known| known.step = step);
        let mut state = 1u64;
        let mut beyond = 0;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (a, noise) = (state ^ state >> 31, state.rotate_left(23));
            // Some differ in little, so that both answers occur.
            let b =
                if noise & 3 == 0 { a.wrapping_add(noise & 0x10) } else { a ^ noise & 0x0001_FFFF_07FF_FF1F };
            let plain =
                a.to_be_bytes().iter().zip(b.to_be_bytes()).zip(step).any(|((a, b), s)| a.abs_diff(b) > s);
            assert_eq!(track.steps_beyond(a, b), plain, "{a:016X} {b:016X}");
            beyond += usize::from(plain);
        }
        assert!((1_000..19_000).contains(&beyond), "{beyond}");
    }

    #[test]
    fn parities_are_those_of_each_check() {
        let checks: Vec<Check> = (1..=4u64)
            .map(|n| Check {
                now: n.wrapping_mul(0x9E37_79B9_7F4A_7C15),
                before: n.wrapping_mul(0xD1B5_4A32_D192_ED03),
                odd: n % 2 == 1,
            })
            .collect();
        let track = track(|known| known.checks = checks.clone());
        for n in 0..1_000u64 {
            let (now, before) =
                (n.wrapping_mul(0x2545_F491_4F6C_DD1D), n.wrapping_mul(0x9E6C_63D0_876A_3F6B));
            let parity = |c: &Check| u64::from(((now & c.now) ^ (before & c.before)).count_ones() & 1);
            let plain = checks.iter().enumerate().fold(0, |all, (place, c)| all | parity(c) << (16 * place));
            assert_eq!(track.parities_of(now, before), plain);
        }
        assert_eq!(track.parities, 0x0000_0001_0000_0001);
    }

    #[test]
    fn each_oddity_has_its_bit() {
        let period = 10_000;
        let timed = |known: &mut IdProfile| known.timing = example().ids[0].timing;
        let warm = |mut track: Track| {
            (0..3).for_each(|n| assert_eq!(track.saw(&frame(n * period, n)), 0));
            track
        };
        let mut early = warm(track(timed));
        assert_eq!(early.saw(&frame(24_000, 3)), JITTER | CLOSE);
        assert_eq!(warm(track(timed)).saw(&frame(36_000, 3)), JITTER | LONG);
        assert_eq!(warm(track(timed)).saw(&frame(33_000, 3)), JITTER);
        assert_eq!(warm(track(|k| k.constant = 7 << 61)).saw(&frame(30_000, 7 << 61)), SHAPE);
        assert_eq!(warm(track(|k| k.constant = 7 << 61)).saw(&frame(30_000, 3 << 61)), 0, "a new flag");
        assert_eq!(warm(track(|k| k.step[0] = 4)).saw(&frame(30_000, 5 << 56)), STEP);
        assert_eq!(warm(track(|k| k.step[0] = 4)).saw(&frame(30_000, 4 << 56)), 0);
        let mut frozen = warm(track(|k| k.repeats = 1));
        let again: Vec<u32> = (3..7).map(|n| frozen.saw(&frame(n * period, 2))).collect();
        assert_eq!(again, [0, FROZEN, 0, 0], "told once");
        let toggles = |k: &mut IdProfile| k.checks = vec![Check { now: 1, before: 1, odd: true }];
        assert_eq!(warm(track(toggles)).saw(&frame(30_000, 3)), 0);
        assert_eq!(warm(track(toggles)).saw(&frame(30_000, 4)), CHECK);
        let mut short = warm(track(|_| ()));
        let cut =
            CanFrame::new(MonoTime(30_000), BusId(0), CanId::Standard(0x100), FrameKind::Classic, &[0; 7]);
        assert_eq!(short.saw(&cut.unwrap()), SHAPE);
    }
}
