//! What can be made to fail: the kinds, their targets and sizes, and how a person writes them:
//! `KIND[:key=value,...]`, as in `cell-drift:cell=42,onset=1800,mv_per_hour=55`.

use crate::bus::sender;
use crate::pack::{CELLS, MODULES};
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// A part of the simulated pack, counted from 1 as in the DBC, where there are `LAST` of its sort.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct PartNumber<const LAST: usize>(u8);

/// A cell, from the negative terminal on.
pub type CellNumber = PartNumber<CELLS>;
/// A temperature probe and the module that it sits in.
pub type ProbeNumber = PartNumber<MODULES>;

impl<const LAST: usize> PartNumber<LAST> {
    /// `None` unless the simulated pack has this part.
    #[must_use]
    pub fn new(number: usize) -> Option<PartNumber<LAST>> {
        (1..=LAST).contains(&number).then_some(PartNumber(number as u8))
    }

    /// The number, from 1.
    #[must_use]
    pub const fn number(self) -> usize {
        self.0 as usize
    }

    /// The place in a list of these parts, from 0.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize - 1
    }
}

/// A control unit; each speaks on a bus of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ecu {
    /// The battery management system, bus 0.
    Bms,
    /// The powertrain's, bus 1.
    Powertrain,
}

/// What a fault befalls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A cell, or the channel that measures it.
    Cell(CellNumber),
    /// A module, or the probe that measures it.
    Probe(ProbeNumber),
    /// The pack's current sensor.
    CurrentSensor,
    /// The pack as a whole.
    Pack,
    /// Motor, inverter, their sensors and their coolant.
    Drive,
    /// The 12 V system.
    LowVoltage,
    /// A control unit, or its bus.
    Ecu(Ecu),
    /// A message, by its identifier.
    Message(u16),
}

/// As the ground truth names it.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Cell(cell) => write!(f, "Cell{}", cell.number()),
            Target::Probe(probe) => write!(f, "Probe{}", probe.number()),
            Target::CurrentSensor => f.write_str("PackCurrent"),
            Target::Pack => f.write_str("Pack"),
            Target::Drive => f.write_str("Drive"),
            Target::LowVoltage => f.write_str("LowVoltage"),
            Target::Ecu(Ecu::Bms) => f.write_str("bms"),
            Target::Ecu(Ecu::Powertrain) => f.write_str("powertrain"),
            Target::Message(id) => write!(f, "0x{id:03X}"),
        }
    }
}

/// The kinds of faults.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // KINDS says what each is.
pub enum Kind {
    CellDrift,
    HighResistance,
    SelfDischarge,
    InternalShort,
    LooseConnector,
    StuckSensor,
    NoisySensor,
    SentinelSensor,
    BlockedCooling,
    WeakContactor,
    CanFlood,
    Replay,
    Masquerade,
    MissingEcu,
    ClockSkew,
    MotorTemperatureDrift,
    TorqueOffset,
    CurrentGain,
    BlockedDriveCooling,
    AgedLowVoltageBattery,
}

/// What there is to know about a kind.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct KindInfo {
    /// The kind.
    pub kind: Kind,
    /// Its name in text.
    pub name: &'static str,
    /// What happens.
    pub about: &'static str,
    /// Keys of the targets that it takes.
    pub targets: &'static [&'static str],
    /// Its target if none is written.
    pub target: Target,
    /// The key of its size.
    pub size: &'static str,
    /// The size if none is written, the lowest and the highest.
    pub sizes: (f64, f64, f64),
}

const CELL: Target = Target::Cell(PartNumber(42));
const BMS: Target = Target::Ecu(Ecu::Bms);
const SENSORS: &[&str] = &["cell", "probe", "sensor"];

