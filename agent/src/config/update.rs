//! `[update]`: models over the air.

use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use telltale_core::update::{Before, Policy, Stage};
use telltale_wire::bundle::{BundleName, CONFIGURATION, HardwareId, MAX_LENGTH};

/// Where updates are kept, what is trusted, and how a new model is watched.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateSettings {
    /// The folder of bundles, their state and the metadata; made if it does not exist. One agent at a time uses it.
    pub dir: PathBuf,
    /// The director's root metadata, as it was given to this vehicle: all trust begins with it.
    pub director_root: PathBuf,
    /// The image repository's, likewise.
    pub image_root: PathBuf,
    /// What this vehicle's hardware is called.
    pub hardware: HardwareId,
    /// The file of the private key that content keys of sealed bundles are wrapped for, which the agent makes if it is
    /// not there; without it no sealed bundle is taken.
    pub sealing_key: Option<PathBuf>,
    /// Whether bundles that are not sealed are refused.
    #[serde(default)]
    pub require_sealed: bool,
    /// Families that are taken though no model of them is configured: until their first release is committed, none of
    /// them runs.
    #[serde(default)]
    pub families: Vec<BundleName>,
    /// The largest bundle that is taken, in MiB.
    #[serde(default = "default_max")]
    pub max_mib: u32,
    /// How long a download may take in all before it is given up, in hours.
    #[serde(default = "default_fetch")]
    pub fetch_hours: u32,
    /// How often the cloud is asked, whether or not it says that there is news, in hours.
    #[serde(default = "default_check")]
    pub check_hours: u32,
    /// How long a new model runs beside the old one.
    #[serde(default)]
    pub shadow: StageSettings,
    /// How long it is on trial before it is committed.
    #[serde(default)]
    pub trial: StageSettings,
    /// How long a new configuration, a signal catalog or a campaign, is on trial, in minutes.
    #[serde(default = "default_configuration")]
    pub configuration_minutes: u32,
    /// How often the agent may die in one of these before the update is given up.
    #[serde(default = "default_attempts")]
    pub attempts: u8,
    /// The share of verdicts that may differ from the old model's, in percent.
    #[serde(default = "default_differ")]
    pub differ_percent: u8,
}

/// How often a configuration on trial is looked at, at least.
pub(crate) const CONFIGURATION_LOOKS: u64 = 3;

/// The most families without a configured model.
const MAX_FAMILIES: usize = 16;

/// How long a stage lasts: until both are reached.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StageSettings {
    /// Windows that both models have judged.
    pub windows: u32,
    /// Minutes that both have run.
    pub minutes: u32,
}

impl Default for StageSettings {
    fn default() -> StageSettings {
        let Stage { windows, time } = Policy::default().shadow;
        StageSettings { windows: windows as u32, minutes: (time.as_secs() / 60) as u32 }
    }
}

impl StageSettings {
    const fn stage(self) -> Stage {
        Stage { windows: self.windows as u64, time: Duration::from_secs(self.minutes as u64 * 60) }
    }
}

const fn default_max() -> u32 {
    16
}

const fn default_fetch() -> u32 {
    72
}

const fn default_check() -> u32 {
    24
}

const fn default_configuration() -> u32 {
    10
}

const fn default_attempts() -> u8 {
    5
}

const fn default_differ() -> u8 {
    5
}

