//! `[trip]` and `[range]`: when a trip is over, what is harsh, and what a kilometre takes.

use crate::load;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use telltale_core::range::{Ahead, RangeModel};
use telltale_core::trip::TripConfig;

/// Trips.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TripSettings {
    /// A vehicle that has stood for so many seconds has ended its trip.
    pub standstill_s: u32,
    /// Braking harder than this is harsh, in m/s2.
    pub harsh_braking: f32,
    /// Accelerating harder than this is harsh, in m/s2.
    pub harsh_acceleration: f32,
}

/// The range that remains.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeSettings {
    /// What a kilometre takes: a document as models/range/range.toml.
    pub model: PathBuf,
    /// What is ahead, as somebody who knows says: weather and road. What is not told is taken from the recent trips.
    #[serde(default)]
    pub ahead: Ahead,
}

impl RangeSettings {
    /// What cannot be meant.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.ahead.is_sound(),
            "`range.ahead` is to be kmh of 3 to 200, stops_per_km of 0 to 50 and ambient_c of -60 to 60"
        );
        Ok(())
    }

    /// Reads the document.
    pub(crate) fn read(&self) -> anyhow::Result<RangeModel> {
        let mut model = load::range(&self.model)?;
        model.ahead = self.ahead;
        Ok(model)
    }
}

impl Default for TripSettings {
    fn default() -> Self {
        let TripConfig { standstill, braking, acceleration } = TripConfig::default();
        Self {
            standstill_s: standstill.as_secs() as u32,
            harsh_braking: braking,
            harsh_acceleration: acceleration,
        }
    }
}

impl TripSettings {
    /// What cannot be meant.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            (30..=7_200).contains(&self.standstill_s),
            "`trip.standstill_s` is to be 30 to 7200 seconds"
        );
        for (name, threshold) in
            [("harsh_braking", self.harsh_braking), ("harsh_acceleration", self.harsh_acceleration)]
        {
            anyhow::ensure!((0.5..=12.0).contains(&threshold), "`trip.{name}` is to be 0.5 to 12 m/s2");
        }
        Ok(())
    }

    /// As the loop takes it.
    #[must_use]
    pub fn trip(&self) -> TripConfig {
        TripConfig {
            standstill: Duration::from_secs(u64::from(self.standstill_s)),
            braking: self.harsh_braking,
            acceleration: self.harsh_acceleration,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_name() {
        let check = |text: &str| {
            toml::from_str::<TripSettings>(text).unwrap().check().map_err(|error| error.to_string())
        };
        assert_eq!(check(""), Ok(()));
        for (text, expected) in [
            ("standstill_s = 5", "`trip.standstill_s` is to be 30 to 7200"),
            ("harsh_braking = 0.0", "`trip.harsh_braking` is to be 0.5 to 12"),
            ("harsh_acceleration = nan", "`trip.harsh_acceleration`"),
        ] {
            assert!(check(text).is_err_and(|error| error.starts_with(expected)), "{text}");
        }
    }

    #[test]
    fn without_a_setting_it_is_what_the_core_takes() {
        assert_eq!(TripSettings::default().trip(), TripConfig::default());
    }
}
