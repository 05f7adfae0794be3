//! The detector on made traffic: a unit with a counter and a checksum, one that stands still for a while, and one that
//! speaks when something happens; and what is done to them.

use super::*;
use crate::frame::{BusId, CanFrame, CanId, FrameKind};
use telltale_wire::time::MonoTime;

const S: u64 = 1_000_000;
/// One is enough where made traffic has none.
const RULE: Rule = Rule { seconds: 1, limits: [1, 9, 6, 9, 9, 1, 1, 3, 3] };

fn frame(at: u64, id: u16, payload: [u8; 8]) -> CanFrame {
    CanFrame::new(MonoTime(at), BusId(0), CanId::Standard(id), FrameKind::Classic, &payload).unwrap()
}

/// Nothing is sent to the microsecond.
fn jitter(n: u64) -> u64 {
    (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ n << 17).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 54
}

fn sealed(n: u64) -> [u8; 8] {
    let speed = (1_000.0 + 400.0 * (n as f64 / 300.0).sin()) as u16;
    let [high, low] = speed.to_be_bytes();
    let mut bytes = [(n & 0x0F) as u8, high, low, 7, 0, 0, 0, 0];
    bytes[7] = bytes[..7].iter().fold(0x55, |sum, byte| sum ^ byte);
    bytes
}

/// 0x100 every 10 ms, 0x200 every 100 ms, 0x300 now and then: from `from` for so many seconds.
pub(crate) fn traffic(from: u64, seconds: u64) -> Vec<CanFrame> {
    let mut frames = Vec::new();
    for n in from * 100..(from + seconds) * 100 {
        frames.push(frame(n * 10_000 + jitter(n), 0x100, sealed(n)));
        if n % 10 == 3 {
            let slow = n / 400;
            frames.push(frame(
                n * 10_000 + 3_000 + jitter(n + 1),
                0x200,
                [slow as u8 & 3, 9, 0, 0, 0, 0, 0, 0],
            ));
        }
        if n % 977 == 5 || n / 50 % 7 == 3 && n % 13 == 0 {
            frames.push(frame(n * 10_000 + 5_000, 0x300, [1, 2, 3, n as u8, 0, 0, 0, 0]));
        }
    }
    frames
}

fn profile() -> Profile {
    let mut learner = Learner::new(&["can0".into()]);
    for reading in [Reading::First, Reading::Second] {
        learner.begin(reading);
        traffic(0, 90).iter().for_each(|frame| learner.take(frame));
    }
    Profile::parse(&profile::document("made", &learner.profiles()), "p").unwrap()
}

/// The judged seconds of what was sent.
fn seconds(frames: &[CanFrame]) -> Vec<Second> {
    let mut detector = Detector::new(&profile(), &["can0".into()]).unwrap();
    let mut rows = Vec::new();
    let mut note = |_, seconds: &Seconds<'_>| {
        rows.extend(seconds.heard().map(|(_, second)| second.clone()).filter(Second::is_judged));
    };
    for frame in frames {
        detector.advance(frame.at, &mut note);
        detector.saw(frame);
    }
    detector.advance(MonoTime(frames.last().unwrap().at.as_micros() + S), &mut note);
    rows
}

fn sorted(mut frames: Vec<CanFrame>) -> Vec<CanFrame> {
    frames.sort_by_key(|frame| frame.at);
    frames
}

/// The worst second, by what the rule and the counts say.
fn worst(frames: Vec<CanFrame>) -> Second {
    let rows = seconds(&sorted(frames));
    assert!(rows.iter().any(|row| RULE.score(row) == 1.0), "the rule finds it");
    rows.into_iter()
        .max_by_key(|row| (RULE.score(row) as u32, row.counts.iter().take(7).sum::<u32>()))
        .unwrap()
}

#[test]
fn clean_traffic_is_quiet() {
    let rows = seconds(&traffic(200, 120));
    assert!(rows.len() > 110);
    for row in &rows {
        assert_eq!(RULE.score(row), 0.0, "{:?}", row.counts);
        assert!(row.counts[..7].iter().sum::<u32>() <= 2, "{:?}", row.counts);
    }
}

