//! What to simulate: every quantity that a scenario may set, with the defaults that were fitted to real cars
//! (`cross/sil/VALIDATION.md`) and the range in which the model means something.

use crate::day::{Plan, PlanError};
use crate::fault::{Ecu, Fault, FaultError};
use serde::Deserialize;
use telltale_wire::time::WallTime;

/// A commented specification in which every setting stands with its default.
pub const EXAMPLE: &str = include_str!("../vehicle.example.toml");

/// Everything about a simulated vehicle but its seed.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// The wall time of the first frame, in seconds since 1970.
    pub start_unix_s: i64,
    /// Simulated hours, parked time included.
    pub hours: f64,
    /// Whether the powertrain's bus is there beside the BMS's.
    pub powertrain: bool,
    /// What fails, as on the command line: `cell-drift:cell=42,onset=1800`.
    pub faults: Vec<String>,
    /// The battery.
    pub pack: PackSpec,
    /// Surroundings and cooling.
    pub thermal: Thermal,
    /// The vehicle's body and drive.
    pub vehicle: VehicleSpec,
    /// How it charges.
    pub charging: Charging,
    /// What its days look like.
    pub usage: Usage,
    /// How often each message stands on the bus.
    pub periods: Periods,
}

/// Four hours from 2026-01-01T06:00:00Z with nothing wrong.
impl Default for Spec {
    fn default() -> Spec {
        Spec {
            start_unix_s: 1_767_247_200,
            hours: 4.0,
            powertrain: false,
            faults: Vec::new(),
            pack: PackSpec::default(),
            thermal: Thermal::default(),
            vehicle: VehicleSpec::default(),
            charging: Charging::default(),
            usage: Usage::default(),
            periods: Periods::default(),
        }
    }
}

/// The battery: 96 cell groups in series.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PackSpec {
    /// What a new cell group holds, in ampere hours.
    pub capacity_ah: f64,
    /// Standard deviation of the cells' capacity, as a share.
    pub capacity_spread: f64,
    /// Ohmic resistance of a new cell group at 25 degrees Celsius, in milliohms. Diffusion adds as much again.
    pub resistance_mohm: f64,
    /// Standard deviation of the cells' resistance, as a share.
    pub resistance_spread: f64,
    /// State of charge at the start, 0 to 1. The cells are balanced when the pack is full: below that the small ones
    /// have less.
    pub charge: f64,
    /// Standard deviation of the cells' charge when the pack is full, of 1.
    pub charge_spread: f64,
    /// Age at the start, in years.
    pub age_years: f64,
    /// Full cycles behind it at the start.
    pub cycles: f64,
    /// Current of a bleeding resistor of the passive balancing, in milliamperes; 0 for none.
    pub balancing_ma: f64,
    /// Standard deviation of the constant error of a voltage channel, in millivolts.
    pub sensor_offset_mv: f64,
    /// Standard deviation of a voltage reading's noise, in millivolts.
    pub sensor_noise_mv: f64,
}

impl Default for PackSpec {
    fn default() -> PackSpec {
        PackSpec {
            capacity_ah: 121.0,
            capacity_spread: 0.01,
            resistance_mohm: 0.9,
            resistance_spread: 0.03,
            charge: 0.9,
            charge_spread: 0.005,
            age_years: 1.0,
            cycles: 100.0,
            balancing_ma: 100.0,
            sensor_offset_mv: 1.5,
            sensor_noise_mv: 0.4,
        }
    }
}

/// Surroundings and cooling.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thermal {
    /// The day's mean temperature, in degrees Celsius.
    pub ambient_c: f64,
    /// How far the day swings about it, in kelvins: coolest at 3, warmest at 15 o'clock.
    pub swing_k: f64,
    /// Heat that a module gives to its surroundings, in watts per kelvin.
    pub to_air_w_per_k: f64,
    /// Heat that a module gives to running coolant, in watts per kelvin.
    pub to_coolant_w_per_k: f64,
    /// The pump runs while a module is warmer than this, in degrees Celsius.
    pub cool_from_c: f64,
}

impl Default for Thermal {
    fn default() -> Thermal {
        Thermal {
            ambient_c: 15.0,
            swing_k: 6.0,
            to_air_w_per_k: 0.6,
            to_coolant_w_per_k: 6.0,
            cool_from_c: 28.0,
        }
    }
}

