//! A vehicle without a vehicle: a pack of 96 cells, its BMS, a driver and a road, and one faulty cell if wanted.
//! It emits the frames of `models/cell-fault/bms.dbc` as they would stand on the bus, trips with their gaps
//! between, thousands of times faster than time passes. One seed gives one recording, to the byte, everywhere.

mod bms;
mod fault;
mod pack;
pub mod protect;
mod random;
mod road;

pub use fault::{CellNumber, Fault, FaultError};
pub use pack::{CELLS, MODULES, NOMINAL_AH};

use bms::{Bms, CELL_FRAMES, Content, TEMP_FRAMES};
use pack::{Demand, Pack};
use road::{Dashboard, Moment, Road};
use std::time::Duration;
use telltale_core::frame::{BusId, CanFrame, CanId, FrameKind};
use telltale_wire::time::{MonoTime, WallTime};

/// Microseconds between two frames that leave the BMS together: a little over a frame's time at 500 kbit/s.
const FRAME_SPACING_US: i64 = 300;
/// How finely a parked vehicle is followed, in seconds.
const PARKED_STEP_S: f64 = 10.0;
const STARTING_CHARGE: f64 = 0.9;
const HOUR_US: f64 = 3.6e9;

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything that is drawn follows from it.
    pub seed: u64,
    /// The wall time of the first frame.
    pub start: WallTime,
    /// How long, parked time included.
    pub duration: Duration,
    /// Period of `BMS_Pack`, and the step of the circuit model.
    pub pack_every: Duration,
    /// Period of the cell scan, `BMS_Status` and `BMS_Extremes`; a multiple of `pack_every`.
    pub cells_every: Duration,
    /// Period of `BMS_Temps`; a multiple of `pack_every`.
    pub temps_every: Duration,
    /// How long one scan through all cells takes. The cells of one scan are not of one instant.
    pub scan: Duration,
    /// What is wrong with the pack.
    pub fault: Fault,
}

/// Four hours from 2026-01-01T06:00:00Z with a healthy pack, at the periods of the DBC.
impl Default for Options {
    fn default() -> Options {
        Options {
            seed: 1,
            start: WallTime(1_767_247_200_000_000),
            duration: Duration::from_secs(4 * 3_600),
            pack_every: Duration::from_millis(100),
            cells_every: Duration::from_secs(1),
            temps_every: Duration::from_secs(5),
            scan: Duration::from_millis(200),
            fault: Fault::None,
        }
    }
}

/// Why options were refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OptionsError {
    /// The circuit model's step is out of range.
    #[error("the pack's period is {0:?}: choose 20 ms to 1 s")]
    PackPeriod(Duration),
    /// A period that the steps do not meet, or that is longer than an hour.
    #[error("the period of {what} is {period:?}: choose a multiple of the pack's period, an hour at most")]
    Period {
        /// Whose period.
        what: &'static str,
        /// What was asked for.
        period: Duration,
    },
    /// The scan has to end before the next one starts.
    #[error("a scan of {0:?} does not fit between two scans")]
    Scan(Duration),
    /// A span of time that the clock does not hold.
    #[error("the simulated time has to lie between the years 1970 and 2200")]
    Time,
}

/// One frame of the vehicle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SimFrame {
    /// When it stands on the bus.
    pub wall: WallTime,
    /// The frame, on a monotonic clock that is zero at the start, from bus 0.
    pub can: CanFrame,
}

/// The vehicle: an iterator of its frames in order of time.
pub struct Simulator {
    options: Options,
    pack: Pack,
    bms: Bms,
    road: Road,
    elapsed_us: i64,
    /// Steps since the vehicle woke.
    awake_steps: u64,
    pending: Vec<SimFrame>,
    next: usize,
}

impl Simulator {
    /// The longest simulated time, in microseconds: from 1970 to 2200.
    const LATEST_US: i64 = 7_258_118_400_000_000;

    /// A vehicle at rest, about to start its first trip.
    pub fn new(options: &Options) -> Result<Simulator, OptionsError> {
        check(options)?;
        let celsius = ambient_celsius(options.start, 0);
        Ok(Simulator {
            pack: Pack::new(options.seed, STARTING_CHARGE, celsius, options.fault),
            bms: Bms::new(options.seed, STARTING_CHARGE),
            road: Road::new(options.seed),
            options: options.clone(),
            elapsed_us: 0,
            awake_steps: 0,
            pending: Vec::with_capacity(4 + CELL_FRAMES + TEMP_FRAMES),
            next: 0,
        })
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
        let seen = Dashboard {
            elapsed_s,
            hour: self.hour(),
            charge: self.bms.charge(),
            lowest_cell_v: terminal.iter().fold(f64::MAX, |a, b| a.min(*b)),
            highest_cell_v: terminal.iter().fold(f64::MIN, |a, b| a.max(*b)),
        };
        let seconds = self.options.pack_every.as_secs_f64();
        match self.road.step(seconds, seen) {
            Moment::Parked { until_s } => self.park(until_s - elapsed_s),
            Moment::Awake { demand, speed, status } => {
                let faulty = elapsed_s >= self.options.fault.onset_s();
                let flow = self.pack.step(seconds, demand, faulty, true);
                self.pack.cool(seconds, ambient_celsius(self.options.start, self.elapsed_us));
                self.bms.count(seconds, flow.current, speed);
                let frame = self.bms.pack_frame(flow, status);
                self.emit(frame);
                self.emit_scan(speed);
                self.elapsed_us += micros(self.options.pack_every);
                self.awake_steps += 1;
            }
        }
    }

