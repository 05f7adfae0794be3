//! One inference for all subjects: quantize, run, calibrate, and what becomes of a model that fails.

use super::isolation::{ISOLATE_AFTER, Isolation};
use super::latency::Runs;
use super::stamp;
use crate::clock::ClockAnchor;
use crate::feature::FeatureTable;
use crate::feature::spec::FeatureSpec;
use crate::model::{Calibration, Manifest, Model, Reading};
use crate::regime::Regime;
use crate::residual::Comparer;
use std::time::Duration;
use telltale_wire::agent_event::{AgentChange, AgentEvent, ModelFault};
use telltale_wire::record::{IndeterminateReason, ModelRef, Record};
use telltale_wire::time::MonoTime;

/// A model and the scores of its latest window.
pub(super) struct Scorer {
    reference: ModelRef,
    pub(super) manifest: Manifest,
    regime: Regime,
    /// Of a model that foretells a feature.
    residual: Option<(Comparer, Calibration)>,
    model: Box<dyn Model>,
    input: Vec<i8>,
    output: Vec<i8>,
    trial: Vec<i8>,
    pub(super) scores: Vec<Result<f32, IndeterminateReason>>,
    pub(super) isolation: Isolation,
    /// From one window to the next, where windows follow each other on a grid.
    spacing: Option<Duration>,
    /// The end of the latest window that it ran on.
    latest: Option<MonoTime>,
    /// Somebody has switched it off.
    pub(super) is_off: bool,
    /// The runs since the model was last compared anew.
    pub(super) runs: Runs,
}

/// How a run went.
enum Run {
    Well,
    /// There are scores, but they came too late.
    Slow(Duration),
    Failed(ModelFault, String),
    /// The model is switched off.
    Off,
}

impl Scorer {
    pub(super) fn new(
        reference: ModelRef,
        manifest: Manifest,
        mut model: Box<dyn Model>,
        regime: Regime,
        features: &FeatureSpec,
        subjects: usize,
    ) -> Scorer {
        // Others may have run it, in a test or in another pipeline.
        (0..subjects).for_each(|subject| model.forget(subject));
        let residual = match &manifest.reading {
            Reading::Anomaly { residual: Some(residual), calibration, .. } => {
                Comparer::new(residual.clone(), features).map(|comparer| (comparer, *calibration))
            }
            _ => None,
        };
        Scorer {
            reference,
            manifest,
            regime,
            residual,
            model,
            input: vec![0; features.features.len() * subjects],
            output: vec![0; subjects],
            trial: vec![0; subjects],
            scores: Vec::with_capacity(subjects),
            isolation: Isolation::default(),
            spacing: features.charge.is_none().then(|| features.period * features.stride as u32),
            latest: None,
            is_off: false,
            runs: Runs::new(),
        }
    }

    /// One of a model whose features no specification of signals describes.
    pub(super) fn plain(
        reference: ModelRef,
        manifest: Manifest,
        mut model: Box<dyn Model>,
        channels: usize,
        subjects: usize,
    ) -> Scorer {
        (0..subjects).for_each(|subject| model.forget(subject));
        Scorer {
            reference,
            manifest,
            regime: Regime::default(),
            residual: None,
            model,
            input: vec![0; channels * subjects],
            output: vec![0; subjects],
            scores: Vec::with_capacity(subjects),
            isolation: Isolation::default(),
            is_off: false,
            spacing: None,
            latest: None,
            trial: vec![0; subjects],
            runs: Runs::new(),
        }
    }

    /// Fills `scores` for the window that ended at `at`; a record if the model was switched off by it or came back.
    pub(super) fn score(
        &mut self,
        at: MonoTime,
        table: &FeatureTable,
        anchor: Option<ClockAnchor>,
    ) -> Option<Record> {
        if self.latest.zip(self.spacing).is_some_and(|(latest, spacing)| at.since(latest) != spacing) {
            self.forget_all();
        }
        self.latest = Some(at);
        let run = if !self.is_off && self.isolation.lets_run(at) { self.run(table) } else { Run::Off };
        self.note(&run);
        self.scores.clear();
        let failed = matches!(run, Run::Failed(..) | Run::Off);
        if failed {
            self.forget_all();
        }
        for (subject, q) in self.output.iter().enumerate() {
            let score = match table.state(subject) {
                Err(why) => {
                    // The sample that just went in was none.
                    self.model.forget(subject);
                    Err(why.reason())
                }
                Ok(()) if failed => Err(IndeterminateReason::ModelFailed),
                Ok(()) if !self.regime.holds(table, subject) => {
                    Err(IndeterminateReason::OutsideTrainingRegime)
                }
                Ok(()) if !self.model.is_warm(subject) => Err(IndeterminateReason::WarmingUp),
                Ok(()) => Ok(self.read(table, subject, *q)),
            };
            self.scores.push(score);
        }
        let change = self.settle(at, run)?;
        Some(Record::Agent(AgentEvent { at: stamp(at, anchor), change }))
    }

