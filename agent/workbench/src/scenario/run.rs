//! One scenario: the simulated vehicle's frames through the pipeline, its records through the spool and the uplink.

use super::cloud::{Cloud, Delivered};
use super::coverage::{Coverage, Moment};
use super::expect::{Departure, Failure, Word, failures};
use super::file::Scenario;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use telltale_core::bus::{LinkEvent, LinkNews};
use telltale_core::catalog::Catalog;
use telltale_core::clock::ClockAnchor;
use telltale_core::frame::BusId;
use telltale_core::model::Model;
use telltale_core::pipeline::{LoadError, LoadedModel, Pipeline, PipelineConfig, View};
use telltale_core::spool::OpenError;
use telltale_sil::{SpecError, Vehicle};
use telltale_wire::digest::Digest;
use telltale_wire::drift::Severity;
use telltale_wire::record::{Counts, Record, VerdictCode, VerdictEvent};
use telltale_wire::time::{MonoTime, WallTime};

/// How often the state of the pack is looked at for the coverage.
const LOOK: Duration = Duration::from_secs(30);
/// The signals that the coverage reads.
const CURRENT: &str = "Vehicle.Powertrain.TractionBattery.CurrentCurrent";
const CHARGE: &str = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current";
const CELSIUS: &str = "Vehicle.Powertrain.TractionBattery.Temperature.Probe1";
/// Subjects whose scores are kept for a plot.
const MAX_CURVES: usize = 6;

/// What a worker has to run scenarios with: a catalog, and models that it uses again and again.
pub struct Workshop {
    catalog: Arc<Catalog>,
    models: Vec<Shared>,
}

/// A model of which each scenario's pipeline gets the use.
struct Shared {
    loaded: LoadedModel,
    model: Arc<Mutex<Box<dyn Model>>>,
}

/// The use of a model.
struct Lent(Arc<Mutex<Box<dyn Model>>>);

impl Model for Lent {
    fn infer(&mut self, input: &[i8], output: &mut [i8]) -> Result<(), String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).infer(input, output)
    }

    fn forget(&mut self, subject: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).forget(subject);
    }

    fn is_warm(&self, subject: usize) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_warm(subject)
    }
}

/// A verdict's change.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) at_s: f64,
    pub(super) at_cloud_s: Option<f64>,
    pub(super) model: String,
    pub(super) subject: String,
    pub(super) verdict: Word,
    pub(super) score: f32,
    pub(super) departure: Option<Departure>,
}

/// A subject's scores over the drive, in seconds and 0 to 1.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub(super) subject: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// What came of a scenario.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub(super) events: Vec<Event>,
    pub(super) curves: Vec<Curve>,
    pub(super) broken: Vec<String>,
    /// Inputs of models that drifted at some time.
    pub(super) drifted: BTreeSet<String>,
    pub(super) delivered: Delivered,
    /// What was counted.
    pub counts: Counts,
    /// Over every record, in order: what must not differ between two runs or machines.
    pub digest: Digest,
    /// What it went through.
    pub coverage: Coverage,
    /// How it falls short; nothing if it passed.
    pub failures: Vec<Failure>,
    /// Simulated time.
    pub simulated: Duration,
    /// Real time.
    pub took: Duration,
}

