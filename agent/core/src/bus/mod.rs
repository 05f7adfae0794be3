//! The buses themselves: what their controllers tell, when one is restarted, and the account of each.

mod error_frame;
mod restart;

pub use error_frame::ErrorReport;
pub use restart::RestartPolicy;
