//! The recorder by virtual time: what a trigger brings, what comes together, and what is refused and told.

use super::*;
use crate::catalog::Catalog;
use crate::frame::{BusId, CanFrame, CanId, FrameKind};
use std::collections::VecDeque;
use telltale_wire::record::{LossStage, Record};
use telltale_wire::snapshot::{self, SampleState, SnapshotCause, SnapshotPart};
use telltale_wire::time::MonoTime;

const S: u64 = 1_000_000;

fn catalog() -> Catalog {
    let dbc = "VERSION \"\"\nBS_:\nBO_ 256 A: 8 X\n SG_ Speed : 0|16@1+ (0.5,-10) [0|0] \"km/h\" X\n \
        SG_ Heat : 16|8@1- (1,0) [0|0] \"degC\" X\nBO_ 257 B: 8 X\n SG_ Door : 0|1@1+ (1,0) [0|0] \"\" X\n";
    let text = "schema = 1\n[[bus]]\nname = \"b\"\ndbc = [\"b.dbc\"]\n\
        [[signal]]\nvss = \"Vehicle.Speed\"\nsignal = \"Speed\"\nsentinels = [65535]\nmax = 200.0\n\
        [[signal]]\nvss = \"Vehicle.Cabin.Heat\"\nsignal = \"Heat\"\n\
        [[signal]]\nvss = \"Vehicle.Cabin.Door\"\nsignal = \"Door\"\n";
    Catalog::parse(text, "c.toml", &mut |_| Ok(dbc.into())).unwrap()
}

fn recorder(config: SnapshotConfig) -> Recorder {
    Recorder::new(Packer::new(&catalog()), config).unwrap()
}

fn config() -> SnapshotConfig {
    let second = Duration::from_secs;
    SnapshotConfig { before: second(10), after: second(5), per_hour: 2, ..SnapshotConfig::default() }
}

fn frame(id: u16, at: u64, speed: u16) -> CanFrame {
    let [low, high] = speed.to_le_bytes();
    let payload = [low, high, (at / S) as u8, 0, 0, 0, 0, 0];
    CanFrame::new(MonoTime(at), BusId(0), CanId::Standard(id), FrameKind::Classic, &payload).unwrap()
}

fn command() -> SnapshotCause {
    SnapshotCause::Command { note: "test".into() }
}

/// Ten frames a second of one message, one of the other.
fn drive(recorder: &mut Recorder, seconds: std::ops::Range<u64>, records: &mut VecDeque<Record>) {
    for n in seconds.start * 10..seconds.end * 10 {
        let at = MonoTime(n * S / 10);
        if recorder.is_due(at) {
            recorder.advance(at, None, records);
        }
        recorder.keep(&frame(0x100, at.0, n as u16));
        if n % 10 == 0 {
            recorder.keep(&frame(0x101, at.0, (n / 10 % 2) as u16));
        }
    }
}

fn parts(records: &VecDeque<Record>) -> Vec<&SnapshotPart> {
    let parts = records.iter().filter_map(|r| if let Record::Snapshot(part) = r { Some(part) } else { None });
    parts.collect()
}

/// Every sample of a signal: its time and raw value.
fn samples(parts: &[&SnapshotPart], name: &str) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    for part in parts {
        for message in snapshot::decode(&part.block).unwrap().messages {
            for (at, samples) in message.rows() {
                let of_name =
                    |s: &&snapshot::SnapshotSample| message.signals[usize::from(s.signal)].name == name;
                found.extend(samples.iter().filter(of_name).map(|sample| (at, sample.raw)));
            }
        }
    }
    found
}

