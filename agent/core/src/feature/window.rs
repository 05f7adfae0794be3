//! Resampling onto a grid, and the sliding window over it.
//!
//! A step holds the mean of the samples that fell into one period. A signal that sent nothing in a step is held at
//! its last value until the catalog calls it stale; after that the step says why it is empty. Silence longer than
//! the specification's `reset_gap` ends the window. What comes out depends on the frames and their times alone:
//! a live vehicle whose timer fires between frames and a replay that has no timer close the same steps.

use super::spec::{FeatureSpec, PLACEHOLDER};
use crate::catalog::Catalog;
use crate::signal::{NoData, SampleSink, SignalId};
use std::time::Duration;
use telltale_wire::time::MonoTime;
use thiserror::Error;

/// Where each signal of a specification stands in a row: the members first, then the context.
#[derive(Clone, Debug)]
pub struct Layout {
    members: usize,
    signals: Vec<SignalId>,
    stale_after: Vec<Duration>,
}

/// The catalog does not give what a specification needs.
#[derive(Debug, Error)]
pub enum LayoutError {
    /// No member at all.
    #[error("the catalog has no signal {path:?}, the first that the features `{spec}` need")]
    NoMembers {
        /// The specification.
        spec: String,
        /// The path of the first member.
        path: String,
    },
    /// A context signal is a member too: its samples would fall into one place of the row only.
    #[error(
        "the features `{spec}` use {path:?} both as a member and as `{name}`, or as two contexts: name it once"
    )]
    Twice {
        /// The specification.
        spec: String,
        /// What the features call it.
        name: String,
        /// Its path.
        path: String,
    },
    /// A context signal is missing.
    #[error("the catalog has no signal {path:?}, which the features `{spec}` need as `{name}`")]
    NoContext {
        /// The specification.
        spec: String,
        /// What the features call it.
        name: String,
        /// Its path.
        path: String,
    },
}

impl Layout {
    /// Finds the signals of a specification in a catalog. Members are numbered from 1; the first number that the
    /// catalog lacks ends them.
    ///
    /// # Errors
    /// [`LayoutError`] with the path that is missing.
    pub fn new(spec: &FeatureSpec, catalog: &Catalog) -> Result<Layout, LayoutError> {
        let path = |n: usize| spec.members.signal.replace(PLACEHOLDER, &n.to_string());
        let mut signals: Vec<SignalId> = (1..).map_while(|n| catalog.signal_id(&path(n))).collect();
        let members = signals.len();
        if members == 0 {
            return Err(LayoutError::NoMembers { spec: spec.name.clone(), path: path(1) });
        }
        for context in &spec.context {
            let id = catalog.signal_id(&context.vss).ok_or_else(|| LayoutError::NoContext {
                spec: spec.name.clone(),
                name: context.name.clone(),
                path: context.vss.clone(),
            })?;
            if signals.contains(&id) {
                let (spec, name, path) = (spec.name.clone(), context.name.clone(), context.vss.clone());
                return Err(LayoutError::Twice { spec, name, path });
            }
            signals.push(id);
        }
        let stale_after = signals.iter().map(|id| catalog.signals[id.index()].stale_after).collect();
        Ok(Layout { members, signals, stale_after })
    }

    /// A layout of the first signals, `members` of them members.
    #[cfg(test)]
    pub(crate) fn invented(members: usize, signals: u16, stale_after: Duration) -> Layout {
        let stale_after = vec![stale_after; usize::from(signals)];
        Layout { members, signals: (0..signals).map(SignalId).collect(), stale_after }
    }

    /// How many subjects there are.
    #[must_use]
    pub const fn members(&self) -> usize {
        self.members
    }

    /// The signals of a row, members first.
    #[must_use]
    pub fn signals(&self) -> &[SignalId] {
        &self.signals
    }
}

/// One signal's samples of the step that is under way.
#[derive(Clone, Copy)]
struct Slot {
    sum: f64,
    /// When the latest sample with a value came; means something once `count` or `is_known` says that one did.
    last_at: MonoTime,
    count: u32,
    /// The mean of the latest step that had samples.
    last: f32,
    /// Whether there was such a step.
    is_known: bool,
    /// Why the latest sample without a value had none; [`NoData::NotReceived`] if there was no such sample.
    absent: NoData,
}

