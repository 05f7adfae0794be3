//! The last frames, in memory that outlives a restart.
//!
//! Two headers are written in turn, each with its CRC; each frame has one of its own. Whenever a restart comes, one
//! header is whole and everything that it claims is too: room is given up in the header before it is written over, and
//! a frame is claimed after it was written. What does not check is not kept: then the ring starts empty, under another
//! boot number.

use crc::{CRC_16_IBM_3740, CRC_32_ISCSI, Crc, Table};
use telltale_wire::bridge::HeardFrame;

const HEADER_CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);
const FRAME_CRC: Crc<u16, Table<1>> = Crc::<u16, Table<1>>::new(&CRC_16_IBM_3740);

/// Says that a header is one. The last digit counts the layouts that there were.
const MAGIC: u32 = 0x7E11_7A02;

const HEADER: usize = 64;

/// Length, tag, identifier and time stand before the payload, a CRC behind it.
const BEFORE: usize = 1 + 1 + 4 + 4;
const CHECK: usize = 2;
const LONGEST: usize = BEFORE + 64 + CHECK;

/// The memory of a ring: `N` bytes of frames, at 20 for a classic one with 8 bytes of payload.
///
/// Bytes alone, so that whatever stands in it after power-on is a value of it. It belongs into memory that no start-up
/// code touches.
#[repr(C)]
pub struct Kept<const N: usize> {
    headers: [[u8; HEADER]; 2],
    bytes: [u8; N],
}

impl<const N: usize> Kept<N> {
    /// Memory that holds nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { headers: [[0; HEADER]; 2], bytes: [0; N] }
    }
}

impl<const N: usize> Default for Kept<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Claim {
    generation: u32,
    boot: u32,
    restarts: u32,
    tail: u32,
    used: u32,
    clock_us: u64,
    first: u64,
    next: u64,
    dropped: u64,
}

impl Claim {
    fn write<const N: usize>(&self, header: &mut [u8; HEADER]) {
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            header[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        for word in [MAGIC, N as u32, self.generation, self.boot, self.restarts, self.tail, self.used] {
            put(&word.to_le_bytes());
        }
        for long in [self.clock_us, self.first, self.next, self.dropped] {
            put(&long.to_le_bytes());
        }
        let crc = HEADER_CRC.checksum(&header[..HEADER - 4]);
        header[HEADER - 4..].copy_from_slice(&crc.to_le_bytes());
    }

    fn read<const N: usize>(header: &[u8; HEADER]) -> Option<Claim> {
        let word = |place: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&header[place * 4..place * 4 + 4]);
            u32::from_le_bytes(bytes)
        };
        let long = |place: usize| u64::from(word(place)) | u64::from(word(place + 1)) << 32;
        let claim = Claim {
            generation: word(2),
            boot: word(3),
            restarts: word(4),
            tail: word(5),
            used: word(6),
            clock_us: long(7),
            first: long(9),
            next: long(11),
            dropped: long(13),
        };
        let sound = word(15) == HEADER_CRC.checksum(&header[..HEADER - 4])
            && (word(0), word(1)) == (MAGIC, N as u32)
            && claim.tail < N as u32
            && claim.used <= N as u32
            && claim.first <= claim.next;
        sound.then_some(claim)
    }
}

/// Where a frame stands: its number, and its place in the ring while it is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    pub(crate) number: u64,
    place: usize,
}

/// A frame of the ring, with its payload in memory of the reader's own.
pub(crate) struct Held {
    tag: u8,
    id: u32,
    at_us: u32,
    len: usize,
    bytes: [u8; LONGEST],
}

impl Held {
    pub(crate) fn frame(&self) -> HeardFrame<'_> {
        let data = &self.bytes[BEFORE..BEFORE + self.len];
        HeardFrame::from_tag(self.tag, self.id, self.at_us, data)
    }
}

/// The ring over its memory.
pub(crate) struct Ring<'k, const N: usize> {
    kept: &'k mut Kept<N>,
    claim: Claim,
}

impl<'k, const N: usize> Ring<'k, N> {
    /// Takes up what the memory holds; if it holds nothing that checks, the ring is empty and has this boot number.
    pub(crate) fn open(kept: &'k mut Kept<N>, boot: u32) -> Self {
        const { assert!(N >= 2 * LONGEST && N <= 1 << 30, "the ring must hold a few frames") }
        let read = |header| Claim::read::<N>(header);
        let latest = kept.headers.iter().filter_map(read).reduce(|a, b| {
            let b_is_later = b.generation.wrapping_sub(a.generation) < 1 << 31;
            if b_is_later { b } else { a }
        });
        let empty = Claim {
            generation: 0,
            boot,
            restarts: 0,
            tail: 0,
            used: 0,
            clock_us: 0,
            first: 0,
            next: 0,
            dropped: 0,
        };
        let mut ring = Self { kept, claim: latest.unwrap_or(empty) };
        if latest.is_some() && ring.is_whole() {
            ring.claim.restarts = ring.claim.restarts.wrapping_add(1);
        } else {
            ring.claim = empty;
            // Neither header may outlive this: it would be the later one of the two.
            ring.kept.headers = [[0; HEADER]; 2];
        }
        ring.commit(ring.claim.clock_us);
        ring
    }

