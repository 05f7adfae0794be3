//! What one model thinks of one window: score, judge, and say why.

use super::appraisal::{Appraisal, Estimate};
use super::event::{Told, event, since_stamp};
use super::evidence::{self, Witness};
use super::keepsake::Kept;
use super::kinds::Kinds;
use super::loaded::{LoadError, LoadedModel};
use super::scorer::Scorer;
use super::stamp;
use super::stretch::Stretch;
use super::view::{ModelOutline, ModelView, SubjectView};
use crate::catalog::Catalog;
use crate::clock::ClockAnchor;
use crate::departure::Moment;
use crate::drift::{Conditions, Drift};
use crate::feature::spec::{Feature, FeatureSpec};
use crate::feature::{Extractor, FeatureTable, Window};
use crate::model::Reading;
use crate::regime::{self, Regime};
use crate::rules::{self, Limits};
use crate::statistics::Scores;
use crate::verdict::{Change, Judge};
use std::collections::VecDeque;
use telltale_wire::digest::{Digest, ShortDigest};
use telltale_wire::drift::DriftRecord;
use telltale_wire::record::{
    Counts, Evidence, IndeterminateReason, ModelRef, ModelSummary, Record, VerdictCode, VerdictEvent,
};
use telltale_wire::signals::Series;
use telltale_wire::time::{MonoTime, Stamp, WallTime};
use telltale_wire::unit::Unit;
use telltale_wire::update::RunFigures;

/// A subject before its first window.
pub(super) const UNSEEN: SubjectView = SubjectView {
    score: Err(IndeterminateReason::WarmingUp),
    verdict: VerdictCode::Indeterminate(IndeterminateReason::WarmingUp),
    kind: None,
    since: None,
};

/// Where a window's consequences go.
pub(super) struct Outcome<'a> {
    pub(super) counts: &'a mut Counts,
    pub(super) records: &'a mut VecDeque<Record>,
    pub(super) anchor: Option<ClockAnchor>,
}

/// A model, its judge and the rules beside it.
pub(super) struct Mind {
    reference: ModelRef,
    scorer: Scorer,
    judge: Judge,
    /// Of a model that estimates. Such a model judges nothing.
    appraisal: Option<Appraisal>,
    features: Vec<Feature>,
    subjects: Vec<Subject>,
    prefix: String,
    limits: Limits,
    limits_judge: Judge,
    limits_subjects: Vec<Subject>,
    limits_reference: ModelRef,
    given: Scores,
    /// What the latest window left, for whoever looks on.
    standing: Vec<SubjectView>,
    latest_window: Option<MonoTime>,
    /// Windows so far in which there was something to judge.
    windows: u64,
    summary: Stretch,
    witness: Witness,
    kinds: Kinds,
    /// Of a model whose manifest states what it was trained on.
    drift: Option<Drift>,
    /// Verdicts so far that changed.
    changes: u64,
}

struct Subject {
    name: String,
    path: String,
    unit: Unit,
}

