//! What a kilometre takes, as a linear model of speed, stops and temperature: a TOML document.

use super::interval::Widths;
use crate::document::DocumentError;
use serde::Deserialize;
use telltale_wire::desired::RoadClass;
use telltale_wire::digest::Digest;

/// The schema that this room reads.
const SCHEMA: u32 = 2;
/// No kilometre takes less, in Wh: what a line through data says far outside of it is held here.
const LEAST_WH: f64 = 30.0;
/// Slower than this nobody gets anywhere, in km/h.
const SLOWEST_KMH: f64 = 3.0;

/// What is ahead; what is not told is taken from the recent trips.
#[derive(Clone, Copy, PartialEq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ahead {
    /// The mean speed, stops included, in km/h.
    pub kmh: Option<f64>,
    /// Stops per kilometre.
    pub stops_per_km: Option<f64>,
    /// The temperature outside, in degrees Celsius.
    pub ambient_c: Option<f64>,
}

/// A document that was read and found sound.
#[derive(Clone, Debug)]
pub struct RangeModel {
    /// Names it.
    pub digest: Digest,
    /// What is ahead, as somebody who knows says.
    pub ahead: Ahead,
    document: Document,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u32,
    /// Of the battery between empty and full, in kWh.
    usable_kwh: f64,
    /// The state of charge at which the vehicle stops, in percent.
    empty_percent: f64,
    consumption: Consumption,
    interval: Widths,
    typical: Ahead,
    roads: Roads,
}

/// Wh/km: `constant + per_hour / v + speed * v + speed_square * v^2 + stops * s + cold / v * max(0, mild_from - T)
/// + hot / v * max(0, T - mild_to)` with v in km/h, s in stops per kilometre and T in degrees Celsius.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Consumption {
    constant: f64,
    per_hour: f64,
    speed: f64,
    speed_square: f64,
    stops: f64,
    cold: f64,
    hot: f64,
    mild_from: f64,
    mild_to: f64,
}

/// How each road is driven.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Roads {
    urban: Driven,
    suburban: Driven,
    rural: Driven,
    motorway: Driven,
}

/// How a road is driven.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Driven {
    /// The mean speed, stops included, in km/h.
    pub(super) kmh: f64,
    /// Stops per kilometre.
    pub(super) stops_per_km: f64,
}

impl RangeModel {
    /// Reads a document. `origin` names the file in errors.
    ///
    /// # Errors
    /// [`DocumentError`], with the field at fault.
    pub fn parse(text: &str, origin: &str) -> Result<RangeModel, DocumentError> {
        let document: Document = toml::from_str(text)
            .map_err(|e| DocumentError::Syntax { origin: origin.into(), message: e.to_string() })?;
        let c = &document.consumption;
        let numbers = [c.constant, c.per_hour, c.speed, c.speed_square, c.stops, c.cold, c.hot];
        let Roads { urban, suburban, rural, motorway } = document.roads;
        let checks = [
            (document.schema == SCHEMA, "schema", "this agent reads schema 2: train the model anew"),
            ((1.0..=1_000.0).contains(&document.usable_kwh), "usable_kwh", "1 to 1000"),
            ((0.0..=50.0).contains(&document.empty_percent), "empty_percent", "0 to 50"),
            (numbers.iter().all(|x| x.is_finite()), "consumption", "finite numbers"),
            (c.mild_from <= c.mild_to, "consumption", "mild_from <= mild_to"),
            (document.typical.is_sound(), "typical", "3 to 200 km/h, 0 to 50 stops, -60 to 60 degrees"),
            (
                [urban, suburban, rural, motorway].iter().all(Driven::is_sound),
                "roads",
                "3 to 200 km/h and 0 to 50 stops each",
            ),
        ];
        let mut checks = checks.into_iter().chain(document.interval.checks());
        match checks.find(|(holds, ..)| !holds) {
            None => Ok(RangeModel { digest: Digest::of(text.as_bytes()), ahead: Ahead::default(), document }),
            Some((_, field, problem)) => Err(DocumentError::Value {
                origin: origin.into(),
                field: field.into(),
                problem: problem.into(),
            }),
        }
    }

    /// What a kilometre takes, in Wh, at a mean speed in km/h, so many stops per kilometre and a temperature.
    #[must_use]
    pub fn wh_per_km(&self, kmh: f64, stops: f64, celsius: f64) -> f64 {
        let c = &self.document.consumption;
        let v = kmh.max(SLOWEST_KMH);
        let (cold, hot) = ((c.mild_from - celsius).max(0.0), (celsius - c.mild_to).max(0.0));
        let wh = c.constant
            + (c.per_hour + c.cold * cold + c.hot * hot) / v
            + c.speed * v
            + c.speed_square * v * v
            + c.stops * stops;
        wh.max(LEAST_WH)
    }

    /// What is left above empty at a state of charge in percent, in Wh.
    #[must_use]
    pub fn usable_wh(&self, percent: f64) -> f64 {
        let empty = self.document.empty_percent;
        let share = ((percent - empty) / (100.0 - empty)).clamp(0.0, 1.0);
        share * self.document.usable_kwh * 1e3
    }

    /// How the interval's width is found.
    pub(super) const fn widths(&self) -> &Widths {
        &self.document.interval
    }

    /// How a road is driven.
    pub(super) const fn road(&self, road: RoadClass) -> Driven {
        let Roads { urban, suburban, rural, motorway } = self.document.roads;
        match road {
            RoadClass::Urban => urban,
            RoadClass::Suburban => suburban,
            RoadClass::Rural => rural,
            RoadClass::Motorway => motorway,
        }
    }

    pub(super) const fn typical(&self) -> Ahead {
        self.document.typical
    }
}

impl Driven {
    fn is_sound(&self) -> bool {
        let Driven { kmh, stops_per_km } = *self;
        Ahead { kmh: Some(kmh), stops_per_km: Some(stops_per_km), ambient_c: None }.is_sound()
    }
}

impl Ahead {
    /// Whether each number means something.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let within =
            |value: Option<f64>, low: f64, high: f64| value.is_none_or(|x| (low..=high).contains(&x));
        within(self.kmh, SLOWEST_KMH, 200.0)
            && within(self.stops_per_km, 0.0, 50.0)
            && within(self.ambient_c, -60.0, 60.0)
    }
}