/// Why a scenario could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The vehicle.
    #[error("the vehicle cannot be simulated")]
    Spec(#[from] SpecError),
    /// The models.
    #[error("the models cannot be used")]
    Load(#[from] LoadError),
    /// The spool.
    #[error("the spool in memory cannot be opened")]
    Spool(#[from] OpenError),
}

impl Workshop {
    /// A workshop of a catalog and its models.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, models: Vec<LoadedModel>) -> Workshop {
        let shared = |mut loaded: LoadedModel| {
            let model = Arc::new(Mutex::new(std::mem::replace(&mut loaded.model, Box::new(Nobody))));
            Shared { loaded, model }
        };
        Workshop { catalog, models: models.into_iter().map(shared).collect() }
    }

    /// Runs a scenario to its end.
    ///
    /// # Errors
    /// [`RunError`]; falling short of what is expected is none.
    pub fn run(&self, scenario: &Scenario) -> Result<Outcome, RunError> {
        let began = Instant::now();
        let models = self.models.iter().map(Shared::lend).collect();
        let mut pipeline = Pipeline::new(&self.catalog, models, PipelineConfig::default())?;
        let mut vehicle = Vehicle::new(&scenario.spec, scenario.seed)?;
        let cloud = Cloud::new(scenario.link.clone(), scenario.seed)?;
        let mut watch = Watch::new(&pipeline, cloud, scenario);
        let start = WallTime(scenario.spec.start_unix_s * 1_000_000);
        pipeline.set_anchor(Some(ClockAnchor { mono: MonoTime(0), wall: start }));
        let mut outages = Outages::of(scenario);
        while let Some(frame) = vehicle.next_frame() {
            let at = frame.can.at;
            if outages.tell(at, &mut pipeline, frame.can.bus) {
                continue;
            }
            pipeline.handle_frame(&frame.can);
            watch.after(at, &mut pipeline);
        }
        let end = MonoTime(vehicle.elapsed().as_micros() as u64);
        pipeline.handle_timeout(end);
        pipeline.finish();
        watch.take(end, &mut pipeline);
        let mut outcome = watch.close(end, *pipeline.totals());
        outcome.coverage.close(&scenario.kinds);
        outcome.failures = failures(&scenario.expect, &scenario.may, scenario.drift.as_deref(), &outcome);
        (outcome.simulated, outcome.took) = (vehicle.elapsed(), began.elapsed());
        Ok(outcome)
    }
}

impl Outcome {
    /// How many verdicts changed.
    #[must_use]
    pub fn event_count(&self) -> usize {
        self.events.len()
    }
}

impl Shared {
    fn lend(&self) -> LoadedModel {
        let LoadedModel { manifest, digest, features, .. } = &self.loaded;
        let model = Box::new(Lent(Arc::clone(&self.model)));
        LoadedModel { manifest: manifest.clone(), digest: *digest, features: features.clone(), model }
    }
}

/// In the place of a model that is lent.
struct Nobody;

impl Model for Nobody {
    fn infer(&mut self, _: &[i8], _: &mut [i8]) -> Result<(), String> {
        Err("this model is lent".into())
    }
}

/// Times without a bus.
struct Outages {
    /// Bus, from, to, in microseconds, and whether it is down.
    windows: Vec<(BusId, u64, u64, bool)>,
}

impl Outages {
    fn of(scenario: &Scenario) -> Outages {
        let us = |seconds: f64| (seconds * 1e6) as u64;
        let window = |down: &super::file::BusDown| (BusId(down.bus), us(down.from_s), us(down.to_s), false);
        Outages { windows: scenario.bus_down.iter().map(window).collect() }
    }

    /// Tells the pipeline of buses that go and come; gives whether a frame of this bus is not heard now.
    fn tell(&mut self, at: MonoTime, pipeline: &mut Pipeline, bus: BusId) -> bool {
        let mut unheard = false;
        for (of, from, to, down) in &mut self.windows {
            let is_down = (*from..*to).contains(&at.as_micros());
            if std::mem::replace(down, is_down) != is_down {
                let event = if is_down { LinkEvent::Down } else { LinkEvent::Up };
                pipeline.handle_link(&LinkNews { at, bus: *of, event });
            }
            unheard |= is_down && *of == bus;
        }
        unheard
    }
}

/// Looks at what comes of the pipeline and carries it on.
struct Watch {
    cloud: Cloud,
    view: View,
    windows: u64,
    next_look: MonoTime,
    /// Places of the coverage's signals in the view.
    signals: [Option<usize>; 3],
    capacity_ah: f64,
    coverage: Coverage,
    events: Vec<(Event, Option<(telltale_wire::ids::Lane, telltale_wire::ids::Seq)>)>,
    curves: Vec<(usize, usize, Curve)>,
    digest: Vec<u8>,
    drifted: BTreeSet<String>,
}

impl Watch {
    fn new(pipeline: &Pipeline, cloud: Cloud, scenario: &Scenario) -> Watch {
        let outline = pipeline.outline();
        let place = |path: &str| outline.signals.iter().position(|signal| signal.vss == path);
        let mut curves = Vec::new();
        for (model, of) in outline.models.iter().enumerate() {
            for (subject, name) in of.subjects.iter().enumerate() {
                let is_expected = scenario.expect.iter().any(|expected| expected.subject == *name);
                if is_expected && curves.len() < MAX_CURVES {
                    curves.push((model, subject, Curve { subject: name.clone(), points: Vec::new() }));
                }
            }
        }
        Watch {
            cloud,
            view: View::with_room(outline),
            windows: 0,
            next_look: MonoTime(0),
            signals: [CELSIUS, CHARGE, CURRENT].map(place),
            capacity_ah: scenario.spec.pack.capacity_ah,
            coverage: Coverage::default(),
            events: Vec::new(),
            curves,
            digest: Vec::new(),
            drifted: BTreeSet::new(),
        }
    }

    /// After each frame.
    #[inline]
    fn after(&mut self, at: MonoTime, pipeline: &mut Pipeline) {
        self.take(at, pipeline);
        self.cloud.advance(at);
        let judged = pipeline.totals().windows != self.windows;
        if at >= self.next_look || judged {
            self.look(at, pipeline, judged);
        }
    }

    #[inline]
    fn take(&mut self, at: MonoTime, pipeline: &mut Pipeline) {
        while let Some(record) = pipeline.poll_record() {
            self.record(at, pipeline, &record);
        }
    }

    #[inline(never)]
    fn record(&mut self, at: MonoTime, pipeline: &Pipeline, record: &Record) {
        let key = self.cloud.append(pipeline.stamp(at), record);
        if let Ok(raw) = record.to_raw() {
            // Each record's digest, so that memory does not grow with the drive.
            let mut bytes = std::mem::take(&mut self.digest);
            bytes.extend(raw.kind.to_le_bytes());
            bytes.extend(&raw.body);
            self.digest = Digest::of(&bytes).to_hex().into_bytes();
        }
        if let Record::Verdict(verdict) = record {
            self.events.push((event(verdict), key));
        }
        if let Record::Drift(drift) = record {
            let drifted = drift.inputs.iter().filter(|input| input.severity != Severity::None);
            self.drifted.extend(drifted.map(|input| input.input.clone()));
        }
    }

    #[inline(never)]
    fn look(&mut self, at: MonoTime, pipeline: &Pipeline, judged: bool) {
        pipeline.look(at, &mut self.view);
        let at_s = at.as_micros() as f64 / 1e6;
        if judged {
            self.windows = self.view.totals.windows;
            for (model, subject, curve) in &mut self.curves {
                let held = self.view.models.get(*model).and_then(|model| model.subjects.get(*subject));
                if let Some(Ok(score)) = held.map(|held| held.score) {
                    curve.points.push((at_s, f64::from(score)));
                }
            }
        }
        if at < self.next_look {
            return;
        }
        // A vehicle that sleeps is not in operation.
        self.next_look = at.plus(LOOK);
        let value = |place: Option<usize>| self.view.signals.get(place?)?.value.ok();
        let [celsius, charge, current] = self.signals.map(value);
        if let (Some(celsius), Some(charge_percent), Some(current)) = (celsius, charge, current) {
            let moment = Moment { celsius, charge_percent, per_hour: current / self.capacity_ah };
            self.coverage.add(moment, LOOK.as_secs_f64());
        }
    }

    fn close(mut self, end: MonoTime, counts: Counts) -> Outcome {
        let delivered = self.cloud.finish(end);
        let arrived = |(mut event, key): (Event, Option<_>)| {
            let at = key.and_then(|key| self.cloud.stored_at(key));
            event.at_cloud_s = at.map(|at| at.as_micros() as f64 / 1e6);
            event
        };
        let events = self.events.into_iter().map(arrived).collect();
        Outcome {
            events,
            curves: self.curves.into_iter().map(|(_, _, curve)| curve).collect(),
            broken: self.cloud.broken(),
            drifted: self.drifted,
            delivered,
            counts,
            digest: Digest::of(&self.digest),
            coverage: self.coverage,
            failures: Vec::new(),
            simulated: Duration::ZERO,
            took: Duration::ZERO,
        }
    }
}

fn event(verdict: &VerdictEvent) -> Event {
    Event {
        at_s: verdict.at.mono.as_micros() as f64 / 1e6,
        at_cloud_s: None,
        model: verdict.model.name.clone(),
        subject: verdict.subject.clone(),
        verdict: match verdict.verdict {
            VerdictCode::Nominal => Word::Nominal,
            VerdictCode::Anomalous => Word::Anomalous,
            VerdictCode::Indeterminate(_) => Word::Indeterminate,
        },
        score: verdict.score,
        departure: verdict.departure.as_ref().map(|departure| Departure::of(departure.kind)),
    }
}