impl Mind {
    pub(super) fn new(
        loaded: LoadedModel,
        extractor: &Extractor,
        catalog: &Catalog,
    ) -> Result<Mind, LoadError> {
        let LoadedModel { manifest, digest, features, model } = loaded;
        let found = features.digest.to_hex();
        if manifest.features_digest != found {
            let expected = manifest.features_digest.clone();
            return Err(LoadError::OtherFeatures { model: manifest.name, expected, found });
        }
        let n = extractor.layout().members();
        let (decision, appraisal, bounds, stranger) = match &manifest.reading {
            Reading::Anomaly { decision, regime, residual, .. } => {
                let foretold = residual.as_ref().and_then(|residual| residual.stranger(&features));
                (*decision, None, regime.as_slice(), regime::stranger(regime, &features).or(foretold))
            }
            Reading::Estimate(estimation) => {
                let appraisal = Appraisal::new(estimation, &features, n);
                (rules::DECISION, Some(appraisal), &[][..], estimation.stranger(&features))
            }
        };
        let stranger = stranger.or_else(|| manifest.drift.as_ref()?.stranger(&features));
        if let Some(feature) = stranger.map(str::to_owned) {
            return Err(LoadError::StrangeBound { model: manifest.name, feature });
        }
        let regime = Regime::new(bounds, &features);
        let layout = extractor.layout();
        let subjects: Vec<Subject> = extractor
            .subjects()
            .iter()
            .zip(layout.signals())
            .map(|(name, id)| {
                let signal = &catalog.signals[id.index()];
                Subject { name: name.clone(), path: signal.vss.clone(), unit: signal.unit }
            })
            .collect();
        let limits = Limits::new(layout, catalog);
        let limits_subjects = limits
            .rules()
            .iter()
            .map(|rule| {
                let signal = &catalog.signals[rule.signal.index()];
                let name = subjects.get(rule.slot).map_or_else(|| signal.vss.clone(), |s| s.name.clone());
                Subject { name, path: signal.vss.clone(), unit: signal.unit }
            })
            .collect::<Vec<_>>();
        Ok(Mind {
            scorer: Scorer::new(manifest.reference(&digest), manifest.clone(), model, regime, &features, n),
            reference: manifest.reference(&digest),
            judge: Judge::new(decision, n),
            appraisal,
            prefix: prefix(&features),
            given: Scores::new(),
            standing: vec![UNSEEN; n],
            latest_window: None,
            windows: 0,
            summary: Stretch::new(n),
            witness: Witness::new(n),
            kinds: Kinds::new(&features, n),
            drift: manifest.drift.clone().map(|reference| Drift::new(reference, &features, catalog)),
            changes: 0,
            limits_judge: Judge::new(rules::DECISION, limits_subjects.len()),
            limits_reference: ModelRef { name: rules::MODEL_NAME.into(), digest: ShortDigest([0; 8]) },
            features: features.features,
            limits,
            limits_subjects,
            subjects,
        })
    }

    pub(super) const fn reference(&self) -> &ModelRef {
        &self.reference
    }

    /// Verdicts so far that changed.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// What is to outlive a restart; `None` of a model that judges nothing.
    pub(super) fn keep(&self, features: Digest, wall: &dyn Fn(MonoTime) -> Option<WallTime>) -> Option<Kept> {
        if self.appraisal.is_some() {
            return None;
        }
        Some(Kept {
            model: self.reference.digest,
            features,
            name: self.reference.name.clone(),
            latest: self.latest_window.map_or(self.kinds.remembered(), wall),
            tracks: self.judge.keep(wall),
            kinds: self.kinds.told().to_vec(),
            trends: self.kinds.trends().to_vec(),
            drift: self.drift.as_ref().map_or_else(Vec::new, |drift| drift.sketches().to_vec()),
        })
    }

    /// Goes on from what an earlier start kept; false, and nothing of it is taken, if it is of another form.
    pub(super) fn recall(&mut self, kept: Kept) -> bool {
        let n = self.subjects.len();
        let fits = kept.kinds.len() == n
            && self.kinds.fits(&kept.trends)
            && self.judge.fits(&kept.tracks)
            && self.drift.as_mut().is_none_or(|drift| drift.recall(kept.drift));
        if !fits {
            return false;
        }
        self.judge.recall(&kept.tracks);
        self.kinds.recall(kept.kinds, kept.trends, kept.latest);
        for (subject, standing) in self.standing.iter_mut().enumerate() {
            if self.judge.is_anomalous(subject) {
                let since = self.judge.since(subject);
                *standing = SubjectView {
                    verdict: VerdictCode::Anomalous,
                    kind: self.kinds.told()[subject],
                    since: Some(Stamp { mono: since.0, wall: since.1 }),
                    ..UNSEEN
                };
            }
        }
        true
    }

    pub(super) fn outline(&self) -> ModelOutline {
        ModelOutline {
            model: self.reference.clone(),
            version: self.scorer.manifest.version.clone(),
            subjects: self.subjects.iter().map(|subject| subject.name.clone()).collect(),
            inputs: self.drift.iter().flat_map(|drift| drift.names().map(str::to_owned)).collect(),
        }
    }

    /// What is held of each subject.
    pub(super) fn standing(&self) -> &[SubjectView] {
        &self.standing
    }

    /// The end of the latest window.
    pub(super) const fn latest_window(&self) -> Option<MonoTime> {
        self.latest_window
    }

