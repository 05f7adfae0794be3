//! What a stretch of a trip adds up to.

use super::signals::Sample;
use crate::reading::Reading;
use crate::signal::NoData;
use telltale_wire::record::IndeterminateReason;
use telltale_wire::trip::TripEnergy;

const JOULES_PER_WH: f64 = 3_600.0;

/// Sums over steps.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Sums {
    pub(super) distance_m: f64,
    pub(super) moving_s: f64,
    pub(super) standing_s: f64,
    pub(super) unknown_s: f64,
    pub(super) stops: u32,
    /// The highest speed, in m/s.
    pub(super) top: f64,
    used_j: f64,
    recuperated_j: f64,
    standing_j: f64,
    /// For how long the power was not known, and why it was not the last time.
    powerless_s: f64,
    why: Option<NoData>,
    /// Degrees Celsius times seconds, and seconds.
    warmth: f64,
    warmth_s: f64,
    cold_why: Option<NoData>,
}

impl Sums {
    /// Adds a step.
    pub(super) fn add(&mut self, speed: Result<Reading, NoData>, sample: &Sample, moving: f64, step_s: f64) {
        let moves = match speed {
            Ok(Reading { value, .. }) if value > moving => {
                self.distance_m += value * step_s;
                self.moving_s += step_s;
                self.top = self.top.max(value);
                true
            }
            Ok(_) => {
                self.standing_s += step_s;
                false
            }
            Err(_) => {
                self.unknown_s += step_s;
                false
            }
        };
        match sample.power {
            Ok(watts) if watts > 0.0 => {
                self.used_j += watts * step_s;
                self.standing_j += if moves { 0.0 } else { watts * step_s };
            }
            // What flows in while it stands comes from a charger.
            Ok(watts) if moves => self.recuperated_j -= watts * step_s,
            Ok(_) => {}
            Err(why) => (self.powerless_s, self.why) = (self.powerless_s + step_s, Some(why)),
        }
        match sample.ambient {
            Ok(celsius) => {
                self.warmth += celsius * step_s;
                self.warmth_s += step_s;
            }
            Err(why) => self.cold_why = Some(why),
        }
    }

    /// Takes another's sums, and leaves it empty.
    pub(super) fn merge(&mut self, tail: &mut Sums) {
        let tail = std::mem::take(tail);
        self.distance_m += tail.distance_m;
        self.moving_s += tail.moving_s;
        self.standing_s += tail.standing_s;
        self.unknown_s += tail.unknown_s;
        self.top = self.top.max(tail.top);
        self.used_j += tail.used_j;
        self.recuperated_j += tail.recuperated_j;
        self.standing_j += tail.standing_j;
        self.powerless_s += tail.powerless_s;
        self.why = tail.why.or(self.why);
        self.warmth += tail.warmth;
        self.warmth_s += tail.warmth_s;
        self.cold_why = tail.cold_why.or(self.cold_why);
    }

    pub(super) fn moved(&self) -> bool {
        self.moving_s > 0.0
    }

    pub(super) fn stood(&self) -> bool {
        self.standing_s > 0.0
    }

    pub(super) fn seconds(&self) -> f64 {
        self.moving_s + self.standing_s + self.unknown_s
    }

    /// The energy, unless the power was unknown for more than a share of the time.
    pub(super) fn energy(&self, most_unknown: f64) -> Result<TripEnergy, IndeterminateReason> {
        if self.powerless_s > most_unknown * self.seconds() {
            return Err(self.why.unwrap_or(NoData::NotReceived).reason());
        }
        let wh = |joules: f64| (joules / JOULES_PER_WH) as f32;
        Ok(TripEnergy {
            used_wh: wh(self.used_j),
            recuperated_wh: wh(self.recuperated_j),
            standing_wh: wh(self.standing_j),
            unknown_s: self.powerless_s as f32,
        })
    }

    /// The mean temperature outside, of the time in which it was known.
    pub(super) fn ambient(&self) -> Result<f32, IndeterminateReason> {
        if self.warmth_s > 0.0 {
            return Ok((self.warmth / self.warmth_s) as f32);
        }
        Err(self.cold_why.unwrap_or(NoData::NotReceived).reason())
    }
}
