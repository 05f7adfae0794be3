//! Snapshots: what stood on the buses around a moment, sample by sample, in the DBC's own integers.
//!
//! A snapshot is cut into parts, each a record of its own ([`SnapshotPart`]). The samples of a part are a block
//! ([`SnapshotBlock`]) that [`encode`] packs without loss and [`decode`] unpacks without any other part, any earlier
//! record or the DBC file: it holds the names and scales of its signals. Vehicle and cloud share this code.
//!
//! The packing is adaptive prediction and a binary range coder (`coder`, `residual`, `series`, `table`).
//! Its bytes are pinned by vectors: a better predictor is a new version ([`VERSION`]), never a change of this one.

mod coder;
mod record;
mod residual;
mod series;
mod table;

pub use record::{SnapshotCause, SnapshotPart};
pub use table::MAX_NAME;

use crate::unit::Unit;
use alloc::string::String;
use alloc::vec::Vec;
use coder::{Coder, Decoder, Encoder};
use core::fmt;
use crc::{CRC_32_ISCSI, Crc};
use residual::Residual;
use series::Series;
use table::Table;

/// The packing that this writes, the first byte of a block.
pub const VERSION: u8 = 1;

/// The most samples of a block. Unpacked they take 16 bytes each, 4 MB in all.
pub const MAX_SAMPLES: usize = 1 << 18;

/// The most rows of a block: frames of the vehicle. Unpacked they take 16 bytes each.
pub const MAX_ROWS: usize = 1 << 14;

/// The most signals of a block: those of the largest catalog. Packing and unpacking take 2 kB for each that is scaled
/// like no other.
pub const MAX_SIGNALS: usize = 4_096;

/// What a raw value's bits mean.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Number {
    /// An unsigned integer.
    #[default]
    Unsigned,
    /// An integer in two's complement.
    Signed,
    /// IEEE 754 binary32.
    Float,
    /// IEEE 754 binary64.
    Double,
}

impl Number {
    /// All, in encoding order.
    pub const ALL: [Number; 4] = [Number::Unsigned, Number::Signed, Number::Float, Number::Double];
}

/// A signal of a snapshot.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SnapshotSignal {
    /// Its VSS path, at most [`MAX_NAME`] bytes.
    pub name: String,
    /// What its raw values mean.
    pub number: Number,
    /// How many bits they have, 1 to 64.
    pub bits: u8,
    /// The unit of its physical values.
    pub unit: Unit,
    /// Physical value = number x factor + offset.
    pub factor: f64,
    /// See `factor`.
    pub offset: f64,
}

impl SnapshotSignal {
    /// The number that raw bits mean, before scaling. Integers over 53 bits are rounded to the nearest double.
    #[must_use]
    pub fn number(&self, raw: u64) -> f64 {
        let unused = 64 - u32::from(self.bits.clamp(1, 64));
        match self.number {
            Number::Unsigned => raw as f64,
            Number::Signed => ((raw << unused) as i64 >> unused) as f64,
            Number::Float => f64::from(f32::from_bits(raw as u32)),
            Number::Double => f64::from_bits(raw),
        }
    }

    /// The physical value of raw bits.
    #[must_use]
    pub fn physical(&self, raw: u64) -> f64 {
        self.number(raw) * self.factor + self.offset
    }
}

/// Whether a sample is a value. The raw bits are there in any case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SampleState {
    /// It is.
    #[default]
    Value,
    /// The sender says that there is none: a sentinel, or a float that is no number.
    SensorFault,
    /// It lies outside the range that the vehicle's catalog gives.
    OutOfRange,
}

impl SampleState {
    /// All, in encoding order.
    pub const ALL: [SampleState; 3] = [SampleState::Value, SampleState::SensorFault, SampleState::OutOfRange];

    /// A few words for a person; empty for a value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Value => "",
            Self::SensorFault => "sensor fault",
            Self::OutOfRange => "out of range",
        }
    }
}

/// One sample: it belongs to the row that holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SnapshotSample {
    /// The signal, by its place in the message's list.
    pub signal: u16,
    /// Whether it is a value.
    pub state: SampleState,
    /// Its bits as received, right-aligned.
    pub raw: u64,
}

/// One frame of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SnapshotRow {
    /// When it was received, in microseconds on the vehicle's monotonic clock.
    pub at: u64,
    /// Its samples end here in the message's list; they begin where those of the row before end.
    pub end: u32,
}

/// What one message brought.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SnapshotMessage {
    /// Its signals.
    pub signals: Vec<SnapshotSignal>,
    /// Its frames in the order of their arrival.
    pub rows: Vec<SnapshotRow>,
    /// The samples of all rows, those of one row in ascending order of their signals.
    pub samples: Vec<SnapshotSample>,
}

impl SnapshotMessage {
    /// Each row's time and samples.
    pub fn rows(&self) -> impl Iterator<Item = (u64, &[SnapshotSample])> {
        let mut start = 0;
        self.rows.iter().map(move |row| {
            let samples = self.samples.get(start..row.end as usize).unwrap_or_default();
            start = row.end as usize;
            (row.at, samples)
        })
    }
}

/// The samples of one part of a snapshot.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SnapshotBlock {
    /// By message, in the order of the catalog.
    pub messages: Vec<SnapshotMessage>,
}

