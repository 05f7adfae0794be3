//! A stretch from samples to records: what is a value, what is an absence, and that nothing is counted twice.

use super::*;
use crate::frame::{BusId, CanId, FrameKind};
use crate::signal::{SampleSink, SignalId};
use telltale_wire::record::{IndeterminateReason, MAX_BODY};
use telltale_wire::signals::{self, Directory, SeriesKind};
use telltale_wire::sketch::accuracy;

const S: u64 = 1_000_000;

const DBC: &str = "VERSION \"\"\nBS_:\nBU_: X\nBO_ 256 A: 8 X\n SG_ U : 0|16@1+ (0.001,0) [0|5] \"V\" X\n \
    SG_ I : 16|16@1- (0.1,0) [0|0] \"A\" X\n SG_ P : 32|16@1- (1,0) [0|0] \"W\" X\n SG_ N : 48|8@1+ (1,0) [0|0] \"\" X\n";

const CATALOG: &str = r#"
    schema = 1
    bus = [{ name = "b", dbc = ["b.dbc"], bitrate = 250000 }]
    signal = [
        { vss = "Pack.U", signal = "U", min = 1.0, max = 4.5, sentinels = [65535], stale_ms = 5000, cycle_ms = 500 },
        { vss = "Pack.I", signal = "I" },
        { vss = "Pack.P", signal = "P" },
        { vss = "Pack.N", signal = "N" },
    ]
    check = [{ name = "power", of = "product", signals = ["Pack.U", "Pack.I"], equals = "Pack.P", tolerance = 1.0 }]
    regime = [{ name = "charge", when = [{ signal = "Pack.I", above = 1.0 }] }]
"#;

const U: SignalId = SignalId(0);
const I: SignalId = SignalId(1);
const P: SignalId = SignalId(2);

struct Nowhere;

impl SampleSink for Nowhere {
    fn value(&mut self, _: SignalId, _: f64) {}
    fn absent(&mut self, _: SignalId, _: NoData) {}
}

fn statistics() -> Statistics {
    let catalog = Catalog::parse(CATALOG, "c", &mut |_| Ok(DBC.into())).unwrap();
    let mut statistics = Statistics::new(&catalog, &["cell-fault".into()]);
    statistics.begin(MonoTime(0));
    statistics
}

/// Turns time to `at`, then takes one sample.
fn sample(statistics: &mut Statistics, at: u64, signal: SignalId, value: Result<f64, NoData>) {
    let at = MonoTime(at);
    statistics.tick_to(at);
    let mut tap = Tap { tallies: statistics.tallies(), at, next: &mut Nowhere };
    match value {
        Ok(value) => tap.value(signal, value),
        Err(why) => tap.absent(signal, why),
    }
}

/// Ends the stretch after so many seconds; gives the directories and the parts.
fn close(statistics: &mut Statistics, seconds: u64) -> (Vec<Directory>, Vec<signals::Statistics>) {
    statistics.tick_to(MonoTime(seconds * S));
    let (mut directories, mut parts) = (Vec::new(), Vec::new());
    statistics.close(
        MonoTime(seconds * S - 1),
        None,
        |steps| vec![Scores::new().take(steps)],
        |record| {
            // What is told survives its bytes.
            assert_eq!(record.to_raw().unwrap().parse().unwrap(), record);
            match record {
                Record::Signals(SignalRecord::Directory(directory)) => directories.push(directory),
                Record::Signals(SignalRecord::Statistics(part)) => parts.push(part),
                other => panic!("{other:?}"),
            }
        },
    );
    (directories, parts)
}

fn absent(series: &Series) -> Vec<(IndeterminateReason, u64)> {
    let reasons = IndeterminateReason::ALL.into_iter().zip(series.absent);
    reasons.filter(|(_, steps)| *steps > 0).collect()
}