impl UpdateSettings {
    /// What cannot be meant.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let most = (MAX_LENGTH >> 20) as u32;
        anyhow::ensure!((1..=most).contains(&self.max_mib), "`update.max_mib` is to be 1 to {most}");
        for (name, hours) in [("fetch_hours", self.fetch_hours), ("check_hours", self.check_hours)] {
            anyhow::ensure!((1..=8_760).contains(&hours), "`update.{name}` is to be 1 to 8760");
        }
        for (name, StageSettings { windows, minutes }) in [("shadow", self.shadow), ("trial", self.trial)] {
            let well = (1..=1_000_000).contains(&windows) && minutes <= 525_600;
            anyhow::ensure!(well, "`update.{name}` is to have 1 to 1000000 windows and 0 to 525600 minutes");
        }
        anyhow::ensure!(
            self.configuration_minutes <= 525_600,
            "`update.configuration_minutes` is to be 0 to 525600"
        );
        anyhow::ensure!(self.families.len() <= MAX_FAMILIES, "`update.families` has at most {MAX_FAMILIES}");
        let is_model = |family: &BundleName| family.as_str() != CONFIGURATION;
        anyhow::ensure!(
            self.families.iter().all(is_model),
            "`{CONFIGURATION}` is taken always: leave it out of `update.families`"
        );
        anyhow::ensure!(
            !self.require_sealed || self.sealing_key.is_some(),
            "`update.require_sealed` without `update.sealing_key` would refuse every bundle"
        );
        anyhow::ensure!((1..=100).contains(&self.attempts), "`update.attempts` is to be 1 to 100");
        anyhow::ensure!(self.differ_percent <= 100, "`update.differ_percent` is to be 0 to 100");
        Ok(())
    }

    /// The paths, to be resolved.
    pub(super) fn places(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.dir, &mut self.director_root, &mut self.image_root]
            .into_iter()
            .chain(&mut self.sealing_key)
    }

    /// How a candidate is watched before which there is this.
    #[must_use]
    pub fn policy(&self, before: Before) -> Policy {
        let minutes = Duration::from_secs(u64::from(self.configuration_minutes) * 60);
        let trial = match before {
            Before::Model | Before::Release => self.trial.stage(),
            Before::Setting => Stage { windows: CONFIGURATION_LOOKS, time: minutes },
        };
        Policy {
            before,
            shadow: self.shadow.stage(),
            trial,
            attempts: self.attempts,
            differ_percent: self.differ_percent,
            ..Policy::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, EXAMPLE};

    const OTHERS: &str = "vehicle = \"v\"\ncatalog = \"c\"\nspool = { dir = \"s\" }\n";

    /// The section of the example, without the marks that make it a comment.
    fn section() -> String {
        let lines =
            EXAMPLE.lines().skip_while(|line| *line != "#   [update]").take_while(|line| !line.is_empty());
        lines.filter_map(|line| line.strip_prefix("#   ")).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn the_example_s_section_states_the_defaults() {
        let section = section();
        let update = |text: &str| Config::parse(&format!("{OTHERS}{text}")).unwrap().update.unwrap();
        let given: String = section.lines().take(5).map(|line| format!("{line}\n")).collect();
        let (all, defaults) = (update(&section), update(&given));
        assert!(section.lines().count() > 8 && given.contains("hardware"), "{section}");
        assert_eq!(format!("{all:?}"), format!("{defaults:?}"));
        assert_eq!(all.policy(Before::Model), Policy::default());
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        for (from, to, expected) in [
            ("max_mib = 16", "max_mib = 65", "`update.max_mib`"),
            ("windows = 12", "windows = 0", "`update.shadow`"),
            ("attempts = 5", "attempts = 0", "`update.attempts`"),
            ("families = []", "families = [\"configuration\"]", "`configuration` is taken always"),
            (
                "configuration_minutes = 10",
                "configuration_minutes = 525601",
                "`update.configuration_minutes`",
            ),
            ("differ_percent = 5", "differ_percent = 101", "`update.differ_percent`"),
            ("check_hours = 24", "check_hours = 0", "`update.check_hours`"),
            ("require_sealed = false", "require_sealed = true", "without `update.sealing_key`"),
            ("hardware = \"ecu-a\"", "hardware = \"ECU A\"", "hardware id"),
        ] {
            let text = format!("{OTHERS}{}", section().replacen(from, to, 1));
            let error = format!("{:#}", Config::parse(&text).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
