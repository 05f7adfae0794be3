//! Finds charges in the steps of the grid and measures them as they pass: where each subject's voltage stood after how
//! much charge, how the current faded, how far the voltage jumped with the current.
//!
//! Memory is bounded by subjects and voltages, whatever a charge lasts: no curve is kept.

use super::jump::Jumps;
use super::spec::{ChargeOp, ChargeSpec};
use crate::feature::spec::{FeatureSpec, Op};
use crate::feature::window::Cell;
use crate::signal::NoData;
use std::time::Duration;

/// How long the current stays below a rate before it counts as faded: a plug that is pulled leaves no such tail.
const FADE_HOLDS: Duration = Duration::from_secs(30);
/// Currents at the two ends of a window of voltages differ by at most this share.
const STEADY: f32 = 0.1;

/// The charge under way, and what of it is known so far.
#[derive(Clone)]
pub(super) struct Meter {
    spec: ChargeSpec,
    period: Duration,
    /// The voltages that features name, rising.
    edges: Vec<f32>,
    fades: Vec<Fade>,
    is_charging: bool,
    steps: u32,
    /// Those in which a current flowed in.
    flowing: u32,
    /// The latest in a row in which none did.
    quiet: u32,
    /// Ampere-hours since the charge began.
    ah: f64,
    /// How often the count was lost: what was counted before is no base for what was counted after.
    count: u32,
    amps: Option<f32>,
    peak: f32,
    celsius: (f64, u32),
    jumps: Jumps,
    subjects: Vec<Subject>,
    /// `[subjects][edges]`.
    crossings: Vec<Option<Crossing>>,
}

/// How the current came down to a rate.
#[derive(Clone)]
struct Fade {
    amps: f32,
    fallen: Option<(f64, u32)>,
    steps_below: u32,
}

#[derive(Clone, Copy)]
struct Subject {
    /// The voltage of the step before.
    volts: Result<f32, NoData>,
    /// The next edge to cross; none before the voltage has settled.
    next: Option<usize>,
    /// Whether there was a voltage while a current flowed, or why there was none.
    seen: Result<(), NoData>,
}

/// Where a voltage was reached.
#[derive(Clone, Copy)]
struct Crossing {
    ah: f64,
    amps: f32,
    count: u32,
}

const BEFORE: Subject =
    Subject { volts: Err(NoData::NotReceived), next: None, seen: Err(NoData::NotReceived) };

impl Meter {
    pub(super) fn new(spec: &FeatureSpec, charge: &ChargeSpec, subjects: usize) -> Meter {
        let ops =
            || spec.features.iter().filter_map(|f| if let Op::Charge(op) = f.op { Some(op) } else { None });
        let mut edges: Vec<f32> = ops()
            .flat_map(|op| match op {
                ChargeOp::Between { low, high } => vec![low, high],
                ChargeOp::Fade { low, .. } => vec![low],
                _ => Vec::new(),
            })
            .collect();
        edges.sort_by(f32::total_cmp);
        edges.dedup();
        let rates =
            ops().filter_map(|op| if let ChargeOp::Fade { rate, .. } = op { Some(rate) } else { None });
        let fade = |rate: f32| Fade {
            amps: (f64::from(rate) * charge.nominal_ah) as f32,
            fallen: None,
            steps_below: 0,
        };
        let least = (f64::from(charge.step_rate) * charge.nominal_ah) as f32;
        Meter {
            period: spec.period,
            jumps: Jumps::new(least, subjects),
            fades: rates.map(fade).collect(),
            is_charging: false,
            steps: 0,
            flowing: 0,
            quiet: 0,
            ah: 0.0,
            count: 0,
            amps: None,
            peak: 0.0,
            celsius: (0.0, 0),
            subjects: vec![BEFORE; subjects],
            crossings: vec![None; subjects * edges.len()],
            edges,
            spec: charge.clone(),
        }
    }

    /// Takes a step; true when a charge has just ended that is worth telling of.
    pub(super) fn step(&mut self, members: &[Cell], context: &[Cell]) -> bool {
        let amps = context[self.spec.current].get().ok();
        let flows = |least: f32| amps.is_some_and(|amps| amps >= least);
        if !self.is_charging && flows(self.ampere(self.spec.start_rate)) {
            self.begin();
        }
        self.jumps.step(amps, members);
        let mut ended = false;
        if self.is_charging {
            match flows(self.ampere(self.spec.stop_rate)) {
                true => (self.flowing, self.quiet) = (self.flowing + 1, 0),
                false => self.quiet += 1,
            }
            self.steps += 1;
            let before = self.ah;
            match amps {
                Some(amps) => self.flow(amps, context[self.spec.temperature].get().ok()),
                // How much flowed in a step without a current is not known: no window may span it.
                None => self.count += 1,
            }
            self.cross(members, before, amps);
            // Whoever drives off has ended the charge.
            let drives = amps.is_some_and(|amps| amps <= -self.ampere(self.spec.start_rate));
            if drives || self.lasted(self.quiet) >= self.spec.pause {
                ended = self.end();
            }
        }
        for (subject, cell) in self.subjects.iter_mut().zip(members) {
            subject.volts = cell.get();
        }
        self.amps = amps;
        ended
    }

