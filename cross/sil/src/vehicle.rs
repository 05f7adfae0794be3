//! The vehicle as a whole: in each step of a tenth of a second the driver acts, current flows, temperatures follow,
//! the units send what is due, whoever meddles with the bus does, and the buses take what they can carry.

use crate::attack::Attack;
use crate::bms::{self, Bms, ChargeStatus};
use crate::bus::{Bus, Outgoing};
use crate::charger::{Plug, Socket};
use crate::day::{Dashboard, Day, Moment};
use crate::drivetrain::Drivetrain;
use crate::fault::{Ecu, Fault, Kind, Target};
use crate::journey::{Journal, Journey};
use crate::life::Life;
use crate::pack::{CELLS, Demand, Disturbance, Flow, MODULES, Pack};
use crate::powertrain::{self, Powertrain, Sensors};
use crate::random::{Draws, Use};
use crate::spec::{Spec, SpecError};
use crate::thermal::{Blocked, Temperatures, hour_of};
use crate::truth::{self, CellTruth};
use std::time::Duration;
use telltale_core::frame::{BusId, CanFrame, CanId, FrameKind};
use telltale_wire::time::{MonoTime, WallTime};

/// The bus on which the BMS speaks.
pub const BMS_BUS: BusId = BusId(0);
/// The bus on which the powertrain speaks, where the specification has it.
pub const POWERTRAIN_BUS: BusId = BusId(1);

/// The physics' step while the vehicle is awake.
const STEP_US: i64 = 100_000;
const STEP_S: f64 = STEP_US as f64 / 1e6;
/// How finely a parked vehicle is followed, in seconds.
const PARKED_STEP_S: f64 = 10.0;
/// How often age is summed up, in seconds.
const AGE_EVERY_S: f64 = 3_600.0;
/// Heating and cooling of the cabin, in watts per kelvin away from 21 degrees Celsius, and where it ends.
const CABIN_W_PER_K: f64 = 30.0;
const CABIN_C: f64 = 21.0;
const MAX_CABIN_W: f64 = 3_000.0;
/// Within so many kelvins nobody switches it on.
const CABIN_BAND_K: f64 = 8.0;
/// A loose connector changes its contact every so many seconds.
const LOOSE_S: f64 = 4.0;

/// One frame of the vehicle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SimFrame {
    /// When it stands on the bus.
    pub wall: WallTime,
    /// The frame, on a monotonic clock that is zero at the start, from [`BMS_BUS`] or [`POWERTRAIN_BUS`].
    pub can: CanFrame,
}

/// The vehicle: its frames in order of time, until the specification's hours are over. It takes no clock and keeps
/// no thread: asking for the next frame is what lets its time pass.
pub struct Vehicle {
    start: WallTime,
    end_us: i64,
    elapsed_us: i64,
    auxiliary_w: f64,
    spec_auxiliary_w: f64,
    balancing_a: f64,
    faults: Vec<Fault>,
    attacks: Vec<Attack>,
    looseness: Draws,
    contact: f64,
    trips: Draws,
    pack: Pack,
    life: Life,
    unaged: (f64, f64),
    capacity_as: f64,
    temperatures: Temperatures,
    drivetrain: Drivetrain,
    day: Day,
    bms: Bms,
    powertrain: Option<Powertrain>,
    /// When the bus fell asleep; `None` while it is awake.
    asleep_since_us: Option<i64>,
    last_flow: Flow,
    journal: Journal,
    outgoing: Vec<Outgoing>,
    buses: [Bus; 2],
    pending: Vec<SimFrame>,
    next: usize,
}

/// What faults do to the vehicle's body in one step.
struct Effects {
    cells: Disturbance,
    blocked: Blocked,
    contactor_ohm: f64,
    sensors: Sensors,
}

