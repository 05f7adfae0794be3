//! What signals and buses looked like: counted at every sample, looked at once a step, told once a stretch.
//!
//! A sample updates its signal's `Tally`: the latest value, its time, least and greatest. At the end of each `STEP` every
//! signal has a value or a reason, and only that goes into its sketch, its mean, the checks and the regimes. So a share
//! of q is a share of time: a message that is sent faster while something happens does not weigh more, and a cell that is
//! sent every ten seconds counts as much as a current that is sent every ten milliseconds. It is also what keeps the
//! cost of a sample to some ten instructions. A peak between two steps is not in the quantiles, but in the extremes.
//!
//! The latest sample says what a signal has, a value or the reason why not, until it is older than the catalog's
//! `stale_ms`. Memory: about 0.5 kB a signal, 2 MB for the largest catalog; nothing is allocated but what is told.

mod load;
mod names;
mod quality;
mod scores;
mod signal;
mod sketch;
mod tap;
mod track;

pub(crate) use scores::Scores;
pub use sketch::CAPACITY;
pub(crate) use tap::{Tally, Tap};

use crate::catalog::Catalog;
use crate::clock::ClockAnchor;
use crate::frame::CanFrame;
use crate::signal::{NoData, SignalId};
use load::BusTally;
use names::NamesBook;
use quality::Agreement;
use signal::Signal;
use std::time::Duration;
use telltale_wire::digest::ShortDigest;
use telltale_wire::record::Record;
use telltale_wire::signals::{MAX_SERIES, Quality, Series, SeriesRun, SignalRecord};
use telltale_wire::time::{MonoTime, Stamp};

/// How often signals are looked at.
pub const STEP: Duration = Duration::from_secs(1);
/// Bytes that the series of one record may take at the worst: what is left holds buses, checks and regimes.
const RUN_BYTES: usize = 48 * 1024;
/// Bytes that a series may take at the worst without its sketch, and for each bucket of that: 31 bits of gap and 63 of
/// count.
const SERIES_BYTES: usize = 96;
const BUCKET_BYTES: usize = 12;
/// The statistics of the stretch under way.
pub(crate) struct Statistics {
    tallies: Vec<Tally>,
    signals: Vec<Signal>,
    buses: Vec<BusTally>,
    /// Values at the end of the step; NaN for those that have none.
    standing: Vec<f64>,
    agreement: Agreement,
    oldest: Duration,
    judged_after: Option<Duration>,
    directory: ShortDigest,
    /// The names, until they are told.
    untold: Option<NamesBook>,
    from: MonoTime,
    steps: u32,
}

impl Statistics {
    /// For a catalog and the names of its models, in the order in which their scores will be told.
    pub(crate) fn new(catalog: &Catalog, models: &[String]) -> Statistics {
        let book = NamesBook::new(catalog, models);
        Statistics {
            tallies: vec![Tally::NEW; catalog.signals.len()],
            signals: catalog.signals.iter().map(|signal| Signal::new(signal, catalog)).collect(),
            buses: catalog.buses.iter().map(BusTally::new).collect(),
            standing: vec![f64::NAN; catalog.signals.len()],
            agreement: Agreement::new(&catalog.checks, &catalog.regimes),
            oldest: Duration::ZERO,
            judged_after: None,
            directory: book.id,
            untold: Some(book),
            from: MonoTime(0),
            steps: 0,
        }
    }

    /// Where samples go.
    #[inline]
    pub(crate) fn tallies(&mut self) -> &mut [Tally] {
        &mut self.tallies
    }

    /// The latest sample of a signal, and the time of its latest value.
    pub(crate) fn latest(&self) -> impl Iterator<Item = (Result<f64, NoData>, Option<MonoTime>)> {
        self.tallies.iter().map(|tally| (tally.latest(), tally.at()))
    }

    /// The latest sample of one signal, and the time of its latest value.
    pub(crate) fn latest_of(&self, id: SignalId) -> (Result<f64, NoData>, Option<MonoTime>) {
        self.tallies
            .get(id.index())
            .map_or((Err(NoData::NotReceived), None), |tally| (tally.latest(), tally.at()))
    }

    /// For how long each bus was busy since the start, in nanoseconds.
    pub(crate) fn busy_nanos(&self) -> impl Iterator<Item = u64> {
        self.buses.iter().map(BusTally::busy_nanos)
    }

    /// Takes over for how long the same buses were busy.
    pub(crate) fn inherit_buses(&mut self, before: &Statistics) {
        for (bus, before) in self.buses.iter_mut().zip(&before.buses) {
            bus.inherit(before);
        }
    }

    #[inline]
    pub(crate) fn count_frame(&mut self, frame: &CanFrame) {
        if let Some(bus) = self.buses.get_mut(usize::from(frame.bus.0)) {
            bus.count(frame);
        }
    }

