//! The rows of one message: when each arrived, which signals it carried, and their raw values.
//!
//! Signals of a message share their times. Each value is predicted in several ways, and the way that was best of
//! late is used: both sides know how good each was, so nothing is told about the choice.

use super::coder::{Bit, Coder};
use super::residual::{CONTEXTS, Residual, cost};
use super::{SampleState, SnapshotError, SnapshotMessage, SnapshotRow, SnapshotSample, SnapshotSignal};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// The most sets of signals that the rows of one message may carry: one for each way its switches may stand.
const MAX_SETS: usize = 4_096;

/// How good several predictions were of late: the lower, the better.
#[derive(Clone, Copy)]
struct Race<const N: usize>([u32; N]);

impl<const N: usize> Race<N> {
    const NEW: Self = Race([0; N]);

    /// The best prediction, by its place; the first of equals.
    fn best(&self) -> usize {
        let mut best = 0;
        for place in 1..N {
            if self.0[place] < self.0[best] {
                best = place;
            }
        }
        best
    }

    fn learn(&mut self, residuals: [i64; N]) {
        for (score, residual) in self.0.iter_mut().zip(residuals) {
            *score = *score - (*score >> 3) + (cost(residual) << 4);
        }
    }
}

/// The clock of one message: by what its next arrival is predicted.
struct Clock<'t> {
    last: u64,
    interval: i64,
    /// Where the message stands on its own even beat, in 256ths of a microsecond.
    phase: i128,
    period: i128,
    race: Race<3>,
    /// The arrivals of the message before, and which of them belongs to the last one here.
    beside: &'t [u64],
    at: usize,
}

impl<'t> Clock<'t> {
    fn new(first: u64, beside: &'t [u64]) -> Self {
        let interval = match beside {
            [a, b, ..] => b.wrapping_sub(*a) as i64,
            _ => 0,
        };
        Clock {
            last: first,
            interval,
            phase: i128::from(first) << 8,
            period: i128::from(interval) << 8,
            race: Race::NEW,
            beside,
            at: 0,
        }
    }

    fn code<C: Coder>(&mut self, coder: &mut C, model: &mut Residual, at: u64) -> u64 {
        let even = ((self.phase + self.period) >> 8) as u64;
        let again = self.last.wrapping_add(self.interval as u64);
        let beside = match (self.beside.get(self.at), self.beside.get(self.at + 1)) {
            (Some(a), Some(b)) => self.last.wrapping_add(b.wrapping_sub(*a)),
            _ => again,
        };
        let predictions = [again, even, beside];
        let best = self.race.best();
        let residual = model.code(coder, best, at.wrapping_sub(predictions[best]) as i64);
        let at = predictions[best].wrapping_add(residual as u64);
        self.race.learn(predictions.map(|prediction| at.wrapping_sub(prediction) as i64));
        self.learn(at);
        at
    }

    fn learn(&mut self, at: u64) {
        self.interval = at.wrapping_sub(self.last) as i64;
        let expected = self.phase + self.period;
        let error = (i128::from(at) << 8) - expected;
        self.phase = expected + error / 4;
        self.period += error / 32;
        if error.abs() > self.period.abs() {
            // A gap, or the first beat: begin anew.
            (self.phase, self.period) = (i128::from(at) << 8, i128::from(self.interval) << 8);
        }
        self.last = at;
        let distance = |place: usize| self.beside.get(place).map(|beside| beside.abs_diff(at));
        while let (Some(here), Some(next)) = (distance(self.at), distance(self.at + 1))
            && next <= here
        {
            self.at += 1;
        }
    }
}

/// What is known of one signal within the part.
#[derive(Clone, Copy)]
struct Track {
    bits: u8,
    /// Which learnt shape it has: signals that are scaled alike share one.
    shape: usize,
    seen: u32,
    last: u64,
    before: u64,
    /// The last change, which a neighbour may have had too.
    change: u64,
    state: SampleState,
    quiet: bool,
    race: Race<3>,
}

impl Track {
    fn mask(&self) -> u64 {
        u64::MAX >> (64 - u32::from(self.bits.clamp(1, 64)))
    }

    /// A difference of two raw values as the number of least magnitude that gives it.
    fn difference(&self, a: u64, b: u64) -> i64 {
        let unused = 64 - u32::from(self.bits.clamp(1, 64));
        (a.wrapping_sub(b) << unused) as i64 >> unused
    }

    fn take(&mut self, raw: u64) {
        self.change = raw.wrapping_sub(self.last);
        (self.before, self.last) = (self.last, raw);
        self.seen = self.seen.saturating_add(1);
    }
}

/// What is learnt of all messages of a block.
pub(super) struct Series {
    first_time: Residual,
    time: Residual,
    first_value: Residual,
    in_set: [Bit; 2],
    set_follows: [Bit; 2],
    row_unchanged: [Bit; 2],
    state_kept: [Bit; 3],
    state: [Bit; 4],
    /// One for each scale.
    shapes: Vec<Residual>,
    /// Times are counted in ticks of so many microseconds from the base.
    base: u64,
    tick: u64,
    last_first: u64,
    beside: Vec<u64>,
}

