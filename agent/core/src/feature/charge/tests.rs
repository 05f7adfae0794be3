//! Invented charges: straight lines, whose areas a reader can check.

use super::jump::Jumps;
use super::*;
use crate::feature::window::{Cell, Layout, Resampler};
use crate::signal::{NoData, SampleSink as _, SignalId};
use std::time::Duration;

const SPEC: &str = r#"
    schema = 1
    name = "curve"
    period_s = 10
    reset_gap_s = 300
    members = { signal = "Cell{n}.Voltage", subject = "Cell{n}" }
    context = { amps = "Pack.Current", celsius = "Pack.Temperature" }
    feature = [
        { name = "low", op = "charge_between", low = 3.8, high = 3.9, scale = 0.1, clip = 8 },
        { name = "high", op = "charge_between", low = 3.9, high = 4.1, offset = 0.1, scale = 0.1, clip = 8 },
        { name = "fade", op = "charge_fade", low = 4.1, rate = 0.1, scale = 0.1, clip = 8 },
        { name = "there", op = "present", of = "low", scale = 1, clip = 8 },
        { name = "warmth", op = "charge_temperature", offset = 25, scale = 10, clip = 8 },
        { name = "rate", op = "charge_rate", scale = 1, clip = 8 },
    ]
    [charge]
    current = "amps"
    temperature = "celsius"
    nominal_ah = 2.0
    start_rate = 0.05
    stop_rate = 0.02
    step_rate = 0.2
    pause_s = 60
    shortest_s = 600
    settle_s = 60
"#;

/// A pack of two cells on the bench: cell 1, cell 2, current, temperature.
struct Bench {
    resampler: Resampler,
    charges: ChargeFeatures,
    now: u64,
    told: Vec<[Vec<Option<f32>>; 2]>,
    resistance: Vec<Option<f32>>,
}

impl Bench {
    fn new() -> Bench {
        let spec = FeatureSpec::parse(SPEC, "x").unwrap();
        let charge = spec.charge.clone().unwrap();
        let layout = Layout::invented(2, 4, Duration::from_secs(15));
        Bench {
            charges: ChargeFeatures::new(&spec, &charge, 2),
            resampler: Resampler::new(&spec, layout, 4),
            now: 0,
            told: Vec::new(),
            resistance: Vec::new(),
        }
    }

    /// One sample of each, ten seconds after the last; `None` for a sensor fault.
    fn tick(&mut self, values: [Option<f64>; 4]) {
        self.now += 10;
        let now = MonoTime(self.now * 1_000_000);
        let (charges, told, resistance) = (&mut self.charges, &mut self.told, &mut self.resistance);
        self.resampler.advance(now, |window| {
            let features = charges.features.len();
            if let Some(table) = charges.step(window) {
                let row = |subject: usize| {
                    (0..features)
                        .map(|c| table.state(subject).is_ok().then(|| table.normalised_at(c, subject)))
                        .collect::<Vec<_>>()
                };
                told.push([row(0), row(1)]);
                resistance.extend([table.resistance(0), table.resistance(1)]);
            }
        });
        self.resampler.take(now, |samples| {
            for (id, value) in values.into_iter().enumerate() {
                match value {
                    Some(value) => samples.value(SignalId(id as u16), value),
                    None => samples.absent(SignalId(id as u16), NoData::SensorFault),
                }
            }
        });
    }

    fn rest(&mut self, ticks: usize, volts: f64) {
        (0..ticks).for_each(|_| self.tick([Some(volts), Some(volts), Some(0.0), Some(25.0)]));
    }

    /// The bus sleeps for a day, which ends a charge.
    fn asleep(&mut self) {
        self.now += 86_400;
        self.rest(10, 3.5);
    }

    /// Constant current: cell 1 rises by `slope` volts a tick from `volts` to 4.12 V, cell 2 is 0.05 V behind.
    fn rise(&mut self, volts: f64, slope: f64, amps: f64) {
        let ticks = ((4.12 - volts) / slope).round() as usize;
        for n in 0..=ticks {
            let v = volts + slope * n as f64;
            self.tick([Some(v), Some(v - 0.05), Some(amps), Some(30.0)]);
        }
    }

