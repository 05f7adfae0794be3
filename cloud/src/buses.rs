//! What is known of a vehicle's buses, as the pages and scripts get it: how each stands by what was told last, and what
//! happened on them over time.
//!
//! A vehicle counts from its start. So that a count has a time, what is told over time is the difference of two
//! accounts of the same boot; a bus whose interface came anew counts its interface from there.

use crate::report::When;
use serde::Serialize;
use telltale_wire::bus::{BusErrors, ErrorCounters, InterfaceCounters, SuspiciousMessage, UnknownId};

/// The most buses of one report.
pub const MAX_BUSES: usize = 64;
/// The most accounts of buses that one report reads, the newest: 16 MB of records at the worst.
pub const MAX_ACCOUNTS: usize = 256;
/// The most changes of state that one report reads, the newest.
pub const MAX_CHANGES: usize = 500;
/// The most events of buses of one report.
pub const MAX_BUS_EVENTS: usize = 500;

/// One bus by what was told of it last.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct BusView {
    /// Its name in the vehicle's catalog.
    pub bus: String,
    /// `active`, `error warning`, `error passive`, `bus-off`, `interface down`, `interface absent` or `not heard yet`.
    pub state: &'static str,
    /// Whether frames can be heard in that state.
    pub hears: bool,
    /// Since when it has been in it.
    pub since: When,
    /// When that was told last.
    pub told: When,
    /// The boot that told.
    pub boot: String,
    /// What was counted on it; `null` before its first account of this boot.
    pub counts: Option<BusCounts>,
}

/// What was counted on a bus since the agent's start.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct BusCounts {
    /// When the account was closed.
    pub at: When,
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
    /// Of those: checked by their counter and checksum.
    pub checked: u64,
    /// Frames that the controller or its driver lost since the interface came up; `null` where the kernel does not
    /// tell. What the receive buffer lost is not in it: the buses share that one, and a loss record tells of it.
    pub lost: Option<u64>,
    /// Error frames by what they told.
    pub errors: BusErrors,
    /// The controller's error counters; `null` where the driver does not tell.
    pub counters: Option<ErrorCounters>,
    /// The error frame that came last.
    pub last_error: Option<LastErrorLine>,
    /// How often the agent restarted the controller.
    pub restarts_asked: u32,
    /// How often the interface went away or down.
    pub link_losses: u32,
    /// What the kernel counted on the interface, whoever read it.
    pub interface: Option<InterfaceCounters>,
    /// Messages whose counter or checksum was wrong, the worst first.
    pub suspicious: Vec<SuspiciousMessage>,
    /// The most frequent unknown identifiers of the latest stretch.
    pub unknown: Vec<UnknownId>,
    /// Messages of the catalog that are overdue.
    pub missing_total: u32,
    /// The longest overdue of them.
    pub missing: Vec<MissingLine>,
}

/// An error frame in words.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LastErrorLine {
    /// When.
    pub at: When,
    /// What it told.
    pub what: String,
}

/// A message that is overdue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct MissingLine {
    /// Its name in the DBC file.
    pub message: String,
    /// Milliseconds since it was heard last; `null` if it never was.
    pub silent_ms: Option<u64>,
    /// Milliseconds between two of them; `null` where it is not known.
    pub cycle_ms: Option<u32>,
}

/// Something that happened on a bus.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct BusEvent {
    /// When; of what was counted, the end of the stretch.
    pub when: When,
    /// Of what was counted: how long the stretch was, in seconds. `null` for a change of state.
    pub stretch_s: Option<f64>,
    /// The boot.
    pub boot: String,
    /// The bus.
    pub bus: String,
    /// `state`, `interface`, `error frames`, `frames` or `messages`: what kind of thing it is.
    pub kind: &'static str,
    /// What, in words.
    pub what: String,
    /// How often in the stretch; `null` for a change of state.
    pub count: Option<u64>,
    /// In the vehicle's words, or which; where there is something to say.
    pub why: Option<String>,
    /// Whether something does not work as it should.
    pub is_fault: bool,
}

/// `1A2`, or `0001F2A3` of 29 bits, as DBC tools write identifiers.
#[must_use]
pub fn identifier(id: &UnknownId) -> String {
    let digits = if id.extended { 8 } else { 3 };
    format!("{:0digits$X}", id.id)
}
