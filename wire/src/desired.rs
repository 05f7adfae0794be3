//! What the cloud wants of one vehicle besides models: configuration and commands, as one file that the director signs.
//!
//! The file is the director's target [`TARGET`]. TUF says who wrote it; this room says what it may hold, and that a
//! command reaches nothing beyond the agent itself: no kind of it actuates anything. The vehicle acknowledges each
//! command once by its id, refuses what has expired or comes from an older file, and says why. A command is
//! `(id, expires, kind, body)`, so that an agent that does not know a kind refuses that one and obeys the others.

mod ahead;

pub use ahead::{AHEAD_DECICELSIUS, Ahead, RoadClass};

use crate::digest::Digest;
use crate::time::WallTime;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The path of the file among the director's targets.
pub const TARGET: &str = "desired-state";

/// The longest file, in bytes.
pub const MAX_LEN: usize = 64 * 1024;

/// The most commands in one file. What waits beyond them comes with a later version.
pub const MAX_COMMANDS: usize = 64;

/// The longest body of one command, in bytes: [`MAX_COMMANDS`] of them and their heads fit into [`MAX_LEN`].
pub const MAX_BODY: usize = 900;

/// The longest text within a command, in bytes.
pub const MAX_TEXT: usize = 256;

/// The longest stretch that a snapshot may take on either side of its moment, in milliseconds: an hour.
pub const MAX_SNAPSHOT_MS: u32 = 3_600_000;

/// What the cloud wants of one vehicle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DesiredState {
    /// Grows with each change for this vehicle. An agent refuses a file that is older than the newest it has seen.
    pub version: u64,
    /// When it was written, by the cloud's clock.
    pub issued: WallTime,
    /// From then on the whole file is void.
    pub expires: WallTime,
    /// The commands that are not acknowledged yet, by growing id.
    pub commands: Vec<RawCommand>,
}

/// A command as it is signed and sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RawCommand {
    /// Its name in the acknowledgement. No id is ever used twice, for any vehicle.
    pub id: u64,
    /// From then on it must not be obeyed any more.
    pub expires: WallTime,
    /// Which [`Command`] the body is. Kinds are append only.
    pub kind: u16,
    /// The body, postcard. At most [`MAX_BODY`] bytes.
    pub body: Vec<u8>,
}

/// What a vehicle's agent is asked to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Log at these levels from now on, until the next start.
    LogLevel(LogLevel),
    /// Take a snapshot of the buses now.
    Snapshot(SnapshotNow),
    /// Switch a part of the agent off or on. It stays so over starts.
    Feature(FeatureSwitch),
    /// Keep a family at what it runs, or release it again.
    Pin(Pin),
    /// Go back to the model of this family that was committed before.
    Rollback(Rollback),
    /// Decode by the signal catalog of this digest, if it is installed.
    Catalog(Installed),
    /// Run the campaign of this digest, if it is installed.
    Campaign(Installed),
    /// Let a model run or not. It stays so over starts.
    Model(ModelSwitch),
    /// Foretell the range with what lies ahead.
    Ahead(Ahead),
}

/// Log at these levels.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogLevel {
    /// In the syntax of `telltale log-level`, such as `info,telltale_agent::uplink=debug`; at most [`MAX_TEXT`] bytes.
    pub filter: String,
}

/// Take a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SnapshotNow {
    /// How far back it should reach, in milliseconds; at most [`MAX_SNAPSHOT_MS`].
    pub before_ms: u32,
    /// How far ahead, in milliseconds; at most [`MAX_SNAPSHOT_MS`].
    pub after_ms: u32,
    /// What for, as a person will read it; at most [`MAX_TEXT`] bytes.
    pub why: String,
}

/// Switch a part of the agent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FeatureSwitch {
    /// Which part.
    pub feature: Feature,
    /// Whether it runs.
    pub on: bool,
}

