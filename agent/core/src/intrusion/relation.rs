//! What always holds between the bits of a message and of the one before it, found by elimination over GF(2).
//!
//! Constant bits, the lowest bits of counters, XOR checksums and CRCs of any polynomial, start value and final XOR are
//! all affine over GF(2): the parity of some bits of the payload and of the payload before is always the same. So the
//! payloads that were ever seen span an affine space, and what is orthogonal to it are the checks, whoever made them
//! and whatever they are called. No DBC file is asked.
//!
//! Only what ties down a bit that moves often is believed. Bits that seldom change are in it, as a checksum covers them
//! too, but what holds among them alone may only not have been seen otherwise yet.

use super::profile::{CHECKS, Check};

/// A row: the constant one, the seldom bits of the payload before and of this one, the moving bits of both.
type Row = [u64; 5];
/// Places in a row.
const ONE: usize = 0;
const SELDOM_BEFORE: usize = 1;
const SELDOM: usize = 2;
const MOVING_BEFORE: usize = 3;
const MOVING: usize = 4;
const COLUMNS: usize = 5 * 64;

/// Without a new dimension in so many payloads and in this share of all, of which there must be so many for each
/// dimension, the space is taken to be complete.
const SETTLED: u32 = 128;
const SETTLED_SHARE: u32 = 4;
const SEEN_PER_DIMENSION: u32 = 8;

/// Which bits of a payload change at all, and which of them often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Columns {
    pub(super) seldom: u64,
    pub(super) moving: u64,
}

/// The space that the pairs of successive payloads span, as far as they were seen.
#[derive(Clone, Debug)]
pub(super) struct Span {
    /// Reduced rows by their leading column.
    rows: Vec<Option<Row>>,
    seen: u32,
    /// How many had been seen when the space last grew in a bit that moves.
    grew_at: u32,
}

impl Span {
    pub(super) fn new() -> Span {
        Span { rows: vec![None; COLUMNS], seen: 0, grew_at: 0 }
    }

    /// Takes a payload and the one before it.
    pub(super) fn take(&mut self, now: u64, before: u64, of: Columns) {
        self.seen += 1;
        if self.insert(row(now, before, of)).is_some_and(|lead| lead >= MOVING_BEFORE * 64) {
            self.grew_at = self.seen;
        }
    }

    /// Takes what may only narrow down what is known: it ages nothing.
    pub(super) fn contradict(&mut self, now: u64, before: u64, of: Columns) {
        self.insert(row(now, before, of));
    }

    /// Whether so much was seen without anything new that what holds is believed to hold always.
    pub(super) fn is_settled(&self) -> bool {
        let quiet = self.seen - self.grew_at;
        let dimensions = self.rows.iter().flatten().count() as u32;
        quiet >= SETTLED && quiet >= self.seen / SETTLED_SHARE && self.seen >= SEEN_PER_DIMENSION * dimensions
    }

    /// The column in which the space grew.
    fn insert(&mut self, mut row: Row) -> Option<usize> {
        while let Some(lead) = leading(&row) {
            match &self.rows[lead] {
                Some(known) => xor(&mut row, known),
                None => {
                    self.rows[lead] = Some(row);
                    return Some(lead);
                }
            }
        }
        None
    }

    /// What holds for every row: at most [`CHECKS`] of it, chosen so that a payload that breaks anything breaks each of
    /// these with one half. `seed` chooses.
    pub(super) fn checks(&self, seed: u64) -> Vec<Check> {
        let basis = self.orthogonal();
        if basis.len() <= CHECKS {
            return basis.iter().map(check).collect();
        }
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut chosen = Vec::new();
        while chosen.len() < CHECKS {
            let mut mixed = [0; 5];
            for row in &basis {
                // xorshift64 (Marsaglia 2003).
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                if state >> 32 & 1 == 1 {
                    xor(&mut mixed, row);
                }
            }
            let one = check(&mixed);
            if one.now != 0 && !chosen.contains(&one) {
                chosen.push(one);
            }
        }
        chosen
    }

    /// A basis of what is orthogonal to all rows and ties down a moving bit of the newer payload: with the rows reduced
    /// from the left, one vector for each such column that leads no row.
    fn orthogonal(&self) -> Vec<Row> {
        let mut reduced: Vec<(usize, Row)> =
            self.rows.iter().enumerate().filter_map(|(lead, row)| row.map(|row| (lead, row))).collect();
        for place in 0..reduced.len() {
            let (lead, row) = reduced[place];
            for (_, other) in reduced.iter_mut().take(place) {
                if bit(other, lead) {
                    xor(other, &row);
                }
            }
        }
        let occurs = reduced.iter().fold(0, |all, (_, row)| all | row[MOVING]);
        let is_led = |column: usize| reduced.iter().any(|(lead, _)| *lead == column);
        (MOVING * 64..COLUMNS)
            .filter(|free| !is_led(*free) && occurs >> (63 - free % 64) & 1 == 1)
            .map(|free| {
                let mut dual = [0; 5];
                set(&mut dual, free);
                for (lead, row) in &reduced {
                    if bit(row, free) {
                        set(&mut dual, *lead);
                    }
                }
                dual
            })
            .collect()
    }
}

