//! Drives in signals that a test writes by hand: where a trip begins and ends, and what it adds up to.

use super::*;
use crate::signal::SignalId;
use std::collections::HashMap;
use telltale_wire::record::IndeterminateReason;
use telltale_wire::time::WallTime;

const SPEED: &str = "Vehicle.Speed";
const VOLTAGE: &str = "Vehicle.Powertrain.TractionBattery.CurrentVoltage";
const CURRENT: &str = "Vehicle.Powertrain.TractionBattery.CurrentCurrent";
const CHARGE: &str = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current";
const CONNECTED: &str = "Vehicle.Powertrain.TractionBattery.IsPowerConnected";

fn catalog(speed: &str, unit: &str) -> Catalog {
    let dbc = "VERSION \"\"\nBS_:\nBU_: BMS\nBO_ 256 A: 8 BMS\n SG_ V : 0|16@1+ (0.01,0) [0|600] \"\" X\n \
        SG_ U : 16|16@1+ (0.1,0) [0|1000] \"V\" X\n SG_ I : 32|16@1- (0.1,0) [-3000|3000] \"A\" X\n \
        SG_ C : 48|8@1+ (0.5,0) [0|100] \"%\" X\n SG_ P : 56|1@1+ (1,0) [0|1] \"\" X\n";
    let mut text = "schema = 1\n[[bus]]\nname = \"bms\"\ndbc = [\"a.dbc\"]\n".to_owned();
    for (vss, signal, unit) in [
        (speed, "V", unit),
        (VOLTAGE, "U", "V"),
        (CURRENT, "I", "A"),
        (CHARGE, "C", "percent"),
        (CONNECTED, "P", ""),
    ] {
        text += &format!(
            "[[signal]]\nvss = \"{vss}\"\nsignal = \"{signal}\"\nunit = \"{unit}\"\nstale_ms = 2000\n"
        );
    }
    Catalog::parse(&text, "c.toml", &mut |_| Ok(dbc.as_bytes().to_vec())).unwrap()
}

/// A vehicle whose samples are written by hand every 100 ms.
struct Bench {
    catalog: Catalog,
    recorder: TripRecorder,
    samples: HashMap<SignalId, (Result<f64, NoData>, Option<MonoTime>)>,
    now: MonoTime,
    ended: Vec<TripRecord>,
}

impl Latest for HashMap<SignalId, (Result<f64, NoData>, Option<MonoTime>)> {
    fn sample(&self, id: SignalId) -> (Result<f64, NoData>, Option<MonoTime>) {
        self.get(&id).copied().unwrap_or((Err(NoData::NotReceived), None))
    }
}