    /// What falls due beside `BMS_Pack` in this step.
    fn emit_scan(&mut self, speed: f64) {
        let steps = |period: Duration| (micros(period) / micros(self.options.pack_every)) as u64;
        let (in_scan, in_temps) = (
            self.awake_steps % steps(self.options.cells_every),
            self.awake_steps % steps(self.options.temps_every),
        );
        let scan_steps = steps(self.options.scan).max(1);
        if in_scan < scan_steps {
            let part = |step: u64| (step * CELL_FRAMES as u64 / scan_steps) as usize;
            for frame in part(in_scan)..part(in_scan + 1) {
                let content = self.bms.cell_frame(frame, self.pack.terminal());
                self.emit(content);
            }
        }
        if in_scan == scan_steps - 1 {
            let (status, extremes) =
                (self.bms.status_frame(speed), self.bms.extremes_frame(self.pack.module_celsius()));
            self.emit(status);
            self.emit(extremes);
        }
        if in_temps == 0 {
            for frame in 0..TEMP_FRAMES {
                let content = self.bms.temp_frame(frame, self.pack.module_celsius());
                self.emit(content);
            }
        }
    }

    fn emit(&mut self, (id, payload): Content) {
        let us = self.elapsed_us + FRAME_SPACING_US * self.pending.len() as i64;
        let (wall, at) = (WallTime(self.options.start.0 + us), MonoTime(us.unsigned_abs()));
        // Eight bytes always fit a classic frame.
        let can = CanFrame::new(at, BusId(0), CanId::Standard(id), FrameKind::Classic, &payload);
        self.pending.extend(can.map(|can| SimFrame { wall, can }));
    }

    /// Lets the vehicle stand: no current, no frame, but a short still drains and the modules cool.
    fn park(&mut self, seconds: f64) {
        let step_us = micros(self.options.pack_every);
        let until_us =
            (self.elapsed_us + (seconds * 1e6) as i64 / step_us * step_us + step_us).min(self.end_us());
        while self.elapsed_us < until_us {
            let step_s = ((until_us - self.elapsed_us) as f64 / 1e6).min(PARKED_STEP_S);
            let faulty = self.elapsed_us as f64 / 1e6 >= self.options.fault.onset_s();
            self.pack.step(step_s, Demand::Amperes(0.0), faulty, false);
            self.pack.cool(step_s, ambient_celsius(self.options.start, self.elapsed_us));
            self.elapsed_us += (step_s * 1e6) as i64;
        }
        self.awake_steps = 0;
    }

    fn hour(&self) -> f64 {
        hour_of(self.options.start, self.elapsed_us)
    }

    fn end_us(&self) -> i64 {
        micros(self.options.duration)
    }
}

impl Iterator for Simulator {
    type Item = SimFrame;

    fn next(&mut self) -> Option<SimFrame> {
        while self.next == self.pending.len() {
            if self.elapsed_us >= self.end_us() {
                return None;
            }
            self.advance();
        }
        self.next += 1;
        Some(self.pending[self.next - 1])
    }
}

fn check(options: &Options) -> Result<(), OptionsError> {
    let pack = options.pack_every;
    if !(Duration::from_millis(20)..=Duration::from_secs(1)).contains(&pack)
        || !pack.subsec_nanos().is_multiple_of(1_000)
    {
        return Err(OptionsError::PackPeriod(pack));
    }
    for (what, period) in [("the cells", options.cells_every), ("the probes", options.temps_every)] {
        let met = period.as_nanos().is_multiple_of(pack.as_nanos()) && !period.is_zero();
        if !met || period > Duration::from_secs(3_600) {
            return Err(OptionsError::Period { what, period });
        }
    }
    if options.scan > options.cells_every {
        return Err(OptionsError::Scan(options.scan));
    }
    let span = i64::try_from(options.duration.as_micros()).unwrap_or(i64::MAX);
    let end = options.start.0.checked_add(span).filter(|end| *end <= Simulator::LATEST_US);
    if options.start.0 < 0 || end.is_none() {
        return Err(OptionsError::Time);
    }
    Ok(())
}

/// Whole microseconds of a duration that `check` has bounded.
fn micros(duration: Duration) -> i64 {
    duration.as_micros() as i64
}

fn hour_of(start: WallTime, elapsed_us: i64) -> f64 {
    (start.0 + elapsed_us) as f64 / HOUR_US % 24.0
}

/// 12 degrees Celsius on average, coolest at 3 and warmest at 15 o'clock, by straight lines.
fn ambient_celsius(start: WallTime, elapsed_us: i64) -> f64 {
    let from_warmest = (hour_of(start, elapsed_us) - 15.0).abs();
    let from_warmest = from_warmest.min(24.0 - from_warmest);
    12.0 + 6.0 * (1.0 - from_warmest / 6.0)
}

#[cfg(test)]
mod tests;
