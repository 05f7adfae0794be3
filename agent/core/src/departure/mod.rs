//! In which way a subject falls away from its peers: what is gathered of it window by window, in a fixed number of sums
//! that fade, so that it costs the same after a year, and a rule that a person can check with a pencil.
//!
//! `d` is a subject's deviation from the pack's median in a step, `i` the context signal that the specification takes a
//! slope over (for cells: the current into the pack).

mod rule;
#[cfg(test)]
mod tests;
mod trend;

pub(crate) use trend::Trend;

use crate::feature::Window;
use crate::feature::spec::{FeatureSpec, Op};
use std::time::Duration;
use telltale_wire::departure::{Departure, DepartureKind};
use telltale_wire::record::{IndeterminateReason, VerdictCode};
use telltale_wire::time::{MonoTime, WallTime};

/// Below this the context signal counts as standing still, in its unit: a vehicle at rest draws an ampere, which makes a
/// few millivolts of a bad connector.
const REST: f32 = 2.0;

/// When a window ended, on both clocks.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) mono: MonoTime,
    pub(crate) wall: Option<WallTime>,
}

/// What one window says of one subject.
#[derive(Clone, Copy, Default, Debug)]
struct Glance {
    /// Steps with both values.
    steps: u32,
    /// Sums about the window's means: of `i`, of both, of `d`, a step each.
    ii: f64,
    id: f64,
    dd: f64,
    mean_d: f64,
    mean_i: f64,
    /// Squared differences of neighbouring steps at rest, halved, and how many.
    rest: f64,
    rests: u32,
    /// The highest minus the lowest value, the subject's and that of the pack's median.
    range: f32,
    pack_range: f32,
}

/// What is gathered of all subjects.
pub(crate) struct Departures {
    /// The place of the context signal behind the members.
    over: usize,
    /// How long a window is, and from one to the next.
    window: Duration,
    stride: Duration,
    trends: Vec<Trend>,
    latest: Option<Moment>,
    /// Of the step at hand.
    scratch: Vec<f32>,
    glances: Vec<Glance>,
    /// `[steps]` of the window at hand: the pack's median; NaN where there is none.
    medians: Vec<f32>,
}

impl Departures {
    /// `None` for a specification that takes no slope over a context signal: of its subjects no more than an offset could
    /// be said.
    pub(crate) fn new(spec: &FeatureSpec, subjects: usize) -> Option<Departures> {
        let over = spec.features.iter().find_map(|feature| match feature.op {
            Op::SlopeOver { context, .. } => Some(context),
            _ => None,
        })?;
        Some(Departures {
            over,
            window: spec.period * spec.window as u32,
            stride: spec.period * spec.stride as u32,
            trends: vec![Trend::default(); subjects],
            latest: None,
            scratch: Vec::with_capacity(subjects),
            glances: vec![Glance::default(); subjects],
            medians: vec![f32::NAN; spec.window],
        })
    }

    /// Takes a window.
    pub(crate) fn note(&mut self, window: &Window, at: Moment) {
        self.take_medians(window);
        // Windows overlap: what lies between two is the time from end to end, beyond which the vehicle was off.
        let (operated, parked) = match self.latest {
            None => (self.stride, Duration::ZERO),
            Some(before) => {
                let passed = elapsed(before, at);
                if passed <= self.stride {
                    (passed, Duration::ZERO)
                } else {
                    (self.window, passed.saturating_sub(self.window))
                }
            }
        };
        self.latest = Some(at);
        for subject in 0..self.trends.len() {
            let glance = self.glance(window, subject);
            self.glances[subject] = glance;
            if glance.steps as usize * 2 >= window.steps() {
                self.trends[subject].add(&glance, operated, parked);
            }
        }
    }

    /// The kind of an anomalous subject's departure.
    pub(crate) fn kind_of(&mut self, subject: usize) -> Option<DepartureKind> {
        let typical = self.typical_scatter();
        self.trends.get(subject).map(|trend| rule::kind(trend, typical))
    }