/// Every kind. The defaults show within an hour or two of operation and are far from danger.
#[rustfmt::skip]
pub const KINDS: &[KindInfo] = &[
    KindInfo { kind: Kind::CellDrift, name: "cell-drift", target: CELL, targets: &["cell"],
        about: "a cell's open-circuit voltage falls at this rate while the vehicle is on",
        size: "mv_per_hour", sizes: (55.0, -10_000.0, 10_000.0) },
    KindInfo { kind: Kind::HighResistance, name: "high-resistance", target: CELL, targets: &["cell"],
        about: "a cell's own resistances grow to this many times",
        size: "factor", sizes: (3.0, 0.1, 100.0) },
    KindInfo { kind: Kind::SelfDischarge, name: "self-discharge", target: CELL, targets: &["cell"],
        about: "a cell loses this current at all times, parked too",
        size: "ma", sizes: (1_000.0, 0.0, 100_000.0) },
    KindInfo { kind: Kind::InternalShort, name: "internal-short", target: CELL, targets: &["cell"],
        about: "a resistance inside a cell drains it at all times and warms its module",
        size: "ohm", sizes: (1.0, 0.01, 1e9) },
    KindInfo { kind: Kind::LooseConnector, name: "loose-connector", target: CELL, targets: &["cell"],
        about: "a cell's busbar makes and breaks contact: at its worst it adds this resistance",
        size: "mohm", sizes: (2.0, 0.0, 1_000.0) },
    KindInfo { kind: Kind::StuckSensor, name: "stuck-sensor", target: CELL, targets: SENSORS,
        about: "a reading stays what it was at the onset, for this share of the readings",
        size: "share", sizes: (1.0, 0.0, 1.0) },
    KindInfo { kind: Kind::NoisySensor, name: "noisy-sensor", target: CELL, targets: SENSORS,
        about: "a reading scatters by this many of its steps (1 mV, 1 K, 0.1 A)",
        size: "sigma", sizes: (15.0, 0.0, 10_000.0) },
    KindInfo { kind: Kind::SentinelSensor, name: "sentinel-sensor", target: CELL, targets: SENSORS,
        about: "a reading says \"not available\", for this share of the readings",
        size: "share", sizes: (1.0, 0.0, 1.0) },
    KindInfo { kind: Kind::BlockedCooling, name: "blocked-cooling", target: Target::Pack, targets: &["pack", "probe"],
        about: "this share of the coolant's flow is lost, through the pack or one module",
        size: "share", sizes: (1.0, 0.0, 1.0) },
    KindInfo { kind: Kind::WeakContactor, name: "weak-contactor", target: Target::Pack, targets: &["pack"],
        about: "the main contactor adds a chattering resistance, and the precharge takes longer",
        size: "mohm", sizes: (60.0, 0.0, 1_000.0) },
    KindInfo { kind: Kind::CanFlood, name: "can-flood", target: BMS, targets: &["ecu"],
        about: "an intruder sends identifier 0 on a unit's bus, so many frames a second",
        size: "rate", sizes: (2_000.0, 1.0, 20_000.0) },
    KindInfo { kind: Kind::Replay, name: "replay", target: BMS, targets: &["ecu"],
        about: "an intruder repeats the last seconds of a unit's bus before the onset, over and over",
        size: "window_s", sizes: (10.0, 0.1, 60.0) },
    KindInfo { kind: Kind::Masquerade, name: "masquerade", target: Target::Message(0x180), targets: &["message"],
        about: "an intruder silences a message and sends its last content in its place, counter and checksum \
                right, with this much jitter in its timing",
        size: "jitter_us", sizes: (500.0, 0.0, 5_000.0) },
    KindInfo { kind: Kind::MissingEcu, name: "missing-ecu", target: BMS, targets: &["ecu"],
        about: "a unit falls silent for this share of every minute",
        size: "share", sizes: (1.0, 0.0, 1.0) },
    KindInfo { kind: Kind::ClockSkew, name: "clock-skew", target: BMS, targets: &["ecu"],
        about: "a unit's clock runs fast by so many parts in a million: its periods shrink",
        size: "ppm", sizes: (5_000.0, -50_000.0, 50_000.0) },
    KindInfo { kind: Kind::MotorTemperatureDrift, name: "motor-temperature-drift", target: Target::Drive,
        targets: &["drive"],
        about: "the motor's temperature sensor drifts away at this rate while the vehicle is on",
        size: "k_per_hour", sizes: (12.0, -200.0, 200.0) },
    KindInfo { kind: Kind::TorqueOffset, name: "torque-offset", target: Target::Drive, targets: &["drive"],
        about: "the motor's torque is told wrong by so much",
        size: "nm", sizes: (8.0, -200.0, 200.0) },
    KindInfo { kind: Kind::CurrentGain, name: "current-gain", target: Target::Drive, targets: &["drive"],
        about: "the inverter's current is told so many times as large",
        size: "factor", sizes: (1.08, 0.1, 10.0) },
    KindInfo { kind: Kind::BlockedDriveCooling, name: "blocked-drive-cooling", target: Target::Drive,
        targets: &["drive"],
        about: "the radiator of motor and inverter gives off this share less heat",
        size: "share", sizes: (0.7, 0.0, 1.0) },
    KindInfo { kind: Kind::AgedLowVoltageBattery, name: "aged-low-voltage-battery", target: Target::LowVoltage,
        targets: &["low_voltage"],
        about: "the 12 V battery has so many times its resistance, and rests lower",
        size: "factor", sizes: (3.0, 1.0, 20.0) },
];

