//! System tests: the real binaries against each other, in one test binary.

// A system test is a test throughout, helpers included: it may end by panic and says what it skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod bench;
mod bridge_line;
mod bridge_machine;
mod bridge_rig;
mod bridge_spi;
mod bridge_spidev;
mod cars;
mod condition;
mod configuration;
mod dbc_differential;
mod faults;
mod footprint;
mod health;
mod heap;
mod hostile;
mod intrusion;
mod kill9;
mod kona;
mod kubernetes;
mod links;
mod live;
mod losses;
mod operation;
mod orders;
mod outlook;
mod over_the_air;
mod page;
mod parity;
mod protection;
mod quota;
mod release;
mod rig;
mod scenarios;
mod sealed;
mod snapshot;
mod soak;
mod spooled;
mod statistics;
mod stick;
mod sync;
mod system_calls;
mod trips;
mod update;
mod update_server;
// The machine's launcher stands by itself and is shared with `cargo xtask uml`.
#[path = "../../cross/xtask/src/uml.rs"]
mod uml;
mod vcan;
// The signed repositories of the attacks, honest here.
#[path = "../attacks/world.rs"]
#[allow(dead_code, reason = "it is made for more than is done with it here")]
mod world;