    /// The score that an output stands for.
    fn read(&self, table: &FeatureTable, subject: usize, q: i8) -> f32 {
        match &self.residual {
            None => self.manifest.read(q),
            Some((comparer, calibration)) => {
                let output = self.manifest.output.dequantize(q);
                calibration.probability(comparer.logit(table, subject, output))
            }
        }
    }

    /// The feature that the latest output of a subject foretells, by its channel, and what it foretells.
    pub(super) fn foretold(&self, table: &FeatureTable, subject: usize) -> Option<(usize, f32)> {
        let (comparer, _) = self.residual.as_ref()?;
        let output = self.manifest.output.dequantize(*self.output.get(subject)?);
        Some((comparer.channel(), comparer.foretold(table, subject, output)))
    }

    /// What a model with a history holds ends at a gap between windows and where it did not run.
    fn forget_all(&mut self) {
        (0..self.output.len()).for_each(|subject| self.model.forget(subject));
    }

    /// What one feature of a subject adds to the output of the latest window: the output less what it would be with this
    /// value, as the model takes it, in its place. Costs one inference; 0 if that fails, and for a model with a history,
    /// which takes each input for the next sample.
    pub(super) fn weight_of(&mut self, channel: usize, subject: usize, usual: f32) -> f32 {
        let place = channel * self.output.len() + subject;
        let Some(seen) = self.input.get(place).copied().filter(|_| self.manifest.history.is_none()) else {
            return 0.0;
        };
        self.input[place] = self.manifest.input.quantize(usual);
        let ran = self.model.infer(&self.input, &mut self.trial);
        self.input[place] = seen;
        match ran {
            Ok(()) => {
                let logit = |q: i8| self.manifest.output.dequantize(q);
                logit(self.output[subject]) - logit(self.trial[subject])
            }
            Err(_) => 0.0,
        }
    }

    fn note(&mut self, run: &Run) {
        let fault = match run {
            Run::Off => return,
            Run::Well => None,
            Run::Slow(_) => Some(ModelFault::TooSlow),
            Run::Failed(fault, _) => Some(*fault),
        };
        self.runs.note(fault, self.model.took());
    }

    fn run(&mut self, table: &FeatureTable) -> Run {
        for (q, x) in self.input.iter_mut().zip(table.normalised()) {
            *q = self.manifest.input.quantize(*x);
        }
        if let Err(why) = self.model.infer(&self.input, &mut self.output) {
            return Run::Failed(ModelFault::NoOutput, why);
        }
        if let Some(q) = self.output.iter().find(|q| !self.manifest.read(**q).is_finite()) {
            return Run::Failed(
                ModelFault::NotFinite,
                format!("the logit {q} is no number as a probability"),
            );
        }
        self.model.overran().map_or(Run::Well, Run::Slow)
    }

    /// Notes how it went, in the log and for the next window.
    fn settle(&mut self, at: MonoTime, run: Run) -> Option<AgentChange> {
        let name = &self.reference.name;
        let (fault, why) = match run {
            Run::Off => return None,
            Run::Well => {
                return self.isolation.note_success().then(|| {
                    log::info!("model {name} runs again");
                    AgentChange::ModelResumed { model: self.reference.clone() }
                });
            }
            Run::Slow(took) => {
                self.isolation.slow += 1;
                (ModelFault::TooSlow, format!("it took {} ms for one window", took.as_millis()))
            }
            Run::Failed(fault, why) => (fault, why),
        };
        let off = self.isolation.note_failure(at);
        let failures = self.isolation.in_a_row;
        match off {
            None if failures < ISOLATE_AFTER => log::error!("model {name}: {why}"),
            None => log::warn!("model {name} was tried again and stays off: {why}"),
            Some(_) => {
                log::error!("model {name} failed {failures} times in a row and is switched off: {why}")
            }
        }
        let retry_after_s = off?.as_secs() as u32;
        Some(AgentChange::ModelIsolated {
            model: self.reference.clone(),
            fault,
            failures,
            retry_after_s,
            why,
        })
    }
}