    /// Constant voltage: the current loses a twentieth each tick, down to 0.05 A.
    fn fade(&mut self, mut amps: f64) {
        while amps > 0.05 {
            amps *= 0.95;
            self.tick([Some(4.12), Some(4.09), Some(amps), Some(30.0)]);
        }
    }
}

fn near(found: Option<f32>, expected: f32) -> bool {
    found.is_some_and(|found| (found - expected).abs() < 2e-3)
}

#[test]
fn a_full_charge_gives_what_flowed_between_the_voltages() {
    let mut bench = Bench::new();
    bench.rest(10, 3.5);
    // 0.1 V in 100 ticks of 10 s at 1 A: 0.2778 Ah of 2 Ah.
    bench.rise(3.6, 0.001, 1.0);
    bench.fade(1.0);
    bench.rest(10, 4.1);
    assert_eq!(bench.told.len(), 1);
    let [first, second] = &bench.told[0];
    assert!(near(first[0], 1.3889), "{first:?}");
    // 0.2 V are 0.2778 of the capacity, of which 0.1 is the offset.
    assert!(near(first[1], 1.7778), "{first:?}");
    assert_eq!((first[3], first[5]), (Some(1.0), Some(0.5)));
    assert!(near(first[4], 0.5), "30 degrees are half a scale above 25: {first:?}");
    // From 4.1 V on: 20 ticks at 1 A, then the geometric series down to 0.2 A.
    let faded = (20.0 + (1.0 - 0.2) * 0.95 / 0.05) * 10.0 / 3_600.0 / 2.0 / 0.1;
    assert!((first[2].unwrap() - faded as f32).abs() < 0.06, "{first:?}, {faded}");
    // The other cell never reaches 4.1 V.
    assert!(near(second[0], 1.3889), "{second:?}");
    assert_eq!((second[1], second[2]), (Some(0.0), Some(0.0)), "absent, and 0 to the model");
}

#[test]
fn a_charge_that_begins_above_a_window_leaves_it_out() {
    let mut bench = Bench::new();
    bench.rest(10, 3.8);
    bench.rise(3.86, 0.001, 1.0);
    bench.fade(1.0);
    bench.rest(10, 4.1);
    let [first, second] = &bench.told[0];
    assert_eq!((first[0], first[3]), (Some(0.0), Some(0.0)));
    assert!(near(first[1], 1.7778), "{first:?}");
    assert_eq!(second[3], Some(0.0), "cell 2 began at 3.81 V");
}

#[test]
fn a_plug_that_is_pulled_is_no_fade() {
    let mut bench = Bench::new();
    bench.rest(10, 3.5);
    bench.rise(3.6, 0.001, 1.0);
    bench.rest(10, 4.1);
    assert_eq!(bench.told[0][0][2], Some(0.0));
    assert!(near(bench.told[0][0][1], 1.7778));
}

#[test]
fn descents_and_drives_are_no_charges() {
    let mut bench = Bench::new();
    // Long descents; then recuperation every half minute for hours, between spells of driving and of standing.
    for n in 0..2_000_u32 {
        let amps = if n % 40 < 20 { 1.5 } else { -3.0 };
        bench.tick([Some(3.7), Some(3.7), Some(amps), Some(25.0)]);
    }
    for n in 0..2_000_u32 {
        let amps = [1.5, 0.0, -3.0][n as usize % 3];
        bench.tick([Some(3.7), Some(3.7), Some(amps), Some(25.0)]);
    }
    for n in 0..100_u32 {
        let amps = [1.5, 0.0, 0.0][n as usize % 3];
        bench.tick([Some(3.7), Some(3.7), Some(amps), Some(25.0)]);
    }
    bench.rest(10, 3.7);
    assert!(bench.told.is_empty());
}

