//! One identifier: what its profile says, what it did last, and what of its next frame is odd.
//!
//! A frame as expected takes one way through comparisons that all hold; only what is odd is told apart, in [`Track::odd`].

use super::learn::word_of;
use super::profile::{CHECKS, IdProfile};
use crate::frame::{CanFrame, CanId};

/// An identifier is missing when it has been silent for so many of its longest intervals.
const MISSING_AFTER: u64 = 2;
/// What has been odd in so many seconds on end in which the identifier spoke does not fit any more: an hour.
pub(super) const NO_LONGER_FITS_AFTER: u32 = 3_600;
/// Even bytes of a word, and the odd ones shifted onto them, each in 16 bits.
const LANES: u64 = 0x00FF_00FF_00FF_00FF;
const LANE_TOPS: u64 = 0x8000_8000_8000_8000;
/// The lowest bit of each 16: there stand the parities.
const FEET: u64 = 0x0001_0001_0001_0001;

/// What can be odd about one frame: bits of a mask, in the order of the first members of [`super::Count`].
pub(super) const ODDITIES: usize = 8;
pub(super) const JITTER: u32 = 1;
pub(super) const CLOSE: u32 = 1 << 1;
pub(super) const LONG: u32 = 1 << 2;
pub(super) const SHAPE: u32 = 1 << 3;
pub(super) const STEP: u32 = 1 << 4;
pub(super) const CHECK: u32 = 1 << 5;
pub(super) const FROZEN: u32 = 1 << 6;
pub(super) const PAIR: u32 = 1 << 7;

/// An identifier: what is known of it, and what it did last.
#[derive(Clone)]
pub(super) struct Track {
    at: u64,
    before: u64,
    word: u64,
    /// Frames of the second under way, and what was odd of them.
    pub(super) seen: u32,
    /// Frames heard since the bus began to speak, up to 2: before the third there is no interval of three.
    heard: u32,
    low: u32,
    close: u32,
    range: u64,
    long: u64,
    constant: u64,
    run: u32,
    /// The repetition with which it stands still, told once.
    frozen_at: u32,
    len: u8,
    len_span: u8,
    has_checks: bool,
    steps: [Steps; 2],
    checks: [Check4; CHECKS],
    parities: u64,
    pub(super) odd: [u32; ODDITIES],
    pub(super) is_missing: bool,
    missing_after: u64,
    pub(super) per_s: [u32; 2],
    pub(super) id: CanId,
    misfit: Misfit,
}

/// Four bytes of a word, in 16 bits each. A byte may go as far up as down; one that `turns` goes from 255 to 0, too.
#[derive(Clone, Copy, Default)]
struct Steps {
    /// What is added before the byte before is taken away: nothing falls below zero.
    add: u64,
    /// What of the sum is looked at.
    keep: u64,
    /// The least and the most that may come of it; the most with the lane's top, which a larger sum takes away.
    least: u64,
    most: u64,
}

/// A part of four parities at once. The word of this place has of each 16 bits another parity's mask, so that the words,
/// turned by as many places, lie upon each other: parity j in lane j.
#[derive(Clone, Copy, Default)]
struct Check4 {
    now: u64,
    before: u64,
}

/// What has been odd for so long that the profile may be wrong.
#[derive(Clone, Copy, Default)]
struct Misfit {
    /// Seconds on end with a broken parity.
    broken_s: u32,
    /// Parities that broke in this time, and that held in a frame of it.
    broken: u64,
    held: u64,
}

impl Track {
    pub(super) fn new(known: &IdProfile) -> Track {
        let timing = known.timing;
        let (checks, parities) = packed(known);
        Track {
            at: 0,
            before: 0,
            word: 0,
            seen: 0,
            heard: 0,
            low: timing.map_or(0, |t| t.low_us),
            close: timing.map_or(0, |t| t.close_us),
            range: timing.map_or(u64::MAX, |t| u64::from(t.high_us - t.low_us)),
            long: timing.map_or(u64::MAX, |t| u64::from(t.long_us)),
            constant: known.constant,
            run: 0,
            frozen_at: known.repeats.saturating_add(1),
            len: known.len[0],
            len_span: known.len[1] - known.len[0],
            has_checks: !known.checks.is_empty(),
            steps: [Steps::of(known, 0), Steps::of(known, 1)],
            checks,
            parities,
            odd: [0; ODDITIES],
            is_missing: false,
            missing_after: timing.map_or(u64::MAX, |t| MISSING_AFTER * u64::from(t.long_us)),
            per_s: known.per_s,
            id: known.id,
            misfit: Misfit::default(),
        }
    }

    /// What is odd about a frame of this identifier.
    #[inline]
    pub(super) fn saw(&mut self, frame: &CanFrame) -> u32 {
        let (at, word) = (frame.at.as_micros(), word_of(frame));
        let longer = (frame.len() as u8).wrapping_sub(self.len);
        self.seen += 1;
        if self.heard < 2 {
            self.begin(at, word);
            return flag(longer > self.len_span, SHAPE);
        }
        let (last, before, last_word) = (self.at, self.before, self.word);
        let interval = at.wrapping_sub(last);
        let changed = word ^ last_word;
        (self.before, self.at, self.word) = (last, at, word);
        let content = if changed == 0 {
            self.run += 1;
            self.run == self.frozen_at
        } else {
            self.run = 0;
            changed & self.constant != 0 || self.steps_beyond(word, last_word)
        };
        // An interval that is too long is outside of the range as well.
        if content
            || longer > self.len_span
            || interval.wrapping_sub(u64::from(self.low)) > self.range
            || at.wrapping_sub(before) < u64::from(self.close)
            || self.has_checks && self.parities_of(word, last_word) != self.parities
        {
            return self.odd(longer, interval, at.wrapping_sub(before), word, last_word);
        }
        0
    }

