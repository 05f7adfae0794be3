//! How a trip was driven: harsh braking and acceleration, out of the speed alone, whatever its rate.

use crate::reading::Reading;
use telltale_wire::time::MonoTime;
use telltale_wire::trip::Behaviour;

/// Two speeds make an acceleration if so much time lies between them: less and the steps of the signal count, more and
/// nobody knows what was between.
const SHORTEST_S: f64 = 0.4;
const LONGEST_S: f64 = 2.5;
/// A manoeuvre is over when its acceleration has fallen below this share of the threshold,
const OVER_SHARE: f32 = 0.5;
/// and another may be counted so long after it was.
const APART_S: f64 = 2.0;

/// What accelerations came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Driving {
    before: Option<Reading>,
    braking: Counter,
    acceleration: Counter,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    behaviour: Behaviour,
    /// When the manoeuvre that was counted last was last seen.
    during: Option<MonoTime>,
    is_over: bool,
}

impl Driving {
    pub(super) const fn new(braking: f32, acceleration: f32) -> Driving {
        Driving { before: None, braking: Counter::new(braking), acceleration: Counter::new(acceleration) }
    }

    /// Takes the speed of a step, in m/s; one that was seen before says nothing new.
    pub(super) fn take(&mut self, speed: Reading) {
        let Some(before) = self.before else {
            self.before = Some(speed);
            return;
        };
        let seconds = speed.at.since(before.at).as_secs_f64();
        if seconds < SHORTEST_S {
            return;
        }
        self.before = Some(speed);
        if seconds > LONGEST_S {
            return;
        }
        let acceleration = ((speed.value - before.value) / seconds) as f32;
        self.acceleration.take(acceleration, speed.at, seconds);
        self.braking.take(-acceleration, speed.at, seconds);
    }

    /// Braking and acceleration.
    pub(super) const fn told(&self) -> (Behaviour, Behaviour) {
        (self.braking.behaviour, self.acceleration.behaviour)
    }
}

impl Counter {
    const fn new(threshold: f32) -> Counter {
        let behaviour = Behaviour { count: 0, threshold, hardest: 0.0, known_s: 0.0 };
        Counter { behaviour, during: None, is_over: true }
    }

    fn take(&mut self, amount: f32, at: MonoTime, seconds: f64) {
        let Behaviour { threshold, .. } = self.behaviour;
        self.behaviour.known_s += seconds as f32;
        self.behaviour.hardest = self.behaviour.hardest.max(amount);
        if amount >= threshold {
            let apart = self.during.is_none_or(|last| at.since(last).as_secs_f64() >= APART_S);
            self.behaviour.count += u32::from(self.is_over && apart);
            (self.during, self.is_over) = (Some(at), false);
        } else if amount < OVER_SHARE * threshold {
            self.is_over = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Speeds in m/s, so many seconds apart.
    fn driven(seconds: f64, speeds: &[f64]) -> (Behaviour, Behaviour) {
        let mut driving = Driving::new(3.5, 2.5);
        for (n, value) in speeds.iter().enumerate() {
            driving.take(Reading { value: *value, at: MonoTime((n as f64 * seconds * 1e6) as u64) });
        }
        driving.told()
    }

    #[test]
    fn one_manoeuvre_is_counted_once_and_two_are_two() {
        // From 20 m/s with 4 m/s2 in steps of a second, then on, then once more.
        let (braking, acceleration) =
            driven(1.0, &[20.0, 16.0, 12.0, 8.0, 8.0, 8.0, 8.0, 9.0, 10.0, 6.0, 2.0, 2.0]);
        assert_eq!((braking.count, braking.hardest), (2, 4.0));
        assert_eq!((acceleration.count, acceleration.hardest), (0, 1.0));
    }

    #[test]
    fn a_pause_within_a_manoeuvre_makes_no_second_one() {
        let (braking, _) = driven(0.5, &[20.0, 18.0, 18.0, 16.0, 16.0, 14.0]);
        assert_eq!(braking.count, 1);
    }

    #[test]
    fn steps_of_a_fast_signal_and_gaps_are_no_accelerations() {
        // 0.1 m/s of noise at 50 Hz would be 5 m/s2.
        let noise: Vec<f64> = (0..500).map(|n| 10.0 + 0.1 * f64::from(n % 2)).collect();
        let (braking, acceleration) = driven(0.02, &noise);
        assert!(braking.count == 0 && acceleration.hardest < 0.3, "{braking:?} {acceleration:?}");
        let (braking, _) = driven(3.0, &[30.0, 0.0, 30.0]);
        assert_eq!((braking.hardest, braking.known_s), (0.0, 0.0), "nobody knows");
    }
}
