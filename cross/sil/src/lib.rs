//! A vehicle without a vehicle: a pack of 96 cells with its BMS, a powertrain, a driver, a road and a charger, and
//! whatever is made to fail. [`Vehicle`] yields the CAN frames of `models/cell-fault/bms.dbc` and `powertrain.dbc` in
//! virtual time, trips with their gaps between, thousands of times faster than time passes.
//!
//! No file, clock or thread, and nothing that differs between machines: draws are PCG's, transcendental functions
//! libm's, and everything else is defined by IEEE 754. So one [`Spec`] and one seed give one recording, to the byte,
//! everywhere.

mod attack;
mod bms;
mod bus;
mod charger;
mod cycle;
mod day;
mod drivetrain;
mod fault;
mod journey;
mod life;
mod pack;
mod powertrain;
pub mod protect;
mod random;
mod schedule;
mod spec;
mod thermal;
mod truth;
mod vehicle;

pub use fault::{CellNumber, Ecu, Fault, FaultError, KINDS, Kind, KindInfo, ProbeNumber, Target};
pub use journey::Journey;
pub use pack::{CELLS, MODULES};
pub use spec::{Charging, EXAMPLE, PackSpec, Periods, Spec, SpecError, Thermal, Usage, VehicleSpec};
pub use truth::{CellTruth, Pair, Truth, truth};
pub use vehicle::{BMS_BUS, POWERTRAIN_BUS, SimFrame, Vehicle};

#[cfg(test)]
mod drive_fault_tests;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod tests;