impl Vehicle {
    /// A vehicle at rest, about to start its first trip. Everything that is drawn follows from the seed.
    pub fn new(spec: &Spec, seed: u64) -> Result<Vehicle, SpecError> {
        let plan = spec.check()?;
        let faults = spec.faults()?;
        let temperatures = Temperatures::new(&spec.thermal, spec.start());
        let life = Life::new(spec.pack.age_years, spec.pack.cycles);
        Ok(Vehicle {
            start: spec.start(),
            end_us: (spec.hours * 3.6e9) as i64,
            elapsed_us: 0,
            auxiliary_w: spec.vehicle.auxiliary_w,
            spec_auxiliary_w: spec.vehicle.auxiliary_w,
            balancing_a: spec.pack.balancing_ma / 1_000.0,
            attacks: faults.iter().filter_map(|fault| Attack::new(seed, *fault)).collect(),
            looseness: Draws::new(seed, Use::Looseness),
            contact: 0.0,
            trips: Draws::new(seed, Use::Trips),
            pack: Pack::new(seed, &spec.pack, &temperatures.modules, &life),
            life,
            unaged: (0.0, 0.0),
            capacity_as: spec.pack.capacity_ah * 3_600.0,
            temperatures,
            drivetrain: Drivetrain::new(&spec.vehicle),
            day: Day::new(seed, spec, plan),
            bms: Bms::new(seed, &spec.pack, &spec.periods, &faults),
            powertrain: spec.powertrain.then(|| Powertrain::new(seed)),
            faults,
            asleep_since_us: Some(0),
            last_flow: Flow::default(),
            journal: Journal::default(),
            outgoing: Vec::new(),
            buses: [Bus::default(), Bus::default()],
            pending: Vec::new(),
            next: 0,
        })
    }

    /// The next frame; `None` when the specification's hours are over.
    pub fn next_frame(&mut self) -> Option<SimFrame> {
        while self.next == self.pending.len() {
            if self.elapsed_us >= self.end_us {
                return None;
            }
            self.advance();
        }
        self.next += 1;
        Some(self.pending[self.next - 1])
    }

    /// The drives so far, as the physics had them.
    #[must_use]
    pub fn journeys(&self) -> Vec<Journey> {
        self.journal.journeys()
    }

    /// Every cell as it is now.
    #[must_use]
    pub fn cells(&self) -> Vec<CellTruth> {
        truth::cells(&self.pack)
    }

