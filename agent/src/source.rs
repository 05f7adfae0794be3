//! Where frames come from: recorded logs and live CAN interfaces, behind one trait, so that a replay and the
//! vehicle run the same loop.
//!
//! A source owns time as well: its frames and its `now` are on one monotonic clock, which for a log is the log's
//! own. Nothing that a source drops is dropped silently: its report counts it.

mod bridge;
mod filter;
mod lines;
mod links;
mod log_file;
mod merged;
mod open;
mod recvmmsg;
mod socket_can;
mod timeline;

pub use bridge::{BridgeLine, BridgeOptions, BridgeSource, NotALine, NotAPlace, Place, ReadyLine, SpiPlace};
pub use log_file::{LogSource, Pace};
pub use merged::MergedSource;
pub use open::open;
pub use recvmmsg::boot_time;
pub use socket_can::{SocketCanOptions, SocketCanSource};

use std::fmt;
use std::io;
use std::time::Duration;
use telltale_core::bus::LinkNews;
use telltale_core::clock::ClockAnchor;
use telltale_core::frame::{BusId, CanFrame, CanId};
use telltale_core::trace::TraceError;
use telltale_wire::time::MonoTime;

/// Frames that one call fills in at least, if so many are waiting. A vector of less capacity grows to it once.
pub const MIN_BATCH: usize = 64;

/// Frames that one call fills in at most, however large the vector: 1,024 frames of 88 bytes are 90 kB.
pub const MAX_BATCH: usize = 1024;

/// What a source had to give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SourceEvent {
    /// So many frames are in the vector.
    Frames(usize),
    /// Nothing yet: time passed, or the wait was interrupted.
    Idle,
    /// Nothing any more.
    End,
}

/// A source of frames.
pub trait Source {
    /// Fills the vector, which is emptied first, with between one frame and as many as its capacity holds
    /// ([`MIN_BATCH`] to [`MAX_BATCH`]); waits for the first of them at most about so long. Times never go back.
    ///
    /// # Errors
    /// When there is no going on: the interface is gone, the log cannot be read.
    fn next(&mut self, frames: &mut Vec<CanFrame>, wait: Duration) -> Result<SourceEvent, SourceError>;

    /// Now, on the clock of the frames.
    fn now(&self) -> MonoTime;

    /// Where that clock stands on the wall clock, if that is known.
    fn anchor(&self) -> Option<ClockAnchor>;

    /// Frames lost before they could be read, so far. Cheap: for every turn of a loop.
    fn lost(&self) -> u64;

    /// Of these, the ones that a bridge lost or the line from it.
    fn lost_in_bridge(&self) -> u64 {
        0
    }

    /// Takes the next news about the interface of a bus; a log has none.
    fn poll_link(&mut self) -> Option<LinkNews> {
        None
    }

    /// Hears these messages from now on, as far as it filters. A log gives all that it holds.
    ///
    /// # Errors
    /// If it can't; it hears the same as before then.
    fn retarget(&mut self, _wanted: &[(BusId, CanId)]) -> Result<(), SourceError> {
        Ok(())
    }

    /// What happened so far.
    fn report(&self) -> SourceReport;
}

/// What a source has to say of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SourceReport {
    /// Frames given.
    pub frames: u64,
    /// Frames that the kernel dropped because they were not read in time.
    pub lost: u64,
    /// Lines of a log that are no lines of its format, or messages of a socket that are no frames.
    pub bad_lines: u64,
    /// The first few of them.
    pub first_bad_lines: Vec<BadLine>,
    /// How often a time lay before one already seen, and was moved up.
    pub clock_steps: u64,
    /// Frames left out because they came from an interface that was not asked for.
    pub unclaimed: u64,
    /// What a person should know about the frames as a whole.
    pub notes: Vec<String>,
}

/// A line that is not a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadLine {
    /// The log.
    pub file: String,
    /// Counted from 1.
    pub line: u64,
    /// Why not.
    pub reason: TraceError,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.reason)
    }
}

/// Why there are no frames.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The log cannot be opened.
    #[error("cannot open log {file}")]
    Open {
        /// The log.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The log cannot be read on.
    #[error("cannot read log {file} behind line {line}")]
    Read {
        /// The log.
        file: String,
        /// The last line that was read.
        line: u64,
        /// Why.
        source: io::Error,
    },
    /// No line at the beginning of the log is in a known format.
    #[error(
        "{file} is in no known log format (candump, GVRET CSV, Vector ASC); give the format if it is one"
    )]
    UnknownFormat {
        /// The log.
        file: String,
    },
    /// No interfaces were named.
    #[error("no CAN interface is named: name at least one, such as can0")]
    NoInterfaces,
    /// There is no such interface.
    #[error(
        "there is no interface {name}: a controller needs its driver, a virtual one `ip link add dev {name} type vcan`"
    )]
    NoSuchInterface {
        /// Its name.
        name: String,
    },
    /// The interface is no CAN interface.
    #[error("{name} is no CAN interface")]
    NotCan {
        /// Its name.
        name: String,
    },
    /// The interface is down.
    #[error(
        "{name} is down: bring it up with `ip link set {name} up type can bitrate 500000` \
         (a virtual one with `ip link set {name} up`)"
    )]
    InterfaceDown {
        /// Its name.
        name: String,
    },
    /// The kernel tells nothing of its interfaces.
    #[error(
        "cannot follow the kernel's interfaces (netlink): a sandbox around the agent must allow AF_NETLINK"
    )]
    Netlink {
        /// Why not.
        source: io::Error,
    },
    /// The kernel knows no CAN sockets.
    #[error("this kernel has no CAN sockets: load the modules can and can-raw (`modprobe can-raw`)")]
    NoCanInKernel,
    /// A step of setting the socket up, or reading from it, failed.
    #[error("cannot {step} the CAN socket")]
    Socket {
        /// What was tried.
        step: &'static str,
        /// Why not.
        source: io::Error,
    },
}
