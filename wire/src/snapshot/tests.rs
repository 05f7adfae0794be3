//! Blocks of every kind through the packing and back, and bytes that are none.

use super::*;
use alloc::format;
use alloc::vec;

/// A fixed linear congruence: the same blocks on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ self.0 >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

fn signal(dice: &mut Dice, n: usize) -> SnapshotSignal {
    let number = Number::ALL[dice.below(4) as usize];
    let bits = match number {
        Number::Float => 32,
        Number::Double => 64,
        Number::Unsigned | Number::Signed => 1 + dice.below(64) as u8,
    };
    let odd = [0.0, -0.0, f64::NAN, f64::INFINITY, 1.0 / 3.0, 0.001, -40.0, 5e-324];
    SnapshotSignal {
        name: match dice.below(3) {
            0 => format!("Vehicle.Cell{n}.Voltage"),
            1 => format!("Vehicle.Überspannung{}", "x".repeat(dice.below(200) as usize)),
            _ => String::new(),
        },
        number,
        bits,
        unit: Unit::ALL[dice.below(Unit::ALL.len() as u64) as usize],
        factor: odd[dice.below(8) as usize],
        offset: odd[dice.below(8) as usize],
    }
}

/// A message with jittered, repeated and torn times, values of several temperaments, and rows that lack signals.
fn message(dice: &mut Dice) -> SnapshotMessage {
    let signals: Vec<SnapshotSignal> = (0..1 + dice.below(9) as usize).map(|n| signal(dice, n)).collect();
    let mut at = dice.next() >> dice.below(64);
    let (period, temper, multiplexed) = (dice.below(100_000), dice.below(4), dice.below(3) == 0);
    let mut made = SnapshotMessage { signals, ..SnapshotMessage::default() };
    let mut last: Vec<u64> = made.signals.iter().map(|_| dice.next()).collect();
    for row in 0..dice.below(400) {
        at = match dice.below(40) {
            0 => at,
            1 => at.wrapping_add(dice.next()),
            _ => at.wrapping_add(period + dice.below(50)),
        };
        for (place, signal) in made.signals.iter().enumerate() {
            if multiplexed && (row + place as u64).is_multiple_of(3) {
                continue;
            }
            let step = match temper {
                0 => 0,
                1 => 1,
                2 => dice.below(9).wrapping_sub(4),
                _ => dice.next(),
            };
            last[place] = last[place].wrapping_add(step) & (u64::MAX >> (64 - u32::from(signal.bits)));
            let state = SampleState::ALL[if dice.below(30) == 0 { dice.below(3) as usize } else { 0 }];
            made.samples.push(SnapshotSample { signal: place as u16, state, raw: last[place] });
        }
        made.rows.push(SnapshotRow { at, end: made.samples.len() as u32 });
    }
    made
}

fn block(dice: &mut Dice) -> SnapshotBlock {
    SnapshotBlock { messages: (0..dice.below(6)).map(|_| message(dice)).collect() }
}

/// Equal to the bit: a factor that is not a number equals itself.
fn assert_same(a: &SnapshotBlock, b: &SnapshotBlock) {
    assert_eq!(format!("{a:?}"), format!("{b:?}"));
    let bits = |block: &SnapshotBlock| -> Vec<_> {
        let signals = block.messages.iter().flat_map(|message| &message.signals);
        signals.map(|signal| (signal.factor.to_bits(), signal.offset.to_bits())).collect()
    };
    assert_eq!(bits(a), bits(b));
}

#[test]
fn any_block_comes_back_bit_for_bit() {
    let mut dice = Dice(1);
    for _ in 0..300 {
        let mut made = block(&mut dice);
        let before = made.clone();
        let bytes = encode(&mut made).unwrap();
        assert_same(&made, &before);
        assert_same(&decode(&bytes).unwrap(), &before);
    }
}

