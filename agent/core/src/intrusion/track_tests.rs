//! A frame against one identifier: the arithmetic of many at once beside that of one by one, and each oddity's bit.

use super::super::profile::Check;
use super::super::profile::tests::example;
use super::*;
use crate::frame::{BusId, FrameKind};
use telltale_wire::time::MonoTime;

fn track(change: impl FnOnce(&mut IdProfile)) -> Track {
    let mut known = example().ids.remove(0);
    known.constant = 0;
    known.checks.clear();
    known.step = [255; 8];
    known.turns = [false; 8];
    known.timing = None;
    known.repeats = u32::MAX;
    change(&mut known);
    Track::new(&known)
}

fn frame(at: u64, word: u64) -> CanFrame {
    let payload = word.to_be_bytes();
    CanFrame::new(MonoTime(at), BusId(0), CanId::Standard(0x100), FrameKind::Classic, &payload).unwrap()
}

#[test]
fn the_steps_of_bytes_are_compared_as_one_by_one() {
    let step = [0, 1, 254, 255, 3, 128, 121, 16];
    let turns = [false, false, false, false, true, false, true, true];
    let track = track(|known| (known.step, known.turns) = (step, turns));
    let mut state = 1u64;
    let mut beyond = 0;
    for _ in 0..20_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (a, noise) = (state ^ state >> 31, state.rotate_left(23));
        // Some differ in little, so that both answers occur.
        let b = if noise & 3 == 0 { a.wrapping_add(noise & 0x10) } else { a ^ noise & 0x0001_FFFF_07FF_FF1F };
        let bytes = a.to_be_bytes().into_iter().zip(b.to_be_bytes());
        let plain = bytes.zip(step.into_iter().zip(turns)).any(|((a, b), (most, turns))| {
            let step = a.abs_diff(b);
            (if turns { step.min(step.wrapping_neg()) } else { step }) > most
        });
        assert_eq!(track.steps_beyond(a, b), plain, "{a:016X} {b:016X}");
        beyond += usize::from(plain);
    }
    assert!((1_000..19_000).contains(&beyond), "{beyond}");
}

#[test]
fn parities_are_those_of_each_check() {
    let checks: Vec<Check> = (1..=4u64)
        .map(|n| Check {
            now: n.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            before: n.wrapping_mul(0xD1B5_4A32_D192_ED03),
            odd: n % 2 == 1,
        })
        .collect();
    let track = track(|known| known.checks = checks.clone());
    for n in 0..1_000u64 {
        let (now, before) = (n.wrapping_mul(0x2545_F491_4F6C_DD1D), n.wrapping_mul(0x9E6C_63D0_876A_3F6B));
        let parity = |c: &Check| u64::from(((now & c.now) ^ (before & c.before)).count_ones() & 1);
        let plain = checks.iter().enumerate().fold(0, |all, (place, c)| all | parity(c) << (16 * place));
        assert_eq!(track.parities_of(now, before), plain);
    }
    assert_eq!(track.parities, 0x0000_0001_0000_0001);
}

#[test]
fn each_oddity_has_its_bit() {
    let period = 10_000;
    let timed = |known: &mut IdProfile| known.timing = example().ids[0].timing;
    let warm = |mut track: Track| {
        (0..3).for_each(|n| assert_eq!(track.saw(&frame(n * period, n)), 0));
        track
    };
    let mut early = warm(track(timed));
    assert_eq!(early.saw(&frame(24_000, 3)), JITTER | CLOSE);
    assert_eq!(warm(track(timed)).saw(&frame(36_000, 3)), JITTER | LONG);
    assert_eq!(warm(track(timed)).saw(&frame(33_000, 3)), JITTER);
    assert_eq!(warm(track(|k| k.constant = 7 << 61)).saw(&frame(30_000, 7 << 61)), SHAPE);
    assert_eq!(warm(track(|k| k.constant = 7 << 61)).saw(&frame(30_000, 3 << 61)), 0, "a new flag");
    assert_eq!(warm(track(|k| k.step[0] = 4)).saw(&frame(30_000, 5 << 56)), STEP);
    assert_eq!(warm(track(|k| k.step[0] = 4)).saw(&frame(30_000, 4 << 56)), 0);
    let mut frozen = warm(track(|k| k.repeats = 1));
    let again: Vec<u32> = (3..7).map(|n| frozen.saw(&frame(n * period, 2))).collect();
    assert_eq!(again, [0, FROZEN, 0, 0], "told once");
    let toggles = |k: &mut IdProfile| k.checks = vec![Check { now: 1, before: 1, odd: true }];
    assert_eq!(warm(track(toggles)).saw(&frame(30_000, 3)), 0);
    assert_eq!(warm(track(toggles)).saw(&frame(30_000, 4)), CHECK);
    let mut short = warm(track(|_| ()));
    let cut = CanFrame::new(MonoTime(30_000), BusId(0), CanId::Standard(0x100), FrameKind::Classic, &[0; 7]);
    assert_eq!(short.saw(&cut.unwrap()), SHAPE);
}

/// A second of a hundred frames that count, with a constant among them and a parity over both.
fn second_of(track: &mut Track, from: u64, constant: u64, sent: &dyn Fn(u64) -> u64) -> bool {
    for n in from..from + 100 {
        track.saw(&frame(n * 10_000, sent(n) | constant << 32));
    }
    (0..ODDITIES).for_each(|place| track.odd[place] = 0);
    let odd = track.saw(&frame((from + 100) * 10_000, sent(from + 100) | constant << 32));
    (0..ODDITIES).for_each(|place| track.odd[place] = if odd >> place & 1 == 1 { track.seen } else { 0 });
    let told = track.end((from + 101) * 10_000, true);
    (track.seen, track.odd) = (0, [0; ODDITIES]);
    told
}

/// A flag under the checksum changes for good: another parity holds from then on, and is believed after an hour.
#[test]
fn a_parity_that_is_another_one_for_good_is_taken_over_and_one_that_is_none_is_dropped() {
    let over_flag = Check { now: 1 << 32 | 1, before: 1, odd: true };
    let mut track = track(|known| known.checks = vec![over_flag]);
    let (mut from, count) = (0, |n: u64| n & 0xFF);
    let mut run = |track: &mut Track, seconds: u32, constant: u64, sent: &dyn Fn(u64) -> u64| {
        let mut given_up = 0;
        for _ in 0..seconds {
            given_up += u32::from(second_of(track, from, constant, sent));
            from += 101;
        }
        given_up
    };
    assert_eq!(run(&mut track, 10, 0, &count), 0);
    assert_eq!(run(&mut track, NO_LONGER_FITS_AFTER - 1, 1, &count), 0);
    assert_eq!(run(&mut track, 1, 0, &count), 0, "it fitted once, so that the hour begins anew");
    assert_eq!(run(&mut track, NO_LONGER_FITS_AFTER + 2, 1, &count), 1, "told once");
    track.misfit = Misfit::default();
    assert_eq!(run(&mut track, 5, 1, &count), 0);
    assert_eq!(track.misfit.broken_s, 0, "the new parity holds");
    assert_eq!(run(&mut track, 5, 0, &count), 0);
    assert_eq!(track.misfit.broken_s, 5, "and the old one does not");
}
