//! Numbers of any width, bit by bit: what the densest records are packed with.
//!
//! Small numbers are frequent there, so they are written in exponential Golomb codes: of order k, a number `v` is the
//! length of `(v >> k) + 1` in unary, its bits, and the low k bits of `v`. Order 0 takes 1 bit for 0, 3 for 1 and 2,
//! 5 for 3 to 6. The first bit is the highest of the first byte.

use alloc::vec::Vec;

/// The highest order of a code.
const MAX_ORDER: u32 = 32;

/// The largest number that a code holds.
pub const MAX_CODED: u64 = (1 << 62) - 1;

/// Writes bits into bytes.
#[derive(Clone, Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Bits of the last byte that are free.
    free: u32,
}

impl BitWriter {
    /// A writer with nothing in it.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), free: 0 }
    }

    /// One bit.
    pub fn bit(&mut self, bit: bool) {
        self.bits(u64::from(bit), 1);
    }

    /// The low `width` bits of a number, the highest first; at most 64.
    pub fn bits(&mut self, value: u64, width: u32) {
        let mut left = width.min(64);
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let taken = left.min(self.free);
            let part = (value >> (left - taken)) as u8 & (0xFF >> (8 - taken));
            if let Some(last) = self.bytes.last_mut() {
                *last |= part << (self.free - taken);
            }
            self.free -= taken;
            left -= taken;
        }
    }

    /// A number in the code of order `order`; beyond [`MAX_CODED`] it is written as that.
    pub fn coded(&mut self, value: u64, order: u32) {
        let (value, order) = (value.min(MAX_CODED), order.min(MAX_ORDER));
        let prefix = (value >> order) + 1;
        let width = 64 - prefix.leading_zeros();
        self.bits(0, width - 1);
        self.bits(prefix, width);
        self.bits(value, order);
    }

    /// A number of either sign, in the code of order `order`.
    pub fn coded_signed(&mut self, value: i64, order: u32) {
        self.coded(((value << 1) ^ (value >> 63)) as u64, order);
    }

    /// How many bytes the bits take.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes; the last one is filled up with zeros.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads bits from bytes. Every reading is `None` once the bytes are used up.
#[derive(Clone, Debug)]
pub struct BitReader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> BitReader<'b> {
    /// A reader at the first bit.
    #[must_use]
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// One bit.
    pub fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// `width` bits as a number, the highest first; at most 64.
    pub fn bits(&mut self, width: u32) -> Option<u64> {
        let mut value = 0;
        for _ in 0..width.min(64) {
            value = value << 1 | u64::from(self.bit()?);
        }
        Some(value)
    }

    /// A number in the code of order `order`; `None` too for a length that no [`BitWriter`] writes.
    pub fn coded(&mut self, order: u32) -> Option<u64> {
        let order = order.min(MAX_ORDER);
        let mut more = 0;
        while !self.bit()? {
            more += 1;
            if more + order > 63 {
                return None;
            }
        }
        let prefix = 1 << more | self.bits(more)?;
        let value = (prefix - 1) << order | self.bits(order)?;
        (value <= MAX_CODED).then_some(value)
    }

    /// A number of either sign, in the code of order `order`.
    pub fn coded_signed(&mut self, order: u32) -> Option<i64> {
        let folded = self.coded(order)?;
        Some((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut numbers: Vec<u64> = (0..70).chain((6..62).map(|n| (1 << n) - 1)).collect();
        numbers.push(MAX_CODED);
        for order in [0, 1, 5, 32] {
            let mut writer = BitWriter::new();
            for number in &numbers {
                writer.bit(true);
                writer.coded(*number, order);
                writer.bits(*number, 3);
                writer.coded_signed(-((*number / 2) as i64), order);
            }
            let bytes = writer.finish();
            let mut reader = BitReader::new(&bytes);
            for number in &numbers {
                assert_eq!(reader.bit(), Some(true));
                assert_eq!(reader.coded(order), Some(*number), "order {order}");
                assert_eq!(reader.bits(3), Some(number & 7));
                assert_eq!(reader.coded_signed(order), Some(-((*number / 2) as i64)));
            }
        }
    }

    #[test]
    fn small_numbers_take_few_bits() {
        let mut writer = BitWriter::new();
        for number in [0, 1, 2, 6] {
            writer.coded(number, 0);
        }
        // 1, 010, 011, 00111
        assert_eq!(writer.finish(), [0b1010_0110, 0b0111_0000]);
    }

    #[test]
    fn the_end_and_endless_prefixes_are_told() {
        assert_eq!(BitReader::new(&[]).bit(), None);
        assert_eq!(BitReader::new(&[0; 32]).coded(0), None);
        assert_eq!(BitReader::new(&[0, 0, 0, 0, 0, 0, 0, 1]).coded(0), None);
        assert_eq!(BitReader::new(&[0xFF]).bits(9), None);
    }
}
