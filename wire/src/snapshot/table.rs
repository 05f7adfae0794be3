//! The table of a block: which signals its samples belong to, and how a raw value becomes a physical one.
//!
//! A catalog names things in series (`Cell1` to `Cell96`) that are scaled alike, so a name is told as its
//! predecessor's with the number counted up, or by what it shares with it; a scaling is told once.

use super::coder::{Bit, Coder};
use super::residual::Residual;
use super::{Number, SnapshotError, SnapshotSignal};
use crate::unit::Unit;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The longest name of a signal, in bytes: the longest VSS path of a catalog.
pub const MAX_NAME: usize = 255;

/// How a raw value becomes a physical one: all of a signal but its name.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Scale {
    number: Number,
    bits: u8,
    unit: Unit,
    factor: f64,
    offset: f64,
}

impl Scale {
    pub(super) fn of(signal: &SnapshotSignal) -> Scale {
        let SnapshotSignal { name: _, number, bits, unit, factor, offset } = *signal;
        Scale { number, bits, unit, factor, offset }
    }

    /// Floats by their bits: a factor that is not a number is still the same factor.
    fn same(&self, other: &Scale) -> bool {
        let bits = |scale: &Scale| (scale.factor.to_bits(), scale.offset.to_bits());
        (self.number, self.bits, self.unit) == (other.number, other.bits, other.unit)
            && bits(self) == bits(other)
    }
}

/// What is learnt while the table is told.
pub(super) struct Table {
    counted_up: Bit,
    shared: Residual,
    length: Residual,
    letters: Letters,
    scale: Residual,
    exact: Bit,
    /// A decimal's digits, by its power of ten.
    decimal: Residual,
    power: [Bit; 16],
    last_name: String,
    scales: Vec<Scale>,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            counted_up: Bit::NEW,
            shared: Residual::new(),
            length: Residual::new(),
            letters: Letters::new(),
            scale: Residual::new(),
            exact: Bit::NEW,
            decimal: Residual::new(),
            power: [Bit::NEW; 16],
            last_name: String::new(),
            scales: Vec::new(),
        }
    }

    /// How many scales were told.
    pub(super) const fn scales(&self) -> usize {
        self.scales.len()
    }

    /// Codes a signal; gives with it the place of its scale among the scales so far.
    pub(super) fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        signal: &SnapshotSignal,
    ) -> Result<(SnapshotSignal, usize), SnapshotError> {
        let name = self.name(coder, &signal.name)?;
        let place = self.place(coder, &Scale::of(signal))?;
        let Scale { number, bits, unit, factor, offset } = self.scales[place];
        Ok((SnapshotSignal { name, number, bits, unit, factor, offset }, place))
    }

    fn name<C: Coder>(&mut self, coder: &mut C, name: &str) -> Result<String, SnapshotError> {
        if name.len() > MAX_NAME {
            return Err(SnapshotError::LongName);
        }
        let next = counted_up(&self.last_name);
        if coder.bit(&mut self.counted_up, next.as_deref() == Some(name)) {
            self.last_name = next.ok_or(SnapshotError::Malformed("a name without a number is counted up"))?;
            return Ok(self.last_name.clone());
        }
        let both = self.last_name.bytes().zip(name.bytes());
        let shared = both.take_while(|(a, b)| a == b).count();
        let shared = self.shared.magnitude(coder, shared as u64) as usize;
        let mut letters: Vec<u8> = self.last_name.bytes().take(shared).collect();
        self.letters.begin(&letters);
        let rest = name.as_bytes().get(letters.len()..).unwrap_or_default();
        let length = self.length.magnitude(coder, rest.len() as u64) as usize;
        if length > MAX_NAME {
            return Err(SnapshotError::LongName);
        }
        for place in 0..length {
            letters.push(self.letters.code(coder, rest.get(place).copied().unwrap_or_default()));
        }
        let name = String::from_utf8(letters).map_err(|_| SnapshotError::Malformed("a name is not UTF-8"))?;
        self.last_name.clone_from(&name);
        Ok(name)
    }

    /// The place of a scale in the list: of one that was told before, counted from the newest, or of a new one.
    fn place<C: Coder>(&mut self, coder: &mut C, scale: &Scale) -> Result<usize, SnapshotError> {
        let back = self.scales.iter().rev().position(|known| known.same(scale));
        let back = self.scale.magnitude(coder, back.map_or(0, |back| back as u64 + 1));
        if back == 0 {
            let scale = self.new_scale(coder, scale)?;
            self.scales.push(scale);
            return Ok(self.scales.len() - 1);
        }
        usize::try_from(back)
            .ok()
            .and_then(|back| self.scales.len().checked_sub(back))
            .ok_or(SnapshotError::Malformed("a scale that was not told is named"))
    }

    fn new_scale<C: Coder>(&mut self, coder: &mut C, scale: &Scale) -> Result<Scale, SnapshotError> {
        let number = coder.raw(scale.number as u64, 2);
        let number = Number::ALL.get(number as usize).copied().unwrap_or_default();
        let bits = coder.raw(u64::from(scale.bits.saturating_sub(1)), 6) as u8 + 1;
        let unit = Unit::ALL.iter().position(|unit| *unit == scale.unit).unwrap_or_default();
        let unit = coder.raw(unit as u64, 8);
        let unknown = SnapshotError::Malformed("a unit of a newer agent");
        let unit = *Unit::ALL.get(unit as usize).ok_or(unknown)?;
        let factor = self.float(coder, scale.factor);
        let offset = self.float(coder, scale.offset);
        Ok(Scale { number, bits, unit, factor, offset })
    }

    /// A decimal of few digits as such, any other by its bits.
    fn float<C: Coder>(&mut self, coder: &mut C, value: f64) -> f64 {
        let decimal = as_decimal(value);
        if coder.bit(&mut self.exact, decimal.is_none()) {
            return f64::from_bits(coder.raw(value.to_bits(), 64));
        }
        let (digits, power) = decimal.unwrap_or_default();
        let power = coder.tree(&mut self.power, power);
        from_decimal(self.decimal.code(coder, 0, digits), power)
    }
}

