//! What statistics leave out: the names of series, buses, checks and regimes, sent once a start.

use crate::digest::ShortDigest;
use crate::time::Stamp;
use crate::unit::Unit;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// The names behind statistics, or a part of them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Directory {
    /// When it was made.
    pub at: Stamp,
    /// Its id: the same names have the same.
    pub id: ShortDigest,
    /// How many series there are in all.
    pub total: u16,
    /// The place of the first one of this part.
    pub first: u16,
    /// This part's series.
    pub series: Names,
    /// The buses; empty in all but the first part.
    pub buses: Vec<BusName>,
    /// The checks of signals against each other; in the first part only.
    pub checks: Vec<CheckName>,
    /// The operating regimes; in the first part only.
    pub regimes: Vec<String>,
}

/// Names of series. On the wire each is what it adds to the one before it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<Coded>", into = "Vec<Coded>")]
pub struct Names(pub Vec<SeriesName>);

/// One series.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeriesName {
    /// The signal's VSS path, or the model's name.
    pub name: String,
    /// What it is.
    pub kind: SeriesKind,
    /// The unit of its values.
    pub unit: Unit,
    /// How often the catalog says that it is sent, in milliseconds; 0 if it does not say.
    pub cycle_ms: u32,
}

/// What a series is. Append only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum SeriesKind {
    /// A signal of the catalog.
    Signal,
    /// A model's score, 0 to 1, of all its subjects.
    Score,
}

/// A bus.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BusName {
    /// Its name in the catalog.
    pub name: String,
    /// Bits a second.
    pub bitrate: u32,
    /// Bits a second in the data phase of CAN FD frames.
    pub data_bitrate: u32,
}

/// A check of signals against each other.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CheckName {
    /// Its name in the catalog.
    pub name: String,
    /// The unit of the difference.
    pub unit: Unit,
    /// The difference that is still consistent.
    pub tolerance: f32,
}

/// The longest name, in bytes: what a VSS path may have.
const MAX_NAME: usize = 255;

/// A name as it travels: the bytes that it shares with the start of the one before it, and the rest.
#[derive(Serialize, Deserialize)]
struct Coded {
    shared: u8,
    rest: String,
    kind: SeriesKind,
    unit: Unit,
    cycle_ms: u32,
}

impl From<Names> for Vec<Coded> {
    fn from(names: Names) -> Self {
        let mut before = "";
        let mut coded = Vec::with_capacity(names.0.len());
        for series in &names.0 {
            let alike = before.bytes().zip(series.name.bytes()).take(MAX_NAME).take_while(|(a, b)| a == b);
            let mut shared = alike.count();
            while !series.name.is_char_boundary(shared) {
                shared -= 1;
            }
            let SeriesName { name, kind, unit, cycle_ms } = series;
            let rest = String::from(&name[shared..]);
            coded.push(Coded { shared: shared as u8, rest, kind: *kind, unit: *unit, cycle_ms: *cycle_ms });
            before = name;
        }
        coded
    }
}

impl TryFrom<Vec<Coded>> for Names {
    type Error = BadName;

    fn try_from(coded: Vec<Coded>) -> Result<Self, BadName> {
        let mut names: Vec<SeriesName> = Vec::with_capacity(coded.len().min(super::MAX_SERIES));
        for Coded { shared, rest, kind, unit, cycle_ms } in coded {
            let before = names.last().map_or("", |series| series.name.as_str());
            let mut name = String::from(before.get(..usize::from(shared)).ok_or(BadName)?);
            name.push_str(&rest);
            // Each name may repeat the one before it, so that without a bound a short record could fill a memory.
            if name.len() > MAX_NAME || names.len() >= super::MAX_SERIES {
                return Err(BadName);
            }
            names.push(SeriesName { name, kind, unit, cycle_ms });
        }
        Ok(Self(names))
    }
}

/// A name that shares more than its forerunner has, that is too long, or one too many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct BadName;

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the names of the series do not build on each other, or are too many or too long")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString as _;
    use alloc::vec;

    fn named(name: &str) -> SeriesName {
        SeriesName { name: name.into(), kind: SeriesKind::Signal, unit: Unit::Volt, cycle_ms: 100 }
    }

    #[test]
    fn names_survive_and_cost_little_more_than_what_differs() {
        let path = |n: u32| named(&format!("Vehicle.Powertrain.TractionBattery.Cell{n}.Voltage"));
        let names = Names((1..=96).map(path).chain([named("ä.x"), named("ö.x"), named("")]).collect());
        let bytes = postcard::to_allocvec(&names).unwrap();
        assert_eq!(postcard::from_bytes::<Names>(&bytes).unwrap(), names);
        assert!(bytes.len() < 96 * 15 + 60, "{}", bytes.len());
    }

    #[test]
    fn names_that_do_not_build_on_each_other_are_refused() {
        let coded = |shared, rest: &str| Coded {
            shared,
            rest: rest.into(),
            kind: SeriesKind::Score,
            unit: Unit::None,
            cycle_ms: 0,
        };
        let refused = |coded: Vec<Coded>| {
            let bytes = postcard::to_allocvec(&coded).unwrap();
            postcard::from_bytes::<Names>(&bytes).is_err()
        };
        assert!(refused(vec![coded(1, "x")]));
        assert!(refused(vec![coded(0, "ä"), coded(1, "x")]));
        assert!(refused(vec![coded(0, &"x".repeat(256))]));
        assert!(!refused(vec![coded(0, &"x".repeat(255)), coded(255, "")]));
        assert!(refused((0..=super::super::MAX_SERIES).map(|n| coded(0, &n.to_string())).collect()));
    }
}
