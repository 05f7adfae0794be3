//! What a vehicle that takes more than the model says is foretold, what the fleet's word changes in it, and what is told
//! without trips or charge.

use super::*;
use telltale_wire::time::MonoTime;
use telltale_wire::trip::{Behaviour, TripEnd, TripEnergy};

const MODEL: &str = r#"
    schema = 2
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
    window = 32
    prior_trips = 3.0
    step = 0.03
    errors = [0.05, 0.1, 0.2, 0.3]
    [typical]
    kmh = 50.0
    stops_per_km = 1.0
    ambient_c = 15.0
    [roads]
    urban = { kmh = 20.0, stops_per_km = 3.0 }
    suburban = { kmh = 40.0, stops_per_km = 1.0 }
    rural = { kmh = 60.0, stops_per_km = 0.5 }
    motorway = { kmh = 100.0, stops_per_km = 0.0 }
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
    let km = view.range_km.unwrap();
    assert!(
        (f64::from(km.value) - 20_000.0 / expected).abs() < 0.01 && km.low < km.value && km.value < km.high
    );
    assert_eq!(view.trips, 16);
}

#[test]
fn the_interval_is_as_wide_as_the_vehicles_own_trips_were_off() {
    let width = |range: &RangeEstimator| {
        let Interval { value, low, high } = range.view().unwrap().wh_per_km;
        assert!((value / low - high / value).abs() < 1e-4, "as far either way");
        high / value - 1.0
    };
    let (mut steady, mut erratic) = (estimator(), estimator());
    steady.take(&trip(112.0));
    assert!((width(&steady) - 0.3).abs() < 1e-4, "one trip says little: the document's own errors");
    for n in 0..40 {
        steady.take(&trip(112.0));
        erratic.take(&trip(if n % 2 == 0 { 80.0 } else { 160.0 }));
    }
    assert!(width(&steady) < 0.11, "{}", width(&steady));
    assert!((0.35..0.7).contains(&width(&erratic)), "{}", width(&erratic));
    let Interval { value, low, high } = erratic.view().unwrap().range_km.unwrap();
    assert!((high / value - 1.0 - width(&erratic)).abs() < 1e-4 && low < value, "and so is the range's");
}

const AT: Stamp = Stamp { mono: MonoTime(5_000_000), wall: None };

fn told(records: Option<[Record; 2]>) -> [SubjectEstimate; 2] {
    records.unwrap().map(|record| match record {
        Record::Estimate(estimate) => {
            assert_eq!(estimate.at, AT);
            estimate.subjects[0]
        }
        other => panic!("{other:?}"),
    })
}

#[test]
fn what_the_fleet_says_is_ahead_goes_before_all_else_and_is_taken_back() {
    let mut range = estimator();
    range.model.ahead = Ahead { ambient_c: Some(25.0), kmh: Some(30.0), ..Ahead::default() };
    range.take(&trip(110.0));
    let (before, state) = (range.view().unwrap(), range.state());
    let outlook =
        Outlook { until: MonoTime(9_000_000), ambient_c: Some(-7.0), road: Some(RoadClass::Motorway) };
    let [energy, km] = told(range.look_ahead(Some(outlook), AT, Ok(25.0)));
    // 20 K of cold at 50 Wh/K/h and 100 km/h, and no stop; the factor is 1.
    assert!((energy.value.unwrap().value - 110.0).abs() < 0.01, "{energy:?}");
    assert!((km.value.unwrap().value - 10_000.0 / 110.0).abs() < 0.01, "by the charge of now: {km:?}");
    assert_eq!(range.view().unwrap().outlook, Some(outlook));
    assert_eq!(range.look_ahead(Some(outlook), AT, Ok(25.0)), None, "it is no news");
    assert_eq!(range.state(), state, "the foretelling changes, and nothing else");

    let mut unaware = range.clone();
    unaware.outlook = None;
    unaware.take(&trip(110.0));
    range.take(&trip(110.0));
    assert_eq!(range.state(), unaware.state(), "nor does what is learnt of a trip");
    let air = Outlook { road: None, ..outlook };
    let [energy, km] = told(range.look_ahead(Some(air), AT, Err(IndeterminateReason::Stale)));
    // The configuration's 30 km/h make the cold dearer; its stops are those of the trips: one a kilometre.
    assert!((energy.value.unwrap().value - (110.0 + 50.0 * 20.0 / 30.0)).abs() < 0.01, "{energy:?}");
    let expected = 20_000.0 / energy.value.unwrap().value;
    assert!((km.value.unwrap().value - expected).abs() < 0.01, "by the charge after the latest trip");
    range.look_ahead(None, AT, Ok(50.0));
    let after = range.view().unwrap();
    assert_eq!((after.outlook, after.trips), (None, 2));
    assert!((after.wh_per_km.value / before.wh_per_km.value - 1.0).abs() < 1e-4, "as it was: {after:?}");
}

