//! The pack: 96 cell groups in series, each an equivalent circuit (open-circuit voltage over state of charge, a
//! series resistance, one RC pair), in 24 modules that warm up and cool down.
//!
//! Only additions, multiplications, divisions and square roots: IEEE 754 defines them to the last bit, so one
//! seed gives one recording on every platform.

use super::fault::Fault;
use super::random::{Draws, Use};

/// Cell groups in series.
pub const CELLS: usize = 96;
/// Modules, each with one temperature probe.
pub const MODULES: usize = 24;
const CELLS_PER_MODULE: usize = CELLS / MODULES;

/// What a cell group holds between 2.8 and 4.18 V at rest, in ampere hours.
pub const NOMINAL_AH: f64 = 140.0;
const R0_OHM: f64 = 0.8e-3;
const R1_OHM: f64 = 0.5e-3;
/// Time constant of the RC pair, in seconds.
const TAU_S: f64 = 40.0;
/// A module's heat capacity: four cells of 2.3 kg at 1 kJ/(kg K).
const MODULE_J_PER_K: f64 = 9_200.0;
const MODULE_W_PER_K: f64 = 1.5;

/// Open-circuit voltage of an NMC cell at 0, 5, ... 100 % state of charge.
const OCV: [f64; 21] = [
    2.80, 3.38, 3.46, 3.51, 3.55, 3.58, 3.61, 3.64, 3.66, 3.69, 3.72, 3.76, 3.81, 3.86, 3.91, 3.95, 4.00,
    4.04, 4.08, 4.12, 4.18,
];

/// What the vehicle asks of the pack. Positive flows out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Demand {
    Watts(f64),
    Amperes(f64),
}

/// What flowed in one step.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Flow {
    /// Amperes out of the pack.
    pub(crate) current: f64,
    /// Volts at the pack's terminals.
    pub(crate) voltage: f64,
    /// Watts that warm the cells.
    #[cfg(test)]
    pub(crate) heat: f64,
}

/// The state of every cell and module.
pub(crate) struct Pack {
    charge: [f64; CELLS],
    /// Volts across the RC pair.
    polarisation: [f64; CELLS],
    per_ampere_second: [f64; CELLS],
    r0: [f64; CELLS],
    r1: [f64; CELLS],
    terminal: [f64; CELLS],
    module_celsius: [f64; MODULES],
    fault: Fault,
    /// Volts that a drift has to take from its cell's open-circuit voltage per second.
    drift_v_per_s: f64,
}

impl Pack {
    /// A pack near `charge`, its cells spread as a young pack's are: 1 % in capacity, 3 % in resistance,
    /// 0.3 % in charge.
    pub(crate) fn new(seed: u64, charge: f64, celsius: f64, fault: Fault) -> Pack {
        let mut draws = Draws::new(seed, Use::Cells);
        let mut spread = |mean: f64, sigma: f64| std::array::from_fn(|_| mean + draws.bell(mean * sigma));
        let capacity_as: [f64; CELLS] = spread(NOMINAL_AH * 3_600.0, 0.01);
        let (r0, r1, charge) = (spread(R0_OHM, 0.03), spread(R1_OHM, 0.03), spread(charge, 0.003));
        let drift_v_per_s = match fault {
            Fault::CellDrift { mv_per_hour, .. } => mv_per_hour / 1_000.0 / 3_600.0,
            _ => 0.0,
        };
        let mut pack = Pack {
            charge,
            polarisation: [0.0; CELLS],
            per_ampere_second: capacity_as.map(|c| 1.0 / c),
            r0,
            r1,
            terminal: [0.0; CELLS],
            module_celsius: [celsius; MODULES],
            fault,
            drift_v_per_s,
        };
        pack.terminal = pack.charge.map(|c| open_circuit(c).0);
        pack
    }

