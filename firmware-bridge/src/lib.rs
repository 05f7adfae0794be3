//! The microcontroller's half of the CAN bridge: frames in from any `embedded-can` controller, readings from any
//! [`Sampler`], out over any `embedded-io` line, in the link protocol of [`telltale_wire::bridge`]: a UART, or an
//! [`Exchange`] where the chip is a peripheral on the agent's SPI. `no_std`, no allocator, no clock of its own.
//!
//! The firmware calls [`Forwarder::heard`] for each frame, [`Forwarder::sampled`] for each reading,
//! [`Forwarder::listen`] for each byte of the agent, and [`Forwarder::pump`] whenever it has time. None of them waits.
//! What the line or the agent cannot take yet stands in a [`Kept`] ring of the last frames, in memory that no start-up
//! code touches: it outlives a restart of the agent's computer and of the microcontroller. When the ring is full its oldest
//! frames fall out, are counted, and reported.
//!
//! `firmware-bridge/firmware` is a whole firmware around it.
#![no_std]

mod acceptance;
mod exchange;
mod forwarder;
mod ring;
pub mod sampler;
mod vigil;

pub use exchange::{Exchange, NoRoom};
pub use forwarder::{Forwarder, Outcome};
pub use ring::Kept;
pub use sampler::Sampler;
pub use vigil::Vigil;
