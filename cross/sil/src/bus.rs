//! A CAN bus: who may send when. Of the frames that wait, the one with the lowest identifier goes first, and one
//! occupies the bus for its bits (ISO 11898-1, 10.4: bus access).

use crate::bms;
use crate::fault::Ecu;
use crate::powertrain;
use crate::protect::Protection;

/// How long a frame of eight bytes takes at 500 kbit/s: 111 bits, some stuffed ones, and the space between frames.
pub(crate) const FRAME_US: i64 = 250;
/// Frames that wait on a bus that is full, of all units together; beyond it a controller's mailbox is overwritten,
/// the oldest first. 6 kB.
const MAX_WAITING: usize = 256;

/// A frame that a unit wants to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outgoing {
    pub(crate) due_us: i64,
    pub(crate) id: u16,
    pub(crate) data: [u8; 8],
}

/// One bus.
#[derive(Default)]
pub(crate) struct Bus {
    /// Handed over, in order of their time.
    waiting: Vec<Outgoing>,
    /// Due, and not sent yet.
    ready: Vec<Outgoing>,
    free_us: i64,
}

impl Bus {
    /// Takes the frames of a step.
    pub(crate) fn queue(&mut self, frames: &mut Vec<Outgoing>) {
        self.waiting.append(frames);
        self.waiting.sort_unstable_by_key(|frame| (frame.due_us, frame.id));
    }

    /// Sends what the bus takes before a time; each frame with the time at which it starts.
    pub(crate) fn transmit(&mut self, before_us: i64, mut send: impl FnMut(i64, Outgoing)) {
        let mut taken = 0;
        loop {
            if self.ready.is_empty()
                && let Some(next) = self.waiting.get(taken)
            {
                self.free_us = self.free_us.max(next.due_us);
            }
            if self.free_us >= before_us {
                break;
            }
            while let Some(frame) = self.waiting.get(taken).filter(|frame| frame.due_us <= self.free_us) {
                self.ready.push(*frame);
                taken += 1;
            }
            let first = self.ready.iter().enumerate().min_by_key(|(_, frame)| (frame.id, frame.due_us));
            let Some((place, _)) = first else { break };
            let frame = self.ready.swap_remove(place);
            send(self.free_us, frame);
            self.free_us += FRAME_US;
        }
        self.waiting.drain(..taken);
        if self.ready.len() > MAX_WAITING {
            self.ready.sort_unstable_by_key(|frame| frame.due_us);
            self.ready.drain(..self.ready.len() - MAX_WAITING);
        }
    }

    /// The units sleep: what waits is lost.
    pub(crate) fn sleep(&mut self) {
        self.waiting.clear();
        self.ready.clear();
    }
}

/// The unit that sends an identifier.
pub(crate) fn sender(id: u16) -> Option<Ecu> {
    match id {
        0x180..=0x184 | 0x190..=0x192 | 0x1A0..=0x1B7 => Some(Ecu::Bms),
        0x0F0..=0x0F4 | 0x1F0 | 0x1F1 => Some(Ecu::Powertrain),
        _ => None,
    }
}

/// How an identifier is protected end to end.
pub(crate) const fn protection(id: u16) -> Option<Protection> {
    match id {
        bms::PACK => Some(Protection::Closing),
        powertrain::MOTOR | powertrain::PEDALS | powertrain::SPEED | powertrain::CONTACTORS => {
            Some(Protection::Profile1)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(due_us: i64, id: u16) -> Outgoing {
        Outgoing { due_us, id, data: [0; 8] }
    }

    fn sent(bus: &mut Bus, mut frames: Vec<Outgoing>, before_us: i64) -> Vec<(i64, u16)> {
        let mut out = Vec::new();
        bus.queue(&mut frames);
        bus.transmit(before_us, |at, frame| out.push((at, frame.id)));
        out
    }

    #[test]
    fn the_lowest_identifier_goes_first_and_a_frame_takes_its_time() {
        let frames = vec![frame(1_000, 0x300), frame(1_000, 0x100), frame(1_100, 0x200), frame(9_000, 0x001)];
        let all = sent(&mut Bus::default(), frames, 10_000);
        assert_eq!(all, [(1_000, 0x100), (1_250, 0x200), (1_500, 0x300), (9_000, 0x001)]);
    }

    #[test]
    fn what_does_not_fit_waits_and_a_full_bus_forgets_the_oldest() {
        let mut bus = Bus::default();
        assert_eq!(sent(&mut bus, vec![frame(900, 1), frame(900, 2)], 1_000), [(900, 1)]);
        assert_eq!(sent(&mut bus, vec![], 2_000), [(1_150, 2)]);
        let flood = |from: i64| (0..400).map(|k| frame(from + k * FRAME_US, 0)).collect::<Vec<_>>();
        for step in 0..40 {
            let mut frames = flood(100_000 * step + 2_000);
            frames.extend((0..40).map(|k| frame(100_000 * step + 2_000, 0x100 + k)));
            let out = sent(&mut bus, frames, 100_000 * (step + 1) + 2_000);
            assert!(out.len() <= 401 && out.windows(2).all(|w| w[0].0 < w[1].0), "step {step}");
            assert!(bus.ready.len() <= MAX_WAITING);
        }
    }
}