#[test]
fn a_trigger_brings_what_was_before_and_after_it_and_nothing_else() {
    let (mut recorder, mut records) = (recorder(config()), VecDeque::new());
    drive(&mut recorder, 0..60, &mut records);
    assert_eq!(
        recorder.trigger(MonoTime(60 * S), command(), &SnapshotRequest::default()),
        Triggered::Begun(1)
    );
    assert_eq!(recorder.next_deadline(), Some(MonoTime(65 * S)));
    drive(&mut recorder, 60..70, &mut records);
    let told = parts(&records);
    let [part] = told[..] else { panic!("{records:?}") };
    assert_eq!((part.number, part.part, part.parts, part.missing_ms), (1, 0, 1, 0));
    assert_eq!((part.before_ms, part.after_ms, part.at.mono), (10_000, 5_000, MonoTime(60 * S)));
    let speeds: Vec<(u64, u64)> = (500..650).map(|n| (n * S / 10, n)).collect();
    assert_eq!(samples(&told, "Vehicle.Speed"), speeds);
    let doors: Vec<(u64, u64)> = (50..65).map(|n| (n * S, n % 2)).collect();
    assert_eq!(samples(&told, "Vehicle.Cabin.Door"), doors);
    assert_eq!(part.samples, 150 + 150 + 15);
    assert_eq!(recorder.next_deadline(), None);
}

#[test]
fn absence_keeps_its_reason_and_scales_are_the_catalogs() {
    let (mut recorder, mut records) = (recorder(config()), VecDeque::new());
    for (at, speed) in [(1, 100), (2, 65_535), (3, 60_000), (4, 101)] {
        recorder.keep(&frame(0x100, at * S, speed));
    }
    recorder.trigger(MonoTime(4 * S), command(), &SnapshotRequest::default());
    recorder.finish(MonoTime(4 * S), None, &mut records);
    let block = snapshot::decode(&parts(&records)[0].block).unwrap();
    let [message] = &block.messages[..] else { panic!("{block:?}") };
    let speed = &message.signals[0];
    assert_eq!((speed.name.as_str(), speed.physical(100)), ("Vehicle.Speed", 40.0));
    let states: Vec<SampleState> = message.rows().map(|(_, samples)| samples[0].state).collect();
    use SampleState::{OutOfRange, SensorFault, Value};
    assert_eq!(states, [Value, SensorFault, OutOfRange, Value]);
}

#[test]
fn triggers_within_a_snapshot_make_it_longer_and_too_many_are_told_as_lost() {
    let (mut recorder, mut records) = (recorder(config()), VecDeque::new());
    let trigger = |recorder: &mut Recorder, second: u64| {
        recorder.trigger(MonoTime(second * S), command(), &SnapshotRequest::default())
    };
    drive(&mut recorder, 0..20, &mut records);
    assert_eq!(trigger(&mut recorder, 20), Triggered::Begun(1));
    drive(&mut recorder, 20..23, &mut records);
    assert_eq!(trigger(&mut recorder, 23), Triggered::Merged(1));
    drive(&mut recorder, 23..40, &mut records);
    let told = parts(&records);
    assert_eq!((told.len(), told[0].merged, told[0].after_ms), (1, 1, 8_000));
    assert_eq!(samples(&told, "Vehicle.Speed").last(), Some(&(279 * S / 10, 279)));

    assert_eq!(trigger(&mut recorder, 40), Triggered::Begun(2));
    drive(&mut recorder, 40..50, &mut records);
    assert_eq!(trigger(&mut recorder, 50), Triggered::Suppressed);
    assert_eq!(trigger(&mut recorder, 51), Triggered::Suppressed);
    drive(&mut recorder, 51..120, &mut records);
    let Some(Record::Loss(loss)) = records.back() else { panic!("{records:?}") };
    assert_eq!((loss.stage, loss.count, loss.at.mono), (LossStage::Snapshot, 2, MonoTime(50 * S)));
    // An hour after the first, there is room for one.
    assert_eq!(trigger(&mut recorder, 3_620), Triggered::Begun(3));
}

