//! The microcontroller's half of the CAN bridge: `no_std`, no allocator.
#![no_std]
