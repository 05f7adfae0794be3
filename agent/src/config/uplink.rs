//! `[uplink]`: the cloud, who the vehicle is there, and how many bytes it may cost.

use serde::Deserialize;
use std::path::PathBuf;
use telltale_core::uplink::BudgetConfig;

/// The cloud.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UplinkSettings {
    /// Its address, `https://host:port`.
    pub url: String,
    /// The authority that signed the server's certificate, PEM.
    pub ca: PathBuf,
    /// The vehicle's certificate, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The most bytes in any 24 hours on the line, both directions, TLS included. Critical records always go, and count.
    pub bytes_per_day: Option<u64>,
    /// The most of `bytes_per_day` that each lane may take.
    #[serde(default)]
    pub share_percent: ShareSettings,
}

/// The most of the byte budget that each lane may take, in percent; together they may be more than 100.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShareSettings {
    /// Boots and health.
    pub status: u8,
    /// Periodic summaries.
    pub summary: u8,
    /// Snapshots.
    pub bulk: u8,
}

impl Default for ShareSettings {
    fn default() -> Self {
        Self { status: 100, summary: 100, bulk: 100 }
    }
}

impl UplinkSettings {
    /// What cannot be meant.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let budgets = BudgetConfig::MIN..=BudgetConfig::MAX;
        anyhow::ensure!(
            self.bytes_per_day.is_none_or(|bytes| budgets.contains(&bytes)),
            "`uplink.bytes_per_day` is to be {} to {}; leave it out for no bound",
            budgets.start(),
            budgets.end()
        );
        let ShareSettings { status, summary, bulk } = self.share_percent;
        let shares_well = [status, summary, bulk].into_iter().all(|percent| (1..=100).contains(&percent));
        anyhow::ensure!(shares_well, "the shares in `uplink.share_percent` are to be 1 to 100");
        Ok(())
    }

    /// The byte budget, if there is one.
    #[must_use]
    pub fn budget(&self) -> Option<BudgetConfig> {
        let ShareSettings { status, summary, bulk } = self.share_percent;
        let shares = [100, status, summary, bulk];
        self.bytes_per_day.map(|bytes_per_day| BudgetConfig { bytes_per_day, shares })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use telltale_core::spool::DropPolicy;
    use telltale_core::uplink::BudgetConfig;

    #[test]
    fn budget_and_drop_policies_are_read_and_old_files_have_none() {
        let text = |spool: &str, uplink: &str| {
            let paths = "url = \"https://h\"\nca = \"a\"\ncert = \"c\"\nkey = \"k\"";
            format!(
                "vehicle = \"v\"\ncatalog = \"c\"\n[spool]\ndir = \"s\"\n{spool}\n[uplink]\n{paths}\n{uplink}\n"
            )
        };
        let old = Config::parse(&text("", "")).unwrap();
        assert_eq!(old.uplink.unwrap().budget(), None);
        assert_eq!(old.spool.spool().drop, [DropPolicy::Oldest; 4]);
        let drop = "drop = { status = \"newest\", summary = { thin = 4 } }";
        let budget = "bytes_per_day = 5000000\nshare_percent = { bulk = 30 }";
        let new = Config::parse(&text(drop, budget)).unwrap();
        let shares = [100, 100, 100, 30];
        assert_eq!(new.uplink.unwrap().budget(), Some(BudgetConfig { bytes_per_day: 5_000_000, shares }));
        let expected = [DropPolicy::Oldest, DropPolicy::Newest, DropPolicy::Thin(4), DropPolicy::Oldest];
        assert_eq!(new.spool.spool().drop, expected);
        for (spool, uplink, expected) in [
            ("drop = { summary = { thin = 1 } }", "", "2 to 1000"),
            ("drop = { critical = \"newest\" }", "", "unknown field `critical`"),
            ("", "bytes_per_day = 10", "65536 to"),
            ("", "share_percent = { bulk = 101 }", "1 to 100"),
        ] {
            let error = format!("{:#}", Config::parse(&text(spool, uplink)).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
