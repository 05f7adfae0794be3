//! The samplers against chips that answer as their datasheets say, and against ones that fail.
// Helpers of a test may end it.
#![allow(clippy::unwrap_used, clippy::panic)]

use embedded_hal::i2c::{self, I2c};
use embedded_hal::spi::{self, SpiDevice};
use telltale_bridge::Sampler;
use telltale_bridge::sampler::{Bq76952, Ltc6811, Values};

type Block = (u16, Vec<u8>);

fn sample<S: Sampler>(sampler: &mut S) -> (Vec<Block>, Result<(), S::Error>) {
    let mut blocks = Vec::new();
    let outcome = sampler.sample(&mut |id, data| blocks.push((id, data.to_vec())));
    (blocks, outcome)
}

fn words(block: &Block) -> Vec<u16> {
    block.1.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// A BQ76952: a map of registers that a read walks through. It does not answer to commands below `deaf_below`.
struct Monitor {
    registers: [u8; 256],
    deaf_below: u8,
}

#[derive(Debug, PartialEq)]
struct NoAnswer;

impl i2c::Error for NoAnswer {
    fn kind(&self) -> i2c::ErrorKind {
        i2c::ErrorKind::NoAcknowledge(i2c::NoAcknowledgeSource::Address)
    }
}

impl i2c::ErrorType for Monitor {
    type Error = NoAnswer;
}

impl I2c for Monitor {
    fn transaction(&mut self, address: u8, operations: &mut [i2c::Operation<'_>]) -> Result<(), NoAnswer> {
        let [i2c::Operation::Write(command), i2c::Operation::Read(into)] = operations else {
            panic!("not a read of direct commands")
        };
        let command = command[0];
        if address != 0x08 || command < self.deaf_below {
            return Err(NoAnswer);
        }
        let from = usize::from(command);
        into.copy_from_slice(&self.registers[from..from + into.len()]);
        Ok(())
    }
}

fn monitor() -> Monitor {
    let mut registers = [0; 256];
    let mut put = |at: usize, value: u16| registers[at..at + 2].copy_from_slice(&value.to_le_bytes());
    (0..16).for_each(|cell| put(0x14 + 2 * cell, 3_600 + cell as u16));
    put(0x34, 5_772); // stack, 10 mV
    put(0x3A, (-12_345_i16) as u16); // discharge, mA
    put(0x68, 2_982); // die, 25.05 degC
    put(0x70, 2_732); // TS1, 0.05 degC
    Monitor { registers, deaf_below: 0 }
}

#[test]
fn a_bq76952_gives_cells_stack_current_and_temperatures() {
    let (blocks, outcome) = sample(&mut Bq76952::new(monitor(), 0x10));
    assert_eq!(outcome, Ok(()));
    assert_eq!(blocks.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [0x10, 0x11]);
    assert_eq!(words(&blocks[0]), (3_600..3_616).collect::<Vec<_>>());
    assert_eq!(words(&blocks[1]), [5_772, (-12_345_i16) as u16, 2_982, 2_732]);
}

#[test]
fn what_a_bq76952_does_not_answer_is_absent_and_the_rest_is_not() {
    let half = Monitor { deaf_below: 0x60, ..monitor() };
    let (blocks, outcome) = sample(&mut Bq76952::new(half, 0x10));
    assert_eq!(outcome, Err(NoAnswer));
    assert_eq!(words(&blocks[0]), [0xFFFF; 16]);
    assert_eq!(words(&blocks[1]), [0xFFFF, 0x8000, 2_982, 2_732]);
}

/// An LTC6811: takes commands with a right PEC only, and converts when told to.
struct Stack {
    cells: [u16; 12],
    registers: [u16; 12],
    /// XORed onto the PEC of register group `n`.
    noise: [u8; 4],
    mute: bool,
}

impl Stack {
    fn new() -> Stack {
        Stack {
            cells: core::array::from_fn(|n| 36_000 + n as u16),
            registers: [0; 12],
            noise: [0; 4],
            mute: false,
        }
    }
}

impl spi::Error for NoAnswer {
    fn kind(&self) -> spi::ErrorKind {
        spi::ErrorKind::Other
    }
}

impl spi::ErrorType for Stack {
    type Error = NoAnswer;
}

/// The PEC bit by bit, as the datasheet's "PEC Calculation" has it.
fn pec(bytes: &[u8]) -> [u8; 2] {
    let mut remainder = 16_u16;
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |n| u16::from(byte >> n & 1))) {
        let top = remainder >> 14 & 1 ^ bit;
        remainder = remainder << 1 & 0x7FFF ^ if top == 1 { 0x4599 } else { 0 };
    }
    (remainder << 1).to_be_bytes()
}

