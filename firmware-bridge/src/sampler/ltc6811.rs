//! Analog Devices LTC6811, a monitor of up to 12 cells in series, over SPI, or isoSPI behind an LTC6820 (datasheet
//! LTC6811-1/LTC6811-2: "Packet Error Code", table 38 "Command Codes").
//!
//! Every command and every register group carries a PEC of 15 bits. A group whose PEC does not match is not believed:
//! its three cells are absent, the other nine are not.

use super::{ABSENT, Sampler};
use crc::{Algorithm, Crc, Table};
use embedded_hal::spi::{Operation, SpiDevice};

/// The polynomial x^15 + x^14 + x^10 + x^8 + x^7 + x^4 + x^3 + 1 with the seed 16; a zero bit is appended to make it 16.
const PEC15: Crc<u16, Table<1>> = Crc::<u16, Table<1>>::new(&Algorithm {
    width: 15,
    poly: 0x4599,
    init: 0x0010,
    refin: false,
    refout: false,
    xorout: 0,
    check: 0,
    residue: 0,
});

/// Start converting all cells: normal mode (7 kHz), discharge not permitted. Takes 2.3 ms.
const ADCV: u16 = 0x0360;
/// Read cell voltage register groups A to D, three cells each.
const RDCV: [u16; 4] = [0x0004, 0x0006, 0x0008, 0x000A];
/// Clear the cell registers to all ones, so that a conversion that did not happen is not taken for an old one.
const CLRCELL: u16 = 0x0711;

const CELLS: usize = 12;

/// Wakes the chip's core from sleep: longer than the 10 us of an idle port, chip select held for t_WAKE.
const WAKE_NS: u32 = 400_000;

/// Why a reading was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error<E> {
    /// The bus says so.
    Spi(E),
    /// A register group came with another PEC than its bytes have.
    PecMismatch,
}

/// An LTC6811 by itself on its port (with isoSPI, the only one of its chain).
pub struct Ltc6811<S> {
    spi: S,
    id: u16,
    conversion: Conversion,
}

/// What became of the conversion of the turn before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Conversion {
    /// There was no turn before.
    None,
    Started,
    /// The chip could not be told to.
    Failed,
}

impl<S: SpiDevice> Ltc6811<S> {
    /// The chip behind this device. Its readings have the identifier `id`: cells 1 to 12 in 100 uV.
    pub const fn new(spi: S, id: u16) -> Self {
        Self { spi, id, conversion: Conversion::None }
    }

    /// A command with its PEC.
    fn frame(command: u16) -> [u8; 4] {
        let [high, low] = command.to_be_bytes();
        let [pec_high, pec_low] = pec(&[high, low]);
        [high, low, pec_high, pec_low]
    }

    fn command(&mut self, command: u16) -> Result<(), Error<S::Error>> {
        self.spi.write(&Self::frame(command)).map_err(Error::Spi)
    }

    fn group(&mut self, command: u16, cells: &mut [u8]) -> Result<(), Error<S::Error>> {
        let mut answer = [0; 8];
        let mut transfer = [Operation::Write(&Self::frame(command)), Operation::Read(&mut answer)];
        self.spi.transaction(&mut transfer).map_err(Error::Spi)?;
        let (values, check) = answer.split_at(6);
        if pec(values) != check {
            return Err(Error::PecMismatch);
        }
        cells.copy_from_slice(values);
        Ok(())
    }

    fn wake(&mut self) -> Result<(), Error<S::Error>> {
        self.spi.transaction(&mut [Operation::DelayNs(WAKE_NS)]).map_err(Error::Spi)
    }

    fn start(&mut self) -> Result<(), Error<S::Error>> {
        self.wake()?;
        self.command(CLRCELL)?;
        self.command(ADCV)
    }
}

impl<S: SpiDevice> Sampler for Ltc6811<S> {
    type Error = Error<S::Error>;

    /// Reads the conversion of the turn before and starts the next one: at least 3 ms belong between two turns.
    fn sample(&mut self, give: &mut dyn FnMut(u16, &[u8])) -> Result<(), Self::Error> {
        let mut cells = [ABSENT.to_le_bytes()[0]; 2 * CELLS];
        let mut first_error = Ok(());
        if self.conversion == Conversion::Started {
            first_error = self.wake();
            for (command, group) in RDCV.into_iter().zip(cells.chunks_exact_mut(6)) {
                first_error = first_error.and(self.group(command, group));
            }
        }
        if self.conversion != Conversion::None {
            give(self.id, &cells);
        }
        let started = self.start();
        self.conversion = if started.is_ok() { Conversion::Started } else { Conversion::Failed };
        first_error.and(started)
    }
}

/// The packet error code as it goes over the bus.
fn pec(bytes: &[u8]) -> [u8; 2] {
    (PEC15.checksum(bytes) << 1).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pec_is_the_one_of_the_datasheet() {
        // "the PEC for the command 0x0001 is 0x3D6E"
        assert_eq!(pec(&[0x00, 0x01]), [0x3D, 0x6E]);
    }
}
