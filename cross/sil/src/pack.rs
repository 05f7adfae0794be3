//! The pack: 96 cell groups in series, each an equivalent circuit: open-circuit voltage over state of charge and
//! temperature, a series resistance, two RC pairs for charge transfer and diffusion, all slower in the cold.
//!
//! The open-circuit curve is the one that two cars in service show after rest (`VALIDATION.md`): their BMS's state
//! of charge, which is not that of a laboratory.

use crate::life::Life;
use crate::random::{Draws, Use};
use crate::spec::PackSpec;

/// Cell groups in series.
pub const CELLS: usize = 96;
/// Modules, each with one temperature probe.
pub const MODULES: usize = 24;
/// Cell groups of a module.
pub(crate) const CELLS_PER_MODULE: usize = CELLS / MODULES;

/// Share of the ohmic resistance that each RC pair adds.
pub(crate) const RC_SHARE: f64 = 0.5;
/// Time constants of charge transfer and of diffusion, in seconds.
pub(crate) const TAU_S: [f64; 2] = [20.0, 300.0];
/// How much a resistance grows in the cold: that of NMC cells between -10 and 40 degrees Celsius, in joules per mole.
const ACTIVATION_J_PER_MOL: f64 = 20_000.0;
const GAS_J_PER_MOL_K: f64 = 8.314_462_618;
/// The temperature at which resistances are stated.
const REFERENCE_K: f64 = 298.15;
pub(crate) const KELVIN: f64 = 273.15;
/// How often resistances follow the temperature, in seconds: modules take minutes for a kelvin.
const FOLLOW_S: f64 = 2.0;

/// Open-circuit voltage of an NMC cell group at 25 degrees Celsius, at 0, 5, ... 100 % state of charge.
const OCV: [f64; 21] = [
    3.000, 3.330, 3.420, 3.460, 3.490, 3.520, 3.555, 3.585, 3.607, 3.627, 3.647, 3.668, 3.702, 3.755, 3.808,
    3.852, 3.904, 3.957, 4.022, 4.083, 4.140,
];
/// What the open-circuit voltage gains per kelvin, empty and full, in volts: the entropy of the reaction.
const ENTROPY_V_PER_K: (f64, f64) = (-0.25e-3, 0.10e-3);

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
}

/// What faults and balancing do to the cells in one step.
#[derive(Clone)]
pub(crate) struct Disturbance {
    /// Amperes that flow past the terminals.
    pub(crate) leak_a: [f64; CELLS],
    /// Ohms between the cell and its neighbours, inside its measured voltage.
    pub(crate) extra_ohm: [f64; CELLS],
    /// How many times their own the resistances are.
    pub(crate) resistance_factor: [f64; CELLS],
    /// How fast the open-circuit voltage falls, in volts per second.
    pub(crate) drift_v_per_s: [f64; CELLS],
}

impl Disturbance {
    pub(crate) const NONE: Disturbance = Disturbance {
        leak_a: [0.0; CELLS],
        extra_ohm: [0.0; CELLS],
        resistance_factor: [1.0; CELLS],
        drift_v_per_s: [0.0; CELLS],
    };
}

/// The state of every cell.
pub(crate) struct Pack {
    charge: [f64; CELLS],
    /// Volts across the RC pairs.
    polarisation: [[f64; CELLS]; 2],
    new_capacity_as: [f64; CELLS],
    /// What one ampere second out of the cell takes of its charge, of 1, by age.
    pub(crate) per_ampere_second: [f64; CELLS],
    /// Ohmic resistance of the new cell at 25 degrees Celsius.
    new_ohm: [f64; CELLS],
    /// Ohmic resistance now, by age and temperature.
    pub(crate) ohm: [f64; CELLS],
    terminal: [f64; CELLS],
    module_heat: [f64; MODULES],
    since_followed_s: f64,
}

impl Pack {
    /// A pack with its cells spread as stated.
    pub(crate) fn new(seed: u64, spec: &PackSpec, celsius: &[f64; MODULES], life: &Life) -> Pack {
        let mut draws = Draws::new(seed, Use::Cells);
        let mut spread = |mean: f64, sigma: f64| std::array::from_fn(|_| mean + draws.bell(sigma));
        let new_capacity_as =
            spread(spec.capacity_ah * 3_600.0, spec.capacity_ah * 3_600.0 * spec.capacity_spread);
        let ohm = spec.resistance_mohm / 1_000.0;
        let new_ohm = spread(ohm, ohm * spec.resistance_spread);
        let drawn = spread(spec.charge, spec.charge_spread);
        let charge = balanced_when_full(drawn, spec, &new_capacity_as);
        let mut pack = Pack {
            charge,
            polarisation: [[0.0; CELLS]; 2],
            new_capacity_as,
            per_ampere_second: [0.0; CELLS],
            new_ohm,
            ohm: new_ohm,
            terminal: [0.0; CELLS],
            module_heat: [0.0; MODULES],
            since_followed_s: 0.0,
        };
        pack.follow(celsius, life);
        pack.terminal =
            std::array::from_fn(|cell| open_circuit(charge[cell], celsius[cell / CELLS_PER_MODULE]).0);
        pack
    }

