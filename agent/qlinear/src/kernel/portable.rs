//! Plain loops, which a compiler turns into what vectors the target has for certain.

use crate::layer::Outlet;
use crate::requantize::{Words, requantize};
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
