//! One part of a snapshot as a record.

use crate::time::Stamp;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Why a snapshot was taken. Append only.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum SnapshotCause {
    /// A verdict became anomalous: of a model, or of the limits in the catalog.
    Verdict {
        /// The model's name; `limits` for the rules.
        model: String,
        /// What it is about, such as `Cell82`.
        subject: String,
    },
    /// Someone at the vehicle asked for it.
    Command {
        /// What they said it is for; may be empty.
        note: String,
    },
}

impl fmt::Display for SnapshotCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verdict { model, subject } => write!(f, "{subject} anomalous ({model})"),
            Self::Command { note } if note.is_empty() => f.write_str("asked for"),
            Self::Command { note } => write!(f, "asked for: {note}"),
        }
    }
}

/// One part of a snapshot: a stretch of its time, readable by itself. The parts follow each other in time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SnapshotPart {
    /// Which snapshot of its boot, from 1.
    pub number: u32,
    /// Which part of it, from 0.
    pub part: u16,
    /// How many parts it has.
    pub parts: u16,
    /// When it was triggered.
    pub at: Stamp,
    /// By what.
    pub cause: SnapshotCause,
    /// How many more triggers fell into it.
    pub merged: u16,
    /// How much time before the trigger was wanted, in milliseconds.
    pub before_ms: u32,
    /// And how much after it; more than was set if other triggers fell into it.
    pub after_ms: u32,
    /// How much of the time before the trigger the ring could not give any more, in milliseconds.
    pub missing_ms: u32,
    /// The samples in this part.
    pub samples: u32,
    /// The samples, packed: see [`super::decode`].
    pub block: Vec<u8>,
}
