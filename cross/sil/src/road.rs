//! The day of a delivery vehicle: trips with stops, town, country and motorway driving, breaks, charging, and
//! the night. What comes out is the speed and what the vehicle asks of its pack.

use super::pack::Demand;
use super::random::{Draws, Use};

const MASS_KG: f64 = 1_750.0;
const GRAVITY: f64 = 9.81;
const ROLLING: f64 = 0.010;
/// Half the air's density times drag coefficient times frontal area.
const DRAG: f64 = 0.5 * 1.2 * 0.65;
const DRIVE_EFFICIENCY: f64 = 0.88;
const REGEN_EFFICIENCY: f64 = 0.65;
const MAX_DRIVE_W: f64 = 100_000.0;
const MAX_REGEN_W: f64 = 45_000.0;
/// How fast the inverter ramps its power, in watts per second.
const RAMP_W_PER_S: f64 = 80_000.0;

/// A trip ends, and charging starts, below this state of charge.
const EMPTY: f64 = 0.15;
/// A break becomes a charge below this one.
const LOW: f64 = 0.35;
const CHARGE_LIMIT: f64 = 0.92;
/// Charging gives way when the highest cell reaches this voltage, and ends at the current below.
const CELL_LIMIT_V: f64 = 4.15;
const CHARGE_END_A: f64 = 5.0;
/// The BMS stops the vehicle when a cell falls below this voltage.
const CELL_STOP_V: f64 = 2.7;
const FAST_CHARGE_A: f64 = 58.0;
const NIGHT_CHARGE_A: f64 = 18.0;
const DAY_STARTS_H: f64 = 6.0;
const DAY_ENDS_H: f64 = 21.0;

/// `BMS_Pack.ChargeStatus`, after GB/T 32960.3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChargeStatus {
    ChargingParked = 1,
    NotCharging = 3,
}

/// What the driver looks at before each step.
#[derive(Clone, Copy)]
pub(crate) struct Dashboard {
    /// Seconds since the simulation's start.
    pub(crate) elapsed_s: f64,
    /// Hour of the day, 0 to 24.
    pub(crate) hour: f64,
    /// State of charge as the BMS counts it, 0 to 1.
    pub(crate) charge: f64,
    pub(crate) lowest_cell_v: f64,
    pub(crate) highest_cell_v: f64,
}

/// One step of the day.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Moment {
    /// The vehicle is on.
    Awake {
        demand: Demand,
        /// Metres per second.
        speed: f64,
        status: ChargeStatus,
    },
    /// The bus sleeps until this second after the start.
    Parked { until_s: f64 },
}

enum Leg {
    Drive { until_s: f64 },
    Charge { amperes: f64 },
    Park { until_s: f64 },
}

/// The driver and the road.
pub(crate) struct Road {
    draws: Draws,
    leg: Leg,
    /// Metres per second.
    speed: f64,
    target: f64,
    /// Metres per second squared, towards the target.
    pull: f64,
    hold_s: f64,
    /// Rise per length, and where it tends.
    grade: f64,
    next_grade: f64,
    /// Heating, lights, control units.
    auxiliary_w: f64,
    inverter_w: f64,
}

impl Road {
    pub(crate) fn new(seed: u64) -> Road {
        let mut draws = Draws::new(seed, Use::Road);
        let leg = Leg::Drive { until_s: draws.between(30.0, 70.0) * 60.0 };
        let auxiliary_w = draws.between(400.0, 1_200.0);
        Road {
            draws,
            leg,
            speed: 0.0,
            target: 0.0,
            pull: 1.0,
            hold_s: 5.0,
            grade: 0.0,
            next_grade: 0.0,
            auxiliary_w,
            inverter_w: 0.0,
        }
    }

