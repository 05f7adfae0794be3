//! The series of a stretch as bits: small differences to the series before, in codes that give small numbers few bits.
//!
//! For each series: whether it was heard at all; its samples (the same as before, or coded); refused samples, absences
//! and the longest gap where there are some; the decimals (the same, or 4 bits); the least value as the difference to
//! that before; the span up to the greatest, and last and mean within it in as many bits as the span needs; and the
//! sketch: its coarseness, its lowest bucket counted from that of the least value, then count and gap by turns until
//! all values are told. A constant series is one bit there.

use super::{MAX_DECIMALS, MAX_SCALED, MAX_SERIES, Series, SeriesRun, Values};
use crate::bits::{BitReader, BitWriter};
use crate::sketch::{MAX_COARSENESS, Sketch, coarser, key};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Orders of the codes: about the logarithm of what is usual.
const SAMPLES: u32 = 6;
const GAP: u32 = 2;
const REFUSED: u32 = 2;
const LEVEL: u32 = 4;
const COUNT: u32 = 0;

/// A [`SeriesRun`] on the wire.
#[derive(Serialize, Deserialize)]
pub(super) struct PackedRun {
    steps: u32,
    first: u16,
    count: u16,
    bits: Vec<u8>,
}

impl From<SeriesRun> for PackedRun {
    fn from(run: SeriesRun) -> Self {
        let mut bits = BitWriter::new();
        let mut before = Series::unheard(run.steps);
        for series in &run.series {
            write(&mut bits, series, &before, run.steps);
            before.clone_from(series);
        }
        Self { steps: run.steps, first: run.first, count: run.series.len() as u16, bits: bits.finish() }
    }
}

impl TryFrom<PackedRun> for SeriesRun {
    type Error = BadSeries;

    fn try_from(run: PackedRun) -> Result<Self, BadSeries> {
        let PackedRun { steps, first, count, bits } = run;
        if usize::from(first) + usize::from(count) > MAX_SERIES {
            return Err(BadSeries);
        }
        let mut bits = BitReader::new(&bits);
        let mut before = Series::unheard(steps);
        let mut series = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let next = read(&mut bits, &before, steps).ok_or(BadSeries)?;
            before.clone_from(&next);
            series.push(next);
        }
        Ok(Self { steps, first, series })
    }
}

/// Bits that are no series: cut, or not written by a vehicle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BadSeries;

impl fmt::Display for BadSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the packed series are cut, contradict each other, or are too many")
    }
}

fn write(bits: &mut BitWriter, series: &Series, before: &Series, steps: u32) {
    let heard = *series != Series::unheard(steps);
    bits.bit(heard);
    if !heard {
        return;
    }
    write_same(bits, series.samples, before.samples, SAMPLES);
    let refused = [series.out_of_range, series.sensor_fault];
    write_unless_zero(bits, &refused, REFUSED);
    write_same(bits, u64::from(series.longest_gap), u64::from(before.longest_gap), GAP);
    write_unless_zero(bits, &series.absent, COUNT);
    bits.bit(series.values.is_some());
    if let Some(values) = &series.values {
        write_values(bits, values, before.values.as_ref(), left(series, steps));
    }
}

fn read(bits: &mut BitReader<'_>, before: &Series, steps: u32) -> Option<Series> {
    if !bits.bit()? {
        return Some(Series::unheard(steps));
    }
    let samples = read_same(bits, before.samples, SAMPLES)?;
    let [out_of_range, sensor_fault] = read_unless_zero(bits, REFUSED)?;
    let longest_gap = read_same(bits, u64::from(before.longest_gap), GAP)?.try_into().ok()?;
    let absent = read_unless_zero(bits, COUNT)?;
    let mut series = Series { samples, out_of_range, sensor_fault, absent, longest_gap, values: None };
    if bits.bit()? {
        series.values = Some(read_values(bits, before.values.as_ref(), left(&series, steps))?);
    }
    Some(series)
}

/// Steps that are not absent: as many values as a signal's sketch holds.
fn left(series: &Series, steps: u32) -> u64 {
    series.absent.iter().fold(u64::from(steps), |left, absent| left.saturating_sub(*absent))
}