#[test]
fn another_pipeline_goes_on_with_trips_errors_and_outlook() {
    let mut range = estimator();
    (0..3).for_each(|_| drop(range.take(&trip(150.0))));
    let outlook = Outlook { until: MonoTime(9), ambient_c: Some(0.0), road: None };
    range.look_ahead(Some(outlook), AT, Ok(50.0));
    let mut next = estimator();
    next.inherit(&range);
    assert_eq!((&next.recent, &next.track, next.outlook()), (&range.recent, &range.track, Some(outlook)));
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
    let [_, told] = range.take(&poor);
    let view = range.view().unwrap();
    assert_eq!((view.trips, view.range_km), (0, Err(IndeterminateReason::Stale)));
    assert_eq!((view.wh_per_km.value, view.wh_per_km.high), (110.0, 143.0), "nothing known: the widest");
    let Record::Estimate(told) = told else { panic!("{told:?}") };
    assert_eq!(
        (told.quantity, told.subjects[0].value),
        (Quantity::RemainingRange, Err(IndeterminateReason::Stale))
    );
}

#[test]
fn trips_and_errors_outlive_a_restart_and_what_is_damaged_does_not() {
    let mut range = estimator();
    (0..70).for_each(|n| drop(range.take(&trip(150.0 + n as f32))));
    let state = range.state();
    assert!(state.len() < MAX_STATE);
    let mut next = estimator();
    assert!(next.restore(&state));
    assert_eq!((&next.recent, &next.track), (&range.recent, &range.track));
    for end in 0..state.len() {
        assert!(!estimator().restore(&state[..end]), "{end}");
    }
    let later = [&[state[0], 3], &state[2..]].concat();
    assert!(!next.restore(&later) && !next.restore(&[255; 9]), "a later format, and noise");
    assert!(!next.restore(&[&state[..], &[0; MAX_STATE]].concat()), "longer than any");
    let odd = Travelled { km: f64::NAN, ..next.recent[0] };
    let (document, track) = (range.reference.digest, range.track.clone());
    assert!(!next.restore(&Kept { document, trips: vec![odd], track: track.clone() }.to_bytes()));
    let far = track_of(3.0);
    assert!(
        !next.restore(&Kept { document, trips: Vec::new(), track: far }.to_bytes()),
        "no error is so large"
    );
    assert_eq!(next.track, track, "what is refused leaves what was");
}

/// A track with one error that no trip can have.
fn track_of(error: f32) -> Track {
    let bytes = postcard::to_allocvec(&(vec![error], 0.1_f64)).unwrap();
    postcard::from_bytes(&bytes).unwrap()
}

#[test]
fn a_file_of_the_first_format_gives_its_trips_and_another_documents_errors_do_not_count() {
    let mut range = estimator();
    (0..5).for_each(|_| drop(range.take(&trip(150.0))));
    let trips: Vec<Travelled> = range.recent.iter().copied().collect();
    let mut old = estimator();
    assert!(old.restore(&postcard::to_allocvec(&trips).unwrap()));
    assert_eq!((&old.recent, &old.track), (&range.recent, &estimator().track));
    assert!(old.restore(&postcard::to_allocvec(&Vec::<Travelled>::new()).unwrap()), "one without a trip");

    let other = RangeModel::parse(&MODEL.replace("constant = 100.0", "constant = 90.0"), "r").unwrap();
    let mut other = RangeEstimator::new(other);
    assert!(other.restore(&range.state()));
    assert_eq!((&other.recent, &other.track), (&range.recent, &estimator().track));
}

#[test]
fn each_fault_of_the_document_is_named() {
    for (from, to, expected) in [
        ("schema = 2", "schema = 1", "r: `schema`"),
        ("usable_kwh = 40.0", "usable_kwh = 0.0", "`usable_kwh`"),
        ("constant = 100.0", "constant = nan", "`consumption`"),
        ("mild_from = 13.0", "mild_from = 33.0", "mild_from <= mild_to"),
        ("errors = [0.05, 0.1, 0.2, 0.3]", "errors = []", "`interval.errors`"),
        ("errors = [0.05, 0.1, 0.2, 0.3]", "errors = [0.1, nan]", "`interval.errors`"),
        ("window = 32", "window = 65", "`interval.window`"),
        ("prior_trips = 3.0", "prior_trips = 0.0", "`interval.prior_trips`"),
        ("step = 0.03", "step = -0.1", "`interval.step`"),
        ("coverage = 0.9", "coverage = 1.0", "`interval.coverage`"),
        ("kmh = 100.0", "kmh = 500.0", "`roads`"),
        ("rural", "rurall", "unknown field"),
        ("    kmh = 50.0", "    kmh = 0.0", "`typical`"),
        ("coverage", "covrage", "unknown field"),
    ] {
        let error = RangeModel::parse(&MODEL.replace(from, to), "r").unwrap_err().to_string();
        assert!(error.contains(expected), "{to}: {error}");
    }
}
