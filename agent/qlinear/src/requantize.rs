//! From sums to int8, as ONNX Runtime does it.

use crate::layer::Outlet;
use crate::{OUTPUTS, STEPS, Sums, WORD};

/// Adding it to a number below 2^22 leaves that number, rounded half to even, in the lowest bits.
const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23

/// The int8 outputs of a tile as words of four channels.
pub(crate) type Words = [[u32; STEPS]; 2];
/// Those of one step.
pub(crate) type Column = [u32; 2];

/// Scales, clamps, rounds and packs a tile.
#[inline(always)]
pub(crate) fn requantize(sums: &Sums, outlet: &Outlet, unsigned: bool, zero: i8) -> Words {
    let offsets = offsets(outlet, unsigned);
    let mut words = [[0; STEPS]; 2];
    for (lane, row) in sums.iter().enumerate() {
        let (offset, multiplier) = (offsets[lane], outlet.multiplier[lane]);
        let shift = 8 * (lane % WORD) as u32;
        for (word, sum) in words[lane / WORD].iter_mut().zip(row) {
            *word |= (level(*sum, offset, multiplier, zero) & 0xff) << shift;
        }
    }
    words
}

/// The same for one step.
#[inline(always)]
pub(crate) fn requantize_column(sums: &[i32; OUTPUTS], outlet: &Outlet, unsigned: bool, zero: i8) -> Column {
    let mut bytes = [0; OUTPUTS];
    for (lane, byte) in bytes.iter_mut().enumerate() {
        *byte = level(sums[lane], offsets(outlet, unsigned)[lane], outlet.multiplier[lane], zero) as u8;
    }
    let words = u64::from_le_bytes(bytes);
    [words as u32, (words >> 32) as u32]
}

const fn offsets(outlet: &Outlet, unsigned: bool) -> &[i32; OUTPUTS] {
    if unsigned { &outlet.offset_unsigned } else { &outlet.offset }
}

/// One int8 in the lowest bits.
#[inline(always)]
fn level(sum: i32, offset: i32, multiplier: f32, zero: i8) -> u32 {
    let (least, most) = (f32::from(-128 - i16::from(zero)), f32::from(127 - i16::from(zero)));
    // Whatever a kernel's sum holds for lanes that no output has, it must not panic.
    let scaled = (sum.wrapping_add(offset) as f32 * multiplier).max(least).min(most);
    let rounded = ((scaled + ROUND).to_bits()).wrapping_sub(ROUND.to_bits()) as i32;
    (rounded + i32::from(zero)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_half_to_even_and_saturates_around_the_zero_point() {
        let mut sums = [[0; STEPS]; 8];
        sums[5][..8].copy_from_slice(&[1, 3, 5, -1, -3, 1_000, -1_000, 0]);
        let outlet = Outlet { offset: [0; 8], offset_unsigned: [7; 8], multiplier: [0.5; 8] };
        let words = requantize(&sums, &outlet, false, -10);
        let got: Vec<i8> = words[1][..8].iter().map(|w| (w >> 8) as u8 as i8).collect();
        assert_eq!(got, [-10, -8, -8, -10, -12, 127, -128, -10]);
        let column = requantize_column(&sums.map(|row| row[1]), &outlet, false, -10);
        assert_eq!(column, [words[0][1], words[1][1]]);
    }
}