impl Series {
    /// `scales`: how many there are; `base` and `tick`: what times are counted from, and in.
    pub(super) fn new(scales: usize, base: u64, tick: u64) -> Self {
        Self {
            first_time: Residual::new(),
            time: Residual::new(),
            first_value: Residual::new(),
            in_set: [Bit::NEW; 2],
            set_follows: [Bit::NEW; 2],
            row_unchanged: [Bit::NEW; 2],
            state_kept: [Bit::NEW; 3],
            state: [Bit::NEW; 4],
            shapes: alloc::vec![Residual::new(); scales],
            base,
            tick,
            last_first: 0,
            beside: Vec::new(),
        }
    }

    /// Codes the rows of a message. When decoding, `message` comes with its signals alone and `rows` says how many
    /// there are; `budget` is how many samples they may still hold.
    pub(super) fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        message: &mut SnapshotMessage,
        scales: &[usize],
        rows: usize,
        budget: &mut usize,
    ) -> Result<(), SnapshotError> {
        let (sets, of_row) = if C::DECODES { (Vec::new(), Vec::new()) } else { sets(message)? };
        let sets = self.sets(coder, message.signals.len(), sets)?;
        let mut tracks: Vec<Track> =
            message.signals.iter().zip(scales).map(|(signal, shape)| track(signal, *shape)).collect();
        let beside = core::mem::take(&mut self.beside);
        let mut clock: Option<Clock<'_>> = None;
        let mut times = Vec::new();
        let mut follows: Vec<u32> = (0..sets.len() as u32).collect();
        let (mut set, mut known, mut unchanged) = (0u32, true, false);
        for place in 0..rows {
            let told = message.rows.get(place).map_or(0, |row| row.at.wrapping_sub(self.base) / self.tick);
            let ticks = match &mut clock {
                Some(clock) => clock.code(coder, &mut self.time, told),
                None => {
                    let residual = told.wrapping_sub(self.last_first) as i64;
                    let first = self.last_first.wrapping_add(self.first_time.code(coder, 0, residual) as u64);
                    self.last_first = first;
                    clock = Some(Clock::new(first, &beside));
                    first
                }
            };
            times.push(ticks);
            if sets.len() > 1 {
                let next = of_row.get(place).copied().unwrap_or_default();
                set = self.next_set(coder, &mut follows, (set, &mut known), next)?;
            }
            let members = sets.get(set as usize).map(Vec::as_slice).unwrap_or_default();
            *budget = budget.checked_sub(members.len()).ok_or(SnapshotError::TooManySamples)?;
            let start =
                place.checked_sub(1).and_then(|p| message.rows.get(p)).map_or(0, |row| row.end as usize);
            if C::DECODES {
                let blank = |signal: &u16| SnapshotSample { signal: *signal, ..SnapshotSample::default() };
                message.samples.extend(members.iter().map(blank));
                let at = self.base.wrapping_add(ticks.wrapping_mul(self.tick));
                message.rows.push(SnapshotRow { at, end: message.samples.len() as u32 });
            }
            let samples = message.samples.get_mut(start..start + members.len()).unwrap_or_default();
            unchanged = self.row(coder, &mut tracks, samples, unchanged);
        }
        self.beside = times;
        Ok(())
    }

    /// Codes which sets of signals the rows carry.
    fn sets<C: Coder>(
        &mut self,
        coder: &mut C,
        signals: usize,
        mut sets: Vec<Vec<u16>>,
    ) -> Result<Vec<Vec<u16>>, SnapshotError> {
        let count = self.first_time.magnitude(coder, sets.len() as u64) as usize;
        if count > MAX_SETS || count.saturating_mul(signals) > MAX_SETS * 64 {
            return Err(SnapshotError::Malformed("a message has too many sets of signals"));
        }
        sets.resize(count, Vec::new());
        for set in &mut sets {
            let mut members = set.iter().copied().peekable();
            let mut coded = Vec::new();
            for signal in 0..signals as u16 {
                let present = members.next_if(|member| *member == signal).is_some();
                if coder.bit(&mut self.in_set[usize::from(count > 1)], present) {
                    coded.push(signal);
                }
            }
            *set = coded;
        }
        Ok(sets)
    }

    /// Codes the set of the next row: the one that followed the last set before, or its number.
    fn next_set<C: Coder>(
        &mut self,
        coder: &mut C,
        follows: &mut [u32],
        (last, known): (u32, &mut bool),
        next: u32,
    ) -> Result<u32, SnapshotError> {
        let count = follows.len() as u32;
        let Some(expected) = follows.get_mut(last as usize) else { return Ok(0) };
        *known = coder.bit(&mut self.set_follows[usize::from(*known)], *expected == next);
        if !*known {
            let bits = 32 - (count - 1).leading_zeros();
            *expected = coder.raw(u64::from(next), bits) as u32;
            if *expected >= count {
                return Err(SnapshotError::Malformed("a row names a set that was not told"));
            }
        }
        Ok(*expected)
    }

    /// Codes the samples of one row; gives whether all were as before.
    fn row<C: Coder>(
        &mut self,
        coder: &mut C,
        tracks: &mut [Track],
        samples: &mut [SnapshotSample],
        unchanged: bool,
    ) -> bool {
        let track_of =
            |tracks: &[Track], sample: &SnapshotSample| tracks.get(usize::from(sample.signal)).copied();
        let all_seen = samples.iter().all(|s| track_of(tracks, s).is_some_and(|track| track.seen > 0));
        if all_seen && !samples.is_empty() {
            let same = samples.iter().all(|sample| {
                track_of(tracks, sample).is_some_and(|t| (t.last, t.state) == (sample.raw, sample.state))
            });
            if coder.bit(&mut self.row_unchanged[usize::from(unchanged)], same) {
                for sample in samples {
                    if let Some(track) = tracks.get_mut(usize::from(sample.signal)) {
                        (sample.raw, sample.state) = (track.last, track.state);
                        track.take(sample.raw);
                        track.quiet = true;
                    }
                }
                return true;
            }
        }
        let mut neighbour: Option<Track> = None;
        for sample in samples {
            let Some(track) = tracks.get_mut(usize::from(sample.signal)) else { continue };
            self.state(coder, track, sample);
            sample.raw = self.value(coder, track, neighbour.as_ref(), sample.raw);
            track.take(sample.raw);
            neighbour = Some(*track);
        }
        false
    }

    fn state<C: Coder>(&mut self, coder: &mut C, track: &mut Track, sample: &mut SnapshotSample) {
        let kept = coder.bit(&mut self.state_kept[track.state as usize], sample.state == track.state);
        if !kept {
            let state = coder.tree(&mut self.state, sample.state as u32);
            track.state = SampleState::ALL.get(state as usize).copied().unwrap_or_default();
        }
        sample.state = track.state;
    }

    fn value<C: Coder>(
        &mut self,
        coder: &mut C,
        track: &mut Track,
        neighbour: Option<&Track>,
        raw: u64,
    ) -> u64 {
        let mask = track.mask();
        let alike = neighbour.filter(|neighbour| neighbour.shape == track.shape);
        if track.seen == 0 {
            let near = alike.map_or(0, |neighbour| neighbour.last);
            let context = usize::from(alike.is_some());
            let residual = self.first_value.code(coder, context, track.difference(raw, near));
            return near.wrapping_add(residual as u64) & mask;
        }
        let straight = if track.seen > 1 { track.change } else { 0 };
        let together = alike.filter(|n| n.seen > 1).map_or(0, |neighbour| neighbour.change);
        let predictions = [0, straight, together].map(|change| track.last.wrapping_add(change) & mask);
        let best = track.race.best();
        let near = usize::from(neighbour.is_some_and(|neighbour| neighbour.quiet));
        let context = (best * 4 + usize::from(track.quiet) * 2 + near).min(CONTEXTS - 1);
        let Some(shape) = self.shapes.get_mut(track.shape) else { return raw };
        let residual = shape.code(coder, context, track.difference(raw, predictions[best]));
        let raw = predictions[best].wrapping_add(residual as u64) & mask;
        track.quiet = residual == 0;
        track.race.learn(predictions.map(|prediction| track.difference(raw, prediction)));
        raw
    }
}

