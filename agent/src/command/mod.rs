//! One file a command. Each takes its arguments, composes the rooms it needs, and writes to standard output.

#[cfg(feature = "workbench")]
pub(crate) mod bundle;
#[cfg(feature = "workbench")]
mod bundle_seal;
#[cfg(feature = "workbench")]
pub(crate) mod bus;
mod bus_report;
pub(crate) mod catalog;
pub(crate) mod check;
pub(crate) mod dbc;
mod drift_report;
#[cfg(feature = "workbench")]
pub(crate) mod encode;
mod estimate_report;
#[cfg(feature = "workbench")]
pub(crate) mod features;
pub(crate) mod model;
pub(crate) mod replay;
mod report;
pub(crate) mod run;
#[cfg(feature = "workbench")]
pub(crate) mod sil;
#[cfg(feature = "workbench")]
pub(crate) mod simulate;
pub(crate) mod snapshot;
#[cfg(feature = "workbench")]
pub(crate) mod spool;
pub(crate) mod status;
pub(crate) mod tell;
#[cfg(feature = "workbench")]
pub(crate) mod top;
