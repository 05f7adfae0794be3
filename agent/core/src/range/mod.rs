//! Energy per kilometre and the range that remains, each with its interval: a linear model of what such a vehicle takes,
//! scaled to what this one took on its last trips.
//!
//! The model (see [`RangeModel`]) says what temperature, mean speed and stops cost a kilometre. How this vehicle, its
//! driver and its roads differ from it is one factor: energy taken over energy foretold, of the recent trips, drawn
//! towards 1 by [`PRIOR_KM`]. The next kilometres are taken to be like the recent ones, unless somebody who knows better
//! says what is ahead ([`Ahead`]).

mod model;
#[cfg(test)]
mod tests;

pub use model::{Ahead, RangeModel};

use std::collections::VecDeque;
use telltale_wire::estimate::{EstimateRecord, Interval, Quantity, SubjectEstimate};
use telltale_wire::record::{IndeterminateReason, ModelRef, Record};
use telltale_wire::time::Stamp;
use telltale_wire::trip::TripRecord;

/// The name under which these estimates stand in records.
pub const MODEL_NAME: &str = "range";
/// The most trips that are held; the oldest go first.
const MOST: usize = 16;
/// How many kilometres as the model foretells them stand beside the recent ones.
pub const PRIOR_KM: f64 = 10.0;
/// The longest state, in bytes.
pub const MAX_STATE: usize = 2 * 1024;

/// What of a trip counts for the next one.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Travelled {
    /// How far, in kilometres.
    pub km: f64,
    /// What it took, in watt hours.
    pub wh: f64,
    /// Its mean speed, stops included, in km/h.
    pub kmh: f64,
    /// Stops per kilometre.
    pub stops: f64,
    /// The mean temperature outside, in degrees Celsius.
    pub ambient_c: Option<f64>,
}

impl Travelled {
    /// `None` for a trip without energy or too short to say something.
    #[must_use]
    pub fn of(trip: &TripRecord) -> Option<Travelled> {
        let energy = trip.energy.ok()?;
        let (km, hours) = (trip.distance_m / 1e3, f64::from(trip.moving_s + trip.standing_s) / 3_600.0);
        let wh = f64::from(energy.used_wh) - f64::from(energy.recuperated_wh);
        (km >= 1.0 && hours > 0.0 && wh > 0.0).then_some(Travelled {
            km,
            wh,
            kmh: km / hours,
            stops: f64::from(trip.stops) / km,
            ambient_c: trip.ambient_c.ok().map(f64::from),
        })
    }
}

/// What is estimated at one moment.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RangeView {
    /// Watt hours a kilometre.
    pub wh_per_km: Interval,
    /// Kilometres, or why they can't be told.
    pub range_km: Result<Interval, IndeterminateReason>,
    /// How many trips it rests on.
    pub trips: usize,
}

/// Estimates for one vehicle.
#[derive(Clone, Debug)]
pub(crate) struct RangeEstimator {
    model: RangeModel,
    reference: ModelRef,
    recent: VecDeque<Travelled>,
    latest: Option<RangeView>,
    /// How many trips have come.
    taken: u64,
}

impl RangeEstimator {
    pub(crate) fn new(model: RangeModel) -> RangeEstimator {
        let reference = ModelRef { name: MODEL_NAME.into(), digest: model.digest.short() };
        RangeEstimator { model, reference, recent: VecDeque::with_capacity(MOST), latest: None, taken: 0 }
    }

    /// Takes a trip that ended; gives what is told of it.
    pub(crate) fn take(&mut self, trip: &TripRecord) -> [Option<Record>; 2] {
        if let Some(travelled) = Travelled::of(trip) {
            if self.recent.len() == MOST {
                self.recent.pop_front();
            }
            self.recent.push_back(travelled);
        }
        self.taken += 1;
        let view = self.estimate(trip.charge.map(|[_, to]| f64::from(to)));
        self.latest = Some(view);
        let told = |quantity, value| self.record(trip.to, quantity, value);
        [
            Some(told(Quantity::EnergyPerDistance, Ok(view.wh_per_km))),
            Some(told(Quantity::RemainingRange, view.range_km)),
        ]
    }

