//! Checksums of messages: those of AUTOSAR's profiles, and what carmakers use besides.
//!
//! A checksum covers the payload as received, without its own bits, and what both ends know besides (the data id).

use crate::dbc::{Buffer, Layout};
use crc::{Algorithm, CRC_8_AUTOSAR, CRC_8_SAE_J1850, CRC_16_IBM_3740, Crc};

/// CRC8 SAE J1850 as profile 1 uses it: start value and XOR value zero (PRS E2E, profile 1).
const J1850_ZERO: Algorithm<u8> = Algorithm { init: 0, xorout: 0, ..CRC_8_SAE_J1850 };
/// The polynomial of SAE J1850 with another start and end, in Hyundai and Kia steering and radar messages.
const HYUNDAI: Algorithm<u8> = Algorithm { init: 0xFD, xorout: 0xDF, ..CRC_8_SAE_J1850 };

static J1850_CRC: Crc<u8> = Crc::<u8>::new(&CRC_8_SAE_J1850);
static J1850_ZERO_CRC: Crc<u8> = Crc::<u8>::new(&J1850_ZERO);
static H2F_CRC: Crc<u8> = Crc::<u8>::new(&CRC_8_AUTOSAR);
static HYUNDAI_CRC: Crc<u8> = Crc::<u8>::new(&HYUNDAI);
static CCITT_CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_3740);

/// How a checksum is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algo {
    /// The sum of all other bytes, modulo 256.
    Sum,
    /// All other bytes, exclusive-ored.
    Xor,
    /// The nibble that brings the sum of all nibbles to a multiple of 16.
    NibbleSum,
    /// CRC8 SAE J1850: polynomial 0x1D, start and XOR value 0xFF.
    J1850,
    /// CRC8 H2F: polynomial 0x2F, start and XOR value 0xFF.
    H2f,
    /// Polynomial 0x1D, start value 0xFD, XOR value 0xDF.
    Hyundai,
    /// CRC16 CCITT: polynomial 0x1021, start value 0xFFFF.
    Ccitt,
}

impl Algo {
    /// All of them, by the name in the catalog.
    pub const ALL: [(&'static str, Algo); 7] = [
        ("sum", Algo::Sum),
        ("xor", Algo::Xor),
        ("nibble-sum", Algo::NibbleSum),
        ("crc8-j1850", Algo::J1850),
        ("crc8-h2f", Algo::H2f),
        ("crc8-hyundai", Algo::Hyundai),
        ("crc16-ccitt", Algo::Ccitt),
    ];

    /// How many bits it has.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Algo::NibbleSum => 4,
            Algo::Sum | Algo::Xor | Algo::J1850 | Algo::H2f | Algo::Hyundai => 8,
            Algo::Ccitt => 16,
        }
    }

    /// The checksum of the first `len` bytes without the bits at `place`, which are whole bytes for all but
    /// [`Algo::NibbleSum`], followed by `tail`.
    #[must_use]
    pub fn of(self, buffer: &Buffer, len: usize, place: Layout, tail: &[u8]) -> u64 {
        let payload = buffer.get(..len).unwrap_or_default();
        let own = place.first_byte()..place.bytes_needed();
        let others = payload.iter().enumerate().filter(|(at, _)| !own.contains(at)).map(|(_, byte)| *byte);
        let others = others.chain(tail.iter().copied());
        match self {
            Algo::Sum => u64::from(others.fold(0_u8, u8::wrapping_add)),
            Algo::Xor => u64::from(others.fold(0_u8, |all, byte| all ^ byte)),
            Algo::NibbleSum => {
                let mut without = *buffer;
                place.set_raw(&mut without, 0);
                let nibbles = without.iter().take(len).chain(tail).map(|byte| (byte >> 4) + (byte & 15));
                u64::from(nibbles.fold(0_u8, u8::wrapping_add).wrapping_neg() & 15)
            }
            Algo::J1850 => crc8(&J1850_CRC, others),
            Algo::H2f => crc8(&H2F_CRC, others),
            Algo::Hyundai => crc8(&HYUNDAI_CRC, others),
            Algo::Ccitt => {
                let mut digest = CCITT_CRC.digest();
                others.for_each(|byte| digest.update(&[byte]));
                u64::from(digest.finalize())
            }
        }
    }
}

/// CRC8 SAE J1850 with start and XOR value zero.
pub(super) fn j1850_from_zero(bytes: impl Iterator<Item = u8>) -> u64 {
    crc8(&J1850_ZERO_CRC, bytes)
}

fn crc8(crc: &'static Crc<u8>, bytes: impl Iterator<Item = u8>) -> u64 {
    let mut digest = crc.digest();
    bytes.for_each(|byte| digest.update(&[byte]));
    u64::from(digest.finalize())
}
