//! A bridge behind a stream of bytes: a serial port or a socket.

use super::port::{Place, Port};
use crate::source::boot_time;
use std::collections::VecDeque;
use std::io;
use std::thread;
use std::time::Duration;
use telltale_core::bridge::{BridgeLink, MAX_TRANSMIT};
use telltale_core::frame::CanFrame;

/// Bytes of one read: 5 ms of a line at 2 Mbaud.
pub(super) const CHUNK: usize = 1024;

/// Bytes that wait for the line to take them; a link that has more to say waits.
const MAX_UNSENT: usize = 4 * MAX_TRANSMIT;

/// How long a read is put off after one that took all there was: a wake-up costs more than the frames.
const REST: Duration = Duration::from_millis(1);

/// An open line, and what it has not taken yet.
pub(super) struct Stream {
    port: Port,
    unsent: VecDeque<u8>,
    rest: bool,
}

impl Stream {
    pub(super) fn open(place: &Place, baud: u32) -> io::Result<Stream> {
        Ok(Stream {
            port: Port::open(place, baud)?,
            unsent: VecDeque::with_capacity(MAX_UNSENT),
            rest: false,
        })
    }

    /// Says what is to be said, waits for bytes and takes them.
    pub(super) fn exchange(
        &mut self,
        link: &mut BridgeLink,
        wait: Duration,
        frames: &mut VecDeque<CanFrame>,
    ) -> io::Result<()> {
        if std::mem::take(&mut self.rest) {
            thread::sleep(REST.min(wait));
        }
        self.say(link)?;
        let due = link.poll_timeout().since(boot_time());
        self.port.wait(!self.unsent.is_empty(), wait.min(due))?;
        let mut chunk = [0; CHUNK];
        let read = self.port.read(&mut chunk)?;
        self.rest = read < CHUNK;
        if read > 0 {
            link.receive(&chunk[..read], boot_time(), frames);
        }
        self.say(link)
    }

    fn say(&mut self, link: &mut BridgeLink) -> io::Result<()> {
        let mut message = [0; MAX_TRANSMIT];
        while self.unsent.len() + MAX_TRANSMIT <= MAX_UNSENT {
            let Some(len) = link.poll_transmit(boot_time(), &mut message) else { break };
            self.unsent.extend(&message[..len]);
        }
        while !self.unsent.is_empty() {
            let sent = self.port.write(self.unsent.as_slices().0)?;
            if sent == 0 {
                break;
            }
            self.unsent.drain(..sent);
        }
        Ok(())
    }
}
