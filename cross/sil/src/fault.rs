//! The one faulty cell of a simulated pack, as the command line states it.

use super::pack::CELLS;
use std::str::FromStr;

/// A cell, counted from 1 at the negative terminal as in the DBC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CellNumber(u8);

impl CellNumber {
    /// `None` unless the simulated pack has this cell.
    #[must_use]
    pub fn new(number: usize) -> Option<CellNumber> {
        (1..=CELLS).contains(&number).then_some(CellNumber(number as u8))
    }

    /// The number, from 1.
    #[must_use]
    pub const fn number(self) -> usize {
        self.0 as usize
    }

    /// The place in a list of cells, from 0.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize - 1
    }
}

/// What is wrong, with which cell, and when it starts in seconds after the simulation's start.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fault {
    /// Nothing.
    None,
    /// The cell discharges itself so that its open-circuit voltage falls at this rate while the vehicle is on.
    CellDrift {
        /// Which cell.
        cell: CellNumber,
        /// Start, in seconds.
        onset_s: f64,
        /// Millivolts per hour of operation.
        mv_per_hour: f64,
    },
    /// A resistance inside the cell drains it at all times and warms its module.
    InternalShort {
        /// Which cell.
        cell: CellNumber,
        /// Start, in seconds.
        onset_s: f64,
        /// The resistance in ohms.
        ohm: f64,
    },
    /// The cell's resistances grow, as with a corroded connection.
    HighResistance {
        /// Which cell.
        cell: CellNumber,
        /// Start, in seconds.
        onset_s: f64,
        /// How many times the healthy resistance.
        factor: f64,
    },
}

impl Fault {
    /// The demonstration's fault: cell 42 falls from minute 30 on and is 60 mV below the pack after about two
    /// hours of driving, long before it means danger.
    #[must_use]
    pub fn demo() -> Fault {
        Fault::CellDrift { cell: CellNumber(42), onset_s: 1_800.0, mv_per_hour: 55.0 }
    }

    /// When it starts, in seconds; never without a fault.
    #[must_use]
    pub const fn onset_s(&self) -> f64 {
        match *self {
            Fault::None => f64::INFINITY,
            Fault::CellDrift { onset_s, .. }
            | Fault::InternalShort { onset_s, .. }
            | Fault::HighResistance { onset_s, .. } => onset_s,
        }
    }
}

/// Why a fault's text was refused.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum FaultError {
    /// No such kind of fault.
    #[error("unknown fault `{0}`: write none, drift, short or resistance")]
    UnknownKind(String),
    /// A part that is not `key=value` with a key of this fault.
    #[error("`{part}` is no setting of the fault `{kind}`: write cell=, onset= (seconds) and {own}=")]
    UnknownSetting {
        /// What was written.
        part: String,
        /// The fault's kind.
        kind: String,
        /// The setting that only this kind has.
        own: &'static str,
    },
    /// A number that does not parse or that lies outside what makes sense.
    #[error("`{part}` is out of range: {key} goes from {low} to {high}")]
    OutOfRange {
        /// What was written.
        part: String,
        /// Its key.
        key: String,
        /// The lowest value.
        low: f64,
        /// The highest value.
        high: f64,
    },
}

/// `none`, `drift`, `drift:cell=42,onset=1800,mv_per_hour=55`, `short:ohm=2`, `resistance:factor=2`. What is left
/// out is the demonstration's.
impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Fault, FaultError> {
        let (kind, settings) = text.split_once(':').unwrap_or((text, ""));
        let (own, mut size, low, high) = match kind {
            "none" if settings.is_empty() => return Ok(Fault::None),
            "drift" => ("mv_per_hour", 55.0, -10_000.0, 10_000.0),
            "short" => ("ohm", 2.0, 0.01, 1e9),
            "resistance" => ("factor", 2.0, 0.1, 100.0),
            _ => return Err(FaultError::UnknownKind(kind.into())),
        };
        let (mut cell, mut onset_s) = (CellNumber(42), 1_800.0);
        for part in settings.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("cell", value)) => cell = cell_number(part, value)?,
                Some(("onset", value)) => onset_s = within(part, "onset", value, 0.0, 1e9)?,
                Some((key, value)) if key == own => size = within(part, key, value, low, high)?,
                _ => return Err(FaultError::UnknownSetting { part: part.into(), kind: kind.into(), own }),
            }
        }
        Ok(match own {
            "ohm" => Fault::InternalShort { cell, onset_s, ohm: size },
            "factor" => Fault::HighResistance { cell, onset_s, factor: size },
            _ => Fault::CellDrift { cell, onset_s, mv_per_hour: size },
        })
    }
}

fn cell_number(part: &str, value: &str) -> Result<CellNumber, FaultError> {
    let (low, high) = (1.0, CELLS as f64);
    let refused = FaultError::OutOfRange { part: part.into(), key: "cell".into(), low, high };
    value.parse().ok().and_then(CellNumber::new).ok_or(refused)
}

fn within(part: &str, key: &str, value: &str, low: f64, high: f64) -> Result<f64, FaultError> {
    let refused = || FaultError::OutOfRange { part: part.into(), key: key.into(), low, high };
    let number: f64 = value.parse().map_err(|_| refused())?;
    if (low..=high).contains(&number) { Ok(number) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_from_text() {
        assert_eq!("none".parse(), Ok(Fault::None));
        assert_eq!("drift".parse(), Ok(Fault::demo()));
        let cell = CellNumber::new(7).unwrap();
        assert_eq!(
            "short:cell=7,onset=60,ohm=0.5".parse(),
            Ok(Fault::InternalShort { cell, onset_s: 60.0, ohm: 0.5 })
        );
        for refused in [
            "",
            "dirft",
            "none:cell=1",
            "drift:cell=97",
            "drift:cell=0",
            "drift:ohm=1",
            "short:ohm=0",
            "drift:cell",
            "resistance:factor=NaN",
        ] {
            assert!(refused.parse::<Fault>().is_err(), "{refused}");
        }
    }
}
