//! The agent's shell: files, sockets, clocks and threads around `telltale-core`, and the command line.
//!
//! One thread reads frames and judges them; it never waits for the other half: the store's thread owns the spool,
//! and an asynchronous task syncs it. [`agent`] composes the three.

pub mod agent;
pub mod cli;
mod command;
pub mod config;
pub mod control;
mod desk;
pub mod drive;
pub mod files;
pub mod guard;
pub mod load;
pub mod mailbox;
pub mod memory;
mod observe;
pub mod source;
pub mod state;
pub mod status;
pub mod store;
pub mod tls;
pub mod uplink;