/// A part of the agent that can be switched. Each is the agent's own work; none touches a bus. Append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Feature {
    /// Taking snapshots.
    Snapshots,
    /// Statistics of every signal.
    Statistics,
    /// Running models. The catalog's limits go on.
    Models,
    /// Taking updates over the air. Commands go on.
    Updates,
    /// Answering whoever asks for metrics.
    Metrics,
    /// Collecting as the installed campaign says; else as the vehicle's own configuration does.
    Campaign,
}

impl Feature {
    /// All features, in encoding order.
    pub const ALL: [Feature; 6] =
        [Self::Snapshots, Self::Statistics, Self::Models, Self::Updates, Self::Metrics, Self::Campaign];

    /// The word for a command line and a page.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snapshots => "snapshots",
            Self::Statistics => "statistics",
            Self::Models => "models",
            Self::Updates => "updates",
            Self::Metrics => "metrics",
            Self::Campaign => "campaign",
        }
    }
}

/// Let a model run or not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ModelSwitch {
    /// Its name, as its manifest has it; at most [`MAX_TEXT`] bytes.
    pub model: String,
    /// Whether it runs. While it does not, the catalog's limits speak for it.
    pub on: bool,
}

/// Keep or release a family.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pin {
    /// The model family, such as `cell-fault`.
    pub family: String,
    /// Whether it is pinned from now on.
    pub pinned: bool,
}

/// Go back to the model before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rollback {
    /// The model family.
    pub family: String,
    /// Only if this release is the committed one: a vehicle that has gone on meanwhile is left alone.
    pub release: u32,
}

/// Use something that is installed on the vehicle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Installed {
    /// Its SHA-256.
    pub digest: Digest,
}

/// Why bytes are no desired state, or a command none that can be obeyed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DesiredError {
    /// More bytes than [`MAX_LEN`].
    TooLong {
        /// How many.
        len: usize,
    },
    /// More commands than [`MAX_COMMANDS`].
    TooMany {
        /// How many.
        count: usize,
    },
    /// The ids do not grow.
    Order {
        /// The first id that is not above the one before it.
        id: u64,
    },
    /// A kind that this side does not know: refuse this command, obey the others.
    UnknownKind(u16),
    /// It does not decode, or a part of it is out of its range.
    Malformed(String),
}

impl fmt::Display for DesiredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len } => {
                write!(f, "a desired state of {len} bytes is over the limit of {MAX_LEN}")
            }
            Self::TooMany { count } => write!(f, "{count} commands are over the limit of {MAX_COMMANDS}"),
            Self::Order { id } => write!(f, "command {id} stands behind one with the same or a higher id"),
            Self::UnknownKind(kind) => {
                write!(f, "command kind {kind} is not known here (from a newer cloud)")
            }
            Self::Malformed(why) => write!(f, "the desired state does not decode: {why}"),
        }
    }
}

impl core::error::Error for DesiredError {}

impl DesiredState {
    /// The file's bytes.
    ///
    /// # Errors
    /// Every bound that [`DesiredState::read`] checks.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DesiredError> {
        self.check()?;
        let bytes = postcard::to_allocvec(self).map_err(malformed)?;
        if bytes.len() > MAX_LEN { Err(DesiredError::TooLong { len: bytes.len() }) } else { Ok(bytes) }
    }

    /// Reads a file. Bytes behind the known fields are a newer cloud's and are ignored. The caller compares
    /// `version` and `expires` with what it has seen and with its time.
    ///
    /// # Errors
    /// Every [`DesiredError`] but [`DesiredError::UnknownKind`].
    pub fn read(bytes: &[u8]) -> Result<Self, DesiredError> {
        if bytes.len() > MAX_LEN {
            return Err(DesiredError::TooLong { len: bytes.len() });
        }
        let (state, _appended) = postcard::take_from_bytes::<Self>(bytes).map_err(malformed)?;
        state.check()?;
        Ok(state)
    }

    fn check(&self) -> Result<(), DesiredError> {
        if self.commands.len() > MAX_COMMANDS {
            return Err(DesiredError::TooMany { count: self.commands.len() });
        }
        let mut before = 0;
        for command in &self.commands {
            if command.id <= before {
                return Err(DesiredError::Order { id: command.id });
            }
            before = command.id;
            if command.body.len() > MAX_BODY {
                return Err(out_of_range("a command's body", MAX_BODY));
            }
        }
        Ok(())
    }
}