#[test]
fn a_calm_message_takes_a_hundredth_of_a_byte_a_sample() {
    let signals = (0..8).map(|n| SnapshotSignal {
        name: format!("Vehicle.Cell{n}.Voltage"),
        bits: 16,
        factor: 0.001,
        ..SnapshotSignal::default()
    });
    let mut calm = SnapshotMessage { signals: signals.collect(), ..SnapshotMessage::default() };
    for row in 0..2_000 {
        calm.samples.extend((0..8).map(|signal| SnapshotSample { signal, raw: 3_700, ..Default::default() }));
        calm.rows.push(SnapshotRow { at: row * 10_000, end: calm.samples.len() as u32 });
    }
    let bytes = encode(&mut SnapshotBlock { messages: vec![calm] }).unwrap();
    assert!(bytes.len() < 160, "{} bytes for 16,000 samples", bytes.len());
}

#[test]
fn damaged_bytes_are_refused() {
    let bytes = encode(&mut block(&mut Dice(5))).unwrap();
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        assert!(decode(&damaged).is_err(), "byte {place}");
        assert!(decode(&bytes[..place]).is_err(), "cut at {place}");
    }
    assert_eq!(decode(&[9, 0, 0, 0, 0]), Err(SnapshotError::NewerVersion(9)));
}

/// Behind the checksum: what an attacker who can compute it would send.
#[test]
fn no_bytes_panic_the_reader_or_make_it_grow() {
    let mut dice = Dice(7);
    let check = |packed: &[u8]| {
        if let Ok(block) = unpack(packed) {
            let samples: usize = block.messages.iter().map(|message| message.samples.len()).sum();
            let rows: usize = block.messages.iter().map(|message| message.rows.len()).sum();
            assert!(samples <= MAX_SAMPLES && rows <= MAX_ROWS);
        }
    };
    for _ in 0..60 {
        let bytes = encode(&mut block(&mut dice)).unwrap();
        let packed = &bytes[HEAD..];
        for _ in 0..20 {
            let mut mutated = packed.to_vec();
            for _ in 0..=dice.below(3) {
                if let Some(byte) = mutated.get_mut(dice.below(packed.len().max(1) as u64) as usize) {
                    *byte = dice.next() as u8;
                }
            }
            check(&mutated);
            check(&packed[..dice.below(packed.len() as u64 + 1) as usize]);
        }
    }
    for length in 0..200 {
        check(&vec![0xFF; length]);
        check(&vec![0; length]);
        check(&(0..length).map(|_| dice.next() as u8).collect::<Vec<u8>>());
    }
}

#[test]
fn blocks_that_break_their_own_rules_are_refused() {
    let row = |end| SnapshotRow { at: 1, end };
    let sample = |signal| SnapshotSample { signal, ..SnapshotSample::default() };
    let signals = vec![SnapshotSignal { bits: 8, ..SnapshotSignal::default() }; 2];
    let refused = |rows, samples| {
        let message = SnapshotMessage { signals: signals.clone(), rows, samples };
        encode(&mut SnapshotBlock { messages: vec![message] }).unwrap_err()
    };
    assert_eq!(refused(vec![row(2)], vec![sample(1), sample(0)]), SnapshotError::Disorder);
    assert_eq!(refused(vec![row(1)], vec![sample(2)]), SnapshotError::Disorder);
    assert_eq!(refused(vec![row(3)], vec![sample(0)]), SnapshotError::Disorder);
    assert_eq!(refused(vec![row(1)], vec![sample(0), sample(0)]), SnapshotError::Disorder);
    assert_eq!(refused(vec![row(0); MAX_ROWS + 1], vec![]), SnapshotError::TooManySamples);
    let long = SnapshotSignal { name: "x".repeat(MAX_NAME + 1), ..SnapshotSignal::default() };
    let message = SnapshotMessage { signals: vec![long], ..SnapshotMessage::default() };
    assert_eq!(encode(&mut SnapshotBlock { messages: vec![message] }), Err(SnapshotError::LongName));
}
