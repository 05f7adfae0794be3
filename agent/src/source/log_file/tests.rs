//! Logs as a source: times, mapping, paces, bad lines, and the real recordings where they are at hand.

use super::*;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

/// A log in a file of its own, removed at the end.
struct TempLog(PathBuf);

impl TempLog {
    fn new(text: impl AsRef<[u8]>) -> TempLog {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("telltale-{}-{}.log", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        TempLog(path)
    }
}

impl Drop for TempLog {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn bus_of(channel: &str) -> BusId {
    match channel {
        "can0" | "0" => BusId(0),
        "can1" | "1" => BusId(1),
        _ => BusId::UNMAPPED,
    }
}

type BusOf = fn(&str) -> BusId;

fn open(logs: &[&TempLog], pace: Pace) -> Result<LogSource<BusOf>, SourceError> {
    let paths: Vec<&Path> = logs.iter().map(|log| log.0.as_path()).collect();
    LogSource::open(&paths, None, pace, bus_of as BusOf)
}

fn read_all(source: &mut dyn Source) -> Vec<CanFrame> {
    let (mut all, mut batch) = (Vec::new(), Vec::with_capacity(64));
    loop {
        match source.next(&mut batch, Duration::from_millis(20)).unwrap() {
            SourceEvent::Frames(n) => {
                assert_eq!(n, batch.len());
                all.extend_from_slice(&batch);
            }
            SourceEvent::Idle => assert!(batch.is_empty()),
            SourceEvent::End => return all,
        }
    }
}

#[test]
fn frames_come_with_bus_time_and_wall_anchor() {
    let log =
        TempLog::new("(1436509052.25) can0 044#2A\n(1436509052.5) can1 00000044#R\n(1436509052.75) x 1#\n");
    let mut source = open(&[&log], Pace::AsFastAsPossible).unwrap();
    let frames = read_all(&mut source);
    assert_eq!(frames.iter().map(|f| f.bus.0).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(frames[1].at, MonoTime(1_436_509_052_500_000));
    assert_eq!((source.now(), source.span_micros(), source.lost()), (frames[1].at, 250_000, 0));
    assert_eq!(source.anchor().unwrap().wall.to_string(), "2015-07-10T06:17:32.500Z");
    let report = source.report();
    assert_eq!((report.frames, report.bad_lines), (2, 1));
    let bad = report.first_bad_lines[0].to_string();
    assert!(bad.ends_with(".log:3: identifier is not a number of the expected width"), "{bad}");
}

#[test]
fn many_bad_lines_are_counted_and_the_first_are_kept() {
    let log =
        TempLog::new(format!("(1.0) other 123#\n{}{}\n", "junk\n".repeat(1_000), "x".repeat(9_999_999)));
    let mut source = open(&[&log], Pace::AsFastAsPossible).unwrap();
    let frames = read_all(&mut source);
    assert_eq!((frames.len(), frames[0].bus), (1, BusId::UNMAPPED));
    let report = source.report();
    assert_eq!((report.bad_lines, report.first_bad_lines.len()), (1_001, KEPT_BAD_LINES));
    assert_eq!(report.notes, ["channel other is no bus of the catalog"]);
}

#[test]
fn clocks_that_step_back_are_counted_and_never_seen() {
    let log = TempLog::new("10000000,1,0,0,0\n9999000,2,0,1,0\n-364210,3,0,0,0\n-364110,4,0,0,0\n");
    let mut source = open(&[&log], Pace::AsFastAsPossible).unwrap();
    let times: Vec<u64> = read_all(&mut source).iter().map(|f| f.at.as_micros()).collect();
    assert_eq!(times, [10_000_000, 10_000_000, 10_000_000, 10_000_100]);
    let report = source.report();
    assert_eq!(report.clock_steps, 2);
    assert!(
        report.notes[0].ends_with(":3: the log's clock jumped back; time goes on from there"),
        "{report:?}"
    );
    assert_eq!(source.anchor(), None);
}

#[test]
fn several_logs_of_several_formats_are_one_run() {
    let first = TempLog::new(
        "date Thu, 09 Nov 2023 20:36:33 GMT\nbase hex  timestamps absolute\n5.0 1 594 Rx d 1 34\n",
    );
    let (empty, second) = (TempLog::new("\n"), TempLog::new("  can0  123   [1]  11\n  can0  124   [0]\n"));
    let mut source = open(&[&first, &empty, &second], Pace::AsFastAsPossible).unwrap();
    let mut batch = Vec::with_capacity(1);
    assert_eq!(source.next(&mut batch, Duration::ZERO).unwrap(), SourceEvent::Frames(3));
    let times: Vec<u64> = batch.iter().map(|f| f.at.as_micros()).collect();
    assert_eq!(times, [5_000_000, 5_000_000, 5_001_000]);
    assert_eq!(source.next(&mut batch, Duration::ZERO).unwrap(), SourceEvent::End);
    let report = source.report();
    assert_eq!(report.clock_steps, 0);
    for (note, part) in report.notes.iter().zip(["is empty", "joined to it", "1 ms apart"]) {
        assert!(note.contains(part), "{note}");
    }
    assert_eq!(report.notes.len(), 3);
}

#[test]
fn a_log_that_fails_later_gives_its_frames_first() {
    let log = TempLog::new("(1.0) can0 123#\n");
    let paths = [log.0.clone(), "no/such.log".into()];
    let mut source = LogSource::open(&paths, None, Pace::AsFastAsPossible, bus_of).unwrap();
    let mut batch = Vec::new();
    assert_eq!(source.next(&mut batch, Duration::ZERO).unwrap(), SourceEvent::Frames(1));
    let error = source.next(&mut batch, Duration::ZERO).unwrap_err();
    assert_eq!(error.to_string(), "cannot open log no/such.log");
    assert_eq!(source.next(&mut batch, Duration::ZERO).unwrap(), SourceEvent::End);

    let unknown = TempLog::new("what is this\n");
    let error = open(&[&unknown], Pace::AsFastAsPossible).err().unwrap().to_string();
    assert!(error.contains("is in no known log format"), "{error}");
}

#[test]
fn the_pace_changes_when_frames_come_but_not_what_they_are() {
    let text: String = (0..40).map(|i| format!("(7.{:06}) can0 123#{i:02X}\n", i * 10_000)).collect();
    let log = TempLog::new(text);
    let fast = read_all(&mut open(&[&log], Pace::AsFastAsPossible).unwrap());
    let began = Instant::now();
    let mut source = open(&[&log], Pace::RealTime { factor: 4.0 }).unwrap();
    let mut batch = Vec::new();
    let mut paced = Vec::new();
    loop {
        let event = source.next(&mut batch, Duration::from_millis(1)).unwrap();
        paced.extend_from_slice(&batch);
        if let Some(last) = paced.last() {
            assert!(source.now() >= last.at && source.now() <= MonoTime(7_390_000));
        }
        if event == SourceEvent::End {
            break;
        }
    }
    let took = began.elapsed();
    assert_eq!(paced, fast);
    // 390 ms of log at four times its pace.
    assert!(took >= Duration::from_millis(97) && took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn paces_are_read_and_nonsense_is_refused() {
    assert_eq!("max".parse(), Ok(Pace::AsFastAsPossible));
    assert_eq!("60".parse(), Ok(Pace::RealTime { factor: 60.0 }));
    assert_eq!("0.5x".parse(), Ok(Pace::RealTime { factor: 0.5 }));
    for text in ["0", "-1", "nan", "inf", "", "fast"] {
        assert_eq!(text.parse::<Pace>(), Err(NotAPace), "{text}");
    }
}

#[test]
fn recordings_are_read_whole() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = std::env::var_os("TELLTALE_DATA").map_or(beside, PathBuf::from);
    let log = data.join("kona_ev_can/250105-1-2020-comp-can-heating.csv");
    if !log.is_file() {
        println!("skipped: no recordings (set TELLTALE_DATA)");
        return;
    }
    let mut source = LogSource::open(&[log], None, Pace::AsFastAsPossible, bus_of).unwrap();
    let frames = read_all(&mut source);
    assert!(frames.is_sorted_by_key(|f| f.at));
    let report = source.report();
    assert_eq!((frames.len(), report.bad_lines, report.clock_steps), (27_982, 0, 1));
    // The logger was synchronised after 145 ms and counts from -364 ms there: no time is lost or made up.
    assert_eq!(source.span_micros(), 46_658_579);
}