impl Kind {
    /// What there is to know about it.
    #[must_use]
    pub fn info(self) -> &'static KindInfo {
        // The table is in the order of the enum; a test holds it to that.
        &KINDS[self as usize]
    }
}

/// One fault of a vehicle.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fault {
    /// What happens.
    pub kind: Kind,
    /// To what.
    pub target: Target,
    /// From when, in seconds after the simulation's start.
    pub onset_s: f64,
    /// Until when, in seconds after the start; infinite for good.
    pub until_s: f64,
    /// How bad, in the unit that its kind's `size` key names.
    pub size: f64,
}

impl Fault {
    /// Whether it is there at this second after the start.
    pub(crate) fn holds(&self, at_s: f64) -> bool {
        (self.onset_s..self.until_s).contains(&at_s)
    }

    /// The unit whose messages it changes, if it is one of the bus.
    pub(crate) fn unit(&self) -> Option<Ecu> {
        match self.target {
            Target::Ecu(ecu) => Some(ecu),
            Target::Message(id) => sender(id),
            Target::Drive | Target::LowVoltage => Some(Ecu::Powertrain),
            Target::Cell(_) | Target::Probe(_) | Target::CurrentSensor | Target::Pack => None,
        }
    }
}

/// Why a fault's text was refused.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum FaultError {
    /// No such kind of fault.
    #[error("unknown fault `{0}`: write one of {names}", names = names())]
    UnknownKind(String),
    /// A part that is not `key=value` with a key of this fault.
    #[error(
        "`{part}` is no setting of the fault `{kind}`: write {targets}onset=, for= (both in seconds) or {size}="
    )]
    UnknownSetting {
        /// What was written.
        part: String,
        /// The fault's kind.
        kind: &'static str,
        /// The target's keys, each with `=` and a comma.
        targets: String,
        /// The key of its size.
        size: &'static str,
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
    /// A word that names no target.
    #[error("`{part}`: write {choices}")]
    NoSuchTarget {
        /// What was written.
        part: String,
        /// What may stand there.
        choices: &'static str,
    },
}

fn names() -> String {
    KINDS.iter().map(|info| info.name).collect::<Vec<_>>().join(", ")
}

/// `cell-drift`, `internal-short:cell=7,onset=60,ohm=0.5`, `missing-ecu:ecu=bms,onset=600,for=120`. What is left out
/// is the kind's default, from half an hour on and for good.
impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Fault, FaultError> {
        let (name, settings) = text.split_once(':').unwrap_or((text, ""));
        let info = KINDS.iter().find(|info| info.name == name);
        let info = info.ok_or_else(|| FaultError::UnknownKind(name.into()))?;
        let (size, low, high) = info.sizes;
        let mut fault =
            Fault { kind: info.kind, target: info.target, onset_s: 1_800.0, until_s: f64::INFINITY, size };
        let mut lasts_s = f64::INFINITY;
        for part in settings.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("onset", value)) => fault.onset_s = within(part, "onset", value, 0.0, 1e10)?,
                Some(("for", value)) => lasts_s = within(part, "for", value, 0.0, 1e10)?,
                Some((key, value)) if key == info.size => fault.size = within(part, key, value, low, high)?,
                Some((key, value)) if info.targets.contains(&key) => fault.target = target(part, key, value)?,
                _ => {
                    let (part, kind, size) = (part.into(), info.name, info.size);
                    let targets = info.targets.iter().map(|key| format!("{key}=, ")).collect();
                    return Err(FaultError::UnknownSetting { part, kind, targets, size });
                }
            }
        }
        fault.until_s = fault.onset_s + lasts_s;
        Ok(fault)
    }
}

