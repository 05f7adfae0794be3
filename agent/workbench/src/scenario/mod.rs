//! Scenarios: what a simulated vehicle does and suffers, and what the agent is to say of it and when. A few files make
//! thousands of drives; each goes through the vehicle's own pipeline with its models, through the spool and the uplink to
//! a cloud, in virtual time, and one file and one number give the same records to the bit on every machine.

mod cloud;
mod coverage;
mod expect;
mod file;
mod memory;
mod report;
mod run;
mod shrink;
mod suite;

pub use coverage::Coverage;
pub use expect::{Departure, Failure};
pub use file::{FileError, Scenario, read};
pub use report::{command, html, json, junit};
pub use run::{Outcome, RunError, Workshop};
pub use shrink::shrink;
pub use suite::{Suite, Verdicts, run_all};

#[cfg(test)]
mod tests;
