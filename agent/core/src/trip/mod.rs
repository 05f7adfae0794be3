//! Trips: where one begins and ends, how far it went, what it took from the battery, and how it was driven.
//!
//! A trip reaches from the first movement to the last. It is over when the vehicle has stood, or its speed has been
//! silent, for [`TripConfig::standstill`], or when it stands and its battery is disconnected. What a stop takes counts
//! once the vehicle has moved on; what stands behind the last movement, such as a charge, belongs to no trip.
//!
//! Signals are looked at every [`STEP`] of the frames' own time, so that a sample costs nothing here and a replay says
//! the same at any pace. Each value holds until the next, or until the catalog calls it stale: then the time counts as
//! unknown and adds nothing. Nothing is allocated but what is told.

mod behaviour;
mod signals;
mod sums;
#[cfg(test)]
mod tests;

use crate::catalog::Catalog;
use crate::clock::{ClockAnchor, stamp};
use crate::reading::{Latest, Reading};
use crate::signal::NoData;
use behaviour::Driving;
use signals::Signals;
use std::time::Duration;
use sums::Sums;
use telltale_wire::record::IndeterminateReason;
use telltale_wire::time::MonoTime;
use telltale_wire::trip::{TripEnd, TripRecord};

/// How often signals are looked at.
pub const STEP: Duration = Duration::from_millis(200);
const STEP_S: f64 = 0.2;
/// Above this a vehicle moves: what a wheel's sensor makes of standing stays below. In m/s.
const MOVING: f64 = 0.3;
/// A trip begins above this, in m/s, and the way from the first movement to here is part of it.
const SETS_OFF: f64 = 1.5;
/// A shorter way is no trip, in metres: a manoeuvre in a yard.
const SHORTEST_M: f64 = 100.0;
/// A vehicle that stands with its battery disconnected for so long has arrived.
const ARRIVED: Duration = Duration::from_secs(2);
/// A speed that comes more seldom than this is held no longer for it.
const LONGEST_GAP: Duration = Duration::from_secs(30);
/// A trip without power, charge or temperature for more than this share of its time does not tell them.
const MOST_UNKNOWN: f64 = 0.05;

/// When a trip is over, and what is harsh.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TripConfig {
    /// A vehicle that has stood for so long has ended its trip.
    pub standstill: Duration,
    /// Braking harder than this is harsh, in m/s2.
    pub braking: f32,
    /// Accelerating harder than this is harsh, in m/s2.
    pub acceleration: f32,
}

impl Default for TripConfig {
    fn default() -> TripConfig {
        TripConfig { standstill: Duration::from_secs(300), braking: 3.5, acceleration: 2.5 }
    }
}

/// Where the vehicle is between two trips, or why nobody knows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum TripState {
    /// The catalog has no speed in a unit of speed: there are no trips.
    NoSpeedSignal,
    /// The speed is not there now.
    NoSpeed(NoData),
    /// It stands.
    Parked,
    /// It is under way.
    Driving {
        /// Since when.
        since: MonoTime,
        /// How far, in metres.
        distance_m: f64,
    },
}

/// What is known of trips at one moment.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TripView {
    /// The state.
    pub state: TripState,
    /// The latest trip that ended.
    pub latest: Option<TripRecord>,
}

impl Default for TripView {
    fn default() -> TripView {
        TripView { state: TripState::NoSpeedSignal, latest: None }
    }
}

/// The trip under way.
#[derive(Clone, Copy, Debug)]
struct Trip {
    from: MonoTime,
    /// The end of the last step in which it moved.
    moved: MonoTime,
    /// Whether it was fast enough to be one.
    has_set_off: bool,
    /// Up to the last movement.
    sums: Sums,
    /// What came behind it, which counts once the vehicle moves on.
    tail: Sums,
    /// State of charge at the start and the latest, in percent; why there is none.
    charge: Option<[f64; 2]>,
    chargeless: NoData,
    driving: Driving,
    /// Since when the battery is disconnected.
    disconnected: Option<MonoTime>,
}

/// Finds trips in the signals of one catalog.
#[derive(Clone, Debug)]
pub(crate) struct TripRecorder {
    config: TripConfig,
    signals: Option<Signals>,
    /// The end of the next step; `None` before the first frame.
    next: Option<MonoTime>,
    speed: Result<f64, NoData>,
    rhythm: Rhythm,
    trip: Option<Trip>,
    latest: Option<TripRecord>,
}