    /// What it is that is odd. The frame has been taken over.
    #[cold]
    #[inline(never)]
    fn odd(&mut self, longer: u8, interval: u64, span: u64, word: u64, last_word: u64) -> u32 {
        let broken = if self.has_checks { self.parities_of(word, last_word) ^ self.parities } else { 0 };
        if broken != 0 {
            self.misfit.broken |= broken;
            self.misfit.held |= !broken & FEET;
        }
        // Three at once: a flag that nobody touched before is one bit or two.
        let constant = (word ^ last_word) & self.constant;
        let but_one = constant & constant.wrapping_sub(1);
        flag(longer > self.len_span || but_one & but_one.wrapping_sub(1) != 0, SHAPE)
            | flag(interval.wrapping_sub(u64::from(self.low)) > self.range, JITTER)
            | flag(span < u64::from(self.close), CLOSE)
            | flag(interval > self.long, LONG)
            | flag(word == last_word && self.run == self.frozen_at, FROZEN)
            | flag(self.steps_beyond(word, last_word), STEP)
            | flag(broken != 0, CHECK)
    }

    /// One of the first two frames.
    #[cold]
    #[inline(never)]
    fn begin(&mut self, at: u64, word: u64) {
        self.before = if self.heard == 0 { at } else { self.at };
        (self.at, self.word, self.run) = (at, word, 0);
        self.heard += 1;
    }

    /// The bus sleeps: intervals and runs begin anew.
    pub(super) const fn sleep(&mut self) {
        self.heard = 0;
    }

    /// Ends a second at `until`; gives whether something of the profile is given up.
    pub(super) fn end(&mut self, until: u64, is_judged: bool) -> bool {
        self.is_missing = self.heard > 0 && until.saturating_sub(self.at) > self.missing_after;
        self.seen > 0 && is_judged && self.outlast()
    }

    /// Gives up what has not fitted for an hour on end. A parity that was broken by every frame is another one from now on.
    fn outlast(&mut self) -> bool {
        let broken = self.odd[CHECK.trailing_zeros() as usize];
        if broken == 0 {
            self.misfit = Misfit::default();
            return false;
        }
        self.misfit.broken_s += 1;
        self.misfit.held |= if broken < self.seen { FEET } else { 0 };
        let ends = self.misfit.broken_s >= NO_LONGER_FITS_AFTER;
        if ends {
            let Misfit { broken, held, .. } = std::mem::take(&mut self.misfit);
            self.parities = (self.parities ^ broken) & !(broken & held);
            drop_checks(&mut self.checks, broken & held);
        }
        ends
    }

    /// Whether a byte changed by more than it may: four bytes at a time.
    #[inline]
    fn steps_beyond(&self, now: u64, before: u64) -> bool {
        let within = |now: u64, before: u64, of: &Steps| {
            let sum = ((now & LANES) + of.add - (before & LANES)) & of.keep;
            ((sum | LANE_TOPS) - of.least) & (of.most - sum)
        };
        let all = within(now >> 8, before >> 8, &self.steps[0]) & within(now, before, &self.steps[1]);
        all & LANE_TOPS != LANE_TOPS
    }

    /// The parity of each check, at the foot of 16 bits each.
    #[inline]
    fn parities_of(&self, now: u64, before: u64) -> u64 {
        let part = |check: &Check4| (now & check.now) ^ (before & check.before);
        let [a, b, c, d] = &self.checks;
        let mut all =
            part(a) ^ part(b).rotate_right(16) ^ part(c).rotate_right(32) ^ part(d).rotate_right(48);
        all ^= all >> 8;
        all ^= all >> 4;
        all ^= all >> 2;
        all ^= all >> 1;
        all & FEET
    }
}

impl Steps {
    /// Of the even bytes (0) or the odd ones (1), the first byte in the highest lane.
    fn of(known: &IdProfile, odd: usize) -> Steps {
        let mut steps = Steps::default();
        for lane in 0..4 {
            let (byte, place) = (2 * lane + odd, 48 - 16 * lane);
            let step = u64::from(known.step[byte]);
            // What does not turn lies between 0 and twice the step above 256; what turns, above 0 of what is left of 256.
            let (keep, least) = if known.turns[byte] { (0xFF, 0) } else { (0xFFFF, 0x100) };
            steps.add |= (0x100 + step) << place;
            steps.keep |= keep << place;
            steps.least |= least << place;
            steps.most |= (0x8000 + least + 2 * step) << place;
        }
        steps
    }
}

/// The mask of parity `j` in the word of place `k`: the 16 bits that come to lie in lane `j`.
const fn lane(j: usize, k: usize) -> u64 {
    0xFFFF << (16 * ((j + k) % 4))
}

fn packed(known: &IdProfile) -> ([Check4; CHECKS], u64) {
    let (mut packed, mut parities) = ([Check4::default(); CHECKS], 0);
    for (j, check) in known.checks.iter().take(CHECKS).enumerate() {
        for (k, word) in packed.iter_mut().enumerate() {
            word.now |= check.now & lane(j, k);
            word.before |= check.before & lane(j, k);
        }
        parities |= u64::from(check.odd) << (16 * j);
    }
    (packed, parities)
}

fn drop_checks(checks: &mut [Check4; CHECKS], dropped: u64) {
    for j in (0..CHECKS).filter(|j| dropped >> (16 * j) & 1 == 1) {
        for (k, word) in checks.iter_mut().enumerate() {
            word.now &= !lane(j, k);
            word.before &= !lane(j, k);
        }
    }
}

#[inline]
const fn flag(holds: bool, bit: u32) -> u32 {
    if holds { bit } else { 0 }
}

#[cfg(test)]
#[path = "track_tests.rs"]
mod tests;
