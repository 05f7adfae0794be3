//! Plain loops, which a compiler turns into what vectors the target has for certain.

use crate::layer::Outlet;
use crate::requantize::{Column, Words, requantize, requantize_column};
use crate::{OUTPUTS, STEPS, WORD, Weights};

pub(super) fn tile(words: &[u32], taps: &[u32], weights: &[Weights], outlet: &Outlet, zero: i8) -> Words {
    let mut sums = [[0_i32; STEPS]; OUTPUTS];
    for (tap, weights) in taps.iter().zip(weights) {
        let x = &words[*tap as usize..][..STEPS];
        for (row, four) in sums.iter_mut().zip(weights.as_chunks::<WORD>().0) {
            let [a, b, c, d] = four.map(i32::from);
            for (sum, word) in row.iter_mut().zip(x) {
                let byte = |n: u32| i32::from((word >> (8 * n)) as u8 as i8);
                *sum += a * byte(0) + b * byte(1) + c * byte(2) + d * byte(3);
            }
        }
    }
    requantize(&sums, outlet, false, zero)
}

pub(super) fn column(words: &[u32], weights: &[Weights], outlet: &Outlet, zero: i8) -> Column {
    let mut sums = [0_i32; OUTPUTS];
    for (word, weights) in words.iter().zip(weights) {
        let [a, b, c, d] = word.to_le_bytes().map(|byte| i32::from(byte as i8));
        for (sum, [w, x, y, z]) in sums.iter_mut().zip(weights.as_chunks::<WORD>().0) {
            *sum += a * i32::from(*w) + b * i32::from(*x) + c * i32::from(*y) + d * i32::from(*z);
        }
    }
    requantize_column(&sums, outlet, false, zero)
}
