//! Each kind planted in one cell of a small pack that drives, rests, and is parked between two drives.

use super::*;
use crate::feature::{Layout, Resampler};
use crate::signal::{NoData, SampleSink, SignalId};
use telltale_wire::departure::DepartureKind;

const CELLS: usize = 12;
const ODD: usize = 3;
const STEP_S: u64 = 30;
const SPEC: &str = r#"
    schema = 1
    name = "d"
    period_s = 30
    window = 20
    stride = 10
    reset_gap_s = 300
    min_completeness = 0.6
    [members]
    signal = "Cell{n}"
    subject = "Cell{n}"
    [context]
    current = "Current"
    [[feature]]
    name = "slope"
    op = "slope"
    over = "current"
    ridge = 25.0
    scale = 0.00025
    clip = 8.0
"#;

/// A fault: the odd cell's volts, given hours since the start, hours of operation, the current into the pack, what a
/// sound cell shows, and a number from -1 to 1 that no one foresees.
type Fault = fn(f64, f64, f64, f64, f64) -> f64;

/// Two drives of two hours with as many parked between them; the kind after each, of the odd cell and of a sound one.
fn kinds(fault: Fault) -> [[DepartureKind; 2]; 2] {
    let spec = FeatureSpec::parse(SPEC, "x").unwrap();
    let layout = Layout::invented(CELLS, CELLS as u16 + 1, Duration::from_secs(60));
    let mut resampler = Resampler::new(&spec, layout, CELLS + 1);
    let mut departures = Departures::new(&spec, CELLS).unwrap();
    let mut dice = 7_u64;
    let mut roll = || {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as f64 / f64::from(1_u32 << 30) - 1.0
    };
    let mut told = Vec::new();
    for drive in 0..2_u64 {
        for step in 0..240_u64 {
            let at = MonoTime((drive * 4 * 3_600 + step * STEP_S) * 1_000_000);
            resampler
                .advance(at, |window| departures.note(window, Moment { mono: window.end(), wall: None }));
            // Every tenth minute it stands.
            let amps = if step % 20 < 4 { -1.0 } else { 60.0 * roll() - 15.0 };
            let hours = (drive * 4 * 3_600 + step * STEP_S) as f64 / 3_600.0;
            let operated = (drive * 2 * 3_600 + step * STEP_S) as f64 / 3_600.0;
            for cell in 0..CELLS {
                let sound = 3.9 - 0.02 * operated + 0.0019 * amps + 0.001 * (cell as f64 - 5.5) / 5.5;
                let volts = if cell == ODD { fault(hours, operated, amps, sound, roll()) } else { sound };
                let read = (volts + 0.0005 * roll()).mul_add(1_000.0, 0.5).floor() / 1_000.0;
                resampler.take(at, |sink| sink.value(SignalId(cell as u16), read));
            }
            resampler.take(at, |sink| sink.value(SignalId(CELLS as u16), amps));
        }
        let mut of = |subject| {
            let departure = departures.departure_of(subject, VerdictCode::Anomalous).unwrap();
            assert_eq!(departures.kind_of(subject), Some(departure.kind));
            departure.kind
        };
        told.push([ODD, 7].map(&mut of));
    }
    told.try_into().unwrap()
}

#[test]
fn each_kind_is_told_from_the_others() {
    use DepartureKind::{Resistance, SelfDischarge, SensorNoisy, SensorStuck, SteadyOffset, VoltageDrift};
    let offset: Fault = |_, _, _, sound, _| sound - 0.04;
    let drift: Fault = |_, operated, _, sound, _| sound - 0.03 * operated;
    let leak: Fault = |hours, _, _, sound, _| sound - 0.02 * hours;
    let resistance: Fault = |_, _, amps, sound, _| sound + 0.0012 * amps;
    let connector: Fault = |_, _, amps, sound, roll| sound + 0.0012 * amps * (1.0 + roll);
    let stuck: Fault = |_, _, _, _, _| 3.87;
    let noisy: Fault = |_, _, _, sound, roll| sound + 0.06 * roll;
    for (name, fault, first, second) in [
        ("offset", offset, SteadyOffset, SteadyOffset),
        ("drift", drift, VoltageDrift, VoltageDrift),
        // Without a stretch parked it looks like a drift.
        ("leak", leak, VoltageDrift, SelfDischarge),
        ("resistance", resistance, Resistance, Resistance),
        ("connector", connector, Resistance, Resistance),
        ("stuck", stuck, SensorStuck, SensorStuck),
        ("noisy", noisy, SensorNoisy, SensorNoisy),
    ] {
        assert_eq!(kinds(fault), [[first, SteadyOffset], [second, SteadyOffset]], "{name}");
    }
}

#[test]
fn a_sensor_without_a_value_is_taken_at_its_word() {
    let spec = FeatureSpec::parse(SPEC, "x").unwrap();
    let mut departures = Departures::new(&spec, CELLS).unwrap();
    let mut kind = |reason: NoData| {
        departures.departure_of(0, VerdictCode::Indeterminate(reason.reason())).map(|d| d.kind)
    };
    assert_eq!(kind(NoData::SensorFault), Some(DepartureKind::SensorAbsent));
    assert_eq!(kind(NoData::Stale), None);
    assert_eq!(departures.departure_of(0, VerdictCode::Nominal), None);
}

#[test]
fn a_specification_without_a_current_tells_no_kinds() {
    let text = SPEC
        .replace("op = \"slope\"", "op = \"mean\"")
        .replace("over = \"current\"", "")
        .replace("ridge = 25.0", "");
    assert!(Departures::new(&FeatureSpec::parse(&text, "x").unwrap(), CELLS).is_none());
}

#[test]
fn trends_that_no_readings_give_are_not_sound() {
    let sound = Trend::default();
    assert!(sound.is_sound());
    let bytes = postcard::to_allocvec(&sound).unwrap();
    for place in 0..bytes.len() / 4 {
        let mut spoilt = bytes.clone();
        spoilt[place * 4..place * 4 + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        let read: Trend = postcard::from_bytes(&spoilt).unwrap();
        // Of the f64s every second half is their mantissa.
        assert!(!read.is_sound() || (8..18).contains(&place), "{place}: {read:?}");
    }
}
