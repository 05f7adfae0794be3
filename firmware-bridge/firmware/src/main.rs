//! A whole firmware around `telltale_bridge`, for Arm's MPS2 board with a Cortex-M4, which QEMU has as `mps2-an386`.
//!
//! UART0 is the line to the agent. The board has no CAN controller: on UART1 hangs one that speaks `LinkMessage::Frame`
//! (`can.rs`), which is what a test feeds with real frames. Interrupts move bytes; one loop does the rest and sleeps
//! when there is nothing to do. The last frames stand in memory that a restart does not touch, and a watchdog restarts
//! what hangs.
//!
//! `cargo xtask firmware` builds it; for any other target this is a program that says so.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod board;
#[cfg(target_os = "none")]
mod can;
#[cfg(target_os = "none")]
mod clock;
#[cfg(target_os = "none")]
mod turn;
#[cfg(target_os = "none")]
mod uart;

#[cfg(not(target_os = "none"))]
fn main() -> std::process::ExitCode {
    eprintln!("this is a microcontroller's firmware: build it with `cargo xtask firmware`");
    std::process::ExitCode::FAILURE
}
