//! The agent's logic without its shell. No file, socket, clock, thread or async runtime: the callers bring
//! `now`, bytes and frames, and carry out what is asked for. That makes a replay, a simulation and the live
//! vehicle the same loop, and lets every test turn time by hand.
//!
//! The way up, one room an arrow:
//! `CanFrame -> Sample -> Window -> FeatureVector -> Score -> Verdict -> Record -> Batch`.

pub mod bridge;
pub mod bus;
pub mod catalog;
pub mod clock;
pub mod condition;
pub mod dbc;
mod departure;
pub mod document;
pub mod drift;
pub mod e2e;
pub mod estimate;
pub mod feature;
pub mod frame;
pub mod intrusion;
pub mod jitter;
pub mod model;
pub mod pipeline;
pub mod range;
mod reading;
pub mod regime;
pub mod residual;
pub mod rules;
pub mod signal;
pub mod snapshot;
pub mod spool;
pub mod statistics;
pub mod storage;
pub mod trace;
pub mod trip;
pub mod update;
pub mod uplink;
pub mod verdict;
