//! The simulated BMS: it scans the cells in order, rounds to what its converters resolve, counts charge, balances,
//! warns late, and lays its readings into the frames of `models/cell-fault/bms.dbc`. The layout is written out here
//! because most messages have whole bytes; a test holds it to the DBC.

use crate::bus::Outgoing;
use crate::fault::{Fault, Kind, Target};
use crate::pack::{CELLS, Flow, MODULES, charge_at};
use crate::protect::Protection;
use crate::random::{Draws, Use};
use crate::schedule::Schedule;
use crate::spec::{PackSpec, Periods};

/// Identifiers of `bms.dbc`, all standard.
pub(crate) const PACK: u16 = 0x180;
const STATUS: u16 = 0x181;
const EXTREMES: u16 = 0x182;
const LIMITS: u16 = 0x183;
const BALANCE: u16 = 0x184;
const TEMPS: u16 = 0x190;
const CELLS_BASE: u16 = 0x1A0;

/// Frames of cells in one scan.
const CELL_FRAMES: u64 = CELLS as u64 / 4;
/// Frames of probe temperatures.
const TEMP_FRAMES: u64 = MODULES as u64 / 8;
/// Groups of `BMS_Balance`, of 32 cells each.
const BALANCE_GROUPS: u64 = CELLS as u64 / 32;

/// Raw values of what is not available.
const NO_WORD: u16 = 0xFFFF;
const NO_PROBE: u8 = 0xFF;
const NO_CURRENT: i16 = i16::MIN;
const NO_WARNING: u8 = 15;

/// Spread between the highest and the lowest cell, in mV, from which each warning level holds. A healthy pack
/// reaches 60 mV under full power.
const SPREAD_WARNINGS_MV: [u16; 3] = [120, 200, 350];
/// Below this cell voltage the level is 3.
const STOP_MV: u16 = 2_700;
/// Balancing bleeds cells that stand so far above the lowest, while all are above the second figure and the current
/// is below the third.
const BALANCE_FROM_MV: u16 = 6;
const BALANCE_ABOVE_MV: u16 = 3_800;
const BALANCE_BELOW_A: f64 = 3.0;
/// After a rest of so many seconds the count of charge starts anew from the voltage.
const RESYNC_AFTER_S: f64 = 3_600.0;

/// `BMS_Pack.ChargeStatus`, after GB/T 32960.3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChargeStatus {
    ChargingParked = 1,
    NotCharging = 3,
}

#[derive(Clone, Copy)]
enum Message {
    Pack,
    Cells(u8),
    Status,
    Extremes,
    Limits,
    Balance(u8),
    Temps(u8),
}

/// What the BMS can sense in one step.
pub(crate) struct Sensed<'a> {
    pub(crate) at_s: f64,
    pub(crate) flow: Flow,
    pub(crate) terminal: &'a [f64; CELLS],
    pub(crate) celsius: &'a [f64; MODULES],
    /// Metres per second.
    pub(crate) speed: f64,
    pub(crate) status: ChargeStatus,
}

/// A sensor that fails, and what it read last before it did.
struct SensorFault {
    fault: Fault,
    held: Option<f64>,
}

/// The BMS's memory.
pub(crate) struct Bms {
    draws: Draws,
    fault_draws: Draws,
    faults: Vec<SensorFault>,
    schedule: Schedule<Message>,
    spec: PackSpec,
    /// Each channel's constant error in volts, which calibration left.
    offsets: [f64; CELLS],
    readings_mv: [u16; CELLS],
    /// From the last whole scan; `None` before the first.
    warning: Option<u8>,
    extremes: [u8; 6],
    bleeding: [bool; CELLS],
    /// Amperes as last measured.
    current: Option<f64>,
    counter: u8,
    /// State of charge, 0 to 1, by counting.
    charge: f64,
    metres: f64,
}

