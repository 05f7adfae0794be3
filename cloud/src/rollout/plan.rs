//! A rollout's plan: the waves, what each must show before the next, and what stops it. Written by a person as TOML.

use super::freeze::Freeze;
use serde::{Deserialize, Serialize};

/// The most waves of a plan.
pub const MAX_WAVES: usize = 32;
/// The most groups of a wave.
pub const MAX_GROUPS: usize = 32;
/// The most freeze windows of a plan.
pub const MAX_FREEZES: usize = 64;
/// The longest plan file, in bytes.
pub const MAX_FILE: usize = 64 * 1024;
/// The longest hold of a wave: 90 days.
const MAX_HOLD_MINUTES: u32 = 90 * 24 * 60;

/// How a rollout goes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The waves, in order.
    #[serde(rename = "wave")]
    pub waves: Vec<Wave>,
    /// What pauses and stops it.
    #[serde(default)]
    pub gates: Gates,
    /// When no vehicle may begin.
    #[serde(default, rename = "freeze")]
    pub freezes: Vec<Freeze>,
}

/// Which vehicles come together, and what they must show before the next come.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wave {
    /// The first this many percent of all vehicles, the earlier waves included. Grows from wave to wave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// Vehicles of these groups, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Vehicles that must have ended their update, well or not, before the wave is judged; all of a smaller wave.
    pub min_executed: u32,
    /// The share of those that must have committed, 0 to 1.
    pub success: f64,
    /// How long the wave must have kept that before the next begins.
    pub hold_minutes: u32,
    /// Whether a second person must approve before this wave begins.
    pub approval: bool,
}

impl Default for Wave {
    fn default() -> Self {
        Self {
            percent: None,
            groups: Vec::new(),
            min_executed: 1,
            success: 0.95,
            hold_minutes: 0,
            approval: false,
        }
    }
}

/// What pauses and stops a rollout.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gates {
    /// A share of failures above this pauses, once the wave's minimum is executed, and at any time once it is proven.
    pub pause_above: f64,
    /// A share of failures above this stops, likewise.
    pub stop_above: f64,
    /// The share of verdicts in which the new model may differ from the active one, in shadow. More, proven, pauses.
    pub max_disagreement: f64,
    /// The share of runs by which the new model may fail more often than the active one, in shadow. More, proven, stops.
    pub max_excess_failures: f64,
    /// Verdicts that a vehicle must have compared before its shadow counts as an observation.
    pub min_compared: u32,
    /// The chance that the three tests together ever raise a false alarm, over the whole rollout.
    pub error_rate: f64,
    /// A vehicle that has not called for this long is not waited for.
    pub absent_after_hours: u32,
    /// What becomes of vehicles that have committed when a rollout is stopped.
    pub on_stop: OnStop,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            pause_above: 0.02,
            stop_above: 0.1,
            max_disagreement: 0.02,
            max_excess_failures: 0.01,
            min_compared: 500,
            error_rate: 0.05,
            absent_after_hours: 7 * 24,
            on_stop: OnStop::Keep,
        }
    }
}

/// What becomes of vehicles that have committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnStop {
    /// They keep the model.
    Keep,
    /// They are told to go back to the model before.
    Rollback,
}

/// Why a text is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not TOML, or not these fields.
    #[error("the plan can't be read: {0}")]
    Unreadable(#[from] toml::de::Error),
    /// Too long.
    #[error("the plan has {0} bytes, at most {MAX_FILE} are taken")]
    TooLong(usize),
    /// A rule is broken.
    #[error("the plan breaks a rule: {0}")]
    Rule(String),
}

/// A plan to begin from, as `telltale-cloud rollout example` prints it.
pub const EXAMPLE: &str = include_str!("plan.example.toml");

impl Default for Plan {
    /// All vehicles at once: for tests, and to begin from.
    fn default() -> Self {
        let all = Wave { percent: Some(100.0), ..Wave::default() };
        Self { waves: vec![all], gates: Gates::default(), freezes: Vec::new() }
    }
}

impl Plan {
    /// Reads a plan and checks it.
    ///
    /// # Errors
    /// Every [`PlanError`].
    pub fn read(text: &str) -> Result<Self, PlanError> {
        if text.len() > MAX_FILE {
            return Err(PlanError::TooLong(text.len()));
        }
        let plan: Self = toml::from_str(text)?;
        plan.check()?;
        Ok(plan)
    }

