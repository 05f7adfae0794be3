//! What happened to the agent itself and to its models: a reload, a model that was switched off and came back.

use crate::digest::Digest;
use crate::record::ModelRef;
use crate::time::Stamp;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Something happened to the agent itself or to one of its models.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AgentEvent {
    /// When.
    pub at: Stamp,
    /// What.
    pub change: AgentChange,
}

/// What happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum AgentChange {
    /// The configuration was read again and is in force.
    Reloaded {
        /// The catalog it decodes by from now on.
        catalog: Digest,
        /// The models it runs from now on.
        models: Vec<ModelRef>,
    },
    /// The configuration was read again and can't be used: the one before goes on.
    ReloadRefused {
        /// A sentence for a person.
        why: String,
    },
    /// A model failed again and again and is switched off for a while.
    ModelIsolated {
        /// Which.
        model: ModelRef,
        /// How it failed the last time.
        fault: ModelFault,
        /// How often it failed in a row.
        failures: u32,
        /// When it is tried again, in seconds from now.
        retry_after_s: u32,
        /// A sentence for a person.
        why: String,
    },
    /// A model that was switched off runs again.
    ModelResumed {
        /// Which.
        model: ModelRef,
    },
}

/// How a model fails.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ModelFault {
    /// It gave no output: an error, or a panic that was caught at its door.
    NoOutput,
    /// It gave an output that is no number.
    NotFinite,
    /// It took longer than it may.
    TooSlow,
}
