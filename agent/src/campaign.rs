//! A campaign: what a vehicle collects for a while, and when. It comes with a signed configuration, apart from the models,
//! and stands before the same settings of the vehicle's own configuration; what it leaves out stays as it is there.

use crate::config::{Config, SnapshotSettings};
use anyhow::Context as _;
use serde::Deserialize;
use std::time::Duration;
use telltale_core::pipeline::PipelineConfig;
use telltale_wire::digest::Digest;

/// The longest campaign, in bytes.
pub(crate) const MAX_CAMPAIGN: usize = 64 * 1024;

/// A campaign, read and found sound by itself.
#[derive(Clone, Debug)]
pub(crate) struct Campaign {
    document: Document,
    /// Names it exactly: the digest of its text.
    pub(crate) digest: Digest,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u32,
    name: String,
    summary_s: Option<u32>,
    bus_statistics_s: Option<u32>,
    #[serde(default)]
    snapshot: Snapshot,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Snapshot {
    before_s: Option<u32>,
    after_s: Option<u32>,
    per_hour: Option<u16>,
    signals: Option<Vec<String>>,
}

impl Campaign {
    /// Reads a campaign.
    ///
    /// # Errors
    /// What is wrong with it. Whether its signals are in the catalog is found out when a loop is made of it.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Campaign> {
        anyhow::ensure!(text.len() <= MAX_CAMPAIGN, "a campaign has at most {MAX_CAMPAIGN} bytes");
        let document: Document = toml::from_str(text).context("the campaign can't be read")?;
        anyhow::ensure!(document.schema == 1, "the campaign's schema {} is not known here", document.schema);
        let is_named = (1..=64).contains(&document.name.len()) && !document.name.contains(char::is_control);
        anyhow::ensure!(is_named, "a campaign's `name` has 1 to 64 letters");
        let periods = 1..=86_400;
        for (name, seconds) in
            [("summary_s", document.summary_s), ("bus_statistics_s", document.bus_statistics_s)]
        {
            let fits = seconds.is_none_or(|seconds| periods.contains(&seconds));
            anyhow::ensure!(fits, "the campaign's `{name}` is to be 1 to 86400 seconds");
        }
        let campaign = Campaign { document, digest: Digest::of(text.as_bytes()) };
        campaign.snapshot(&SnapshotSettings::default()).check().context("the campaign")?;
        Ok(campaign)
    }

    /// Its name, for people.
    pub(crate) fn name(&self) -> &str {
        &self.document.name
    }

    fn snapshot(&self, own: &SnapshotSettings) -> SnapshotSettings {
        let Snapshot { before_s, after_s, per_hour, signals } = self.document.snapshot.clone();
        SnapshotSettings {
            // The vehicle's memory is the vehicle's affair.
            memory_kib: own.memory_kib,
            before_s: before_s.unwrap_or(own.before_s),
            after_s: after_s.unwrap_or(own.after_s),
            per_hour: per_hour.unwrap_or(own.per_hour),
            signals: signals.unwrap_or_else(|| own.signals.clone()),
        }
    }

    /// What the loop is set to under it.
    pub(crate) fn apply(&self, config: &Config, settings: &mut PipelineConfig) {
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
        if let Some(period) = self.document.summary_s {
            settings.summary_period = seconds(period);
        }
        if let Some(period) = self.document.bus_statistics_s {
            settings.bus_period = seconds(period);
        }
        settings.snapshot = self.snapshot(&config.snapshot).snapshot();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "vehicle = \"v\"\ncatalog = \"c\"\nspool = { dir = \"s\" }\nsummary_s = 7\n\
        [snapshot]\nmemory_kib = 512\nbefore_s = 5\nafter_s = 6\n";

    #[test]
    fn what_it_says_stands_before_the_vehicle_s_own_and_the_rest_stays() {
        let config = Config::parse(CONFIG).unwrap();
        let text = "schema = 1\nname = \"cold\"\nbus_statistics_s = 60\n[snapshot]\nafter_s = 90\n\
            signals = [\"Vehicle.Speed\"]\n";
        let campaign = Campaign::parse(text).unwrap();
        let mut settings = PipelineConfig { summary_period: config.summary_period(), ..Default::default() };
        campaign.apply(&config, &mut settings);
        assert_eq!(settings.summary_period, Duration::from_secs(7));
        assert_eq!(settings.bus_period, Duration::from_secs(60));
        let snapshot = &settings.snapshot;
        assert_eq!((snapshot.before, snapshot.after), (Duration::from_secs(5), Duration::from_secs(90)));
        assert_eq!(
            (snapshot.memory, snapshot.signals.as_slice()),
            (512 * 1024, &["Vehicle.Speed".into()][..])
        );
        assert_eq!((campaign.name(), campaign.digest), ("cold", Digest::of(text.as_bytes())));
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        let good = "schema = 1\nname = \"a\"\n";
        for (more, expected) in [
            ("summary_s = 0", "`summary_s`"),
            ("bus_statistics_s = 86401", "`bus_statistics_s`"),
            ("[snapshot]\nbefore_s = 3601", "`snapshot.before_s`"),
            ("[snapshot]\nper_hour = 0", "`snapshot.per_hour`"),
            ("[snapshot]\nmemory_kib = 9", "unknown field `memory_kib`"),
            ("actuator = true", "unknown field `actuator`"),
        ] {
            let error = format!("{:#}", Campaign::parse(&format!("{good}{more}\n")).unwrap_err());
            assert!(error.contains(expected), "{more}: {error}");
        }
        assert!(Campaign::parse("schema = 2\nname = \"a\"").is_err());
        assert!(Campaign::parse("schema = 1\nname = \"\"").is_err());
    }
}
