//! The board: registers, vectors and memory that no crate describes (Arm DAI 0386 "AN386"; DDI 0479 "Cortex-M System
//! Design Kit", sections 4.3 UART and 4.7 watchdog).
#![allow(unsafe_code)] // The only such file of this crate: registers, the vector table, memory outside every section.

use crate::uart;
use core::ptr;
use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use telltale_bridge::Kept;

/// The core's clock, which also drives SysTick, the UARTs and the watchdog.
pub(crate) const CLOCK_HZ: u32 = 25_000_000;

/// Bytes of the ring: what is left of its 32 KiB behind the two headers of 64 bytes.
pub(crate) const RING: usize = 32 * 1024 - 128;

/// Painted over the stack before the start (cortex-m-rt, `paint-stack`).
const STACK_PAINT: u32 = 0xCCCC_CCCC;

/// A UART's registers.
#[derive(Clone, Copy)]
pub(crate) struct UartRegisters(usize);

pub(crate) const UART0: UartRegisters = UartRegisters(0x4000_4000);
pub(crate) const UART1: UartRegisters = UartRegisters(0x4000_5000);

/// The byte to send, or the one received.
pub(crate) const DATA: usize = 0x00;
/// Bits of [`FULL_TX`], [`FULL_RX`]; writing [`OVERRUN_RX`] clears it.
pub(crate) const STATE: usize = 0x04;
/// What is enabled.
pub(crate) const CTRL: usize = 0x08;
/// Interrupts that stand; writing ones clears them.
pub(crate) const INT: usize = 0x0C;
/// The clock over the baud rate, 16 at least.
pub(crate) const BAUDDIV: usize = 0x10;

pub(crate) const FULL_TX: u32 = 1 << 0;
pub(crate) const FULL_RX: u32 = 1 << 1;
pub(crate) const OVERRUN_RX: u32 = 1 << 3;

impl UartRegisters {
    pub(crate) fn read(self, register: usize) -> u32 {
        read(self.0 + register)
    }

    pub(crate) fn write(self, register: usize, value: u32) {
        write(self.0 + register, value);
    }
}

/// The watchdog: it interrupts after one period without being fed, and resets after the second.
pub(crate) struct Watchdog(());

impl Watchdog {
    const BASE: usize = 0x4000_8000;
    const LOAD: usize = Self::BASE;
    const CONTROL: usize = Self::BASE + 0x08;
    const CLEAR: usize = Self::BASE + 0x0C;

    /// Starts it with this period in seconds.
    pub(crate) fn start(seconds: u32) -> Watchdog {
        write(Self::LOAD, CLOCK_HZ.saturating_mul(seconds));
        // INTEN starts the counter, RESEN lets it reset.
        write(Self::CONTROL, 0b11);
        Watchdog(())
    }

    /// Begins its period anew.
    pub(crate) fn feed(&mut self) {
        write(Self::CLEAR, 1);
    }
}

fn read(address: usize) -> u32 {
    // SAFETY: the addresses of this file are registers of the board, aligned, and readable at any time.
    unsafe { ptr::read_volatile(address as *const u32) }
}

fn write(address: usize, value: u32) {
    // SAFETY: the addresses of this file are registers of the board; none of them lets the hardware touch memory.
    unsafe { ptr::write_volatile(address as *mut u32, value) }
}

unsafe extern "C" {
    static mut _kept_start: [u8; 0];
    static _stack_end: [u32; 0];
    static _stack_start: [u32; 0];
}

/// The memory that outlives a restart. To be called once: it is asked for in `main` alone.
pub(crate) fn kept() -> &'static mut Kept<RING> {
    const { assert!(size_of::<Kept<RING>>() == 32 * 1024, "the linker script gives it 32 KiB") }
    // SAFETY: the region lies outside every section, is as large as the type, and no one else knows its address. The type
    // is made of bytes, for which whatever stands there is a value, and has no alignment.
    unsafe { &mut *(&raw mut _kept_start).cast::<Kept<RING>>() }
}

/// Bytes of stack that were never used since the start.
pub(crate) fn stack_unused() -> u32 {
    let (mut word, top) = (&raw const _stack_end as *const u32, &raw const _stack_start as *const u32);
    let mut unused = 0;
    // SAFETY: both are symbols of the linker script, aligned, with nothing but RAM between them; reading stops at the first
    // word that was written, long before the frames in use.
    while word < top && unsafe { ptr::read_volatile(word) } == STACK_PAINT {
        // SAFETY: within the stack, as above.
        word = unsafe { word.add(1) };
        unused += 4;
    }
    unused
}

/// The interrupts that are used, by their place in the table.
#[derive(Clone, Copy)]
#[repr(u16)]
enum Irq {
    Uart0Rx = 0,
    Uart0Tx = 1,
    Uart1Rx = 2,
}

// SAFETY: the numbers are those of the board, and stay.
unsafe impl InterruptNumber for Irq {
    fn number(self) -> u16 {
        self as u16
    }
}

/// Lets the interrupts come. Their handlers share nothing with the loop but what critical sections guard.
pub(crate) fn enable_interrupts() {
    for irq in [Irq::Uart0Rx, Irq::Uart0Tx, Irq::Uart1Rx] {
        // SAFETY: no critical section of this firmware rests on a mask of single interrupts.
        unsafe { NVIC::unmask(irq) };
    }
}

extern "C" fn agent_line() {
    uart::AGENT.interrupt();
}

extern "C" fn controller_line() {
    uart::CONTROLLER.interrupt();
}

/// The handlers of the device's interrupts, from number 0.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [extern "C" fn(); 3] = [agent_line, agent_line, controller_line];