impl TripRecorder {
    pub(crate) fn new(catalog: &Catalog, config: TripConfig) -> TripRecorder {
        let signals = Signals::new(catalog);
        TripRecorder {
            config,
            signals,
            next: None,
            speed: Err(NoData::NotReceived),
            rhythm: Rhythm::default(),
            trip: None,
            latest: None,
        }
    }

    /// When [`TripRecorder::advance`] next has something to do.
    pub(crate) fn next_step(&self) -> MonoTime {
        match self.signals {
            None => MonoTime(u64::MAX),
            Some(_) => self.next.unwrap_or(MonoTime(0)),
        }
    }

    /// By when a trip under way ends if nothing more is heard.
    pub(crate) fn poll_timeout(&self) -> Option<MonoTime> {
        self.trip.map(|trip| trip.moved.plus(self.config.standstill).plus(STEP))
    }

    /// Ends the steps that are over at `now`, by the samples that came before it; gives a trip that ended.
    pub(crate) fn advance(
        &mut self,
        now: MonoTime,
        latest: &impl Latest,
        anchor: Option<ClockAnchor>,
    ) -> Option<TripRecord> {
        let signals = self.signals?;
        let mut ended = None;
        let mut end = *self.next.get_or_insert(now.plus(STEP));
        while end <= now {
            if let Some(told) = self.step(end, &signals, latest, anchor) {
                ended = Some(told);
            }
            let resting = self.trip.is_none() && !self.speed.is_ok_and(|speed| speed > MOVING);
            end = end.plus(STEP);
            if resting && end < now {
                // No sample came since: nothing begins before the next frame does.
                let behind = now.since(end).as_micros() / STEP.as_micros();
                end = end.plus(STEP.saturating_mul(behind as u32));
            }
        }
        self.next = Some(end);
        ended
    }

    fn step(
        &mut self,
        end: MonoTime,
        signals: &Signals,
        latest: &impl Latest,
        anchor: Option<ClockAnchor>,
    ) -> Option<TripRecord> {
        let reading = signals.speed.read(latest, end).and_then(|reading| self.rhythm.hold(reading, end));
        self.speed = reading.map(|reading| reading.value);
        let moving = self.speed.is_ok_and(|speed| speed > MOVING);
        let trip = match &mut self.trip {
            Some(trip) => trip,
            none if moving => none.insert(Trip::new(end, &self.config)),
            _ => return None,
        };
        let sample = signals.sample(latest, end);
        trip.tail.add(reading, &sample, MOVING, STEP_S);
        if let Ok(reading) = reading {
            trip.driving.take(reading);
        }
        if moving {
            trip.moved = end;
            trip.has_set_off |= self.speed.is_ok_and(|speed| speed > SETS_OFF);
            let stood = trip.tail.stood() && trip.sums.moved();
            trip.sums.stops += u32::from(stood);
            trip.sums.merge(&mut trip.tail);
            trip.note_charge(sample.charge);
        }
        let is_off = !moving && sample.connected == Some(false);
        trip.disconnected = is_off.then(|| trip.disconnected.unwrap_or(end));
        let rested = end.since(trip.moved);
        let over = match (rested >= self.config.standstill, trip.disconnected) {
            (_, Some(since)) if end.since(since) >= ARRIVED => TripEnd::Disconnected,
            (true, _) if self.speed.is_ok() => TripEnd::Standstill,
            (true, _) => TripEnd::Silence,
            (false, _) => return None,
        };
        self.end(over, anchor)
    }

    /// Ends the trip under way, where the input ends or the agent stops.
    pub(crate) fn cut(&mut self, anchor: Option<ClockAnchor>) -> Option<TripRecord> {
        self.end(TripEnd::Cut, anchor)
    }

    fn end(&mut self, over: TripEnd, anchor: Option<ClockAnchor>) -> Option<TripRecord> {
        let trip = self.trip.take()?;
        if !trip.has_set_off || trip.sums.distance_m < SHORTEST_M {
            return None;
        }
        let record = trip.record(over, anchor);
        self.latest = Some(record);
        Some(record)
    }

