//! How the pack ages: capacity fades and resistance grows with time, faster in the heat, and with every cycle.
//!
//! The form is that of Wang et al., J. Power Sources 269 (2014) 937: calendar loss with the square root of time and
//! an activation energy of 24.5 kJ/mol, cycle loss in proportion to the charge moved. The sizes are an electric
//! car's: 2 % in the first year at 25 degrees Celsius, and 10 % in a thousand full cycles.

use crate::pack::{MODULES, arrhenius};

const CALENDAR_J_PER_MOL: f64 = 24_500.0;
/// Capacity that the first year at 25 degrees Celsius takes, as a share.
const FIRST_YEAR: f64 = 0.02;
/// Capacity that a full cycle takes, as a share.
const PER_CYCLE: f64 = 1e-4;
/// Resistance gained over capacity lost.
const GROWTH_PER_FADE: f64 = 2.0;
/// No cell of a pack that still drives has lost more.
const MAX_FADE: f64 = 0.6;
const YEAR_S: f64 = 31_557_600.0;

/// The age of each module's cells.
#[derive(Clone)]
pub(crate) struct Life {
    /// Years at 25 degrees Celsius that would have cost as much.
    equivalent_years: [f64; MODULES],
    cycles: f64,
    fade: [f64; MODULES],
}

impl Life {
    /// After so many years at 25 degrees Celsius and so many full cycles.
    pub(crate) fn new(years: f64, cycles: f64) -> Life {
        let mut life = Life { equivalent_years: [years; MODULES], cycles, fade: [0.0; MODULES] };
        life.sum();
        life
    }

    /// Lets time pass and charge flow: `cycled` is the share of a full cycle.
    pub(crate) fn pass(&mut self, seconds: f64, celsius: &[f64; MODULES], cycled: f64) {
        self.cycles += cycled;
        for (years, celsius) in self.equivalent_years.iter_mut().zip(celsius) {
            // The loss goes with the root of time, so what speeds it up counts twice for time.
            let pace = arrhenius(CALENDAR_J_PER_MOL, *celsius);
            *years += seconds / YEAR_S * pace * pace;
        }
        self.sum();
    }

    fn sum(&mut self) {
        let by_cycles = PER_CYCLE * self.cycles;
        let fade = |years: &f64| (FIRST_YEAR * years.sqrt() + by_cycles).min(MAX_FADE);
        self.fade = std::array::from_fn(|module| fade(&self.equivalent_years[module]));
    }

    /// What is left of a module's capacity, of 1.
    pub(crate) fn capacity_factor(&self, module: usize) -> f64 {
        1.0 - self.fade[module]
    }

    /// How many times the new one its resistance is.
    pub(crate) fn resistance_factor(&self, module: usize) -> f64 {
        1.0 + GROWTH_PER_FADE * self.fade[module]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(life: &Life) -> f64 {
        1.0 - life.capacity_factor(0)
    }

    #[test]
    fn time_heat_and_cycles_age() {
        let year = |celsius: f64, cycles: f64| {
            let mut life = Life::new(0.0, 0.0);
            (0..365).for_each(|_| life.pass(YEAR_S / 365.0, &[celsius; MODULES], cycles / 365.0));
            lost(&life)
        };
        assert!((year(25.0, 0.0) - 0.02).abs() < 1e-9);
        assert!((1.3..1.5).contains(&(year(35.0, 0.0) / 0.02)), "{}", year(35.0, 0.0));
        assert!((year(25.0, 200.0) - 0.04).abs() < 1e-9);
        assert!((lost(&Life::new(4.0, 0.0)) - 0.04).abs() < 1e-9, "the root of time");
        assert!(Life::new(4.0, 500.0).resistance_factor(0) > 1.15);
        assert_eq!(lost(&Life::new(20.0, 5_000.0)), 0.02 * 20.0_f64.sqrt() + 0.5);
    }
}
