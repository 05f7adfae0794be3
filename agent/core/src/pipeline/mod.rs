//! The loop: frames in, records out. The same for a live bus, a replay and a simulation.
//!
//! Driven like a protocol state machine: [`Pipeline::handle_frame`] and [`Pipeline::handle_timeout`] turn time and
//! bring input, [`Pipeline::poll_record`] takes what came of it. From frame to verdict nothing is allocated but by
//! a model's runtime and by the records themselves.

mod isolation;
mod latest;
mod mind;
mod scorer;
mod summary;
mod view;

pub use isolation::{FIRST_REST, ISOLATE_AFTER, Isolation, LONGEST_REST};
pub use latest::Latest;
pub use mind::{LoadError, LoadedModel};
pub use view::{BusOutline, ModelOutline, ModelView, Outline, SignalOutline, SubjectView, View};

use crate::catalog::Catalog;
use crate::clock::ClockAnchor;
use crate::dbc::{Decoder, Disposition};
use crate::feature::Extractor;
use crate::frame::CanFrame;
use crate::snapshot::{Packer, Recorder, SnapshotConfig, SnapshotRequest, Triggered};
use latest::{Fan, Noting};
use mind::{Mind, Outcome};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use summary::SummaryBuilder;
use telltale_wire::record::{Counts, ModelRef, Record, VerdictCode};
use telltale_wire::snapshot::SnapshotCause;
use telltale_wire::time::{MonoTime, Stamp};

/// Settings of the loop.
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// How much time one summary covers.
    pub summary_period: Duration,
    /// What is kept and sent around a moment.
    pub snapshot: SnapshotConfig,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        PipelineConfig { summary_period: Duration::from_secs(60), snapshot: SnapshotConfig::default() }
    }
}

/// The loop.
pub struct Pipeline {
    outline: Arc<Outline>,
    decoder: Decoder,
    watchers: Vec<Watcher>,
    totals: Counts,
    bus_frames: Vec<u64>,
    /// The latest samples of the signals that no model uses.
    rest: Vec<Latest>,
    summary: SummaryBuilder,
    recorder: Recorder,
    anchor: Option<ClockAnchor>,
    records: VecDeque<Record>,
}

