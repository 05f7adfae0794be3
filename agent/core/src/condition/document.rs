//! What a drive is made of, and where its condition ends: a TOML document.

use crate::document::DocumentError;
use serde::Deserialize;
use telltale_wire::digest::Digest;
use telltale_wire::estimate::Quantity;

use super::series::Level;

/// The schema that this room reads.
const SCHEMA: u32 = 1;

/// A document that was read and found sound.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Names it.
    pub digest: Digest,
    /// What motor and inverter lose.
    pub losses: Losses,
    /// How the drive is cooled.
    pub cooling: Cooling,
    limits: Vec<(Quantity, Limits)>,
}

/// Losses in watts: `constant + torque_square * T^2 + speed * w + share * |T * w|`, torque in Nm, speed in rad/s.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Losses {
    /// W.
    pub constant: f64,
    /// W/(Nm)^2.
    pub torque_square: f64,
    /// W/(rad/s).
    pub speed: f64,
    /// Of the shaft's power.
    pub share: f64,
}

impl Losses {
    /// Of the whole drive.
    #[must_use]
    pub fn drive(&self, torque: f64, rad_per_s: f64) -> f64 {
        self.constant + self.motor(torque, rad_per_s) + self.share * (torque * rad_per_s).abs()
    }

    /// Of the motor alone: copper, iron and friction.
    #[must_use]
    pub fn motor(&self, torque: f64, rad_per_s: f64) -> f64 {
        self.torque_square * torque * torque + self.speed * rad_per_s.abs()
    }
}

/// How the drive gives off its heat.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cooling {
    /// From the motor to its coolant, in W/K.
    pub motor_w_per_k: f64,
    /// How fast the motor follows, in seconds.
    pub motor_s: f64,
    /// How fast the coolant follows, in seconds.
    pub coolant_s: f64,
    /// Less heat than this says nothing of the cooling, in W.
    pub least_w: f64,
}

/// Where a quantity is no longer sound; either end may be open.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Below this.
    #[serde(default = "lowest")]
    pub low: f64,
    /// Above this.
    #[serde(default = "highest")]
    pub high: f64,
}

const fn lowest() -> f64 {
    f64::NEG_INFINITY
}

const fn highest() -> f64 {
    f64::INFINITY
}

impl Limits {
    /// No limits.
    const NONE: Limits = Limits { low: lowest(), high: highest() };

    /// Whether a value lies outside.
    #[must_use]
    pub fn is_beyond(&self, value: f64) -> bool {
        !(self.low..=self.high).contains(&value)
    }

    /// The limit that a value is nearer to.
    #[must_use]
    pub fn nearer(&self, value: f64) -> f64 {
        if (value - self.low).abs() < (self.high - value).abs() { self.low } else { self.high }
    }

