//! Where a signal's bits lie in a payload, and what number they mean.

use crate::frame::CanFrame;

/// A payload buffer, zero behind the payload.
pub type Buffer = [u8; CanFrame::MAX_LEN];

/// The order of a signal's bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ByteOrder {
    /// Least significant first, `@1` in DBC. The start bit is the least significant one.
    Intel,
    /// Most significant first, `@0` in DBC. The start bit is the most significant one.
    Motorola,
}

/// What the bits mean.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RawKind {
    /// An unsigned integer.
    Unsigned,
    /// An integer in two's complement.
    Signed,
    /// IEEE 754 binary32 (DBC: `SIG_VALTYPE_` 1). 32 bits.
    Float,
    /// IEEE 754 binary64 (DBC: `SIG_VALTYPE_` 2). 64 bits.
    Double,
}

/// The place and meaning of a signal's bits. It always lies within [`CanFrame::MAX_LEN`] bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Layout {
    /// The distance of the first bit from the payload's first: counted from the least significant bit of byte 0
    /// for Intel, from the most significant bit of byte 0 for Motorola.
    first: u16,
    bits: u8,
    order: ByteOrder,
    kind: RawKind,
}

impl Layout {
    /// A signal at this DBC start bit. `None` if it has no bits, more than 64, or leaves the longest payload.
    #[must_use]
    pub fn new(start: u64, bits: u64, order: ByteOrder, kind: RawKind) -> Option<Layout> {
        const MAX_BITS: u64 = CanFrame::MAX_LEN as u64 * 8;
        if start >= MAX_BITS || bits == 0 || bits > 64 {
            return None;
        }
        let first = match order {
            ByteOrder::Intel => start,
            // DBC numbers bits upwards within each byte; the significance runs downwards.
            ByteOrder::Motorola => (start & !7) + 7 - (start & 7),
        };
        (first + bits <= MAX_BITS).then_some(Layout { first: first as u16, bits: bits as u8, order, kind })
    }

    /// The same bits with another meaning; `None` if that meaning needs another number of bits.
    #[must_use]
    pub fn with_kind(self, kind: RawKind) -> Option<Layout> {
        let fits = match kind {
            RawKind::Unsigned | RawKind::Signed => true,
            RawKind::Float => self.bits == 32,
            RawKind::Double => self.bits == 64,
        };
        fits.then_some(Layout { kind, ..self })
    }

