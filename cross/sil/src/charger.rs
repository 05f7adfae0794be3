//! Charging: constant current as far as charger and BMS admit, then constant voltage of the highest cell, until the
//! current has faded or the driver unplugs.

use crate::spec::Charging;

/// Charging ends when the current falls below this share of the capacity per hour.
const END_C_RATE: f64 = 0.03;
/// How fast the held voltage moves the current, per second of the control loop.
const FADE_PER_S: f64 = 0.05;
/// How fast a charger brings its current up, in amperes per second.
const RAMP_A_PER_S: f64 = 5.0;
/// In the cold lithium plates: the BMS admits this share at -10 degrees Celsius and all from the second figure on.
const COLD_SHARE: f64 = 0.2;
const COLD_C: (f64, f64) = (-10.0, 5.0);

/// What is plugged in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Plug {
    /// The wall box by night.
    Ac,
    /// The fast charger.
    Dc,
}

/// What the charger sees before each step.
#[derive(Clone, Copy)]
pub(crate) struct Socket {
    pub(crate) pack_v: f64,
    pub(crate) highest_cell_v: f64,
    pub(crate) coldest_c: f64,
    /// State of charge as the BMS counts it, 0 to 1.
    pub(crate) charge: f64,
}

/// A charge under way.
pub(crate) struct Session {
    plug: Plug,
    amperes: f64,
    /// What the voltage limit leaves of the constant current, 0 to 1.
    taper: f64,
}

impl Session {
    pub(crate) const fn new(plug: Plug) -> Session {
        Session { plug, amperes: 0.0, taper: 1.0 }
    }

    /// The next current into the pack, in amperes; `None` when the charge is over.
    pub(crate) fn step(
        &mut self,
        seconds: f64,
        spec: &Charging,
        capacity_ah: f64,
        seen: Socket,
    ) -> Option<f64> {
        let kw = if self.plug == Plug::Ac { spec.ac_kw } else { spec.dc_kw };
        let constant = (kw * 1_000.0 / seen.pack_v.max(1.0)).min(spec.max_a * admitted(seen.coldest_c));
        if seen.highest_cell_v > spec.limit_v {
            self.taper /= 1.0 + FADE_PER_S * seconds;
        } else {
            self.taper = (self.taper * (1.0 + 0.02 * FADE_PER_S * seconds)).min(1.0);
        }
        let aim = constant * self.taper;
        let ramp = RAMP_A_PER_S * seconds;
        self.amperes += (aim - self.amperes).clamp(-ramp, ramp);
        let faded = self.taper < 1.0 && self.amperes < END_C_RATE * capacity_ah;
        (seen.charge < spec.until && !faded).then_some(self.amperes)
    }
}

fn admitted(celsius: f64) -> f64 {
    let warmth = (celsius - COLD_C.0) / (COLD_C.1 - COLD_C.0);
    (COLD_SHARE + (1.0 - COLD_SHARE) * warmth).clamp(0.05, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Socket = Socket { pack_v: 360.0, highest_cell_v: 3.8, coldest_c: 20.0, charge: 0.5 };

    fn settled(plug: Plug, seen: Socket) -> f64 {
        let mut session = Session::new(plug);
        (0..600).map(|_| session.step(0.1, &Charging::default(), 121.0, seen).unwrap()).last().unwrap()
    }

    #[test]
    fn current_is_what_charger_and_bms_admit() {
        assert_eq!(settled(Plug::Dc, SEEN), 58.5);
        assert!((settled(Plug::Ac, SEEN) - 6_600.0 / 360.0).abs() < 1e-9);
        let cold = settled(Plug::Dc, Socket { coldest_c: -10.0, ..SEEN });
        assert!((cold - 0.2 * 58.5).abs() < 1e-9, "{cold} A in the cold");
    }

    #[test]
    fn at_the_limit_current_fades_and_the_charge_ends() {
        let spec = Charging::default();
        let mut session = Session::new(Plug::Dc);
        (0..600).for_each(|_| assert!(session.step(0.1, &spec, 121.0, SEEN).is_some()));
        let full = Socket { highest_cell_v: spec.limit_v + 0.01, ..SEEN };
        let faded: Vec<f64> =
            std::iter::from_fn(|| session.step(0.1, &spec, 121.0, full)).take(5_000).collect();
        assert!(faded.len() > 100 && faded.len() < 5_000, "{} steps", faded.len());
        assert!(faded.windows(2).all(|pair| pair[1] <= pair[0]));
        assert_eq!(session.step(0.1, &spec, 121.0, Socket { charge: 0.98, ..SEEN }), None, "unplugged");
    }
}
