//! The link over SPI: how its bytes stand in transactions.
//!
//! The agent's computer is the controller, the microcontroller the peripheral. Both ways at once, most significant bit
//! first, mode 0 unless both are told otherwise, chip select low for one transaction of [`SPI_TRANSACTION`] bytes.
//! Within it stands the same byte stream as on a serial line, under two rules more:
//!
//! - A message never crosses from one transaction into the next; behind the last one come zeros, which
//!   [`LineReader`](super::LineReader) takes for an idle line. So a clock edge that is lost or one too many shifts the
//!   bits of that transaction alone: chip select puts both sides in step again.
//! - The end of a transaction ends a message, as a zero does.
//!
//! A third wire, `ready`, goes from the microcontroller to the agent. It is high while a buffer stands ready for the next
//! transaction **and** there is something to fetch. It falls when a transaction ends, and rises when the next buffer
//! stands. The agent begins a transaction when it sees `ready` rise, or when it has something to say itself. What it says
//! to a microcontroller without a buffer is lost; all that it says is repeated until it has taken effect. What the
//! microcontroller puts into a transaction is not repeated: it is a gap of numbers, and counted, as on a serial line.
//!
//! Where nothing drives the line to the agent, its pull-up reads as ones: [`is_unanswered`].

use super::MAX_ENCODED;

/// Bytes of a transaction, each way: two of the longest messages, each with a zero before it. 0.4 ms at 10 MHz.
pub const SPI_TRANSACTION: usize = 2 * MAX_IN_TRANSACTION;

/// The most that a message takes of a transaction: a zero stands before it.
const MAX_IN_TRANSACTION: usize = MAX_ENCODED + 1;

/// What one side puts into a transaction: whole messages, then zeros.
#[derive(Clone, Debug)]
pub struct SpiTransaction {
    bytes: [u8; SPI_TRANSACTION],
    len: usize,
}

impl SpiTransaction {
    /// An idle one: zeros alone.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; SPI_TRANSACTION], len: 0 }
    }

    /// Whether it carries no message.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the longest message would find room.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.len + MAX_IN_TRANSACTION <= SPI_TRANSACTION
    }

    /// Appends a whole message with its zeros; `false` if there is no room for it.
    #[must_use]
    pub fn push(&mut self, message: &[u8]) -> bool {
        let end = self.len + message.len();
        let Some(place) = self.bytes.get_mut(self.len..end) else { return false };
        place.copy_from_slice(message);
        self.len = end;
        true
    }

    /// Makes it idle again.
    pub fn clear(&mut self) {
        self.bytes[..self.len].fill(0);
        self.len = 0;
    }

    /// What goes over the wire.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; SPI_TRANSACTION] {
        &self.bytes
    }
}

impl Default for SpiTransaction {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether nobody drove the line: ones alone, which no side sends.
#[must_use]
pub fn is_unanswered(received: &[u8]) -> bool {
    received.iter().all(|byte| *byte == u8::MAX)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::{AgentMessage, AgentReader, Grant, LINK_VERSION, OnLine as _, Open};
    use super::*;

    #[test]
    fn a_transaction_holds_whole_messages_and_zeros() {
        let mut transaction = SpiTransaction::new();
        let open = AgentMessage::Open(Open { version: LINK_VERSION, session: 7, window: 9 });
        let mut encoded = [0; MAX_ENCODED];
        let len = open.encode(&mut encoded);
        let mut put = 0;
        while transaction.has_room() {
            assert!(transaction.push(&encoded[..len]));
            put += 1;
        }
        let mut reader = AgentReader::new();
        let read = transaction.bytes().iter().filter_map(|byte| reader.push(*byte));
        assert_eq!(read.map(|message| assert_eq!(message, Ok(open.clone()))).count(), put);
        transaction.clear();
        assert_eq!(transaction.bytes(), SpiTransaction::new().bytes());
    }

    #[test]
    fn two_of_the_longest_messages_fit_and_no_third() {
        let mut transaction = SpiTransaction::new();
        let longest = [1; MAX_IN_TRANSACTION];
        for fits in [true, true, false] {
            assert_eq!((transaction.has_room(), transaction.push(&longest)), (fits, fits));
        }
        assert!(!transaction.push(&[0]), "there is no room for a byte either");
        assert_eq!(transaction.bytes(), &[1; SPI_TRANSACTION]);
    }

    #[test]
    fn a_line_that_nobody_drives_carries_no_message() {
        assert!(is_unanswered(&[0xFF; SPI_TRANSACTION]));
        assert!(!is_unanswered(&[0; SPI_TRANSACTION]), "zeros are an idle bridge's");
        let mut grant = [0; MAX_ENCODED];
        let len = AgentMessage::Grant(Grant { session: u32::MAX, taken: u64::MAX }).encode(&mut grant);
        assert!(!is_unanswered(&grant[..len]), "every message ends with a zero");
    }
}
