//! The engineer's commands, which a vehicle's build does not carry: the simulated vehicle's frames as text,
//! recordings in CSV brought onto CAN, and feature tables in Parquet.

pub mod bundle;
pub mod channel;
pub mod encode;
pub mod feature_table;
pub mod simulate;
