//! What of the loop is switched off.

use super::Pipeline;
use std::collections::BTreeSet;

/// What of the loop is switched off. What goes on is whole: frames are decoded and counted, limits hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SwitchedOff {
    /// No snapshot is taken.
    pub snapshots: bool,
    /// No statistics of signals are recorded.
    pub statistics: bool,
    /// No model runs.
    pub all_models: bool,
    /// These models do not run, by their names.
    pub models: BTreeSet<String>,
}

impl SwitchedOff {
    /// Whether the model of this name is.
    #[must_use]
    pub fn model(&self, name: &str) -> bool {
        self.all_models || self.models.contains(name)
    }
}

impl Pipeline {
    /// Switches parts off and on, between two frames. A model that is off gives no scores, and the catalog's limits
    /// stand in for it, as for one that fails; its windows go on, so that it can judge as soon as it is on again.
    pub fn switch(&mut self, off: SwitchedOff) {
        self.off = off;
        self.apply_switches();
    }

    pub(super) fn apply_switches(&mut self) {
        self.recorder.set_off(self.off.snapshots);
        for watcher in &mut self.watchers {
            let is_off = self.off.model(&watcher.mind.reference().name);
            watcher.mind.set_off(is_off);
        }
    }
}
