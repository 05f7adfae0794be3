//! The control socket: how a person or a script on the vehicle asks the running agent. A Unix stream socket; one
//! request a connection, one line of JSON each way.
//!
//! A request is a name, or a name with an argument: `"status"`, `{"log-level":"debug"}`. The answer is
//! `{"ok": ...}` or `{"error": "a sentence"}`. Whom the file's mode lets in (0660: the agent's user and group) may
//! look; what changes something is for the agent's own user and root, by the peer's credentials (`unix(7)`,
//! `SO_PEERCRED`).

mod client;
mod server;

pub use client::{AskError, ask};
pub use server::{Answering, ControlSocket, SocketError};

use crate::update::ModelOrder;
use serde::{Deserialize, Serialize};

/// The socket's name in the spool's folder, where the configuration names no other place.
pub const DEFAULT_NAME: &str = "control.sock";

/// The longest request, in bytes.
const MAX_REQUEST: usize = 4096;

/// What can be asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Everything that is known at this moment.
    Status,
    /// Read the configuration again.
    Reload,
    /// Change what the log says: `info,telltale_agent::uplink=debug`.
    LogLevel(String),
    /// A snapshot around this moment.
    Snapshot(SnapshotOrder),
    /// Something about the updates of a model.
    Model(ModelOrder),
}

impl Request {
    /// Whether it only looks. The others are for the agent's own user and root.
    #[must_use]
    pub const fn only_looks(&self) -> bool {
        match self {
            Request::Status => true,
            Request::Model(order) => order.only_looks(),
            Request::Reload | Request::LogLevel(_) | Request::Snapshot(_) => false,
        }
    }
}

/// What somebody asks of a snapshot; the settings stand for what is left out.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotOrder {
    /// Seconds before now.
    pub before_s: Option<u32>,
    /// Seconds after now.
    pub after_s: Option<u32>,
    /// VSS paths, or the beginning of some and `*`.
    pub signals: Vec<String>,
    /// What it is for.
    pub note: String,
}

/// What comes back; `T` is what was asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer<T> {
    /// It was done.
    Ok(T),
    /// It was not, and this is why.
    Error(String),
}
