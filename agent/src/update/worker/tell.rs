//! What the log and the records are told of updates.

use super::{Watched, Worker};
use telltale_core::update::Told;
use telltale_wire::bundle::BundleName;
use telltale_wire::digest::Digest;
use telltale_wire::record::{ModelRef, Record};
use telltale_wire::update::{ShadowReport, UpdateEvent, UpdateStep};

impl Worker {
    /// A step that was taken.
    pub(super) fn record(&self, name: &BundleName, told: Told) {
        let at = (self.ties.clock)();
        let Told { release, step, reason, why } = told;
        let what = release.as_ref().map_or_else(|| "the configured model".to_owned(), ToString::to_string);
        let because = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let more = if why.is_empty() { String::new() } else { format!(": {why}") };
        match step {
            UpdateStep::RolledBack | UpdateStep::Refused => {
                log::warn!("{name}: {what} {step}{because}{more}")
            }
            _ => log::info!("{name}: {what} {step}{because}{more}"),
        }
        let (number, version, bundle) = release.map_or((0, String::new(), Digest([0; 32])), |release| {
            (release.number, release.version, release.bundle)
        });
        let event =
            UpdateEvent { at, family: name.to_string(), release: number, version, bundle, step, reason, why };
        self.ties.store.append(at, Record::Update(event));
    }

    /// How a candidate did since it began to run.
    pub(super) fn report(&self, name: &BundleName) {
        let Some(Watched { from, latest: Some(seen) }) = self.watched.get(name) else { return };
        let at = (self.ties.clock)();
        let kept = self.ties.depot.release_of(name, seen.candidate);
        let Some(release) = kept else { return };
        let report = ShadowReport {
            from: *from,
            to: at,
            family: name.to_string(),
            release: release.number,
            bundle: release.bundle,
            reference: ModelRef { name: name.to_string(), digest: seen.reference },
            is_trial: seen.is_trial,
            windows: seen.windows,
            compared: seen.compared,
            disagreements: seen.disagreements,
            widest_gap: seen.widest_gap,
            candidate: seen.candidate_ran,
            reference_ran: seen.reference_ran,
        };
        self.ties.store.append(at, Record::Shadow(report));
    }
}