    /// What happens in the next `seconds`.
    pub(crate) fn step(&mut self, seconds: f64, seen: Dashboard) -> Moment {
        match self.leg {
            Leg::Drive { until_s } => {
                let over =
                    seen.elapsed_s >= until_s || seen.charge < EMPTY || seen.lowest_cell_v < CELL_STOP_V;
                if over && self.speed == 0.0 {
                    self.leg = self.after_trip(seen);
                }
                self.drive(seconds, over)
            }
            Leg::Charge { amperes } => {
                // Constant current, then as much as the highest cell's limit allows.
                let fade = if seen.highest_cell_v > CELL_LIMIT_V { 1.0 / (1.0 + 0.1 * seconds) } else { 1.0 };
                let amperes = amperes * fade;
                let full = seen.charge >= CHARGE_LIMIT || amperes < CHARGE_END_A;
                self.leg = if full { self.rest(seen) } else { Leg::Charge { amperes } };
                let demand = Demand::Amperes(-amperes);
                Moment::Awake { demand, speed: 0.0, status: ChargeStatus::ChargingParked }
            }
            Leg::Park { until_s } if seen.elapsed_s < until_s => Moment::Parked { until_s },
            Leg::Park { .. } => {
                let until_s = seen.elapsed_s + self.draws.between(30.0, 70.0) * 60.0;
                self.auxiliary_w = self.draws.between(400.0, 1_200.0);
                (self.leg, self.target, self.hold_s) = (Leg::Drive { until_s }, 0.0, 5.0);
                self.drive(seconds, false)
            }
        }
    }

    fn after_trip(&mut self, seen: Dashboard) -> Leg {
        if is_night(seen.hour) {
            Leg::Charge { amperes: NIGHT_CHARGE_A }
        } else if seen.charge < LOW || seen.lowest_cell_v < CELL_STOP_V {
            Leg::Charge { amperes: FAST_CHARGE_A }
        } else {
            self.rest(seen)
        }
    }

    /// A break by day; by night until the morning.
    fn rest(&mut self, seen: Dashboard) -> Leg {
        let hours = if is_night(seen.hour) {
            (DAY_STARTS_H + 24.0 - seen.hour) % 24.0 + self.draws.between(0.0, 0.5)
        } else {
            self.draws.between(10.0, 45.0) / 60.0
        };
        Leg::Park { until_s: seen.elapsed_s + hours * 3_600.0 }
    }

    fn drive(&mut self, seconds: f64, stopping: bool) -> Moment {
        if stopping {
            (self.target, self.pull) = (0.0, 1.2);
        } else if self.speed == self.target {
            self.hold_s -= seconds;
            if self.hold_s <= 0.0 {
                self.choose_manoeuvre();
            }
        }
        let before = self.speed;
        let reach = self.pull * seconds;
        self.speed += (self.target - self.speed).clamp(-reach, reach);
        self.grade += (self.next_grade - self.grade) * (seconds / 20.0).min(1.0);
        let wanted = self.inverter_watts((self.speed - before) / seconds);
        let ramp = RAMP_W_PER_S * seconds;
        self.inverter_w += (wanted - self.inverter_w).clamp(-ramp, ramp);
        let demand = Demand::Watts(self.inverter_w + self.auxiliary_w);
        Moment::Awake { demand, speed: self.speed, status: ChargeStatus::NotCharging }
    }

    fn choose_manoeuvre(&mut self) {
        let kind = self.draws.between(0.0, 1.0);
        let (kmh, hold_s) = match kind {
            k if k < 0.30 => ((0.0, 0.0), (5.0, 45.0)),
            k if k < 0.65 => ((25.0, 55.0), (8.0, 60.0)),
            k if k < 0.90 => ((60.0, 95.0), (30.0, 180.0)),
            _ => ((100.0, 120.0), (60.0, 300.0)),
        };
        self.target = self.draws.between(kmh.0, kmh.1) / 3.6;
        self.hold_s = self.draws.between(hold_s.0, hold_s.1);
        self.pull = if self.target > self.speed {
            self.draws.between(0.5, 2.0)
        } else {
            self.draws.between(0.6, 2.2)
        };
        self.next_grade = self.draws.bell(0.012);
    }

