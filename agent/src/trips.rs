//! Trips and the drive's condition as the agent tells them, in `telltale status` and in a replay. The keys are append only: scripts read them.

#[cfg(feature = "workbench")]
use serde::Deserialize;
use serde::Serialize;
use telltale_core::condition::ConditionView;
use telltale_core::range::{Outlook, RangeView};
use telltale_core::trip::{TripState, TripView};
use telltale_wire::record::IndeterminateReason;
use telltale_wire::time::{Stamp, WallTime};
use telltale_wire::trip::TripRecord;

/// Where the vehicle is between two trips.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct TripFacts {
    /// `under way`, `parked`, or why there is no trip: `no speed signal in the catalog`, `speed: signal stale`.
    pub state: String,
    /// Since when it is under way, on the frames' clock; absent if it is not.
    pub since: Option<String>,
    /// How far it went since then, in kilometres.
    pub distance_km: Option<f64>,
    /// The latest trip that ended since the agent's start.
    pub latest: Option<TripLine>,
}

/// One trip.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct TripLine {
    /// When it first moved: RFC 3339, or `+seconds` where the wall time is unknown.
    pub from: String,
    /// When it last moved.
    pub to: String,
    /// Why it is over.
    pub end: String,
    /// From the first movement to the last, in seconds.
    pub duration_s: f64,
    /// How far, in kilometres.
    pub distance_km: f64,
    /// For how long it moved, in seconds.
    pub moving_s: f64,
    /// For how long it stood on the way, in seconds.
    pub standing_s: f64,
    /// For how long the speed was unknown, in seconds.
    pub unknown_s: f64,
    /// How often it stood on the way.
    pub stops: u32,
    /// The highest speed, in km/h.
    pub top_kmh: f64,
    /// What the battery gave, in kWh.
    pub used_kwh: Option<f64>,
    /// What it got back while moving, in kWh.
    pub recuperated_kwh: Option<f64>,
    /// Of what it gave: while standing, in kWh.
    pub standing_kwh: Option<f64>,
    /// Both together over the distance.
    pub kwh_per_100_km: Option<f64>,
    /// Why there is no energy.
    pub energy_absent: Option<String>,
    /// State of charge at the start, in percent.
    pub charge_from: Option<f64>,
    /// At the end.
    pub charge_to: Option<f64>,
    /// Why there is no state of charge.
    pub charge_absent: Option<String>,
    /// The mean temperature outside, in degrees Celsius.
    pub ambient_c: Option<f64>,
    /// Why there is none.
    pub ambient_absent: Option<String>,
    /// For how long accelerations were known, in seconds: without them nothing harsh can be counted.
    pub acceleration_known_s: f64,
    /// How often it braked harder than `braking_threshold`.
    pub harsh_braking: u32,
    /// In m/s2.
    pub braking_threshold: f64,
    /// How often it accelerated harder than `acceleration_threshold`.
    pub harsh_acceleration: u32,
    /// In m/s2.
    pub acceleration_threshold: f64,
}

impl TripLine {
    /// A record as a line.
    #[must_use]
    pub fn of(trip: &TripRecord) -> TripLine {
        let told = |why: IndeterminateReason| why.as_str().to_owned();
        let kwh = |wh: f32| f64::from(wh) / 1e3;
        let energy = trip.energy.ok();
        let charge = trip.charge.ok();
        TripLine {
            from: moment(&trip.from),
            to: moment(&trip.to),
            end: trip.end.as_str().into(),
            duration_s: trip.duration_s(),
            distance_km: trip.distance_m / 1e3,
            moving_s: trip.moving_s.into(),
            standing_s: trip.standing_s.into(),
            unknown_s: trip.unknown_s.into(),
            stops: trip.stops,
            top_kmh: trip.top_kmh.into(),
            used_kwh: energy.map(|energy| kwh(energy.used_wh)),
            recuperated_kwh: energy.map(|energy| kwh(energy.recuperated_wh)),
            standing_kwh: energy.map(|energy| kwh(energy.standing_wh)),
            kwh_per_100_km: trip.kwh_per_100_km(),
            energy_absent: trip.energy.err().map(told),
            charge_from: charge.map(|[from, _]| from.into()),
            charge_to: charge.map(|[_, to]| to.into()),
            charge_absent: trip.charge.err().map(told),
            ambient_c: trip.ambient_c.ok().map(f64::from),
            ambient_absent: trip.ambient_c.err().map(told),
            acceleration_known_s: trip.acceleration.known_s.into(),
            harsh_braking: trip.braking.count,
            braking_threshold: trip.braking.threshold.into(),
            harsh_acceleration: trip.acceleration.count,
            acceleration_threshold: trip.acceleration.threshold.into(),
        }
    }

