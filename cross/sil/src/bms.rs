//! The simulated BMS: it scans the cells in order, rounds to what its converters resolve, counts charge, warns
//! late, and lays its readings into the frames of `models/cell-fault/bms.dbc`. The layout is written out here
//! because every message has whole bytes; a test holds it to the DBC.

use super::pack::{CELLS, Flow, MODULES, NOMINAL_AH};
use super::random::{Draws, Use};
use super::road::ChargeStatus;
use crate::protect::seal;

/// Identifiers of `bms.dbc`, all standard.
pub(crate) const PACK: u16 = 0x180;
const STATUS: u16 = 0x181;
const EXTREMES: u16 = 0x182;
const TEMPS: u16 = 0x190;
const CELLS_BASE: u16 = 0x1A0;

/// Frames of cells in one scan.
pub(crate) const CELL_FRAMES: usize = CELLS / 4;
/// Frames of probe temperatures.
pub(crate) const TEMP_FRAMES: usize = MODULES / 8;

/// `BMS_Pack.WarningLevel` without a value.
const NOT_AVAILABLE: u8 = 15;

/// A frame's identifier and its eight bytes.
pub(crate) type Content = (u16, [u8; 8]);

/// Spread between the highest and the lowest cell, in mV, from which each warning level holds. A healthy pack
/// reaches 60 mV under full power.
const SPREAD_WARNINGS_MV: [u16; 3] = [120, 200, 350];
/// Below this cell voltage the level is 3.
const STOP_MV: u16 = 2_700;

/// The BMS's memory.
pub(crate) struct Bms {
    draws: Draws,
    /// Each channel's constant error in volts, which calibration left.
    offsets: [f64; CELLS],
    readings_mv: [u16; CELLS],
    /// From the last whole scan; `None` before the first.
    warning: Option<u8>,
    counter: u8,
    /// State of charge, 0 to 1, by counting.
    charge: f64,
    metres: f64,
}

impl Bms {
    pub(crate) fn new(seed: u64, charge: f64) -> Bms {
        let mut draws = Draws::new(seed, Use::Sensors);
        let offsets = std::array::from_fn(|_| draws.bell(0.8e-3));
        let metres = 1_000.0 * draws.between(5_000.0, 40_000.0);
        Bms { draws, offsets, readings_mv: [0; CELLS], warning: None, counter: 0, charge, metres }
    }

    /// State of charge, 0 to 1, as the BMS counts it.
    pub(crate) const fn charge(&self) -> f64 {
        self.charge
    }

    /// Counts what flowed and how far the vehicle went.
    pub(crate) fn count(&mut self, seconds: f64, current: f64, speed: f64) {
        self.charge = (self.charge - current * seconds / (NOMINAL_AH * 3_600.0)).clamp(0.0, 1.0);
        self.metres += speed * seconds;
    }

    pub(crate) fn pack_frame(&mut self, flow: Flow, status: ChargeStatus) -> Content {
        let volts = quantised(flow.voltage, 10.0, 65_534.0) as u16;
        let amperes = quantised(flow.current + self.draws.bell(0.05), 10.0, 32_767.0) as i16;
        let mut data = [0; 8];
        data[..2].copy_from_slice(&volts.to_le_bytes());
        data[2..4].copy_from_slice(&amperes.to_le_bytes());
        data[4] = quantised(self.charge, 200.0, 200.0) as u8;
        data[5] = status as u8 | self.warning.unwrap_or(NOT_AVAILABLE) << 4;
        data[6] = self.counter;
        data[7] = seal(&data[..7]);
        self.counter = (self.counter + 1) % 16;
        (PACK, data)
    }

    /// Reads and sends the four cells of one frame, 0 to 23 in the order of the scan.
    pub(crate) fn cell_frame(&mut self, frame: usize, terminal: &[f64; CELLS]) -> Content {
        let mut data = [0; 8];
        for (place, cell) in (4 * frame..4 * frame + 4).enumerate() {
            let volts = terminal[cell] + self.offsets[cell] + self.draws.bell(0.4e-3);
            let mv = quantised(volts.max(0.0), 1_000.0, 65_534.0) as u16;
            self.readings_mv[cell] = mv;
            data[2 * place..2 * place + 2].copy_from_slice(&mv.to_le_bytes());
        }
        if frame + 1 == CELL_FRAMES {
            self.warning = Some(self.warning_level());
        }
        (CELLS_BASE + frame as u16, data)
    }

    /// Eight probes, 0 to 2.
    pub(crate) fn temp_frame(&mut self, frame: usize, celsius: &[f64; MODULES]) -> Content {
        let data = std::array::from_fn(|place| probe_raw(celsius[8 * frame + place] + self.draws.bell(0.2)));
        (TEMPS + frame as u16, data)
    }

    pub(crate) fn status_frame(&mut self, speed: f64) -> Content {
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
    pub(crate) fn extremes_frame(&self, celsius: &[f64; MODULES]) -> Content {
        let mut data = [0xFF; 8];
        if self.warning.is_some() {
            let (mut low, mut high) = (0, 0);
            for cell in 1..CELLS {
                low = if self.readings_mv[cell] < self.readings_mv[low] { cell } else { low };
                high = if self.readings_mv[cell] > self.readings_mv[high] { cell } else { high };
            }
            data[..2].copy_from_slice(&self.readings_mv[high].to_le_bytes());
            data[2..4].copy_from_slice(&self.readings_mv[low].to_le_bytes());
            (data[4], data[5]) = (high as u8 + 1, low as u8 + 1);
        }
        data[6] = probe_raw(celsius.iter().fold(f64::MIN, |a, b| a.max(*b)));
        data[7] = probe_raw(celsius.iter().fold(f64::MAX, |a, b| a.min(*b)));
        (EXTREMES, data)
    }

    /// 0 to 3. A scan half done mixes readings of two times, so this is asked at its end.
    fn warning_level(&self) -> u8 {
        let (low, high) = self.readings_mv.iter().fold((u16::MAX, 0), |(l, h), mv| (l.min(*mv), h.max(*mv)));
        let by_spread = SPREAD_WARNINGS_MV.iter().filter(|mv| high - low >= **mv).count() as u8;
        if low < STOP_MV { 3 } else { by_spread }
    }
}

/// A physical value in steps of `1 / per_unit`, held within plus and minus `limit` steps.
fn quantised(value: f64, per_unit: f64, limit: f64) -> f64 {
    (value * per_unit).round().clamp(-limit, limit)
}

/// One degree a step from -40; 0xFF is kept for "not available".
fn probe_raw(celsius: f64) -> u8 {
    (celsius + 40.0).round().clamp(0.0, 254.0) as u8
}
