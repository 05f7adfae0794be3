//! Speed over time: micro-trips (away from a stop, along, back to a stop) drawn so that each road has the mean speed,
//! the top speed and the share of standing of a published cycle. No trace is copied; a trip is drawn anew by seed.
//!
//! Sources of the figures: UN Global Technical Regulation 15, annex 1 (WLTC class 3b: low, medium, high and
//! extra-high phase) and 40 CFR 86, appendix I (UDDS).

use crate::random::Draws;

/// A kind of road.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Road {
    /// As the low phase of the WLTC.
    Urban,
    /// As its medium phase.
    Suburban,
    /// As its high phase.
    Rural,
    /// As its extra-high phase.
    Motorway,
    /// As the urban dynamometer driving schedule.
    Udds,
}

/// How micro-trips of a road are drawn. Speeds in km/h, times in seconds, accelerations in m/s2.
struct Style {
    top: f64,
    peak: [f64; 2],
    hold: [f64; 2],
    stop: [f64; 2],
    pull: [f64; 2],
    brake: [f64; 2],
    /// How likely the next manoeuvre is another speed rather than a stop.
    flow: f64,
}

const fn style(road: Road) -> Style {
    match road {
        Road::Urban => Style {
            top: 56.5,
            peak: [16.0, 50.0],
            hold: [3.0, 26.0],
            stop: [6.0, 32.0],
            pull: [0.4, 1.4],
            brake: [0.5, 1.5],
            flow: 0.48,
        },
        Road::Suburban => Style {
            top: 76.6,
            peak: [30.0, 70.0],
            hold: [8.0, 55.0],
            stop: [6.0, 35.0],
            pull: [0.4, 1.5],
            brake: [0.5, 1.5],
            flow: 0.72,
        },
        Road::Rural => Style {
            top: 97.4,
            peak: [40.0, 90.0],
            hold: [15.0, 80.0],
            stop: [5.0, 40.0],
            pull: [0.4, 1.4],
            brake: [0.5, 1.4],
            flow: 0.81,
        },
        Road::Motorway => Style {
            top: 131.3,
            peak: [70.0, 125.0],
            hold: [30.0, 150.0],
            stop: [8.0, 40.0],
            pull: [0.4, 1.2],
            brake: [0.4, 1.2],
            flow: 0.90,
        },
        Road::Udds => Style {
            top: 91.2,
            peak: [22.0, 73.0],
            hold: [8.0, 36.0],
            stop: [5.0, 38.0],
            pull: [0.5, 1.5],
            brake: [0.5, 1.5],
            flow: 0.56,
        },
    }
}

/// At the top of its range a driver still adds this share of the starting acceleration.
const PULL_AT_TOP: f64 = 0.35;
/// How far a held speed wanders, in m/s, and over which time, in seconds.
const WANDER: (f64, f64) = (0.4, 20.0);
/// A stop that traffic calls for.
const STOP_BRAKE: f64 = 1.3;

/// The driver on a road.
pub(crate) struct Cycle {
    road: Road,
    /// Metres per second.
    speed: f64,
    target: f64,
    wander: f64,
    /// Metres per second squared, towards the target.
    pull: f64,
    hold_s: f64,
}

impl Cycle {
    pub(crate) const fn new(road: Road) -> Cycle {
        Cycle { road, speed: 0.0, target: 0.0, wander: 0.0, pull: 1.0, hold_s: 5.0 }
    }

    /// Goes on along another road, at the speed that it has.
    pub(crate) const fn turn_into(&mut self, road: Road) {
        self.road = road;
    }

