//! A configuration on trial. It can't run beside the one before it, so it is held against what was there before: signals
//! that had fresh values must have them again, and no model may be switched off for its failures that was not.

use super::{Watched, Worker};
use crate::config::CONFIGURATION_LOOKS;
use crate::update::setup;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use telltale_core::pipeline::{Comparison, View};
use telltale_core::update::{Event, Release};
use telltale_wire::update::RunFigures;

/// Signals are looked for this long after the change at the earliest: slow messages come every few seconds.
const SETTLE: Duration = Duration::from_secs(5);

/// What stood on the buses, and how the models did.
#[derive(Default)]
pub(super) struct Witness {
    signals: BTreeSet<String>,
    isolated: BTreeSet<String>,
}

impl Witness {
    fn of(view: &View) -> Witness {
        let signals = view.outline.signals.iter().zip(&view.signals);
        let fresh = signals.filter(|(signal, latest)| {
            let age = latest.at.map(|at| view.at.mono.since(at));
            latest.value.is_ok() && age.is_some_and(|age| age <= signal.stale_after)
        });
        let models = view.outline.models.iter().zip(&view.models);
        let isolated = models.filter(|(_, model)| model.isolation.until.is_some());
        Witness {
            signals: fresh.map(|(signal, _)| signal.vss.clone()).collect(),
            isolated: isolated.map(|(model, _)| model.model.name.clone()).collect(),
        }
    }
}

/// One under way.
pub(super) struct Probation {
    release: Release,
    before: Witness,
    began: Instant,
    every: Duration,
    next: Instant,
    comparison: Comparison,
}

impl Probation {
    fn begin(release: Release, before: Witness, lasts: Duration) -> Probation {
        let every = (lasts / CONFIGURATION_LOOKS as u32).max(SETTLE);
        let candidate = release.bundle.short();
        let comparison = Comparison { candidate, is_trial: true, ..Comparison::default() };
        let began = Instant::now();
        Probation { release, before, began, every, next: began + every, comparison }
    }

    /// A look at what there is now. Signals that the new catalog does not have are not looked for.
    fn look(&mut self, view: &View) {
        let now = Witness::of(view);
        let wanted = || view.outline.signals.iter().filter(|s| self.before.signals.contains(&s.vss));
        let (compared, differ) =
            (wanted().count() as u64, wanted().filter(|s| !now.signals.contains(&s.vss)).count() as u64);
        if let Some(lost) = wanted().find(|s| !now.signals.contains(&s.vss)) {
            log::warn!(
                "{}: {differ} of {compared} signals have no value, such as {}",
                self.release,
                lost.vss
            );
        }
        let failed = now.isolated.difference(&self.before.isolated).count() as u64;
        let seen = &mut self.comparison;
        seen.windows += 1;
        seen.compared += compared;
        seen.disagreements.only_candidate_undecided += differ;
        seen.ran = self.began.elapsed();
        let inferences = view.outline.models.len() as u64;
        seen.candidate_ran = RunFigures { inferences, no_output: failed, ..RunFigures::default() };
        self.next = Instant::now() + self.every;
    }
}

impl Worker {
    /// What there is under the configuration in force; nothing where the loop does not answer.
    pub(super) async fn witness(&self) -> Witness {
        let outline = Arc::clone(&self.ties.reloader.catalog.lock().await.outline);
        match self.ties.post.look(&outline).await {
            Ok(view) => Witness::of(&view),
            Err(_) => Witness::default(),
        }
    }

    /// From now on the configuration under way is looked at.
    pub(super) fn begin_probation(&mut self, before: Witness) {
        let name = setup::family();
        let Some((release, _)) = self.ties.depot.candidate(&name).filter(|_| self.on_probation()) else {
            return;
        };
        let lasts = Duration::from_secs(u64::from(self.ties.settings.configuration_minutes) * 60);
        let from = (self.ties.clock)();
        self.watched.insert(name, Watched { from, latest: None });
        self.probation = Some(Probation::begin(release, before, lasts));
    }

