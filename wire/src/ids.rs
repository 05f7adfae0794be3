//! Who and which: vehicles, boots, sequence numbers and lanes.

use core::fmt;
use serde::{Deserialize, Serialize};

/// One start of one agent: `counter` in the upper 32 bits, a random nonce in the lower 32.
///
/// The counter orders the boots of one vehicle for a person. The nonce keeps a vehicle whose storage was wiped
/// or restored from an image from ever reusing a key `(vehicle, boot, lane, seq)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct BootId(pub u64);

impl BootId {
    /// Joins a boot counter and a random nonce.
    #[must_use]
    pub const fn new(counter: u32, nonce: u32) -> Self {
        Self(((counter as u64) << 32) | nonce as u64)
    }

    /// How many times this vehicle's agent had started, this start included (from 1).
    #[must_use]
    pub const fn counter(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:08x}", self.counter(), self.0 as u32)
    }
}

/// The place of a record in its `(boot, lane)`: dense, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Seq(pub u64);

impl Seq {
    /// The first record of a lane in a boot.
    pub const FIRST: Seq = Seq(1);

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The priority lane a record travels in; lower is more urgent. Each lane of a boot is one dense sequence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Lane {
    /// Verdict events and losses: durable at once, sent first, dropped last.
    Critical = 0,
    /// Boots, configuration and health of the agent itself.
    Status = 1,
    /// Periodic summaries.
    Summary = 2,
    /// Snapshots and whatever can wait.
    Bulk = 3,
}

impl Lane {
    /// All lanes, most urgent first.
    pub const ALL: [Lane; 4] = [Lane::Critical, Lane::Status, Lane::Summary, Lane::Bulk];

    /// The lane with this number, if there is one.
    #[must_use]
    pub const fn from_index(index: u8) -> Option<Lane> {
        match index {
            0 => Some(Lane::Critical),
            1 => Some(Lane::Status),
            2 => Some(Lane::Summary),
            3 => Some(Lane::Bulk),
            _ => None,
        }
    }

    /// The lane's name as people and file systems see it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Lane::Critical => "critical",
            Lane::Status => "status",
            Lane::Summary => "summary",
            Lane::Bulk => "bulk",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(feature = "alloc")]
mod vehicle {
    use alloc::{borrow::ToOwned, string::String};
    use core::fmt;
    use serde::{Deserialize, Serialize};

    /// A vehicle's identity: 1 to 64 of `A-Z a-z 0-9 . _ -`, not starting with a dot.
    ///
    /// It stands in certificates, addresses and file names, which is why its letters are few.
    #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
    #[serde(try_from = "String", into = "String")]
    pub struct VehicleId(String);

    impl VehicleId {
        /// The longest identity, in bytes.
        pub const MAX_LEN: usize = 64;

        /// Takes an identity that keeps the rules above.
        pub fn new(id: &str) -> Result<Self, InvalidVehicleId> {
            let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
            let fits = !id.is_empty() && id.len() <= Self::MAX_LEN;
            if fits && !id.starts_with('.') && id.bytes().all(allowed) {
                Ok(Self(id.to_owned()))
            } else {
                Err(InvalidVehicleId)
            }
        }

        /// The identity as text.
        #[must_use]
        pub fn as_str(&self) -> &str {
            &self.0
        }
    }

    impl TryFrom<String> for VehicleId {
        type Error = InvalidVehicleId;
        fn try_from(id: String) -> Result<Self, InvalidVehicleId> {
            Self::new(&id)
        }
    }

    impl From<VehicleId> for String {
        fn from(id: VehicleId) -> String {
            id.0
        }
    }

    impl fmt::Display for VehicleId {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }

    /// The text is no vehicle identity.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct InvalidVehicleId;

    impl fmt::Display for InvalidVehicleId {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a vehicle id has 1 to 64 letters, digits, dots, underscores or hyphens and starts with no dot")
        }
    }

    impl core::error::Error for InvalidVehicleId {}
}

#[cfg(feature = "alloc")]
pub use vehicle::{InvalidVehicleId, VehicleId};

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn boot_id_keeps_counter_and_nonce_apart() {
        let boot = BootId::new(7, 0xdead_beef);
        assert_eq!(boot.counter(), 7);
        assert_eq!(boot.to_string(), "7-deadbeef");
        assert!(BootId::new(8, 0) > boot);
    }

    #[test]
    fn vehicle_ids_that_could_climb_out_of_a_folder_are_refused() {
        for bad in ["", ".", "..", "../x", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(VehicleId::new(bad).is_err(), "{bad:?} was taken");
        }
        for good in ["KMHK3817HKU012345", "bench-01", "x.y_z"] {
            assert_eq!(VehicleId::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_hostile_vehicle_id_is_refused_while_decoding() {
        let bytes = postcard::to_allocvec("../../etc").unwrap();
        assert!(postcard::from_bytes::<VehicleId>(&bytes).is_err());
    }

    #[test]
    fn lanes_map_to_their_index_and_back() {
        for lane in Lane::ALL {
            assert_eq!(Lane::from_index(lane as u8), Some(lane));
        }
        assert_eq!(Lane::from_index(4), None);
    }
}