#[test]
fn a_flood_is_one() {
    let flood = (0..2_000).map(|n| frame(210 * S + n * 500, 0x000, [0; 8]));
    let second = worst(traffic(200, 20).into_iter().chain(flood).collect());
    assert_eq!(Family::of(&second), Family::Flood);
    let told = family::evidence(&second);
    assert!(
        told[0].what.contains("flood") && told[0].value > 2_000.0 && told[0].reference < 130.0,
        "{told:?}"
    );
    assert!(told[1].what.starts_with("000: "), "{told:?}");
}

#[test]
fn one_unknown_frame_is_seen() {
    let second = worst(traffic(200, 20).into_iter().chain([frame(210 * S + 17, 0x188, [1; 8])]).collect());
    assert_eq!(Family::of(&second), Family::UnknownId);
}

#[test]
fn a_few_replayed_frames_are_seen_by_their_time() {
    let replayed = (0..3).map(|n| frame(210 * S + n * 230_000 + 5_500, 0x100, sealed(4_000 + n)));
    let second = worst(traffic(200, 20).into_iter().chain(replayed).collect());
    assert_eq!(Family::of(&second), Family::Replay, "{:?}", second.counts);
    assert!(second.count(Count::Close) >= 3);
    let fuzz =
        (0..3).map(|n| frame(210 * S + n * 230_000 + 5_500, 0x100, [0xF3, 0x55, n as u8, 99, 1, 2, 3, 4]));
    let second = worst(traffic(200, 20).into_iter().chain(fuzz).collect());
    assert_eq!(Family::of(&second), Family::Fuzz, "{:?}", second.counts);
}

#[test]
fn a_unit_that_is_silenced_is_missed() {
    let cut = |id: u16| {
        let silent = move |f: &CanFrame| f.id == CanId::Standard(id) && f.at.as_micros() > 210 * S;
        traffic(200, 20).into_iter().filter(move |f| !silent(f)).collect::<Vec<_>>()
    };
    for id in [0x100, 0x200] {
        let second = worst(cut(id));
        assert_eq!(Family::of(&second), Family::Suppression, "{:?}", second.counts);
        assert!(family::evidence(&second)[1].what.starts_with(&format!("{id:03X}: ")));
    }
}

/// Its timing is the unit's; its checksum is of another content.
#[test]
fn a_masquerade_that_does_not_know_the_checksum_is_seen() {
    let change = |f: CanFrame| match f.id == CanId::Standard(0x100) && f.at.as_micros() > 210 * S {
        true => {
            let mut payload: [u8; 8] = f.payload().try_into().unwrap();
            payload[2] ^= 0x01;
            frame(f.at.as_micros(), 0x100, payload)
        }
        false => f,
    };
    let rows = seconds(&traffic(200, 20).into_iter().map(change).collect::<Vec<_>>());
    let seen: Vec<&Second> = rows.iter().filter(|row| row.count(Count::Check) > 80).collect();
    assert!(seen.len() >= 8, "{}", seen.len());
    assert!(seen.iter().all(|row| Family::of(row) == Family::Masquerade), "{:?}", seen[0].counts);
}

/// Content, counter and checksum are the unit's; its clock is not.
#[test]
fn a_masquerade_by_another_clock_is_seen() {
    let change =
        |(n, f): (usize, CanFrame)| match f.id == CanId::Standard(0x100) && f.at.as_micros() > 210 * S {
            true => frame(f.at.as_micros() + 3 * jitter(n as u64), 0x100, f.payload().try_into().unwrap()),
            false => f,
        };
    let rows = seconds(&sorted(traffic(200, 20).into_iter().enumerate().map(change).collect()));
    let odd: Vec<&Second> = rows.iter().filter(|row| row.count(Count::Jitter) > 20).collect();
    assert!(odd.len() >= 9, "{}", odd.len());
    assert_eq!(Family::of(odd[5]), Family::Masquerade, "{:?}", odd[5].counts);
}

