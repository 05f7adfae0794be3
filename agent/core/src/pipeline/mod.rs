//! The loop: frames in, records out. The same for a live bus, a replay and a simulation.
//!
//! Driven like a protocol state machine: [`Pipeline::handle_frame`] and [`Pipeline::handle_timeout`] turn time and
//! bring input, [`Pipeline::poll_record`] takes what came of it. From frame to verdict nothing is allocated but by
//! a model's runtime and by the records themselves.

mod appraisal;
mod config;
mod deliver;
mod duet;
mod event;
mod evidence;
mod inherit;
mod isolation;
mod keepsake;
mod kinds;
mod latency;
mod latest;
mod loaded;
mod mind;
mod scorer;
mod settings;
mod stretch;
mod summary;
mod travel;
mod trust;
mod view;
mod watch;

pub use config::PipelineConfig;
pub use duet::Comparison;
pub use evidence::{EVENTS_WITH_TRIALS, TRIALS_PER_EVENT};
pub use isolation::{FIRST_REST, ISOLATE_AFTER, Isolation, LONGEST_REST};
pub use keepsake::{HELD, Happened, KEEP_AFTER, KeepsakeError, Recalled};
pub use latest::Latest;
pub use loaded::{LoadError, LoadedModel};
pub use settings::SwitchedOff;
pub use travel::Memory;
pub use view::{
    BusOutline, BusView, Latency, ModelOutline, ModelView, Outline, SignalOutline, SubjectView, View,
};
pub use watch::LoadedIntrusion;

use crate::bus::{LinkNews, Monitor};
use crate::catalog::Catalog;
use crate::clock::{ClockAnchor, stamp};
use crate::condition::ConditionMonitor;
use crate::dbc::{Decoder, Disposition, Found};
use crate::feature::Extractor;
use crate::frame::CanFrame;
use crate::range::RangeEstimator;
use crate::snapshot::{Packer, Recorder, SnapshotRequest, Triggered};
use crate::statistics::Statistics;
use crate::trip::TripRecorder;
use deliver::{deliver, deliver_torn};
use duet::Duet;
use latency::Runs;
use latest::At;
use mind::{Mind, Outcome};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use summary::SummaryBuilder;
use telltale_wire::digest::Digest;
use telltale_wire::record::{Counts, ModelRef, Record, VerdictCode};
use telltale_wire::snapshot::SnapshotCause;
use telltale_wire::time::{MonoTime, Stamp};
use watch::Watch;

/// The loop.
pub struct Pipeline {
    outline: Arc<Outline>,
    decoder: Decoder,
    /// Those that speak, then those that are beside one of them.
    watchers: Vec<Watcher>,
    speakers: usize,
    duets: Vec<Duet>,
    watch: Option<Box<Watch>>,
    totals: Counts,
    monitor: Monitor,
    statistics: Statistics,
    summary: SummaryBuilder,
    recorder: Recorder,
    trips: TripRecorder,
    condition: Option<ConditionMonitor>,
    range: Option<RangeEstimator>,
    latencies: Runs,
    /// Before this nothing is due: what a frame costs is one comparison.
    wake: MonoTime,
    anchor: Option<ClockAnchor>,
    records: VecDeque<Record>,
    /// What those beside would have told and counted: nobody hears it.
    unheard: (VecDeque<Record>, Counts),
    off: SwitchedOff,
}

/// A model with the features that it needs.
struct Watcher {
    extractor: Extractor,
    /// The digest of the specification that the extractor follows.
    features: Digest,
    mind: Mind,
}

/// A model that judges the same windows as one that speaks, and is compared with it.
pub struct Beside {
    /// The place of the one that speaks, among the pipeline's models.
    pub speaker: usize,
    /// The one beside it. Without one, the one that speaks is watched alone, compared with itself.
    pub model: Option<LoadedModel>,
    /// Whether the one that speaks is the candidate, on trial, or this one is, in shadow.
    pub is_trial: bool,
}

impl Pipeline {
    /// A loop for a catalog and its models.
    ///
    /// # Errors
    /// [`LoadError`] if a model does not fit the catalog or its feature specification.
    pub fn new(
        catalog: &Catalog,
        models: Vec<LoadedModel>,
        config: PipelineConfig,
    ) -> Result<Pipeline, LoadError> {
        Pipeline::with_beside(catalog, models, Vec::new(), config)
    }