const ANCHOR: ClockAnchor = ClockAnchor { mono: MonoTime(0), wall: WallTime(1_000_000) };
/// Signals with their values.
type Values<'a> = &'a [(&'a str, f64)];

impl Bench {
    fn new() -> Bench {
        Bench::on(catalog(SPEED, "km/h"))
    }

    fn on(catalog: Catalog) -> Bench {
        let recorder = TripRecorder::new(&catalog, TripConfig::default());
        Bench { catalog, recorder, samples: HashMap::new(), now: MonoTime(0), ended: Vec::new() }
    }

    fn turn(&mut self, seconds: f64) {
        self.now = self.now.plus(Duration::from_secs_f64(seconds));
        self.ended.extend(self.recorder.advance(self.now, &self.samples, Some(ANCHOR)));
    }

    /// These signals have these values for so long.
    fn hold(&mut self, seconds: f64, values: Values<'_>) {
        for _ in 0..(seconds * 10.0).round() as u32 {
            for (path, value) in values {
                let id = self.catalog.signal_id(path).unwrap();
                self.samples.insert(id, (Ok(*value), Some(self.now)));
            }
            self.turn(0.1);
        }
    }
}

/// A tenth of an hour at 36 km/h: 3.6 km, with 10 kW out of the battery: 1 kWh.
const DRIVE: Values<'_> = &[(SPEED, 36.0), (VOLTAGE, 400.0), (CURRENT, -25.0), (CHARGE, 80.0)];
const STAND: Values<'_> = &[(SPEED, 0.0), (VOLTAGE, 400.0), (CURRENT, -2.5), (CHARGE, 79.0)];

#[test]
fn a_drive_adds_up_and_ends_when_the_vehicle_has_stood() {
    let mut bench = Bench::new();
    bench.hold(60.0, STAND);
    bench.hold(180.0, DRIVE);
    bench.hold(36.0, STAND);
    bench.hold(176.0, DRIVE);
    bench.hold(4.0, &[(SPEED, 36.0), (VOLTAGE, 400.0), (CURRENT, 90.0), (CHARGE, 78.0)]);
    bench.hold(299.0, STAND);
    assert_eq!(bench.ended, [], "it has not stood for five minutes");
    bench.hold(2.0, STAND);
    let [trip] = bench.ended[..] else { panic!("{:?}", bench.ended) };
    assert!((trip.distance_m - 3_600.0).abs() < 5.0, "{trip:?}");
    assert!((trip.moving_s - 360.0).abs() < 0.5 && (trip.standing_s - 36.0).abs() < 0.5, "{trip:?}");
    assert_eq!((trip.end, trip.stops, trip.top_kmh, trip.unknown_s), (TripEnd::Standstill, 1, 36.0, 0.0));
    let energy = trip.energy.unwrap();
    // 356 s of 10 kW and 36 s of 1 kW; 4 s of 36 kW back.
    assert!((energy.used_wh - 998.9).abs() < 1.5, "{energy:?}");
    assert!((energy.standing_wh - 10.0).abs() < 0.3 && (energy.recuperated_wh - 40.0).abs() < 2.1);
    assert!((trip.kwh_per_100_km().unwrap() - 26.6).abs() < 0.2, "{:?}", trip.kwh_per_100_km());
    assert_eq!(trip.charge, Ok([80.0, 78.0]));
    assert_eq!(trip.ambient_c, Err(IndeterminateReason::NotReceived), "the catalog has none");
    assert!((trip.duration_s() - 396.0).abs() < 0.5, "{}", trip.duration_s());
    assert_eq!(trip.from.wall.unwrap().0 - 1_000_000, trip.from.mono.0 as i64);
    assert!(matches!(bench.recorder.view(), TripView { state: TripState::Parked, latest: Some(_) }));
}

#[test]
fn what_follows_the_last_movement_belongs_to_no_trip() {
    let mut bench = Bench::new();
    bench.hold(60.0, DRIVE);
    // A charger.
    bench.hold(400.0, &[(SPEED, 0.0), (VOLTAGE, 400.0), (CURRENT, 100.0), (CHARGE, 90.0)]);
    bench.hold(60.0, DRIVE);
    bench.hold(400.0, STAND);
    assert_eq!(bench.ended.len(), 2);
    for trip in &bench.ended {
        assert_eq!((trip.energy.unwrap().recuperated_wh, trip.standing_s, trip.stops), (0.0, 0.0, 0));
        assert_eq!(trip.charge, Ok([80.0, 80.0]));
    }
}

#[test]
fn a_bus_that_sleeps_ends_the_trip_where_it_last_moved() {
    let mut bench = Bench::new();
    bench.hold(60.0, DRIVE);
    bench.turn(8.0 * 3_600.0);
    let [trip] = bench.ended[..] else { panic!("{:?}", bench.ended) };
    assert_eq!(trip.end, TripEnd::Silence);
    // A value that came ten times a second holds for one.
    assert!((60.0..61.3).contains(&trip.duration_s()), "{}", trip.duration_s());
    assert!(matches!(bench.recorder.view().state, TripState::NoSpeed(NoData::Stale)));
    bench.hold(60.0, DRIVE);
    assert!(matches!(bench.recorder.view().state, TripState::Driving { .. }), "the next one begins");
}

#[test]
fn a_gap_of_the_speed_is_unknown_time_and_no_distance() {
    let mut bench = Bench::new();
    bench.hold(60.0, DRIVE);
    bench.hold(30.0, &[(VOLTAGE, 400.0), (CURRENT, -25.0)]);
    bench.hold(60.0, DRIVE);
    bench.hold(301.0, STAND);
    let [trip] = bench.ended[..] else { panic!("{:?}", bench.ended) };
    // One of the thirty seconds the last value held: it came ten times a second.
    assert!((trip.unknown_s - 29.0).abs() < 0.5 && (trip.distance_m - 1_210.0).abs() < 5.0, "{trip:?}");
    assert_eq!(trip.stops, 0);
}

#[test]
fn power_that_is_not_there_is_no_zero() {
    let mut bench = Bench::new();
    bench.hold(60.0, &[(SPEED, 36.0)]);
    bench.hold(301.0, STAND);
    let volts = bench.catalog.signal_id(VOLTAGE).unwrap();
    bench.hold(60.0, DRIVE);
    bench.samples.insert(volts, (Err(NoData::SensorFault), Some(bench.now)));
    bench.hold(60.0, &[(SPEED, 36.0), (CURRENT, -25.0)]);
    bench.hold(301.0, STAND);
    let energies: Vec<_> = bench.ended.iter().map(|trip| trip.energy).collect();
    assert_eq!(
        energies,
        [Err(IndeterminateReason::NotReceived), Err(IndeterminateReason::SensorFault)],
        "and the distance is told all the same"
    );
    assert_eq!(bench.ended[0].charge, Err(IndeterminateReason::NotReceived));
    assert!(bench.ended.iter().all(|trip| trip.distance_m > 500.0));
}

#[test]
fn a_vehicle_that_is_switched_off_has_arrived() {
    let mut bench = Bench::new();
    let on = |values: Values<'static>, is_on: f64| [values, &[(CONNECTED, is_on)]].concat();
    bench.hold(60.0, &on(DRIVE, 1.0));
    bench.hold(5.0, &on(STAND, 1.0));
    assert_eq!(bench.ended, []);
    bench.hold(5.0, &on(STAND, 0.0));
    assert_eq!(bench.ended.len(), 1);
    assert_eq!(bench.ended[0].end, TripEnd::Disconnected);
}

#[test]
fn a_manoeuvre_in_a_yard_is_no_trip() {
    let mut bench = Bench::new();
    bench.hold(60.0, &[(SPEED, 4.0)]);
    bench.hold(301.0, STAND);
    assert_eq!(bench.ended, []);
    assert!(matches!(bench.recorder.view(), TripView { state: TripState::Parked, latest: None }));
}

#[test]
fn harsh_braking_is_counted() {
    let mut bench = Bench::new();
    bench.hold(60.0, &[(SPEED, 72.0)]);
    for tenths in 0..40 {
        bench.hold(0.1, &[(SPEED, 72.0 - 1.8 * f64::from(tenths))]);
    }
    bench.hold(301.0, STAND);
    let [trip] = bench.ended[..] else { panic!("{:?}", bench.ended) };
    assert_eq!((trip.braking.count, trip.acceleration.count), (1, 0));
    assert!((trip.braking.hardest - 5.0).abs() < 0.01 && trip.braking.threshold == 3.5);
}

#[test]
fn without_a_speed_there_is_no_trip_and_the_view_says_why() {
    for catalog in [catalog("Vehicle.Other", "km/h"), catalog(SPEED, "rpm")] {
        let mut bench = Bench::on(catalog);
        bench.hold(60.0, &[(VOLTAGE, 400.0), (CURRENT, -25.0)]);
        assert_eq!(bench.recorder.view(), TripView { state: TripState::NoSpeedSignal, latest: None });
        assert_eq!(bench.recorder.next_step(), MonoTime(u64::MAX), "and nothing is ever due");
    }
    let mut bench = Bench::new();
    bench.hold(10.0, &[(VOLTAGE, 400.0)]);
    assert_eq!(bench.recorder.view().state, TripState::NoSpeed(NoData::NotReceived));
}

#[test]
fn a_trip_goes_on_in_another_recorder_and_is_cut_where_the_input_ends() {
    let mut bench = Bench::new();
    bench.hold(60.0, DRIVE);
    let config = TripConfig { standstill: Duration::from_secs(60), ..TripConfig::default() };
    let mut next = TripRecorder::new(&bench.catalog, config);
    next.inherit(&bench.recorder);
    bench.recorder = next;
    bench.hold(60.0, DRIVE);
    let trip = bench.recorder.cut(None).unwrap();
    assert_eq!((trip.end, trip.from.wall), (TripEnd::Cut, None));
    assert!((trip.distance_m - 1_200.0).abs() < 5.0, "{trip:?}");
    assert_eq!(bench.recorder.cut(None), None);
}

#[test]
fn how_often_time_is_turned_changes_nothing() {
    let told = |every: usize| {
        let mut bench = Bench::new();
        let mut recorder = bench.recorder.clone();
        let mut ended = Vec::new();
        for n in 0..8_000 {
            let speed = if (1_000..3_000).contains(&n) { 36.0 + f64::from(n % 7) } else { 0.0 };
            for (path, value) in [(SPEED, speed), (VOLTAGE, 400.0), (CURRENT, -25.0)] {
                let id = bench.catalog.signal_id(path).unwrap();
                bench.samples.insert(id, (Ok(value), Some(bench.now)));
            }
            bench.now = bench.now.plus(Duration::from_millis(100));
            // A frame comes only where something is due, or more often.
            if bench.now >= recorder.next_step() || (n as usize).is_multiple_of(every) {
                ended.extend(recorder.advance(bench.now, &bench.samples, None));
            }
        }
        ended
    };
    assert_eq!(told(1).len(), 1);
    assert_eq!(told(1), told(1_000_000));
}
