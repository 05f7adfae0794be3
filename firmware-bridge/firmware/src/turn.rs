//! The start and the loop.

use crate::board::{self, Watchdog};
use crate::can::Controller;
use crate::clock::{self, now_us};
use crate::uart::{AGENT, CONTROLLER};
use core::cell::Cell;
use core::convert::Infallible;
use core::panic::PanicInfo;
use cortex_m::Peripherals;
use cortex_m::peripheral::SCB;
use cortex_m_rt::entry;
use telltale_bridge::sampler::{Schedule, Values};
use telltale_bridge::{Forwarder, Sampler as _, Vigil};

/// Frames that one turn takes before it looks at the line again: as many as go into one message.
const FRAMES_A_TURN: usize = 18;

/// The identifier of the firmware's own health among the sensors (`sensors.dbc`, BridgeHealth), and how often it is sampled.
const HEALTH: u16 = 0x7F0;
const HEALTH_PERIOD_US: u64 = 1_000_000;

/// The tasks that are to show up, and how long each may stay away. The watchdog bites a second later at the earliest.
const LINE: usize = 0;
const SENSORS: usize = 1;
const ABSENCE_US: u64 = 3_000_000;
const WATCHDOG_S: u32 = 2;

#[entry]
fn main() -> ! {
    // This board has no source of chance. The agent tells a cold start by clock and numbers too, which begin anew.
    let mut bridge = Forwarder::new(board::kept(), u32::from_le_bytes(*b"MPS2"));
    if let Some(core) = Peripherals::take() {
        clock::start(core.SYST, bridge.clock_us());
    }
    AGENT.start();
    CONTROLLER.start();
    board::enable_interrupts();

    let mut watchdog = Watchdog::start(WATCHDOG_S);
    let mut vigil = Vigil::<2>::new(now_us(), ABSENCE_US);
    let mut controller = Controller::new();
    let health = Cell::new([0_u16; 4]);
    let mut sensors = Values::new(HEALTH, || Ok::<_, Infallible>(health.get()));
    let mut schedule = Schedule::new(now_us(), HEALTH_PERIOD_US);
    let mut longest_us = 0;

    loop {
        let began = now_us();
        let mut busy = false;
        while let Some(byte) = AGENT.read() {
            bridge.listen(byte, began);
        }
        for _ in 0..FRAMES_A_TURN {
            let Some(heard) = controller.receive() else { break };
            bridge.controller_lost(u32::from(heard.lost));
            let _ = bridge.heard(0, &heard.frame, now_us());
            busy = true;
        }
        // Bytes of the controller's line; the numbers of its frames tell how many frames those were.
        let _ = CONTROLLER.take_overruns();
        if schedule.is_due(began) {
            let stack = board::stack_unused();
            bridge.measured_stack(stack);
            health.set([
                saturated(bridge.waiting()),
                saturated(longest_us),
                saturated(stack.into()),
                saturated(bridge.restarts().into()),
            ]);
            longest_us = 0;
            // These readings cannot fail.
            let _ = sensors.sample(&mut |id, data| {
                let _ = bridge.sampled(id, data, began);
            });
            vigil.seen(SENSORS, began);
        }
        let Ok(moved) = bridge.pump(&mut &AGENT, began);
        busy |= moved;
        let ended = now_us();
        longest_us = longest_us.max(ended - began);
        vigil.seen(LINE, ended);
        if vigil.may_feed(ended) {
            watchdog.feed();
        }
        if !busy {
            sleep();
        }
    }
}

/// Sleeps until an interrupt, unless one brought bytes since the loop looked.
fn sleep() {
    critical_section::with(|section| {
        if !AGENT.has_bytes(section) && !CONTROLLER.has_bytes(section) {
            // Interrupts are masked, and wake it nevertheless: none is missed between the look and the sleep.
            cortex_m::asm::wfi();
        }
    });
}

/// The largest that is not the sentinel.
fn saturated(value: u64) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX).min(u16::MAX - 1)
}

/// The frames stay, and the agent counts the restart.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    SCB::sys_reset()
}