const EMPTY: Slot = Slot {
    sum: 0.0,
    last_at: MonoTime(0),
    count: 0,
    last: 0.0,
    is_known: false,
    absent: NoData::NotReceived,
};

/// No slot: the specification does not use the signal.
const UNUSED: u16 = u16::MAX;

/// Collects samples, closes steps and keeps the last windowful of them. Allocates only when it is made.
#[derive(Clone)]
pub struct Resampler {
    period: Duration,
    reset_gap: Duration,
    stride: usize,
    layout: Layout,
    slot_of: Vec<u16>,
    slots: Vec<Slot>,
    window: Window,
    /// The end of the step under way; `None` before the first sample and after a reset.
    step_end: Option<MonoTime>,
    last_sample: MonoTime,
}

impl Resampler {
    /// A resampler for a catalog of `signals` signals.
    #[must_use]
    pub fn new(spec: &FeatureSpec, layout: Layout, signals: usize) -> Resampler {
        let width = layout.signals.len();
        let mut slot_of = vec![UNUSED; signals];
        for (slot, id) in layout.signals.iter().enumerate() {
            slot_of[id.index()] = slot as u16;
        }
        Resampler {
            period: spec.period,
            reset_gap: spec.reset_gap,
            stride: spec.stride,
            slot_of,
            slots: vec![EMPTY; width],
            window: Window::new(spec.window, width, layout.members),
            layout,
            step_end: None,
            last_sample: MonoTime(0),
        }
    }

    /// Turns time to `now`, closing the steps that ended; `full` is called with each window that became due.
    /// Call it before the samples of a frame at `now`, and from a timer as often as wanted.
    #[inline]
    pub fn advance(&mut self, now: MonoTime, full: impl FnMut(&Window)) {
        match self.step_end {
            Some(end) if end <= now => self.close_steps(end, now, full),
            _ => {}
        }
    }

    #[inline(never)]
    fn close_steps(&mut self, mut end: MonoTime, now: MonoTime, mut full: impl FnMut(&Window)) {
        let silence_ends = self.last_sample.plus(self.reset_gap);
        while end <= now && end <= silence_ends {
            self.close_step(end);
            if self.window.is_due(self.stride) {
                full(&self.window);
            }
            end = end.plus(self.period);
        }
        self.step_end = if now > silence_ends { None } else { Some(end) };
        if self.step_end.is_none() {
            self.window.clear();
            self.slots.fill(EMPTY);
        }
    }

    /// When [`Resampler::advance`] next has something to do.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<MonoTime> {
        self.step_end
    }

    /// Takes the samples that `deliver` puts into the sink: those of a frame at `at`, to which time has been
    /// advanced. What is the same for all of them is done once.
    #[inline]
    pub fn take<R>(&mut self, at: MonoTime, deliver: impl FnOnce(&mut Samples<'_>) -> R) -> R {
        let mut samples = Samples { slot_of: &self.slot_of, slots: &mut self.slots, at, heard: false };
        let result = deliver(&mut samples);
        // Only signals of the specification keep a window going: a bus that still chatters of other things is silent.
        if samples.heard {
            self.last_sample = at;
            if self.step_end.is_none() {
                self.step_end = Some(at.plus(self.period));
            }
        }
        result
    }

    /// Where the specification's signals stand.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    fn close_step(&mut self, end: MonoTime) {
        let row = self.window.push_row(end);
        for ((slot, cell), stale_after) in self.slots.iter_mut().zip(row).zip(&self.layout.stale_after) {
            *cell = if slot.count > 0 {
                slot.last = (slot.sum / f64::from(slot.count)) as f32;
                slot.is_known = true;
                Cell::value(slot.last)
            } else if slot.absent != NoData::NotReceived {
                Cell::absent(slot.absent)
            } else {
                slot.held(end, *stale_after)
            };
            slot.sum = 0.0;
            slot.count = 0;
            slot.absent = NoData::NotReceived;
        }
    }
}

impl Slot {
    /// What a step that ended at `end` and had no sample holds.
    fn held(&self, end: MonoTime, stale_after: Duration) -> Cell {
        if !self.is_known {
            Cell::absent(NoData::NotReceived)
        } else if end.since(self.last_at) <= stale_after {
            Cell::value(self.last)
        } else {
            Cell::absent(NoData::Stale)
        }
    }
}

