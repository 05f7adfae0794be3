//! Rollouts: how a model reaches a fleet, in waves, and what stops it.
//!
//! Everything in this room is arithmetic on what it is given: time is an argument, and no file, socket or database is
//! touched, so that a rollout of months is tested in milliseconds. A [`Plan`] says how it should go; a [`cohort`]
//! decides which vehicle belongs to which wave; [`stage`] follows each vehicle through its update; [`sequential`] tests
//! whether the new model is worse than allowed, at any time and without spoiling the odds by looking often; the
//! [`Engine`] takes a [`Tally`] of each wave and gives [`Decision`]s. The store keeps the state, every decision and its
//! reason, and who took it.
//!
//! The order in which the engine asks, at every look: has something gone wrong that stops the rollout, or pauses it?
//! Has the newest wave been executed by enough vehicles, have enough of them succeeded, and for long enough? May the next
//! wave begin, or is there a freeze, or an approval that is missing? A vehicle that never comes back blocks nothing. One
//! that fell silent after it ran the new model counts as failed.

pub mod cohort;
pub mod engine;
pub mod evidence;
pub mod freeze;
pub mod judge;
pub mod plan;
pub mod sequential;
pub mod stage;
#[cfg(test)]
mod tests;

pub use engine::{Act, Approval, Decision, Engine, Person, Phase, Refused, Verb};
pub use evidence::{Evidence, Metric, Readings, Tally};
pub use judge::Waiting;
pub use plan::{Gates, OnStop, Plan, PlanError, Wave};