    /// Windows so far in which there was something to judge.
    pub(super) const fn windows(&self) -> u64 {
        self.windows
    }

    /// What it judges, in order.
    pub(super) fn subject_names(&self) -> impl Iterator<Item = &str> {
        self.subjects.iter().map(|subject| subject.name.as_str())
    }

    /// Over how many windows it forms a verdict.
    pub(super) const fn enter_of(&self) -> u8 {
        self.judge.enter_of()
    }

    /// How the model ran since the figures were last cleared.
    pub(super) fn figures(&self) -> RunFigures {
        self.scorer.runs.figures()
    }

    /// Lets the model run, or not.
    pub(super) const fn set_off(&mut self, is_off: bool) {
        self.scorer.is_off = is_off;
    }

    /// What is estimated of each subject, by a model that estimates.
    pub(super) fn estimates(&self) -> Option<&[Estimate]> {
        self.appraisal.as_ref().map(Appraisal::held)
    }

    pub(super) fn clear_figures(&mut self) {
        self.scorer.runs.clear();
    }

    pub(super) fn look(&self, view: &mut ModelView) {
        view.window = self.latest_window;
        view.isolation = self.scorer.isolation;
        view.subjects.clear();
        view.estimates.clear();
        view.drift.clear();
        view.drift.extend(self.drift.iter().flat_map(Drift::standings));
        match &self.appraisal {
            None => view.subjects.extend_from_slice(&self.standing),
            Some(appraisal) => view.estimates.extend_from_slice(appraisal.held()),
        }
    }

    /// Evaluates a window: the model on every subject, the limits on every signal that has some.
    pub(super) fn think(
        &mut self,
        window: &Window,
        table: &FeatureTable,
        conditions: &impl Conditions,
        outcome: &mut Outcome<'_>,
    ) {
        outcome.counts.windows += 1;
        let at = window.end();
        self.latest_window = Some(at);
        self.windows += u64::from((0..self.subjects.len()).any(|subject| table.state(subject).is_ok()));
        outcome.records.extend(self.scorer.score(at, table, outcome.anchor));
        let when = stamp(at, outcome.anchor);
        if let Some(drift) = &mut self.drift {
            let inputs = drift.note(table, &self.scorer.scores, conditions);
            if !inputs.is_empty() {
                let model = self.reference.clone();
                outcome.records.push_back(Record::Drift(DriftRecord { at: when, model, inputs }));
            }
        }
        if let Some(appraisal) = &mut self.appraisal {
            let told_by = (&self.reference, self.prefix.as_str());
            let record = appraisal.appraise(at, table, &self.scorer.scores, told_by, outcome.anchor);
            outcome.records.push_back(Record::Estimate(record));
            return;
        }
        self.check_limits(window, outcome);
        self.witness.begin();
        self.kinds.note(window, Moment { mono: at, wall: when.wall });
        self.summary.windows += 1;
        self.summary.reference = table.reference();
        for subject in 0..self.subjects.len() {
            self.think_of(subject, at, table, outcome);
        }
    }

    fn think_of(&mut self, subject: usize, at: MonoTime, table: &FeatureTable, outcome: &mut Outcome<'_>) {
        let score = self.scorer.scores[subject];
        self.given.add(score);
        self.summary.note(subject, table, score);
        let judgement = self.judge.judge(subject, at, score);
        let verdict = self.standing_verdict(subject, judgement.verdict);
        match verdict {
            VerdictCode::Nominal => outcome.counts.nominal += 1,
            VerdictCode::Anomalous => outcome.counts.anomalous += 1,
            VerdictCode::Indeterminate(_) => outcome.counts.indeterminate += 1,
        }
        self.changes += u64::from(judgement.change.is_some());
        let revised = judgement.change.is_none() && self.kinds.is_revised(subject, judgement.verdict);
        let since = self.judge.since(subject);
        let change = match judgement.change {
            None if revised => {
                Some(Change { verdict: judgement.verdict, since: since.0, since_wall: since.1 })
            }
            change => change,
        };
        if let Some(change) = change {
            let evidence = self.evidence(subject, table, change.verdict);
            let departure = self.kinds.tell(subject, change.verdict);
            let told = Told { change, score: score.ok(), at, evidence, departure };
            let event = event(&self.reference, &self.subjects[subject].name, told, outcome.anchor);
            outcome.records.push_back(Record::Verdict(event));
        }
        let is_held = self.judge.is_anomalous(subject);
        self.standing[subject] = SubjectView {
            score,
            verdict,
            kind: self.kinds.told()[subject],
            since: is_held.then(|| since_stamp(since, outcome.anchor)),
        };
    }