    /// One line for a person.
    #[must_use]
    pub fn sentence(&self) -> String {
        let energy = match (self.used_kwh, self.recuperated_kwh, self.kwh_per_100_km) {
            (Some(used), Some(back), Some(per)) => {
                format!("{used:.2} kWh used, {back:.2} kWh recuperated, {per:.1} kWh/100 km")
            }
            _ => format!("energy not told: {}", self.energy_absent.as_deref().unwrap_or("no reason given")),
        };
        let charge = match (self.charge_from, self.charge_to) {
            (Some(from), Some(to)) => format!("charge {from:.1} to {to:.1} %"),
            _ => format!("charge not told: {}", self.charge_absent.as_deref().unwrap_or("no reason given")),
        };
        let harsh = match self.acceleration_known_s >= 0.5 * self.moving_s {
            true => {
                format!("harsh: {} braking, {} acceleration", self.harsh_braking, self.harsh_acceleration)
            }
            false => "harsh driving not known: the speed comes too seldom".into(),
        };
        format!(
            "{:.2} km in {:.0} min ({:.0} min standing, {} stops), {energy}, {charge}, {harsh}; {}",
            self.distance_km,
            self.duration_s / 60.0,
            self.standing_s / 60.0,
            self.stops,
            self.end
        )
    }
}

impl TripFacts {
    /// What is known at the moment `at`.
    #[must_use]
    pub fn of(view: &TripView, at: &Stamp) -> TripFacts {
        let (state, since, distance_km) = match view.state {
            TripState::NoSpeedSignal => ("no speed signal in the catalog".into(), None, None),
            TripState::NoSpeed(why) => (format!("speed: {why}"), None, None),
            TripState::Parked => ("parked".into(), None, None),
            TripState::Driving { since, distance_m } => {
                let ago_us = at.mono.since(since).as_micros() as i64;
                let wall = at.wall.map(|wall| WallTime(wall.0.saturating_sub(ago_us)));
                let since = moment(&Stamp { mono: since, wall });
                ("under way".into(), Some(since), Some(distance_m / 1e3))
            }
        };
        TripFacts { state, since, distance_km, latest: view.latest.as_ref().map(TripLine::of) }
    }
}

/// What a kilometre takes and how many there are.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct RangeFacts {
    /// How many trips it rests on.
    pub trips: usize,
    /// Watt hours a kilometre.
    pub wh_per_km: f64,
    /// The interval's lower end.
    pub wh_per_km_low: f64,
    /// The upper end.
    pub wh_per_km_high: f64,
    /// Kilometres.
    pub range_km: Option<f64>,
    /// The interval's lower end.
    pub range_km_low: Option<f64>,
    /// The upper end.
    pub range_km_high: Option<f64>,
    /// Why there is no range.
    pub why: Option<String>,
    /// What the fleet said is ahead, where it was foretold with that: `-5.0 °C, motorway`.
    pub ahead: Option<String>,
}

impl RangeFacts {
    /// What was estimated.
    #[must_use]
    pub fn of(view: &RangeView) -> RangeFacts {
        let energy = view.wh_per_km;
        let range = view.range_km.ok();
        RangeFacts {
            trips: view.trips,
            wh_per_km: energy.value.into(),
            wh_per_km_low: energy.low.into(),
            wh_per_km_high: energy.high.into(),
            range_km: range.map(|range| range.value.into()),
            range_km_low: range.map(|range| range.low.into()),
            range_km_high: range.map(|range| range.high.into()),
            why: view.range_km.err().map(|why| why.to_string()),
            ahead: view.outlook.map(|outlook| words(&outlook)),
        }
    }
}

fn words(outlook: &Outlook) -> String {
    let air = outlook.ambient_c.map(|celsius| format!("{celsius:.1} °C"));
    let road = outlook.road.map(|road| road.to_string());
    air.into_iter().chain(road).collect::<Vec<_>>().join(", ")
}

/// One quantity of the drive's condition.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct ConditionFacts {
    /// Which, such as `contactor resistance`.
    pub quantity: String,
    /// Of the values; empty for a share.
    pub unit: String,
    /// How many observations are held.
    pub observations: usize,
    /// The level; absent before there are enough observations.
    pub value: Option<f64>,
    /// The lower end of the interval that holds it in nine of ten cases.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// How it changes a day; absent before a day has passed.
    pub per_day: Option<f64>,
    /// The lower end of the interval that holds the change in nine of ten cases.
    pub per_day_low: Option<f64>,
    /// The upper end.
    pub per_day_high: Option<f64>,
    /// Why nothing is observed now.
    pub absent: Option<String>,
    /// Since when it is beyond its limit.
    pub beyond_since: Option<String>,
}

impl ConditionFacts {
    /// What is known at one moment.
    #[must_use]
    pub fn of(view: &ConditionView) -> ConditionFacts {
        ConditionFacts {
            quantity: view.quantity.as_str().into(),
            unit: view.quantity.unit().into(),
            observations: view.observations,
            value: view.level.map(|level| level.value),
            low: view.level.map(|level| level.low),
            high: view.level.map(|level| level.high),
            per_day: view.trend.map(|trend| trend.per_day),
            per_day_low: view.trend.map(|trend| trend.low),
            per_day_high: view.trend.map(|trend| trend.high),
            absent: view.absent.map(|why| why.to_string()),
            beyond_since: view.beyond.map(|since| since.to_string()),
        }
    }
}

/// RFC 3339 where the wall time is known, else `+seconds` on the frames' clock.
fn moment(at: &Stamp) -> String {
    at.wall.map_or_else(|| format!("+{:.3}s", at.mono.as_micros() as f64 / 1e6), |wall| wall.to_string())
}
