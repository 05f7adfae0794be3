//! Models over the air: the shell around [`telltale_core::update`]. What the cloud offers is verified by
//! `telltale-trust`, fetched chunk by chunk over the uplink's connection, tested on this machine, run beside the model
//! that speaks, tried, and committed or taken back.
//!
//! A thread of its own does it (`worker`), because it writes durably and runs golden vectors: neither the capture
//! loop nor the uplink waits for it. `Depot` is what it shares with whoever assembles a pipeline.

mod commands;
mod depot;
mod download;
mod fits;
mod orders;
mod outlook;
mod repositories;
mod sealing;
mod self_test;
mod setup;
mod slot;
mod source;
mod switches;
mod worker;

pub(crate) use depot::{Cast, Depot, MAX_FALLBACKS};
pub(crate) use orders::{Inbox, Orders, orders};
pub use orders::{ModelOrder, UpdateFacts};
pub(crate) use sealing::{keyring, sealing_key};
pub(crate) use setup::{Setup, family as configuration_family};
pub(crate) use worker::{Ties, Updates};