const fn row(now: u64, before: u64, of: Columns) -> Row {
    [1, before & of.seldom, now & of.seldom, before & of.moving, now & of.moving]
}

const fn check(row: &Row) -> Check {
    Check {
        now: row[SELDOM] | row[MOVING],
        before: row[SELDOM_BEFORE] | row[MOVING_BEFORE],
        odd: row[ONE] & 1 == 1,
    }
}

fn leading(row: &Row) -> Option<usize> {
    let word = row.iter().position(|word| *word != 0)?;
    Some(word * 64 + row[word].leading_zeros() as usize)
}

fn xor(row: &mut Row, other: &Row) {
    row.iter_mut().zip(other).for_each(|(a, b)| *a ^= b);
}

const fn bit(row: &Row, column: usize) -> bool {
    row[column / 64] >> (63 - column % 64) & 1 == 1
}

const fn set(row: &mut Row, column: usize) {
    row[column / 64] |= 1 << (63 - column % 64);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Columns = Columns { seldom: 0, moving: u64::MAX };

    /// splitmix64 (Steele et al. 2014).
    fn noise(step: u64) -> u64 {
        let mut z = step.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// CRC-8 SAE J1850 over seven bytes.
    fn crc(data: &[u8]) -> u8 {
        let mut crc = 0xFFu8;
        for byte in data {
            crc ^= byte;
            for _ in 0..8 {
                crc = if crc & 0x80 != 0 { crc << 1 ^ 0x1D } else { crc << 1 };
            }
        }
        !crc
    }

    fn sealed(step: u64) -> u64 {
        let mut bytes = noise(step).to_be_bytes();
        bytes[0] = step as u8 & 0x0F;
        bytes[7] = crc(&bytes[..7]);
        u64::from_be_bytes(bytes)
    }

    fn holds(checks: &[Check], now: u64, before: u64) -> bool {
        checks.iter().all(|c| {
            let parity = ((now & c.now) ^ (before & c.before)).count_ones() & 1 == 1;
            parity == c.odd
        })
    }

    #[test]
    fn a_counter_and_a_crc_are_found_without_being_told() {
        let mut span = Span::new();
        (1..1_200).for_each(|step| span.take(sealed(step), sealed(step - 1), ALL));
        assert!(span.is_settled());
        let basis = span.orthogonal();
        assert!(basis.len() >= 9, "eight bits of CRC and the counter's lowest, not {}", basis.len());
        let checks = span.checks(7);
        assert_eq!(checks.len(), CHECKS);
        assert!((600..2_000).all(|step| holds(&checks, sealed(step), sealed(step - 1))));
        let flipped = (600..1_600)
            .filter(|step| !holds(&checks, sealed(*step) ^ 1 << (step % 56), sealed(step - 1)))
            .count();
        assert!(flipped > 850, "{flipped} of 1000 changed payloads are seen");
        let repeated = (600..1_600).filter(|s| !holds(&checks, sealed(s - 1), sealed(s - 1))).count();
        assert!(repeated > 400, "{repeated}: the counter stood still");
    }

    #[test]
    fn noise_has_no_checks_and_a_growing_space_is_not_believed() {
        let mut span = Span::new();
        (1..400).for_each(|step| span.take(noise(step), noise(step - 1), ALL));
        assert!(span.checks(7).is_empty());
        let mut young = Span::new();
        (1..100).for_each(|step| young.take(sealed(step), sealed(step - 1), ALL));
        assert!(!young.is_settled());
    }

    /// A checksum covers bits that seldom change; what holds among those alone is not believed.
    #[test]
    fn seldom_bits_are_covered_but_not_believed() {
        let payload = |step: u64| {
            let flags = if step % 200 < 3 { 0b11 } else { 0 };
            let count = step % 4;
            flags << 8 | count << 4 | ((count ^ flags) & 3)
        };
        let columns = Columns { seldom: 0x300, moving: 0x33 };
        let mut span = Span::new();
        (1..900).for_each(|step| span.take(payload(step), payload(step - 1), columns));
        assert!(span.is_settled());
        let checks = span.checks(7);
        assert!((900..2_000).all(|step| holds(&checks, payload(step), payload(step - 1))));
        assert!(checks.iter().any(|check| check.now & 0x300 != 0), "{checks:?}");
        assert!(checks.iter().all(|check| check.now & 0x33 != 0), "{checks:?}");
    }

    #[test]
    fn a_contradiction_takes_a_check_away() {
        let mut span = Span::new();
        (0..300).for_each(|step| span.take(step & 1, (step + 1) & 1, ALL));
        let toggles = span.checks(7);
        assert_eq!(toggles, [Check { now: 1, before: 1, odd: true }]);
        span.contradict(1, 1, ALL);
        assert!(span.checks(7).is_empty());
    }
}
