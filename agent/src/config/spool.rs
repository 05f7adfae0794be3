//! `[spool]`: where records wait for the cloud, how many, and what goes when they are too many.

use serde::Deserialize;
use std::path::PathBuf;
use telltale_core::spool::{DropPolicy, SpoolConfig};

/// The durable store.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpoolSettings {
    /// Its folder; made if it does not exist. One agent at a time may use it.
    pub dir: PathBuf,
    /// The most that all lanes together keep, in MiB.
    #[serde(default = "default_cap")]
    pub cap_mib: u32,
    /// What goes when a lane reaches its cap.
    #[serde(default)]
    pub drop: DropSettings,
}

/// What goes when a lane reaches its cap. The critical lane always drops its oldest records.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropSettings {
    /// Boots and health.
    #[serde(default)]
    pub status: DropSetting,
    /// Periodic summaries.
    #[serde(default)]
    pub summary: DropSetting,
    /// Snapshots.
    #[serde(default)]
    pub bulk: DropSetting,
}

/// One lane's policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DropSetting {
    /// The oldest records go.
    #[default]
    Oldest,
    /// New records are turned away.
    Newest,
    /// The oldest segments go, except each n-th, 2 to 1000.
    Thin(u32),
}

const fn default_cap() -> u32 {
    64
}

impl SpoolSettings {
    /// What cannot be meant.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!((16..=65_536).contains(&self.cap_mib), "`spool.cap_mib` is to be 16 to 65536");
        let DropSettings { status, summary, bulk } = self.drop;
        for policy in [status, summary, bulk] {
            let thins_well = !matches!(policy, DropSetting::Thin(n) if !(2..=1_000).contains(&n));
            anyhow::ensure!(thins_well, "`thin` in `spool.drop` is to be 2 to 1000: each n-th segment stays");
        }
        Ok(())
    }

    /// How the cap is shared among the lanes: an eighth for what is critical, a thirty-second for status, a quarter
    /// for summaries, and the rest for bulk.
    #[must_use]
    pub fn spool(&self) -> SpoolConfig {
        let cap = u64::from(self.cap_mib) * 1024 * 1024;
        let (critical, status, summary) = (cap / 8, cap / 32, cap / 4);
        let DropSettings { status: drop_status, summary: drop_summary, bulk: drop_bulk } = self.drop;
        SpoolConfig {
            lane_caps: [critical, status, summary, cap - critical - status - summary],
            drop: [DropSetting::Oldest, drop_status, drop_summary, drop_bulk].map(DropSetting::policy),
            ..SpoolConfig::default()
        }
    }
}

impl DropSetting {
    const fn policy(self) -> DropPolicy {
        match self {
            Self::Oldest => DropPolicy::Oldest,
            Self::Newest => DropPolicy::Newest,
            Self::Thin(n) => DropPolicy::Thin(n),
        }
    }
}
