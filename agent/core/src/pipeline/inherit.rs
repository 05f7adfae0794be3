//! One loop goes on where another stopped: after a reload, between two frames.

use super::{Pipeline, Watch, Watcher};

impl Pipeline {
    /// Takes over from the pipeline that this one replaces, between two frames: what was counted, and, if the catalog
    /// is the same, the latest samples and the models that both have, with their windows and what they hold of their
    /// subjects. A model that is new goes on with the window of one with the same features. Before it the old one's summary is closed ([`Pipeline::finish`]) and its records are taken.
    pub fn inherit(&mut self, before: &mut Pipeline) {
        self.totals = before.totals;
        std::mem::swap(&mut self.latencies, &mut before.latencies);
        self.summary.count_from(&self.totals);
        self.anchor = before.anchor;
        self.recorder.inherit(&mut before.recorder, self.outline.catalog == before.outline.catalog);
        if self.outline.has_buses_of(&before.outline) {
            self.statistics.inherit_buses(&before.statistics);
            self.monitor.inherit(&mut before.monitor, self.outline.catalog == before.outline.catalog);
        }
        self.travel_on(before);
        if self.outline.catalog != before.outline.catalog {
            return;
        }
        if self.watch.as_deref().map(Watch::reference) == before.watch.as_deref().map(Watch::reference) {
            std::mem::swap(&mut self.watch, &mut before.watch);
        }
        self.statistics.inherit_samples(&before.statistics);
        for watcher in &mut self.watchers {
            let is_same = |old: &Watcher| old.mind.reference() == watcher.mind.reference();
            if !before.watchers.iter().any(is_same)
                && let Some(old) = before.watchers.iter().find(|old| old.features == watcher.features)
            {
                watcher.extractor = old.extractor.clone();
            }
        }
        for watcher in &mut self.watchers {
            let is_same = |old: &&mut Watcher| old.mind.reference() == watcher.mind.reference();
            if let Some(old) = before.watchers.iter_mut().find(is_same) {
                std::mem::swap(watcher, old);
            }
        }
        self.apply_switches();
        for duet in &mut self.duets {
            if !before.duets.iter().any(|old| duet.inherit(old)) {
                for place in [duet.speaker, duet.beside] {
                    self.watchers[place].mind.clear_figures();
                }
            }
        }
    }
}