impl Bms {
    pub(crate) fn new(seed: u64, spec: &PackSpec, periods: &Periods, faults: &[Fault]) -> Bms {
        let mut draws = Draws::new(seed, Use::Sensors);
        let offsets = std::array::from_fn(|_| draws.bell(spec.sensor_offset_mv / 1_000.0));
        let metres = 1_000.0 * draws.between(5_000.0, 40_000.0);
        let is_sensors = |kind| matches!(kind, Kind::StuckSensor | Kind::NoisySensor | Kind::SentinelSensor);
        let faults = faults.iter().filter(|fault| is_sensors(fault.kind));
        Bms {
            draws,
            fault_draws: Draws::new(seed, Use::Faults),
            faults: faults.map(|fault| SensorFault { fault: *fault, held: None }).collect(),
            schedule: Schedule::new(messages(periods)),
            spec: spec.clone(),
            offsets,
            readings_mv: [NO_WORD; CELLS],
            warning: None,
            extremes: [0xFF; 6],
            bleeding: [false; CELLS],
            current: None,
            counter: 0,
            charge: spec.charge,
            metres,
        }
    }

    /// State of charge, 0 to 1, as the BMS counts it.
    pub(crate) const fn charge(&self) -> f64 {
        self.charge
    }

    /// Cells whose balancing resistor is switched on.
    pub(crate) const fn bleeding(&self) -> &[bool; CELLS] {
        &self.bleeding
    }

    /// Its messages' clock.
    pub(crate) fn skew(&mut self, ppm: f64) {
        self.schedule.skew(ppm);
    }

    /// The vehicle wakes after a rest of so many seconds.
    pub(crate) fn wake(&mut self, now_us: i64, rested_s: f64, terminal: &[f64; CELLS]) {
        self.schedule.wake(now_us);
        if rested_s > RESYNC_AFTER_S {
            self.charge = charge_at(terminal.iter().sum::<f64>() / CELLS as f64);
        }
    }

    /// Measures the current, counts what flowed and how far the vehicle went.
    pub(crate) fn count(&mut self, seconds: f64, sensed: &Sensed<'_>) {
        let amperes = sensed.flow.current + self.draws.bell(0.05);
        self.current = self.sense(Target::CurrentSensor, sensed.at_s, amperes, 0.1);
        let charge_as = self.spec.capacity_ah * 3_600.0;
        self.charge = (self.charge - self.current.unwrap_or(0.0) * seconds / charge_as).clamp(0.0, 1.0);
        self.metres += sensed.speed * seconds;
    }

    /// Sends what falls due before a time.
    pub(crate) fn send(&mut self, before_us: i64, sensed: &Sensed<'_>, out: &mut Vec<Outgoing>) {
        while let Some((message, due_us)) = self.schedule.pop(before_us) {
            let (id, data) = self.frame(message, sensed);
            out.push(Outgoing { due_us, id, data });
        }
    }

    fn frame(&mut self, message: Message, sensed: &Sensed<'_>) -> (u16, [u8; 8]) {
        match message {
            Message::Pack => self.pack_frame(sensed),
            Message::Cells(frame) => self.cell_frame(frame.into(), sensed),
            Message::Status => self.status_frame(sensed.speed),
            Message::Extremes => self.extremes_frame(sensed.celsius),
            Message::Limits => self.limits_frame(sensed),
            Message::Balance(group) => self.balance_frame(group),
            Message::Temps(frame) => self.temp_frame(frame.into(), sensed),
        }
    }

    fn pack_frame(&mut self, sensed: &Sensed<'_>) -> (u16, [u8; 8]) {
        let volts = quantised(sensed.flow.voltage, 10.0, 65_534.0) as u16;
        let amperes = self.current.map_or(NO_CURRENT, |a| quantised(a, 10.0, 32_767.0) as i16);
        let mut data = [0; 8];
        data[..2].copy_from_slice(&volts.to_le_bytes());
        data[2..4].copy_from_slice(&amperes.to_le_bytes());
        data[4] = quantised(self.charge, 200.0, 200.0) as u8;
        data[5] = sensed.status as u8 | self.warning.unwrap_or(NO_WARNING) << 4;
        Protection::Closing.apply(PACK, &mut self.counter, &mut data);
        (PACK, data)
    }

