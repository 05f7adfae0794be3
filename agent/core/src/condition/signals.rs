//! Which signals of a catalog tell of the condition, by their paths, in SI units.

use super::WATCHED;
use super::block::Block;
use crate::catalog::Catalog;
use crate::reading::{Latest, Source};
use crate::signal::NoData;
use telltale_wire::time::MonoTime;
use telltale_wire::unit::Unit;

const RAD_PER_S: f64 = core::f64::consts::PI / 30.0;

/// Where each signal stands in a sample. The paths of the inverter are not COVESA's, which has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    PackVolts,
    PackAmperes,
    IsConnected,
    Torque,
    Speed,
    InverterVolts,
    InverterAmperes,
    LinkVolts,
    MotorCelsius,
    CoolantCelsius,
    AmbientCelsius,
    LowVolts,
    LowAmperes,
}

const PLACES: usize = 13;

#[rustfmt::skip]
const PATHS: [(Place, &str, Unit, f64); PLACES] = [
    (Place::PackVolts, "Vehicle.Powertrain.TractionBattery.CurrentVoltage", Unit::Volt, 1.0),
    // Into the battery is positive in VSS; here it is what the pack gives.
    (Place::PackAmperes, "Vehicle.Powertrain.TractionBattery.CurrentCurrent", Unit::Ampere, -1.0),
    (Place::IsConnected, "Vehicle.Powertrain.TractionBattery.IsPowerConnected", Unit::None, 1.0),
    (Place::Torque, "Vehicle.Powertrain.ElectricMotor.Torque", Unit::NewtonMetre, 1.0),
    (Place::Speed, "Vehicle.Powertrain.ElectricMotor.Speed", Unit::RevolutionPerMinute, RAD_PER_S),
    (Place::InverterVolts, "Vehicle.Powertrain.Inverter.DcVoltage", Unit::Volt, 1.0),
    (Place::InverterAmperes, "Vehicle.Powertrain.Inverter.DcCurrent", Unit::Ampere, 1.0),
    (Place::LinkVolts, "Vehicle.Powertrain.Inverter.LinkVoltage", Unit::Volt, 1.0),
    (Place::MotorCelsius, "Vehicle.Powertrain.ElectricMotor.Temperature", Unit::Celsius, 1.0),
    (Place::CoolantCelsius, "Vehicle.Powertrain.ElectricMotor.CoolantTemperature", Unit::Celsius, 1.0),
    (Place::AmbientCelsius, "Vehicle.Exterior.AirTemperature", Unit::Celsius, 1.0),
    (Place::LowVolts, "Vehicle.LowVoltageBattery.CurrentVoltage", Unit::Volt, 1.0),
    (Place::LowAmperes, "Vehicle.LowVoltageBattery.CurrentCurrent", Unit::Ampere, 1.0),
];

/// What each watched quantity needs, in the order of [`super::QUANTITIES`].
const NEEDS: [&[Place]; WATCHED] = [
    &[Place::Torque, Place::Speed, Place::InverterVolts, Place::InverterAmperes],
    &[Place::Torque, Place::Speed, Place::InverterVolts, Place::InverterAmperes],
    &[Place::Torque, Place::Speed, Place::MotorCelsius, Place::CoolantCelsius],
    &[Place::Torque, Place::Speed, Place::CoolantCelsius, Place::AmbientCelsius],
    &[Place::PackVolts, Place::PackAmperes, Place::LinkVolts, Place::IsConnected],
    &[Place::LowVolts, Place::LowAmperes, Place::IsConnected],
    &[Place::LowVolts, Place::LowAmperes, Place::IsConnected],
];

/// The signals that the catalog has.
#[derive(Clone, Debug)]
pub(super) struct Signals([Option<Source>; PLACES]);

/// All of them at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample([Result<f64, NoData>; PLACES]);

impl Signals {
    pub(super) fn new(catalog: &Catalog) -> Signals {
        Signals(PATHS.map(|(_, path, unit, factor)| Source::find(catalog, path, &[(unit, factor)])))
    }

    pub(super) fn sample(&self, latest: &impl Latest, now: MonoTime) -> Sample {
        Sample(self.0.each_ref().map(|source| {
            let read = |source: &Source| source.read(latest, now).map(|reading| reading.value);
            source.as_ref().map_or(Err(NoData::NotReceived), read)
        }))
    }

    /// Why each quantity has no observation now; `None` where all that it needs is there.
    pub(super) fn absences(&self, block: &Block) -> [Option<NoData>; WATCHED] {
        let missing = |place: &Place| block.latest().and_then(|sample| sample.get(*place).err());
        NEEDS.map(|needs| match block.latest() {
            None => Some(NoData::NotReceived),
            Some(_) => needs.iter().find_map(missing),
        })
    }
}

impl Sample {
    pub(super) fn get(&self, place: Place) -> Result<f64, NoData> {
        self.0[place as usize]
    }

    /// The values of several; `None` if one is not there.
    pub(super) fn all<const N: usize>(&self, places: [Place; N]) -> Option<[f64; N]> {
        let mut values = [0.0; N];
        for (value, place) in values.iter_mut().zip(places) {
            *value = self.get(place).ok()?;
        }
        Some(values)
    }

    /// Whether anything was heard.
    pub(super) fn is_heard(&self) -> bool {
        self.0.iter().any(Result::is_ok)
    }

    #[cfg(test)]
    pub(super) fn of(values: &[(Place, f64)]) -> Sample {
        let mut sample = Sample([Err(NoData::NotReceived); PLACES]);
        for (place, value) in values {
            sample.0[*place as usize] = Ok(*value);
        }
        sample
    }
}
