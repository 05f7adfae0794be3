//! Microseconds that never go back, from SysTick and its wraps.

use crate::board::CLOCK_HZ;
use core::cell::Cell;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{SCB, SYST};
use cortex_m_rt::exception;
use critical_section::Mutex;

/// SysTick counts 24 bits: half a second is the longest round period at 25 MHz.
const PERIOD_US: u64 = 500_000;
const RELOAD: u32 = CLOCK_HZ / 2 - 1;
const TICKS_PER_US: u32 = CLOCK_HZ / 1_000_000;

/// Where the clock stood when the period under way began.
static PERIOD_START_US: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));

/// Starts the clock, at the time that memory kept from before a restart.
pub(crate) fn start(mut systick: SYST, at_us: u64) {
    critical_section::with(|section| PERIOD_START_US.borrow(section).set(at_us));
    systick.set_clock_source(SystClkSource::Core);
    systick.set_reload(RELOAD);
    systick.clear_current();
    systick.enable_counter();
    systick.enable_interrupt();
}

/// Now.
pub(crate) fn now_us() -> u64 {
    critical_section::with(|section| {
        let counted = SYST::get_current();
        // A wrap whose interrupt still waits: counted anew behind it, and its period is added here.
        let (counted, wrapped) =
            if SCB::is_pendst_pending() { (SYST::get_current(), PERIOD_US) } else { (counted, 0) };
        let within = u64::from((RELOAD - counted.min(RELOAD)) / TICKS_PER_US);
        PERIOD_START_US.borrow(section).get() + wrapped + within
    })
}

#[exception]
fn SysTick() {
    critical_section::with(|section| {
        let start = PERIOD_START_US.borrow(section);
        start.set(start.get() + PERIOD_US);
    });
}