fn target(part: &str, key: &str, value: &str) -> Result<Target, FaultError> {
    let none = |choices| FaultError::NoSuchTarget { part: part.into(), choices };
    let numbered = |high: usize| {
        let high = high as f64;
        FaultError::OutOfRange { part: part.into(), key: key.into(), low: 1.0, high }
    };
    let number = || value.parse().ok();
    match key {
        "cell" => number().and_then(CellNumber::new).map(Target::Cell).ok_or_else(|| numbered(CELLS)),
        "probe" => number().and_then(ProbeNumber::new).map(Target::Probe).ok_or_else(|| numbered(MODULES)),
        "sensor" if value == "current" => Ok(Target::CurrentSensor),
        "sensor" => Err(none("sensor=current, cell= or probe=")),
        "ecu" if value == "bms" => Ok(Target::Ecu(Ecu::Bms)),
        "ecu" if value == "powertrain" => Ok(Target::Ecu(Ecu::Powertrain)),
        "ecu" => Err(none("ecu=bms or ecu=powertrain")),
        "message" => {
            let id = value.strip_prefix("0x").and_then(|hex| u16::from_str_radix(hex, 16).ok());
            let id = id.filter(|id| sender(*id).is_some());
            id.map(Target::Message).ok_or_else(|| none("message=0x180, an identifier of the simulated units"))
        }
        "drive" => Ok(Target::Drive),
        "low_voltage" => Ok(Target::LowVoltage),
        _ => Ok(Target::Pack),
    }
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
    fn the_table_is_in_the_order_of_the_kinds() {
        for (place, info) in KINDS.iter().enumerate() {
            assert_eq!(info.kind as usize, place, "{}", info.name);
            let (size, low, high) = info.sizes;
            assert!((low..=high).contains(&size), "{}", info.name);
            let fault: Fault = info.name.parse().unwrap();
            assert_eq!((fault.kind, fault.target, fault.size), (info.kind, info.target, size));
            assert_eq!(info.kind.info().name, info.name);
        }
    }

    #[test]
    fn faults_read_from_text() {
        let cell = CellNumber::new(7).unwrap();
        assert_eq!(
            "internal-short:cell=7,onset=60,ohm=0.5,for=30".parse(),
            Ok(Fault {
                kind: Kind::InternalShort,
                target: Target::Cell(cell),
                onset_s: 60.0,
                until_s: 90.0,
                size: 0.5
            })
        );
        let target = |text: &str| text.parse::<Fault>().unwrap().target.to_string();
        assert_eq!(target("stuck-sensor:sensor=current"), "PackCurrent");
        assert_eq!(target("noisy-sensor:probe=3"), "Probe3");
        assert_eq!(target("masquerade:message=0x1a0"), "0x1A0");
        assert_eq!(target("missing-ecu:ecu=powertrain"), "powertrain");
    }

    #[test]
    fn what_is_no_fault_is_refused_with_what_to_write() {
        for (text, said) in [
            ("", "cell-drift"),
            ("dirft", "cell-drift"),
            ("cell-drift:cell=97", "1 to 96"),
            ("cell-drift:cell=0", "1 to 96"),
            ("cell-drift:ohm=1", "mv_per_hour="),
            ("cell-drift:ecu=bms", "cell="),
            ("cell-drift:cell", "mv_per_hour="),
            ("internal-short:ohm=0", "0.01"),
            ("high-resistance:factor=NaN", "0.1 to 100"),
            ("noisy-sensor:sensor=speed", "sensor=current"),
            ("missing-ecu:ecu=abs", "ecu=bms"),
            ("masquerade:message=384", "0x180"),
            ("masquerade:message=0x7FF", "0x180"),
        ] {
            let refused = text.parse::<Fault>().unwrap_err().to_string();
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }
}
