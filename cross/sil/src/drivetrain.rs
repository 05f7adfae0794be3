//! From speed and slope to what the inverter takes: the forces on the vehicle, the motor with its losses, what
//! braking gives back, and the pedals that a driver would have moved.

use crate::spec::VehicleSpec;

const GRAVITY: f64 = 9.81;
const AIR_KG_PER_M3: f64 = 1.2;
/// What turns adds to the mass, as a share.
const ROTATING: f64 = 0.05;
const WHEEL_M: f64 = 0.31;
const GEAR: f64 = 8.3;
const GEAR_EFFICIENCY: f64 = 0.97;
/// Losses of a synchronous machine of this size: copper in W per (Nm)^2, iron and friction in W per rad/s.
const COPPER: f64 = 0.055;
const IRON: f64 = 0.9;
/// Losses of the inverter: at rest, and as a share of its power.
const INVERTER_W: f64 = 40.0;
const INVERTER_SHARE: f64 = 0.02;
const MAX_TORQUE_NM: f64 = 280.0;
/// Motor power over the inverter's input.
const MOTOR_SHARE: f64 = 0.93;
/// The discs take over below this speed, in m/s.
const REGEN_FROM: f64 = 3.0;
/// A full pack takes nothing back from this state of charge on, and everything below.
const REGEN_CHARGE: (f64, f64) = (0.98, 0.93);
/// How fast the inverter ramps its power, in watts per second.
const RAMP_W_PER_S: f64 = 80_000.0;
/// Brake pressure over the force of the discs, in bar per newton.
const BAR_PER_N: f64 = 0.008;

/// What the drive does in one step.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(crate) struct Drive {
    /// Metres per second.
    pub(crate) speed: f64,
    /// Metres per second squared.
    pub(crate) acceleration: f64,
    /// Revolutions per minute.
    pub(crate) motor_rpm: f64,
    /// Newton metres at the motor's shaft.
    pub(crate) torque_nm: f64,
    /// Watts that the inverter takes; negative when it gives back.
    pub(crate) inverter_w: f64,
    pub(crate) motor_loss_w: f64,
    pub(crate) inverter_loss_w: f64,
    /// 0 to 1.
    pub(crate) accelerator: f64,
    /// Bar.
    pub(crate) brake_bar: f64,
}

/// The drive and its last state.
pub(crate) struct Drivetrain {
    spec: VehicleSpec,
    last: Drive,
}

impl Drivetrain {
    pub(crate) fn new(spec: &VehicleSpec) -> Drivetrain {
        Drivetrain { spec: spec.clone(), last: Drive::default() }
    }

    /// What the last step did.
    pub(crate) const fn last(&self) -> Drive {
        self.last
    }

    /// Follows the vehicle to a speed along a slope. `charge` is the pack's, 0 to 1: a full one takes nothing back.
    pub(crate) fn step(&mut self, seconds: f64, speed: f64, grade: f64, charge: f64) -> Drive {
        let VehicleSpec { mass_kg, drag_area_m2, rolling, .. } = self.spec;
        let acceleration = (speed - self.last.speed) / seconds;
        let slope = if speed > 0.0 { rolling + grade } else { 0.0 };
        let newtons = mass_kg * ((1.0 + ROTATING) * acceleration + GRAVITY * slope)
            + 0.5 * AIR_KG_PER_M3 * drag_area_m2 * speed * speed;
        let rad_per_s = speed / WHEEL_M * GEAR;
        let wanted =
            newtons * WHEEL_M / GEAR / if newtons > 0.0 { GEAR_EFFICIENCY } else { 1.0 / GEAR_EFFICIENCY };
        let most = self.torque_limit(rad_per_s);
        let least = -most.min(self.regeneration_limit(rad_per_s, speed, charge));
        let torque_nm = wanted.clamp(least, most);
        let shaft_w = torque_nm * rad_per_s;
        let motor_loss_w = COPPER * torque_nm * torque_nm + IRON * rad_per_s;
        let inverter_loss_w = INVERTER_W + INVERTER_SHARE * shaft_w.abs();
        let ramp = RAMP_W_PER_S * seconds;
        let aim = shaft_w + motor_loss_w + inverter_loss_w;
        let inverter_w = self.last.inverter_w + (aim - self.last.inverter_w).clamp(-ramp, ramp);
        let discs_n = ((least - wanted) * GEAR / WHEEL_M).max(0.0);
        self.last = Drive {
            speed,
            acceleration,
            motor_rpm: rad_per_s * 60.0 / core::f64::consts::TAU,
            torque_nm,
            inverter_w,
            motor_loss_w,
            inverter_loss_w,
            accelerator: (wanted / most).clamp(0.0, 1.0),
            brake_bar: if speed > 0.0 { discs_n * BAR_PER_N } else { 8.0 },
        };
        self.last
    }

    fn torque_limit(&self, rad_per_s: f64) -> f64 {
        (self.spec.drive_kw * 1_000.0 * MOTOR_SHARE / rad_per_s.max(1.0)).min(MAX_TORQUE_NM)
    }

    fn regeneration_limit(&self, rad_per_s: f64, speed: f64, charge: f64) -> f64 {
        let room = (REGEN_CHARGE.0 - charge) / (REGEN_CHARGE.0 - REGEN_CHARGE.1);
        let share = room.clamp(0.0, 1.0) * (speed / REGEN_FROM).min(1.0);
        // Losses are taken from what comes in, so the shaft may take a little more than the inverter gives.
        self.spec.regeneration_kw * 1_000.0 * share / rad_per_s.max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cycle::{Cycle, Road};
    use crate::random::{Draws, Use};

    #[test]
    fn a_mixed_drive_costs_what_such_a_car_costs() {
        let spec = VehicleSpec::default();
        let (mut drivetrain, mut draws) = (Drivetrain::new(&spec), Draws::new(1, Use::Road));
        let mut cycle = Cycle::new(Road::Suburban);
        let (mut metres, mut joules, mut back) = (0.0, 0.0, 0.0);
        for _ in 0..72_000 {
            let speed = cycle.step(0.1, false, &mut draws);
            let drive = drivetrain.step(0.1, speed, 0.0, 0.7);
            assert!(drive.inverter_w < 82_000.0 && drive.inverter_w > -5_100.0, "{drive:?}");
            assert!((0.0..=1.0).contains(&drive.accelerator) && drive.brake_bar >= 0.0);
            metres += speed * 0.1;
            joules += drive.inverter_w * 0.1;
            back -= drive.inverter_w.min(0.0) * 0.1;
        }
        let kwh_per_100_km = joules / 3.6e6 / (metres / 1e5);
        assert!((8.0..17.0).contains(&kwh_per_100_km), "{kwh_per_100_km} kWh/100 km");
        assert!(back > 0.03 * joules, "{back} J recuperated of {joules}");
    }

    #[test]
    fn a_full_pack_takes_nothing_back_and_the_discs_brake() {
        let brake = |charge: f64| {
            let mut drivetrain = Drivetrain::new(&VehicleSpec::default());
            (0..100).for_each(|_| {
                drivetrain.step(0.1, 20.0, 0.0, charge);
            });
            (0..20).map(|k| drivetrain.step(0.1, 20.0 - 0.1 * f64::from(k), 0.0, charge)).last().unwrap()
        };
        let (half, full) = (brake(0.5), brake(1.0));
        assert!(half.inverter_w < -3_000.0 && full.inverter_w > 0.0, "{half:?} {full:?}");
        assert!(full.brake_bar > half.brake_bar);
    }
}
