//! The powertrain's control unit: motor, inverter, pedals, contactors, coolants and the 12 V system in the frames of
//! `powertrain.dbc`. What moves fast is told every 20 ms, between two steps of the physics by straight lines.

use crate::bms::{probe_raw, quantised};
use crate::bus::Outgoing;
use crate::drivetrain::Drive;
use crate::protect::Protection;
use crate::random::{Draws, Use};
use crate::schedule::Schedule;
use crate::thermal::Temperatures;

/// Identifiers of `powertrain.dbc`, all standard.
pub(crate) const MOTOR: u16 = 0x0F0;
pub(crate) const PEDALS: u16 = 0x0F1;
pub(crate) const SPEED: u16 = 0x0F2;
const INVERTER: u16 = 0x0F3;
pub(crate) const CONTACTORS: u16 = 0x0F4;
const THERMAL: u16 = 0x1F0;
const LOW_VOLTAGE: u16 = 0x1F1;

const FAST_US: u64 = 20_000;
const MEDIUM_US: u64 = 100_000;
const SLOW_US: u64 = 1_000_000;
/// Often enough to hear the 12 V battery rest, and then carry the contactors' coils, before the DC/DC converter starts.
const LOW_VOLTAGE_US: u64 = 200_000;

/// After waking the contactors wait so long, in seconds, then the link charges through a resistor.
const OPEN_S: f64 = 0.3;
const PRECHARGE_S: f64 = 0.4;
/// How often longer a weak contactor's precharge takes, per ohm.
const PRECHARGE_PER_OHM: f64 = 30.0;
/// The 12 V system: what the DC/DC converter holds, and the resting battery.
const DCDC_V: f64 = 14.1;
const RESTING_V: f64 = 12.6;
const LOW_VOLTAGE_OHM: f64 = 0.008;
/// What the control units take while they wake, and what the coils of the contactors take while they pull in.
const WAKING_W: f64 = 60.0;
const COILS_A: f64 = 45.0;
/// An aged battery rests so much lower for each time its resistance when new.
const RESTS_LOWER_V: f64 = 0.12;

#[derive(Clone, Copy)]
enum Message {
    Motor,
    Pedals,
    Speed,
    Inverter,
    Contactors,
    Thermal,
    LowVoltage,
}

/// The 12 V system at one moment: volts, amperes into the battery, and what the converter gives.
struct Supply {
    volts: f64,
    amperes: f64,
    dcdc_w: f64,
}

/// What a contactor's two bits say.
#[derive(Clone, Copy)]
enum Contact {
    Open = 0,
    Closed = 1,
}

/// What the unit senses in one step.
pub(crate) struct Sensed<'a> {
    /// The physics' step: when it started, in microseconds, and how long it is.
    pub(crate) start_us: i64,
    pub(crate) step_us: i64,
    /// The drive before and after the step.
    pub(crate) before: Drive,
    pub(crate) after: Drive,
    pub(crate) pack_v: f64,
    pub(crate) contactor_ohm: f64,
    pub(crate) is_charging: bool,
    /// Watts of what is neither motor nor heater.
    pub(crate) auxiliary_w: f64,
    pub(crate) temperatures: &'a Temperatures,
    pub(crate) sensors: Sensors,
}

/// What is wrong with the drive's sensors and the 12 V battery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sensors {
    /// Kelvins that the motor's temperature is told too high.
    pub(crate) motor_k: f64,
    /// Newton metres that the torque is told too high.
    pub(crate) torque_nm: f64,
    /// How many times as large the inverter's current is told.
    pub(crate) current_gain: f64,
    /// How many times its resistance when new the 12 V battery has.
    pub(crate) low_voltage_age: f64,
}

impl Sensors {
    pub(crate) const SOUND: Sensors =
        Sensors { motor_k: 0.0, torque_nm: 0.0, current_gain: 1.0, low_voltage_age: 1.0 };
}

/// The unit's memory.
pub(crate) struct Powertrain {
    draws: Draws,
    schedule: Schedule<Message>,
    counters: [u8; 4],
    woke_us: i64,
}