    /// The memory, as it stands.
    pub(crate) fn into_memory(self) -> &'k mut Kept<N> {
        self.kept
    }

    /// The number of the oldest frame that is held, or of the next one if none is.
    pub(crate) const fn first(&self) -> u64 {
        self.claim.first
    }

    /// The number that the next frame will get.
    pub(crate) const fn next(&self) -> u64 {
        self.claim.next
    }

    pub(crate) const fn boot(&self) -> u32 {
        self.claim.boot
    }

    pub(crate) const fn restarts(&self) -> u32 {
        self.claim.restarts
    }

    /// The latest time that the memory knows of.
    pub(crate) const fn clock_us(&self) -> u64 {
        self.claim.clock_us
    }

    /// Frames that fell out before they were sent.
    pub(crate) const fn dropped(&self) -> u64 {
        self.claim.dropped
    }

    pub(crate) fn count_dropped(&mut self, frames: u64) {
        self.claim.dropped += frames;
    }

    /// Where the oldest frame stands.
    pub(crate) const fn start(&self) -> Position {
        Position { number: self.claim.first, place: self.claim.tail as usize }
    }

    /// Appends a frame, which must be possible; the oldest ones make room for it.
    pub(crate) fn push(&mut self, frame: &HeardFrame<'_>, clock_us: u64) {
        let mut entry = [0; LONGEST];
        let (tag, id) = frame.tag();
        let len = frame.data.len().min(64);
        entry[0] = len as u8;
        entry[1] = tag;
        entry[2..6].copy_from_slice(&id.to_le_bytes());
        entry[6..BEFORE].copy_from_slice(&frame.at_us.to_le_bytes());
        entry[BEFORE..BEFORE + len].copy_from_slice(&frame.data[..len]);
        let crc = FRAME_CRC.checksum(&entry[..BEFORE + len]);
        entry[BEFORE + len..BEFORE + len + CHECK].copy_from_slice(&crc.to_le_bytes());
        let entry = &entry[..BEFORE + len + CHECK];

        let full = N - (self.claim.used as usize) < entry.len();
        while N - (self.claim.used as usize) < entry.len() {
            self.forget_oldest();
        }
        if full {
            self.commit(clock_us);
        }
        let head = self.claim.tail as usize + self.claim.used as usize;
        self.write(head % N, entry);
        self.claim.used += entry.len() as u32;
        self.claim.next += 1;
        self.commit(clock_us);
    }

    /// Forgets all frames below this number.
    pub(crate) fn release(&mut self, below: u64, clock_us: u64) {
        while self.claim.first < below.min(self.claim.next) {
            self.forget_oldest();
        }
        self.commit(clock_us);
    }

    /// Reads the frame there and gives where the next one stands; `None` behind the last. The position must not be older than
    /// the first.
    pub(crate) fn read(&self, at: Position) -> Option<(Held, Position)> {
        if at.number >= self.claim.next {
            return None;
        }
        let mut bytes = [0; LONGEST];
        let len = usize::from(self.kept.bytes[at.place % N]).min(64);
        self.copy(at.place, &mut bytes[..BEFORE + len + CHECK]);
        let word = |from: usize| {
            u32::from_le_bytes([bytes[from], bytes[from + 1], bytes[from + 2], bytes[from + 3]])
        };
        let held = Held { tag: bytes[1], id: word(2), at_us: word(6), len, bytes };
        Some((held, Position { number: at.number + 1, place: (at.place + BEFORE + len + CHECK) % N }))
    }

    /// Writes the older of the two headers.
    pub(crate) fn commit(&mut self, clock_us: u64) {
        self.claim.generation = self.claim.generation.wrapping_add(1);
        self.claim.clock_us = self.claim.clock_us.max(clock_us);
        self.claim.write::<N>(&mut self.kept.headers[self.claim.generation as usize % 2]);
    }

    fn forget_oldest(&mut self) {
        let tail = self.claim.tail as usize;
        let len = BEFORE + usize::from(self.kept.bytes[tail]).min(64) + CHECK;
        self.claim.tail = ((tail + len) % N) as u32;
        self.claim.used -= len as u32;
        self.claim.first += 1;
    }

    /// Whether the frames are as many as claimed and each of them checks.
    fn is_whole(&self) -> bool {
        let (mut place, mut left) = (self.claim.tail as usize, self.claim.used as usize);
        let mut number = self.claim.first;
        while left > 0 {
            let len = usize::from(self.kept.bytes[place]);
            let whole = BEFORE + len + CHECK;
            if len > 64 || whole > left {
                return false;
            }
            let mut bytes = [0; LONGEST];
            self.copy(place, &mut bytes[..whole]);
            let (body, crc) = bytes[..whole].split_at(BEFORE + len);
            if FRAME_CRC.checksum(body).to_le_bytes() != *crc {
                return false;
            }
            (place, left, number) = ((place + whole) % N, left - whole, number + 1);
        }
        number == self.claim.next
    }

    fn write(&mut self, place: usize, bytes: &[u8]) {
        let straight = bytes.len().min(N - place);
        self.kept.bytes[place..place + straight].copy_from_slice(&bytes[..straight]);
        self.kept.bytes[..bytes.len() - straight].copy_from_slice(&bytes[straight..]);
    }

    fn copy(&self, place: usize, to: &mut [u8]) {
        let straight = to.len().min(N - place);
        let (first, second) = to.split_at_mut(straight);
        first.copy_from_slice(&self.kept.bytes[place..place + straight]);
        second.copy_from_slice(&self.kept.bytes[..second.len()]);
    }
}

#[cfg(test)]
mod tests;
