//! A UART with a queue each way, filled and emptied by interrupts.

use crate::board::{self, BAUDDIV, CTRL, DATA, FULL_RX, FULL_TX, INT, OVERRUN_RX, STATE, UartRegisters};
use core::cell::RefCell;
use core::convert::Infallible;
use critical_section::{CriticalSection, Mutex};
use embedded_io::{ErrorType, Write, WriteReady};
use heapless::Deque;

/// Bytes that wait each way: two of the longest messages out, and as much in as comes in 3 ms.
const QUEUE: usize = 512;

/// The fastest that the UART has: 1,562,500 baud at 25 MHz. A full bus needs 1.4 Mbaud.
const DIVIDER: u32 = 16;

const ENABLE_TX: u32 = 1 << 0;
const ENABLE_RX: u32 = 1 << 1;
const ENABLE_TX_INT: u32 = 1 << 2;
const ENABLE_RX_INT: u32 = 1 << 3;
const ALL_ENABLED: u32 = ENABLE_TX | ENABLE_RX | ENABLE_TX_INT | ENABLE_RX_INT;

/// The line to the agent.
pub(crate) static AGENT: Uart = Uart::new(board::UART0);
/// The line from the CAN controller.
pub(crate) static CONTROLLER: Uart = Uart::new(board::UART1);

pub(crate) struct Uart {
    registers: UartRegisters,
    queues: Mutex<RefCell<Queues>>,
}

struct Queues {
    received: Deque<u8, QUEUE>,
    to_send: Deque<u8, QUEUE>,
    /// Bytes that were gone before the interrupt came.
    overruns: u32,
}

impl Uart {
    const fn new(registers: UartRegisters) -> Self {
        let queues = Queues { received: Deque::new(), to_send: Deque::new(), overruns: 0 };
        Self { registers, queues: Mutex::new(RefCell::new(queues)) }
    }

    pub(crate) fn start(&self) {
        self.registers.write(BAUDDIV, DIVIDER);
        self.registers.write(CTRL, ALL_ENABLED);
    }

    pub(crate) fn interrupt(&self) {
        critical_section::with(|section| self.serve(section));
    }

    /// The next byte that was received.
    pub(crate) fn read(&self) -> Option<u8> {
        critical_section::with(|section| {
            let byte = self.queues.borrow_ref_mut(section).received.pop_front();
            // A byte that found no room still stands in the register, its interrupt switched off.
            if byte.is_some() && self.registers.read(CTRL) & ENABLE_RX_INT == 0 {
                self.registers.write(CTRL, ALL_ENABLED);
                self.serve(section);
            }
            byte
        })
    }

    /// Whether bytes were received that nobody took.
    pub(crate) fn has_bytes(&self, section: CriticalSection<'_>) -> bool {
        !self.queues.borrow_ref(section).received.is_empty()
    }

    /// How often bytes were gone before they could be taken, since the last call.
    pub(crate) fn take_overruns(&self) -> u32 {
        critical_section::with(|section| core::mem::take(&mut self.queues.borrow_ref_mut(section).overruns))
    }

    /// Moves what can be moved between the registers and the queues.
    fn serve(&self, section: CriticalSection<'_>) {
        let queues = &mut *self.queues.borrow_ref_mut(section);
        self.registers.write(INT, u32::MAX);
        if self.registers.read(STATE) & OVERRUN_RX != 0 {
            self.registers.write(STATE, OVERRUN_RX);
            queues.overruns += 1;
        }
        while self.registers.read(STATE) & FULL_RX != 0 {
            if queues.received.is_full() {
                self.registers.write(CTRL, ALL_ENABLED & !ENABLE_RX_INT);
                break;
            }
            let _ = queues.received.push_back(self.registers.read(DATA) as u8);
        }
        while self.registers.read(STATE) & FULL_TX == 0 {
            let Some(byte) = queues.to_send.pop_front() else { break };
            self.registers.write(DATA, u32::from(byte));
        }
    }
}

impl ErrorType for &Uart {
    type Error = Infallible;
}

impl WriteReady for &Uart {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(critical_section::with(|section| !self.queues.borrow_ref(section).to_send.is_full()))
    }
}

impl Write for &Uart {
    /// Takes what finds room in the queue; does not wait.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(critical_section::with(|section| {
            let taken = {
                let to_send = &mut self.queues.borrow_ref_mut(section).to_send;
                bytes.iter().take_while(|byte| to_send.push_back(**byte).is_ok()).count()
            };
            self.serve(section);
            taken
        }))
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
