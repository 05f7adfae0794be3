//! The microcontroller's half of the CAN bridge: frames in from any `embedded-can` controller, out over any
//! `embedded-io` line, in the link protocol of [`telltale_wire::bridge`]. `no_std`, no allocator.
//!
//! The firmware calls [`Forwarder::forward`] for each frame it hears, [`Forwarder::pump`] whenever it has time and
//! [`Forwarder::announce`] once a second. None of them waits for the line: when the line is slower than the bus,
//! frames are dropped, counted and reported, and the next ones go on.
#![no_std]

mod forwarder;

pub use forwarder::{Forwarder, Outcome};
