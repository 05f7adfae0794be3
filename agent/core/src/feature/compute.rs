//! A window becomes one row of features a subject.
//!
//! Everything here is plain IEEE arithmetic in a fixed order, sums in f64: the same window gives the same bits on
//! every machine. Buffers are made once; computing allocates nothing.

use super::spec::{Feature, FeatureSpec, Op};
use super::window::{Cell, Window};
use crate::signal::NoData;

/// The features of a window, subject by subject.
#[derive(Clone, Debug)]
pub struct FeatureTable {
    subjects: usize,
    channels: usize,
    /// `[channels][subjects]`: offset, scaled and clipped, ready for a model.
    normalised: Vec<f32>,
    /// `[channels][subjects]`: in physical units.
    physical: Vec<f32>,
    state: Vec<Result<(), NoData>>,
    level: Vec<f32>,
    deviation: Vec<f32>,
    resistance: Vec<Option<f32>>,
    reference: f32,
}

impl FeatureTable {
    pub(crate) fn new(channels: usize, subjects: usize) -> FeatureTable {
        FeatureTable {
            subjects,
            channels,
            normalised: vec![0.0; channels * subjects],
            physical: vec![0.0; channels * subjects],
            state: vec![Err(NoData::NotReceived); subjects],
            level: vec![0.0; subjects],
            deviation: vec![0.0; subjects],
            resistance: vec![None; subjects],
            reference: 0.0,
        }
    }

    /// Sets one feature of one subject, in its physical unit and as a model takes it.
    pub(crate) fn set(&mut self, channel: usize, subject: usize, physical: f32, normalised: f32) {
        let at = channel * self.subjects + subject;
        self.physical[at] = physical;
        self.normalised[at] = normalised;
    }

    /// Sets what stands beside a subject's features.
    pub(crate) fn set_state(&mut self, subject: usize, state: Result<(), NoData>, resistance: Option<f32>) {
        self.state[subject] = state;
        self.resistance[subject] = resistance;
    }

    /// How many subjects.
    #[must_use]
    pub const fn subjects(&self) -> usize {
        self.subjects
    }

    /// How many features of each.
    #[must_use]
    pub const fn channels(&self) -> usize {
        self.channels
    }

    /// Whether the subject has features, or why not.
    pub fn state(&self, subject: usize) -> Result<(), NoData> {
        self.state[subject]
    }

    /// The model's input, `[channels][subjects]`; 0 for a subject without features.
    #[must_use]
    pub fn normalised(&self) -> &[f32] {
        &self.normalised
    }

    /// One feature of one subject, as a model takes it.
    #[must_use]
    pub fn normalised_at(&self, channel: usize, subject: usize) -> f32 {
        self.normalised[channel * self.subjects + subject]
    }

    /// One feature of one subject in its physical unit.
    #[must_use]
    pub fn physical_at(&self, channel: usize, subject: usize) -> f32 {
        self.physical[channel * self.subjects + subject]
    }

    /// The subject's mean value over the window, in its signal's unit.
    #[must_use]
    pub fn level(&self, subject: usize) -> f32 {
        self.level[subject]
    }

    /// The subject's median deviation from the pack's median, in its signal's unit.
    #[must_use]
    pub fn deviation(&self, subject: usize) -> f32 {
        self.deviation[subject]
    }

    /// The subject's resistance in ohms, for features of charges whose current jumped.
    #[must_use]
    pub fn resistance(&self, subject: usize) -> Option<f32> {
        self.resistance[subject]
    }

    /// The mean over the window of the pack's median.
    #[must_use]
    pub const fn reference(&self) -> f32 {
        self.reference
    }
}

/// Computes the features of a specification, window after window, in buffers of its own.
#[derive(Clone)]
pub struct Features {
    features: Vec<Feature>,
    min_steps: usize,
    table: FeatureTable,
    /// `[subjects][steps]` deviations; NaN marks an absent one and never leaves this file.
    deviations: Vec<f32>,
    /// `[context][steps]` values; NaN likewise.
    context: Vec<f32>,
    /// The pack's median of each step; NaN likewise.
    medians: Vec<f32>,
    scratch: Vec<f32>,
}

impl Features {
    /// Buffers for a specification and this many subjects.
    #[must_use]
    pub fn new(spec: &FeatureSpec, subjects: usize) -> Features {
        let steps = spec.window;
        Features {
            features: spec.features.clone(),
            min_steps: ((spec.min_completeness * steps as f32).ceil() as usize).max(1),
            table: FeatureTable::new(spec.features.len(), subjects),
            deviations: vec![f32::NAN; subjects * steps],
            context: vec![f32::NAN; spec.context.len() * steps],
            medians: vec![f32::NAN; steps],
            scratch: Vec::with_capacity(subjects.max(steps)),
        }
    }

