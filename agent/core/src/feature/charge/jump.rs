//! Jumps of the current, and the resistance that the voltages show by them.
//!
//! A charger brings its current up over seconds, and a BMS reads its cells one after another, so that within a step of
//! the grid neither current nor voltage is of one moment. A jump is therefore taken from the last calm step before it to
//! the first calm one behind it: what lies between is not looked at. The first step after a silence is calm enough.

use crate::feature::window::Cell;

/// A change by less than this share of a jump leaves a step calm.
const CALM: f32 = 0.25;
/// A current that moves for more steps than this does not jump.
const MOST_STEPS: u32 = 4;

/// The jumps so far.
#[derive(Clone)]
pub(super) struct Jumps {
    /// The least jump that counts, in amperes.
    least: f32,
    amps: Option<f32>,
    /// Whether nothing says that the current moved into the latest step.
    is_calm: bool,
    under_way: Option<Jump>,
    subjects: Vec<Subject>,
}

#[derive(Clone, Copy)]
struct Jump {
    /// The current before it, in amperes.
    from: f32,
    steps: u32,
}

#[derive(Clone, Copy, Default)]
struct Subject {
    /// The voltage of the latest step.
    volts: Option<f32>,
    /// That before the jump under way.
    base: Option<f32>,
    /// Sums over jumps: voltage times current, and current squared.
    sums: (f64, f64),
}

impl Jumps {
    pub(super) fn new(least: f32, subjects: usize) -> Jumps {
        let subjects = vec![Subject::default(); subjects];
        Jumps { least, amps: None, is_calm: true, under_way: None, subjects }
    }

    /// Takes a step.
    pub(super) fn step(&mut self, amps: Option<f32>, members: &[Cell]) {
        let change = amps.zip(self.amps).map(|(now, last)| (now - last).abs());
        let moves = change.map(|change| change >= CALM * self.least);
        self.under_way = match (self.under_way, moves) {
            (None, Some(true)) if self.is_calm => {
                self.subjects.iter_mut().for_each(|subject| subject.base = subject.volts);
                self.amps.map(|from| Jump { from, steps: 1 })
            }
            (Some(jump), Some(true)) if jump.steps < MOST_STEPS => {
                Some(Jump { steps: jump.steps + 1, ..jump })
            }
            (Some(jump), Some(false)) => {
                self.measure(jump, amps, members);
                None
            }
            _ => None,
        };
        self.is_calm = moves != Some(true);
        self.amps = amps;
        for (subject, cell) in self.subjects.iter_mut().zip(members) {
            subject.volts = cell.get().ok();
        }
    }

    /// A charge begins: the jumps before it are none of its own, but one that is under way is.
    pub(super) fn begin(&mut self) {
        self.subjects.iter_mut().for_each(|subject| subject.sums = (0.0, 0.0));
    }

    /// Silence: what went before says nothing of what comes.
    pub(super) fn fall_silent(&mut self) {
        (self.amps, self.is_calm, self.under_way) = (None, true, None);
    }

    /// The subject's resistance in ohms; `None` without a jump.
    pub(super) fn resistance(&self, subject: usize) -> Option<f32> {
        let (across, through) = self.subjects[subject].sums;
        (through > 0.0).then(|| (across / through) as f32)
    }

    /// The jump ended before the step at hand, if it is enough to measure by and of no discharge.
    fn measure(&mut self, jump: Jump, amps: Option<f32>, members: &[Cell]) {
        let Some(now) = amps.filter(|now| jump.from.min(*now) >= -self.least / 2.0) else { return };
        let by = f64::from(now - jump.from);
        if by.abs() < f64::from(self.least) {
            return;
        }
        for (subject, cell) in self.subjects.iter_mut().zip(members) {
            if let (Some(base), Ok(volts)) = (subject.base, cell.get()) {
                subject.sums.0 += f64::from(volts - base) * by;
                subject.sums.1 += by * by;
            }
        }
    }
}