    /// Whether a configuration is on trial.
    pub(super) fn on_probation(&self) -> bool {
        self.ties.depot.is_on_trial(&setup::family())
    }

    /// Looks at the configuration on trial, if it is time.
    pub(super) async fn watch_configuration(&mut self) {
        if !self.on_probation() {
            self.probation = None;
            return;
        }
        if self.probation.is_none() {
            // The agent has started anew in between: what was there before it is not known any more.
            self.begin_probation(Witness::default());
        }
        if self.probation.as_ref().is_none_or(|probation| probation.next > Instant::now()) {
            return;
        }
        let outline = Arc::clone(&self.ties.reloader.catalog.lock().await.outline);
        let (Ok(view), Some(probation)) = (self.ties.post.look(&outline).await, &mut self.probation) else {
            return;
        };
        probation.look(&view);
        let (comparison, name) = (probation.comparison, setup::family());
        if let Some(watched) = self.watched.get_mut(&name) {
            watched.latest = Some(comparison);
        }
        self.event(&name, Event::Compared(comparison));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use telltale_core::catalog::Catalog;
    use telltale_core::frame::{BusId, CanFrame, CanId, FrameKind};
    use telltale_core::pipeline::{Pipeline, PipelineConfig};
    use telltale_wire::digest::Digest;
    use telltale_wire::time::MonoTime;
    use telltale_wire::update::Disagreements;

    fn pipeline(signal: &str) -> Pipeline {
        let dbc = "VERSION \"\"\nBS_:\nBU_: B\nBO_ 256 M: 8 B\n SG_ A : 0|16@1+ (1,0) [0|5] \"V\" X\nBO_ 257 N: 8 B\n \
            SG_ B : 0|16@1+ (1,0) [0|5] \"V\" X\n";
        let text = format!(
            "schema = 1\n[[bus]]\nname = \"bms\"\ndbc = [\"b.dbc\"]\n[[signal]]\nvss = \"Pack.A\"\nsignal = \"{signal}\"\n"
        );
        let catalog = Catalog::parse(&text, "c.toml", &mut |_| Ok(dbc.as_bytes().to_vec())).unwrap();
        Pipeline::new(&catalog, Vec::new(), PipelineConfig::default()).unwrap()
    }

    fn hear(pipeline: &mut Pipeline, until: u64) -> Box<View> {
        for second in 0..until {
            let at = MonoTime(second * 1_000_000);
            let frame = CanFrame::new(
                at,
                BusId(0),
                CanId::Standard(0x100),
                FrameKind::Classic,
                &[1, 0, 0, 0, 0, 0, 0, 0],
            );
            pipeline.handle_frame(&frame.unwrap());
        }
        let mut view = Box::new(View::with_room(pipeline.outline()));
        pipeline.look(MonoTime(until * 1_000_000), &mut view);
        view
    }

    #[test]
    fn a_signal_that_had_a_value_and_has_none_is_counted() {
        let release = || Release { number: 1, version: "1".into(), bundle: Digest([7; 32]) };
        let before = || Witness::of(&hear(&mut pipeline("A"), 20));
        assert_eq!(before().signals.len(), 1);
        for (signal, lost) in [("A", 0), ("B", 1)] {
            let mut probation = Probation::begin(release(), before(), Duration::ZERO);
            probation.look(&hear(&mut pipeline(signal), 20));
            let seen = probation.comparison;
            assert_eq!((seen.windows, seen.compared), (1, 1));
            assert_eq!(
                seen.disagreements,
                Disagreements { only_candidate_undecided: lost, ..Default::default() }
            );
        }
        // A value of long ago is none that must come again.
        let mut old = pipeline("A");
        let mut view = hear(&mut old, 20);
        old.look(MonoTime(3_600_000_000), &mut view);
        assert!(Witness::of(&view).signals.is_empty());
    }
}
