//! What a vehicle that takes more than the model says is foretold, and what is told without trips or charge.

use super::*;
use telltale_wire::time::MonoTime;
use telltale_wire::trip::{Behaviour, TripEnd, TripEnergy};

const MODEL: &str = r#"
    schema = 1
    usable_kwh = 40.0
    empty_percent = 0.0
    [consumption]
    constant = 100.0
    per_hour = 0.0
    speed = 0.0
    speed_square = 0.0
    stops = 10.0
    cold = 50.0
    hot = 50.0
    mild_from = 13.0
    mild_to = 29.0
    [interval]
    coverage = 0.9
    half_width = [0.4, 0.3, 0.2]
    [typical]
    kmh = 50.0
    stops_per_km = 1.0
    ambient_c = 15.0
"#;

/// Twenty kilometres at 50 km/h with a stop each, at 20 degrees.
fn trip(wh_per_km: f32) -> TripRecord {
    let at = Stamp { mono: MonoTime(0), wall: None };
    let behaviour = Behaviour { count: 0, threshold: 3.0, hardest: 0.0, known_s: 0.0 };
    TripRecord {
        from: at,
        to: at,
        end: TripEnd::Standstill,
        distance_m: 20_000.0,
        moving_s: 1_300.0,
        standing_s: 140.0,
        unknown_s: 0.0,
        stops: 20,
        top_kmh: 80.0,
        energy: Ok(TripEnergy {
            used_wh: wh_per_km * 20.0,
            recuperated_wh: 0.0,
            standing_wh: 0.0,
            unknown_s: 0.0,
        }),
        charge: Ok([60.0, 50.0]),
        ambient_c: Ok(20.0),
        braking: behaviour,
        acceleration: behaviour,
    }
}

fn estimator() -> RangeEstimator {
    RangeEstimator::new(RangeModel::parse(MODEL, "r").unwrap())
}

#[test]
fn a_vehicle_is_foretold_what_it_took() {
    let mut range = estimator();
    (0..20).for_each(|_| drop(range.take(&trip(165.0))));
    let view = range.view().unwrap();
    // Sixteen trips of half as much again as the model's 110, beside ten kilometres as the model has it.
    let expected = 110.0 * (16.0 * 20.0 * 165.0 + 1_100.0) / (16.0 * 20.0 * 110.0 + 1_100.0);
    assert!((f64::from(view.wh_per_km.value) - expected).abs() < 0.01, "{view:?}");
    assert!((view.wh_per_km.high / view.wh_per_km.value - 1.2).abs() < 1e-4);
    let km = view.range_km.unwrap();
    assert!(
        (f64::from(km.value) - 20_000.0 / expected).abs() < 0.01 && km.low < km.value && km.value < km.high
    );
    assert_eq!(view.trips, 16);
}

#[test]
fn what_is_ahead_counts_where_it_is_told() {
    let mut range = estimator();
    range.take(&trip(110.0));
    let mild = range.view().unwrap().wh_per_km.value;
    range.model.ahead = Ahead { ambient_c: Some(-12.0), ..Ahead::default() };
    range.take(&trip(110.0));
    // 25 K of cold at 50 Wh/K/h and 50 km/h.
    assert!((range.view().unwrap().wh_per_km.value - mild - 25.0).abs() < 0.5);
}

#[test]
fn without_charge_or_energy_it_says_so_and_without_trips_the_model_speaks() {
    let mut range = estimator();
    assert_eq!(range.view(), None);
    let poor = TripRecord {
        energy: Err(IndeterminateReason::NotReceived),
        charge: Err(IndeterminateReason::Stale),
        ..trip(110.0)
    };
    let told = range.take(&poor);
    let view = range.view().unwrap();
    assert_eq!((view.trips, view.range_km), (0, Err(IndeterminateReason::Stale)));
    assert_eq!((view.wh_per_km.value, view.wh_per_km.low), (110.0, 66.0));
    let [_, Some(Record::Estimate(told))] = told else { panic!("{told:?}") };
    assert_eq!(
        (told.quantity, told.subjects[0].value),
        (Quantity::RemainingRange, Err(IndeterminateReason::Stale))
    );
}

#[test]
fn trips_outlive_a_restart_and_what_is_damaged_does_not() {
    let mut range = estimator();
    (0..5).for_each(|_| drop(range.take(&trip(150.0))));
    let state = range.state();
    assert!(state.len() < MAX_STATE);
    let mut next = estimator();
    assert!(next.restore(&state));
    assert_eq!(next.recent, range.recent);
    assert!(!next.restore(&state[..state.len() - 1]) && !next.restore(&[255; 9]));
    let odd = [Travelled { km: f64::NAN, ..next.recent[0] }];
    assert!(!next.restore(&postcard::to_allocvec(&odd.to_vec()).unwrap()));
}

#[test]
fn each_fault_of_the_document_is_named() {
    for (from, to, expected) in [
        ("schema = 1", "schema = 3", "r: `schema`"),
        ("usable_kwh = 40.0", "usable_kwh = 0.0", "`usable_kwh`"),
        ("constant = 100.0", "constant = nan", "`consumption`"),
        ("mild_from = 13.0", "mild_from = 33.0", "mild_from <= mild_to"),
        ("half_width = [0.4, 0.3, 0.2]", "half_width = []", "`interval.half_width`"),
        ("kmh = 50.0", "kmh = 0.0", "`typical`"),
        ("coverage", "covrage", "unknown field"),
    ] {
        let error = RangeModel::parse(&MODEL.replace(from, to), "r").unwrap_err().to_string();
        assert!(error.contains(expected), "{to}: {error}");
    }
}
