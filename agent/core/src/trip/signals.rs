//! Which signals of a catalog a trip is read from, by their VSS paths, in SI units.

use crate::catalog::Catalog;
use crate::reading::{Latest, Source};
use crate::signal::NoData;
use telltale_wire::time::MonoTime;
use telltale_wire::unit::Unit;

const SPEED: &str = "Vehicle.Speed";
const VOLTAGE: &str = "Vehicle.Powertrain.TractionBattery.CurrentVoltage";
/// COVESA VSS: positive flows into the battery.
const CURRENT: &str = "Vehicle.Powertrain.TractionBattery.CurrentCurrent";
/// COVESA VSS: positive flows into the battery.
const POWER: &str = "Vehicle.Powertrain.TractionBattery.CurrentPower";
const CHARGE: &str = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current";
/// Whether the battery's terminals are connected to the powertrain.
const CONNECTED: &str = "Vehicle.Powertrain.TractionBattery.IsPowerConnected";
const AMBIENT: &str = "Vehicle.Exterior.AirTemperature";

const OF_SPEED: &[(Unit, f64)] = &[(Unit::KilometrePerHour, 1.0 / 3.6), (Unit::MetrePerSecond, 1.0)];
const OF_POWER: &[(Unit, f64)] = &[(Unit::Watt, 1.0), (Unit::Kilowatt, 1_000.0)];

/// What trips are read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signals {
    pub(super) speed: Source,
    power: Power,
    charge: Option<Source>,
    connected: Option<Source>,
    ambient: Option<Source>,
}

#[derive(Clone, Copy, Debug)]
enum Power {
    Told(Source),
    /// Voltage and current.
    Product(Source, Source),
    Unknown,
}

/// What stands beside the speed in one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Watts out of the battery.
    pub(super) power: Result<f64, NoData>,
    /// Percent.
    pub(super) charge: Result<f64, NoData>,
    /// Degrees Celsius.
    pub(super) ambient: Result<f64, NoData>,
    /// Whether the battery is connected, where that is told.
    pub(super) connected: Option<bool>,
}

impl Signals {
    /// `None` without a speed.
    pub(super) fn new(catalog: &Catalog) -> Option<Signals> {
        let plain = |path, unit| Source::find(catalog, path, &[(unit, 1.0)]);
        let product = || Some((plain(VOLTAGE, Unit::Volt)?, plain(CURRENT, Unit::Ampere)?));
        let power = match Source::find(catalog, POWER, OF_POWER) {
            Some(power) => Power::Told(power),
            None => product().map_or(Power::Unknown, |(volts, amperes)| Power::Product(volts, amperes)),
        };
        Some(Signals {
            speed: Source::find(catalog, SPEED, OF_SPEED)?,
            power,
            charge: plain(CHARGE, Unit::Percent),
            connected: plain(CONNECTED, Unit::None),
            ambient: plain(AMBIENT, Unit::Celsius),
        })
    }

    pub(super) fn sample(&self, latest: &impl Latest, now: MonoTime) -> Sample {
        let read = |source: &Source| source.read(latest, now).map(|reading| reading.value);
        let maybe = |source: &Option<Source>| source.as_ref().map_or(Err(NoData::NotReceived), read);
        let into = match &self.power {
            Power::Told(power) => read(power),
            Power::Product(volts, amperes) => {
                read(volts).and_then(|volts| read(amperes).map(|amperes| volts * amperes))
            }
            Power::Unknown => Err(NoData::NotReceived),
        };
        Sample {
            power: into.map(|watts| -watts),
            charge: maybe(&self.charge),
            ambient: maybe(&self.ambient),
            connected: maybe(&self.connected).ok().map(|connected| connected >= 0.5),
        }
    }
}
