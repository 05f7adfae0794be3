//! Every byte that crosses a boundary of Telltale: the interface control document, as code.
//!
//! A vehicle sends [`sync::SyncRequest`]s, each in an [`envelope`], each holding [`sync::Batch`]es of
//! [`record::RawRecord`]s; the cloud answers with cumulative [`sync::Ack`]s. What it wants of a vehicle besides models
//! is a [`desired::DesiredState`], signed as a file. All of it is postcard.
//!
//! The rules that keep old vehicles and new clouds (and the reverse) talking:
//! - **Append only.** An enum gains variants at its end; a message and a record body gain fields at their end (a
//!   type nested in them is frozen). Nothing is renumbered, retyped or removed. `tests/vectors` pins the bytes.
//! - **A record is `(kind, body)`.** A reader that does not know a kind keeps the bytes and goes on; a reader
//!   that knows an older form of a body ignores what follows it. A field that an old body lacks needs a new kind.
//! - Monotonic and wall time are two types; a unit travels with each value that a person will read.
//! - `no_std`. Ids, time, units and the bridge link need no allocator; records need `alloc`.
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod bridge;
pub mod ids;
pub mod time;
pub mod unit;

#[cfg(feature = "alloc")]
pub mod agent_event;
#[cfg(feature = "alloc")]
pub mod bits;
#[cfg(feature = "alloc")]
pub mod bundle;
#[cfg(feature = "alloc")]
pub mod bus;
#[cfg(feature = "alloc")]
pub mod command;
#[cfg(feature = "alloc")]
pub mod departure;
#[cfg(feature = "alloc")]
pub mod desired;
#[cfg(feature = "alloc")]
pub mod digest;
#[cfg(feature = "alloc")]
pub mod drift;
#[cfg(feature = "alloc")]
pub mod envelope;
#[cfg(feature = "alloc")]
pub mod estimate;
#[cfg(feature = "alloc")]
pub mod record;
#[cfg(feature = "alloc")]
pub mod signals;
#[cfg(feature = "alloc")]
pub mod sketch;
#[cfg(feature = "alloc")]
pub mod snapshot;
#[cfg(feature = "alloc")]
pub mod sync;
#[cfg(feature = "alloc")]
pub mod trip;
#[cfg(feature = "alloc")]
pub mod update;

/// The version of this interface that an envelope names. A reader refuses a newer one with its reason.
pub const PROTOCOL_VERSION: u16 = 1;