    /// The features of this window.
    pub fn compute(&mut self, window: &Window) -> &FeatureTable {
        self.spread_out(window);
        self.describe_subjects(window);
        let spread = self.pack_spread();
        for (channel, feature) in self.features.iter().enumerate() {
            for subject in 0..self.table.subjects {
                let at = channel * self.table.subjects + subject;
                let value = match self.table.state[subject] {
                    Ok(()) => operate(
                        &feature.op,
                        row(&self.deviations, window.steps(), subject),
                        &self.context,
                        self.table.reference,
                        spread,
                        &mut self.scratch,
                    ),
                    Err(_) => feature.offset,
                };
                self.table.physical[at] = value;
                let scaled = (value - feature.offset) / feature.scale;
                self.table.normalised[at] = scaled.clamp(-feature.clip, feature.clip);
            }
        }
        &self.table
    }

    /// Fills deviations, medians and context from the window's cells.
    fn spread_out(&mut self, window: &Window) {
        let (steps, subjects) = (window.steps(), self.table.subjects);
        for step in 0..steps {
            let (members, context) = window.row(step);
            self.scratch.clear();
            self.scratch.extend(members.iter().filter_map(|c| c.get().ok()));
            let median = if 2 * self.scratch.len() < subjects {
                f32::NAN
            } else {
                median(&mut self.scratch).unwrap_or(f32::NAN)
            };
            self.medians[step] = median;
            for (subject, cell) in members.iter().enumerate() {
                self.deviations[subject * steps + step] = or_nan(*cell) - median;
            }
            for (place, cell) in context.iter().enumerate() {
                self.context[place * steps + step] = or_nan(*cell);
            }
        }
        self.table.reference = mean(self.medians.iter().copied()).unwrap_or(0.0);
    }

    /// Decides which subjects are complete, and their level and deviation.
    fn describe_subjects(&mut self, window: &Window) {
        let steps = window.steps();
        for subject in 0..self.table.subjects {
            let deviations = row(&self.deviations, steps, subject);
            let present = deviations.iter().filter(|d| !d.is_nan()).count();
            self.table.state[subject] =
                if present >= self.min_steps { Ok(()) } else { Err(prevailing_reason(window, subject)) };
            let levels = (0..steps).filter_map(|s| window.row(s).0[subject].get().ok());
            self.table.level[subject] = mean(levels).unwrap_or(0.0);
            load(&mut self.scratch, deviations);
            self.table.deviation[subject] = median(&mut self.scratch).unwrap_or(0.0);
        }
    }

    /// The median over the complete subjects of how far their deviation lies from the middle one.
    fn pack_spread(&mut self) -> f32 {
        let table = &self.table;
        let complete = |s: &usize| table.state[*s].is_ok();
        self.scratch.clear();
        self.scratch.extend((0..table.subjects).filter(complete).map(|s| table.deviation[s]));
        let middle = median(&mut self.scratch).unwrap_or(0.0);
        self.scratch.iter_mut().for_each(|d| *d = (*d - middle).abs());
        median(&mut self.scratch).unwrap_or(0.0)
    }
}

fn operate(op: &Op, d: &[f32], context: &[f32], reference: f32, spread: f32, scratch: &mut Vec<f32>) -> f32 {
    let steps = d.len();
    let value = match op {
        Op::Quantile(q) => {
            load(scratch, d);
            quantile(scratch, *q)
        }
        Op::Mad => {
            load(scratch, d);
            median(scratch).and_then(|middle| {
                scratch.iter_mut().for_each(|d| *d = (*d - middle).abs());
                median(scratch)
            })
        }
        Op::Mean => mean(d.iter().copied()),
        Op::HalfChange => {
            let (first, second) = d.split_at(steps / 2);
            mean(first.iter().copied()).zip(mean(second.iter().copied())).map(|(a, b)| b - a)
        }
        Op::SlopeOver { context: place, ridge } => Some(ridge_slope(row(context, steps, *place), d, *ridge)),
        Op::ContextMean(place) => mean(row(context, steps, *place).iter().copied()),
        Op::ContextRange(place) => {
            let present = || row(context, steps, *place).iter().copied().filter(|x| !x.is_nan());
            present().reduce(f32::max).zip(present().reduce(f32::min)).map(|(high, low)| high - low)
        }
        Op::ContextProduct(a, b) => {
            let pairs = row(context, steps, *a).iter().zip(row(context, steps, *b));
            mean(pairs.map(|(a, b)| a * b))
        }
        Op::PackMedian => Some(reference),
        Op::PackSpread => Some(spread),
        // The specification keeps the two kinds apart.
        Op::Charge(_) => None,
    };
    value.unwrap_or(0.0)
}

fn or_nan(cell: Cell) -> f32 {
    cell.get().unwrap_or(f32::NAN)
}

fn row(matrix: &[f32], steps: usize, place: usize) -> &[f32] {
    &matrix[place * steps..(place + 1) * steps]
}

fn load(scratch: &mut Vec<f32>, values: &[f32]) {
    scratch.clear();
    scratch.extend(values.iter().copied().filter(|x| !x.is_nan()));
}