fn write_values(bits: &mut BitWriter, values: &Values, before: Option<&Values>, expected: u64) {
    let alike = before.filter(|before| before.decimals == values.decimals);
    bits.bit(alike.is_some());
    if alike.is_none() {
        bits.bits(u64::from(values.decimals), 4);
    }
    bits.coded_signed(values.min - alike.map_or(0, |before| before.min), LEVEL);
    let span = (values.max - values.min) as u64;
    bits.coded(span, LEVEL);
    bits.bits((values.last - values.min) as u64, width(span));
    bits.bits((values.mean - values.min) as u64, width(span));

    let sketch = &values.sketch;
    write_same(bits, sketch.count(), expected, SAMPLES);
    let lowest = key(values.physical(values.min));
    if span == 0 {
        let plain = constant(lowest, sketch.count());
        bits.bit(plain.as_ref() == Some(sketch));
        if plain.as_ref() == Some(sketch) {
            return;
        }
    }
    let coarseness = before.map_or(0, |before| before.sketch.coarseness());
    bits.bit(sketch.coarseness() == coarseness);
    if sketch.coarseness() != coarseness {
        bits.bits(u64::from(sketch.coarseness()), 4);
    }
    let mut at = i64::from(coarser(lowest, sketch.coarseness()));
    for (number, (key, count)) in sketch.buckets().iter().enumerate() {
        let gap = i64::from(*key) - at;
        if number == 0 {
            bits.coded_signed(gap, COUNT)
        } else {
            bits.coded((gap - 1) as u64, COUNT)
        }
        bits.coded(count - 1, COUNT);
        at = i64::from(*key);
    }
}

fn read_values(bits: &mut BitReader<'_>, before: Option<&Values>, expected: u64) -> Option<Values> {
    let alike = bits.bit()?;
    let decimals = if alike { before?.decimals } else { bits.bits(4)? as u8 };
    let from = if alike { before?.min } else { 0 };
    let min = bits.coded_signed(LEVEL)?.checked_add(from)?;
    let span = bits.coded(LEVEL)?;
    let (last, mean) = (bits.bits(width(span))?, bits.bits(width(span))?);
    let max = min.checked_add(i64::try_from(span).ok()?)?;
    let possible = decimals <= MAX_DECIMALS && min >= -MAX_SCALED && max <= MAX_SCALED;
    if !possible || last > span || mean > span {
        return None;
    }
    let within = |part: u64| min + part as i64;
    let sketch = Sketch::default();
    let mut values = Values { decimals, min, max, last: within(last), mean: within(mean), sketch };
    let lowest = key(values.physical(min));
    let count = read_same(bits, expected, SAMPLES)?;
    values.sketch = if span == 0 && bits.bit()? {
        constant(lowest, count)?
    } else {
        read_sketch(bits, before.map_or(0, |before| before.sketch.coarseness()), lowest, count)?
    };
    Some(values)
}

fn read_sketch(bits: &mut BitReader<'_>, coarseness: u8, lowest: i16, count: u64) -> Option<Sketch> {
    let coarseness = if bits.bit()? { coarseness } else { bits.bits(4)? as u8 };
    if coarseness > MAX_COARSENESS {
        return None;
    }
    let mut at = i64::from(coarser(lowest, coarseness));
    let mut buckets = Vec::new();
    let mut left = count;
    while left > 0 {
        let gap = if buckets.is_empty() {
            bits.coded_signed(COUNT)?
        } else {
            i64::try_from(bits.coded(COUNT)?).ok()?.checked_add(1)?
        };
        at = at.checked_add(gap)?;
        let counted = bits.coded(COUNT)?.checked_add(1)?;
        left = left.checked_sub(counted)?;
        buckets.push((i16::try_from(at).ok()?, counted));
    }
    Sketch::new(coarseness, buckets)
}

/// The sketch of one value, seen so often.
fn constant(key: i16, count: u64) -> Option<Sketch> {
    Sketch::new(0, if count == 0 { Vec::new() } else { vec![(key, count)] })
}

/// Bits that numbers up to this one need.
const fn width(largest: u64) -> u32 {
    64 - largest.leading_zeros()
}

fn write_same(bits: &mut BitWriter, value: u64, before: u64, order: u32) {
    bits.bit(value == before);
    if value != before {
        bits.coded(value, order);
    }
}

fn read_same(bits: &mut BitReader<'_>, before: u64, order: u32) -> Option<u64> {
    if bits.bit()? { Some(before) } else { bits.coded(order) }
}

fn write_unless_zero(bits: &mut BitWriter, values: &[u64], order: u32) {
    let any = values.iter().any(|value| *value > 0);
    bits.bit(any);
    if any {
        values.iter().for_each(|value| bits.coded(*value, order));
    }
}

