//! The link over SPI, where the agent is the controller: when to begin a transaction, what to put into it, and what to do
//! with what came back.
//!
//! `telltale_wire::bridge::SpiTransaction` says how the two sides take turns. Here is the pace: a transaction at once when
//! the bridge calls for one, a millisecond's rest behind one that fetched all there was, because a wake-up costs more
//! than the frames; and ever longer pauses before a bridge that calls and has nothing to say.

use super::{BridgeLink, MAX_TRANSMIT};
use crate::frame::CanFrame;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;
use telltale_wire::bridge::{SPI_TRANSACTION, SpiTransaction, is_unanswered};
use telltale_wire::time::MonoTime;

/// The pause behind a transaction, unless it was full and the bridge calls for the next: its firmware takes microseconds
/// to arm the next buffer, and frames gather meanwhile.
const REST: Duration = Duration::from_millis(1);

/// So many calls in a row may bring nothing, before the pause is doubled with each one, up to the longest.
const VAIN_CALLS: u32 = 4;
const LONGEST_REST: Duration = Duration::from_millis(128);

/// So many transactions in a row, in vain or without a call, show that the wire is not the bridge's.
const TROUBLE: u32 = 100;

/// The wire `ready`, as the shell sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReadyWire {
    /// It rose since it was last looked at.
    pub rose: bool,
    /// It is high.
    pub high: bool,
}

/// What is wrong with the wiring, for a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpiTrouble {
    /// The bridge answers, and never calls.
    NeverReady,
    /// The bridge calls all the time, and has nothing to say.
    AlwaysReady,
}

impl fmt::Display for SpiTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeverReady => {
                "it answers, but its ready wire never rises: is `ready` the line that it is soldered to? Until then it is \
                 asked ten times a second"
            }
            Self::AlwaysReady => {
                "its ready wire stays high or flutters, and there is nothing to fetch: is `ready` the line that it is \
                 soldered to, and are mode and speed the firmware's?"
            }
        })
    }
}

/// What was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpiCounts {
    /// Transactions.
    pub transactions: u64,
    /// Of these, the ones that the bridge called for and that brought nothing.
    pub vain: u64,
    /// Of these, the ones in which nobody drove the line: the bridge is off, or had no buffer.
    pub unanswered: u64,
}

/// Carries a [`BridgeLink`] in transactions.
#[derive(Debug, Default)]
pub struct SpiCarrier {
    out: SpiTransaction,
    ended_at: MonoTime,
    rest: Duration,
    /// The wire rose since the last transaction began, or is high.
    called: bool,
    high: bool,
    /// The transaction under way was called for.
    fetching: bool,
    /// How many in a row were called for and brought nothing, or brought something uncalled.
    vain: u32,
    uncalled: u32,
    told: bool,
    trouble: Option<SpiTrouble>,
    counts: SpiCounts,
}

impl SpiCarrier {
    /// A carrier that has carried nothing yet.
    #[must_use]
    pub fn new() -> SpiCarrier {
        SpiCarrier::default()
    }

    /// The bytes to send in a transaction that is to begin at `now`; `None` if there is no cause for one. What the shell
    /// has sent and received goes into [`SpiCarrier::exchanged`]; where it cannot be carried, the link is to be connected
    /// anew.
    pub fn poll_exchange(
        &mut self,
        link: &mut BridgeLink,
        wire: ReadyWire,
        now: MonoTime,
    ) -> Option<&[u8; SPI_TRANSACTION]> {
        self.called |= wire.rose;
        self.high = wire.high;
        if now < self.not_before() {
            return None;
        }
        let mut message = [0; MAX_TRANSMIT];
        self.out.clear();
        while self.out.has_room() {
            let Some(len) = link.poll_transmit(now, &mut message) else { break };
            if !self.out.push(&message[..len]) {
                break;
            }
        }
        // A wire that is still high a while after the last transaction rose unseen.
        self.fetching = self.is_called();
        if self.out.is_empty() && !self.fetching {
            return None;
        }
        self.called = false;
        Some(self.out.bytes())
    }

    /// The transaction ended at `now`, and this came back: appends the frames in it, as [`BridgeLink::receive`] does.
    pub fn exchanged(
        &mut self,
        link: &mut BridgeLink,
        received: &[u8; SPI_TRANSACTION],
        now: MonoTime,
        frames: &mut VecDeque<CanFrame>,
    ) {
        self.counts.transactions += 1;
        self.ended_at = now;
        let unanswered = is_unanswered(received);
        let last = received.iter().rposition(|byte| *byte != 0).filter(|_| !unanswered);
        let filled = last.map_or(0, |at| at + 1);
        self.counts.unanswered += u64::from(unanswered);
        if filled > 0 {
            // The zero that ends a transaction, whatever became of its last bytes.
            link.receive(&received[..filled], now, frames);
            link.receive(&[0], now, frames);
        }
        self.judge(filled > 0);
        let doublings = self.vain.saturating_sub(VAIN_CALLS).min(LONGEST_REST.as_millis().ilog2());
        self.rest = REST * (1 << doublings);
        // Where no third message would have found room, or an idle buffer was fetched first, the next one waits already.
        let goes_on = filled + MAX_TRANSMIT > SPI_TRANSACTION || filled == 0 && self.fetching;
        if goes_on && self.vain <= VAIN_CALLS {
            self.rest = Duration::ZERO;
        }
    }

    /// When [`SpiCarrier::poll_exchange`] is to be asked next, unless the wire rises before.
    #[must_use]
    pub fn poll_timeout(&self, link: &BridgeLink) -> MonoTime {
        let due = if self.is_called() { MonoTime(0) } else { link.poll_timeout() };
        due.max(self.not_before())
    }

    /// Whether the bridge has called for a transaction that is still to come: there is no need to watch the wire.
    #[must_use]
    pub const fn is_called(&self) -> bool {
        self.called || self.high
    }

    /// What is wrong with the wiring, once.
    pub fn poll_trouble(&mut self) -> Option<SpiTrouble> {
        self.trouble.take()
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counts(&self) -> &SpiCounts {
        &self.counts
    }

    /// A call lets the next transaction begin as soon as the rest is over; without one the firmware gets the time to arm
    /// its next buffer.
    fn not_before(&self) -> MonoTime {
        if self.counts.transactions == 0 {
            return MonoTime(0);
        }
        self.ended_at.plus(if self.called { self.rest } else { self.rest.max(REST) })
    }

    fn judge(&mut self, brought: bool) {
        match (self.fetching, brought) {
            (true, false) => {
                self.counts.vain += 1;
                self.vain = self.vain.saturating_add(1);
            }
            (false, true) => self.uncalled = self.uncalled.saturating_add(1),
            (true, true) => (self.vain, self.uncalled) = (0, 0),
            (false, false) => {}
        }
        let trouble = if self.vain >= TROUBLE {
            SpiTrouble::AlwaysReady
        } else if self.uncalled >= TROUBLE {
            SpiTrouble::NeverReady
        } else {
            return;
        };
        if !self.told {
            (self.told, self.trouble) = (true, Some(trouble));
        }
    }
}

#[cfg(test)]
mod tests;