/// A model with the features that it needs.
struct Watcher {
    extractor: Extractor,
    mind: Mind,
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
        let watchers = models
            .into_iter()
            .map(|model| {
                let extractor = Extractor::new(&model.features, catalog)
                    .map_err(|source| LoadError::Layout { model: model.manifest.name.clone(), source })?;
                let mind = Mind::new(model, &extractor, catalog)?;
                Ok(Watcher { extractor, mind })
            })
            .collect::<Result<Vec<Watcher>, LoadError>>()?;
        let outline = Outline::new(catalog, watchers.iter().map(|w| w.mind.outline()).collect());
        Ok(Pipeline {
            outline: Arc::new(outline),
            decoder: catalog.decoder(),
            watchers,
            totals: Counts::default(),
            bus_frames: vec![0; catalog.buses.len()],
            rest: vec![Latest::NONE; catalog.signals.len()],
            summary: SummaryBuilder::new(config.summary_period),
            recorder: Recorder::new(Packer::new(catalog), config.snapshot)
                .map_err(|pattern| LoadError::SnapshotSignal { pattern })?,
            anchor: None,
            records: VecDeque::new(),
        })
    }

    /// The models, as records name them.
    pub fn models(&self) -> impl Iterator<Item = &ModelRef> {
        self.watchers.iter().map(|w| w.mind.reference())
    }

    /// Tells the loop how its clock relates to the wall clock; it may learn it late, and again after a step.
    pub fn set_anchor(&mut self, anchor: Option<ClockAnchor>) {
        self.anchor = anchor;
    }

    /// A moment as records state it.
    #[must_use]
    pub fn stamp(&self, at: MonoTime) -> Stamp {
        stamp(at, self.anchor)
    }

    /// Takes a frame. Its time must not lie before that of the frame before it: sources see to that.
    #[inline]
    pub fn handle_frame(&mut self, frame: &CanFrame) {
        if self.summary.is_due(frame.at) {
            self.close_summary();
        }
        self.turn(frame.at);
        self.summary.saw_frame(frame.at);
        self.totals.frames += 1;
        if let Some(frames) = self.bus_frames.get_mut(usize::from(frame.bus.0)) {
            *frames += 1;
        }
        let (at, rest) = (frame.at, self.rest.as_mut_slice());
        let disposition = match self.watchers.as_mut_slice() {
            // The usual vehicle has one model: its windows are the decoder's sink.
            [only] => {
                only.extractor.take(at, |next| self.decoder.dispatch(frame, &mut Noting { rest, at, next }))
            }
            watchers => {
                let next = &mut Fan { at, watchers };
                self.decoder.dispatch(frame, &mut Noting { rest, at, next })
            }
        };
        match disposition {
            Disposition::Decoded(samples) => {
                self.recorder.keep(frame);
                self.totals.decoded += 1;
                self.totals.samples += u64::from(samples);
            }
            Disposition::Filtered => self.totals.filtered += 1,
            Disposition::Unknown => self.totals.unknown += 1,
            Disposition::Malformed => self.totals.malformed += 1,
        }
    }

    /// Turns time to `now`. Calling it often, twice or not at all between two frames changes no verdict.
    pub fn handle_timeout(&mut self, now: MonoTime) {
        self.turn(now);
        if self.summary.is_due(now) {
            self.close_summary();
        }
    }

    /// When [`Pipeline::handle_timeout`] next has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        let windows = self.watchers.iter().filter_map(|w| w.extractor.next_deadline());
        windows.chain(self.summary.due()).chain(self.recorder.next_deadline()).min()
    }

    /// Counts frames that were lost before they came here.
    pub fn count_lost(&mut self, frames: u64) {
        self.totals.lost += frames;
    }

    /// The end of the input: closes the summary under way. A window that is not full stays without a verdict.
    /// A snapshot under way is told with what there is.
    pub fn finish(&mut self) {
        let end = self.summary.latest();
        self.close_summary();
        self.recorder.finish(end, self.anchor, &mut self.records);
    }

    /// Asks for a snapshot around `now`, as a person at the vehicle does.
    pub fn trigger_snapshot(&mut self, now: MonoTime, note: String, request: &SnapshotRequest) -> Triggered {
        self.recorder.trigger(now, SnapshotCause::Command { note }, request)
    }

    /// Everything counted since the start.
    #[must_use]
    pub const fn totals(&self) -> &Counts {
        &self.totals
    }

    /// Takes over from the pipeline that this one replaces, between two frames: what was counted, and, if the catalog
    /// is the same, the latest samples and the models that both have, with their windows and what they hold of their
    /// subjects. Before it the old one's summary is closed ([`Pipeline::finish`]) and its records are taken.
    pub fn inherit(&mut self, before: &mut Pipeline) {
        self.totals = before.totals;
        self.summary.count_from(&self.totals);
        self.anchor = before.anchor;
        self.recorder.inherit(&mut before.recorder, self.outline.catalog == before.outline.catalog);
        if self.outline.buses == before.outline.buses {
            std::mem::swap(&mut self.bus_frames, &mut before.bus_frames);
        }
        if self.outline.catalog != before.outline.catalog {
            return;
        }
        std::mem::swap(&mut self.rest, &mut before.rest);
        for watcher in &mut self.watchers {
            let same = |old: &&mut Watcher| old.mind.reference() == watcher.mind.reference();
            if let Some(old) = before.watchers.iter_mut().find(same) {
                std::mem::swap(watcher, old);
            }
        }
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
        view.bus_frames.clear();
        view.bus_frames.extend_from_slice(&self.bus_frames);
        latest::collect(&self.rest, &self.watchers, &mut view.signals);
        view.models.resize_with(self.watchers.len(), ModelView::default);
        for (watcher, model) in self.watchers.iter().zip(&mut view.models) {
            watcher.mind.look(model);
        }
    }

    /// Takes the next record.
    pub fn poll_record(&mut self) -> Option<Record> {
        self.records.pop_front()
    }

    #[inline]
    fn turn(&mut self, now: MonoTime) {
        if self.watchers.iter().any(|watcher| watcher.extractor.is_due(now)) {
            self.advance(now);
        }
        if self.recorder.is_due(now) {
            self.recorder.advance(now, self.anchor, &mut self.records);
        }
    }

    #[inline(never)]
    fn advance(&mut self, now: MonoTime) {
        let told = self.records.len();
        for watcher in &mut self.watchers {
            let Watcher { extractor, mind } = watcher;
            let mut outcome =
                Outcome { counts: &mut self.totals, records: &mut self.records, anchor: self.anchor };
            extractor.advance(now, |window, table| mind.think(window, table, &mut outcome));
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

    fn close_summary(&mut self) {
        let models = || self.watchers.iter_mut().filter_map(|w| w.mind.take_summary()).collect();
        if let Some(summary) = self.summary.close(&self.totals, self.anchor, models) {
            self.records.push_back(Record::Summary(summary));
        }
    }
}

/// A moment as records state it: with the wall time if an anchor is known.
pub(crate) fn stamp(at: MonoTime, anchor: Option<ClockAnchor>) -> Stamp {
    Stamp { mono: at, wall: anchor.map(|a| a.wall_at(at)) }
}

#[cfg(test)]
mod tests;