    /// Lets `seconds` pass under this demand.
    pub(crate) fn step(
        &mut self,
        seconds: f64,
        demand: Demand,
        disturbance: &Disturbance,
        celsius: &[f64; MODULES],
        life: &Life,
    ) -> Flow {
        self.since_followed_s += seconds;
        if self.since_followed_s >= FOLLOW_S {
            self.follow(celsius, life);
        }
        let ocv: [f64; CELLS] =
            std::array::from_fn(|cell| open_circuit(self.charge[cell], celsius[cell / CELLS_PER_MODULE]).0);
        let (mut emf, mut ohms) = (0.0, 0.0);
        for (cell, ocv) in ocv.iter().enumerate() {
            emf += ocv - self.polarisation[0][cell] - self.polarisation[1][cell];
            ohms += self.series(cell, disturbance);
        }
        let current = match demand {
            Demand::Amperes(a) => a,
            Demand::Watts(w) => current_for(w, emf, ohms),
        };
        self.module_heat = [0.0; MODULES];
        // Implicit Euler: stable for the long steps of a parked vehicle.
        let gain = TAU_S.map(|tau| seconds / tau);
        let keep = gain.map(|gain| 1.0 / (1.0 + gain));
        for (cell, ocv) in ocv.into_iter().enumerate() {
            let module = cell / CELLS_PER_MODULE;
            let rc = self.ohm[cell] * disturbance.resistance_factor[cell] * RC_SHARE;
            let [first, second] = [self.polarisation[0][cell], self.polarisation[1][cell]];
            let series = self.series(cell, disturbance);
            self.terminal[cell] = ocv - first - second - current * series;
            self.module_heat[module] += current * current * series + (first * first + second * second) / rc
                - current * (celsius[module] + KELVIN) * entropy(self.charge[cell]);
            self.charge[cell] -=
                (current + disturbance.leak_a[cell]) * seconds * self.per_ampere_second[cell];
            self.polarisation[0][cell] = (first + gain[0] * rc * current) * keep[0];
            self.polarisation[1][cell] = (second + gain[1] * rc * current) * keep[1];
            self.leak(cell, seconds, disturbance);
        }
        Flow { current, voltage: emf - current * ohms }
    }

    fn series(&self, cell: usize, disturbance: &Disturbance) -> f64 {
        self.ohm[cell] * disturbance.resistance_factor[cell] + disturbance.extra_ohm[cell]
    }

    /// What a fault drains past the terminals, and its warmth.
    fn leak(&mut self, cell: usize, seconds: f64, disturbance: &Disturbance) {
        if disturbance.drift_v_per_s[cell] != 0.0 {
            // The drain that moves the open-circuit voltage at the stated rate, wherever on the curve it is.
            let slope = open_circuit(self.charge[cell], 25.0).1;
            self.charge[cell] -= disturbance.drift_v_per_s[cell] * seconds / slope;
        }
        self.module_heat[cell / CELLS_PER_MODULE] += disturbance.leak_a[cell] * self.terminal[cell].max(0.0);
        // An empty cell stays empty: what a reversed one does is beyond this circuit.
        self.charge[cell] = self.charge[cell].max(0.0);
    }

    /// Volts at each cell's terminals in the last step.
    pub(crate) const fn terminal(&self) -> &[f64; CELLS] {
        &self.terminal
    }

    /// Watts that each module's cells gave off in the last step.
    pub(crate) const fn module_heat(&self) -> &[f64; MODULES] {
        &self.module_heat
    }

    /// Brings resistance and capacity to what temperature and age make of them.
    fn follow(&mut self, celsius: &[f64; MODULES], life: &Life) {
        self.since_followed_s = 0.0;
        for (module, celsius) in celsius.iter().enumerate() {
            let warmth = arrhenius(ACTIVATION_J_PER_MOL, *celsius);
            let (growth, left) = (life.resistance_factor(module), life.capacity_factor(module));
            for cell in module * CELLS_PER_MODULE..(module + 1) * CELLS_PER_MODULE {
                self.ohm[cell] = self.new_ohm[cell] * growth / warmth;
                self.per_ampere_second[cell] = 1.0 / (self.new_capacity_as[cell] * left);
            }
        }
    }
}