    /// Takes over the latest samples of the same catalog, of whose stretch everything has been told.
    pub(crate) fn inherit_samples(&mut self, before: &Statistics) {
        for (tally, before) in self.tallies.iter_mut().zip(&before.tallies) {
            *tally = *before;
            tally.begin();
        }
    }

    /// A window was judged so long after its end.
    pub(crate) fn judged_after(&mut self, late: Duration) {
        self.judged_after = self.judged_after.max(Some(late));
    }

    /// Begins a stretch.
    pub(crate) fn begin(&mut self, at: MonoTime) {
        (self.from, self.steps) = (at, 0);
    }

    /// When the step under way ends.
    pub(crate) fn next_tick(&self) -> MonoTime {
        self.end_of(self.steps.saturating_add(1))
    }

    fn end_of(&self, steps: u32) -> MonoTime {
        self.from.plus(STEP.saturating_mul(steps))
    }

    /// Ends the steps that are over at `now`. Frames at `now` belong to the next one.
    pub(crate) fn tick_to(&mut self, now: MonoTime) {
        while self.next_tick() <= now {
            self.tick();
        }
    }

    fn tick(&mut self) {
        let end = self.next_tick();
        self.steps += 1;
        for ((signal, tally), standing) in
            self.signals.iter_mut().zip(&mut self.tallies).zip(&mut self.standing)
        {
            *standing = f64::NAN;
            if let Some((value, age)) = signal.tick(tally, self.steps, end) {
                *standing = value;
                self.oldest = self.oldest.max(age);
            }
        }
        self.buses.iter_mut().for_each(BusTally::tick);
        self.agreement.tick(&self.standing);
    }

    /// Ends the stretch: the names if they are still untold, then what there is to tell. `last` is when the latest frame
    /// came: a step that it began counts as one. `scores` are the models' series.
    pub(crate) fn close(
        &mut self,
        last: MonoTime,
        anchor: Option<ClockAnchor>,
        scores: impl FnOnce(u32) -> Vec<Series>,
        mut tell: impl FnMut(Record),
    ) {
        if self.end_of(self.steps) <= last {
            self.tick();
        }
        let stamp = |at: MonoTime| Stamp { mono: at, wall: anchor.map(|anchor| anchor.wall_at(at)) };
        let (from, to) = (stamp(self.from), stamp(self.end_of(self.steps)));
        if let Some(book) = self.untold.take() {
            let directory = |part| tell(Record::Signals(SignalRecord::Directory(part)));
            book.parts(from).into_iter().for_each(directory);
        }
        let steps = self.steps;
        let mut quality = self.quality();
        let signals = self.signals.iter_mut().zip(&mut self.tallies);
        let mut series: Vec<Series> =
            signals.map(|(signal, tally)| signal.take(tally, steps, &mut quality)).collect();
        series.extend(scores(steps));
        series.truncate(MAX_SERIES);
        let mut buses = self.buses.iter_mut().map(|bus| bus.take(steps, STEP)).collect();
        let mut quality = Some(quality);
        for run in runs(series, steps) {
            tell(Record::Signals(SignalRecord::Statistics(telltale_wire::signals::Statistics {
                from,
                to,
                directory: self.directory,
                step_ms: STEP.as_millis() as u32,
                buses: std::mem::take(&mut buses),
                quality: quality.take(),
                series: run,
            })));
        }
    }

    /// Ends the stretch as [`Statistics::close`] does, and tells nothing.
    pub(crate) fn pass(&mut self, last: MonoTime) {
        if self.end_of(self.steps) <= last {
            self.tick();
        }
        let mut quality = self.quality();
        for (signal, tally) in self.signals.iter_mut().zip(&mut self.tallies) {
            signal.take(tally, self.steps, &mut quality);
        }
        self.buses.iter_mut().for_each(|bus| _ = bus.take(self.steps, STEP));
    }

    fn quality(&mut self) -> Quality {
        let agreed = self.agreement.take();
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        Quality {
            checks: agreed.checks,
            regimes: agreed.regimes,
            other_regime: agreed.other,
            unknown_regime: agreed.unknown,
            oldest_ms: millis(std::mem::take(&mut self.oldest)),
            judged_after_ms: self.judged_after.take().map(millis),
            ..Quality::default()
        }
    }
}

/// Cuts the series into runs that fit into a record each, at the worst; one run where there are none.
fn runs(series: Vec<Series>, steps: u32) -> Vec<SeriesRun> {
    let mut runs = vec![SeriesRun { steps, first: 0, series: Vec::new() }];
    let mut bytes = 0;
    for (place, series) in series.into_iter().enumerate() {
        let buckets = series.values.as_ref().map_or(0, |values| values.sketch.buckets().len());
        let worst = SERIES_BYTES + BUCKET_BYTES * buckets;
        bytes += worst;
        match runs.last_mut() {
            Some(run) if bytes <= RUN_BYTES => run.series.push(series),
            _ => {
                bytes = worst;
                runs.push(SeriesRun { steps, first: place as u16, series: vec![series] });
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests;
