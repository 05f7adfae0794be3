//! An adaptive binary range coder: each decision costs what it was worth, and the probabilities learn as they go.
//!
//! Carry-less range coders of this kind stand in LZMA (7-zip, `LzmaSpec`); the estimate of each [`Bit`] begins as
//! the mean of what it has seen and ends as a slow average, so that a few rows are learnt from as well as many.
//! [`Coder`] is one trait for both directions: what is modelled is written once, and cannot differ between them.

use alloc::vec::Vec;

/// The probability of one yes-or-no decision, and how often it was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bit {
    /// That the answer is no, in 65,536ths.
    no: u16,
    seen: u8,
}

/// A decision taken so often moves its probability by a 31st of the way: the rate that served the recordings best.
const STEADY: u8 = 30;
/// No answer becomes surer than 99.95 %.
const LEAST: i32 = 32;

/// How far a decision moves its probability, in 32,768ths, by how often it was taken before.
const RATES: [i32; STEADY as usize + 1] = {
    let mut rates = [0; STEADY as usize + 1];
    let mut n = 0;
    while n < rates.len() {
        // Half a count for either answer before the first (Krichevsky and Trofimov).
        rates[n] = (32_768 * 2 / (2 * n + 3)) as i32;
        n += 1;
    }
    rates
};

impl Bit {
    pub(super) const NEW: Bit = Bit { no: 1 << 15, seen: 0 };

    fn learn(&mut self, yes: bool) {
        let rate = RATES.get(usize::from(self.seen)).copied().unwrap_or_default();
        let target = if yes { LEAST } else { 65_536 - LEAST };
        let no = i32::from(self.no) + (((target - i32::from(self.no)) * rate) >> 15);
        self.no = no.clamp(LEAST, 65_536 - LEAST) as u16;
        self.seen = (self.seen + 1).min(STEADY);
    }
}

/// Either direction. Encoding takes the answer and gives it back; decoding ignores it and gives the one of the stream.
pub(super) trait Coder {
    /// Whether this is the reading side.
    const DECODES: bool;

    /// A decision that is learnt from.
    fn bit(&mut self, model: &mut Bit, yes: bool) -> bool;

    /// The lowest `count` bits of a value, each as likely as not.
    fn raw(&mut self, value: u64, count: u32) -> u64;

    /// A number below `models.len()`, a power of two, most significant bit first.
    fn tree(&mut self, models: &mut [Bit], value: u32) -> u32 {
        let mut node = 1;
        for place in (0..models.len().trailing_zeros()).rev() {
            if let Some(model) = models.get_mut(node) {
                node = node * 2 + usize::from(self.bit(model, value >> place & 1 == 1));
            }
        }
        node as u32 - models.len() as u32
    }
}

/// The writing side.
pub(super) struct Encoder {
    low: u64,
    range: u32,
    /// Bytes whose value a carry may still change: the first, and how many 0xFF follow.
    held: u8,
    held_ones: usize,
    bytes: Vec<u8>,
}

/// The range is widened below this.
const TOP: u32 = 1 << 24;

impl Encoder {
    pub(super) const fn new() -> Self {
        Self { low: 0, range: u32::MAX, held: 0, held_ones: 0, bytes: Vec::new() }
    }

    fn shift(&mut self) {
        if self.low < 0xFF00_0000 || self.low > 0xFFFF_FFFF {
            let carry = (self.low >> 32) as u8;
            self.bytes.push(self.held.wrapping_add(carry));
            for _ in 0..self.held_ones {
                self.bytes.push(0xFF_u8.wrapping_add(carry));
            }
            self.held_ones = 0;
            self.held = (self.low >> 24) as u8;
        } else {
            self.held_ones += 1;
        }
        self.low = (self.low & 0x00FF_FFFF) << 8;
    }

    /// The bytes. A reader takes zeros behind their end, so the value with the most of them is chosen and they are cut.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let last = self.low + u64::from(self.range) - 1;
        let zeros = (0..32).rev().find(|zeros| (last >> zeros) << zeros >= self.low).unwrap_or(0);
        self.low = (last >> zeros) << zeros;
        for _ in 0..5 {
            self.shift();
        }
        let used = self.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        self.bytes.truncate(used);
        // The first byte only ever takes a carry that cannot come.
        self.bytes.drain(..1.min(used));
        self.bytes
    }

    /// Keeps the range wide enough for the next bit.
    fn normalise(&mut self) {
        while self.range < TOP {
            self.range <<= 8;
            self.shift();
        }
    }
}