impl Powertrain {
    pub(crate) fn new(seed: u64) -> Powertrain {
        // Phases apart, as a unit's scheduler spreads them.
        let schedule = Schedule::new([
            (Message::Motor, FAST_US, 1_000),
            (Message::Pedals, FAST_US, 6_000),
            (Message::Speed, FAST_US, 11_000),
            (Message::Inverter, MEDIUM_US, 3_000),
            (Message::Contactors, MEDIUM_US, 53_000),
            (Message::Thermal, SLOW_US, 208_000),
            (Message::LowVoltage, LOW_VOLTAGE_US, 108_000),
        ]);
        Powertrain { draws: Draws::new(seed, Use::Powertrain), schedule, counters: [0; 4], woke_us: 0 }
    }

    pub(crate) fn wake(&mut self, now_us: i64) {
        self.schedule.wake(now_us);
        self.woke_us = now_us;
    }

    /// Its messages' clock.
    pub(crate) fn skew(&mut self, ppm: f64) {
        self.schedule.skew(ppm);
    }

    /// Sends what falls due before a time.
    pub(crate) fn send(&mut self, before_us: i64, sensed: &Sensed<'_>, out: &mut Vec<Outgoing>) {
        while let Some((message, due_us)) = self.schedule.pop(before_us) {
            let (id, data) = self.frame(message, due_us, sensed);
            out.push(Outgoing { due_us, id, data });
        }
    }

    fn frame(&mut self, message: Message, due_us: i64, sensed: &Sensed<'_>) -> (u16, [u8; 8]) {
        let place = (due_us - sensed.start_us) as f64 / sensed.step_us as f64;
        let between = |value: fn(&Drive) -> f64| {
            value(&sensed.before) + place * (value(&sensed.after) - value(&sensed.before))
        };
        let mut data = [0; 8];
        match message {
            Message::Motor => {
                word(&mut data, 1, between(|d| d.motor_rpm) + self.draws.bell(0.5), 1.0);
                let torque = between(|d| d.torque_nm) + sensed.sensors.torque_nm;
                word(&mut data, 2, torque + self.draws.bell(0.2), 10.0);
                word(&mut data, 3, sensed.after.torque_nm, 10.0);
                self.protected(MOTOR, 0, data)
            }
            Message::Pedals => {
                data[2] = quantised(between(|d| d.accelerator), 250.0, 250.0) as u8;
                let bar = between(|d| d.brake_bar);
                data[3] = quantised(bar, 2.0, 254.0) as u8;
                data[4] = u8::from(bar > 0.5) | gear(sensed) << 1;
                self.protected(PEDALS, 1, data)
            }
            Message::Speed => {
                let kmh = between(|d| d.speed) * 3.6;
                let noise = if kmh > 0.0 { self.draws.bell(0.02) } else { 0.0 };
                unsigned_word(&mut data, 1, (kmh + noise).max(0.0), 100.0);
                word(&mut data, 2, between(|d| d.acceleration), 1_000.0);
                self.protected(SPEED, 2, data)
            }
            Message::Inverter => {
                let link_v = self.link_voltage(due_us, sensed);
                let amperes = sensed.after.inverter_w / link_v.max(1.0) * sensed.sensors.current_gain;
                unsigned_word(&mut data, 0, link_v + self.draws.bell(0.1), 10.0);
                word(&mut data, 1, amperes + self.draws.bell(0.05), 10.0);
                data[4] = probe_raw(sensed.temperatures.inverter);
                data[5] = probe_raw(sensed.temperatures.motor + sensed.sensors.motor_k);
                word(&mut data, 3, sensed.after.inverter_w / 1_000.0, 100.0);
                (INVERTER, data)
            }
            Message::Contactors => {
                let [positive, negative, precharge] = self.contacts(due_us, sensed.contactor_ohm);
                let plug = if sensed.is_charging { Contact::Closed } else { Contact::Open };
                data[2] = positive as u8 | (negative as u8) << 2 | (precharge as u8) << 4 | (plug as u8) << 6;
                let link_v = self.link_voltage(due_us, sensed);
                data[3..5].copy_from_slice(&(quantised(link_v, 10.0, 65_534.0) as u16).to_le_bytes());
                self.protected(CONTACTORS, 3, data)
            }
            Message::Thermal => {
                let t = sensed.temperatures;
                data[0] = probe_raw(t.coolant);
                data[1] = probe_raw(t.drive_coolant);
                data[2] = (2.0 * (t.ambient + 40.0)).round().clamp(0.0, 254.0) as u8;
                data[3] = if t.pump_runs { 200 } else { 0 };
                (THERMAL, data)
            }
            Message::LowVoltage => {
                let Supply { volts, amperes, dcdc_w } = self.supply(due_us, sensed);
                unsigned_word(&mut data, 0, volts + self.draws.bell(0.01), 100.0);
                word(&mut data, 1, amperes, 10.0);
                unsigned_word(&mut data, 2, dcdc_w, 1.0);
                (LOW_VOLTAGE, data)
            }
        }
    }

