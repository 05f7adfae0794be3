//! Energy per kilometre and the range that remains, each with its interval: a linear model of what such a vehicle takes,
//! scaled to what this one took on its last trips.
//!
//! The model (see [`RangeModel`]) says what temperature, mean speed and stops cost a kilometre. How this vehicle, its
//! driver and its roads differ from it is one factor: energy taken over energy foretold, of the recent trips, drawn
//! towards 1 by [`PRIOR_KM`]. The next kilometres are taken to be like the recent ones, unless somebody who knows better
//! says what is ahead: the vehicle's configuration ([`Ahead`]), and before it the fleet for a while ([`Outlook`]). The
//! interval is as wide as the recent trips were off.

mod interval;
mod kept;
mod model;
#[cfg(test)]
mod tests;

pub use model::{Ahead, RangeModel};

use interval::Track;
use kept::Kept;
use std::collections::VecDeque;
use telltale_wire::desired::RoadClass;
use telltale_wire::estimate::{EstimateRecord, Interval, Quantity, SubjectEstimate};
use telltale_wire::record::{IndeterminateReason, ModelRef, Record};
use telltale_wire::time::{MonoTime, Stamp};
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

/// What the fleet says is ahead, for a while. It goes before the configuration's [`Ahead`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Outlook {
    /// From then on it holds no longer.
    pub until: MonoTime,
    /// The air outside, in degrees Celsius.
    pub ambient_c: Option<f64>,
    /// The road: its speed and stops are those that the document gives it.
    pub road: Option<RoadClass>,
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
    /// What the fleet said is ahead, if it was foretold with that.
    pub outlook: Option<Outlook>,
}

/// Estimates for one vehicle.
#[derive(Clone, Debug)]
pub(crate) struct RangeEstimator {
    model: RangeModel,
    reference: ModelRef,
    recent: VecDeque<Travelled>,
    track: Track,
    outlook: Option<Outlook>,
    /// State of charge at the end of the latest trip, in percent.
    charge: Result<f64, IndeterminateReason>,
    latest: Option<RangeView>,
    /// How many trips have come.
    taken: u64,
}

impl RangeEstimator {
    pub(crate) fn new(model: RangeModel) -> RangeEstimator {
        RangeEstimator {
            reference: ModelRef { name: MODEL_NAME.into(), digest: model.digest.short() },
            recent: VecDeque::with_capacity(MOST),
            track: Track::new(model.widths()),
            outlook: None,
            charge: Err(IndeterminateReason::NotReceived),
            latest: None,
            taken: 0,
            model,
        }
    }

    /// Takes a trip that ended; gives what is told of the next one.
    pub(crate) fn take(&mut self, trip: &TripRecord) -> [Record; 2] {
        if let Some(travelled) = Travelled::of(trip) {
            // What the vehicle learns of itself does not rest on what somebody says.
            let foretold = self.wh_per_km(None, travelled.ambient_c);
            self.track.note(self.model.widths(), travelled.wh / travelled.km, foretold);
            if self.recent.len() == MOST {
                self.recent.pop_front();
            }
            self.recent.push_back(travelled);
        }
        self.taken += 1;
        self.charge = trip.charge.map(|[_, to]| f64::from(to));
        self.tell(trip.to, self.charge)
    }

    /// Takes what the fleet says is ahead, or that nothing is any more; gives what is told then, if that is news. The
    /// charge is the present one in percent; where it is not known, that of the latest trip's end stands for it.
    pub(crate) fn look_ahead(
        &mut self,
        outlook: Option<Outlook>,
        at: Stamp,
        charge: Result<f64, IndeterminateReason>,
    ) -> Option<[Record; 2]> {
        if std::mem::replace(&mut self.outlook, outlook) == outlook {
            return None;
        }
        let charge = charge.or_else(|why| self.charge.map_err(|_| why));
        Some(self.tell(at, charge))
    }

    /// What the fleet says is ahead.
    pub(crate) const fn outlook(&self) -> Option<Outlook> {
        self.outlook
    }

    fn tell(&mut self, at: Stamp, charge: Result<f64, IndeterminateReason>) -> [Record; 2] {
        let view = self.estimate(charge);
        self.latest = Some(view);
        [
            self.record(at, Quantity::EnergyPerDistance, Ok(view.wh_per_km)),
            self.record(at, Quantity::RemainingRange, view.range_km),
        ]
    }