impl SpiDevice for Stack {
    fn transaction(&mut self, operations: &mut [spi::Operation<'_, u8>]) -> Result<(), NoAnswer> {
        if self.mute {
            return Err(NoAnswer);
        }
        let (command, answer) = match operations {
            [spi::Operation::DelayNs(_)] => return Ok(()),
            [spi::Operation::Write(command)] => (*command, None),
            [spi::Operation::Write(command), spi::Operation::Read(answer)] => (*command, Some(answer)),
            _ => panic!("no such transfer"),
        };
        assert_eq!(pec(&command[..2]), command[2..], "a command with a wrong PEC is not obeyed");
        let group = match (u16::from_be_bytes([command[0], command[1]]), &answer) {
            (0x0711, None) => {
                self.registers = [0xFFFF; 12];
                return Ok(());
            }
            (0x0360, None) => {
                self.registers = self.cells;
                return Ok(());
            }
            (code @ (4 | 6 | 8 | 10), Some(_)) => usize::from(code) / 2 - 2,
            other => panic!("no such command: {:#x}", other.0),
        };
        let values: Vec<u8> =
            self.registers[3 * group..][..3].iter().flat_map(|value| value.to_le_bytes()).collect();
        let [high, low] = pec(&values);
        if let Some(answer) = answer {
            answer[..6].copy_from_slice(&values);
            answer[6..].copy_from_slice(&[high, low ^ self.noise[group]]);
        }
        Ok(())
    }
}

#[test]
fn an_ltc6811_gives_the_conversion_of_the_turn_before() {
    let mut chip = Ltc6811::new(Stack::new(), 0x20);
    assert_eq!(sample(&mut chip).0, []);
    let (blocks, outcome) = sample(&mut chip);
    assert_eq!((outcome, blocks.len(), blocks[0].0), (Ok(()), 1, 0x20));
    assert_eq!(words(&blocks[0]), (36_000..36_012).collect::<Vec<_>>());
}

#[test]
fn a_register_group_with_a_wrong_pec_is_absent_and_the_others_are_not() {
    let mut chip = Ltc6811::new(Stack { noise: [0, 2, 0, 0], ..Stack::new() }, 0x20);
    let _ = sample(&mut chip);
    let (blocks, outcome) = sample(&mut chip);
    assert!(outcome.is_err());
    let cells = words(&blocks[0]);
    assert_eq!(cells[..3], [36_000, 36_001, 36_002]);
    assert_eq!(cells[3..6], [0xFFFF; 3]);
    assert_eq!(cells[6..], [36_006, 36_007, 36_008, 36_009, 36_010, 36_011]);
}

#[test]
fn an_ltc6811_that_fell_silent_is_heard_as_absent_each_time() {
    let mut chip = Ltc6811::new(Stack { mute: true, ..Stack::new() }, 0x20);
    let _ = sample(&mut chip);
    for _ in 0..2 {
        let (blocks, outcome) = sample(&mut chip);
        assert!(outcome.is_err());
        assert_eq!((blocks.len(), words(&blocks[0])), (1, vec![0xFFFF; 12]));
    }
}

#[test]
fn values_of_any_origin_are_laid_out_little_endian_and_absent_on_error() {
    let mut turns = 0;
    let mut adc = Values::<_, 2>::new(0x30, || {
        turns += 1;
        if turns == 1 { Ok([1, 0x0203]) } else { Err(NoAnswer) }
    });
    assert_eq!(sample(&mut adc).0, [(0x30, vec![1, 0, 3, 2])]);
    assert_eq!(sample(&mut adc), (vec![(0x30, vec![0xFF; 4])], Err(NoAnswer)));
}
