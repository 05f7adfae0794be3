//! The engineer's commands, which a vehicle's build does not carry: the simulated vehicle's frames as text,
//! recordings in CSV brought onto CAN, feature tables in Parquet, and scenarios with what is expected of them.

pub mod bundle;
pub mod channel;
pub mod encode;
pub mod feature_table;
pub mod scenario;
pub mod simulate;
