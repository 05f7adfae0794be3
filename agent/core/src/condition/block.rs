//! Minutes of driving, made into one observation a quantity by least squares.
//!
//! - **Torque and current** that do not fit: what the inverter takes, less the shaft's power and the losses, is
//!   regressed on the speed (an offset of the torque, in Nm) and on the power (a gain of the current).
//! - **Contactors**: the voltage between pack and link, regressed on the pack's current, is their resistance.
//! - **Motor temperature**: how far the motor is above its coolant, less what its losses make of it.
//! - **Cooling**: how far the coolant is above the air, over the losses: a thermal resistance in K/W.

use super::document::Condition;
use super::signals::{Place, Sample};

/// Steps of driving that make a block: five minutes.
const STEPS: u32 = 1_500;
/// Slower than this a motor stands, in rad/s.
const TURNS: f64 = 10.0;
/// The current has to vary by so much for a resistance: the variance in A^2.
const LEAST_VARIANCE: f64 = 100.0;
/// After a silence the temperatures need so many of their time constants until they say something.
const SETTLES: f64 = 4.0;

/// Places of [`super::QUANTITIES`].
const TORQUE: usize = 0;
const GAIN: usize = 1;
const MOTOR: usize = 2;
const COOLING: usize = 3;
const CONTACTORS: usize = 4;

/// What a block tells.
pub(super) type Told = [Option<f64>; 5];

/// The block under way.
#[derive(Clone, Debug)]
pub(super) struct Block {
    latest: Option<Sample>,
    steps: u32,
    /// Regressors are 1, the speed in 100 rad/s and the power in 10 kW: near one another in size.
    power: Normal<3>,
    /// Regressors are 1 and the current.
    drop: Normal<2>,
    heat: Option<Heat>,
    motor: Mean,
    /// Sums of kelvins and of watts.
    cooling: (f64, f64),
}

/// What the losses have made of the temperatures so far.
#[derive(Clone, Copy, Debug)]
struct Heat {
    /// Watts through the motor's surface.
    motor_w: f64,
    /// Watts through the radiator.
    coolant_w: f64,
    for_s: f64,
}

#[derive(Clone, Copy, Default, Debug)]
struct Mean {
    sum: f64,
    count: u32,
}

/// Normal equations of a least-squares fit of N parameters.
#[derive(Clone, Copy, Debug)]
struct Normal<const N: usize> {
    count: u32,
    products: [[f64; N]; N],
    targets: [f64; N],
}

impl Block {
    pub(super) fn new() -> Block {
        Block {
            latest: None,
            steps: 0,
            power: Normal::NEW,
            drop: Normal::NEW,
            heat: None,
            motor: Mean::default(),
            cooling: (0.0, 0.0),
        }
    }

    /// The sample of the latest step.
    pub(super) const fn latest(&self) -> Option<&Sample> {
        self.latest.as_ref()
    }

    /// After a silence: what the temperatures were is not known.
    pub(super) fn interrupt(&mut self) {
        self.heat = None;
    }

    /// Takes a step; what the block told, if it ended it.
    pub(super) fn step(&mut self, sample: &Sample, condition: &Condition, step_s: f64) -> Option<Told> {
        self.latest = Some(*sample);
        let [torque, speed] = match sample.all([Place::Torque, Place::Speed]) {
            Some(shaft) => shaft,
            None => {
                self.heat = None;
                return None;
            }
        };
        let heat = self.warm(torque, speed, condition, step_s);
        if speed.abs() < TURNS {
            return None;
        }
        self.steps += 1;
        if let Some([volts, amperes]) = sample.all([Place::InverterVolts, Place::InverterAmperes]) {
            let electric = volts * amperes;
            let rest = electric - torque * speed - condition.losses.drive(torque, speed);
            self.power.add([1.0, speed / 100.0, electric / 1e4], rest);
        }
        if let Some([pack, amperes, link, connected]) =
            sample.all([Place::PackVolts, Place::PackAmperes, Place::LinkVolts, Place::IsConnected])
            && connected >= 0.5
        {
            self.drop.add([1.0, amperes], pack - link);
        }
        let settled = SETTLES * condition.cooling.motor_s.max(condition.cooling.coolant_s);
        if heat.for_s > settled {
            if let Some([motor, coolant]) = sample.all([Place::MotorCelsius, Place::CoolantCelsius]) {
                self.motor.add(motor - coolant - heat.motor_w / condition.cooling.motor_w_per_k);
            }
            if let Some([coolant, ambient]) = sample.all([Place::CoolantCelsius, Place::AmbientCelsius]) {
                self.cooling.0 += coolant - ambient;
                self.cooling.1 += heat.coolant_w;
            }
        }
        (self.steps >= STEPS).then(|| self.close(condition))
    }

