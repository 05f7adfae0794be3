//! `[limits]`: what the agent may take of the machine.

use serde::Deserialize;
use std::time::Duration;

/// What the agent may take of the machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// How long one inference may take, in milliseconds.
    pub inference_ms: u32,
    /// The process's nice level, 0 to 19.
    pub nice: u8,
    /// Beyond so much memory the agent warns, in MiB; `None` for no limit.
    pub memory_mib: Option<u32>,
    /// Beyond so much of one processor, over a status period, the agent warns, in percent; `None` for no limit.
    pub cpu_percent: Option<u32>,
}

impl Default for LimitSettings {
    fn default() -> LimitSettings {
        LimitSettings { inference_ms: 1_000, nice: 0, memory_mib: None, cpu_percent: None }
    }
}

impl LimitSettings {
    /// What cannot be meant.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            (1..=60_000).contains(&self.inference_ms),
            "`limits.inference_ms` is to be 1 to 60000"
        );
        anyhow::ensure!(self.nice <= 19, "`limits.nice` is to be 0 to 19");
        anyhow::ensure!(
            self.memory_mib.is_none_or(|mib| mib >= 8),
            "`limits.memory_mib` is to be 8 or more: the agent itself takes that"
        );
        anyhow::ensure!(
            self.cpu_percent.is_none_or(|percent| (1..=10_000).contains(&percent)),
            "`limits.cpu_percent` is to be 1 to 10000 (of one processor)"
        );
        Ok(())
    }

    /// How long one inference may take.
    #[must_use]
    pub fn inference(&self) -> Duration {
        Duration::from_millis(u64::from(self.inference_ms))
    }
}
