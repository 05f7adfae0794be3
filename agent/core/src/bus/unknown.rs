//! The most frequent of identifiers that nobody described, in bounded memory: the space-saving algorithm.
//!
//! Source: A. Metwally, D. Agrawal, A. El Abbadi, "Efficient computation of frequent and top-k elements in data
//! streams", ICDT 2005. An identifier that takes a counter over takes its count over, too, and remembers it as the
//! most by which it may be overstated. One that makes up more than a share of 1 in [`COUNTERS`] is never missed.

use crate::frame::CanId;
use telltale_wire::bus::{MAX_UNKNOWN, UnknownId};

/// Identifiers told apart on one bus: 64 of 24 bytes and an index of 256 are 1.8 kB.
const COUNTERS: usize = 64;
/// Entries of the index, a power of two.
const INDEX: usize = 256;

#[derive(Clone, Copy, Debug)]
struct Counter {
    id: CanId,
    count: u64,
    over: u64,
}

/// The counters of one bus. Allocates when it is made.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    counters: Vec<Counter>,
    /// Where an identifier with this hash stood last: a hint that saves the search.
    index: Box<[u8; INDEX]>,
}

impl Sketch {
    pub(super) fn new() -> Sketch {
        Sketch { counters: Vec::with_capacity(COUNTERS), index: Box::new([0; INDEX]) }
    }

    /// Counts a frame.
    pub(super) fn count(&mut self, id: CanId) {
        let hash = (id.raw().wrapping_mul(0x9E37_79B9) >> 24) as usize % INDEX;
        let hinted = usize::from(self.index[hash]);
        if let Some(counter) = self.counters.get_mut(hinted)
            && counter.id == id
        {
            counter.count += 1;
            return;
        }
        let place = self.counters.iter().position(|counter| counter.id == id);
        let place = match place {
            Some(place) => place,
            None if self.counters.len() < COUNTERS => {
                self.counters.push(Counter { id, count: 0, over: 0 });
                self.counters.len() - 1
            }
            None => self.take_over(id),
        };
        if let Some(counter) = self.counters.get_mut(place) {
            counter.count += 1;
        }
        self.index[hash] = place as u8;
    }

    /// Gives the counter of the rarest identifier to this one.
    fn take_over(&mut self, id: CanId) -> usize {
        let rarest = self.counters.iter_mut().enumerate().min_by_key(|(_, counter)| counter.count);
        rarest.map_or(0, |(place, counter)| {
            *counter = Counter { id, over: counter.count, ..*counter };
            place
        })
    }

    /// The most frequent ones, and starts anew.
    pub(super) fn take(&mut self) -> Vec<UnknownId> {
        self.counters.sort_by_key(|counter| (std::cmp::Reverse(counter.count), counter.id));
        let top = self.counters.iter().take(MAX_UNKNOWN).map(|counter| UnknownId {
            id: counter.id.raw(),
            extended: matches!(counter.id, CanId::Extended(_)),
            count: counter.count,
            over: counter.over,
        });
        let top = top.collect();
        self.counters.clear();
        top
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_identifiers_are_counted_exactly() {
        let mut sketch = Sketch::new();
        for n in 0..60_u16 {
            (0..=n).for_each(|_| sketch.count(CanId::Standard(n)));
        }
        sketch.count(CanId::Extended(59));
        let top = sketch.take();
        assert_eq!(top.len(), MAX_UNKNOWN);
        assert!(
            top.iter().zip((0..60).rev()).all(|(told, n)| (told.id, told.count) == (n, u64::from(n) + 1))
        );
        assert!(top.iter().all(|told| told.over == 0 && !told.extended));
        assert!(sketch.take().is_empty(), "each stretch begins anew");
    }

    #[test]
    fn frequent_ones_are_found_in_a_flood_of_others_and_bounded() {
        let mut sketch = Sketch::new();
        for n in 0..100_000_u32 {
            sketch.count(CanId::Extended(n + 1_000));
            if n % 20 == 0 {
                sketch.count(CanId::Standard(7));
            }
        }
        assert_eq!(sketch.counters.len(), COUNTERS);
        let top = sketch.take();
        let told = top.iter().find(|told| told.id == 7 && !told.extended).unwrap();
        assert!(told.count >= 5_000 && told.count - told.over <= 5_000, "{told:?}");
        assert_eq!(top[0], *told, "it is the most frequent");
    }
}
