//! The agent's shell: files, sockets, clocks and threads around `telltale-core`, and the command line.
//!
//! One thread reads frames and judges them; it never waits for the other half: the store's thread owns the spool,
//! and an asynchronous task syncs it. [`agent`] composes the three.

pub mod agent;
mod campaign;
mod capture;
mod check;
pub mod cli;
mod command;
pub mod config;
pub mod control;
mod desk;
pub mod drive;
pub mod files;
mod golden;
pub mod guard;
mod held;
mod limits;
pub mod load;
pub mod logging;
pub mod mailbox;
pub mod memory;
#[cfg(feature = "metrics")]
mod metrics;
pub mod notify;
mod observe;
mod prepare;
mod reload;
pub mod source;
pub mod state;
pub mod status;
pub mod store;
pub mod tls;
#[cfg(feature = "workbench")]
mod top;
pub mod trips;
pub mod update;
pub mod uplink;