fn track(signal: &SnapshotSignal, shape: usize) -> Track {
    Track {
        bits: signal.bits,
        shape,
        seen: 0,
        last: 0,
        before: 0,
        change: 0,
        state: SampleState::Value,
        quiet: false,
        race: Race::NEW,
    }
}

/// The sets of signals that the rows carry, in order of appearance, and which each row has.
fn sets(message: &SnapshotMessage) -> Result<(Vec<Vec<u16>>, Vec<u32>), SnapshotError> {
    let mut known: BTreeMap<Vec<u16>, u32> = BTreeMap::new();
    let (mut sets, mut of_row): (Vec<Vec<u16>>, Vec<u32>) = (Vec::new(), Vec::new());
    let mut start = 0;
    for row in &message.rows {
        let samples = message.samples.get(start..row.end as usize).ok_or(SnapshotError::Disorder)?;
        start = row.end as usize;
        let members = || samples.iter().map(|sample| sample.signal);
        let last = of_row.last().copied();
        let same = |set: &u32| sets.get(*set as usize).is_some_and(|set| members().eq(set.iter().copied()));
        if let Some(set) = last.filter(same) {
            of_row.push(set);
            continue;
        }
        let members: Vec<u16> = members().collect();
        let ascending = members.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        if !ascending || members.last().is_some_and(|last| usize::from(*last) >= message.signals.len()) {
            return Err(SnapshotError::Disorder);
        }
        let next = sets.len() as u32;
        let set = *known.entry(members.clone()).or_insert(next);
        if set == next {
            sets.push(members);
        }
        of_row.push(set);
    }
    if start != message.samples.len() || sets.len() > MAX_SETS {
        return Err(SnapshotError::Disorder);
    }
    Ok((sets, of_row))
}