/// Where the samples of one frame go. Samples of signals that the specification does not use are ignored.
pub struct Samples<'a> {
    slot_of: &'a [u16],
    slots: &'a mut [Slot],
    at: MonoTime,
    heard: bool,
}

impl Samples<'_> {
    #[inline]
    fn slot(&mut self, signal: SignalId) -> Option<&mut Slot> {
        let slot = *self.slot_of.get(signal.index())?;
        self.slots.get_mut(usize::from(slot))
    }
}

impl SampleSink for Samples<'_> {
    #[inline]
    fn value(&mut self, signal: SignalId, value: f64) {
        let at = self.at;
        if let Some(slot) = self.slot(signal) {
            slot.sum += value;
            slot.count += 1;
            slot.last_at = at;
            self.heard = true;
        }
    }

    #[inline]
    fn absent(&mut self, signal: SignalId, why: NoData) {
        if let Some(slot) = self.slot(signal) {
            slot.absent = why;
            self.heard = true;
        }
    }
}

/// One signal in one step: a value or a reason.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cell {
    value: f32,
    absent: Option<NoData>,
}

impl Cell {
    pub(super) const fn value(value: f32) -> Cell {
        Cell { value, absent: None }
    }

    const fn absent(why: NoData) -> Cell {
        Cell { value: 0.0, absent: Some(why) }
    }

    /// The value, or why there is none.
    #[inline]
    pub const fn get(self) -> Result<f32, NoData> {
        match self.absent {
            None => Ok(self.value),
            Some(why) => Err(why),
        }
    }
}

/// The last steps, oldest first.
#[derive(Clone)]
pub struct Window {
    steps: usize,
    width: usize,
    members: usize,
    cells: Vec<Cell>,
    /// Rows ever pushed since the last reset.
    pushed: usize,
    end: MonoTime,
}

impl Window {
    fn new(steps: usize, width: usize, members: usize) -> Window {
        let cells = vec![Cell::absent(NoData::NotReceived); steps * width];
        Window { steps, width, members, cells, pushed: 0, end: MonoTime(0) }
    }

    fn push_row(&mut self, end: MonoTime) -> &mut [Cell] {
        let at = self.pushed % self.steps * self.width;
        self.pushed += 1;
        self.end = end;
        &mut self.cells[at..at + self.width]
    }

    fn is_due(&self, stride: usize) -> bool {
        self.pushed >= self.steps && (self.pushed - self.steps).is_multiple_of(stride)
    }

    fn clear(&mut self) {
        self.pushed = 0;
    }

    /// Steps of a window.
    #[must_use]
    pub const fn steps(&self) -> usize {
        self.steps
    }

    /// Subjects.
    #[must_use]
    pub const fn members(&self) -> usize {
        self.members
    }

    /// The end of the last step.
    #[must_use]
    pub const fn end(&self) -> MonoTime {
        self.end
    }

