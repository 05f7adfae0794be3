//! The fleet server: it takes records from vehicles over mutual TLS, stores each exactly once, and shows the fleet.
//!
//! Rooms, in the order that a record passes them: [`tls`] and [`identity`] (who is speaking), [`sync`] (is it a request
//! that may be taken), [`store`] (one transaction, then the acknowledgement), [`report`] (what is known of a vehicle),
//! [`snapshot`] and [`buses`] (what stood on its buses, what happened on them), [`signals`] (what its signals looked like
//! over any time), [`trips`] (where it went) and [`dashboard`] (the same as pages and JSON). The way down: [`registry`] (which models there are),
//! [`rollout`] (who gets which, and what stops it), [`director`] (what is signed for one vehicle). [`server`] composes
//! them; [`pki`] makes the certificates of a development fleet. Nothing here depends on the agent: the two meet in
//! `telltale-wire` alone.

pub mod buses;
pub mod cli;
pub mod dashboard;
pub mod director;
pub mod drift;
pub mod identity;
pub mod pki;
pub mod registry;
pub mod report;
pub mod rollout;
pub mod server;
pub mod signals;
pub mod snapshot;
pub mod store;
pub mod sync;
pub mod tls;
pub mod trips;

mod door;
mod ota;
