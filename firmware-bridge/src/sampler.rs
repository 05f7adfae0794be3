//! Sampled sensors: whatever gives numbers now and then, in frames of its own on the sensors' channel.
//!
//! A reading is a payload under an identifier, laid out as `firmware-bridge/sensors.dbc` describes it: to the agent a
//! sensor is one more bus, with a catalog, staleness, limits and sentinels like any other. A value that could not be
//! read is the sentinel [`ABSENT`], so that its absence keeps its reason on the way up.

mod bq76952;
mod ltc6811;
mod schedule;
mod values;

pub use bq76952::Bq76952;
pub use ltc6811::{Error as Ltc6811Error, Ltc6811};
pub use schedule::Schedule;
pub use values::Values;

/// The raw value of a reading that could not be taken: all ones, as J1939-71 has it for "not available".
pub const ABSENT: u16 = u16::MAX;

/// The same for signed values, where all ones are minus one.
pub const ABSENT_SIGNED: i16 = i16::MIN;

/// Something that is sampled.
///
/// It gives every reading each time, with [`ABSENT`] where it has none: a chip that fell silent is heard as such.
pub trait Sampler {
    /// Why a reading could not be taken.
    type Error;

    /// Takes its readings and hands each block of them over, with its identifier. May take as long as the transfers on
    /// its bus, and does not wait for conversions: those are started here and read the next time.
    ///
    /// # Errors
    /// The first that went wrong; the blocks have been handed over nevertheless.
    fn sample(&mut self, give: &mut dyn FnMut(u16, &[u8])) -> Result<(), Self::Error>;
}
