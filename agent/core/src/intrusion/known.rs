//! What is learned of one identifier: when it comes, how its payload moves, and what always holds in it.

use super::learn::Reading;
use super::profile::{IdProfile, Timing};
use super::relation::{Columns, Span};
use crate::frame::CanId;
use std::collections::BTreeMap;

/// Intervals of an identifier of which the middle one is taken.
const INTERVALS: usize = 4_096;
/// Fewer frames than this have no period.
const PERIODIC_FROM: u32 = 8;
/// A bit moves if it changes in one of so many frames, and at least so often: only then is what holds of it believed.
const MOVES_IN: u32 = 50;
const MOVES_AT_LEAST: u32 = 32;
/// Beside an eighth of the range of an identifier's intervals.
const MARGIN_US: u64 = 20;
/// A byte that has gone further than this in one step may go anywhere.
const WILD: u8 = 100;
/// A byte that goes no further the shorter way round is held to that; with its margin it stays below half of it.
const TURNS_UP_TO: u8 = 80;

/// An identifier, as far as it was heard.
pub(super) struct Known {
    pub(super) frames: u32,
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
    /// The same of the first reading: the columns of the second must not change under way.
    varied_first: u64,
    /// How often each bit changed, the first byte's highest first.
    changes: [u32; 64],
    step: [u8; 8],
    /// The same, the shorter way round.
    turn: [u8; 8],
    run: u32,
    repeats: u32,
    pub(super) in_second: u32,
    pub(super) per_s: [u32; 2],
    span: Span,
    pub(super) after: BTreeMap<CanId, ()>,
}

impl Known {
    pub(super) fn new(word: u64, len: u8) -> Known {
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
            varied_first: 0,
            changes: [0; 64],
            step: [0; 8],
            turn: [0; 8],
            run: 0,
            repeats: 0,
            in_second: 0,
            per_s: [u32::MAX, 0],
            span: Span::new(),
            after: BTreeMap::new(),
        }
    }

    pub(super) fn forget_time(&mut self) {
        (self.at, self.before, self.word) = (None, None, None);
        (self.run, self.in_second) = (0, 0);
    }

    pub(super) fn take(&mut self, reading: Reading, at: u64, word: u64, len: u8) {
        self.in_second += 1;
        if reading != Reading::Second {
            self.time(reading, at);
            self.len = [self.len[0].min(len), self.len[1].max(len)];
            self.varied |= word ^ self.first_word;
        }
        if reading == Reading::First {
            self.varied_first |= word ^ self.first_word;
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
        for (place, (a, b)) in word.to_be_bytes().into_iter().zip(last.to_be_bytes()).enumerate() {
            let step = a.abs_diff(b);
            self.step[place] = self.step[place].max(step);
            self.turn[place] = self.turn[place].max(step.min(step.wrapping_neg()));
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
        for (place, _) in self.changes.iter().enumerate().filter(|(_, changes)| **changes >= enough) {
            columns.moving |= 1 << (63 - place);
        }
        // What never changed within a recording but between two is covered by a checksum, too.
        columns.seldom = self.varied_first & !columns.moving;
        columns
    }

    pub(super) fn profile(&self, id: CanId, names: &[CanId]) -> IdProfile {
        // A margin of half, and none where a byte has gone about half of its range or is constant: those are told apart.
        let margin = |step: u8| if step == 0 || step > WILD { u8::MAX } else { step + step / 2 + 1 };
        // The low byte of a longer signal goes on from 255 at 0: the shorter way round it does not go far.
        let turns = |place: usize| self.step[place] > WILD && self.turn[place] <= TURNS_UP_TO;
        let step = |place: usize| margin(if turns(place) { self.turn[place] } else { self.step[place] });
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
            step: std::array::from_fn(step),
            turns: std::array::from_fn(turns),
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