    /// Silence: what went before says nothing of what comes. True if a charge that is worth telling of ended with it.
    pub(super) fn fall_silent(&mut self) -> bool {
        let ended = self.end();
        self.amps = None;
        self.jumps.fall_silent();
        self.subjects.iter_mut().for_each(|s| s.volts = Err(NoData::NotReceived));
        ended
    }

    /// What the charge that ended came to, for one subject. `None`: it can't be told from this charge.
    pub(super) fn read(&self, op: ChargeOp, subject: usize) -> Option<f32> {
        let share = |ah: f64| (ah / self.spec.nominal_ah) as f32;
        match op {
            ChargeOp::Between { low, high } => {
                let (low, high) = (self.crossing(subject, low)?, self.crossing(subject, high)?);
                let is_steady = (low.amps - high.amps).abs() <= STEADY * low.amps.max(high.amps);
                (is_steady && low.count == high.count).then(|| share(high.ah - low.ah))
            }
            ChargeOp::Fade { low, rate } => {
                let from = self.crossing(subject, low)?;
                let amps = self.ampere(rate);
                let (fallen, count) = self.fades.iter().find(|fade| fade.amps == amps)?.fallen?;
                (count == from.count && fallen >= from.ah).then(|| share(fallen - from.ah))
            }
            ChargeOp::Temperature => {
                (self.celsius.1 > 0).then(|| (self.celsius.0 / f64::from(self.celsius.1)) as f32)
            }
            ChargeOp::Rate => Some(share(f64::from(self.peak))),
            ChargeOp::Present(_) => None,
        }
    }

    /// The subject's resistance in ohms by the jumps of the current in the charge that ended; `None` without any.
    pub(super) fn resistance(&self, subject: usize) -> Option<f32> {
        self.jumps.resistance(subject)
    }

    /// Whether the subject had a voltage in the charge that ended, or why not.
    pub(super) fn state(&self, subject: usize) -> Result<(), NoData> {
        self.subjects[subject].seen
    }

    fn ampere(&self, rate: f32) -> f32 {
        (f64::from(rate) * self.spec.nominal_ah) as f32
    }

    fn lasted(&self, steps: u32) -> Duration {
        self.period * steps
    }

    /// Whether the charge that ends was one.
    fn end(&mut self) -> bool {
        for fade in &mut self.fades {
            fade.fallen = fade.fallen.filter(|_| self.period * fade.steps_below >= FADE_HOLDS);
        }
        std::mem::take(&mut self.is_charging) && self.lasted(self.flowing) >= self.spec.shortest
    }

    fn begin(&mut self) {
        self.is_charging = true;
        (self.steps, self.flowing, self.quiet) = (0, 0, 0);
        (self.ah, self.count) = (0.0, 0);
        (self.peak, self.celsius) = (0.0, (0.0, 0));
        self.crossings.fill(None);
        self.jumps.begin();
        for fade in &mut self.fades {
            (fade.fallen, fade.steps_below) = (None, 0);
        }
        for subject in &mut self.subjects {
            *subject = Subject { volts: subject.volts, ..BEFORE };
        }
    }

    fn flow(&mut self, amps: f32, celsius: Option<f32>) {
        let before = self.ah;
        self.ah += f64::from(amps) * self.period.as_secs_f64() / 3_600.0;
        self.peak = self.peak.max(amps);
        let stop = self.ampere(self.spec.stop_rate);
        if let Some(celsius) = celsius.filter(|_| amps >= stop) {
            self.celsius = (self.celsius.0 + f64::from(celsius), self.celsius.1 + 1);
        }
        for fade in &mut self.fades {
            if amps >= fade.amps {
                (fade.fallen, fade.steps_below) = (None, 0);
            } else if let Some(last) = self.amps.filter(|last| *last >= fade.amps) {
                let share = f64::from((last - fade.amps) / (last - amps));
                fade.fallen = Some((before + share * (self.ah - before), self.count));
                fade.steps_below = 0;
            } else if amps >= stop {
                fade.steps_below += 1;
            }
        }
    }

    /// Notes the voltages that were reached in this step, which began after `before` ampere-hours.
    fn cross(&mut self, members: &[Cell], before: f64, amps: Option<f32>) {
        let (flows, is_settled) = (self.quiet == 0, self.lasted(self.steps) > self.spec.settle);
        let rows = self.crossings.chunks_exact_mut(self.edges.len().max(1));
        for ((subject, cell), row) in self.subjects.iter_mut().zip(members).zip(rows) {
            if flows && subject.seen.is_err() {
                subject.seen = cell.get().map(|_| ());
            }
            let Ok(volts) = cell.get() else { continue };
            if !is_settled {
                continue;
            }
            let Some(mut next) = subject.next else {
                subject.next = Some(self.edges.iter().take_while(|edge| **edge <= volts).count());
                continue;
            };
            while let Some(edge) = self.edges.get(next).filter(|edge| **edge <= volts) {
                if let (Ok(last), Some(amps)) = (subject.volts, amps) {
                    // Between the two steps the voltage is taken for straight.
                    let share = f64::from(((edge - last) / (volts - last)).clamp(0.0, 1.0));
                    row[next] =
                        Some(Crossing { ah: before + share * (self.ah - before), amps, count: self.count });
                }
                next += 1;
            }
            subject.next = Some(next);
        }
    }

    fn crossing(&self, subject: usize, volts: f32) -> Option<Crossing> {
        let edge = self.edges.iter().position(|edge| *edge == volts)?;
        self.crossings[subject * self.edges.len() + edge]
    }
}
