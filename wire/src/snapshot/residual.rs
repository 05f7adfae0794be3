//! Whole numbers that are mostly small: what is left of a value when a prediction is taken off.
//!
//! A residual is told as "is it zero", its sign, the length of its magnitude in bits, and the bits below the
//! leading one; of these the upper two are learnt, the rest is taken as noise (adaptive Exp-Golomb, as FFV1 has it).

use super::coder::{Bit, Coder};

/// In how many situations a zero is expected differently.
pub(super) const CONTEXTS: usize = 12;

/// The learnt shape of one source of residuals. 1.8 kB.
#[derive(Clone)]
pub(super) struct Residual {
    nonzero: [Bit; CONTEXTS],
    negative: [Bit; 3],
    /// A tree over the length in bits, 0 to 63.
    length: [Bit; 64],
    /// A tree over the two bits below the leading one, for each length.
    upper: [[Bit; 4]; 64],
    /// 0 after a zero, 1 after a positive, 2 after a negative residual.
    last_sign: u8,
}

impl Residual {
    pub(super) const fn new() -> Self {
        Self {
            nonzero: [Bit::NEW; CONTEXTS],
            negative: [Bit::NEW; 3],
            length: [Bit::NEW; 64],
            upper: [[Bit::NEW; 4]; 64],
            last_sign: 0,
        }
    }

    /// Codes a residual; `context` is the situation, below [`CONTEXTS`].
    pub(super) fn code<C: Coder>(&mut self, coder: &mut C, context: usize, value: i64) -> i64 {
        let Some(nonzero) = self.nonzero.get_mut(context) else { return 0 };
        if !coder.bit(nonzero, value != 0) {
            self.last_sign = 0;
            return 0;
        }
        let negative = match self.negative.get_mut(usize::from(self.last_sign)) {
            Some(model) => coder.bit(model, value < 0),
            None => false,
        };
        self.last_sign = 1 + u8::from(negative);
        let magnitude = self.magnitude(coder, value.unsigned_abs().wrapping_sub(1));
        let value = magnitude.wrapping_add(1) as i64;
        if negative { value.wrapping_neg() } else { value }
    }

    /// Codes a number of up to 63 bits.
    pub(super) fn magnitude<C: Coder>(&mut self, coder: &mut C, value: u64) -> u64 {
        let length = coder.tree(&mut self.length, (64 - value.leading_zeros()).min(63));
        let Some(below) = length.checked_sub(1) else { return 0 };
        let learnt = below.min(2);
        let raw = below - learnt;
        let mut upper = 1;
        if let Some(models) = self.upper.get_mut(length as usize) {
            for place in (0..learnt).rev() {
                if let Some(model) = models.get_mut(upper) {
                    upper = upper * 2 + usize::from(coder.bit(model, value >> (raw + place) & 1 == 1));
                }
            }
        }
        let low = value & !(u64::MAX << raw);
        (upper as u64) << raw | coder.raw(low, raw)
    }
}

/// How many bits a residual takes, roughly: what predictions are compared by.
pub(super) const fn cost(value: i64) -> u32 {
    65 - value.unsigned_abs().leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::super::coder::{Decoder, Encoder};
    use super::*;

    #[test]
    fn every_length_and_sign_comes_back() {
        let mut values = alloc::vec![0, 1, -1, i64::MAX, i64::MIN, i64::MIN + 1];
        for bits in 0..63 {
            for near in [-1, 0, 1] {
                let value = (1i64 << bits).wrapping_add(near);
                values.extend([value, value.wrapping_neg()]);
            }
        }
        let (mut encoder, mut model) = (Encoder::new(), Residual::new());
        for (place, value) in values.iter().enumerate() {
            model.code(&mut encoder, place % CONTEXTS, *value);
        }
        let bytes = encoder.finish();
        let (mut decoder, mut model) = (Decoder::new(&bytes), Residual::new());
        for (place, value) in values.iter().enumerate() {
            assert_eq!(model.code(&mut decoder, place % CONTEXTS, 0), *value);
        }
    }
}
