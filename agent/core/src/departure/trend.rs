//! What is gathered of one subject: a few sums in which older windows fade.

use super::Glance;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a window leaves of what was before it, in the sums over currents and scatter: a third after an hour.
const KEEP: f32 = 1.0 - 1.0 / 12.0;

/// The same for the line through the deviation at rest: a third after four hours of operation.
const KEEP_LINE: f64 = 1.0 - 1.0 / 48.0;

/// What a stretch without the vehicle leaves of those before it.
const KEEP_PARKED: f32 = 0.7;

/// Added to the variance of the current, in its unit squared, as in the features: it draws a slope to 0 where the current
/// hardly varies.
const RIDGE: f32 = 25.0;

/// A pack whose median moves less than this, in volts, tells nothing of a reading that stands still.
const MOVING: f32 = 0.010;

/// A reading that moves less than this stands still: one and a half steps of a millivolt.
const STILL: f32 = 0.0015;

/// The sums. 84 bytes a subject.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Trend {
    /// Of windows, and in them of `i` squared, of `i` times `d` and of `d` squared, about the windows' means.
    weight: f32,
    ii: f32,
    id: f32,
    dd: f32,
    /// Half the squared differences of neighbouring steps at rest, and their weight.
    rest: f32,
    rests: f32,
    /// Windows in which the pack moved, and those of them in which the subject did not.
    moving: f32,
    still: f32,
    /// The line through the deviation at rest over hours of operation, the latest window at hour 0: of weights, hours,
    /// deviations, hours squared, hours times deviations.
    line: [f64; 5],
    /// The latest window's deviation at rest.
    at_rest: f32,
    /// How far it fell while the vehicle was off, in volts, and for how many hours that was.
    fallen: f32,
    off: f32,
}

impl Trend {
    /// Takes a window that ended so long after the one before, the time off not counted.
    pub(super) fn add(&mut self, glance: &Glance, operated: Duration, parked: Duration) {
        let fade = |sum: &mut f32, fresh: f64| *sum = *sum * KEEP + fresh as f32;
        fade(&mut self.weight, 1.0);
        fade(&mut self.ii, glance.ii);
        fade(&mut self.id, glance.id);
        fade(&mut self.dd, glance.dd);
        fade(&mut self.rest, glance.rest);
        fade(&mut self.rests, f64::from(glance.rests));
        let moves = glance.pack_range >= MOVING;
        fade(&mut self.moving, f64::from(u8::from(moves)));
        fade(&mut self.still, f64::from(u8::from(moves && glance.range < STILL)));

        let at_rest = glance.mean_d - f64::from(self.slope()) * glance.mean_i;
        if !parked.is_zero() && self.line[0] > 0.0 {
            // Between the middles of the two windows lies a window's length of operation as well.
            let expected = f64::from(self.at_rest + self.per_hour() * operated.as_secs_f32() / 3_600.0);
            self.fallen = self.fallen * KEEP_PARKED + (expected - at_rest) as f32;
            self.off = self.off * KEEP_PARKED + parked.as_secs_f32() / 3_600.0;
            // What happened meanwhile is no part of the line: it goes on from where the subject stands now.
            self.shift_line(at_rest - expected);
        }
        self.at_rest = at_rest as f32;
        self.advance_line(operated.as_secs_f64() / 3_600.0, at_rest);
    }

    /// Moves the line's points back in time by so many hours, lets them fade, and adds one at hour 0.
    fn advance_line(&mut self, hours: f64, d: f64) {
        let [n, t, y, tt, ty] = self.line;
        let moved = [n, t - hours * n, y, tt - 2.0 * hours * t + hours * hours * n, ty - hours * y];
        self.line = moved.map(|sum| sum * KEEP_LINE);
        self.line[0] += 1.0;
        self.line[2] += d;
    }

    /// Lifts the line's points by so many volts.
    fn shift_line(&mut self, by: f64) {
        let [n, t, ..] = self.line;
        self.line[2] += by * n;
        self.line[4] += by * t;
    }

    /// Ohms beyond those of the middle subject, for `i` that flows in.
    pub(super) fn slope(&self) -> f32 {
        self.id / (self.ii + RIDGE * self.weight).max(f32::MIN_POSITIVE)
    }

    /// The share of the deviation's variance that follows the current, 0 to 1.
    pub(super) fn explained(&self) -> f32 {
        let both = self.ii * self.dd;
        if both > 0.0 { (self.id * self.id / both).min(1.0) } else { 0.0 }
    }

    /// The standard deviation of `d` within windows, in volts.
    pub(super) fn swing(&self) -> f32 {
        if self.weight > 0.0 { (self.dd / self.weight).max(0.0).sqrt() } else { 0.0 }
    }

    /// By how much a reading scatters while no current flows, in volts; 0 where the vehicle was never at rest.
    pub(super) fn rest_scatter(&self) -> f32 {
        if self.rests > 0.5 { (self.rest / self.rests).max(0.0).sqrt() } else { 0.0 }
    }

    /// The share of the windows in which the pack moved and the subject stood still; `None` without two such windows.
    pub(super) fn still(&self) -> Option<f32> {
        (self.moving >= 1.5).then(|| self.still / self.moving)
    }

    /// How fast the deviation at rest changes while the vehicle operates, in volts an hour.
    pub(super) fn per_hour(&self) -> f32 {
        let [n, t, y, tt, ty] = self.line;
        let spread = n * tt - t * t;
        if n > 2.0 && spread > 1e-6 { ((n * ty - t * y) / spread) as f32 } else { 0.0 }
    }

    /// How fast it changes while the vehicle is off, in volts an hour, and for how many hours that was seen.
    pub(super) fn per_hour_off(&self) -> (f32, f32) {
        if self.off > 0.0 { (-self.fallen / self.off, self.off) } else { (0.0, 0.0) }
    }

    /// The latest window's deviation at rest, in volts.
    pub(super) const fn at_rest(&self) -> f32 {
        self.at_rest
    }

    /// Whether its numbers are numbers of a size that readings can give.
    pub(crate) fn is_sound(&self) -> bool {
        let sums = [self.weight, self.ii, self.dd, self.rest, self.rests, self.moving, self.still, self.off];
        let others = [self.id, self.at_rest, self.fallen];
        sums.iter().all(|x| (0.0..1e9).contains(x))
            && others.iter().all(|x| x.abs() < 1e9)
            && self.line.iter().all(|x| x.abs() < 1e9)
    }
}