    /// Reads and sends the four cells of one frame, 0 to 23 in the order of the scan.
    fn cell_frame(&mut self, frame: usize, sensed: &Sensed<'_>) -> (u16, [u8; 8]) {
        let mut data = [0; 8];
        for (place, cell) in (4 * frame..4 * frame + 4).enumerate() {
            let noise = self.draws.bell(self.spec.sensor_noise_mv / 1_000.0);
            let volts = sensed.terminal[cell] + self.offsets[cell] + noise;
            let read = self.sense_cell(cell, sensed.at_s, volts);
            let mv = read.map_or(NO_WORD, |volts| quantised(volts.max(0.0), 1_000.0, 65_534.0) as u16);
            self.readings_mv[cell] = mv;
            data[2 * place..2 * place + 2].copy_from_slice(&mv.to_le_bytes());
        }
        if frame as u64 + 1 == CELL_FRAMES {
            self.close_scan(sensed.flow.current);
        }
        (CELLS_BASE + frame as u16, data)
    }

    /// Eight probes, 0 to 2.
    fn temp_frame(&mut self, frame: usize, sensed: &Sensed<'_>) -> (u16, [u8; 8]) {
        let data = std::array::from_fn(|place| {
            let probe = 8 * frame + place;
            let celsius = sensed.celsius[probe] + self.draws.bell(0.2);
            let target = crate::fault::ProbeNumber::new(probe + 1).map(Target::Probe);
            let read = target.map_or(Some(celsius), |probe| self.sense(probe, sensed.at_s, celsius, 1.0));
            read.map_or(NO_PROBE, probe_raw)
        });
        (TEMPS + frame as u16, data)
    }

    fn status_frame(&mut self, speed: f64) -> (u16, [u8; 8]) {
        let kmh = quantised(speed * 3.6, 10.0, 65_534.0) as u16;
        let kilo_ohms = quantised(5_000.0 + self.draws.bell(20.0), 1.0, 65_534.0) as u16;
        let mut data = [0; 8];
        data[..2].copy_from_slice(&kmh.to_le_bytes());
        data[2..4].copy_from_slice(&kilo_ohms.to_le_bytes());
        // The odometer shows whole hectometres passed, so it is cut, not rounded.
        let hectometres = (self.metres / 100.0).min(f64::from(0x00FF_FFFE_u32)) as u32;
        data[4..7].copy_from_slice(&hectometres.to_le_bytes()[..3]);
        (STATUS, data)
    }

    /// The extremes of the last scan.
    fn extremes_frame(&self, celsius: &[f64; MODULES]) -> (u16, [u8; 8]) {
        let mut data = [0xFF; 8];
        data[..6].copy_from_slice(&self.extremes);
        data[6] = probe_raw(celsius.iter().fold(f64::MIN, |a, b| a.max(*b)));
        data[7] = probe_raw(celsius.iter().fold(f64::MAX, |a, b| a.min(*b)));
        (EXTREMES, data)
    }

    /// What the pack may give and take, which falls in the cold and near the ends of the charge.
    fn limits_frame(&self, sensed: &Sensed<'_>) -> (u16, [u8; 8]) {
        let coldest = sensed.celsius.iter().fold(f64::MAX, |a, b| a.min(*b));
        let warm = ((coldest + 20.0) / 40.0).clamp(0.1, 1.0);
        let discharge = 3.0 * self.spec.capacity_ah * warm * (self.charge / 0.1).min(1.0);
        let charge = self.spec.capacity_ah * warm * ((1.0 - self.charge) / 0.1).min(1.0);
        let mut data = [0; 8];
        data[..2].copy_from_slice(&(quantised(discharge, 10.0, 65_534.0) as u16).to_le_bytes());
        data[2..4].copy_from_slice(&(quantised(charge, 10.0, 65_534.0) as u16).to_le_bytes());
        data[4] = self.bleeding.iter().filter(|on| **on).count() as u8;
        (LIMITS, data)
    }

    /// Which of 32 cells bleed; the group is the multiplexor.
    fn balance_frame(&self, group: u8) -> (u16, [u8; 8]) {
        let first = usize::from(group) * 32;
        let bits =
            self.bleeding[first..first + 32].iter().rev().fold(0_u32, |bits, on| bits << 1 | u32::from(*on));
        let mut data = [0; 8];
        data[0] = group;
        data[4..].copy_from_slice(&bits.to_le_bytes());
        (BALANCE, data)
    }