    /// State of charge at `now`, in percent.
    pub(crate) fn charge(&self, latest: &impl Latest, now: MonoTime) -> Result<f64, IndeterminateReason> {
        let charge =
            self.signals.map_or(Err(NoData::NotReceived), |signals| signals.sample(latest, now).charge);
        charge.map_err(NoData::reason)
    }

    /// Goes on with what another recorder of the same catalog holds.
    pub(crate) fn inherit(&mut self, before: &TripRecorder) {
        let (config, signals) = (self.config, self.signals);
        *self = TripRecorder { config, signals, ..before.clone() };
    }

    /// What is known now.
    pub(crate) fn view(&self) -> TripView {
        let state = match (&self.signals, &self.trip, self.speed) {
            (None, ..) => TripState::NoSpeedSignal,
            (_, Some(trip), _) => TripState::Driving { since: trip.from, distance_m: trip.sums.distance_m },
            (_, None, Err(why)) => TripState::NoSpeed(why),
            (_, None, Ok(_)) => TripState::Parked,
        };
        TripView { state, latest: self.latest }
    }
}

/// How often the speed comes: one that stays away for longer than it does is gone, though the catalog would hold it on.
#[derive(Clone, Copy, Default, Debug)]
struct Rhythm {
    latest: Option<MonoTime>,
    /// The longest of the recent gaps between two values, in seconds; an older one counts for less and less.
    gap_s: f64,
}

impl Rhythm {
    /// A value holds for so many gaps, and for so many seconds at the least.
    const GAPS: f64 = 2.5;
    const LEAST_S: f64 = 1.0;
    /// What each value leaves of the gaps before.
    const FADES: f64 = 0.8;

    fn hold(&mut self, reading: Reading, now: MonoTime) -> Result<Reading, NoData> {
        let longest_s = LONGEST_GAP.as_secs_f64();
        match self.latest {
            Some(latest) if latest != reading.at => {
                let gap_s = reading.at.since(latest).as_secs_f64().min(longest_s);
                self.gap_s = gap_s.max(self.gap_s * Rhythm::FADES);
            }
            Some(_) => {}
            None => self.gap_s = longest_s,
        }
        self.latest = Some(reading.at);
        let held_s = (self.gap_s * Rhythm::GAPS).max(Rhythm::LEAST_S);
        if now.since(reading.at).as_secs_f64() > held_s { Err(NoData::Stale) } else { Ok(reading) }
    }
}

impl Trip {
    /// The charge at the start is what is first heard within so many seconds.
    const START_S: f64 = 10.0;

    fn new(first_end: MonoTime, config: &TripConfig) -> Trip {
        let from = MonoTime(first_end.as_micros().saturating_sub(STEP.as_micros() as u64));
        Trip {
            from,
            moved: first_end,
            has_set_off: false,
            sums: Sums::default(),
            tail: Sums::default(),
            charge: None,
            chargeless: NoData::NotReceived,
            driving: Driving::new(config.braking, config.acceleration),
            disconnected: None,
        }
    }

    fn note_charge(&mut self, charge: Result<f64, NoData>) {
        match (charge, &mut self.charge) {
            (Ok(percent), Some([_, to])) => *to = percent,
            (Ok(percent), none) if self.sums.seconds() < Trip::START_S => *none = Some([percent; 2]),
            (Ok(_), None) => {}
            (Err(why), _) => self.chargeless = why,
        }
    }

    fn record(&self, end: TripEnd, anchor: Option<ClockAnchor>) -> TripRecord {
        let Trip { sums, .. } = self;
        let (braking, acceleration) = self.driving.told();
        TripRecord {
            from: stamp(self.from, anchor),
            to: stamp(self.moved, anchor),
            end,
            distance_m: sums.distance_m,
            moving_s: sums.moving_s as f32,
            standing_s: sums.standing_s as f32,
            unknown_s: sums.unknown_s as f32,
            stops: sums.stops,
            top_kmh: (sums.top * 3.6) as f32,
            energy: sums.energy(MOST_UNKNOWN),
            charge: self.charge.map(|[from, to]| [from as f32, to as f32]).ok_or(self.chargeless.reason()),
            ambient_c: sums.ambient(),
            braking,
            acceleration,
        }
    }
}