    /// A loop in which some models have another beside them. One that names no model of these is left out.
    ///
    /// # Errors
    /// As [`Pipeline::new`].
    pub fn with_beside(
        catalog: &Catalog,
        models: Vec<LoadedModel>,
        beside: Vec<Beside>,
        config: PipelineConfig,
    ) -> Result<Pipeline, LoadError> {
        let watcher = |model: LoadedModel| {
            let extractor = Extractor::new(&model.features, catalog)
                .map_err(|source| LoadError::Layout { model: model.manifest.name.clone(), source })?;
            let features = model.features.digest;
            Ok::<_, LoadError>(Watcher { mind: Mind::new(model, &extractor, catalog)?, features, extractor })
        };
        let speakers = models.len();
        let mut watchers = models.into_iter().map(watcher).collect::<Result<Vec<Watcher>, LoadError>>()?;
        let mut duets = Vec::new();
        for Beside { speaker, model, is_trial } in
            beside.into_iter().filter(|beside| beside.speaker < speakers)
        {
            let beside = if model.is_some() { watchers.len() } else { speaker };
            watchers.extend(model.map(watcher).transpose()?);
            duets.push(Duet::new(&watchers, speaker, beside, is_trial));
        }
        let speaking = || watchers.iter().take(speakers);
        let names: Vec<String> = speaking().map(|w| w.mind.reference().name.clone()).collect();
        let outline = Outline::new(catalog, speaking().map(|w| w.mind.outline()).collect());
        let decoder = catalog.decoder();
        let mut pipeline = Pipeline {
            outline: Arc::new(outline),
            monitor: Monitor::new(catalog, &decoder, config.bus_period),
            decoder,
            watchers,
            speakers,
            duets,
            watch: None,
            unheard: Default::default(),
            totals: Counts::default(),
            statistics: Statistics::new(catalog, &names),
            summary: SummaryBuilder::new(config.summary_period),
            recorder: Recorder::new(Packer::new(catalog), config.snapshot)
                .map_err(|pattern| LoadError::SnapshotSignal { pattern })?,
            trips: TripRecorder::new(catalog, config.trip),
            condition: config.condition.map(|condition| ConditionMonitor::new(condition, catalog)),
            range: config.range.map(RangeEstimator::new),
            latencies: Runs::new(),
            wake: MonoTime(0),
            anchor: None,
            records: VecDeque::new(),
            off: config.off,
        };
        pipeline.apply_switches();
        Ok(pipeline)
    }

    /// The models that speak, as records name them.
    pub fn models(&self) -> impl Iterator<Item = &ModelRef> {
        let speaking = self.watchers.iter().take(self.speakers).map(|w| w.mind.reference());
        speaking.chain(self.watch.as_deref().map(Watch::reference))
    }

    /// How the models that are beside others compare with them. Allocates nothing.
    pub fn comparisons(&self) -> impl Iterator<Item = Comparison> {
        self.duets.iter().map(|duet| duet.comparison(&self.watchers))
    }

    /// Tells the loop how its clock relates to the wall clock; it may learn it late, and again after a step.
    pub fn set_anchor(&mut self, anchor: Option<ClockAnchor>) {
        self.anchor = anchor;
        self.monitor.set_anchor(anchor);
    }

    /// A moment as records state it.
    #[must_use]
    pub fn stamp(&self, at: MonoTime) -> Stamp {
        stamp(at, self.anchor)
    }

