//! The last frames that the catalog asks for, as they stood on the bus.
//!
//! Whole frames rather than samples: to keep one is a few stores, whatever number of signals it carries, and nothing
//! is decoded twice until somebody wants to see it. All messages share the ring, so the memory is one figure, and
//! how far back it reaches depends on the load: 2 MiB hold 44 s of a car's full powertrain CAN (2,000 frames a
//! second) and days of a battery's telemetry.

use crate::frame::{BusId, CanFrame, CanId, FrameKind};
use telltale_wire::time::MonoTime;

/// Bytes of a slot: the time, the head, and the first eight bytes of payload. A longer frame takes up to four more.
pub const SLOT: usize = 24;

/// Payload bytes in a frame's first slot, and in each of those behind it.
const IN_FIRST: usize = 8;
const IN_MORE: usize = 16;

/// Stands for the time in slots that continue a frame: 580,000 years after the start.
const CONTINUES: u64 = u64::MAX;

/// A place in the ring, counted from the start of the agent.
pub(super) type Position = u64;

/// A ring of frames in a fixed amount of memory.
pub(super) struct Ring {
    /// Zeroed memory, which the kernel gives page by page as the ring fills for the first time.
    slots: Vec<[u64; 3]>,
    /// The slot that is written next, and how many times all were written before.
    next: usize,
    laps: u64,
}

const EXTENDED: u64 = 1 << 29;
const BUS: u32 = 32;
const LEN: u32 = 40;

impl Ring {
    /// A ring in this many bytes. Below one frame of the longest kind it keeps nothing.
    pub(super) fn new(bytes: usize) -> Ring {
        let slots = bytes / SLOT;
        let slots = if slots < slots_of(CanFrame::MAX_LEN) { 0 } else { slots };
        Ring { slots: vec![[0; 3]; slots], next: 0, laps: 0 }
    }

    /// Keeps a frame; the oldest is overwritten. Allocates nothing.
    #[inline(always)]
    pub(super) fn keep(&mut self, frame: &CanFrame) {
        let id = match frame.id {
            CanId::Standard(id) => u64::from(id),
            CanId::Extended(id) => u64::from(id) | EXTENDED,
        };
        let head = id | u64::from(frame.bus.0) << BUS | (frame.len() as u64) << LEN;
        let [b0, b1, b2, b3, b4, b5, b6, b7, ..] = *frame.buffer();
        self.push([frame.at.0, head, u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7])]);
        if frame.len() > IN_FIRST {
            self.keep_rest(frame);
        }
    }

    #[inline(always)]
    fn push(&mut self, slot: [u64; 3]) {
        match self.slots.get_mut(self.next) {
            Some(place) => *place = slot,
            // One comparison finds the end of the slots, and that there are none.
            None => return self.begin_lap(slot),
        }
        self.next += 1;
    }

    #[cold]
    fn begin_lap(&mut self, slot: [u64; 3]) {
        if let Some(first) = self.slots.first_mut() {
            *first = slot;
            (self.next, self.laps) = (1, self.laps + 1);
        }
    }

    #[cold]
    fn keep_rest(&mut self, frame: &CanFrame) {
        for chunk in frame.payload().get(IN_FIRST..).unwrap_or_default().chunks(IN_MORE) {
            let mut bytes = [0; IN_MORE];
            bytes[..chunk.len()].copy_from_slice(chunk);
            let both = u128::from_le_bytes(bytes);
            self.push([CONTINUES, both as u64, (both >> 64) as u64]);
        }
    }

    /// Whether it keeps anything.
    pub(super) fn is_on(&self) -> bool {
        !self.slots.is_empty()
    }

    /// Behind the newest frame.
    pub(super) fn head(&self) -> Position {
        self.laps * self.slots.len() as u64 + self.next as u64
    }

    /// The oldest frame that is whole.
    fn tail(&self) -> Position {
        let mut at = self.head().saturating_sub(self.slots.len() as u64);
        while self.slot(at).is_some_and(|[time, ..]| time == CONTINUES) {
            at += 1;
        }
        at
    }

    /// Whether it has overwritten anything.
    pub(super) const fn has_let_go(&self) -> bool {
        self.laps > 0
    }

    /// The oldest frame's time.
    pub(super) fn oldest(&self) -> Option<MonoTime> {
        self.get(0).map(|(frame, _)| frame.at)
    }

    /// The position of the first frame at or behind a time.
    pub(super) fn first_from(&self, time: MonoTime) -> Position {
        let mut at = self.tail();
        while let Some([frame_at, head, _]) = self.slot(at)
            && frame_at < time.0
        {
            at += slots_of(len_of(head)) as u64;
        }
        at
    }

    /// The frame at a position, or the oldest there is if that one has been overwritten; and the next one's position.
    pub(super) fn get(&self, at: Position) -> Option<(CanFrame, Position)> {
        let at = at.max(self.tail());
        let [time, head, first] = self.slot(at)?;
        let len = len_of(head).min(CanFrame::MAX_LEN);
        let mut payload = [0; IN_FIRST + 4 * IN_MORE];
        payload[..IN_FIRST].copy_from_slice(&first.to_le_bytes());
        let taken = slots_of(len) as u64;
        let more = (1..taken).zip(payload[IN_FIRST..].chunks_exact_mut(IN_MORE));
        for (place, bytes) in more {
            let [_, low, high] = self.slot(at + place)?;
            bytes.copy_from_slice(&(u128::from(high) << 64 | u128::from(low)).to_le_bytes());
        }
        let number = head as u32 & CanId::MAX_EXTENDED;
        let id = if head & EXTENDED == 0 { CanId::standard(number)? } else { CanId::extended(number)? };
        let bus = BusId((head >> BUS) as u8);
        let frame = CanFrame::new(MonoTime(time), bus, id, FrameKind::Fd, &payload[..len])?;
        Some((frame, at + taken))
    }

    fn slot(&self, at: Position) -> Option<[u64; 3]> {
        if at >= self.head() {
            return None;
        }
        let place = at.checked_rem(self.slots.len() as u64)?;
        self.slots.get(place as usize).copied()
    }
}