    /// The next speed, in m/s. `stopping` brings it to a stand.
    pub(crate) fn step(&mut self, seconds: f64, stopping: bool, draws: &mut Draws) -> f64 {
        let style = style(self.road);
        if stopping {
            (self.target, self.pull, self.wander) = (0.0, STOP_BRAKE, 0.0);
        } else if self.arrived() {
            self.hold_s -= seconds;
            if self.hold_s <= 0.0 {
                self.choose(&style, draws);
            }
        }
        if self.target > 0.0 {
            // A first-order wander about the target, drawn every step.
            let fade = seconds / WANDER.1;
            self.wander += -self.wander * fade + draws.bell(WANDER.0 * (2.0 * fade).sqrt());
        }
        let aim = if self.target > 0.0 { (self.target + self.wander).max(1.0) } else { 0.0 };
        let up = self.pull * (1.0 - (1.0 - PULL_AT_TOP) * (self.speed * 3.6 / style.top).min(1.0));
        let reach = seconds * if aim > self.speed { up } else { self.pull };
        self.speed += (aim - self.speed).clamp(-reach, reach);
        self.speed
    }

    /// Whether the manoeuvre's speed is reached, within what it wanders.
    fn arrived(&self) -> bool {
        if self.target == 0.0 { self.speed == 0.0 } else { (self.speed - self.target).abs() < 4.0 * WANDER.0 }
    }

    fn choose(&mut self, style: &Style, draws: &mut Draws) {
        let stands = self.target == 0.0;
        let goes_on = stands || draws.between(0.0, 1.0) < style.flow;
        let pick = |draws: &mut Draws, range: [f64; 2]| draws.between(range[0], range[1]);
        if goes_on {
            self.target = pick(draws, style.peak) / 3.6;
            self.hold_s = pick(draws, style.hold);
        } else {
            self.target = 0.0;
            self.wander = 0.0;
            self.hold_s = pick(draws, style.stop);
        }
        self.pull = if self.target > self.speed { pick(draws, style.pull) } else { pick(draws, style.brake) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Use;

    /// Mean and top speed in km/h and the share of standing, over so many seconds.
    fn measured(road: Road, seed: u64) -> (f64, f64, f64) {
        let (mut cycle, mut draws) = (Cycle::new(road), Draws::new(seed, Use::Road));
        let (mut sum, mut top, mut standing) = (0.0, 0.0_f64, 0);
        const STEPS: u32 = 400_000;
        let mut last = 0.0;
        for _ in 0..STEPS {
            let speed = cycle.step(0.1, false, &mut draws);
            assert!((speed - last).abs() <= 0.151, "no driver accelerates so");
            last = speed;
            sum += speed * 3.6;
            top = top.max(speed * 3.6);
            standing += u32::from(speed == 0.0);
        }
        (sum / f64::from(STEPS), top, f64::from(standing) / f64::from(STEPS))
    }

    #[test]
    fn each_road_is_as_the_published_cycle_is() {
        // Mean speed, top speed, share of standing.
        let mut off = Vec::new();
        for (road, mean, top, standing) in [
            (Road::Urban, 18.9, 56.5, 0.265),
            (Road::Suburban, 39.5, 76.6, 0.111),
            (Road::Rural, 56.7, 97.4, 0.068),
            (Road::Motorway, 92.0, 131.3, 0.022),
            (Road::Udds, 31.5, 91.2, 0.189),
        ] {
            let (m, t, s) = measured(road, 3);
            let fits = (m / mean - 1.0).abs() < 0.07
                && (s - standing).abs() < 0.03
                && (0.75 * top..1.04 * top).contains(&t);
            if !fits {
                off.push(format!(
                    "{road:?}: {m:.1} km/h of {mean}, top {t:.1} of {top}, standing {s:.3} of {standing}"
                ));
            }
        }
        assert!(off.is_empty(), "{off:#?}");
    }

    #[test]
    fn a_driver_who_is_told_to_stop_stops() {
        let (mut cycle, mut draws) = (Cycle::new(Road::Motorway), Draws::new(1, Use::Road));
        (0..3_000).for_each(|_| {
            cycle.step(0.1, false, &mut draws);
        });
        let last = (0..400).map(|_| cycle.step(0.1, true, &mut draws)).last();
        assert_eq!(last, Some(0.0));
    }
}