    /// Takes a frame. Its time must not lie before that of the frame before it: sources see to that.
    #[inline]
    pub fn handle_frame(&mut self, frame: &CanFrame) {
        if frame.at >= self.wake {
            self.wake_for(frame.at);
        }
        self.summary.saw_frame(frame.at);
        self.totals.frames += 1;
        self.statistics.count_frame(frame);
        if let Some(watch) = &mut self.watch {
            watch.saw(frame);
        }
        let disposition = match self.decoder.find(frame) {
            Found::Message(message) => match self.monitor.saw_message(message, frame, &mut self.records) {
                true => {
                    let (watchers, tallies) = (&mut self.watchers, self.statistics.tallies());
                    let disposition = deliver::<true>(&self.decoder, watchers, tallies, message, frame);
                    if matches!(disposition, Disposition::Decoded(_)) {
                        self.recorder.keep(frame);
                    }
                    disposition
                }
                false => {
                    let (watchers, tallies) = (&mut self.watchers, self.statistics.tallies());
                    deliver_torn(&self.decoder, watchers, tallies, message, frame)
                }
            },
            Found::Filtered => {
                self.monitor.saw(frame, &mut self.records);
                Disposition::Filtered
            }
            Found::Unknown => {
                self.monitor.saw_unknown(frame, &mut self.records);
                Disposition::Unknown
            }
            Found::Malformed => Disposition::Malformed,
        };
        match disposition {
            Disposition::Decoded(samples) => {
                self.totals.decoded += 1;
                self.totals.samples += u64::from(samples);
            }
            Disposition::Filtered => self.totals.filtered += 1,
            Disposition::Unknown => self.totals.unknown += 1,
            Disposition::Malformed => {
                self.totals.malformed += 1;
                self.monitor.was_malformed(frame, &mut self.records);
            }
        }
    }

    /// What is due before a frame at `at` counts.
    #[inline(never)]
    fn wake_for(&mut self, at: MonoTime) {
        self.travel(at);
        self.close_if_due(at);
        self.turn(at);
        if self.summary.begin(at) {
            self.statistics.begin(at);
        }
        self.statistics.tick_to(at);
        self.plan();
    }

    /// Takes what the kernel told of a bus's interface.
    pub fn handle_link(&mut self, news: &LinkNews) {
        self.monitor.handle_link(news, &mut self.records);
    }

    /// Turns time to `now`. Calling it often, twice or not at all between two frames changes no verdict.
    pub fn handle_timeout(&mut self, now: MonoTime) {
        self.travel(now);
        self.turn(now);
        self.monitor.handle_timeout(now, &mut self.records);
        self.close_if_due(now);
        self.plan();
    }

    fn close_if_due(&mut self, now: MonoTime) {
        if let Some(due) = self.summary.due().filter(|due| *due <= now) {
            self.close_summary(due);
        }
    }

    /// Works out when something is next due. A stretch that has not begun, and an extractor that waits for its first
    /// sample, may have something due right behind the next frame.
    fn plan(&mut self) {
        let due = |due: Option<MonoTime>| due.unwrap_or(MonoTime(0));
        let windows = self.watchers.iter().map(|watcher| due(watcher.extractor.next_deadline()));
        let windows = windows.chain(self.watch.iter().map(|watch| due(watch.next_deadline())));
        let stretch = due(self.summary.due()).min(self.statistics.next_tick()).min(self.next_travel());
        let earliest = windows.fold(stretch, MonoTime::min);
        self.wake = self.recorder.next_deadline().map_or(earliest, |snapshot| earliest.min(snapshot));
    }

