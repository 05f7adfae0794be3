//! Texas Instruments BQ76952, a monitor of 3 to 16 cells in series, over I2C (datasheet SLUSE13, technical reference
//! manual SLUUBY2, table 4-1 "Direct Commands"). Read only: what protects the pack is configured elsewhere.

use super::{ABSENT, ABSENT_SIGNED, Sampler};
use embedded_hal::i2c::I2c;

/// The address as delivered: 0x10 to write, 0x11 to read.
const ADDRESS: u8 = 0x08;

/// Cell 1 in millivolts; the other fifteen, the stack, the pack and LD pins follow, two bytes each.
const CELL_1_VOLTAGE: u8 = 0x14;
/// Coulomb counter 2, the current as reported: milliamperes unless configured otherwise. Positive is charge.
const CC2_CURRENT: u8 = 0x3A;
/// The die's temperature in 0.1 K.
const INT_TEMPERATURE: u8 = 0x68;
/// Thermistor 1 in 0.1 K.
const TS1_TEMPERATURE: u8 = 0x70;

const CELLS: usize = 16;

/// A BQ76952 as it leaves the factory: without CRC on the bus.
pub struct Bq76952<I> {
    i2c: I,
    id: u16,
}

impl<I: I2c> Bq76952<I> {
    /// The chip on this bus. Its readings have the identifiers `id` (cells 1 to 16, millivolts) and `id + 1` (stack in
    /// 10 mV, current in mA, die and TS1 in 0.1 K).
    pub const fn new(i2c: I, id: u16) -> Self {
        Self { i2c, id }
    }

    fn read(&mut self, command: u8, into: &mut [u8]) -> Result<(), I::Error> {
        self.i2c.write_read(ADDRESS, &[command], into)
    }
}

impl<I: I2c> Sampler for Bq76952<I> {
    type Error = I::Error;

    fn sample(&mut self, give: &mut dyn FnMut(u16, &[u8])) -> Result<(), I::Error> {
        let mut first_error = Ok(());
        // Direct commands lie one behind the other, and a read goes on from one to the next: 16 cells and the stack.
        let mut voltages = [0xFF; 2 * (CELLS + 1)];
        if let Err(error) = self.read(CELL_1_VOLTAGE, &mut voltages) {
            voltages = [ABSENT.to_le_bytes()[0]; 2 * (CELLS + 1)];
            first_error = Err(error);
        }
        let (cells, stack) = voltages.split_at(2 * CELLS);
        give(self.id, cells);

        let mut state = [0xFF; 8];
        state[..2].copy_from_slice(stack);
        for (place, command, absent) in [
            (2, CC2_CURRENT, ABSENT_SIGNED.to_le_bytes()),
            (4, INT_TEMPERATURE, ABSENT.to_le_bytes()),
            (6, TS1_TEMPERATURE, ABSENT.to_le_bytes()),
        ] {
            let mut value = [0; 2];
            if let Err(error) = self.read(command, &mut value) {
                value = absent;
                first_error = first_error.and(Err(error));
            }
            state[place..place + 2].copy_from_slice(&value);
        }
        give(self.id + 1, &state);
        first_error
    }
}
