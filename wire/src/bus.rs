//! Buses: what state each is in, what changed it, and what was counted on it.

use crate::time::Stamp;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// The most identifiers that [`BusStatistics::unknown`] names.
pub const MAX_UNKNOWN: usize = 8;
/// The most messages that [`BusStatistics::missing`] names.
pub const MAX_MISSING: usize = 16;
/// The most messages that [`BusStatistics::suspicious`] names.
pub const MAX_SUSPICIOUS: usize = 16;

/// What state a bus is in, as this vehicle's controller sees it (ISO 11898-1, 12.1.4: fault confinement).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum BusState {
    /// Nothing has been heard of it yet.
    #[default]
    Unknown,
    /// The controller takes part without restriction (error active).
    Active,
    /// An error counter has reached 96.
    Warning,
    /// An error counter has passed 127: the controller no longer stops faulty frames of others.
    Passive,
    /// The controller has cut itself off the bus. Nothing is heard until it is restarted.
    Off,
    /// The interface is there, and down.
    Down,
    /// There is no interface of the name that the catalog gives.
    Absent,
}

impl BusState {
    /// All of them, in encoding order.
    pub const ALL: [BusState; 7] =
        [Self::Unknown, Self::Active, Self::Warning, Self::Passive, Self::Off, Self::Down, Self::Absent];

    /// A few words for a person.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "not heard yet",
            Self::Active => "active",
            Self::Warning => "error warning",
            Self::Passive => "error passive",
            Self::Off => "bus-off",
            Self::Down => "interface down",
            Self::Absent => "interface absent",
        }
    }

    /// Whether frames can be heard in it.
    #[must_use]
    pub const fn hears(self) -> bool {
        matches!(self, Self::Active | Self::Warning | Self::Passive)
    }
}

impl fmt::Display for BusState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One bus: that its state changed, or what was counted on it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BusRecord {
    /// When.
    pub at: Stamp,
    /// Its name in the catalog.
    pub bus: String,
    /// Its state from then on.
    pub state: BusState,
    /// Since when it has been in it.
    pub since: Stamp,
    /// What there is to say.
    pub report: BusReport,
}

/// What a [`BusRecord`] says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum BusReport {
    /// The state changed.
    Change(BusChange),
    /// What was counted: told from time to time.
    Statistics(BusStatistics),
}

/// A change of state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BusChange {
    /// The state that was told before this one.
    pub before: BusState,
    /// What was seen, for a person.
    pub why: String,
    /// Changes since the one told before that were left out, because there were too many.
    pub suppressed: u32,
}

/// What was counted on a bus. Counters run since the agent's start; what is named is of the stretch alone.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct BusStatistics {
    /// How long the stretch was, in microseconds.
    pub stretch_us: u64,
    /// Frames of the stretch, error frames aside.
    pub frames_stretch: u64,
    /// Frames, error frames aside.
    pub frames: u64,
    /// Of those: remote frames.
    pub remote: u64,
    /// Of those: shorter than the signals that the catalog takes of them need. Nothing of them was used.
    pub short: u64,
    /// Of those: longer than the DBC file says. They were used.
    pub long: u64,
    /// Of those: described by no DBC file.
    pub unknown_frames: u64,
    /// Error frames by what they told.
    pub errors: BusErrors,
    /// The controller's error counters, as told last.
    pub counters: Option<ErrorCounters>,
    /// The error frame told last.
    pub last_error: Option<LastError>,
    /// How often the agent restarted the controller after a bus-off.
    pub restarts_asked: u32,
    /// How often the interface went away or down.
    pub link_losses: u32,
    /// What the interface counted since it came up, where the kernel tells.
    pub interface: Option<InterfaceCounters>,
    /// Frames whose counter and checksum were checked.
    pub checked: u64,
    /// Messages that failed such a check since the start, the worst first; at most [`MAX_SUSPICIOUS`].
    pub suspicious: Vec<SuspiciousMessage>,
    /// The most frequent unknown identifiers of the stretch; at most [`MAX_UNKNOWN`].
    pub unknown: Vec<UnknownId>,
    /// How many messages of the catalog are overdue now.
    pub missing_total: u32,
    /// The longest overdue of them; at most [`MAX_MISSING`].
    pub missing: Vec<MissingMessage>,
}

/// Error frames by what they told; one may tell several things (`linux/can/error.h`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BusErrors {
    /// Error frames in all.
    pub frames: u64,
    /// Error counter at 96 or above.
    pub warning: u64,
    /// Error counter above 127.
    pub passive: u64,
    /// Bus-off.
    pub off: u64,
    /// The controller restarted.
    pub restarted: u64,
    /// Nobody acknowledged a frame.
    pub no_ack: u64,
    /// Arbitration lost.
    pub arbitration: u64,
    /// Protocol violations: bit, form, stuffing, overload.
    pub protocol: u64,
    /// Bus errors in all, violations included.
    pub bus: u64,
    /// The transceiver sees a broken or shorted wire.
    pub transceiver: u64,
    /// The controller's receive buffer overflowed: frames were lost in it.
    pub rx_overflow: u64,
    /// The controller's transmit buffer overflowed.
    pub tx_overflow: u64,
    /// The driver gave up sending.
    pub tx_timeout: u64,
}

/// A controller's error counters (ISO 11898-1, 12.1.4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorCounters {
    /// Transmit errors; bus-off is above 255, where a controller may still say 255 or less.
    pub tx: u16,
    /// Receive errors.
    pub rx: u16,
}

/// An error frame in words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LastError {
    /// When.
    pub at: Stamp,
    /// What it told.
    pub what: String,
}

/// What the kernel counted on an interface, whoever reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct InterfaceCounters {
    /// Frames received, those too that no filter lets pass.
    pub received: u64,
    /// Receive errors.
    pub errors: u64,
    /// Frames that the driver dropped.
    pub dropped: u64,
    /// Frames lost in the controller's buffer.
    pub overruns: u64,
}

/// A message whose counter or checksum was wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SuspiciousMessage {
    /// Its name in the DBC file.
    pub message: String,
    /// Frames as they should be.
    pub ok: u64,
    /// The same counter again: the sender has nothing new, or a frame came twice.
    pub repeated: u64,
    /// A counter further on than the catalog allows, or none of its values.
    pub wrong_sequence: u64,
    /// A checksum that does not fit. The frame's signals were taken for absent.
    pub wrong_checksum: u64,
}

/// An identifier that no DBC file describes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UnknownId {
    /// The number.
    pub id: u32,
    /// Whether it has 29 bits.
    pub extended: bool,
    /// Frames of the stretch; up to `over` of them may have been another identifier's.
    pub count: u64,
    /// See `count`; zero where no more identifiers came than are told apart.
    pub over: u64,
}

/// A message of the catalog that is overdue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MissingMessage {
    /// Its name in the DBC file.
    pub message: String,
    /// Milliseconds since it was heard last; `None` if it never was.
    pub silent_ms: Option<u64>,
    /// Milliseconds between two of them when it was heard, or by the DBC file.
    pub cycle_ms: Option<u32>,
}