    /// Lets `seconds` pass under this demand. `faulty` says whether the fault's onset has come, `awake` whether
    /// the vehicle is on.
    pub(crate) fn step(&mut self, seconds: f64, demand: Demand, faulty: bool, awake: bool) -> Flow {
        let fault = if faulty { self.fault } else { Fault::None };
        let (mut r0, mut r1) = self.resistances();
        if let Fault::HighResistance { cell, factor, .. } = fault {
            r0[cell.index()] *= factor;
            r1[cell.index()] *= factor;
        }
        let ocv = self.charge.map(|c| open_circuit(c).0);
        let emf: f64 = ocv.iter().zip(&self.polarisation).map(|(v, p)| v - p).sum();
        let ohms: f64 = r0.iter().sum();
        let current = match demand {
            Demand::Amperes(a) => a,
            Demand::Watts(w) => current_for(w, emf, ohms),
        };

        let keep = 1.0 / (1.0 + seconds / TAU_S);
        let mut heat = [0.0; MODULES];
        for cell in 0..CELLS {
            let warmth =
                current * current * r0[cell] + self.polarisation[cell] * self.polarisation[cell] / r1[cell];
            heat[cell / CELLS_PER_MODULE] += warmth;
            self.terminal[cell] = ocv[cell] - self.polarisation[cell] - current * r0[cell];
            self.charge[cell] -= current * seconds * self.per_ampere_second[cell];
            // Implicit Euler: stable for the long steps of a parked vehicle.
            self.polarisation[cell] = (self.polarisation[cell] + seconds / TAU_S * r1[cell] * current) * keep;
        }
        self.leak(seconds, fault, awake, &mut heat);
        for (celsius, heat) in self.module_celsius.iter_mut().zip(heat) {
            *celsius += heat * seconds / MODULE_J_PER_K;
        }
        Flow {
            current,
            voltage: emf - current * ohms,
            #[cfg(test)]
            heat: heat.iter().sum(),
        }
    }

    /// Takes the charge that a fault drains past the terminals.
    fn leak(&mut self, seconds: f64, fault: Fault, awake: bool, heat: &mut [f64; MODULES]) {
        match fault {
            // The drain that lowers the open-circuit voltage at the stated rate, wherever on the curve it is.
            Fault::CellDrift { cell, .. } if awake => {
                let slope = open_circuit(self.charge[cell.index()]).1;
                self.charge[cell.index()] -= self.drift_v_per_s * seconds / slope;
            }
            Fault::InternalShort { cell, ohm, .. } => {
                let volts = self.terminal[cell.index()].max(0.0);
                self.charge[cell.index()] -= volts / ohm * seconds * self.per_ampere_second[cell.index()];
                heat[cell.index() / CELLS_PER_MODULE] += volts * volts / ohm;
            }
            _ => {}
        }
        // An empty cell stays empty: what a reversed one does is beyond this circuit.
        self.charge.iter_mut().for_each(|c| *c = c.max(0.0));
    }

    /// Lets the modules give heat to the surroundings.
    pub(crate) fn cool(&mut self, seconds: f64, ambient_celsius: f64) {
        let pull = seconds * MODULE_W_PER_K / MODULE_J_PER_K;
        for celsius in &mut self.module_celsius {
            *celsius = (*celsius + pull * ambient_celsius) / (1.0 + pull);
        }
    }

    /// Volts at each cell's terminals in the last step.
    pub(crate) fn terminal(&self) -> &[f64; CELLS] {
        &self.terminal
    }

    /// Degrees Celsius of each module.
    pub(crate) fn module_celsius(&self) -> &[f64; MODULES] {
        &self.module_celsius
    }

    /// Resistances at the modules' temperatures: 1.2 % more per kelvin below 25 degrees Celsius.
    fn resistances(&self) -> ([f64; CELLS], [f64; CELLS]) {
        let factors = self.module_celsius.map(|c| (1.0 + 0.012 * (25.0 - c)).clamp(0.7, 3.0));
        let at =
            |ohms: &[f64; CELLS]| std::array::from_fn(|cell| ohms[cell] * factors[cell / CELLS_PER_MODULE]);
        (at(&self.r0), at(&self.r1))
    }
}

/// The current that gives this power at the terminals; the greatest that the pack can give if it can't.
fn current_for(watts: f64, emf: f64, ohms: f64) -> f64 {
    let discriminant = emf * emf - 4.0 * ohms * watts;
    (emf - discriminant.max(0.0).sqrt()) / (2.0 * ohms)
}

/// Open-circuit voltage and its slope, in volts per unit of charge. The end pieces go on beyond 0 and 100 %.
fn open_circuit(charge: f64) -> (f64, f64) {
    const PIECES: f64 = (OCV.len() - 1) as f64;
    let place = charge * PIECES;
    let piece = (place.max(0.0) as usize).min(OCV.len() - 2);
    let rise = OCV[piece + 1] - OCV[piece];
    (OCV[piece] + rise * (place - piece as f64), rise * PIECES)
}