/// The cells' charge in a pack whose balancing makes them equal when it is full: on the way down from there the small
/// ones lose more of theirs. `drawn` is what each would have if all were of one size.
fn balanced_when_full(drawn: [f64; CELLS], spec: &PackSpec, capacity_as: &[f64; CELLS]) -> [f64; CELLS] {
    let mean_as = spec.capacity_ah * 3_600.0;
    std::array::from_fn(|cell| {
        let larger = 1.0 - mean_as / capacity_as[cell];
        (drawn[cell] + (1.0 - spec.charge) * larger).clamp(0.0, 1.0)
    })
}

/// How much faster a reaction of this activation energy runs than at 25 degrees Celsius.
pub(crate) fn arrhenius(joules_per_mol: f64, celsius: f64) -> f64 {
    libm::exp(joules_per_mol / GAS_J_PER_MOL_K * (1.0 / REFERENCE_K - 1.0 / (celsius + KELVIN)))
}

/// The current that gives this power at the terminals; the greatest that the pack can give if it can't.
fn current_for(watts: f64, emf: f64, ohms: f64) -> f64 {
    let discriminant = emf * emf - 4.0 * ohms * watts;
    (emf - discriminant.max(0.0).sqrt()) / (2.0 * ohms)
}

fn entropy(charge: f64) -> f64 {
    ENTROPY_V_PER_K.0 + charge * (ENTROPY_V_PER_K.1 - ENTROPY_V_PER_K.0)
}

/// Open-circuit voltage and its slope, in volts per unit of charge. The end pieces go on beyond 0 and 100 %.
fn open_circuit(charge: f64, celsius: f64) -> (f64, f64) {
    const PIECES: f64 = (OCV.len() - 1) as f64;
    let place = charge * PIECES;
    let piece = (place.max(0.0) as usize).min(OCV.len() - 2);
    let rise = OCV[piece + 1] - OCV[piece];
    let at_25 = OCV[piece] + rise * (place - piece as f64);
    (at_25 + entropy(charge) * (celsius - 25.0), rise * PIECES)
}

