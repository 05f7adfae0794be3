//! Temperatures: modules that warm by what their cells give off, a coolant loop with its pump and radiator, the
//! air around them, and the drive's own loop.

use crate::pack::MODULES;
use crate::spec::Thermal;
use telltale_wire::time::WallTime;

/// A module's heat capacity: four cell groups of 2.4 kg at 1 kJ/(kg K).
const MODULE_J_PER_K: f64 = 9_600.0;
/// Six litres of water and glycol.
const COOLANT_J_PER_K: f64 = 21_000.0;
/// Radiator with its fan, and without.
const RADIATOR_W_PER_K: (f64, f64) = (220.0, 15.0);
/// The pump goes on until the warmest module is so far below where it started, in kelvins.
const PUMP_HYSTERESIS_K: f64 = 3.0;
/// The inside modules of a pack lose this much less heat to the air than the outer ones.
const INNER: f64 = 0.3;
/// Motor and inverter with their own loop.
const MOTOR_J_PER_K: f64 = 30_000.0;
const INVERTER_J_PER_K: f64 = 4_000.0;
const DRIVE_COOLANT_J_PER_K: f64 = 18_000.0;
const MOTOR_W_PER_K: f64 = 90.0;
const INVERTER_W_PER_K: f64 = 120.0;
const DRIVE_RADIATOR_W_PER_K: f64 = 150.0;
const HOUR_US: f64 = 3.6e9;

/// The temperatures of pack and drive, in degrees Celsius.
pub(crate) struct Temperatures {
    spec: Thermal,
    pub(crate) modules: [f64; MODULES],
    pub(crate) coolant: f64,
    pub(crate) ambient: f64,
    pub(crate) pump_runs: bool,
    pub(crate) motor: f64,
    pub(crate) inverter: f64,
    pub(crate) drive_coolant: f64,
}

/// What of the cooling is blocked, 0 to 1, by module.
pub(crate) type Blocked = [f64; MODULES];

impl Temperatures {
    pub(crate) fn new(spec: &Thermal, start: WallTime) -> Temperatures {
        let ambient = ambient(spec, start, 0);
        Temperatures {
            spec: spec.clone(),
            modules: [ambient; MODULES],
            coolant: ambient,
            ambient,
            pump_runs: false,
            motor: ambient,
            inverter: ambient,
            drive_coolant: ambient,
        }
    }

    /// The air at this time.
    pub(crate) fn weather(&mut self, start: WallTime, elapsed_us: i64) {
        self.ambient = ambient(&self.spec, start, elapsed_us);
    }

    /// Lets the pack warm and cool. The pump needs an awake vehicle.
    pub(crate) fn pack(&mut self, seconds: f64, heat_w: &[f64; MODULES], blocked: &Blocked, awake: bool) {
        let warmest = self.modules.iter().fold(f64::MIN, |a, b| a.max(*b));
        let threshold = self.spec.cool_from_c - if self.pump_runs { PUMP_HYSTERESIS_K } else { 0.0 };
        self.pump_runs = awake && warmest > threshold;
        let mut into_coolant = 0.0;
        for module in 0..MODULES {
            let flow = if self.pump_runs { 1.0 - blocked[module] } else { 0.0 };
            let (air, coolant) =
                (self.spec.to_air_w_per_k * exposure(module), self.spec.to_coolant_w_per_k * flow);
            // Implicit Euler over both sinks.
            let pull = seconds / MODULE_J_PER_K;
            let celsius = (self.modules[module]
                + pull * (heat_w[module] + air * self.ambient + coolant * self.coolant))
                / (1.0 + pull * (air + coolant));
            into_coolant += coolant * (celsius - self.coolant);
            self.modules[module] = celsius;
        }
        let radiator = if self.pump_runs { RADIATOR_W_PER_K.0 } else { RADIATOR_W_PER_K.1 };
        let pull = seconds / COOLANT_J_PER_K;
        self.coolant =
            (self.coolant + pull * (into_coolant + radiator * self.ambient)) / (1.0 + pull * radiator);
    }

