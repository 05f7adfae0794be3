//! What a kilometre takes, as a linear model of speed, stops and temperature: a TOML document.

use crate::document::DocumentError;
use serde::Deserialize;
use telltale_wire::digest::Digest;

/// The schema that this room reads.
const SCHEMA: u32 = 1;
/// The most widths of intervals.
const MAX_WIDTHS: usize = 32;
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

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Widths {
    /// The share of cases in which the interval holds what is taken.
    coverage: f64,
    /// Half the width as a share of the value, by how many trips are known; the last one counts for more.
    half_width: Vec<f64>,
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
        let widths = &document.interval;
        let checks = [
            (document.schema == SCHEMA, "schema", "this agent reads schema 1"),
            ((1.0..=1_000.0).contains(&document.usable_kwh), "usable_kwh", "1 to 1000"),
            ((0.0..=50.0).contains(&document.empty_percent), "empty_percent", "0 to 50"),
            (numbers.iter().all(|x| x.is_finite()), "consumption", "finite numbers"),
            (c.mild_from <= c.mild_to, "consumption", "mild_from <= mild_to"),
            (widths.coverage > 0.0 && widths.coverage < 1.0, "interval.coverage", "between 0 and 1"),
            ((1..=MAX_WIDTHS).contains(&widths.half_width.len()), "interval.half_width", "1 to 32 widths"),
            (
                widths.half_width.iter().all(|w| (0.0..=0.9).contains(w)),
                "interval.half_width",
                "shares from 0 to 0.9",
            ),
            (document.typical.is_sound(), "typical", "3 to 200 km/h, 0 to 50 stops, -60 to 60 degrees"),
        ];
        match checks.into_iter().find(|(holds, ..)| !holds) {
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

    /// Half the interval's width, as a share, with so many trips known.
    pub(super) fn half_width(&self, trips: usize) -> f64 {
        let widths = &self.document.interval.half_width;
        widths.get(trips).or(widths.last()).copied().unwrap_or(0.0)
    }

    pub(super) const fn coverage(&self) -> f64 {
        self.document.interval.coverage
    }

    pub(super) const fn typical(&self) -> Ahead {
        self.document.typical
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
