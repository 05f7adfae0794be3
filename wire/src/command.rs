//! What became of a command that the cloud gave a vehicle by its desired state: told once for each.

use crate::time::Stamp;
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A vehicle has dealt with a command. Each is acknowledged once, whatever became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CommandAck {
    /// When.
    pub at: Stamp,
    /// The version of the desired state that the command came with.
    pub desired_state: u64,
    /// The command's id: unique for a vehicle, never used again.
    pub id: u64,
    /// What became of it.
    pub outcome: CommandOutcome,
    /// A sentence for a person; empty where the outcome says all.
    pub why: String,
}

/// What became of a command. Append only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum CommandOutcome {
    /// It was carried out.
    Done,
    /// It was understood and is not done, for a reason that trying again does not change.
    Refused,
    /// It was tried and did not succeed.
    Failed,
    /// It came after its expiry.
    Expired,
    /// It came with a desired state that is older than one that was taken.
    Superseded,
    /// This agent does not know such a command.
    Unknown,
}

impl CommandOutcome {
    /// All of them, in encoding order.
    pub const ALL: [CommandOutcome; 6] =
        [Self::Done, Self::Refused, Self::Failed, Self::Expired, Self::Superseded, Self::Unknown];

    /// A few words for a person.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::Unknown => "unknown to the agent",
        }
    }
}

impl fmt::Display for CommandOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