#[test]
fn every_step_is_a_value_or_a_reason() {
    let mut statistics = statistics();
    sample(&mut statistics, S / 2, U, Ok(3.7));
    sample(&mut statistics, 10 * S + 1, U, Err(NoData::SensorFault));
    sample(&mut statistics, 12 * S + 1, U, Err(NoData::OutOfRange));
    sample(&mut statistics, 14 * S + 1, U, Ok(3.8));
    sample(&mut statistics, 14 * S + 2, U, Ok(3.6));
    let (_, parts) = close(&mut statistics, 60);
    let [voltage, current, ..] = &parts[0].series.series[..] else { panic!("{parts:?}") };
    // Held for five seconds after 0.5 and after 14, absent from 10 to 14, stale before and behind.
    let expected = [
        (IndeterminateReason::Stale, 46),
        (IndeterminateReason::OutOfRange, 2),
        (IndeterminateReason::SensorFault, 2),
    ];
    assert_eq!(absent(voltage), expected);
    assert_eq!((voltage.samples, voltage.out_of_range, voltage.sensor_fault), (3, 1, 1));
    assert_eq!(voltage.longest_gap, 45);
    let values = voltage.values.as_ref().unwrap();
    assert_eq!((values.decimals, values.min, values.max, values.last), (3, 3_600, 3_800, 3_600));
    assert_eq!(values.sketch.count() + voltage.absent.iter().sum::<u64>(), 60);
    // Of the steps with a value five hold 3.7 V and five 3.6 V; 3.8 V was gone before its step ended.
    assert_eq!(values.mean, 3_650);
    let bound = 3.7 * accuracy(values.sketch.coarseness());
    assert!((values.sketch.quantile(1.0).unwrap() - 3.7).abs() <= bound);
    assert_eq!(*current, Series::unheard(60));
}

#[test]
fn a_value_is_held_into_the_next_stretch_but_its_samples_are_not() {
    let mut statistics = statistics();
    sample(&mut statistics, 59 * S, U, Ok(3.7));
    close(&mut statistics, 60);
    statistics.begin(MonoTime(60 * S));
    let (directories, parts) = close(&mut statistics, 120);
    assert!(directories.is_empty(), "the names are told once");
    let voltage = &parts[0].series.series[0];
    assert_eq!((voltage.samples, absent(voltage)), (0, vec![(IndeterminateReason::Stale, 56)]));
    let values = voltage.values.as_ref().unwrap();
    assert_eq!((values.min, values.max, values.sketch.count()), (3_700, 3_700, 4));
}

#[test]
fn quality_says_what_came_what_agreed_and_how_it_was_driven() {
    let mut statistics = statistics();
    for n in 0..60 {
        let at = n * S + S / 4;
        sample(&mut statistics, at, U, if n < 54 { Ok(4.0) } else { Err(NoData::OutOfRange) });
        sample(&mut statistics, at, I, Ok(if n < 20 { 0.0 } else { 10.0 }));
        sample(
            &mut statistics,
            at,
            P,
            Ok(if n == 30 {
                50.0
            } else if n < 20 {
                0.0
            } else {
                40.0
            }),
        );
    }
    statistics.judged_after(Duration::from_millis(7));
    let (_, parts) = close(&mut statistics, 60);
    let quality = parts[0].quality.as_ref().unwrap();
    assert_eq!((quality.signal_steps, quality.valued_steps), (240, 54 + 60 + 60));
    // Two a second were expected of the voltage, one came.
    assert_eq!((quality.expected, quality.received), (120, 60));
    assert_eq!((quality.samples, quality.plausible), (180, 174));
    let [power] = quality.checks[..] else { panic!("{quality:?}") };
    assert_eq!((power.compared, power.violated, power.worst), (54, 1, 10.0));
    assert_eq!((&quality.regimes[..], quality.other_regime, quality.unknown_regime), (&[40][..], 20, 0));
    assert_eq!((quality.oldest_ms, quality.judged_after_ms), (750, Some(7)));
}

#[test]
fn the_directory_names_what_the_statistics_leave_out() {
    let mut statistics = statistics();
    let (directories, parts) = close(&mut statistics, 60);
    let [directory] = &directories[..] else { panic!("{directories:?}") };
    let names: Vec<&str> = directory.series.0.iter().map(|series| series.name.as_str()).collect();
    assert_eq!(names, ["Pack.U", "Pack.I", "Pack.P", "Pack.N", "cell-fault"]);
    assert_eq!(directory.series.0[4].kind, SeriesKind::Score);
    assert_eq!((directory.series.0[0].cycle_ms, directory.buses[0].bitrate), (500, 250_000));
    assert_eq!((directory.checks[0].name.as_str(), directory.regimes[0].as_str()), ("power", "charge"));
    assert_eq!((directory.id, parts[0].series.series.len()), (parts[0].directory, 5));
}