    /// Watts that the inverter would take at this acceleration.
    fn inverter_watts(&self, acceleration: f64) -> f64 {
        let rolls = if self.speed > 0.0 { ROLLING + self.grade } else { 0.0 };
        let newtons = MASS_KG * (acceleration + GRAVITY * rolls) + DRAG * self.speed * self.speed;
        let watts = newtons * self.speed;
        if watts >= 0.0 {
            (watts / DRIVE_EFFICIENCY).min(MAX_DRIVE_W)
        } else {
            // The brakes' discs take over below 3 m/s.
            let blend = (self.speed / 3.0).min(1.0);
            (watts * REGEN_EFFICIENCY * blend).max(-MAX_REGEN_W)
        }
    }
}

fn is_night(hour: f64) -> bool {
    !(DAY_STARTS_H..DAY_ENDS_H).contains(&hour)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Dashboard =
        Dashboard { elapsed_s: 0.0, hour: 10.0, charge: 0.8, lowest_cell_v: 3.9, highest_cell_v: 3.95 };

    #[test]
    fn a_trip_drives_as_a_vehicle_does() {
        let mut road = Road::new(5);
        let (mut metres, mut joules, mut stops, mut regen, mut last) = (0.0, 0.0, 0, 0.0, 0.0);
        for tick in 0..18_000 {
            let seen = Dashboard { elapsed_s: f64::from(tick) * 0.1, ..FULL };
            let Moment::Awake { demand: Demand::Watts(watts), speed, .. } = road.step(0.1, seen) else {
                panic!("the first trip lasts half an hour at least");
            };
            assert!((0.0..=120.0 / 3.6 + 1e-9).contains(&speed));
            assert!((speed - last).abs() / 0.1 <= 2.2 + 1e-9, "no vehicle of this kind accelerates so");
            assert!((-MAX_REGEN_W..=MAX_DRIVE_W + 1_200.0).contains(&watts));
            metres += speed * 0.1;
            joules += watts * 0.1;
            regen += watts.min(0.0) * 0.1;
            stops += u32::from(speed == 0.0 && last > 0.0);
            last = speed;
        }
        let kwh_per_100_km = joules / 3.6e6 / (metres / 1e5);
        assert!((10.0..30.0).contains(&kwh_per_100_km), "{kwh_per_100_km} kWh/100 km");
        assert!(stops >= 3 && regen < -100_000.0, "{stops} stops, {regen} J recuperated");
    }

    #[test]
    fn charging_tapers_and_ends() {
        let mut road = Road::new(5);
        road.leg = Leg::Charge { amperes: FAST_CHARGE_A };
        let held = Dashboard { highest_cell_v: CELL_LIMIT_V + 0.01, ..FULL };
        let mut seconds = 0;
        while matches!(road.leg, Leg::Charge { .. }) {
            road.step(1.0, held);
            seconds += 1;
            assert!(seconds < 600, "the taper ends");
        }
        assert!(seconds > 10, "the current fades, it does not fall");
        assert!(matches!(road.step(1.0, FULL), Moment::Parked { .. }));
    }

    #[test]
    fn the_night_lasts_until_the_morning() {
        let mut road = Road::new(5);
        let Leg::Park { until_s } = road.rest(Dashboard { hour: 23.0, ..FULL }) else { panic!() };
        assert!((7.0 * 3_600.0..7.51 * 3_600.0).contains(&until_s));
    }

    #[test]
    fn an_empty_cell_stops_the_vehicle() {
        let mut road = Road::new(5);
        for _ in 0..3_000 {
            road.step(0.1, FULL);
        }
        let flat = Dashboard { lowest_cell_v: 2.5, ..FULL };
        for _ in 0..400 {
            road.step(0.1, flat);
        }
        assert!(matches!(road.leg, Leg::Charge { .. }));
    }
}
