//! The line of a microcontroller that is a peripheral on the agent's SPI: what to put into the next transaction, what to
//! do with the one that ended.
//!
//! `embedded-hal` has traits for a controller alone, and every chip moves a peripheral's bytes in its own way. So this
//! room does no input or output: the chip's interrupt handler asks an [`Exchange`] what to send and hands it what came.
//! [`telltale_wire::bridge::SpiTransaction`] is what goes over the wire; a transaction never carries part of a message.
//!
//! What the handler owes the agent is an order: `ready` low, then the old buffers given up, then the new ones armed, then
//! `ready` as [`Exchange::ready`] says. On an STM32 with SPI1 as a peripheral in mode 0, two channels of DMA between it and
//! memory, chip select also on an EXTI line for both edges, and `ready` on any output:
//!
//! ```
//! use telltale_bridge::Exchange;
//! use telltale_wire::bridge::SPI_TRANSACTION;
//!
//! /// The registers of the chip at hand.
//! trait Spi1 {
//!     /// RCC: resets SPI1 and enables it again, which also empties its FIFOs. Without it, bytes that were fetched ahead
//!     /// of the end of a transaction begin the next one.
//!     fn reset(&mut self);
//!     /// DMA: CMAR and CNDTR of both channels, then their EN. Both must outlive the transaction, in memory that no one
//!     /// else writes to meanwhile; a chip with a data cache cleans it here.
//!     fn arm(&mut self, send: &[u8; SPI_TRANSACTION], receive: &mut [u8; SPI_TRANSACTION]);
//!     /// DMA: both channels off; SPI_TRANSACTION less CNDTR of the receiving one.
//!     fn disarm(&mut self) -> usize;
//!     /// GPIO: BSRR of `ready`.
//!     fn set_ready(&mut self, high: bool);
//!     /// GPIO: IDR of chip select.
//!     fn is_selected(&self) -> bool;
//! }
//!
//! /// EXTI, chip select rose: a transaction ended.
//! fn deselected(chip: &mut impl Spi1, exchange: &mut Exchange, came: &mut [u8; SPI_TRANSACTION]) {
//!     chip.set_ready(false);
//!     let clocked = chip.disarm().min(SPI_TRANSACTION);
//!     exchange.ended(&came[..clocked]);
//!     chip.reset();
//!     chip.arm(exchange.to_send(), came);
//!     chip.set_ready(exchange.ready());
//! }
//!
//! /// The loop, with interrupts masked, whenever `Forwarder::pump` moved something into the exchange.
//! fn pumped(chip: &mut impl Spi1, exchange: &mut Exchange, came: &mut [u8; SPI_TRANSACTION]) {
//!     // A transaction that has begun goes on with the idle buffer; the next one has the messages.
//!     if !chip.is_selected() && exchange.bring_forward() {
//!         chip.disarm();
//!         chip.reset();
//!         chip.arm(exchange.to_send(), came);
//!     }
//!     chip.set_ready(exchange.ready());
//! }
//! ```
//!
//! The loop's turn is then `exchange.next_byte()` into `Forwarder::listen` until there is none, and
//! `Forwarder::pump(&mut exchange, now)`. A chip that cannot arm anew between transactions leaves `bring_forward` out: the
//! agent then fetches one idle buffer before the messages.

use core::fmt;
use embedded_io::{ErrorKind, ErrorType, Write, WriteReady};
use heapless::Deque;
use telltale_wire::bridge::{SPI_TRANSACTION, SpiTransaction, is_unanswered};

/// Bytes of the agent that wait for the loop: what one transaction brings, its idle bytes left out.
const RECEIVED: usize = SPI_TRANSACTION;

/// Both buffers that go out in turn, and what came in. 1.6 kB. All calls are to be made from within one critical section,
/// or from one task.
pub struct Exchange {
    out: [SpiTransaction; 2],
    /// Which of both the chip sends from; the other one takes messages.
    armed: usize,
    received: Deque<u8, RECEIVED>,
    /// The last byte that was taken in was a zero: another one says nothing new.
    idle: bool,
    overruns: u32,
}

/// More than one message at once was written. [`crate::Forwarder`] never does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRoom;

impl Exchange {
    /// An exchange with nothing to say.
    #[must_use]
    pub const fn new() -> Self {
        let out = [SpiTransaction::new(), SpiTransaction::new()];
        Self { out, armed: 0, received: Deque::new(), idle: true, overruns: 0 }
    }

    /// What the chip is to send in the next transaction. These bytes stay in their place, and as they are, until
    /// [`Exchange::ended`], or a [`Exchange::bring_forward`] that said so.
    #[must_use]
    pub const fn to_send(&self) -> &[u8; SPI_TRANSACTION] {
        self.out[self.armed].bytes()
    }

    /// Whether there is something to fetch, for the wire of that name once the chip is armed.
    #[must_use]
    pub const fn ready(&self) -> bool {
        !self.out[0].is_empty() || !self.out[1].is_empty()
    }

    /// A transaction ended, in which this came: as many bytes as were clocked. What was sent in it is given up, also where
    /// fewer bytes were clocked than it has: nobody knows which of them arrived.
    pub fn ended(&mut self, received: &[u8]) {
        if received.is_empty() {
            return;
        }
        if !is_unanswered(received) {
            received.iter().for_each(|byte| self.take(*byte));
            self.take(0);
        }
        self.out[self.armed].clear();
        self.bring_forward();
    }

    /// Puts what waits in place of an idle buffer. Whether [`Exchange::to_send`] is another one now, which the chip has to be
    /// armed with anew; not to be called during a transaction.
    pub fn bring_forward(&mut self) -> bool {
        let waits = self.out[self.armed].is_empty() && !self.out[1 - self.armed].is_empty();
        if waits {
            self.armed = 1 - self.armed;
        }
        waits
    }

    /// The next byte of the agent, for [`crate::Forwarder::listen`].
    pub fn next_byte(&mut self) -> Option<u8> {
        self.received.pop_front()
    }

    /// How many bytes of the agent found no room since the start: the loop was away. The agent repeats them.
    #[must_use]
    pub const fn overruns(&self) -> u32 {
        self.overruns
    }

    fn take(&mut self, byte: u8) {
        if byte == 0 && self.idle {
            return;
        }
        // The last place is a zero's: what was cut must not run into the message behind it.
        let has_room = self.received.len() < RECEIVED - usize::from(byte != 0);
        if has_room && self.received.push_back(byte).is_ok() {
            self.idle = byte == 0;
        } else {
            self.overruns = self.overruns.saturating_add(1);
        }
    }
}

impl Default for Exchange {
    fn default() -> Self {
        Self::new()
    }
}

impl ErrorType for Exchange {
    type Error = NoRoom;
}

impl WriteReady for Exchange {
    /// Whether the longest message has room.
    fn write_ready(&mut self) -> Result<bool, NoRoom> {
        Ok(self.out[1 - self.armed].has_room())
    }
}

impl Write for Exchange {
    /// Takes a message as a whole.
    fn write(&mut self, message: &[u8]) -> Result<usize, NoRoom> {
        if self.out[1 - self.armed].push(message) { Ok(message.len()) } else { Err(NoRoom) }
    }

    fn flush(&mut self) -> Result<(), NoRoom> {
        Ok(())
    }
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room for these bytes in the next SPI transaction: write one message at a time, when it is ready")
    }
}

impl core::error::Error for NoRoom {}

impl embedded_io::Error for NoRoom {
    fn kind(&self) -> ErrorKind {
        ErrorKind::OutOfMemory
    }
}