#[test]
fn a_charger_that_throttles_spoils_only_the_window_it_throttles_in() {
    let mut bench = Bench::new();
    bench.rest(10, 3.5);
    for n in 0..=520_u32 {
        let v = 3.6 + 0.001 * f64::from(n);
        let amps = if v < 3.85 { 1.0 } else { 0.6 };
        bench.tick([Some(v), Some(v), Some(amps), Some(30.0)]);
    }
    bench.fade(0.6);
    bench.rest(10, 4.1);
    let first = &bench.told[0][0];
    assert_eq!(first[3], Some(0.0), "{first:?}");
    assert!(near(first[1], (0.2778 * 0.6 - 0.1) / 0.1), "{first:?}");
}

#[test]
fn without_a_current_no_charge_is_counted_and_without_a_voltage_the_cell_is_told_absent() {
    let mut bench = Bench::new();
    bench.rest(10, 3.5);
    for n in 0..=520_u32 {
        let v = 3.6 + 0.001 * f64::from(n);
        let amps = (n != 350).then_some(1.0);
        bench.tick([Some(v), None, amps, Some(30.0)]);
    }
    bench.rest(10, 4.1);
    let [first, second] = &bench.told[0];
    // Tick 350 lies at 3.95 V: between 3.8 and 3.9 V the count was whole, but what spans the gap is not.
    assert!(near(first[0], 1.3889), "{first:?}");
    assert_eq!(first[1], Some(0.0), "{first:?}");
    assert!(second.iter().all(Option::is_none), "{second:?}");
}

#[test]
fn the_jump_at_the_start_shows_the_resistance() {
    let mut bench = Bench::new();
    bench.rest(10, 3.5);
    // 1 A raises cell 1 by 0.1 V and cell 2 by 0.05 V; a step of the charge is in it.
    bench.rise(3.6, 0.001, 1.0);
    bench.fade(1.0);
    bench.rest(10, 4.1);
    let ohm: Vec<f32> = bench.resistance.iter().map(|r| r.unwrap()).collect();
    assert!(near(Some(ohm[0]), 0.1) && near(Some(ohm[1]), 0.05), "{ohm:?}");
}

/// A charge whose current comes up over these ticks and does not come down: 0.1 ohm of cell 1, and 0.05 of cell 2, a tick late.
fn ramped(ramp: &[f64]) -> Vec<Option<f32>> {
    let mut bench = Bench::new();
    bench.rest(10, 3.5);
    let mut before = 0.0;
    for amps in ramp {
        bench.tick([Some(3.5 + 0.1 * before), Some(3.5 + 0.05 * before), Some(*amps), Some(25.0)]);
        before = *amps;
    }
    let amps = before;
    (0..60)
        .for_each(|_| bench.tick([Some(3.5 + 0.1 * amps), Some(3.5 + 0.05 * amps), Some(amps), Some(25.0)]));
    bench.asleep();
    bench.resistance
}

#[test]
fn a_ramp_over_steps_and_a_voltage_that_comes_late_show_the_same_resistance() {
    for ramp in [&[1.0][..], &[0.05, 1.0], &[0.3, 1.0], &[0.5, 0.9, 1.0], &[0.25, 0.5, 0.75, 1.0]] {
        let ohm: Vec<f32> = ramped(ramp).iter().map(|r| r.unwrap()).collect();
        // What flowed in the last calm step is in the voltage of the next.
        assert!((ohm[0] - 0.1).abs() < 6e-3 && (ohm[1] - 0.05).abs() < 3e-3, "{ramp:?}: {ohm:?}");
    }
}

#[test]
fn one_step_before_the_jump_is_enough() {
    let mut bench = Bench::new();
    bench.rest(1, 3.5);
    (0..60).for_each(|_| bench.tick([Some(3.6), Some(3.55), Some(1.0), Some(25.0)]));
    bench.asleep();
    assert!(near(bench.resistance[0], 0.1) && near(bench.resistance[1], 0.05), "{:?}", bench.resistance);
}