#[test]
fn a_long_snapshot_comes_in_parts_while_frames_go_on() {
    let (mut recorder, mut records) = (recorder(config()), VecDeque::new());
    let fast = |n: u64| frame(0x100, n * 1_000, n as u16);
    (0..12_000).for_each(|n| recorder.keep(&fast(n)));
    recorder.trigger(MonoTime(12 * S), command(), &SnapshotRequest::default());
    let mut most = 0;
    for n in 12_000..20_000 {
        let before = records.len();
        if recorder.is_due(MonoTime(n * 1_000)) {
            recorder.advance(MonoTime(n * 1_000), None, &mut records);
        }
        most = most.max(records.len() - before);
        recorder.keep(&fast(n));
    }
    let told = parts(&records);
    assert_eq!((told.len(), most), (5, 1), "15,000 frames in parts of 3,072, one at a time");
    assert!(told.iter().enumerate().all(|(n, part)| (usize::from(part.part), part.parts) == (n, 5)));
    let wanted: Vec<(u64, u64)> = (2_000..17_000).map(|n| (n * 1_000, n & 0xFFFF)).collect();
    assert_eq!(samples(&told, "Vehicle.Speed"), wanted);
}

#[test]
fn what_the_ring_could_not_hold_is_said() {
    let (mut recorder, mut records) =
        (recorder(SnapshotConfig { memory: 50 * SLOT, ..config() }), VecDeque::new());
    drive(&mut recorder, 0..20, &mut records);
    recorder.trigger(MonoTime(20 * S), command(), &SnapshotRequest::default());
    drive(&mut recorder, 20..30, &mut records);
    let told = parts(&records);
    let first = samples(&told, "Vehicle.Speed")[0].0;
    // Fifty frames are less than the five seconds behind the trigger: all before it has been overwritten.
    assert!(first > 20 * S, "{first}");
    assert_eq!(u64::from(told[0].missing_ms), (first - 10 * S) / 1_000);
}

#[test]
fn the_signals_asked_for_are_sent_and_others_are_named_in_the_refusal() {
    let (mut recorder, mut records) = (recorder(config()), VecDeque::new());
    drive(&mut recorder, 0..20, &mut records);
    let ask = |pattern: &str| SnapshotRequest { signals: vec![pattern.to_owned()], ..Default::default() };
    let refused = recorder.trigger(MonoTime(20 * S), command(), &ask("Vehicle.Sped"));
    assert_eq!(refused, Triggered::UnknownSignal("Vehicle.Sped".into()));
    assert_eq!(recorder.trigger(MonoTime(20 * S), command(), &ask("Vehicle.Cabin.*")), Triggered::Begun(1));
    recorder.finish(MonoTime(20 * S), None, &mut records);
    let told = parts(&records);
    assert!(samples(&told, "Vehicle.Speed").is_empty());
    assert_eq!(samples(&told, "Vehicle.Cabin.Heat").len(), 100);
    assert_eq!(samples(&told, "Vehicle.Cabin.Door").len(), 10);
    let wrong = SnapshotConfig { signals: vec!["Wheel*".into()], ..config() };
    assert_eq!(Recorder::new(Packer::new(&catalog()), wrong).err(), Some("Wheel*".to_owned()));
}

#[test]
fn without_memory_no_snapshot_is_taken() {
    let mut recorder = recorder(SnapshotConfig { memory: 0, ..config() });
    recorder.keep(&frame(0x100, 5, 5));
    assert_eq!(recorder.trigger(MonoTime(9), command(), &SnapshotRequest::default()), Triggered::Off);
    assert_eq!(recorder.next_deadline(), None);
}

#[test]
fn a_successor_goes_on_with_the_frames_and_the_numbers() {
    let (mut before, mut records) = (recorder(config()), VecDeque::new());
    drive(&mut before, 0..20, &mut records);
    before.trigger(MonoTime(20 * S), command(), &SnapshotRequest::default());
    before.finish(MonoTime(20 * S), None, &mut records);
    let mut after = recorder(SnapshotConfig { per_hour: 3, ..config() });
    after.inherit(&mut before, true);
    drive(&mut after, 20..25, &mut records);
    assert_eq!(after.trigger(MonoTime(25 * S), command(), &SnapshotRequest::default()), Triggered::Begun(2));
    after.finish(MonoTime(25 * S), None, &mut records);
    assert_eq!(samples(&parts(&records)[1..], "Vehicle.Speed").len(), 100);
    let mut elsewhere = recorder(config());
    elsewhere.inherit(&mut after, false);
    assert_eq!(
        elsewhere.trigger(MonoTime(30 * S), command(), &SnapshotRequest::default()),
        Triggered::Suppressed
    );
}