impl Coder for Encoder {
    const DECODES: bool = false;

    fn bit(&mut self, model: &mut Bit, yes: bool) -> bool {
        let bound = (self.range >> 16) * u32::from(model.no);
        if yes {
            self.low += u64::from(bound);
            self.range -= bound;
        } else {
            self.range = bound;
        }
        model.learn(yes);
        self.normalise();
        yes
    }

    fn raw(&mut self, value: u64, count: u32) -> u64 {
        for place in (0..count).rev() {
            self.range >>= 1;
            if value >> place & 1 == 1 {
                self.low += u64::from(self.range);
            }
            self.normalise();
        }
        value
    }
}

/// The reading side. Behind the end of the bytes it reads zeros, so it never fails; what it gives is bounded by
/// whoever asks.
pub(super) struct Decoder<'b> {
    code: u32,
    range: u32,
    bytes: core::slice::Iter<'b, u8>,
}

impl<'b> Decoder<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        let mut decoder = Self { code: 0, range: u32::MAX, bytes: bytes.iter() };
        for _ in 0..4 {
            decoder.take();
        }
        decoder
    }

    fn take(&mut self) {
        self.code = self.code << 8 | u32::from(self.bytes.next().copied().unwrap_or(0));
    }

    /// Keeps the range wide enough for the next bit.
    fn normalise(&mut self) {
        while self.range < TOP {
            self.range <<= 8;
            self.take();
        }
    }
}

impl Coder for Decoder<'_> {
    const DECODES: bool = true;

    fn bit(&mut self, model: &mut Bit, _: bool) -> bool {
        let bound = (self.range >> 16) * u32::from(model.no);
        let yes = self.code >= bound;
        if yes {
            self.code -= bound;
            self.range -= bound;
        } else {
            self.range = bound;
        }
        model.learn(yes);
        self.normalise();
        yes
    }

    fn raw(&mut self, _: u64, count: u32) -> u64 {
        let mut value = 0;
        for _ in 0..count {
            self.range >>= 1;
            let yes = self.code >= self.range;
            if yes {
                self.code -= self.range;
            }
            value = value << 1 | u64::from(yes);
            self.normalise();
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decisions of every skew, raw bits between them, and what a carry has to run through.
    fn script<C: Coder>(coder: &mut C, decisions: &[(usize, bool)]) -> Vec<(bool, u64)> {
        let mut models = [Bit::NEW; 8];
        let step = |&(model, yes): &(usize, bool)| {
            let yes = coder.bit(&mut models[model], yes);
            let count = model as u32 * 9;
            (yes, coder.raw(if yes { u64::MAX >> (64 - count.max(1)) } else { 0 }, count))
        };
        decisions.iter().map(step).collect()
    }

    #[test]
    fn what_went_in_comes_out() {
        let mut state = 9u64;
        for length in [0, 1, 2, 3, 50, 5_000] {
            for skew in [0, 1, 2, 60, 255] {
                let decisions: Vec<(usize, bool)> = (0..length)
                    .map(|_| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        ((state >> 40) as usize % 8, (state >> 50) & 0xFF < skew)
                    })
                    .collect();
                let mut encoder = Encoder::new();
                let told = script(&mut encoder, &decisions);
                let bytes = encoder.finish();
                let blank: Vec<_> = decisions.iter().map(|(model, _)| (*model, false)).collect();
                let read = script(&mut Decoder::new(&bytes), &blank);
                let masked = |n: &[(bool, u64)]| -> Vec<_> { n.to_vec() };
                for (place, (a, b)) in masked(&told).iter().zip(&read).enumerate() {
                    let count = decisions[place].0 as u32 * 9;
                    let mask = if count == 0 { 0 } else { u64::MAX >> (64 - count) };
                    assert_eq!((a.0, a.1 & mask), (b.0, b.1), "{length} {skew} {place}");
                }
            }
        }
    }

    #[test]
    fn a_thousand_sure_answers_cost_a_few_bytes() {
        let mut encoder = Encoder::new();
        let mut model = Bit::NEW;
        (0..1_000).for_each(|_| {
            encoder.bit(&mut model, false);
        });
        let bytes = encoder.finish();
        assert!(bytes.len() <= 2, "{}", bytes.len());
    }
}
