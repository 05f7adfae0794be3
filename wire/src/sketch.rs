//! Quantile sketches that merge: DDSketch (Masson, Rim and Lee, VLDB 2019) with buckets cut from the bits of a double.
//!
//! A bucket holds the values that share sign, exponent and the first [`FRACTION_BITS`] bits of the fraction. That is the
//! linearly interpolated logarithm of DDSketch without computing a logarithm, so that every machine sorts a value
//! into the same bucket. A sketch that has too many buckets gets coarser as a whole, each two neighbours becoming one
//! (UDDSketch, Epicoco et al. 2020): [`Sketch::coarseness`] counts how often, and [`accuracy`] says what it costs.
//!
//! - Relative accuracy: a quantile is off by at most [`accuracy`] times its true value, 1/1024 at coarseness 0, twice
//!   that with each step. The true value is the one at rank `floor(q (n - 1))` of the sorted values.
//! - Bounds: magnitudes below 2^-20 count as zero, an absolute error below 0.000001; those of 2^43 (8.8e12) and above
//!   count into the last bucket.
//! - Merging is commutative and associative, and gives the sketch of all values together: a bucket's name depends on
//!   the value alone, and coarsening on the names alone.

use alloc::vec::Vec;

/// Bits of a double's fraction that tell buckets apart in the finest sketch: 512 buckets from each power of two to
/// the next.
pub const FRACTION_BITS: u32 = 9;
/// The coarsest sketch: one bucket a sign.
pub const MAX_COARSENESS: u8 = 15;

/// The lowest power of two that has buckets of its own.
const MIN_EXPONENT: i32 = -20;
/// The power of two that ends the last bucket.
const MAX_EXPONENT: i32 = 43;
/// Buckets of one sign in the finest sketch: 32,256, so that a key is an `i16`.
const BUCKETS: u64 = ((MAX_EXPONENT - MIN_EXPONENT) as u64) << FRACTION_BITS;
/// What the leading bits of 2^[`MIN_EXPONENT`] say.
const FIRST: u64 = ((1_023 + MIN_EXPONENT) as u64) << FRACTION_BITS;
/// Bits of a double behind those that name its bucket.
const REST: u32 = 52 - FRACTION_BITS;

/// The bucket of a finite value in the finest sketch: 0 for zero, positive for positive values, ascending with them.
#[inline]
#[must_use]
pub const fn key(value: f64) -> i16 {
    let leading = (value.to_bits() & !(1 << 63)) >> REST;
    if leading < FIRST {
        return 0;
    }
    let place = leading - FIRST;
    let place = if place < BUCKETS { place } else { BUCKETS - 1 };
    let key = place as i16 + 1;
    if value.is_sign_negative() { -key } else { key }
}

/// The bucket that takes a bucket's place when the sketch gets coarser by `steps`.
#[inline]
#[must_use]
pub const fn coarser(key: i16, steps: u8) -> i16 {
    let steps = if steps > MAX_COARSENESS { MAX_COARSENESS } else { steps };
    match key {
        0 => 0,
        1.. => ((key - 1) >> steps) + 1,
        _ => -(((-(key + 1)) >> steps) + 1),
    }
}

/// The most that a quantile of a sketch of this coarseness is off, as a share of its true value.
#[must_use]
pub fn accuracy(coarseness: u8) -> f64 {
    // The lower end of a power of two is where a bucket is widest for its value.
    let (low, high) = bounds(1, coarseness);
    (high - low) / (2.0 * low)
}

/// The ends of a bucket: the one nearer to zero belongs to it, the other does not.
fn bounds(key: i16, coarseness: u8) -> (f64, f64) {
    let end = |place: u64| f64::from_bits((FIRST + place.min(BUCKETS)) << REST);
    let place = u64::from(key.unsigned_abs()).saturating_sub(1);
    (end(place << coarseness), end((place + 1) << coarseness))
}

/// A sketch as it travels and merges. The vehicle updates one of fixed size instead.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sketch {
    coarseness: u8,
    /// Key and count, ascending by key; no count is zero. At most 64,513 of 16 bytes.
    buckets: Vec<(i16, u64)>,
}

impl Sketch {
    /// A sketch of counted buckets; `None` unless the keys ascend, are possible and every count is above zero.
    #[must_use]
    pub fn new(coarseness: u8, buckets: Vec<(i16, u64)>) -> Option<Self> {
        let last = coarser(BUCKETS as i16, coarseness);
        let ascends = buckets.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let possible = buckets.iter().all(|(key, count)| (-last..=last).contains(key) && *count > 0);
        (coarseness <= MAX_COARSENESS && ascends && possible).then_some(Self { coarseness, buckets })
    }

