//! Finds what a bus's identifier leads to: a table of 2,048 entries for standard ones, a hash table for extended ones.

use crate::frame::CanId;

/// Where an identifier leads: a group, or one of two marks that no group has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot(pub(super) u32);

impl Slot {
    pub(super) const UNKNOWN: Slot = Slot(u32::MAX);
    pub(super) const FILTERED: Slot = Slot(u32::MAX - 1);
}

const STANDARD_IDS: usize = CanId::MAX_STANDARD as usize + 1;

#[derive(Clone, Debug)]
pub(super) struct Bus {
    standard: Box<[Slot; STANDARD_IDS]>,
    /// Open addressing, at most half full; the length is a power of two.
    extended: Vec<(u32, Slot)>,
    extended_count: usize,
}

impl Default for Bus {
    fn default() -> Self {
        Self { standard: Box::new([Slot::UNKNOWN; STANDARD_IDS]), extended: Vec::new(), extended_count: 0 }
    }
}

/// No extended identifier has this number.
const VACANT: u32 = u32::MAX;

impl Bus {
    #[inline]
    pub(super) fn get(&self, id: CanId) -> Slot {
        match id {
            CanId::Standard(id) => self.standard.get(usize::from(id)).copied().unwrap_or(Slot::UNKNOWN),
            CanId::Extended(id) => self.place(id).map_or(Slot::UNKNOWN, |(_, slot)| slot),
        }
    }

    /// The entry of an identifier, or the vacant one where it would stand.
    #[inline]
    fn place(&self, id: u32) -> Option<(usize, Slot)> {
        let mask = self.extended.len().checked_sub(1)?;
        // Fibonacci hashing: the product's upper bits depend on all of the identifier's.
        let mut at = (u64::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & mask;
        loop {
            match *self.extended.get(at)? {
                (found, slot) if found == id || found == VACANT => return Some((at, slot)),
                _ => at = (at + 1) & mask,
            }
        }
    }

    pub(super) fn set(&mut self, id: CanId, slot: Slot) {
        match id {
            CanId::Standard(id) => {
                if let Some(entry) = self.standard.get_mut(usize::from(id)) {
                    *entry = slot;
                }
            }
            CanId::Extended(id) => {
                if (self.extended_count + 1) * 2 > self.extended.len() {
                    self.grow();
                }
                if let Some((at, _)) = self.place(id) {
                    self.extended_count += usize::from(self.extended[at].0 == VACANT);
                    self.extended[at] = (id, slot);
                }
            }
        }
    }

    fn grow(&mut self) {
        let larger = vec![(VACANT, Slot::UNKNOWN); (self.extended.len() * 2).max(16)];
        let entries = std::mem::replace(&mut self.extended, larger);
        for (id, slot) in entries.into_iter().filter(|(id, _)| *id != VACANT) {
            if let Some((at, _)) = self.place(id) {
                self.extended[at] = (id, slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_identifier_finds_its_own_entry() {
        let mut bus = Bus::default();
        for n in 0..2048u32 {
            bus.set(CanId::Standard(n as u16), Slot(n));
            bus.set(CanId::Extended(n * 0x1_0001), Slot(n + 5000));
        }
        bus.set(CanId::Extended(0), Slot(7));
        for n in 1..2048u32 {
            assert_eq!(bus.get(CanId::Standard(n as u16)), Slot(n));
            assert_eq!(bus.get(CanId::Extended(n * 0x1_0001)), Slot(n + 5000));
        }
        assert_eq!(bus.get(CanId::Extended(0)), Slot(7));
        assert_eq!(bus.get(CanId::Extended(0x1FFF_FFFF)), Slot::UNKNOWN);
        assert_eq!(bus.get(CanId::Standard(u16::MAX)), Slot::UNKNOWN);
        assert_eq!(Bus::default().get(CanId::Extended(1)), Slot::UNKNOWN);
    }
}