    /// What the stretch since the last call looked like; `None` if no window fell into it.
    pub(super) fn take_summary(&mut self) -> Option<ModelSummary> {
        let stretch = &mut self.summary;
        if std::mem::take(&mut stretch.windows) == 0 {
            return None;
        }
        let anomalous =
            (0..self.subjects.len()).filter(|s| self.judge.is_anomalous(*s)).map(|s| s as u16).collect();
        let summary = ModelSummary {
            model: self.reference.clone(),
            unit: self.subjects.first().map_or(Unit::None, |s| s.unit),
            reference: stretch.reference,
            deviation: stretch.deviation.clone(),
            score: stretch.best.clone(),
            anomalous,
            prefix: self.prefix.clone(),
        };
        stretch.clear();
        Some(summary)
    }

    /// What the scores of a stretch of so many steps came to.
    pub(super) fn take_scores(&mut self, steps: u32) -> Series {
        self.given.take(steps)
    }

    /// The model's verdict; where the model itself failed, the limits stand in for it.
    fn standing_verdict(&self, subject: usize, verdict: VerdictCode) -> VerdictCode {
        match verdict {
            VerdictCode::Indeterminate(IndeterminateReason::ModelFailed) => {
                match self.limits.rules().iter().position(|rule| rule.slot == subject) {
                    Some(rule) if self.limits_judge.is_anomalous(rule) => VerdictCode::Anomalous,
                    Some(_) => VerdictCode::Nominal,
                    None => verdict,
                }
            }
            known => known,
        }
    }

    fn check_limits(&mut self, window: &Window, outcome: &mut Outcome<'_>) {
        let at = window.end();
        for (place, rule) in self.limits.rules().iter().enumerate() {
            let finding = rule.check(window);
            let score = finding.map(|f| f.score).map_err(|why| why.reason());
            let judgement = self.limits_judge.judge(place, at, score);
            let Some(change) = judgement.change else { continue };
            // That a signal is gone is told once, by the model that needs it.
            if matches!(change.verdict, VerdictCode::Indeterminate(_)) {
                continue;
            }
            let subject = &self.limits_subjects[place];
            let evidence =
                finding.iter().map(|f| evidence::of_limit(&subject.path, subject.unit, f)).collect();
            let told = Told { change, score: score.ok(), at, evidence, departure: None };
            let event = event(&self.limits_reference, &subject.name, told, outcome.anchor);
            // A limit is crossed or it is not: there is nothing to be unsure of.
            let event = VerdictEvent { confidence: 1.0, ..event };
            outcome.records.push_back(Record::Verdict(event));
        }
    }

    /// The subject's value against the pack's, then the features that the verdict rests on.
    fn evidence(&mut self, subject: usize, table: &FeatureTable, verdict: VerdictCode) -> Vec<Evidence> {
        let described = &self.subjects[subject];
        if table.state(subject).is_err() {
            return Vec::new();
        }
        let mut evidence = vec![Evidence {
            what: described.path.clone(),
            value: table.level(subject),
            reference: table.reference(),
            unit: described.unit,
        }];
        if let Some((channel, foretold)) = self.scorer.foretold(table, subject) {
            evidence.push(Evidence {
                what: self.features[channel].name.clone(),
                value: table.physical_at(channel, subject),
                reference: foretold,
                unit: evidence::unit_of(&self.features[channel].op, described.unit),
            });
        }
        if verdict == VerdictCode::Anomalous {
            let (features, unit) = (&self.features, described.unit);
            evidence.extend(self.witness.testify(subject, table, features, unit, &mut self.scorer));
        }
        evidence
    }
}

/// What stands before the number in the subjects' names.
fn prefix(spec: &FeatureSpec) -> String {
    spec.members.subject.split(crate::feature::spec::PLACEHOLDER).next().unwrap_or_default().to_owned()
}