    /// What a verdict says of the departure besides. Without a value the sensor's own word is taken.
    pub(crate) fn departure_of(&mut self, subject: usize, verdict: VerdictCode) -> Option<Departure> {
        match verdict {
            VerdictCode::Anomalous => {
                let typical = self.typical_scatter();
                self.trends.get(subject).map(|trend| rule::departure(trend, typical))
            }
            VerdictCode::Indeterminate(IndeterminateReason::SensorFault) => {
                Some(Departure { kind: DepartureKind::SensorAbsent, numbers: Vec::new() })
            }
            _ => None,
        }
    }

    fn typical_scatter(&mut self) -> f32 {
        self.scratch.clear();
        self.scratch.extend(self.trends.iter().map(Trend::rest_scatter));
        rule::median(&mut self.scratch)
    }

    /// What is to be remembered: when the latest window ended, and the trends.
    pub(crate) fn trends(&self) -> &[Trend] {
        &self.trends
    }

    /// Goes on from the trends of as many subjects, the vehicle having been off since `latest`.
    pub(crate) fn recall(&mut self, trends: Vec<Trend>, latest: Option<WallTime>) {
        self.trends = trends;
        self.latest = latest.map(|wall| Moment { mono: MonoTime(0), wall: Some(wall) });
    }

    fn take_medians(&mut self, window: &Window) {
        for step in 0..window.steps() {
            let members = window.row(step).0;
            self.scratch.clear();
            self.scratch.extend(members.iter().filter_map(|cell| cell.get().ok()));
            let enough = 2 * self.scratch.len() >= members.len();
            self.medians[step] = if enough { rule::median(&mut self.scratch) } else { f32::NAN };
        }
    }

    fn glance(&self, window: &Window, subject: usize) -> Glance {
        let steps = || {
            self.medians.iter().enumerate().filter_map(move |(step, median)| {
                let (members, context) = window.row(step);
                let (value, i) = (members.get(subject)?.get().ok()?, context.get(self.over)?.get().ok()?);
                (!median.is_nan()).then_some((step, value, value - median, i))
            })
        };
        let mut glance = Glance::default();
        let (mut sum_i, mut sum_d) = (0.0, 0.0);
        let (mut low, mut high) = ((f32::INFINITY, f32::INFINITY), (f32::NEG_INFINITY, f32::NEG_INFINITY));
        let mut before: Option<(usize, f32, f32)> = None;
        for (step, value, d, i) in steps() {
            glance.steps += 1;
            (sum_i, sum_d) = (sum_i + f64::from(i), sum_d + f64::from(d));
            low = (low.0.min(value), low.1.min(value - d));
            high = (high.0.max(value), high.1.max(value - d));
            if let Some((last, last_d, last_i)) = before
                && last + 1 == step
                && last_i.abs() < REST
                && i.abs() < REST
            {
                glance.rest += f64::from((d - last_d) * (d - last_d)) / 2.0;
                glance.rests += 1;
            }
            before = Some((step, d, i));
        }
        if glance.steps == 0 {
            return glance;
        }
        let n = f64::from(glance.steps);
        (glance.mean_i, glance.mean_d) = (sum_i / n, sum_d / n);
        (glance.range, glance.pack_range) = (high.0 - low.0, high.1 - low.1);
        for (_, _, d, i) in steps() {
            let (i, d) = (f64::from(i) - glance.mean_i, f64::from(d) - glance.mean_d);
            glance.ii += i * i / n;
            glance.id += i * d / n;
            glance.dd += d * d / n;
        }
        glance
    }
}

/// By the wall clock where both are known, else by the monotonic one. A clock that was set back counts as no time.
fn elapsed(before: Moment, at: Moment) -> Duration {
    match (before.wall, at.wall) {
        (Some(before), Some(at)) => Duration::from_micros(at.0.saturating_sub(before.0).max(0) as u64),
        _ => at.mono.since(before.mono),
    }
}