/// The vehicle's body and drive.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VehicleSpec {
    /// Mass with its load, in kilograms.
    pub mass_kg: f64,
    /// Drag coefficient times frontal area, in square metres.
    pub drag_area_m2: f64,
    /// Rolling resistance over weight.
    pub rolling: f64,
    /// The most that the inverter takes, in kilowatts.
    pub drive_kw: f64,
    /// The most that it gives back, in kilowatts.
    pub regeneration_kw: f64,
    /// Standard deviation of the road's rise over its length.
    pub grade: f64,
    /// The least that heating, lights and control units take, in watts. A trip draws from one to two times this.
    pub auxiliary_w: f64,
}

impl Default for VehicleSpec {
    fn default() -> VehicleSpec {
        VehicleSpec {
            mass_kg: 1_600.0,
            drag_area_m2: 0.70,
            rolling: 0.012,
            drive_kw: 80.0,
            regeneration_kw: 5.0,
            grade: 0.008,
            auxiliary_w: 150.0,
        }
    }
}

/// How the vehicle charges.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Charging {
    /// Power of the charger at home, in kilowatts.
    pub ac_kw: f64,
    /// Power of the charger on the way, in kilowatts.
    pub dc_kw: f64,
    /// The most that the BMS admits, in amperes.
    pub max_a: f64,
    /// From here on the voltage of the highest cell is held and the current fades, in volts.
    pub limit_v: f64,
    /// The driver unplugs at this state of charge, 0 to 1.
    pub until: f64,
}

impl Default for Charging {
    fn default() -> Charging {
        Charging { ac_kw: 6.6, dc_kw: 60.0, max_a: 58.5, limit_v: 4.15, until: 0.97 }
    }
}

/// What the days look like.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Usage {
    /// Legs in order, over and over; days are drawn where it is empty. Each is a word and, but for charging, seconds:
    /// `urban:600`, `suburban`, `rural`, `motorway`, `udds`, `wltc`, `idle`, `park`, `dc-charge`, `ac-charge`.
    pub plan: Vec<String>,
    /// Weights of the roads of a drawn trip.
    pub urban: f64,
    /// See `urban`.
    pub suburban: f64,
    /// See `urban`.
    pub rural: f64,
    /// See `urban`.
    pub motorway: f64,
    /// How many minutes a drawn trip lasts, from and to.
    pub trip_minutes: [f64; 2],
    /// How likely a break of a drawn day is spent with the vehicle switched on.
    pub idling: f64,
    /// How many minutes such a break lasts, from and to.
    pub break_minutes: [f64; 2],
    /// When the day starts and ends, in hours.
    pub day_hours: [f64; 2],
    /// A break becomes a charge below this state of charge, 0 to 1.
    pub recharge_below: f64,
}

impl Default for Usage {
    fn default() -> Usage {
        Usage {
            plan: Vec::new(),
            urban: 0.45,
            suburban: 0.4,
            rural: 0.15,
            motorway: 0.0,
            trip_minutes: [25.0, 70.0],
            idling: 0.5,
            break_minutes: [10.0, 50.0],
            day_hours: [6.0, 21.0],
            recharge_below: 0.5,
        }
    }
}

/// How often messages stand on the bus, in milliseconds.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Periods {
    /// `BMS_Pack`.
    pub pack_ms: u64,
    /// The scan of the cells, `BMS_Status`, `BMS_Extremes` and `BMS_Balance`.
    pub cells_ms: u64,
    /// How long one scan through all cells takes: they are not of one instant.
    pub scan_ms: u64,
    /// `BMS_Temps`.
    pub temps_ms: u64,
}

impl Default for Periods {
    fn default() -> Periods {
        Periods { pack_ms: 100, cells_ms: 1_000, scan_ms: 200, temps_ms: 5_000 }
    }
}