#[test]
fn a_short_stretch_at_the_end_is_told_too() {
    let mut statistics = statistics();
    sample(&mut statistics, 10, U, Ok(3.7));
    let mut told = 0;
    let scores = |steps| vec![Scores::new().take(steps)];
    statistics.close(MonoTime(10), None, scores, |record| {
        if let Record::Signals(SignalRecord::Statistics(part)) = record {
            assert_eq!((part.series.steps, part.series.series[0].samples), (1, 1));
            told += 1;
        }
    });
    assert_eq!(told, 1);
}

#[test]
fn frames_load_their_bus() {
    let mut statistics = statistics();
    for n in 0..100 {
        let frame = CanFrame::new(MonoTime(n), BusId(0), CanId::Standard(1), FrameKind::Classic, &[0; 8]);
        statistics.count_frame(&frame.unwrap());
    }
    let elsewhere = CanFrame::new(MonoTime(0), BusId::UNMAPPED, CanId::Standard(1), FrameKind::Classic, &[]);
    statistics.count_frame(&elsewhere.unwrap());
    let (_, parts) = close(&mut statistics, 60);
    // 100 frames of 114 bits in one second of 250,000.
    let bus = parts[0].buses[0];
    assert_eq!((bus.frames, bus.nominal_peak, bus.nominal_load, bus.longest_silence), (100, 46, 1, 59));
}

#[test]
fn scores_are_told_by_model_with_the_reasons_for_none() {
    let mut scores = Scores::new();
    for score in [Ok(0.25), Ok(0.75), Err(IndeterminateReason::WarmingUp), Ok(f32::NAN)] {
        scores.add(score);
    }
    let series = scores.take(60);
    let values = series.values.as_ref().unwrap();
    assert_eq!((series.samples, values.min, values.max, values.mean), (2, 250, 750, 500));
    assert_eq!(absent(&series), [(IndeterminateReason::WarmingUp, 1), (IndeterminateReason::ModelFailed, 1)]);
    assert_eq!(scores.take(60), Series::unheard(60));
}

/// The largest catalog, every signal as wild as a signal can be.
#[test]
fn whatever_is_told_fits_into_records() {
    let dbc = {
        let mut text = String::from("VERSION \"\"\nBS_:\nBU_: X\n");
        for message in 0..1_024 {
            text += &format!("BO_ {message} M{message}: 8 X\n");
            for place in 0..4 {
                text += &format!(" SG_ S{}_{message} : {}|16@1- (1e-9,0) [0|0] \"V\" X\n", place, place * 16);
            }
        }
        text
    };
    let long = "Vehicle".repeat(30);
    let mut text = String::from("schema = 1\n[[bus]]\nname = \"b\"\ndbc = [\"b.dbc\"]\n");
    for signal in 0..crate::catalog::MAX_SIGNALS {
        let (message, place) = (signal / 4, signal % 4);
        text += &format!("[[signal]]\nvss = \"N{signal}.{long}\"\nsignal = \"S{place}_{message}\"\n");
    }
    let catalog = Catalog::parse(&text, "c", &mut |_| Ok(dbc.clone().into())).unwrap();
    let mut statistics = Statistics::new(&catalog, &[]);
    statistics.begin(MonoTime(0));
    for step in 0..60u64 {
        let at = MonoTime(step * S + 1);
        statistics.tick_to(at);
        let mut tap = Tap { tallies: statistics.tallies(), at, next: &mut Nowhere };
        for signal in 0..crate::catalog::MAX_SIGNALS as u64 {
            let wild = (step * 7_919 + signal * 104_729) % 32_000;
            let sign = if (step + signal) % 2 == 0 { 1.0 } else { -1.0 };
            tap.value(SignalId(signal as u16), sign * (wild as f64 / 1_000.0).exp2());
        }
    }
    let (directories, parts) = close(&mut statistics, 60);
    assert!(directories.len() > 1 && parts.len() > 1);
    let named: usize = directories.iter().map(|directory| directory.series.0.len()).sum();
    let told: usize = parts.iter().map(|part| part.series.series.len()).sum();
    assert_eq!((named, told), (4_096, 4_097));
    assert!(directories.iter().all(|part| usize::from(part.total) == named));
    let largest = parts.iter().map(part_bytes).max().unwrap();
    assert!(largest <= MAX_BODY, "{largest}");
    let mut place = 0;
    for part in &parts {
        assert_eq!(usize::from(part.series.first), place);
        place += part.series.series.len();
    }
}

fn part_bytes(part: &signals::Statistics) -> usize {
    Record::Signals(SignalRecord::Statistics(part.clone())).to_raw().unwrap().body.len()
}