/// The letters of names: what stood behind the same letters before is likely to stand there again.
struct Letters {
    /// A tree over a letter, by what kind of letter stands before it.
    models: Vec<[Bit; 256]>,
    /// Whether the foretold letter came, by how many came in a row.
    foretold: [Bit; 8],
    hits: usize,
    history: Vec<u8>,
    /// Where in the history the letter stands that came last behind letters of this hash.
    behind: Vec<u32>,
}

impl Letters {
    /// Kinds of letters.
    const KINDS: usize = 5;

    fn new() -> Self {
        Self {
            models: alloc::vec![[Bit::NEW; 256]; Self::KINDS],
            foretold: [Bit::NEW; 8],
            hits: 0,
            history: Vec::new(),
            behind: alloc::vec![0; 1 << 12],
        }
    }

    fn kind(letter: u8) -> usize {
        match letter {
            b'a'..=b'z' => 0,
            b'A'..=b'Z' => 1,
            b'0'..=b'9' => 2,
            b'_' => 3,
            _ => 4,
        }
    }

    /// A name begins with these letters, which are known. Names are kept apart by a letter that none has.
    fn begin(&mut self, known: &[u8]) {
        self.hits = 0;
        self.push(0);
        known.iter().for_each(|letter| self.push(*letter));
    }

    /// The place of the last three letters' hash.
    fn place(&self) -> usize {
        let last =
            self.history.iter().rev().take(3).fold(0u32, |hash, letter| hash << 8 | u32::from(*letter));
        (last.wrapping_mul(0x9E37_79B1) >> 20) as usize
    }

    fn push(&mut self, letter: u8) {
        let (at, place) = (self.history.len() as u32, self.place());
        if let Some(known) = self.behind.get_mut(place) {
            *known = at;
        }
        self.history.push(letter);
    }

    fn code<C: Coder>(&mut self, coder: &mut C, letter: u8) -> u8 {
        let known = self.behind.get(self.place()).and_then(|at| self.history.get(*at as usize));
        let likely = known.copied().unwrap_or_default();
        let coded = if coder.bit(&mut self.foretold[self.hits.min(7)], letter != likely) {
            self.hits = 0;
            self.literal(coder, letter)
        } else {
            self.hits += 1;
            likely
        };
        self.push(coded);
        coded
    }

    fn literal<C: Coder>(&mut self, coder: &mut C, letter: u8) -> u8 {
        let kind = self.history.last().map_or(Self::KINDS - 1, |last| Self::kind(*last));
        match self.models.get_mut(kind) {
            Some(models) => coder.tree(models, u32::from(letter)) as u8,
            None => 0,
        }
    }
}

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

fn from_decimal(digits: i64, power: u32) -> f64 {
    digits as f64 / POWERS.get(power as usize).copied().unwrap_or(1.0)
}

/// The digits and the power of ten that they are divided by, where that gives the very same double.
fn as_decimal(value: f64) -> Option<(i64, u32)> {
    (0..POWERS.len() as u32).find_map(|power| {
        let scaled = value * POWERS[power as usize];
        let digits = (scaled + if scaled < 0.0 { -0.5 } else { 0.5 }) as i64;
        let same = from_decimal(digits, power).to_bits() == value.to_bits();
        (same && digits.unsigned_abs() < 1 << 40).then_some((digits, power))
    })
}

/// The name with its last number one higher, as wide as it was: `Cell09.Voltage` gives `Cell10.Voltage`.
fn counted_up(name: &str) -> Option<String> {
    let end = name.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = name[..end].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |before| before + 1);
    let start = (start..end).find(|at| name.is_char_boundary(*at))?;
    let number: u32 = name[start..end].parse().ok()?;
    let width = end - start;
    let number = number.checked_add(1)?;
    Some(format!("{}{number:0width$}{}", &name[..start], &name[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_up() {
        for (name, next) in [
            ("Cell9.Voltage", Some("Cell10.Voltage")),
            ("Probe09", Some("Probe10")),
            ("7", Some("8")),
            ("ä9ö", Some("ä10ö")),
            ("Speed", None),
            ("", None),
            ("X4294967295", None),
            ("X99999999999999999999", None),
        ] {
            assert_eq!(counted_up(name).as_deref(), next, "{name}");
        }
    }

    #[test]
    fn decimals_are_told_by_their_digits_and_others_are_not() {
        for (value, decimal) in [
            (0.001, Some((1, 3))),
            (-40.0, Some((-40, 0))),
            (0.0, Some((0, 0))),
            (0.390625, Some((390_625, 6))),
            (-0.0, None),
            (1.0 / 3.0, None),
            (1e300, None),
            (f64::NAN, None),
            (f64::NEG_INFINITY, None),
        ] {
            assert_eq!(as_decimal(value), decimal, "{value}");
        }
    }
}