#[test]
fn a_jump_is_of_its_own_charge_and_of_no_sleep() {
    let mut bench = Bench::new();
    for (rest, volts) in [(3.5, 3.6), (3.5, 3.7)] {
        bench.rest(10, rest);
        (0..60).for_each(|_| bench.tick([Some(volts), Some(volts), Some(1.0), Some(25.0)]));
        bench.rest(10, rest);
    }
    assert!(near(bench.resistance[0], 0.1) && near(bench.resistance[2], 0.2), "{:?}", bench.resistance);
    // It wakes under the current: what was before the sleep is no base.
    bench.asleep();
    bench.now += 86_400;
    (0..60).for_each(|_| bench.tick([Some(3.9), Some(3.9), Some(1.0), Some(25.0)]));
    bench.asleep();
    assert_eq!(bench.resistance[4], None);
}

#[test]
fn silence_ends_what_is_known_of_the_current() {
    let mut jumps = Jumps::new(0.4, 1);
    (0..2).for_each(|_| jumps.step(Some(0.0), &[Cell::value(3.5)]));
    jumps.fall_silent();
    (0..3).for_each(|_| jumps.step(Some(1.0), &[Cell::value(3.9)]));
    assert_eq!(jumps.resistance(0), None);
    (0..3).for_each(|_| jumps.step(Some(0.0), &[Cell::value(3.8)]));
    assert!(near(jumps.resistance(0), 0.1), "and begins anew");
}

#[test]
fn a_current_that_never_calms_or_hardly_moves_shows_none() {
    for steps in [5, 9, 10] {
        let ramp: Vec<f64> = (1..=steps).map(|n| 0.12 * f64::from(n)).collect();
        assert_eq!(ramped(&ramp)[0], None, "{steps} steps are no jump");
    }
    assert_eq!(ramped(&[0.3])[0], None, "less than a fifth of the capacity per hour");
    let mut bench = Bench::new();
    bench.rest(10, 3.5);
    // A discharge before it: what the voltage does then is its recovery too.
    (0..3).for_each(|_| bench.tick([Some(3.4), Some(3.4), Some(-1.0), Some(25.0)]));
    (0..70).for_each(|_| bench.tick([Some(3.6), Some(3.6), Some(1.0), Some(25.0)]));
    bench.asleep();
    assert_eq!(bench.resistance, [None, None]);
}

#[test]
fn silence_ends_a_charge_and_the_next_one_starts_afresh() {
    let mut bench = Bench::new();
    bench.rest(10, 3.5);
    bench.rise(3.6, 0.001, 1.0);
    // Current and voltage go stale.
    bench.asleep();
    assert_eq!(bench.told.len(), 1);
    bench.rise(3.6, 0.002, 1.0);
    bench.rest(10, 4.1);
    assert_eq!(bench.told.len(), 2);
    assert!(near(bench.told[1][0][0], 0.6944), "twice the slope, half the charge: {:?}", bench.told[1]);
}

#[test]
fn each_fault_of_the_document_is_named() {
    for (from, to, expected) in [
        ("op = \"charge_rate\"", "op = \"mean\"", "is not for this kind"),
        ("low = 3.8, high = 3.9", "low = 3.9, high = 3.8", "`feature low: high`: above `low`"),
        ("of = \"low\"", "of = \"lwo\"", "`feature there: of`"),
        ("current = \"amps\"", "current = \"ampere\"", "`charge.current`: no context signal"),
        ("nominal_ah = 2.0", "nominal_ah = 0", "`charge.nominal_ah`"),
        ("stop_rate = 0.02", "stop_rate = 0.2", "`charge`: 0 < stop_rate"),
        ("period_s = 10", "period_s = 10\nwindow = 4", "`charge`: neither `window`"),
    ] {
        let error = FeatureSpec::parse(&SPEC.replace(from, to), "x.toml").unwrap_err().to_string();
        assert!(error.contains(expected), "{from} -> {to}: {error}");
    }
}