/// Why a specification was refused.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum SpecError {
    /// No TOML, an unknown setting, or a value of the wrong type.
    #[error("the specification is not valid: {0}")]
    Syntax(String),
    /// A number outside of what the model means.
    #[error("{setting} = {value} is out of range: it goes from {low} to {high}")]
    OutOfRange {
        /// Which setting.
        setting: &'static str,
        /// What was written.
        value: f64,
        /// The lowest value.
        low: f64,
        /// The highest value.
        high: f64,
    },
    /// A pair that does not go from low to high.
    #[error("{setting} = [{0}, {1}]: write the lower number first", pair[0], pair[1])]
    Pair {
        /// Which setting.
        setting: &'static str,
        /// What was written.
        pair: [f64; 2],
    },
    /// A fault.
    #[error("faults")]
    Fault(#[from] FaultError),
    /// A fault of a unit that is not there.
    #[error("a fault befalls {0} of the powertrain, whose bus is not simulated: set `powertrain = true`")]
    NoPowertrain(String),
    /// A leg of the plan.
    #[error("usage.plan")]
    Plan(#[from] PlanError),
    /// Too many of something.
    #[error("{what}: {count} are more than the {limit} that a vehicle takes")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
}

/// Faults of one vehicle.
pub(crate) const MAX_FAULTS: usize = 64;
/// From 1970 to 2200.
const LATEST_UNIX_S: f64 = 7_258_118_400.0;

impl Spec {
    /// Reads a specification from TOML; what it does not set keeps its default.
    pub fn parse(text: &str) -> Result<Spec, SpecError> {
        toml::from_str(text).map_err(|error: toml::de::Error| SpecError::Syntax(error.to_string()))
    }

    /// The wall time of the first frame.
    pub(crate) const fn start(&self) -> WallTime {
        WallTime(self.start_unix_s * 1_000_000)
    }

    /// The faults, read.
    pub(crate) fn faults(&self) -> Result<Vec<Fault>, SpecError> {
        within_limit("faults", self.faults.len(), MAX_FAULTS)?;
        let faults =
            self.faults.iter().map(|text| text.parse()).collect::<Result<Vec<Fault>, FaultError>>()?;
        let is_absent = |fault: &&Fault| !self.powertrain && fault.unit() == Some(Ecu::Powertrain);
        match faults.iter().find(is_absent) {
            Some(fault) => Err(SpecError::NoPowertrain(fault.target.to_string())),
            None => Ok(faults),
        }
    }

    /// Refuses what the model gives no meaning to, and gives the plan.
    pub(crate) fn check(&self) -> Result<Plan, SpecError> {
        for (setting, value, low, high) in self.ranges() {
            if !(low..=high).contains(&value) {
                return Err(SpecError::OutOfRange { setting, value, low, high });
            }
        }
        let Usage { trip_minutes, break_minutes, day_hours, .. } = self.usage;
        for (setting, pair, high) in [
            ("usage.trip_minutes", trip_minutes, 1_440.0),
            ("usage.break_minutes", break_minutes, 1_440.0),
            ("usage.day_hours", day_hours, 24.0),
        ] {
            for value in pair {
                if !(0.0..=high).contains(&value) {
                    return Err(SpecError::OutOfRange { setting, value, low: 0.0, high });
                }
            }
            if pair[0] >= pair[1] {
                return Err(SpecError::Pair { setting, pair });
            }
        }
        Ok(Plan::parse(&self.usage.plan)?)
    }

    /// Each number with its range. NaN lies in none.
    fn ranges(&self) -> [(&'static str, f64, f64, f64); 44] {
        let Spec { pack, thermal, vehicle, charging, usage, periods, .. } = self;
        let roads = usage.urban + usage.suburban + usage.rural + usage.motorway;
        let ms = |value: u64| value as f64;
        [
            ("start_unix_s", self.start_unix_s as f64, 0.0, LATEST_UNIX_S),
            ("hours", self.hours, 0.0, 876_000.0),
            ("the simulated end", self.start_unix_s as f64 + self.hours * 3_600.0, 0.0, LATEST_UNIX_S),
            ("pack.capacity_ah", pack.capacity_ah, 1.0, 1_000.0),
            ("pack.capacity_spread", pack.capacity_spread, 0.0, 0.1),
            ("pack.resistance_mohm", pack.resistance_mohm, 0.05, 20.0),
            ("pack.resistance_spread", pack.resistance_spread, 0.0, 0.1),
            ("pack.charge", pack.charge, 0.0, 1.0),
            ("pack.charge_spread", pack.charge_spread, 0.0, 0.1),
            ("pack.age_years", pack.age_years, 0.0, 20.0),
            ("pack.cycles", pack.cycles, 0.0, 5_000.0),
            ("pack.balancing_ma", pack.balancing_ma, 0.0, 1_000.0),
            ("pack.sensor_offset_mv", pack.sensor_offset_mv, 0.0, 50.0),
            ("pack.sensor_noise_mv", pack.sensor_noise_mv, 0.0, 50.0),
            ("thermal.ambient_c", thermal.ambient_c, -30.0, 50.0),
            ("thermal.swing_k", thermal.swing_k, 0.0, 20.0),
            ("thermal.to_air_w_per_k", thermal.to_air_w_per_k, 0.0, 50.0),
            ("thermal.to_coolant_w_per_k", thermal.to_coolant_w_per_k, 0.0, 100.0),
            ("thermal.cool_from_c", thermal.cool_from_c, 0.0, 60.0),
            ("vehicle.mass_kg", vehicle.mass_kg, 300.0, 40_000.0),
            ("vehicle.drag_area_m2", vehicle.drag_area_m2, 0.1, 10.0),
            ("vehicle.rolling", vehicle.rolling, 0.003, 0.05),
            ("vehicle.drive_kw", vehicle.drive_kw, 5.0, 300.0),
            ("vehicle.regeneration_kw", vehicle.regeneration_kw, 0.0, 200.0),
            ("vehicle.grade", vehicle.grade, 0.0, 0.05),
            ("vehicle.auxiliary_w", vehicle.auxiliary_w, 0.0, 5_000.0),
            ("charging.ac_kw", charging.ac_kw, 1.0, 50.0),
            ("charging.dc_kw", charging.dc_kw, 1.0, 400.0),
            ("charging.max_a", charging.max_a, 5.0, 1_000.0),
            ("charging.limit_v", charging.limit_v, 3.8, 4.3),
            ("charging.until", charging.until, 0.2, 1.0),
            ("usage.urban", usage.urban, 0.0, 1e6),
            ("usage.suburban", usage.suburban, 0.0, 1e6),
            ("usage.rural", usage.rural, 0.0, 1e6),
            ("usage.motorway", usage.motorway, 0.0, 1e6),
            ("the sum of the weights of usage", roads, 1e-6, 4e6),
            ("usage.idling", usage.idling, 0.0, 1.0),
            ("usage.recharge_below", usage.recharge_below, 0.1, 0.95),
            ("usage.day_hours' length", usage.day_hours[1] - usage.day_hours[0], 0.5, 24.0),
            ("periods.pack_ms", ms(periods.pack_ms), 10.0, 3_600_000.0),
            ("periods.cells_ms", ms(periods.cells_ms), 50.0, 3_600_000.0),
            ("periods.scan_ms", ms(periods.scan_ms), 0.0, ms(periods.cells_ms)),
            ("periods.temps_ms", ms(periods.temps_ms), 50.0, 3_600_000.0),
            ("charging.until above usage.recharge_below", charging.until - usage.recharge_below, 0.02, 1.0),
        ]
    }
}

pub(crate) fn within_limit(what: &'static str, count: usize, limit: usize) -> Result<(), SpecError> {
    if count > limit { Err(SpecError::TooMany { what, count, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_states_the_defaults() {
        assert_eq!(Spec::parse(EXAMPLE).unwrap(), Spec::default());
        assert_eq!(Spec::parse("").unwrap(), Spec::default());
        assert!(Spec::default().check().is_ok());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_setting() {
        for (text, said) in [
            ("hours = nan", "hours"),
            ("hours = -1", "hours"),
            ("start_unix_s = -5", "start_unix_s"),
            ("start_unix_s = 9999999999", "start_unix_s"),
            ("hours = 870000\nstart_unix_s = 7200000000", "the simulated end"),
            ("[pack]\ncharge = 1.5", "pack.charge"),
            ("[periods]\nscan_ms = 1500", "periods.scan_ms"),
            ("[periods]\npack_ms = 0", "periods.pack_ms"),
            ("[usage]\nurban = 0\nsuburban = 0\nrural = 0", "sum of the weights"),
            ("[usage]\ntrip_minutes = [30, 20]", "trip_minutes"),
            ("[usage]\nplan = [\"fly:60\"]", "plan"),
        ] {
            let refused = Spec::parse(text).unwrap().check().unwrap_err().to_string();
            assert!(refused.contains(said), "{text}: {refused}");
        }
        assert!(Spec::parse("faults = [\"cell-drfit\"]").unwrap().faults().is_err());
        assert!(matches!(Spec::parse("hour = 4"), Err(SpecError::Syntax(_))));
        let absent = Spec { faults: vec!["missing-ecu:ecu=powertrain".into()], ..Spec::default() };
        assert!(matches!(absent.faults(), Err(SpecError::NoPowertrain(_))));
        assert!(Spec { powertrain: true, ..absent }.faults().is_ok());
        let many = Spec { faults: vec!["missing-ecu".into(); MAX_FAULTS + 1], ..Spec::default() };
        assert!(matches!(many.faults(), Err(SpecError::TooMany { .. })));
    }
}
