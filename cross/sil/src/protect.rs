//! End-to-end protection of a frame: an alive counter and a checksum, as the two DBC files state them.

use crc::{Algorithm, CRC_8_SAE_J1850, Crc, Table};

static SAE_J1850: Crc<u8, Table<1>> = Crc::<u8, Table<1>>::new(&CRC_8_SAE_J1850);
/// As AUTOSAR's profile 1 uses it: start value and XOR value zero.
const FROM_ZERO: Algorithm<u8> = Algorithm { init: 0, xorout: 0, ..CRC_8_SAE_J1850 };
static PROFILE_1: Crc<u8, Table<1>> = Crc::<u8, Table<1>>::new(&FROM_ZERO);

/// Counters of profile 1 go from 0 to 14.
const PROFILE_1_COUNTS: u8 = 15;
/// The counter of `BMS_Pack` fills its nibble.
const PACK_COUNTS: u8 = 16;

/// The checksum byte that closes a frame: CRC-8 SAE J1850 over the bytes before it.
#[must_use]
pub fn seal(bytes: &[u8]) -> u8 {
    SAE_J1850.checksum(bytes)
}

/// How a message is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protection {
    /// A counter in byte 6, [`seal`] in byte 7: `BMS_Pack`.
    Closing,
    /// AUTOSAR profile 1: the CRC in byte 0, the counter in the low nibble of byte 1, and the identifier as data id,
    /// both bytes of it (PRS E2E Protocol, profile 1, both-bytes mode).
    Profile1,
}

impl Protection {
    /// Writes counter and checksum into a payload, and moves the counter on.
    pub(crate) fn apply(self, id: u16, counter: &mut u8, data: &mut [u8; 8]) {
        match self {
            Protection::Closing => {
                data[6] = *counter;
                data[7] = seal(&data[..7]);
                *counter = (*counter + 1) % PACK_COUNTS;
            }
            Protection::Profile1 => {
                data[1] = data[1] & 0xF0 | *counter;
                let mut digest = PROFILE_1.digest();
                digest.update(&id.to_le_bytes());
                digest.update(&data[1..]);
                data[0] = digest.finalize();
                *counter = (*counter + 1) % PROFILE_1_COUNTS;
            }
        }
    }

    /// The counter that a protected payload carries.
    pub(crate) const fn counter(self, data: &[u8; 8]) -> u8 {
        match self {
            Protection::Closing => data[6] & 15,
            Protection::Profile1 => data[1] & 15,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_standard() {
        assert_eq!(seal(b"123456789"), 0x4B);
        // CRC-8/GSM-A is the same polynomial from zero.
        assert_eq!(PROFILE_1.checksum(b"123456789"), 0x37);
    }

    #[test]
    fn profile_1_covers_the_identifier_and_counts_to_14() {
        let (mut counter, mut data) = (14, [0, 0xA0, 1, 2, 3, 4, 5, 6]);
        Protection::Profile1.apply(0x0F0, &mut counter, &mut data);
        assert_eq!(
            (counter, data[1], data[0]),
            (0, 0xAE, PROFILE_1.checksum(&[0xF0, 0, 0xAE, 1, 2, 3, 4, 5, 6]))
        );
        let mut other = data;
        Protection::Profile1.apply(0x0F1, &mut 14, &mut other);
        assert_ne!(other[0], data[0]);
    }
}
