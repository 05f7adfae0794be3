//! The buses themselves: what their controllers tell, when one is restarted, and the account of each.

mod account;
mod announce;
mod error_frame;
mod link;
mod messages;
mod monitor;
mod restart;
pub mod rtnetlink;
#[cfg(test)]
mod tests;
mod unknown;

pub use error_frame::ErrorReport;
pub use link::{Absence, LinkEvent, LinkNews};
pub use monitor::Monitor;
pub use restart::RestartPolicy;