#[test]
fn a_unit_whose_content_stands_still_is_seen() {
    let freeze = |f: CanFrame| match f.id == CanId::Standard(0x100) && f.at.as_micros() > 210 * S {
        true => frame(f.at.as_micros(), 0x100, sealed(21_000)),
        false => f,
    };
    let rows = seconds(&traffic(200, 20).into_iter().map(freeze).collect::<Vec<_>>());
    let frozen: Vec<&Second> = rows.iter().filter(|row| row.count(Count::Frozen) > 0).collect();
    assert_eq!(frozen.len(), 1, "told once");
    assert_eq!(Family::of(frozen[0]), Family::Masquerade, "{:?}", frozen[0].counts);
    assert!(rows.iter().any(|row| row.count(Count::Check) > 80), "its counter stands still, too");
}

#[test]
fn sleep_is_no_attack_and_timers_change_nothing() {
    let frames: Vec<CanFrame> = traffic(200, 20).into_iter().chain(traffic(500, 20)).collect();
    let plain = seconds(&frames);
    assert!(plain.iter().all(|row| RULE.score(row) == 0.0), "{plain:?}");
    let mut detector = Detector::new(&profile(), &["can0".into()]).unwrap();
    let mut counted = Vec::new();
    let mut note = |_, seconds: &Seconds<'_>| {
        counted.extend(seconds.heard().filter(|(_, s)| s.is_judged()).map(|(_, s)| s.counts));
    };
    let mut clock = frames[0].at.as_micros();
    for frame in &frames {
        while clock < frame.at.as_micros() {
            detector.advance(MonoTime(clock), &mut note);
            clock += 100_000;
        }
        detector.advance(frame.at, &mut note);
        detector.saw(frame);
    }
    detector.advance(MonoTime(clock + S), &mut note);
    assert_eq!(counted, plain.iter().map(|row| row.counts).collect::<Vec<_>>());
}

/// Two buses of one vehicle: where one stops while the other speaks, it was stopped, unless clean traffic does so.
#[test]
fn a_bus_that_stops_alone_is_missed_and_one_that_sleeps_with_the_others_is_not() {
    let both = |from: u64, seconds: [u64; 2]| {
        let on = |bus: u8, mut frame: CanFrame| {
            frame.bus = BusId(bus);
            frame
        };
        let first = traffic(from, seconds[0]).into_iter().map(move |frame| on(0, frame));
        sorted(first.chain(traffic(from, seconds[1]).into_iter().map(move |frame| on(1, frame))).collect())
    };
    let names = ["can0".to_owned(), "can1".to_owned()];
    let odd = |clean: [u64; 2], driven: [u64; 2]| {
        let mut learner = Learner::new(&names);
        for reading in [Reading::First, Reading::Second] {
            learner.begin(reading);
            both(0, clean).iter().for_each(|frame| learner.take(frame));
        }
        let profile = Profile::parse(&profile::document("made", &learner.profiles()), "p").unwrap();
        let mut detector = Detector::new(&profile, &names).unwrap();
        let mut odd = [0, 0];
        let mut note = |_, seconds: &Seconds<'_>| {
            for (bus, second) in seconds.heard().filter(|(_, second)| second.is_judged()) {
                odd[bus] += RULE.score(second) as u32;
            }
        };
        for mut frame in both(200, driven) {
            frame.at = MonoTime(frame.at.as_micros() + 400_000);
            detector.advance(frame.at, &mut note);
            detector.saw(&frame);
        }
        detector.advance(MonoTime(300 * S), &mut note);
        odd
    };
    let alone = odd([90, 90], [40, 20]);
    assert_eq!(alone[0], 0);
    assert!(alone[1] >= 17, "{alone:?}");
    assert_eq!(odd([90, 80], [40, 20]), [0, 0], "clean traffic has it, too");
    assert_eq!(odd([90, 90], [30, 30]), [0, 0], "both sleep, in the middle of a second");
}

#[test]
fn a_profile_of_another_vehicle_is_refused() {
    let error = Detector::new(&profile(), &["bms".into()]).err().unwrap().to_string();
    assert!(
        error.contains("made") && error.contains("can0") && error.contains("another vehicle type"),
        "{error}"
    );
}
