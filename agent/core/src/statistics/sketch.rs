//! The updating half of a quantile sketch: a fixed number of buckets, filled without allocation.

use telltale_wire::sketch::{MAX_COARSENESS, Sketch, coarser, key};

/// Buckets of a sketch that is being filled. A stretch of as many steps or fewer never makes it coarser.
pub const CAPACITY: usize = 64;
/// Values that wait to be sorted in together, which costs a tenth of sorting in each by itself.
const WAITING: usize = 32;

/// Buckets that a record spends on a series, unless it would be coarser than [`RECORD_COARSENESS`]: they decide what a
/// vehicle-day costs.
const RECORD_BUCKETS: usize = 24;

/// The coarseness beyond which no record goes for the sake of its size: a relative accuracy of 1/256.
const RECORD_COARSENESS: u8 = 2;

/// A sketch of fixed size: 456 bytes, 1.9 MB for the largest catalog.
#[derive(Clone, Debug)]
pub(super) struct FixedSketch {
    keys: [i16; CAPACITY],
    counts: [u32; CAPACITY],
    len: u8,
    coarseness: u8,
    waiting: u8,
    /// Keys of the finest sketch, in the order in which they came.
    unsorted: [i16; WAITING],
}

impl FixedSketch {
    pub(super) const fn new() -> Self {
        Self {
            keys: [0; CAPACITY],
            counts: [0; CAPACITY],
            len: 0,
            coarseness: 0,
            waiting: 0,
            unsorted: [0; WAITING],
        }
    }

    /// Counts a finite value.
    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        if usize::from(self.waiting) == WAITING {
            self.sort_in();
        }
        if let Some(place) = self.unsorted.get_mut(usize::from(self.waiting)) {
            *place = key(value);
            self.waiting += 1;
        }
    }

    /// Merges what waits into the buckets.
    #[inline(never)]
    fn sort_in(&mut self) {
        let unsorted = &mut self.unsorted[..usize::from(std::mem::take(&mut self.waiting))];
        unsorted.sort_unstable();
        let mut merged = Merged { keys: [0; CAPACITY + WAITING], counts: [0; CAPACITY + WAITING], len: 0 };
        let mut place = 0;
        for key in unsorted.iter().map(|key| coarser(*key, self.coarseness)) {
            while place < usize::from(self.len) && self.keys[place] <= key {
                merged.push(self.keys[place], self.counts[place]);
                place += 1;
            }
            merged.push(key, 1);
        }
        while place < usize::from(self.len) {
            merged.push(self.keys[place], self.counts[place]);
            place += 1;
        }
        while merged.len > CAPACITY && self.coarseness < MAX_COARSENESS {
            self.coarseness += 1;
            merged.coarsen();
        }
        let len = merged.len.min(CAPACITY);
        self.keys[..len].copy_from_slice(&merged.keys[..len]);
        self.counts[..len].copy_from_slice(&merged.counts[..len]);
        self.len = len as u8;
    }

    /// The sketch as it travels, and an empty one in its place.
    pub(super) fn take(&mut self) -> Sketch {
        self.sort_in();
        let counted = self.keys.iter().zip(&self.counts).take(usize::from(self.len));
        let buckets = counted.map(|(key, count)| (*key, u64::from(*count))).collect();
        let mut sketch = Sketch::new(self.coarseness, buckets).unwrap_or_default();
        sketch.coarsen_to_fit(RECORD_BUCKETS, RECORD_COARSENESS);
        (self.len, self.coarseness) = (0, 0);
        sketch
    }
}

/// Buckets on their way into the sketch, ascending.
struct Merged {
    keys: [i16; CAPACITY + WAITING],
    counts: [u32; CAPACITY + WAITING],
    len: usize,
}

impl Merged {
    /// Adds to the last bucket or behind it.
    fn push(&mut self, key: i16, count: u32) {
        if self.len > 0 && self.keys[self.len - 1] == key {
            self.counts[self.len - 1] = self.counts[self.len - 1].saturating_add(count);
        } else {
            (self.keys[self.len], self.counts[self.len]) = (key, count);
            self.len += 1;
        }
    }

    /// Joins neighbouring buckets once.
    fn coarsen(&mut self) {
        let len = std::mem::take(&mut self.len);
        for place in 0..len {
            self.push(coarser(self.keys[place], 1), self.counts[place]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use telltale_wire::sketch::accuracy;

    /// What the wire's own arithmetic makes of the values, without a bound on their number.
    fn unbounded(values: &[f64]) -> Sketch {
        let mut counts = BTreeMap::new();
        values.iter().for_each(|value| *counts.entry(key(*value)).or_insert(0) += 1);
        Sketch::new(0, counts.into_iter().collect()).unwrap()
    }

    fn filled(values: &[f64]) -> FixedSketch {
        let mut sketch = FixedSketch::new();
        values.iter().for_each(|value| sketch.add(*value));
        sketch
    }

    /// A walk of `octaves` of magnitude and both signs.
    fn walk(count: u32, octaves: f64) -> Vec<f64> {
        let angle = |n: u32| f64::from(n.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24);
        let value = |n| (angle(n) * octaves).exp2() * if n % 3 == 0 { -1.0 } else { 1.0 };
        (0..count).map(value).collect()
    }

    #[test]
    fn a_full_sketch_gets_coarser_and_stays_the_sketch_of_all_its_values() {
        for (count, octaves) in [(60, 1.0), (64, 12.0), (2_000, 0.1), (2_000, 3.0), (5_000, 60.0)] {
            let values = walk(count, octaves);
            let sketch = filled(&values).take();
            let mut expected = unbounded(&values);
            expected.coarsen_to_fit(CAPACITY, MAX_COARSENESS);
            expected.coarsen_to_fit(RECORD_BUCKETS, RECORD_COARSENESS);
            assert_eq!(sketch, expected, "{count} over {octaves}");
            assert_eq!(sketch.count(), u64::from(count));
        }
    }

    #[test]
    fn the_order_of_the_values_does_not_matter() {
        let mut values = walk(3_000, 40.0);
        let forward = filled(&values).take();
        values.reverse();
        assert_eq!(filled(&values).take(), forward);
        values.sort_by(f64::total_cmp);
        assert_eq!(filled(&values).take(), forward);
    }

    #[test]
    fn a_minute_is_told_within_a_two_hundred_fifty_sixth() {
        let values = walk(60, 20.0);
        let sketch = filled(&values).take();
        assert!(accuracy(sketch.coarseness()) <= 1.0 / 256.0);
        let calm: Vec<f64> = (0..60).map(|n| 3.7 + f64::from(n) * 0.001).collect();
        assert_eq!(filled(&calm).take().coarseness(), 0);
    }

    #[test]
    fn a_taken_sketch_begins_anew() {
        let mut sketch = filled(&walk(5_000, 60.0));
        sketch.take();
        assert_eq!(sketch.take(), Sketch::default());
        sketch.add(-0.0);
        assert_eq!(sketch.take().buckets(), [(0, 1)]);
    }
}