/// The mean of the values that are there, summed in f64; `None` if there are none.
fn mean(values: impl Iterator<Item = f32>) -> Option<f32> {
    let (sum, n) =
        values.filter(|x| !x.is_nan()).fold((0.0, 0u32), |(sum, n), x| (sum + f64::from(x), n + 1));
    (n > 0).then(|| (sum / f64::from(n)) as f32)
}

/// The `q` quantile by Hyndman and Fan's type 7; reorders the values. `None` for no values.
fn quantile(values: &mut [f32], q: f32) -> Option<f32> {
    let last = values.len().checked_sub(1)?;
    let h = last as f32 * q;
    let below = h as usize;
    let (_, low, rest) = values.select_nth_unstable_by(below, f32::total_cmp);
    let low = *low;
    // The next order statistic is the least of what lies above.
    Some(match rest.iter().copied().reduce(f32::min) {
        Some(high) => low + (h - below as f32) * (high - low),
        None => low,
    })
}

fn median(values: &mut [f32]) -> Option<f32> {
    quantile(values, 0.5)
}

/// `cov(x, y) / (var(x) + ridge)` over the pairs that are whole; 0 without any.
fn ridge_slope(x: &[f32], y: &[f32], ridge: f32) -> f32 {
    let pairs = || {
        x.iter()
            .zip(y)
            .filter(|(x, y)| !x.is_nan() && !y.is_nan())
            .map(|(x, y)| (f64::from(*x), f64::from(*y)))
    };
    let (n, sx, sy) = pairs().fold((0u32, 0.0, 0.0), |(n, sx, sy), (x, y)| (n + 1, sx + x, sy + y));
    if n == 0 {
        return 0.0;
    }
    let n = f64::from(n);
    let (mx, my) = (sx / n, sy / n);
    let (cov, var) =
        pairs().fold((0.0, 0.0), |(c, v), (x, y)| (c + (x - mx) * (y - my), v + (x - mx) * (x - mx)));
    (cov / n / (var / n + f64::from(ridge))) as f32
}

/// The reason that most of the subject's empty steps give; of equally frequent ones, the one that tells more.
fn prevailing_reason(window: &Window, subject: usize) -> NoData {
    const BY_WEIGHT: [NoData; 4] =
        [NoData::SensorFault, NoData::OutOfRange, NoData::Stale, NoData::NotReceived];
    let count =
        |why: NoData| (0..window.steps()).filter(|s| window.row(*s).0[subject].get() == Err(why)).count();
    let mut best = (0, NoData::NotReceived);
    for why in BY_WEIGHT {
        let n = count(why);
        if n > best.0 {
            best = (n, why);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f32, b: f32) -> bool {
        (a - b).abs() < 1e-6
    }

    #[test]
    fn quantiles_are_type_7() {
        // numpy.quantile([1, 2, 4, 8], q)
        for (q, expected) in [(0.0, 1.0), (0.1, 1.3), (0.5, 3.0), (0.9, 6.8), (1.0, 8.0)] {
            let got = quantile(&mut [8.0, 1.0, 4.0, 2.0], q).unwrap();
            assert!(close(got, expected), "q{q}: {got}");
        }
        assert_eq!(quantile(&mut [], 0.5), None);
        assert_eq!(quantile(&mut [3.0], 0.7), Some(3.0));
    }

    #[test]
    fn a_slope_needs_variation() {
        let x = [1.0, 2.0, f32::NAN, 4.0];
        let y = [0.1, 0.2, 9.0, 0.4];
        assert!(close(ridge_slope(&x, &y, 1e-9), 0.1));
        assert!(close(ridge_slope(&[2.0; 4], &[1.0, 2.0, 3.0, 4.0], 0.1), 0.0));
        assert!(close(ridge_slope(&[f32::NAN; 4], &y, 0.1), 0.0));
    }

    #[test]
    fn absent_steps_are_left_out_everywhere() {
        let d = [0.1, f32::NAN, 0.3, 0.2];
        let mut scratch = Vec::new();
        let mut run = |op: Op| operate(&op, &d, &[f32::NAN; 4], 7.0, 0.5, &mut scratch);
        assert!(close(run(Op::Mean), 0.2));
        assert!(close(run(Op::Quantile(0.5)), 0.2));
        assert!(close(run(Op::Mad), 0.1));
        assert!(close(run(Op::HalfChange), 0.15));
        assert!(close(run(Op::ContextMean(0)), 0.0));
        assert!(close(run(Op::ContextRange(0)), 0.0));
        assert!(close(run(Op::ContextProduct(0, 0)), 0.0));
        let two = [2.0, f32::NAN, 3.0, 4.0, 10.0, 10.0, f32::NAN, 0.5];
        let product = operate(&Op::ContextProduct(0, 1), &d, &two, 7.0, 0.5, &mut Vec::new());
        assert!(close(product, 11.0), "of the two steps in which both have values: {product}");
        assert!(close(run(Op::PackMedian), 7.0));
        assert!(close(run(Op::PackSpread), 0.5));
    }
}