    /// How much time has been simulated.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_micros(self.elapsed_us.unsigned_abs())
    }

    /// Lets one step pass and collects its frames.
    fn advance(&mut self) {
        self.pending.clear();
        self.next = 0;
        let elapsed_s = self.elapsed_us as f64 / 1e6;
        let terminal = self.pack.terminal();
        let socket = Socket {
            pack_v: terminal.iter().sum(),
            highest_cell_v: terminal.iter().fold(f64::MIN, |a, b| a.max(*b)),
            coldest_c: self.temperatures.modules.iter().fold(f64::MAX, |a, b| a.min(*b)),
            charge: self.bms.charge(),
        };
        let seen = Dashboard {
            elapsed_s,
            hour: hour_of(self.start, self.elapsed_us),
            charge: self.bms.charge(),
            lowest_cell_v: terminal.iter().fold(f64::MAX, |a, b| a.min(*b)),
            socket,
        };
        match self.day.step(STEP_S, seen) {
            Moment::Parked { until_s } => self.park(until_s - elapsed_s),
            Moment::Drive { speed, grade } => {
                let before = self.drivetrain.last();
                let drive = self.drivetrain.step(STEP_S, speed, grade, self.bms.charge());
                let radiator = self.radiator_blocked();
                self.temperatures.drive(STEP_S, drive.motor_loss_w, drive.inverter_loss_w, radiator);
                self.wake();
                let watts = drive.inverter_w + self.auxiliary_w + self.cabin_w();
                self.awake(before, Demand::Watts(watts), None);
            }
            Moment::Charge { amperes, plug } => {
                let before = self.drivetrain.step(STEP_S, 0.0, 0.0, 0.0);
                let radiator = self.radiator_blocked();
                self.temperatures.drive(STEP_S, 0.0, 0.0, radiator);
                self.wake();
                self.awake(before, Demand::Amperes(-amperes), Some(plug));
            }
        }
    }

    /// Lets the awake vehicle's step pass: current, heat, messages.
    fn awake(&mut self, before: crate::drivetrain::Drive, demand: Demand, plug: Option<Plug>) {
        let effects = self.effects(true);
        self.temperatures.weather(self.start, self.elapsed_us);
        let demand = match demand {
            // What the contactors lose, by the current of the step before.
            Demand::Watts(watts) => {
                Demand::Watts(watts + effects.contactor_ohm * self.last_flow.current * self.last_flow.current)
            }
            Demand::Amperes(amperes) => Demand::Amperes(amperes),
        };
        let flow = self.flow(STEP_S, demand, &effects, true);
        self.last_flow = flow;
        let drive = self.drivetrain.last();
        let end_s = (self.elapsed_us + STEP_US) as f64 / 1e6;
        self.journal.step(end_s, STEP_S, drive.speed, flow.voltage * flow.current);
        let sensed = bms::Sensed {
            at_s: self.elapsed_us as f64 / 1e6,
            flow,
            terminal: self.pack.terminal(),
            celsius: &self.temperatures.modules,
            speed: drive.speed,
            status: if plug.is_some() { ChargeStatus::ChargingParked } else { ChargeStatus::NotCharging },
        };
        let end_us = self.elapsed_us + STEP_US;
        let skew = |unit| skew_ppm(&self.faults, unit, sensed.at_s);
        self.bms.skew(skew(Ecu::Bms));
        self.bms.count(STEP_S, &sensed);
        self.bms.send(end_us, &sensed, &mut self.outgoing);
        meddle(&mut self.attacks, self.elapsed_us..end_us, Ecu::Bms, &mut self.outgoing);
        self.buses[0].queue(&mut self.outgoing);
        if let Some(unit) = &mut self.powertrain {
            let sensed = powertrain::Sensed {
                start_us: self.elapsed_us,
                step_us: STEP_US,
                before,
                after: drive,
                pack_v: flow.voltage,
                contactor_ohm: effects.contactor_ohm,
                is_charging: plug.is_some(),
                auxiliary_w: self.auxiliary_w,
                temperatures: &self.temperatures,
                sensors: effects.sensors,
            };
            unit.skew(skew(Ecu::Powertrain));
            unit.send(end_us, &sensed, &mut self.outgoing);
            meddle(&mut self.attacks, self.elapsed_us..end_us, Ecu::Powertrain, &mut self.outgoing);
            self.buses[1].queue(&mut self.outgoing);
        }
        self.emit(end_us);
        self.elapsed_us = end_us;
    }

    /// Lets current flow and the pack warm, cool and age.
    fn flow(&mut self, seconds: f64, demand: Demand, effects: &Effects, awake: bool) -> Flow {
        let flow = self.pack.step(seconds, demand, &effects.cells, &self.temperatures.modules, &self.life);
        self.temperatures.pack(seconds, self.pack.module_heat(), &effects.blocked, awake);
        self.unaged.0 += seconds;
        self.unaged.1 += flow.current.abs() * seconds / (2.0 * self.capacity_as);
        if self.unaged.0 >= AGE_EVERY_S {
            self.life.pass(self.unaged.0, &self.temperatures.modules, self.unaged.1);
            self.unaged = (0.0, 0.0);
        }
        flow
    }

    /// Collects what the buses carry in this step, in order of time.
    fn emit(&mut self, end_us: i64) {
        let (start, pending) = (self.start, &mut self.pending);
        for (bus, id) in self.buses.iter_mut().zip([BMS_BUS, POWERTRAIN_BUS]) {
            bus.transmit(end_us, |at_us, frame| {
                let (wall, at) = (WallTime(start.0 + at_us), MonoTime(at_us.unsigned_abs()));
                // Eight bytes always fit a classic frame.
                let can = CanFrame::new(at, id, CanId::Standard(frame.id), FrameKind::Classic, &frame.data);
                pending.extend(can.map(|can| SimFrame { wall, can }));
            });
        }
        pending.sort_by_key(|frame| frame.wall);
    }

    /// The units wake, if they slept.
    fn wake(&mut self) {
        let Some(since_us) = self.asleep_since_us.take() else { return };
        let rested_s = (self.elapsed_us - since_us) as f64 / 1e6;
        self.bms.wake(self.elapsed_us, rested_s, self.pack.terminal());
        if let Some(unit) = &mut self.powertrain {
            unit.wake(self.elapsed_us);
        }
        self.auxiliary_w = self.spec_auxiliary_w * self.trips.between(1.0, 2.0);
    }

    /// Lets the vehicle stand: no current, no frame, but a short still drains and the modules cool.
    fn park(&mut self, seconds: f64) {
        if self.asleep_since_us.is_none() {
            self.asleep_since_us = Some(self.elapsed_us);
            self.buses.iter_mut().for_each(Bus::sleep);
        }
        let steps = (seconds.max(0.0) * 1e6) as i64 / STEP_US + 1;
        let until_us = (self.elapsed_us + steps * STEP_US).min(self.end_us);
        while self.elapsed_us < until_us {
            let step_s = ((until_us - self.elapsed_us) as f64 / 1e6).min(PARKED_STEP_S);
            self.temperatures.weather(self.start, self.elapsed_us);
            let effects = self.effects(false);
            self.flow(step_s, Demand::Amperes(0.0), &effects, false);
            let radiator = self.radiator_blocked();
            self.temperatures.drive(step_s, 0.0, 0.0, radiator);
            self.elapsed_us += (step_s * 1e6) as i64;
        }
    }

    /// What faults and balancing do in this step.
    fn effects(&mut self, awake: bool) -> Effects {
        let mut effects = Effects {
            cells: Disturbance::NONE,
            blocked: [0.0; MODULES],
            contactor_ohm: 0.0,
            sensors: Sensors::SOUND,
        };
        if awake {
            for (leak, on) in effects.cells.leak_a.iter_mut().zip(self.bms.bleeding()) {
                *leak = if *on { self.balancing_a } else { 0.0 };
            }
        }
        let at_s = self.elapsed_us as f64 / 1e6;
        for fault in self.faults.iter().filter(|fault| fault.holds(at_s)) {
            match (fault.kind, fault.target) {
                (Kind::CellDrift, Target::Cell(cell)) if awake => {
                    effects.cells.drift_v_per_s[cell.index()] += fault.size / 3.6e6;
                }
                (Kind::HighResistance, Target::Cell(cell)) => {
                    effects.cells.resistance_factor[cell.index()] *= fault.size;
                }
                (Kind::SelfDischarge, Target::Cell(cell)) => {
                    effects.cells.leak_a[cell.index()] += fault.size / 1_000.0;
                }
                (Kind::InternalShort, Target::Cell(cell)) => {
                    let volts = self.pack.terminal()[cell.index()].max(0.0);
                    effects.cells.leak_a[cell.index()] += volts / fault.size;
                }
                (Kind::LooseConnector, Target::Cell(cell)) if awake => {
                    if self.looseness.between(0.0, 1.0) < STEP_S / LOOSE_S {
                        self.contact = self.looseness.between(0.0, 1.0);
                    }
                    effects.cells.extra_ohm[cell.index()] += self.contact * fault.size / 1_000.0;
                }
                (Kind::BlockedCooling, Target::Probe(probe)) => {
                    effects.blocked[probe.index()] = fault.size;
                }
                (Kind::BlockedCooling, _) => effects.blocked = [fault.size; MODULES],
                (Kind::WeakContactor, _) if awake => {
                    effects.contactor_ohm += fault.size / 1_000.0 * self.looseness.between(0.5, 1.5);
                }
                (Kind::MotorTemperatureDrift, _) => {
                    effects.sensors.motor_k += fault.size * (at_s - fault.onset_s) / 3_600.0;
                }
                (Kind::TorqueOffset, _) => effects.sensors.torque_nm += fault.size,
                (Kind::CurrentGain, _) => effects.sensors.current_gain *= fault.size,
                (Kind::AgedLowVoltageBattery, _) => effects.sensors.low_voltage_age *= fault.size,
                _ => {}
            }
        }
        effects
    }

    /// The share of the drive's radiator that gives off nothing, 0 to 1.
    fn radiator_blocked(&self) -> f64 {
        let at_s = self.elapsed_us as f64 / 1e6;
        let blocks = |fault: &&Fault| fault.kind == Kind::BlockedDriveCooling && fault.holds(at_s);
        self.faults.iter().filter(blocks).map(|fault| fault.size).fold(0.0, f64::max)
    }

    /// What heating or cooling the cabin takes.
    fn cabin_w(&self) -> f64 {
        let away_k = (self.temperatures.ambient - CABIN_C).abs() - CABIN_BAND_K;
        (away_k.max(0.0) * CABIN_W_PER_K).min(MAX_CABIN_W)
    }
}

impl Iterator for Vehicle {
    type Item = SimFrame;

    fn next(&mut self) -> Option<SimFrame> {
        self.next_frame()
    }
}

fn skew_ppm(faults: &[Fault], unit: Ecu, at_s: f64) -> f64 {
    let skews =
        faults.iter().filter(|fault| fault.kind == Kind::ClockSkew && fault.target == Target::Ecu(unit));
    skews.filter(|fault| fault.holds(at_s)).map(|fault| fault.size).sum()
}

fn meddle(attacks: &mut [Attack], step: std::ops::Range<i64>, unit: Ecu, frames: &mut Vec<Outgoing>) {
    for attack in attacks {
        attack.meddle(&step, unit, frames);
    }
}

const _: () = assert!(CELLS <= u8::MAX as usize, "the DBC numbers cells in a byte");