/// The state of charge at which a rested cell shows this voltage, 0 to 1.
pub(crate) fn charge_at(volts: f64) -> f64 {
    const PIECES: f64 = (OCV.len() - 1) as f64;
    let piece = OCV.iter().skip(1).take(OCV.len() - 2).take_while(|v| **v <= volts).count();
    ((piece as f64 + (volts - OCV[piece]) / (OCV[piece + 1] - OCV[piece])) / PIECES).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP_S: f64 = 0.1;
    const WARM: [f64; MODULES] = [25.0; MODULES];

    fn pack() -> Pack {
        let spec = PackSpec { charge: 0.7, ..PackSpec::default() };
        Pack::new(3, &spec, &WARM, &Life::new(0.0, 0.0))
    }

    fn step(pack: &mut Pack, seconds: f64, demand: Demand, disturbance: &Disturbance) -> Flow {
        pack.step(seconds, demand, disturbance, &WARM, &Life::new(0.0, 0.0))
    }

    #[test]
    fn energy_is_neither_made_nor_lost() {
        let mut pack = pack();
        let (mut chemical, mut delivered, mut heat) = (0.0, 0.0, 0.0);
        for second in 0..36_000 {
            let watts = [40_000.0, -20_000.0, 0.0, 15_000.0][second / 300 % 4];
            let reaction: f64 =
                pack.charge.iter().map(|c| open_circuit(*c, 25.0).0 - (25.0 + KELVIN) * entropy(*c)).sum();
            let flow = step(&mut pack, STEP_S, Demand::Watts(watts), &Disturbance::NONE);
            assert!((flow.current * flow.voltage - watts).abs() < 1e-6, "the demand is met");
            chemical += reaction * flow.current * STEP_S;
            delivered += flow.current * flow.voltage * STEP_S;
            heat += pack.module_heat.iter().sum::<f64>() * STEP_S;
        }
        let stored: f64 = (0..CELLS)
            .map(|c| {
                let [first, second] = [pack.polarisation[0][c], pack.polarisation[1][c]];
                0.5 / (pack.ohm[c] * RC_SHARE) * (TAU_S[0] * first * first + TAU_S[1] * second * second)
            })
            .sum();
        let balance = (chemical - delivered - heat - stored).abs();
        assert!(balance < 0.01 * delivered.abs(), "off by {balance} J of {delivered} J, {heat} J of heat");
        assert!(heat > 100_000.0, "{heat} J of heat");
    }

    #[test]
    fn charge_is_the_integral_of_current() {
        let mut pack = pack();
        let before = pack.charge;
        for _ in 0..36_000 {
            step(&mut pack, STEP_S, Demand::Amperes(50.0), &Disturbance::NONE);
        }
        for (cell, before) in before.into_iter().enumerate() {
            let taken = (before - pack.charge[cell]) / pack.per_ampere_second[cell] / 3_600.0;
            assert!((taken - 50.0).abs() < 1e-6, "cell {cell} gave {taken} Ah");
        }
    }

    #[test]
    fn cells_of_unequal_size_are_equal_when_the_pack_is_full() {
        let spec = PackSpec { charge: 0.3, capacity_spread: 0.03, charge_spread: 0.0, ..PackSpec::default() };
        let mut pack = Pack::new(3, &spec, &WARM, &Life::new(0.0, 0.0));
        let apart = |pack: &Pack| {
            let highest = pack.charge.iter().copied().fold(0.0, f64::max);
            highest - pack.charge.iter().copied().fold(1.0, f64::min)
        };
        assert!(apart(&pack) > 0.05, "{}", apart(&pack));
        let filling = Demand::Amperes(-0.7 * spec.capacity_ah);
        (0..36_000).for_each(|_| {
            step(&mut pack, STEP_S, filling, &Disturbance::NONE);
        });
        assert!(apart(&pack) < 1e-9 && (pack.charge[0] - 1.0).abs() < 1e-9, "{}", apart(&pack));
    }

    #[test]
    fn a_loaded_cell_recovers_at_rest_to_its_open_circuit_voltage() {
        let mut pack = pack();
        for _ in 0..9_000 {
            step(&mut pack, STEP_S, Demand::Amperes(50.0), &Disturbance::NONE);
        }
        let loaded = pack.terminal[0];
        for _ in 0..600 {
            step(&mut pack, 10.0, Demand::Amperes(0.0), &Disturbance::NONE);
        }
        let rested = open_circuit(pack.charge[0], 25.0).0;
        assert!((pack.terminal[0] - rested).abs() < 1e-4);
        assert!((0.08..0.11).contains(&(rested - loaded)), "50 A through 1.9 mOhm: {}", rested - loaded);
    }

    #[test]
    fn a_cold_cell_resists_more() {
        let drop = |celsius: f64| {
            let mut pack = pack();
            let (cold, new) = ([celsius; MODULES], Life::new(0.0, 0.0));
            (0..100).for_each(|_| {
                pack.step(STEP_S, Demand::Amperes(50.0), &Disturbance::NONE, &cold, &new);
            });
            open_circuit(pack.charge[0], celsius).0 - pack.terminal[0]
        };
        let ratio = drop(0.0) / drop(25.0);
        assert!((1.9..2.3).contains(&ratio), "at 0 degrees {ratio} times that at 25");
    }

    #[test]
    fn an_impossible_power_is_met_as_far_as_it_goes() {
        let flow = step(&mut pack(), STEP_S, Demand::Watts(1e9), &Disturbance::NONE);
        assert!(flow.current.is_finite() && flow.voltage > 0.0);
    }

    #[test]
    fn the_curve_reads_both_ways() {
        for percent in 0..=100 {
            let charge = f64::from(percent) / 100.0;
            assert!((charge_at(open_circuit(charge, 25.0).0) - charge).abs() < 1e-9, "{percent}");
        }
        assert_eq!((charge_at(2.0), charge_at(5.0)), (0.0, 1.0));
    }

    #[test]
    fn each_disturbance_moves_its_own_cell_as_stated() {
        let hour = |disturb: &dyn Fn(&mut Disturbance)| {
            let (mut pack, mut disturbance) = (pack(), Disturbance::NONE);
            disturb(&mut disturbance);
            (0..36_000).for_each(|_| {
                step(&mut pack, STEP_S, Demand::Amperes(20.0), &disturbance);
            });
            pack
        };
        let healthy = hour(&|_| ());
        let fell = |pack: &Pack, cell: usize| (healthy.terminal[cell] - pack.terminal[cell]) * 1_000.0;
        let drift = hour(&|d| d.drift_v_per_s[41] = 0.03 / 3_600.0);
        // The curve flattens on the way, so the charge that is missing shows as less than the 30 mV.
        assert!((15.0..31.0).contains(&fell(&drift, 41)), "{} mV", fell(&drift, 41));
        assert_eq!(fell(&drift, 40), 0.0);
        // 3.9 A for an hour: 3.9 Ah of 121, at 0.4 to 0.7 V per unit of charge.
        let leak = hour(&|d| d.leak_a[41] = 3.9);
        assert!((12.0..24.0).contains(&fell(&leak, 41)), "{} mV", fell(&leak, 41));
        assert!(leak.module_heat[10] > healthy.module_heat[10] + 10.0, "the leak warms its module");
        // Twice 1.9 mOhm at 20 A is 38 mV more; a loose connector of 1 mOhm 20 mV.
        let resistance = hour(&|d| d.resistance_factor[41] = 2.0);
        assert!((34.0..42.0).contains(&fell(&resistance, 41)), "{} mV", fell(&resistance, 41));
        let connector = hour(&|d| d.extra_ohm[41] = 1e-3);
        assert!((fell(&connector, 41) - 20.0).abs() < 0.1, "{} mV", fell(&connector, 41));
    }
}