    /// How often neighbouring buckets were joined.
    #[must_use]
    pub const fn coarseness(&self) -> u8 {
        self.coarseness
    }

    /// Keys and counts, ascending.
    #[must_use]
    pub fn buckets(&self) -> &[(i16, u64)] {
        &self.buckets
    }

    /// How many values it has seen; saturates.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Joins neighbouring buckets until the sketch has this coarseness; one that is coarser already stays.
    pub fn coarsen(&mut self, coarseness: u8) {
        let coarseness = coarseness.min(MAX_COARSENESS);
        let Some(steps) = coarseness.checked_sub(self.coarseness).filter(|steps| *steps > 0) else { return };
        self.coarseness = coarseness;
        let old = core::mem::take(&mut self.buckets);
        for (key, count) in old {
            push(&mut self.buckets, coarser(key, steps), count);
        }
    }

    /// Joins neighbouring buckets until at most `most` are left, but not beyond coarseness `limit`.
    pub fn coarsen_to_fit(&mut self, most: usize, limit: u8) {
        while self.buckets.len() > most && self.coarseness < limit.min(MAX_COARSENESS) {
            self.coarsen(self.coarseness + 1);
        }
    }

    /// Takes in another sketch. The result is as coarse as the coarser of the two.
    pub fn merge(&mut self, other: &Sketch) {
        self.coarsen(other.coarseness);
        let steps = self.coarseness - other.coarseness;
        let mine = core::mem::take(&mut self.buckets);
        let mut mine = mine.into_iter().peekable();
        for (key, count) in other.buckets.iter().map(|(key, count)| (coarser(*key, steps), *count)) {
            while let Some((below, counted)) = mine.next_if(|(mine, _)| *mine <= key) {
                push(&mut self.buckets, below, counted);
            }
            push(&mut self.buckets, key, count);
        }
        mine.for_each(|(key, count)| push(&mut self.buckets, key, count));
    }

    /// The value at rank `floor(q (n - 1))`, `q` from 0 to 1, within [`accuracy`]; `None` for an empty sketch.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let last = self.count().checked_sub(1)?;
        let rank = (q.clamp(0.0, 1.0) * last as f64) as u64;
        let mut seen = 0u64;
        let found = self.buckets.iter().find(|(_, count)| {
            seen = seen.saturating_add(*count);
            seen > rank
        });
        found.or(self.buckets.last()).map(|(key, _)| self.middle(*key))
    }

    fn middle(&self, key: i16) -> f64 {
        let (low, high) = bounds(key, self.coarseness);
        let magnitude = if key == 0 { 0.0 } else { (low + high) / 2.0 };
        if key < 0 { -magnitude } else { magnitude }
    }
}