#[cfg(test)]
mod tests {
    use super::super::fault::CellNumber;
    use super::*;

    const STEP_S: f64 = 0.1;

    fn pack(fault: Fault) -> Pack {
        Pack::new(3, 0.7, 25.0, fault)
    }

    #[test]
    fn energy_is_neither_made_nor_lost() {
        let mut pack = pack(Fault::None);
        let (mut chemical, mut delivered, mut heat) = (0.0, 0.0, 0.0);
        for second in 0..36_000 {
            let watts = [40_000.0, -20_000.0, 0.0, 15_000.0][second / 300 % 4];
            let emf: f64 = pack.charge.iter().map(|c| open_circuit(*c).0).sum();
            let flow = pack.step(STEP_S, Demand::Watts(watts), false, true);
            assert!((flow.current * flow.voltage - watts).abs() < 1e-6, "the demand is met");
            chemical += emf * flow.current * STEP_S;
            delivered += flow.current * flow.voltage * STEP_S;
            heat += flow.heat * STEP_S;
        }
        let stored: f64 = (0..CELLS).map(|c| 0.5 * TAU_S / pack.r1[c] * pack.polarisation[c].powi(2)).sum();
        let balance = (chemical - delivered - heat - stored).abs();
        assert!(heat > 10_000.0 && balance < 0.01 * heat, "off by {balance} J of {heat} J of heat");
    }

    #[test]
    fn charge_is_the_integral_of_current() {
        let mut pack = pack(Fault::None);
        let before = pack.charge;
        for _ in 0..36_000 {
            pack.step(STEP_S, Demand::Amperes(50.0), false, true);
        }
        for (cell, before) in before.into_iter().enumerate() {
            let taken = (before - pack.charge[cell]) / pack.per_ampere_second[cell] / 3_600.0;
            assert!((taken - 50.0).abs() < 1e-6, "cell {cell} gave {taken} Ah");
        }
    }

    #[test]
    fn a_loaded_cell_recovers_at_rest_to_its_open_circuit_voltage() {
        let mut pack = pack(Fault::None);
        for _ in 0..3_000 {
            pack.step(STEP_S, Demand::Amperes(100.0), false, true);
        }
        let loaded = pack.terminal[0];
        for _ in 0..60 {
            pack.step(10.0, Demand::Amperes(0.0), false, false);
        }
        let rested = open_circuit(pack.charge[0]).0;
        assert!((pack.terminal[0] - rested).abs() < 1e-4);
        assert!((0.10..0.16).contains(&(rested - loaded)), "100 A through 1.3 mOhm: {}", rested - loaded);
    }

    #[test]
    fn an_impossible_power_is_met_as_far_as_it_goes() {
        let flow = pack(Fault::None).step(STEP_S, Demand::Watts(1e9), false, true);
        assert!(flow.current.is_finite() && flow.voltage > 0.0);
    }

    #[test]
    fn each_fault_moves_its_own_cell_as_stated() {
        let cell = CellNumber::new(42).unwrap();
        let hour = |fault| {
            let mut pack = pack(fault);
            for _ in 0..36_000 {
                pack.step(STEP_S, Demand::Amperes(20.0), true, true);
            }
            pack
        };
        let healthy = hour(Fault::None);
        let fell = |pack: &Pack, cell: usize| (healthy.terminal[cell] - pack.terminal[cell]) * 1_000.0;

        let drift = hour(Fault::CellDrift { cell, onset_s: 0.0, mv_per_hour: 30.0 });
        assert!((fell(&drift, 41) - 30.0).abs() < 6.0, "{} mV", fell(&drift, 41));
        assert_eq!(fell(&drift, 40), 0.0);

        // 3.9 V over 1 ohm for an hour: 3.9 Ah of 140, at about 0.9 V per unit of charge.
        let short = hour(Fault::InternalShort { cell, onset_s: 0.0, ohm: 1.0 });
        assert!((20.0..32.0).contains(&fell(&short, 41)), "{} mV", fell(&short, 41));
        assert!(
            short.module_celsius[10] > healthy.module_celsius[10] + 0.5,
            "3.9 V over 1 ohm warm their module"
        );

        // Twice 1.3 mOhm at 20 A is 26 mV more.
        let resistance = hour(Fault::HighResistance { cell, onset_s: 0.0, factor: 2.0 });
        assert!((22.0..30.0).contains(&fell(&resistance, 41)), "{} mV", fell(&resistance, 41));
    }
}