impl RawCommand {
    /// Reads the body as its kind.
    ///
    /// # Errors
    /// [`DesiredError::UnknownKind`] and [`DesiredError::Malformed`], this command's alone.
    pub fn parse(&self) -> Result<Command, DesiredError> {
        let command = match self.kind {
            1 => Command::LogLevel(self.body_as()?),
            2 => Command::Snapshot(self.body_as()?),
            3 => Command::Feature(self.body_as()?),
            4 => Command::Pin(self.body_as()?),
            5 => Command::Rollback(self.body_as()?),
            6 => Command::Catalog(self.body_as()?),
            7 => Command::Campaign(self.body_as()?),
            8 => Command::Model(self.body_as()?),
            9 => Command::Ahead(self.body_as()?),
            kind => return Err(DesiredError::UnknownKind(kind)),
        };
        command.check().map(|()| command)
    }

    fn body_as<T: DeserializeOwned>(&self) -> Result<T, DesiredError> {
        postcard::take_from_bytes(&self.body).map(|(body, _appended)| body).map_err(malformed)
    }
}

impl Command {
    /// The number of this kind of command.
    #[must_use]
    pub const fn kind(&self) -> u16 {
        match self {
            Command::LogLevel(_) => 1,
            Command::Snapshot(_) => 2,
            Command::Feature(_) => 3,
            Command::Pin(_) => 4,
            Command::Rollback(_) => 5,
            Command::Catalog(_) => 6,
            Command::Campaign(_) => 7,
            Command::Model(_) => 8,
            Command::Ahead(_) => 9,
        }
    }

    /// Encodes the command's body.
    ///
    /// # Errors
    /// [`DesiredError::Malformed`] if a part is out of its range.
    pub fn to_body(&self) -> Result<Vec<u8>, DesiredError> {
        self.check()?;
        match self {
            Command::LogLevel(body) => postcard::to_allocvec(body),
            Command::Snapshot(body) => postcard::to_allocvec(body),
            Command::Feature(body) => postcard::to_allocvec(body),
            Command::Pin(body) => postcard::to_allocvec(body),
            Command::Rollback(body) => postcard::to_allocvec(body),
            Command::Catalog(body) | Command::Campaign(body) => postcard::to_allocvec(body),
            Command::Model(body) => postcard::to_allocvec(body),
            Command::Ahead(body) => postcard::to_allocvec(body),
        }
        .map_err(malformed)
    }

    fn check(&self) -> Result<(), DesiredError> {
        match self {
            Command::LogLevel(LogLevel { filter: text })
            | Command::Pin(Pin { family: text, .. })
            | Command::Model(ModelSwitch { model: text, .. })
            | Command::Rollback(Rollback { family: text, .. }) => {
                if text.is_empty() {
                    return Err(DesiredError::Malformed("a text is empty".into()));
                }
                fits(text)
            }
            Command::Snapshot(SnapshotNow { before_ms, after_ms, why }) => {
                if *before_ms.max(after_ms) > MAX_SNAPSHOT_MS {
                    return Err(out_of_range("a snapshot's stretch in ms", MAX_SNAPSHOT_MS as usize));
                }
                fits(why)
            }
            Command::Ahead(ahead) => ahead.check(),
            Command::Feature(_) | Command::Catalog(_) | Command::Campaign(_) => Ok(()),
        }
    }
}

fn fits(text: &str) -> Result<(), DesiredError> {
    if text.len() > MAX_TEXT { Err(out_of_range("a text", MAX_TEXT)) } else { Ok(()) }
}

fn out_of_range(what: &str, most: usize) -> DesiredError {
    DesiredError::Malformed(alloc::format!("{what} is over the limit of {most}"))
}

fn malformed(error: postcard::Error) -> DesiredError {
    DesiredError::Malformed(alloc::format!("{error}"))
}

#[cfg(test)]
mod tests;