    fn record(&self, at: Stamp, quantity: Quantity, value: Result<Interval, IndeterminateReason>) -> Record {
        Record::Estimate(EstimateRecord {
            at,
            model: self.reference.clone(),
            quantity,
            coverage: self.model.coverage() as f32,
            subjects: vec![SubjectEstimate { value, resistance_ohm: None }],
            prefix: "Vehicle".into(),
        })
    }

    /// What the next kilometres take, and how many there are at this state of charge in percent.
    fn estimate(&self, charge: Result<f64, IndeterminateReason>) -> RangeView {
        let ahead = self.ahead();
        let (mut taken, mut foretold) = (0.0, 0.0);
        for trip in &self.recent {
            let by_model = self.model.wh_per_km(trip.kmh, trip.stops, trip.ambient_c.unwrap_or(ahead.2));
            taken += trip.wh;
            foretold += by_model * trip.km;
        }
        let plain = self.model.wh_per_km(ahead.0, ahead.1, ahead.2);
        let prior = PRIOR_KM * plain;
        let value = plain * (taken + prior) / (foretold + prior);
        let half = self.model.half_width(self.recent.len()) * value;
        let interval = |value: f64, low: f64, high: f64| Interval {
            value: value as f32,
            low: low as f32,
            high: high as f32,
        };
        let range_km = charge.map(|percent| {
            let wh = self.model.usable_wh(percent);
            interval(wh / value, wh / (value + half), wh / (value - half))
        });
        RangeView {
            wh_per_km: interval(value, value - half, value + half),
            range_km,
            trips: self.recent.len(),
        }
    }

    /// Mean speed, stops per kilometre and temperature of what is ahead: as somebody says, else as on recent trips, else
    /// as the model calls typical.
    fn ahead(&self) -> (f64, f64, f64) {
        let Ahead { kmh, stops_per_km, ambient_c } = self.model.ahead;
        let km: f64 = self.recent.iter().map(|trip| trip.km).sum();
        let mean = |of: fn(&Travelled) -> f64| {
            (km > 0.0).then(|| self.recent.iter().map(|trip| of(trip) * trip.km).sum::<f64>() / km)
        };
        let hours = self.recent.iter().map(|trip| trip.km / trip.kmh).sum::<f64>();
        let latest = self.recent.iter().rev().find_map(|trip| trip.ambient_c);
        let typical = self.model.typical();
        (
            kmh.or((km > 0.0).then(|| km / hours)).or(typical.kmh).unwrap_or(40.0),
            stops_per_km.or(mean(|trip| trip.stops)).or(typical.stops_per_km).unwrap_or(1.0),
            ambient_c.or(latest).or(typical.ambient_c).unwrap_or(15.0),
        )
    }

    /// How many trips have come: a state is as it was while this is.
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    /// The recent trips, for whoever keeps them.
    pub(crate) fn state(&self) -> Vec<u8> {
        postcard::to_allocvec(&self.recent.iter().collect::<Vec<_>>()).unwrap_or_default()
    }

    /// Goes on with trips that were kept; says whether they are whole.
    pub(crate) fn restore(&mut self, state: &[u8]) -> bool {
        let Ok(kept) = postcard::from_bytes::<Vec<Travelled>>(state) else { return false };
        let sound = |trip: &Travelled| {
            let ambient = trip.ambient_c.unwrap_or(0.0);
            let numbers = [trip.km, trip.wh, trip.kmh, trip.stops, ambient];
            numbers.iter().all(|x| x.is_finite()) && trip.km > 0.0 && trip.wh > 0.0 && trip.kmh > 0.0
        };
        if state.len() > MAX_STATE || kept.len() > MOST || !kept.iter().all(sound) {
            return false;
        }
        self.recent.clear();
        self.recent.extend(kept);
        true
    }

    /// The latest estimate, as of the end of the latest trip.
    pub(crate) const fn view(&self) -> Option<RangeView> {
        self.latest
    }
}