    /// The number of bits, 1 to 64.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.bits as u32
    }

    /// The order of the bits.
    #[must_use]
    pub const fn order(self) -> ByteOrder {
        self.order
    }

    /// What the bits mean.
    #[must_use]
    pub const fn kind(self) -> RawKind {
        self.kind
    }

    /// How many bytes a payload must have to hold the signal.
    #[must_use]
    pub const fn bytes_needed(self) -> usize {
        (self.first as usize + self.bits as usize).div_ceil(8)
    }

    /// The first byte that holds a bit of the signal.
    #[must_use]
    pub const fn first_byte(self) -> usize {
        self.first as usize / 8
    }

    /// How far the signal's first bit lies from the first of [`Self::first_byte`], 0 to 7.
    #[must_use]
    pub const fn first_bit(self) -> u32 {
        self.first as u32 % 8
    }

    /// Ones in the lowest `bits` places.
    #[must_use]
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits as u32)
    }

    /// The bits, right-aligned.
    #[must_use]
    pub fn raw(self, buffer: &Buffer) -> u64 {
        let window = self.window(buffer);
        let word = match self.order {
            ByteOrder::Intel => u128::from_le_bytes(window),
            ByteOrder::Motorola => u128::from_be_bytes(window),
        };
        (word >> self.shift()) as u64 & self.mask()
    }

    /// Puts these bits in place of the signal's.
    pub fn set_raw(self, buffer: &mut Buffer, raw: u64) {
        let mask = u128::from(self.mask()) << self.shift();
        let bits = (u128::from(raw) << self.shift()) & mask;
        let window = self.window(buffer);
        let changed = match self.order {
            ByteOrder::Intel => (u128::from_le_bytes(window) & !mask | bits).to_le_bytes(),
            ByteOrder::Motorola => (u128::from_be_bytes(window) & !mask | bits).to_be_bytes(),
        };
        buffer.iter_mut().skip(self.first_byte()).zip(changed).for_each(|(byte, new)| *byte = new);
    }

    /// The number that the bits mean, before scaling. Integers over 53 bits are rounded to the nearest double.
    #[must_use]
    pub fn number(self, raw: u64) -> f64 {
        match self.kind {
            RawKind::Unsigned => raw as f64,
            RawKind::Signed => self.sign_extend(raw) as f64,
            RawKind::Float => f64::from(f32::from_bits(raw as u32)),
            RawKind::Double => f64::from_bits(raw),
        }
    }

    /// The bits as an integer in two's complement.
    #[must_use]
    pub const fn sign_extend(self, raw: u64) -> i64 {
        let unused = 64 - self.bits as u32;
        ((raw << unused) as i64) >> unused
    }

    /// The bits that mean this number: integers are rounded to the nearest. `None` if they cannot hold it.
    #[must_use]
    pub fn raw_of(self, number: f64) -> Option<u64> {
        let (low, high) = self.range();
        // The upper limit of a 64-bit integer is not a double; the next one above is the first that is too large.
        let nearest = number.round_ties_even();
        match self.kind {
            RawKind::Double => Some(number.to_bits()),
            RawKind::Float => {
                let narrow = number as f32;
                (narrow.is_finite() || !number.is_finite()).then(|| u64::from(narrow.to_bits()))
            }
            RawKind::Unsigned if nearest >= low && nearest <= high && nearest < 2f64.powi(64) => {
                Some(nearest as u64)
            }
            RawKind::Signed if nearest >= low && nearest <= high && nearest < 2f64.powi(63) => {
                Some(nearest as i64 as u64 & self.mask())
            }
            RawKind::Unsigned | RawKind::Signed => None,
        }
    }

    /// The smallest and the largest number that the bits can hold.
    #[must_use]
    pub fn range(self) -> (f64, f64) {
        match self.kind {
            RawKind::Unsigned => (0.0, self.mask() as f64),
            RawKind::Signed => {
                let half = 2f64.powi(i32::from(self.bits) - 1);
                (-half, if self.bits < 54 { half - 1.0 } else { half })
            }
            RawKind::Float => (f64::from(f32::MIN), f64::from(f32::MAX)),
            RawKind::Double => (f64::MIN, f64::MAX),
        }
    }

    /// Sixteen bytes from the first that holds a bit: enough for 64 bits at any offset.
    fn window(self, buffer: &Buffer) -> [u8; 16] {
        let first = self.first_byte();
        if let Some(Ok(window)) = buffer.get(first..first + 16).map(<[u8; 16]>::try_from) {
            return window;
        }
        let mut window = [0; 16];
        window.iter_mut().zip(buffer.iter().skip(self.first_byte())).for_each(|(to, from)| *to = *from);
        window
    }

    /// How far the least significant bit lies from the window's.
    fn shift(self) -> u32 {
        let within = u32::from(self.first % 8);
        match self.order {
            ByteOrder::Intel => within,
            ByteOrder::Motorola => 128 - within - u32::from(self.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(bytes: &[u8]) -> Buffer {
        let mut buffer = [0; CanFrame::MAX_LEN];
        buffer[..bytes.len()].copy_from_slice(bytes);
        buffer
    }

    #[test]
    fn intel_and_motorola_read_the_same_bytes_each_their_way() {
        let bytes = buffer(&[0x12, 0x34, 0x56]);
        let intel = Layout::new(0, 16, ByteOrder::Intel, RawKind::Unsigned).unwrap();
        let motorola = Layout::new(7, 16, ByteOrder::Motorola, RawKind::Unsigned).unwrap();
        assert_eq!(intel.raw(&bytes), 0x3412);
        assert_eq!(motorola.raw(&bytes), 0x1234);
        let nibbles = Layout::new(3, 12, ByteOrder::Motorola, RawKind::Signed).unwrap();
        assert_eq!(nibbles.raw(&bytes), 0x234);
    }

    #[test]
    fn sixty_four_bits_may_span_nine_bytes() {
        for order in [ByteOrder::Intel, ByteOrder::Motorola] {
            let layout = Layout::new(3, 64, order, RawKind::Unsigned).unwrap();
            assert_eq!(layout.bytes_needed(), 9);
            let mut bytes = [0xAA; CanFrame::MAX_LEN];
            layout.set_raw(&mut bytes, 0x0123_4567_89AB_CDEF);
            assert_eq!(layout.raw(&bytes), 0x0123_4567_89AB_CDEF);
            assert_eq!(bytes[9..], [0xAA; 55]);
        }
    }

    #[test]
    fn bits_outside_the_longest_payload_are_refused() {
        assert!(Layout::new(511, 1, ByteOrder::Intel, RawKind::Unsigned).is_some());
        assert!(Layout::new(511, 2, ByteOrder::Intel, RawKind::Unsigned).is_none());
        assert!(Layout::new(504, 2, ByteOrder::Motorola, RawKind::Unsigned).is_none());
        assert!(Layout::new(0, 0, ByteOrder::Intel, RawKind::Unsigned).is_none());
        assert!(Layout::new(0, 65, ByteOrder::Intel, RawKind::Unsigned).is_none());
        assert!(Layout::new(u64::MAX, 1, ByteOrder::Motorola, RawKind::Unsigned).is_none());
    }

    #[test]
    fn numbers_that_do_not_fit_have_no_bits() {
        let signed = Layout::new(0, 8, ByteOrder::Intel, RawKind::Signed).unwrap();
        assert_eq!(signed.raw_of(-128.4), Some(0x80));
        assert_eq!(signed.raw_of(127.6), None);
        assert_eq!(signed.raw_of(f64::NAN), None);
        let wide = Layout::new(0, 64, ByteOrder::Intel, RawKind::Signed).unwrap();
        assert_eq!(wide.raw_of(-(2f64.powi(63))), Some(1 << 63));
        assert_eq!(wide.raw_of(2f64.powi(63)), None);
        assert_eq!(wide.with_kind(RawKind::Unsigned).unwrap().raw_of(2f64.powi(64)), None);
        assert!(signed.with_kind(RawKind::Float).is_none());
    }
}