    /// Lets the drive warm and cool by what motor and inverter lose.
    /// `blocked` is the share of the radiator that gives off nothing, 0 to 1.
    pub(crate) fn drive(&mut self, seconds: f64, motor_w: f64, inverter_w: f64, blocked: f64) {
        let radiator = DRIVE_RADIATOR_W_PER_K * (1.0 - blocked);
        let sink = self.drive_coolant;
        let settle = |celsius: f64, heat: f64, capacity: f64, conductance: f64| {
            let pull = seconds / capacity;
            (celsius + pull * (heat + conductance * sink)) / (1.0 + pull * conductance)
        };
        self.motor = settle(self.motor, motor_w, MOTOR_J_PER_K, MOTOR_W_PER_K);
        self.inverter = settle(self.inverter, inverter_w, INVERTER_J_PER_K, INVERTER_W_PER_K);
        let gained = MOTOR_W_PER_K * (self.motor - sink) + INVERTER_W_PER_K * (self.inverter - sink);
        let pull = seconds / DRIVE_COOLANT_J_PER_K;
        self.drive_coolant = (sink + pull * (gained + radiator * self.ambient)) / (1.0 + pull * radiator);
    }
}

/// How much of its surface a module shows to the air: the ends of the row all, the middle half.
fn exposure(module: usize) -> f64 {
    let from_middle = (module as f64 - (MODULES - 1) as f64 / 2.0).abs() / ((MODULES - 1) as f64 / 2.0);
    1.0 - INNER + INNER * from_middle
}

/// The hour of the day, 0 to 24, UTC.
pub(crate) fn hour_of(start: WallTime, elapsed_us: i64) -> f64 {
    (start.0 + elapsed_us) as f64 / HOUR_US % 24.0
}

/// Coolest at 3 and warmest at 15 o'clock, by straight lines.
fn ambient(spec: &Thermal, start: WallTime, elapsed_us: i64) -> f64 {
    let from_warmest = (hour_of(start, elapsed_us) - 15.0).abs();
    let from_warmest = from_warmest.min(24.0 - from_warmest);
    spec.ambient_c + spec.swing_k * (1.0 - from_warmest / 6.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hot(seconds: u32, blocked: &Blocked) -> Temperatures {
        let spec = Thermal { ambient_c: 35.0, swing_k: 0.0, ..Thermal::default() };
        let mut temperatures = Temperatures::new(&spec, WallTime(0));
        for _ in 0..seconds {
            temperatures.pack(1.0, &[20.0; MODULES], blocked, true);
        }
        temperatures
    }

    #[test]
    fn a_module_warms_until_its_coolant_takes_its_heat() {
        let settled = hot(20 * 3_600, &[0.0; MODULES]);
        let above = settled.modules[12] - settled.coolant;
        // 20 W into 6 W/K of coolant and a little air.
        assert!((2.8..3.4).contains(&above), "{above} K above the coolant");
        assert!((35.5..39.0).contains(&settled.coolant), "{}", settled.coolant);
        let out: f64 = RADIATOR_W_PER_K.0 * (settled.coolant - 35.0);
        assert!((out / (20.0 * MODULES as f64) - 1.0).abs() < 0.2, "{out} W leave by the radiator");
    }

    #[test]
    fn blocked_coolant_heats_its_own_module() {
        let mut blocked = [0.0; MODULES];
        blocked[7] = 1.0;
        let (healthy, faulty) = (hot(3_600, &[0.0; MODULES]), hot(3_600, &blocked));
        assert!(faulty.modules[7] > healthy.modules[7] + 3.0);
        assert!((faulty.modules[15] - healthy.modules[15]).abs() < 0.3);
    }

    #[test]
    fn the_day_swings_about_its_mean() {
        let spec = Thermal { ambient_c: 10.0, swing_k: 5.0, ..Thermal::default() };
        let at = |hour: i64| ambient(&spec, WallTime(0), hour * 3_600_000_000);
        assert_eq!((at(3), at(9), at(15), at(21)), (5.0, 10.0, 15.0, 10.0));
    }
}