    /// A scan half done mixes readings of two times, so all that compares cells happens at its end.
    fn close_scan(&mut self, current: f64) {
        let read = |(cell, mv): (usize, &u16)| (*mv != NO_WORD).then_some((*mv, cell as u8 + 1));
        let lowest = self.readings_mv.iter().enumerate().filter_map(read).min_by_key(|(mv, _)| *mv);
        let highest =
            self.readings_mv.iter().enumerate().filter_map(read).max_by_key(|(mv, cell)| (*mv, !*cell));
        let (Some((low, low_at)), Some((high, high_at))) = (lowest, highest) else {
            (self.warning, self.extremes) = (Some(3), [0xFF; 6]);
            return;
        };
        let [high_bytes, low_bytes] = [high.to_le_bytes(), low.to_le_bytes()];
        self.extremes = [high_bytes[0], high_bytes[1], low_bytes[0], low_bytes[1], high_at, low_at];
        let by_spread = SPREAD_WARNINGS_MV.iter().filter(|mv| high - low >= **mv).count() as u8;
        self.warning = Some(if low < STOP_MV { 3 } else { by_spread });
        let may_bleed =
            self.spec.balancing_ma > 0.0 && low > BALANCE_ABOVE_MV && current.abs() < BALANCE_BELOW_A;
        for (on, mv) in self.bleeding.iter_mut().zip(self.readings_mv) {
            *on = may_bleed && mv != NO_WORD && mv - low >= BALANCE_FROM_MV;
        }
    }

    fn sense_cell(&mut self, cell: usize, at_s: f64, volts: f64) -> Option<f64> {
        if self.faults.is_empty() {
            return Some(volts);
        }
        let target = crate::fault::CellNumber::new(cell + 1).map(Target::Cell);
        target.map_or(Some(volts), |target| self.sense(target, at_s, volts, 0.001))
    }

    /// What a sensor makes of a value; `step` is what one step of its signal is worth.
    fn sense(&mut self, target: Target, at_s: f64, value: f64, step: f64) -> Option<f64> {
        let mut read = Some(value);
        for SensorFault { fault, held } in self.faults.iter_mut().filter(|f| f.fault.target == target) {
            if !fault.holds(at_s) {
                *held = Some(value);
                continue;
            }
            let mut befalls = |share: f64| share >= 1.0 || self.fault_draws.between(0.0, 1.0) < share;
            match fault.kind {
                Kind::StuckSensor if befalls(fault.size) => read = Some(*held.get_or_insert(value)),
                Kind::SentinelSensor if befalls(fault.size) => read = None,
                Kind::NoisySensor => {
                    let noise = self.fault_draws.bell(fault.size * step);
                    read = read.map(|value| value + noise);
                }
                _ => {}
            }
        }
        read
    }
}

/// The messages with period and phase in microseconds.
fn messages(periods: &Periods) -> Vec<(Message, u64, u64)> {
    let us = |ms: u64| ms * 1_000;
    let (scan, cells) = (us(periods.scan_ms), us(periods.cells_ms));
    let mut list = vec![(Message::Pack, us(periods.pack_ms), 0)];
    list.extend((0..CELL_FRAMES).map(|k| (Message::Cells(k as u8), cells, scan * k / CELL_FRAMES)));
    list.extend([
        (Message::Status, cells, scan),
        (Message::Extremes, cells, scan),
        (Message::Limits, cells, scan),
    ]);
    // One group in turn, so that the multiplexed message keeps one period.
    list.extend(
        (0..BALANCE_GROUPS).map(|k| (Message::Balance(k as u8), BALANCE_GROUPS * cells, k * cells + scan)),
    );
    list.extend((0..TEMP_FRAMES).map(|k| (Message::Temps(k as u8), us(periods.temps_ms), 0)));
    list
}

/// A physical value in steps of `1 / per_unit`, held within plus and minus `limit` steps.
pub(crate) fn quantised(value: f64, per_unit: f64, limit: f64) -> f64 {
    (value * per_unit).round().clamp(-limit, limit)
}

/// One degree a step from -40; 0xFF is kept for "not available".
pub(crate) fn probe_raw(celsius: f64) -> u8 {
    (celsius + 40.0).round().clamp(0.0, 254.0) as u8
}
