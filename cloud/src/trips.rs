//! Trips of one vehicle, as the page, the JSON answer and CSV give them. The names of the fields are stable: scripts
//! read them. What was not told is `null` and has its reason beside it.

use crate::report::When;
use serde::Serialize;
use std::fmt::Write as _;

/// The most trips of one answer: the newest.
pub const MAX_TRIPS: usize = 1_000;

/// Trips of one vehicle.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TripsReport {
    /// Its id.
    pub vehicle: String,
    /// How many start in the range.
    pub trips_total: u64,
    /// The latest first; at most [`MAX_TRIPS`].
    pub trips: Vec<TripLine>,
}

/// One trip.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TripLine {
    /// When the vehicle first moved.
    pub from: When,
    /// When it last moved.
    pub to: When,
    /// The boot.
    pub boot: String,
    /// Why it is over.
    pub end: &'static str,
    /// From the first movement to the last, in seconds.
    pub duration_s: Option<f64>,
    /// How far, in kilometres.
    pub distance_km: Option<f64>,
    /// For how long it moved, in seconds.
    pub moving_s: Option<f32>,
    /// For how long it stood on the way, in seconds.
    pub standing_s: Option<f32>,
    /// For how long the speed was unknown, in seconds.
    pub unknown_s: Option<f32>,
    /// How often it stood on the way.
    pub stops: u32,
    /// The highest speed, in km/h.
    pub top_kmh: Option<f32>,
    /// What the battery gave, in kWh.
    pub used_kwh: Option<f32>,
    /// What it got back while moving, in kWh.
    pub recuperated_kwh: Option<f32>,
    /// Of what it gave: while standing, in kWh.
    pub standing_kwh: Option<f32>,
    /// What it gave less what it got back, over the distance.
    pub kwh_per_100_km: Option<f64>,
    /// Why there is no energy.
    pub energy_absent: Option<&'static str>,
    /// State of charge at the start, in percent.
    pub charge_from: Option<f32>,
    /// At the end.
    pub charge_to: Option<f32>,
    /// Why there is no state of charge.
    pub charge_absent: Option<&'static str>,
    /// The mean temperature outside, in degrees Celsius.
    pub ambient_c: Option<f32>,
    /// Why there is none.
    pub ambient_absent: Option<&'static str>,
    /// For how long accelerations were known, in seconds: without them nothing harsh can be counted.
    pub acceleration_known_s: Option<f32>,
    /// How often it braked harder than the threshold.
    pub harsh_braking: u32,
    /// In m/s2.
    pub braking_threshold: Option<f32>,
    /// How often it accelerated harder than the threshold.
    pub harsh_acceleration: u32,
    /// In m/s2.
    pub acceleration_threshold: Option<f32>,
}

impl TripsReport {
    /// One line a trip, with a line of names. An absent number is an empty field, its reason stands in `absent`.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut csv = String::from(
            "from,to,end,duration_s,distance_km,moving_s,standing_s,unknown_s,stops,top_kmh,used_kwh,\
             recuperated_kwh,standing_kwh,kwh_per_100_km,charge_from,charge_to,ambient_c,acceleration_known_s,harsh_braking,\
             harsh_acceleration,absent\n",
        );
        for trip in &self.trips {
            let fields = [
                trip.from.at.clone(),
                trip.to.at.clone(),
                trip.end.to_owned(),
                number(trip.duration_s),
                number(trip.distance_km),
                number(trip.moving_s),
                number(trip.standing_s),
                number(trip.unknown_s),
                trip.stops.to_string(),
                number(trip.top_kmh),
                number(trip.used_kwh),
                number(trip.recuperated_kwh),
                number(trip.standing_kwh),
                number(trip.kwh_per_100_km),
                number(trip.charge_from),
                number(trip.charge_to),
                number(trip.ambient_c),
                number(trip.acceleration_known_s),
                trip.harsh_braking.to_string(),
                trip.harsh_acceleration.to_string(),
                trip.absences(),
            ];
            // Writing to a String cannot fail.
            let _ = writeln!(csv, "{}", fields.join(","));
        }
        csv
    }
}

impl TripLine {
    /// Each thing that was not told, with its reason.
    fn absences(&self) -> String {
        let reasons = [
            ("energy", self.energy_absent),
            ("charge", self.charge_absent),
            ("ambient", self.ambient_absent),
        ];
        let told: Vec<String> =
            reasons.iter().filter_map(|(what, why)| Some(format!("{what}: {}", (*why)?))).collect();
        told.join("; ")
    }
}

fn number<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn when(at: &str) -> When {
        When { at: at.into(), clock: "vehicle", mono_s: 1.0, unix_us: 1_767_261_600_000_000 }
    }

    pub(crate) fn trip(is_whole: bool) -> TripLine {
        TripLine {
            from: when("2026-01-01T10:00:00.000Z"),
            to: when("2026-01-01T10:30:00.000Z"),
            boot: "1-1".into(),
            end: "stood still",
            duration_s: Some(1_800.0),
            distance_km: Some(20.5),
            moving_s: Some(1_700.0),
            standing_s: Some(100.0),
            unknown_s: Some(0.0),
            stops: 4,
            top_kmh: Some(71.5),
            used_kwh: is_whole.then_some(3.0),
            recuperated_kwh: is_whole.then_some(0.25),
            standing_kwh: is_whole.then_some(0.125),
            kwh_per_100_km: is_whole.then_some(13.5),
            energy_absent: (!is_whole).then_some("signal stale"),
            charge_from: Some(80.0),
            charge_to: Some(75.5),
            charge_absent: None,
            ambient_c: None,
            ambient_absent: Some("signal not received"),
            acceleration_known_s: is_whole.then_some(1_700.0).or(Some(0.0)),
            harsh_braking: 1,
            braking_threshold: Some(3.5),
            harsh_acceleration: 0,
            acceleration_threshold: Some(2.5),
        }
    }

    #[test]
    fn a_line_of_csv_has_a_field_for_each_name_and_says_why_one_is_empty() {
        let report =
            TripsReport { vehicle: "v".into(), trips_total: 2, trips: vec![trip(true), trip(false)] };
        let csv = report.csv();
        let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{csv}");
        let field =
            |line: usize, name: &str| lines[line][lines[0].iter().position(|known| *known == name).unwrap()];
        assert_eq!((field(1, "kwh_per_100_km"), field(2, "kwh_per_100_km")), ("13.5", ""));
        assert_eq!(field(1, "absent"), "ambient: signal not received");
        assert_eq!(field(2, "absent"), "energy: signal stale; ambient: signal not received");
    }
}