    /// Whether a level turns: its whole interval lies beyond, or its whole interval lies within again.
    pub(super) fn turn(&self, level: &Level, was_beyond: bool) -> Option<bool> {
        let beyond = level.low > self.high || level.high < self.low;
        let within = level.low >= self.low && level.high <= self.high;
        match was_beyond {
            false => beyond.then_some(true),
            true => within.then_some(false),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u32,
    losses: Losses,
    cooling: Cooling,
    limits: LimitDocument,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct LimitDocument {
    torque_nm: Option<Limits>,
    current_gain: Option<Limits>,
    motor_temperature_k: Option<Limits>,
    drive_cooling_k_per_w: Option<Limits>,
    contactors_ohm: Option<Limits>,
    low_voltage_rest_v: Option<Limits>,
    low_voltage_ohm: Option<Limits>,
}

impl Condition {
    /// Reads a document. `origin` names the file in errors.
    ///
    /// # Errors
    /// [`DocumentError`], with the field at fault.
    pub fn parse(text: &str, origin: &str) -> Result<Condition, DocumentError> {
        let doc: Document = toml::from_str(text)
            .map_err(|e| DocumentError::Syntax { origin: origin.into(), message: e.to_string() })?;
        let Document { schema, losses, cooling, limits: l } = doc;
        let limits: Vec<(Quantity, Limits)> = [
            (Quantity::TorqueOffset, l.torque_nm),
            (Quantity::CurrentGain, l.current_gain),
            (Quantity::MotorTemperatureOffset, l.motor_temperature_k),
            (Quantity::DriveThermalResistance, l.drive_cooling_k_per_w),
            (Quantity::ContactorResistance, l.contactors_ohm),
            (Quantity::LowVoltageRest, l.low_voltage_rest_v),
            (Quantity::LowVoltageResistance, l.low_voltage_ohm),
        ]
        .into_iter()
        .filter_map(|(quantity, limits)| Some((quantity, limits?)))
        .collect();
        let amount = |x: f64| x >= 0.0 && x.is_finite();
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let Losses { constant, torque_square, speed, share } = losses;
        let ordered = |(_, limits): &(Quantity, Limits)| limits.low < limits.high;
        let checks = [
            (schema == SCHEMA, "schema", "this agent reads schema 1"),
            ([constant, torque_square, speed, share].into_iter().all(amount), "losses", "numbers from 0 on"),
            (positive(cooling.motor_w_per_k), "cooling.motor_w_per_k", "a number above 0"),
            ((1.0..=36_000.0).contains(&cooling.motor_s), "cooling.motor_s", "1 to 36000 seconds"),
            ((1.0..=36_000.0).contains(&cooling.coolant_s), "cooling.coolant_s", "1 to 36000 seconds"),
            (positive(cooling.least_w), "cooling.least_w", "a number above 0"),
            (limits.iter().all(ordered), "limits", "low < high"),
        ];
        match checks.into_iter().find(|(holds, ..)| !holds) {
            None => Ok(Condition { digest: Digest::of(text.as_bytes()), losses, cooling, limits }),
            Some((_, field, problem)) => Err(DocumentError::Value {
                origin: origin.into(),
                field: field.into(),
                problem: problem.into(),
            }),
        }
    }

    /// The limits of a quantity; open where the document sets none.
    #[must_use]
    pub fn limits(&self, quantity: Quantity) -> Limits {
        let found = self.limits.iter().find(|(known, _)| *known == quantity);
        found.map_or(Limits::NONE, |(_, limits)| *limits)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) const EXAMPLE: &str = r#"
        schema = 1
        [losses]
        constant = 40.0
        torque_square = 0.055
        speed = 0.9
        share = 0.02
        [cooling]
        motor_w_per_k = 90.0
        motor_s = 333.0
        coolant_s = 330.0
        least_w = 300.0
        [limits]
        torque_nm = { low = -4.0, high = 4.0 }
        current_gain = { low = 0.96, high = 1.04 }
        motor_temperature_k = { low = -6.0, high = 6.0 }
        drive_cooling_k_per_w = { high = 0.012 }
        contactors_ohm = { high = 0.02 }
        low_voltage_rest_v = { low = 12.2 }
        low_voltage_ohm = { high = 0.016 }
    "#;

    #[test]
    fn each_fault_is_named() {
        assert!(Condition::parse(EXAMPLE, "c").is_ok());
        for (from, to, expected) in [
            ("schema = 1", "schema = 2", "c: `schema`: this agent reads schema 1"),
            ("share = 0.02", "share = -1", "`losses`"),
            ("motor_s = 333.0", "motor_s = nan", "`cooling.motor_s`"),
            ("low = -4.0, high = 4.0", "low = 4.0, high = -4.0", "`limits`: low < high"),
            ("torque_nm", "torque", "unknown field"),
        ] {
            let error = Condition::parse(&EXAMPLE.replace(from, to), "c").unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }

    #[test]
    fn a_level_turns_with_its_whole_interval() {
        let limits = Limits { low: -4.0, high: 4.0 };
        let level = |low: f64, high: f64| Level { value: f64::midpoint(low, high), low, high };
        assert_eq!(limits.turn(&level(3.0, 9.0), false), None, "part of it is within");
        assert_eq!(limits.turn(&level(5.0, 9.0), false), Some(true));
        assert_eq!(limits.turn(&level(3.0, 9.0), true), None);
        assert_eq!(limits.turn(&level(-1.0, 3.0), true), Some(false));
        assert_eq!((limits.nearer(7.0), limits.nearer(-3.0)), (4.0, -4.0));
    }
}
