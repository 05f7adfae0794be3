//! The 12 V battery at each start: how it rests before the contactors' coils pull, and how far they pull it down.

use super::signals::{Place, Sample};

/// A battery that gives less than this rests, in amperes: what the control units take while they wake is more than
/// nothing. One that is charged does not rest.
const REST_A: f64 = 12.0;
/// A load of this or more pulls the battery down, in amperes.
const LOAD_A: f64 = 25.0;
/// Places of [`super::QUANTITIES`].
const REST: usize = 5;
const RESISTANCE: usize = 6;

/// One start.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct LowVoltage {
    is_connected: Option<bool>,
    rest: Option<(f64, f64)>,
    load: Option<(f64, f64)>,
}

impl LowVoltage {
    /// Takes a step; what a start told, once the traction battery is connected.
    pub(super) fn step(&mut self, sample: &Sample) -> Option<[(usize, f64); 2]> {
        let connected = sample.get(Place::IsConnected).ok().map(|connected| connected >= 0.5);
        let before = std::mem::replace(&mut self.is_connected, connected);
        if connected == Some(false) {
            // Positive flows into the battery.
            let [volts, amperes] = sample.all([Place::LowVolts, Place::LowAmperes])?;
            match -amperes {
                given if (0.0..REST_A).contains(&given) => self.rest = Some((volts, given)),
                given if given > LOAD_A => self.load = Some((volts, given)),
                _ => {}
            }
            return None;
        }
        let (rest, load) = (self.rest.take(), self.load.take());
        let has_started = (before, connected) == (Some(false), Some(true));
        let ((rest_v, rest_a), (load_v, load_a)) = (rest.filter(|_| has_started)?, load?);
        let ohm = (rest_v - load_v) / (load_a - rest_a);
        Some([(REST, rest_v), (RESISTANCE, ohm)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(of: &mut LowVoltage, connected: f64, volts: f64, amperes: f64) -> Option<[(usize, f64); 2]> {
        let values =
            [(Place::IsConnected, connected), (Place::LowVolts, volts), (Place::LowAmperes, amperes)];
        of.step(&Sample::of(&values))
    }

    #[test]
    fn a_start_tells_rest_and_resistance() {
        let mut battery = LowVoltage::default();
        assert_eq!(step(&mut battery, 0.0, 12.6, -5.0), None);
        assert_eq!(step(&mut battery, 0.0, 12.2, -45.0), None);
        let told = step(&mut battery, 1.0, 14.1, 1.5).unwrap();
        assert_eq!((told[0], told[1].0), ((REST, 12.6), RESISTANCE));
        assert!((told[1].1 - 0.01).abs() < 1e-9, "{told:?}");
        assert_eq!(step(&mut battery, 1.0, 14.1, 1.5), None, "once a start");
    }

    #[test]
    fn a_converter_that_starts_before_the_contactors_close_is_no_rest() {
        let mut battery = LowVoltage::default();
        step(&mut battery, 0.0, 12.6, -5.0);
        step(&mut battery, 0.0, 12.2, -45.0);
        step(&mut battery, 0.0, 14.1, 1.5);
        let told = step(&mut battery, 1.0, 14.1, 1.5).unwrap();
        assert_eq!(told[0], (REST, 12.6));
    }

    #[test]
    fn half_a_start_tells_nothing() {
        let mut battery = LowVoltage::default();
        step(&mut battery, 0.0, 12.6, -5.0);
        assert_eq!(step(&mut battery, 1.0, 14.1, 1.5), None, "the coils were not seen");
        step(&mut battery, 0.0, 12.2, -45.0);
        assert_eq!(battery.step(&Sample::of(&[])), None);
        assert_eq!(step(&mut battery, 1.0, 14.1, 1.5), None, "the agent was silent in between");
    }
}