    /// The 12 V system: the battery alone, then with the contactors' coils, then the DC/DC converter.
    fn supply(&self, at_us: i64, sensed: &Sensed<'_>) -> Supply {
        let awake_s = self.awake_s(at_us);
        if awake_s > OPEN_S + PRECHARGE_S {
            let drop = sensed.auxiliary_w / DCDC_V * LOW_VOLTAGE_OHM;
            return Supply { volts: DCDC_V - drop, amperes: 1.5, dcdc_w: sensed.auxiliary_w };
        }
        let coils = if awake_s > OPEN_S { COILS_A } else { 0.0 };
        let age = sensed.sensors.low_voltage_age;
        let (rests, amperes) = (RESTING_V - RESTS_LOWER_V * (age - 1.0), WAKING_W / RESTING_V + coils);
        Supply { volts: rests - amperes * LOW_VOLTAGE_OHM * age, amperes: -amperes, dcdc_w: 0.0 }
    }

    fn protected(&mut self, id: u16, counter: usize, mut data: [u8; 8]) -> (u16, [u8; 8]) {
        Protection::Profile1.apply(id, &mut self.counters[counter], &mut data);
        (id, data)
    }

    fn awake_s(&self, at_us: i64) -> f64 {
        (at_us - self.woke_us) as f64 / 1e6
    }

    /// Main positive, main negative, precharge.
    fn contacts(&self, at_us: i64, contactor_ohm: f64) -> [Contact; 3] {
        let awake_s = self.awake_s(at_us);
        match awake_s {
            s if s < OPEN_S => [Contact::Open; 3],
            s if s < OPEN_S + precharge_s(contactor_ohm) => [Contact::Open, Contact::Closed, Contact::Closed],
            _ => [Contact::Closed, Contact::Closed, Contact::Open],
        }
    }

    /// Volts behind the contactors.
    fn link_voltage(&self, at_us: i64, sensed: &Sensed<'_>) -> f64 {
        let charging_s = self.awake_s(at_us) - OPEN_S;
        let whole_s = precharge_s(sensed.contactor_ohm);
        if charging_s < whole_s {
            // Five time constants fit the precharge.
            return sensed.pack_v * (1.0 - libm::exp(-5.0 * charging_s.max(0.0) / whole_s));
        }
        sensed.pack_v - sensed.contactor_ohm * sensed.after.inverter_w / sensed.pack_v.max(1.0)
    }
}

fn precharge_s(contactor_ohm: f64) -> f64 {
    PRECHARGE_S * (1.0 + PRECHARGE_PER_OHM * contactor_ohm)
}

/// P while it charges, D otherwise.
fn gear(sensed: &Sensed<'_>) -> u8 {
    if sensed.is_charging { 0 } else { 3 }
}

/// A signed value in the given 16-bit word.
fn word(data: &mut [u8; 8], place: usize, value: f64, per_unit: f64) {
    let raw = quantised(value, per_unit, 32_767.0) as i16;
    data[2 * place..2 * place + 2].copy_from_slice(&raw.to_le_bytes());
}

fn unsigned_word(data: &mut [u8; 8], place: usize, value: f64, per_unit: f64) {
    let raw = quantised(value.max(0.0), per_unit, 65_534.0) as u16;
    data[2 * place..2 * place + 2].copy_from_slice(&raw.to_le_bytes());
}
