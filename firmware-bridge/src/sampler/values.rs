//! Sampled values of any origin, such as the channels of an on-chip ADC, for which embedded-hal 1.0 has no trait.

use super::{ABSENT, Sampler};

/// `COUNT` unsigned values of 16 bits, read by a closure, little-endian one behind the other. Up to 32 of them.
pub struct Values<R, const COUNT: usize> {
    id: u16,
    read: R,
}

impl<R, E, const COUNT: usize> Values<R, COUNT>
where
    R: FnMut() -> Result<[u16; COUNT], E>,
{
    /// Values under this identifier.
    pub const fn new(id: u16, read: R) -> Self {
        const { assert!(COUNT <= 32, "a reading has up to 64 bytes") }
        Self { id, read }
    }
}

impl<R, E, const COUNT: usize> Sampler for Values<R, COUNT>
where
    R: FnMut() -> Result<[u16; COUNT], E>,
{
    type Error = E;

    fn sample(&mut self, give: &mut dyn FnMut(u16, &[u8])) -> Result<(), E> {
        let (values, read) = match (self.read)() {
            Ok(values) => (values, Ok(())),
            Err(error) => ([ABSENT; COUNT], Err(error)),
        };
        let mut block = [0; 64];
        for (place, value) in block.chunks_exact_mut(2).zip(values) {
            place.copy_from_slice(&value.to_le_bytes());
        }
        give(self.id, &block[..2 * COUNT]);
        read
    }
}