    fn record(&self, at: Stamp, quantity: Quantity, value: Result<Interval, IndeterminateReason>) -> Record {
        Record::Estimate(EstimateRecord {
            at,
            model: self.reference.clone(),
            quantity,
            coverage: self.model.widths().coverage as f32,
            subjects: vec![SubjectEstimate { value, resistance_ohm: None }],
            prefix: "Vehicle".into(),
        })
    }

    /// What the next kilometres take, and how many there are at this state of charge in percent.
    fn estimate(&self, charge: Result<f64, IndeterminateReason>) -> RangeView {
        let value = self.wh_per_km(self.outlook, None);
        let times = 1.0 + self.track.width(self.model.widths());
        let interval = |value: f64| Interval {
            value: value as f32,
            low: (value / times) as f32,
            high: (value * times) as f32,
        };
        RangeView {
            wh_per_km: interval(value),
            range_km: charge.map(|percent| interval(self.model.usable_wh(percent) / value)),
            trips: self.recent.len(),
            outlook: self.outlook,
        }
    }

    /// What the next kilometres are foretold to take, in Wh each. `outside` is the temperature if it is known already.
    fn wh_per_km(&self, outlook: Option<Outlook>, outside: Option<f64>) -> f64 {
        let (kmh, stops, ambient_c) = self.ahead(outlook, outside);
        let (mut taken, mut foretold) = (0.0, 0.0);
        for trip in &self.recent {
            let by_model = self.model.wh_per_km(trip.kmh, trip.stops, trip.ambient_c.unwrap_or(ambient_c));
            taken += trip.wh;
            foretold += by_model * trip.km;
        }
        let plain = self.model.wh_per_km(kmh, stops, ambient_c);
        let prior = PRIOR_KM * plain;
        plain * (taken + prior) / (foretold + prior)
    }

    /// Mean speed, stops per kilometre and temperature of what is ahead: as the fleet says, else as the configuration does,
    /// else as on recent trips, else as the model calls typical.
    fn ahead(&self, outlook: Option<Outlook>, outside: Option<f64>) -> (f64, f64, f64) {
        let Ahead { kmh, stops_per_km, ambient_c } = self.model.ahead;
        let road = outlook.and_then(|outlook| outlook.road).map(|road| self.model.road(road));
        let air = outlook.and_then(|outlook| outlook.ambient_c);
        let km: f64 = self.recent.iter().map(|trip| trip.km).sum();
        let mean = |of: fn(&Travelled) -> f64| {
            (km > 0.0).then(|| self.recent.iter().map(|trip| of(trip) * trip.km).sum::<f64>() / km)
        };
        let hours = self.recent.iter().map(|trip| trip.km / trip.kmh).sum::<f64>();
        let latest = self.recent.iter().rev().find_map(|trip| trip.ambient_c);
        let typical = self.model.typical();
        let speed = road.map(|road| road.kmh).or(kmh).or((km > 0.0).then(|| km / hours)).or(typical.kmh);
        let stops = road.map(|road| road.stops_per_km).or(stops_per_km).or(mean(|trip| trip.stops));
        (
            speed.unwrap_or(40.0),
            stops.or(typical.stops_per_km).unwrap_or(1.0),
            air.or(ambient_c).or(outside).or(latest).or(typical.ambient_c).unwrap_or(15.0),
        )
    }

    /// How many trips have come: a state is as it was while this is.
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    /// The recent trips and their errors, for whoever keeps them.
    pub(crate) fn state(&self) -> Vec<u8> {
        let (document, track) = (self.reference.digest, self.track.clone());
        Kept { document, trips: self.recent.iter().copied().collect(), track }.to_bytes()
    }

    /// Goes on with what was kept; says whether it is whole. How far off trips were that another document foretold says
    /// nothing of this one: those errors begin anew, and the trips count on.
    pub(crate) fn restore(&mut self, state: &[u8]) -> bool {
        let Some((trips, rest)) = kept::read(state) else { return false };
        let widths = self.model.widths();
        self.track = match rest {
            Some((_, track)) if !track.is_sound(widths) => return false,
            Some((document, track)) if document == self.reference.digest => track,
            _ => Track::new(widths),
        };
        self.recent = trips.into();
        true
    }

    /// Goes on where the estimator of another pipeline stopped.
    pub(crate) fn inherit(&mut self, before: &RangeEstimator) {
        self.restore(&before.state());
        (self.outlook, self.charge) = (before.outlook, before.charge);
    }

    /// The latest estimate.
    pub(crate) const fn view(&self) -> Option<RangeView> {
        self.latest
    }
}