const fn len_of(head: u64) -> usize {
    (head >> LEN & 0x7F) as usize
}

const fn slots_of(len: usize) -> usize {
    1 + len.saturating_sub(IN_FIRST).div_ceil(IN_MORE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    fn frame(n: u64) -> CanFrame {
        let payload: Vec<u8> = (0..64).map(|place| (n * 7 + place) as u8).collect();
        let len = [8, 0, 3, 64, 8, 9, 32, 33][n as usize % 8];
        let id =
            if n.is_multiple_of(3) { CanId::extended(n as u32) } else { CanId::standard(n as u32 % 2_000) };
        CanFrame::new(MonoTime(n * 10), BusId(n as u8 % 16), id.unwrap(), FrameKind::Fd, &payload[..len])
            .unwrap()
    }

    /// Whatever the size, it holds the newest frames and no other, whole.
    #[test]
    fn it_holds_the_newest_frames_that_fit() {
        for slots in [5, 7, 8, 100] {
            let mut ring = Ring::new(slots * SLOT + 5);
            let mut expected: VecDeque<CanFrame> = VecDeque::new();
            for n in 0..500 {
                let frame = frame(n);
                ring.keep(&frame);
                expected.push_back(frame);
                while expected.iter().map(|f| slots_of(f.len())).sum::<usize>() > slots {
                    expected.pop_front();
                }
                let (mut held, mut at) = (Vec::new(), 0);
                while let Some((frame, next)) = ring.get(at) {
                    held.push(frame);
                    at = next;
                }
                assert_eq!(VecDeque::from(held), expected, "{slots} slots, frame {n}");
                assert_eq!(ring.oldest(), expected.front().map(|frame| frame.at));
            }
        }
    }

    #[test]
    fn a_time_leads_to_its_first_frame() {
        let mut ring = Ring::new(100 * SLOT);
        (0..20).for_each(|n| ring.keep(&frame(n)));
        let first = |time| ring.get(ring.first_from(MonoTime(time))).map(|(frame, _)| frame.at.0);
        assert_eq!((first(0), first(50), first(51), first(190)), (Some(0), Some(50), Some(60), Some(190)));
        assert_eq!((first(191), ring.first_from(MonoTime(191))), (None, ring.head()));
    }

    #[test]
    fn without_memory_it_keeps_nothing() {
        for bytes in [0, 4 * SLOT] {
            let mut ring = Ring::new(bytes);
            (0..20).for_each(|n| ring.keep(&frame(n)));
            assert!(!ring.is_on() && ring.oldest().is_none() && ring.get(0).is_none());
        }
    }
}