    /// The members' cells of step `step` (0 is the oldest), and the context's.
    #[must_use]
    pub fn row(&self, step: usize) -> (&[Cell], &[Cell]) {
        let at = (self.pushed + step) % self.steps * self.width;
        self.cells[at..at + self.width].split_at(self.members)
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::EXAMPLE;
    use super::*;

    const S: u64 = 1_000_000;

    fn resampler() -> Resampler {
        let spec = FeatureSpec::parse(EXAMPLE, "x").unwrap();
        let layout = Layout {
            members: 2,
            signals: vec![SignalId(0), SignalId(1), SignalId(2)],
            stale_after: vec![Duration::from_secs(15); 3],
        };
        Resampler::new(&spec, layout, 4)
    }

    /// Feeds `(seconds, [(signal, value)])` and returns the windows as text.
    fn windows(r: &mut Resampler, frames: &[(u64, &[(u16, f64)])]) -> Vec<String> {
        let mut out = Vec::new();
        for (s, samples) in frames {
            let now = MonoTime(s * S);
            r.advance(now, |w| out.push(show(w)));
            for (signal, value) in *samples {
                r.take(now, |sink| sink.value(SignalId(*signal), *value));
            }
        }
        out
    }

    fn show(w: &Window) -> String {
        let cell = |c: &Cell| match c.get() {
            Ok(v) => format!("{v}"),
            Err(why) => format!("{why:?}"),
        };
        let rows: Vec<String> =
            (0..w.steps()).map(|s| w.row(s).0.iter().map(cell).collect::<Vec<_>>().join(",")).collect();
        format!("{}: {}", w.end().as_micros() / S, rows.join(" "))
    }

    #[test]
    fn a_step_is_the_mean_of_its_samples_and_windows_slide_by_the_stride() {
        let frames: Vec<(u64, &[(u16, f64)])> = vec![
            (0, &[(0, 1.0), (1, 10.0)]),
            (5, &[(0, 3.0)]),
            (10, &[(0, 4.0), (1, 20.0)]),
            (20, &[(0, 5.0), (1, 30.0)]),
            (30, &[(0, 6.0), (1, 40.0)]),
            (40, &[(0, 7.0), (1, 50.0)]),
            (50, &[(0, 8.0), (1, 60.0)]),
            (60, &[]),
        ];
        assert_eq!(
            windows(&mut resampler(), &frames),
            ["40: 2,10 4,20 5,30 6,40", "60: 5,30 6,40 7,50 8,60"]
        );
    }

    #[test]
    fn a_silent_signal_is_held_then_stale_and_one_never_heard_says_so() {
        let frames: Vec<(u64, &[(u16, f64)])> =
            vec![(0, &[(0, 1.0)]), (12, &[]), (22, &[]), (32, &[]), (41, &[])];
        assert_eq!(
            windows(&mut resampler(), &frames),
            ["40: 1,NotReceived Stale,NotReceived Stale,NotReceived Stale,NotReceived"]
        );
    }

    #[test]
    fn a_fault_in_a_step_is_not_papered_over_by_the_held_value() {
        let mut r = resampler();
        windows(&mut r, &[(0, &[(0, 1.0)])]);
        r.advance(MonoTime(10 * S), |_| ());
        r.take(MonoTime(10 * S), |sink| sink.absent(SignalId(0), NoData::SensorFault));
        let rest: Vec<(u64, &[(u16, f64)])> = vec![(20, &[(0, 2.0)]), (30, &[(0, 2.0)]), (40, &[])];
        let out = windows(&mut r, &rest);
        assert!(out[0].contains("1,NotReceived SensorFault,NotReceived 2,"), "{out:?}");
    }

    #[test]
    fn silence_beyond_the_gap_starts_afresh() {
        let before: Vec<(u64, &[(u16, f64)])> =
            vec![(0, &[(0, 1.0)]), (10, &[(0, 1.0)]), (20, &[(0, 1.0)]), (200, &[(0, 9.0)])];
        // Steps that end within the gap close; then the window is empty, and four new steps are needed.
        let mut r = resampler();
        assert_eq!(windows(&mut r, &before).len(), 3);
        let after: Vec<(u64, &[(u16, f64)])> =
            vec![(210, &[(0, 9.0)]), (220, &[(0, 9.0)]), (230, &[(0, 9.0)]), (239, &[]), (240, &[])];
        assert_eq!(windows(&mut r, &after), ["240: 9,NotReceived 9,NotReceived 9,NotReceived 9,NotReceived"]);
    }

    #[test]
    fn timers_between_frames_change_nothing() {
        let frames: Vec<(u64, &[(u16, f64)])> = vec![
            (0, &[(0, 1.0)]),
            (3, &[(1, 2.0)]),
            (47, &[(0, 3.0)]),
            (180, &[(0, 4.0)]),
            (260, &[(0, 5.0)]),
        ];
        let plain = windows(&mut resampler(), &frames);
        let mut timed = Vec::new();
        let mut r = resampler();
        for pair in frames.windows(2) {
            timed.extend(windows(&mut r, &pair[..1]));
            for tick in pair[0].0 + 1..=pair[1].0 {
                r.advance(MonoTime(tick * S), |w| timed.push(show(w)));
            }
        }
        assert_eq!(plain, timed);
        assert!(plain.len() >= 3);
    }

    #[test]
    fn signals_that_the_specification_does_not_use_are_ignored() {
        let mut r = resampler();
        for signal in [SignalId(3), SignalId(4)] {
            r.take(MonoTime(0), |sink| sink.value(signal, 5.0));
            r.take(MonoTime(0), |sink| sink.absent(signal, NoData::Stale));
        }
        assert!(r.slots.iter().all(|s| s.count == 0) && r.next_deadline().is_none());
    }
}
