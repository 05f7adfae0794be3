//! Physical units, by the symbols that DBC files and COVESA VSS use.

use core::fmt;
use serde::{Deserialize, Serialize};

macro_rules! units {
    ($($(#[$doc:meta])* $name:ident = $symbol:literal $(| $alias:literal)*,)+) => {
        /// The unit of a value. Append only: the order is the encoding.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
        pub enum Unit {
            $($(#[$doc])* $name,)+
        }

        impl Unit {
            /// Every unit, in encoding order.
            pub const ALL: &'static [Unit] = &[$(Unit::$name),+];

            /// The symbol that a person reads; empty for a plain number.
            #[must_use]
            pub const fn symbol(self) -> &'static str {
                match self { $(Unit::$name => $symbol,)+ }
            }

            /// The unit of a symbol, common aliases included; `None` for a symbol that is not known.
            #[must_use]
            pub fn from_symbol(symbol: &str) -> Option<Unit> {
                match symbol { $($symbol $(| $alias)* => Some(Unit::$name),)+ _ => None }
            }
        }
    };
}

units! {
    /// A plain number, a state or a count.
    #[default]
    None = "" | "-" | "1",
    /// Electric potential.
    Volt = "V" | "volt" | "Volt",
    /// Electric current.
    Ampere = "A" | "amp" | "Amp",
    /// Temperature.
    Celsius = "degC" | "°C" | "C" | "celsius" | "deg C" | "\u{fffd}C",
    /// Parts in a hundred.
    Percent = "%" | "percent",
    /// Speed.
    KilometrePerHour = "km/h" | "kph" | "kmh" | "KPH",
    /// Length on the road.
    Kilometre = "km",
    /// Time.
    Second = "s" | "sec",
    /// Electric resistance.
    Ohm = "ohm" | "Ohm" | "Ω",
    /// Electric resistance, thousands.
    Kiloohm = "kohm" | "kOhm" | "kΩ",
    /// Power.
    Watt = "W",
    /// Power, thousands.
    Kilowatt = "kW",
    /// Energy.
    KilowattHour = "kWh",
    /// Electric charge.
    AmpereHour = "Ah",
    /// Torque.
    NewtonMetre = "Nm" | "N.m",
    /// Rotation.
    RevolutionPerMinute = "rpm" | "RPM",
    /// Frequency.
    Hertz = "Hz",
    /// Angle.
    Degree = "deg" | "degree" | "degrees" | "°",
    /// Pressure.
    Bar = "bar",
    /// Acceleration.
    MetrePerSecondSquared = "m/s^2" | "m/s2",
    /// Speed, SI.
    MetrePerSecond = "m/s",
    /// Electric potential, thousandths.
    Millivolt = "mV",
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_symbol_leads_back_to_its_unit() {
        for unit in Unit::ALL {
            assert_eq!(Unit::from_symbol(unit.symbol()), Some(*unit));
        }
        assert_eq!(Unit::from_symbol("furlong"), None);
    }
}