fn read_unless_zero<const N: usize>(bits: &mut BitReader<'_>, order: u32) -> Option<[u64; N]> {
    let mut values = [0; N];
    if bits.bit()? {
        for value in &mut values {
            *value = bits.coded(order)?;
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(decimals: u8, numbers: [i64; 4], coarseness: u8, buckets: Vec<(i16, u64)>) -> Option<Values> {
        let [min, max, last, mean] = numbers;
        let sketch = Sketch::new(coarseness, buckets).unwrap();
        Some(Values { decimals, min, max, last, mean, sketch })
    }

    fn run() -> SeriesRun {
        let quiet = Series::unheard(60);
        let heard = Series { samples: 6, absent: [0; 7], longest_gap: 9, ..quiet.clone() };
        let cell = |min: i64, coarseness, counts: &[u64]| {
            let lowest = coarser(key(min as f64 / 1e3), coarseness);
            let buckets = counts.iter().enumerate().map(|(n, count)| (lowest + n as i16, *count)).collect();
            let span = counts.len() as i64 * 4;
            let values = values(3, [min, min + span, min + 1, min + span / 2], coarseness, buckets);
            Series { values, ..heard.clone() }
        };
        let constant = |scaled: i64| values(0, [scaled; 4], 0, vec![(key(scaled as f64), 60)]);
        let series = vec![
            cell(3_712, 0, &[1, 20, 30, 9]),
            cell(3_709, 0, &[12, 40, 8]),
            cell(3_690, 2, &[30, 30]),
            quiet,
            Series { values: constant(0), ..heard.clone() },
            Series { values: constant(-40), samples: 600, ..heard.clone() },
            Series {
                out_of_range: 3,
                sensor_fault: 1,
                absent: [0, 0, 7, 3, 0, 0, 0],
                values: values(12, [-MAX_SCALED, MAX_SCALED, 0, -1], 15, vec![(-1, 20), (0, 10), (1, 20)]),
                ..heard.clone()
            },
            // Samples, but at no step's end a value: the sketch is empty.
            Series { absent: [0, 0, 0, 60, 0, 0, 0], values: values(1, [5, 7, 6, 5], 3, vec![]), ..heard },
        ];
        SeriesRun { steps: 60, first: 40, series }
    }

    #[test]
    fn series_survive_and_cells_take_about_ten_bytes() {
        let bytes = postcard::to_allocvec(&run()).unwrap();
        assert_eq!(postcard::from_bytes::<SeriesRun>(&bytes).unwrap(), run());
        let cells = SeriesRun { series: run().series[..2].to_vec(), ..run() };
        let bytes = postcard::to_allocvec(&cells).unwrap();
        assert!(bytes.len() < 28, "{}", bytes.len());
    }

    #[test]
    fn cut_and_changed_bits_are_refused_or_read_as_possible_series() {
        let good: PackedRun = run().into();
        for len in 0..good.bits.len() {
            let cut = PackedRun { bits: good.bits[..len].to_vec(), ..run().into() };
            assert_eq!(SeriesRun::try_from(cut).err(), Some(BadSeries), "cut at {len}");
        }
        let mut read = 0;
        for bit in 0..good.bits.len() * 8 {
            let mut bits = good.bits.clone();
            bits[bit / 8] ^= 1 << (bit % 8);
            let Ok(other) = SeriesRun::try_from(PackedRun { bits, ..run().into() }) else { continue };
            // What was read is a run that a vehicle could have sent: it survives its own bytes.
            let again = postcard::to_allocvec(&other).unwrap();
            assert_eq!(postcard::from_bytes::<SeriesRun>(&again).unwrap(), other, "bit {bit}");
            for values in other.series.iter().filter_map(|series| series.values.as_ref()) {
                let range = values.min..=values.max;
                assert!(range.contains(&values.last) && range.contains(&values.mean), "bit {bit}");
            }
            read += 1;
        }
        assert!(read > 0);
    }

    #[test]
    fn more_series_than_a_directory_names_are_refused() {
        let many = |count| PackedRun { steps: 60, first: 60, count, bits: vec![0; 600] };
        assert!(SeriesRun::try_from(many(4_100)).is_ok());
        assert_eq!(SeriesRun::try_from(many(4_101)).err(), Some(BadSeries));
    }
}
