//! Where each identifier of a profile stands: a table for the standard ones, a hash of fixed size for the extended ones. Who
//! sends chooses what is looked up, never what stands in it, so that no search is longer than the profile made it.

use crate::frame::CanId;

/// No such identifier.
const NONE: u16 = u16::MAX;
/// No extended identifier has so many bits.
const EMPTY: u32 = u32::MAX;

/// The place of each identifier.
pub(super) struct Places {
    standard: Box<[u16; 2048]>,
    /// At least twice as many as there are identifiers, a power of two.
    extended: Box<[(u32, u16)]>,
    shift: u32,
}

impl Places {
    /// Of identifiers in their order.
    pub(super) fn of(ids: impl Iterator<Item = CanId>) -> Places {
        let mut standard = Box::new([NONE; 2048]);
        let mut extended = Vec::new();
        for (place, id) in ids.enumerate() {
            match id {
                CanId::Standard(id) => standard[usize::from(id & 0x7FF)] = place as u16,
                CanId::Extended(id) => extended.push((id, place as u16)),
            }
        }
        let slots = (2 * extended.len()).next_power_of_two().max(2);
        let mut places = Places {
            standard,
            extended: vec![(EMPTY, NONE); slots].into(),
            shift: 32 - slots.trailing_zeros(),
        };
        for (id, place) in extended {
            let slot = places.slot(id);
            places.extended[slot] = (id, place);
        }
        places
    }

    /// The place of an identifier; beyond all places if it has none.
    #[inline]
    pub(super) fn find(&self, id: CanId) -> usize {
        usize::from(match id {
            CanId::Standard(id) => self.standard[usize::from(id & 0x7FF)],
            CanId::Extended(id) => self.extended[self.slot(id)].1,
        })
    }

    /// Where it stands or would. Fibonacci hashing (Knuth, TAOCP 3, 6.4), then the next free one.
    #[inline]
    fn slot(&self, id: u32) -> usize {
        let last = self.extended.len() - 1;
        let mut slot = (id.wrapping_mul(0x9E37_79B9) >> self.shift) as usize & last;
        while self.extended[slot].0 != id && self.extended[slot].0 != EMPTY {
            slot = (slot + 1) & last;
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_identifier_has_its_place_and_a_stranger_none() {
        let standard = (0..300).map(|n| CanId::Standard(n * 6));
        // Many of them fall on one slot.
        let extended = (0..212).map(|n| CanId::Extended(n << 20 | n & 3));
        let all: Vec<CanId> = standard.chain(extended).collect();
        let places = Places::of(all.iter().copied());
        for (place, id) in all.iter().enumerate() {
            assert_eq!(places.find(*id), place);
        }
        for stranger in [CanId::Standard(1), CanId::Extended(6), CanId::Extended(0x1FFF_FFFF)] {
            assert!(places.find(stranger) >= all.len());
        }
        assert!(Places::of([CanId::Standard(5)].into_iter()).find(CanId::Extended(5)) > 1);
    }
}
