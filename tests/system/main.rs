//! System tests.

// A system test is a test throughout, helpers included: it may end by panic and says what it skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod dbc_differential;