/// Why a block was not packed or unpacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SnapshotError {
    /// The block was packed by a newer agent.
    NewerVersion(u8),
    /// The checksum does not fit the bytes.
    Damaged,
    /// The bytes do not mean a block.
    Malformed(&'static str),
    /// More than [`MAX_SAMPLES`], [`MAX_ROWS`] or [`MAX_SIGNALS`].
    TooManySamples,
    /// A name is longer than [`MAX_NAME`].
    LongName,
    /// Rows and samples that do not belong together, or not in ascending order of their signals.
    Disorder,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewerVersion(version) => {
                write!(f, "the block is of version {version}, this reads up to {VERSION}: update the reader")
            }
            Self::Damaged => f.write_str("the block's checksum does not fit its bytes"),
            Self::Malformed(why) => write!(f, "the block does not decode: {why}"),
            Self::TooManySamples => write!(
                f,
                "a block holds at most {MAX_SIGNALS} signals, {MAX_ROWS} rows and {MAX_SAMPLES} samples"
            ),
            Self::LongName => write!(f, "a signal's name is longer than {MAX_NAME} bytes"),
            Self::Disorder => f.write_str("the rows of a message and its samples do not belong together"),
        }
    }
}

impl core::error::Error for SnapshotError {}

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Version and checksum.
const HEAD: usize = 1 + size_of::<u32>();

/// Packs a block. `block` is the same afterwards; it is taken mutably because one code walks both ways.
///
/// # Errors
/// Every [`SnapshotError`] but those of the bytes, if the block breaks a rule of its type.
pub fn encode(block: &mut SnapshotBlock) -> Result<Vec<u8>, SnapshotError> {
    let mut coder = Encoder::new();
    walk(&mut coder, block)?;
    let packed = coder.finish();
    let mut bytes = Vec::with_capacity(HEAD + packed.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&CRC.checksum(&packed).to_le_bytes());
    bytes.extend_from_slice(&packed);
    Ok(bytes)
}

/// Unpacks a block.
///
/// # Errors
/// Every [`SnapshotError`]; the bytes may come from anyone.
pub fn decode(bytes: &[u8]) -> Result<SnapshotBlock, SnapshotError> {
    let (head, packed) =
        bytes.split_first_chunk::<HEAD>().ok_or(SnapshotError::Malformed("it is too short"))?;
    let [version, crc @ ..] = *head;
    if version != VERSION {
        return Err(SnapshotError::NewerVersion(version));
    }
    if CRC.checksum(packed) != u32::from_le_bytes(crc) {
        return Err(SnapshotError::Damaged);
    }
    unpack(packed)
}

fn unpack(packed: &[u8]) -> Result<SnapshotBlock, SnapshotError> {
    let mut block = SnapshotBlock::default();
    walk(&mut Decoder::new(packed), &mut block)?;
    Ok(block)
}

/// The greatest time of which all times are multiples, counted from the base: loggers often count milliseconds.
fn tick(block: &SnapshotBlock, base: u64) -> u64 {
    let rows = block.messages.iter().flat_map(|message| &message.rows);
    let divisor = rows.map(|row| row.at.wrapping_sub(base)).try_fold(0, |tick, at| match gcd(tick, at) {
        1 => Err(1),
        divisor => Ok(divisor),
    });
    divisor.unwrap_or_else(|one| one) & (u64::MAX >> 1)
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Counts a block's parts down.
fn take(left: &mut usize, count: usize) -> Result<(), SnapshotError> {
    *left = left.checked_sub(count).ok_or(SnapshotError::TooManySamples)?;
    Ok(())
}

/// Codes the table of all messages, then the rows of each.
fn walk<C: Coder>(coder: &mut C, block: &mut SnapshotBlock) -> Result<(), SnapshotError> {
    let (mut signals, mut rows, mut samples) = (MAX_SIGNALS, MAX_ROWS, MAX_SAMPLES);
    let mut counts = Residual::new();
    let messages = counts.magnitude(coder, block.messages.len() as u64) as usize;
    // A message has at least one signal.
    if messages > MAX_SIGNALS {
        return Err(SnapshotError::TooManySamples);
    }
    block.messages.resize(messages, SnapshotMessage::default());
    let mut table = Table::new();
    let mut shape = Vec::with_capacity(messages);
    for message in &mut block.messages {
        let count = counts.magnitude(coder, message.signals.len() as u64) as usize;
        let row_count = counts.magnitude(coder, message.rows.len() as u64) as usize;
        take(&mut signals, count)?;
        take(&mut rows, row_count)?;
        message.signals.resize(count, SnapshotSignal::default());
        let mut scales = Vec::with_capacity(count);
        for signal in &mut message.signals {
            let (coded, scale) = table.code(coder, signal)?;
            *signal = coded;
            scales.push(scale);
        }
        shape.push((scales, row_count));
    }
    let base = block.messages.iter().filter_map(|m| m.rows.first()).map(|row| row.at).min().unwrap_or(0);
    let base = coder.raw(base, 64);
    let tick = counts.magnitude(coder, tick(block, base));
    let mut series = Series::new(table.scales(), base, tick.max(1));
    for (message, (scales, rows)) in block.messages.iter_mut().zip(&shape) {
        series.code(coder, message, scales, *rows, &mut samples)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
