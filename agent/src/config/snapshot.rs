//! `[snapshot]`: what the vehicle keeps and sends around a moment that somebody should look at.

use serde::Deserialize;
use std::time::Duration;
use telltale_core::snapshot::{MAX_PER_HOUR, MAX_SIDE, MEMORY_RANGE, SnapshotConfig};

/// The ring, its window, and how often.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotSettings {
    /// Memory of the ring, in KiB; 0 turns snapshots off.
    pub memory_kib: u32,
    /// Seconds before a trigger.
    pub before_s: u32,
    /// Seconds after it.
    pub after_s: u32,
    /// The most snapshots an hour.
    pub per_hour: u16,
    /// VSS paths, or the beginning of some with `*`; all if there is none.
    pub signals: Vec<String>,
}

impl Default for SnapshotSettings {
    fn default() -> Self {
        let SnapshotConfig { memory, before, after, per_hour, signals } = SnapshotConfig::default();
        Self {
            memory_kib: (memory / 1024) as u32,
            before_s: before.as_secs() as u32,
            after_s: after.as_secs() as u32,
            per_hour,
            signals,
        }
    }
}

impl SnapshotSettings {
    /// What cannot be meant.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let kib = MEMORY_RANGE.start() / 1024..=MEMORY_RANGE.end() / 1024;
        anyhow::ensure!(
            self.memory_kib == 0 || kib.contains(&(self.memory_kib as usize)),
            "`snapshot.memory_kib` is to be {} to {}, or 0 for no snapshots",
            kib.start(),
            kib.end()
        );
        for (name, seconds) in [("before_s", self.before_s), ("after_s", self.after_s)] {
            let most = MAX_SIDE.as_secs();
            anyhow::ensure!(u64::from(seconds) <= most, "`snapshot.{name}` is to be 0 to {most} seconds");
        }
        anyhow::ensure!(
            (1..=MAX_PER_HOUR).contains(&self.per_hour),
            "`snapshot.per_hour` is to be 1 to {MAX_PER_HOUR}; `memory_kib = 0` turns snapshots off"
        );
        Ok(())
    }

    /// As the loop takes it.
    #[must_use]
    pub fn snapshot(&self) -> SnapshotConfig {
        SnapshotConfig {
            memory: self.memory_kib as usize * 1024,
            before: Duration::from_secs(u64::from(self.before_s)),
            after: Duration::from_secs(u64::from(self.after_s)),
            per_hour: self.per_hour,
            signals: self.signals.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_name() {
        let check = |text: &str| {
            toml::from_str::<SnapshotSettings>(text).unwrap().check().map_err(|error| error.to_string())
        };
        assert_eq!(check(""), Ok(()));
        assert_eq!(check("memory_kib = 0"), Ok(()));
        for (text, expected) in [
            ("memory_kib = 1", "`snapshot.memory_kib` is to be 64 to 1048576"),
            ("before_s = 3601", "`snapshot.before_s` is to be 0 to 3600"),
            ("after_s = 86400", "`snapshot.after_s`"),
            ("per_hour = 0", "`snapshot.per_hour` is to be 1 to 60"),
        ] {
            assert!(check(text).is_err_and(|error| error.starts_with(expected)), "{text}");
        }
    }

    #[test]
    fn without_a_setting_it_is_what_the_core_takes() {
        let set = SnapshotSettings::default().snapshot();
        assert_eq!(format!("{set:?}"), format!("{:?}", SnapshotConfig::default()));
    }
}