    /// When [`Pipeline::handle_timeout`] next has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        let windows = self.watchers.iter().filter_map(|w| w.extractor.next_deadline());
        let ours = [self.summary.due(), self.monitor.poll_timeout(), self.recorder.next_deadline()];
        let watch = self.watch.as_deref().and_then(Watch::next_deadline);
        let others = self.trips.poll_timeout().into_iter().chain(watch).chain(self.outlook_ends());
        windows.chain(ours.into_iter().flatten()).chain(others).min()
    }

    /// Counts frames that were lost before they came here.
    pub fn count_lost(&mut self, frames: u64) {
        self.totals.lost += frames;
    }

    /// Notes how long after the frame that completed a window its scores were there, as the clock outside says.
    pub fn note_latency(&mut self, latency: Duration) {
        self.latencies.note(None, Some(latency));
    }

    /// The end of the input: closes the summary under way, and the accounts of the buses. A window that is not full
    /// stays without a verdict, and a charge that has not ended without an estimate. A snapshot under way is told with
    /// what there is.
    pub fn finish(&mut self) {
        let end = self.summary.latest();
        self.close_summary(end);
        self.monitor.finish(end, &mut self.records);
        self.recorder.finish(end, self.anchor, &mut self.records);
    }

    /// Asks for a snapshot around `now`, as a person at the vehicle does.
    pub fn trigger_snapshot(&mut self, now: MonoTime, note: String, request: &SnapshotRequest) -> Triggered {
        let triggered = self.recorder.trigger(now, SnapshotCause::Command { note }, request);
        self.plan();
        triggered
    }

    /// Everything counted since the start.
    #[must_use]
    pub const fn totals(&self) -> &Counts {
        &self.totals
    }

    /// What this pipeline consists of.
    #[must_use]
    pub const fn outline(&self) -> &Arc<Outline> {
        &self.outline
    }

    /// Writes down what is held at `now`. Allocates nothing if the view was made with room for this outline.
    pub fn look(&self, now: MonoTime, view: &mut View) {
        view.outline = Arc::clone(&self.outline);
        view.at = self.stamp(now);
        view.totals = self.totals;
        view.latency = Latency::of(&self.latencies.figures());
        view.buses.clear();
        let buses = self.monitor.buses().zip(self.statistics.busy_nanos());
        view.buses.extend(buses.map(|(bus, busy_nanos)| BusView { busy_nanos, ..bus }));
        view.signals.clear();
        view.signals.extend(self.statistics.latest().map(|(value, at)| Latest { value, at }));
        self.look_at_travel(view);
        view.models.resize_with(self.speakers, ModelView::default);
        for (watcher, model) in self.watchers.iter().zip(&mut view.models) {
            watcher.mind.look(model);
        }
        if let Some(watch) = &self.watch {
            view.models.resize_with(self.speakers + 1, ModelView::default);
            watch.look(&mut view.models[self.speakers]);
        }
    }

    /// Takes the next record.
    pub fn poll_record(&mut self) -> Option<Record> {
        self.records.pop_front()
    }

    #[inline]
    fn turn(&mut self, now: MonoTime) {
        if self.watchers.iter().any(|watcher| watcher.extractor.is_due(now))
            || self.watch.as_ref().is_some_and(|watch| watch.is_due(now))
        {
            self.advance(now);
        }
        if self.recorder.is_due(now) {
            self.recorder.advance(now, self.anchor, &mut self.records);
        }
    }

    #[inline(never)]
    fn advance(&mut self, now: MonoTime) {
        let told = self.records.len();
        for (place, watcher) in self.watchers.iter_mut().enumerate() {
            let Watcher { extractor, mind, .. } = watcher;
            let speaks = place < self.speakers;
            let (records, counts) = match speaks {
                true => (&mut self.records, &mut self.totals),
                false => (&mut self.unheard.0, &mut self.unheard.1),
            };
            let mut outcome = Outcome { counts, records, anchor: self.anchor };
            extractor.advance(now, |window, table| {
                let conditions = At { statistics: &self.statistics, at: window.end() };
                mind.think(window, table, &conditions, &mut outcome);
                if speaks {
                    self.statistics.judged_after(now.since(window.end()));
                }
            });
        }
        if let Some(watch) = &mut self.watch {
            let (records, counts) = (&mut self.records, &mut self.totals);
            watch.advance(now, &mut Outcome { counts, records, anchor: self.anchor });
        }
        self.unheard.0.clear();
        for duet in &mut self.duets {
            duet.compare(&self.watchers);
        }
        for place in told..self.records.len() {
            let Some(Record::Verdict(event)) = self.records.get(place) else { continue };
            if event.verdict == VerdictCode::Anomalous {
                let (model, subject) = (event.model.name.clone(), event.subject.clone());
                let cause = SnapshotCause::Verdict { model, subject };
                self.recorder.trigger(event.at.mono, cause, &SnapshotRequest::default());
            }
        }
    }

    /// Ends the stretch, whose steps end at `until`.
    fn close_summary(&mut self, until: MonoTime) {
        self.statistics.tick_to(until);
        let speakers = self.speakers;
        let models =
            || self.watchers.iter_mut().take(speakers).filter_map(|w| w.mind.take_summary()).collect();
        if let Some(summary) = self.summary.close(&self.totals, self.anchor, models) {
            let last = summary.to.mono;
            self.records.push_back(Record::Summary(summary));
            let watchers = &mut self.watchers;
            let scores =
                |steps| watchers.iter_mut().take(speakers).map(|w| w.mind.take_scores(steps)).collect();
            if self.off.statistics {
                return self.statistics.pass(last);
            }
            self.statistics.close(last, self.anchor, scores, |record| self.records.push_back(record));
        }
    }
}

#[cfg(test)]
mod duet_tests;
#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod outlook_tests;
#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod tests;

#[cfg(test)]
mod appraisal_tests;

#[cfg(test)]
mod residual_tests;
#[cfg(test)]
mod watch_tests;