    /// Lets heat pass through the motor's surface and through the radiator.
    fn warm(&mut self, torque: f64, speed: f64, condition: &Condition, step_s: f64) -> Heat {
        let motor = condition.losses.motor(torque, speed);
        let all = condition.losses.drive(torque, speed);
        let heat = self.heat.get_or_insert(Heat { motor_w: motor, coolant_w: all, for_s: 0.0 });
        heat.motor_w += (motor - heat.motor_w) * (step_s / condition.cooling.motor_s).min(1.0);
        // The heat comes by way of the motor.
        let into = heat.motor_w + all - motor;
        heat.coolant_w += (into - heat.coolant_w) * (step_s / condition.cooling.coolant_s).min(1.0);
        heat.for_s += step_s;
        *heat
    }

    fn close(&mut self, condition: &Condition) -> Told {
        let mut told = [None; 5];
        if let Some([_, by_speed, by_power]) = self.power.solve(STEPS / 2) {
            told[TORQUE] = Some(-by_speed / 100.0);
            let share = by_power / 1e4;
            told[GAIN] = (share < 1.0).then(|| 1.0 / (1.0 - share));
        }
        if self.drop.variance(1) >= LEAST_VARIANCE
            && let Some([_, ohm]) = self.drop.solve(STEPS / 2)
        {
            told[CONTACTORS] = Some(ohm);
        }
        let count = f64::from(self.motor.count);
        told[MOTOR] = (self.motor.count >= STEPS / 2).then(|| self.motor.sum / count);
        let (kelvins, watts) = self.cooling;
        let enough = watts > condition.cooling.least_w * f64::from(STEPS / 2);
        told[COOLING] = enough.then(|| kelvins / watts);
        *self = Block { heat: self.heat, latest: self.latest, ..Block::new() };
        told
    }
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }
}

impl<const N: usize> Normal<N> {
    const NEW: Normal<N> = Normal { count: 0, products: [[0.0; N]; N], targets: [0.0; N] };

    fn add(&mut self, x: [f64; N], y: f64) {
        self.count += 1;
        for ((row, target), a) in self.products.iter_mut().zip(&mut self.targets).zip(x) {
            for (product, b) in row.iter_mut().zip(x) {
                *product += a * b;
            }
            *target += a * y;
        }
    }

    /// Of a regressor, where the first is 1.
    fn variance(&self, of: usize) -> f64 {
        let n = f64::from(self.count.max(1));
        let mean = self.products[0][of] / n;
        self.products[of][of] / n - mean * mean
    }

    /// The parameters by Gauss's elimination; `None` for fewer than so many points, or where they don't decide.
    fn solve(&self, least: u32) -> Option<[f64; N]> {
        if self.count < least {
            return None;
        }
        let (mut a, mut y) = (self.products, self.targets);
        for k in 0..N {
            let pivot = (k..N).max_by(|i, j| a[*i][k].abs().total_cmp(&a[*j][k].abs()))?;
            a.swap(k, pivot);
            y.swap(k, pivot);
            // Of regressors near one another in size, a pivot so small says that two of them are one.
            if a[k][k].abs() < 1e-6 * f64::from(self.count) {
                return None;
            }
            for i in k + 1..N {
                let factor = a[i][k] / a[k][k];
                let row = a[k];
                a[i].iter_mut().zip(row).for_each(|(to, from)| *to -= factor * from);
                y[i] -= factor * y[k];
            }
        }
        let mut x = [0.0; N];
        for k in (0..N).rev() {
            let known: f64 = (k + 1..N).map(|j| a[k][j] * x[j]).sum();
            x[k] = (y[k] - known) / a[k][k];
        }
        Some(x)
    }
}