    /// The plan as text, as [`Plan::read`] takes it.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Only a map key that is no string could fail; there is no map.
        toml::to_string(self).unwrap_or_default()
    }

    fn check(&self) -> Result<(), PlanError> {
        let rule = |holds: bool, why: &str| if holds { Ok(()) } else { Err(PlanError::Rule(why.into())) };
        rule((1..=MAX_WAVES).contains(&self.waves.len()), "1 to 32 waves")?;
        rule(self.freezes.len() <= MAX_FREEZES, "at most 64 freeze windows")?;
        let mut before = 0.0;
        for (number, wave) in (1..).zip(&self.waves) {
            let rule = |holds, why: &str| rule(holds, &format!("wave {number}: {why}"));
            rule(wave.percent.is_some() || !wave.groups.is_empty(), "it has `percent` or `groups`")?;
            rule(wave.groups.len() <= MAX_GROUPS, "at most 32 groups")?;
            rule(wave.groups.iter().all(|name| is_group(name)), GROUP_RULE)?;
            if let Some(percent) = wave.percent {
                rule(
                    percent > before && percent <= 100.0,
                    "`percent` grows from wave to wave, to 100 at the most",
                )?;
                before = percent;
            }
            rule((1..=1_000_000).contains(&wave.min_executed), "`min_executed` is 1 to 1000000")?;
            rule(wave.success > 0.0 && wave.success <= 1.0, "`success` is above 0 and at most 1")?;
            rule(wave.hold_minutes <= MAX_HOLD_MINUTES, "`hold_minutes` is at most 90 days")?;
        }
        let gates = &self.gates;
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        rule(is_share(gates.pause_above) && is_share(gates.stop_above), "gates are shares from 0 to 1")?;
        rule(gates.pause_above <= gates.stop_above, "`pause_above` is at most `stop_above`")?;
        rule(is_share(gates.max_disagreement), "`max_disagreement` is 0 to 1")?;
        rule(is_share(gates.max_excess_failures), "`max_excess_failures` is 0 to 1")?;
        rule(gates.min_compared >= 1, "`min_compared` is at least 1")?;
        rule(gates.error_rate > 0.0 && gates.error_rate <= 0.5, "`error_rate` is above 0 and at most 0.5")?;
        rule((1..=24 * 365).contains(&gates.absent_after_hours), "`absent_after_hours` is 1 to a year")
    }
}

/// What a group may be called.
pub const GROUP_RULE: &str = "a group has 1 to 64 letters, digits, dots, underscores or hyphens";

/// Whether a text may name a group.
#[must_use]
pub fn is_group(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_plan_and_comes_back_from_its_text() {
        let plan = Plan::read(EXAMPLE).unwrap();
        assert_eq!(plan.waves.len(), 4);
        assert_eq!(plan.freezes.len(), 2);
        assert!(plan.waves[0].percent.is_none() && plan.waves[3].approval);
        assert_eq!(Plan::read(&plan.to_text()).unwrap(), plan);
    }

    #[test]
    fn a_broken_rule_is_named_with_its_wave() {
        let refused = |text: &str| Plan::read(text).unwrap_err().to_string();
        for (text, why) in [
            ("wave = []", "1 to 32 waves"),
            ("[[wave]]\npercent = 10\n[[wave]]\npercent = 10", "wave 2: `percent` grows"),
            ("[[wave]]\npercent = nan", "wave 1: `percent` grows"),
            ("[[wave]]\nmin_executed = 3", "wave 1: it has `percent` or `groups`"),
            ("[[wave]]\ngroups = [\"a b\"]", "a group has 1 to 64"),
            ("[[wave]]\npercent = 1\nsucess = 1", "unknown field `sucess`"),
            ("[[wave]]\npercent = 1\nsuccess = 1.5", "wave 1: `success`"),
            ("[[wave]]\npercent = 1\nmin_executed = 0", "`min_executed`"),
            ("[gates]\npause_above = 0.3\nstop_above = 0.2\n[[wave]]\npercent = 1", "`pause_above`"),
            ("[gates]\nerror_rate = 0\n[[wave]]\npercent = 1", "`error_rate`"),
            ("[[wave]]\npercent = 1\n[[freeze]]\nweekly = \"x\"", "weekly freeze"),
        ] {
            assert!(refused(text).contains(why), "{text}: {}", refused(text));
        }
        assert!(matches!(Plan::read(&" ".repeat(MAX_FILE + 1)), Err(PlanError::TooLong(_))));
    }
}
