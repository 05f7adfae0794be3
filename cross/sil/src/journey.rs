//! The ground truth of the drives: how far each went and what it took, out of the physics and not of what stands on
//! the bus.

use serde::Serialize;

/// A vehicle that has stood for longer has ended its journey, in seconds.
const STANDSTILL_S: f64 = 300.0;
const JOULES_PER_KWH: f64 = 3.6e6;

/// One drive, from the first movement to the last.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Journey {
    /// When it first moved, in seconds after the start.
    pub from_s: f64,
    /// When it last moved.
    pub to_s: f64,
    /// How far, in kilometres.
    pub distance_km: f64,
    /// For how long it moved, in seconds.
    pub moving_s: f64,
    /// What the pack gave at its terminals, in kWh.
    pub used_kwh: f64,
    /// What it got back while the vehicle moved, in kWh.
    pub recuperated_kwh: f64,
}

/// Adds journeys up, step by step.
#[derive(Default)]
pub(crate) struct Journal {
    told: Vec<Journey>,
    /// The one under way, and what was used since it last moved.
    open: Option<(Journey, f64)>,
}

impl Journal {
    /// A step that ends at a time: the speed in m/s, and the pack's power, positive out of it, in watts.
    pub(crate) fn step(&mut self, end_s: f64, step_s: f64, speed: f64, watts: f64) {
        let is_over = |(journey, _): &(Journey, f64)| end_s - journey.to_s > STANDSTILL_S;
        if self.open.as_ref().is_some_and(is_over) {
            self.told.extend(self.open.take().map(|(journey, _)| journey));
        }
        if speed == 0.0 {
            if let Some((_, idle_kwh)) = &mut self.open {
                *idle_kwh += watts.max(0.0) * step_s / JOULES_PER_KWH;
            }
            return;
        }
        let begun = || (Journey { from_s: end_s - step_s, ..Journey::default() }, 0.0);
        let (journey, idle_kwh) = self.open.get_or_insert_with(begun);
        journey.to_s = end_s;
        journey.distance_km += speed * step_s / 1e3;
        journey.moving_s += step_s;
        journey.used_kwh += std::mem::take(idle_kwh) + watts.max(0.0) * step_s / JOULES_PER_KWH;
        journey.recuperated_kwh += (-watts).max(0.0) * step_s / JOULES_PER_KWH;
    }

    /// All that have begun.
    pub(crate) fn journeys(&self) -> Vec<Journey> {
        self.told.iter().copied().chain(self.open.map(|(journey, _)| journey)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_stand_parts_two_journeys_and_a_short_one_belongs_to_its() {
        let mut journal = Journal::default();
        let mut now = 0.0;
        let mut go = |seconds: u32, speed: f64, watts: f64| {
            for _ in 0..seconds {
                now += 1.0;
                journal.step(now, 1.0, speed, watts);
            }
        };
        go(100, 10.0, 36_000.0);
        go(100, 0.0, 3_600.0);
        go(100, 10.0, -3_600.0);
        go(400, 0.0, -50_000.0);
        go(10, 20.0, 0.0);
        let [first, second] = journal.journeys()[..] else { panic!() };
        assert_eq!((first.from_s, first.to_s, first.moving_s), (0.0, 300.0, 200.0));
        assert!((first.distance_km - 2.0).abs() < 1e-9);
        assert!((first.used_kwh - 1.1).abs() < 1e-9 && (first.recuperated_kwh - 0.1).abs() < 1e-9);
        assert_eq!((second.from_s, second.used_kwh), (700.0, 0.0));
    }
}
