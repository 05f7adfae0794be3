//! End-to-end protection of a frame: an alive counter and a checksum, as `bms.dbc` states them.

use crc::{CRC_8_SAE_J1850, Crc, Table};

static SAE_J1850: Crc<u8, Table<1>> = Crc::<u8, Table<1>>::new(&CRC_8_SAE_J1850);

/// The checksum byte that closes a frame: CRC-8 SAE J1850 over the bytes before it.
#[must_use]
pub fn seal(bytes: &[u8]) -> u8 {
    SAE_J1850.checksum(bytes)
}

#[cfg(test)]
mod tests {
    use super::seal;

    #[test]
    fn the_check_value_of_the_standard() {
        assert_eq!(seal(b"123456789"), 0x4B);
    }
}