/// Adds to the last bucket or behind it.
fn push(buckets: &mut Vec<(i16, u64)>, key: i16, count: u64) {
    match buckets.last_mut() {
        Some((last, counted)) if *last == key => *counted = counted.saturating_add(count),
        _ => buckets.push((key, count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec;

    /// xorshift64*: repeatable values of every size and sign.
    struct Values(u64);

    impl Values {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
        }

        /// Some of them zero, some near a full power of two, over `octaves` of magnitude from 2^-10.
        fn value(&mut self, octaves: u64) -> f64 {
            let (shape, fraction) = (self.next(), self.next());
            let exponent = 1_013 + shape % octaves;
            let fraction = if shape & 1 << 40 == 0 { fraction >> 12 } else { (fraction & 3) << 50 };
            let value = f64::from_bits(exponent << 52 | fraction);
            match shape >> 60 {
                0 => 0.0,
                1..6 => -value,
                _ => value,
            }
        }
    }

    fn sketch(values: &[f64], coarseness: u8) -> Sketch {
        let mut counts = BTreeMap::new();
        for value in values {
            *counts.entry(key(*value)).or_insert(0) += 1;
        }
        let mut sketch = Sketch::new(0, counts.into_iter().collect()).unwrap();
        sketch.coarsen(coarseness);
        sketch
    }

    fn merged(sketches: &[&Sketch]) -> Sketch {
        let mut all = Sketch::default();
        sketches.iter().for_each(|sketch| all.merge(sketch));
        all
    }

    #[test]
    fn merging_is_commutative_and_associative_and_gives_the_sketch_of_the_union() {
        let mut values = Values(7);
        for round in 0..400u64 {
            let parts: Vec<(Vec<f64>, u8)> = (0..3)
                .map(|_| {
                    let count = values.next() % 40;
                    let coarseness = (values.next() % 12) as u8;
                    ((0..count).map(|_| values.value(1 + round % 50)).collect(), coarseness)
                })
                .collect();
            let [a, b, c] = [0, 1, 2].map(|part: usize| sketch(&parts[part].0, parts[part].1));
            let union: Vec<f64> = parts.iter().flat_map(|(values, _)| values.iter().copied()).collect();
            let coarsest = parts.iter().map(|(_, coarseness)| *coarseness).max().unwrap();
            let expected = sketch(&union, coarsest);
            assert_eq!(merged(&[&a, &b, &c]), expected);
            assert_eq!(merged(&[&c, &a, &b]), expected);
            assert_eq!(merged(&[&a, &merged(&[&b, &c])]), expected);
            assert_eq!(expected.count(), union.len() as u64);
        }
    }

    #[test]
    fn quantiles_are_within_the_stated_accuracy() {
        let mut values = Values(11);
        for round in 0..600u64 {
            let mut all: Vec<f64> = (0..1 + round % 90).map(|_| values.value(1 + round % 40)).collect();
            let coarseness = (round % 13) as u8;
            let sketch = sketch(&all, coarseness);
            all.sort_by(f64::total_cmp);
            for q in [0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 1.0] {
                let truth = all[(q * (all.len() - 1) as f64) as usize];
                let told = sketch.quantile(q).unwrap();
                let bound = accuracy(coarseness) * truth.abs();
                assert!((told - truth).abs() <= bound * 1.000_001, "{told} for {truth} at {coarseness}");
            }
        }
    }

    #[test]
    fn the_accuracy_is_the_one_that_is_stated() {
        assert_eq!([0, 1, 2, 9].map(accuracy), [1.0 / 1_024.0, 1.0 / 512.0, 1.0 / 256.0, 0.5]);
        // It is reached: the lower end of a power of two is told as the middle of its bucket.
        let told = sketch(&[2.0], 2).quantile(0.5).unwrap();
        assert_eq!((told - 2.0) / 2.0, accuracy(2));
    }

    #[test]
    fn values_beyond_the_bounds_stay_in_the_outer_buckets() {
        let huge = [f64::MAX, -f64::MAX, 1e13, -1e13];
        let keys = huge.map(key);
        assert_eq!(keys, [32_256, -32_256, 32_256, -32_256]);
        assert_eq!([0.0, -0.0, 9e-7, -9e-7, f64::MIN_POSITIVE].map(key), [0; 5]);
        assert_eq!([1e-6, -1e-6].map(|tiny| key(tiny).signum()), [1, -1]);
        let sketch = sketch(&huge, 0);
        assert!(sketch.quantile(1.0).unwrap() > 8e12 && sketch.quantile(0.0).unwrap() < -8e12);
    }

    #[test]
    fn keys_ascend_with_values_at_every_coarseness() {
        let mut values = Values(3);
        let mut all: Vec<f64> = (0..2_000).map(|_| values.value(60)).collect();
        all.sort_by(f64::total_cmp);
        for steps in 0..=MAX_COARSENESS {
            let keys: Vec<i16> = all.iter().map(|value| coarser(key(*value), steps)).collect();
            assert!(keys.is_sorted(), "{steps}");
            // One step twice is two steps.
            let twice = |value: &f64| coarser(coarser(key(*value), steps / 2), steps - steps / 2);
            assert_eq!(keys, all.iter().map(twice).collect::<Vec<_>>());
        }
    }

    #[test]
    fn impossible_buckets_are_refused_and_an_empty_sketch_tells_nothing() {
        assert_eq!(Sketch::default().quantile(0.5), None);
        for bad in [vec![(1, 0)], vec![(2, 1), (1, 1)], vec![(32_257, 1)], vec![(-32_257, 1)]] {
            assert_eq!(Sketch::new(0, bad.clone()), None, "{bad:?}");
        }
        assert_eq!(Sketch::new(16, vec![]), None);
        assert_eq!(Sketch::new(15, vec![(2, 1)]), None);
        assert!(Sketch::new(0, vec![(-32_256, 1), (0, u64::MAX), (32_256, u64::MAX)]).is_some());
    }
}
