//! What the intrusion model thinks of each bus: a row a second, its score, and the same life of verdicts as the others'.

use super::event::{Told, event, since_stamp};
use super::mind::{Outcome, UNSEEN};
use super::scorer::Scorer;
use super::view::{ModelOutline, ModelView, SubjectView};
use super::{LoadError, Pipeline};
use crate::catalog::Catalog;
use crate::feature::FeatureTable;
use crate::frame::CanFrame;
use crate::intrusion::{Detector, Profile, Rule, SecondSpec, Seconds, family};
use crate::model::{Manifest, Model, Reading};
use crate::signal::NoData;
use crate::verdict::{Change, Judge};
use std::sync::Arc;
use telltale_wire::digest::Digest;
use telltale_wire::record::{IndeterminateReason, ModelRef, Record, VerdictCode};
use telltale_wire::time::MonoTime;

/// A model that watches buses, with the profile that it watches them by.
pub struct LoadedIntrusion {
    /// What it says of itself.
    pub manifest: Manifest,
    /// The digest over its files and the profile.
    pub digest: Digest,
    /// Its feature specification.
    pub features: SecondSpec,
    /// What runs it.
    pub model: Box<dyn Model>,
    /// The vehicle type's clean traffic.
    pub profile: Profile,
}

/// The detector, the model behind it and its judge.
pub(super) struct Watch {
    reference: ModelRef,
    version: String,
    subjects: Vec<String>,
    detector: Detector,
    features: SecondSpec,
    scorer: Scorer,
    rule: Rule,
    judge: Judge,
    table: FeatureTable,
    /// One bus's row.
    row: Vec<f32>,
    standing: Vec<SubjectView>,
    latest: Option<MonoTime>,
}

impl Pipeline {
    /// Lets a model watch the buses of its profile, beside the other models.
    ///
    /// # Errors
    /// [`LoadError`] if the profile or the specification does not fit.
    pub fn watch_buses(&mut self, loaded: LoadedIntrusion, catalog: &Catalog) -> Result<(), LoadError> {
        let buses: Vec<String> = catalog.buses.iter().map(|bus| bus.name.clone()).collect();
        let watch = Watch::new(loaded, &buses)?;
        Arc::make_mut(&mut self.outline).models.push(watch.outline());
        self.watch = Some(Box::new(watch));
        Ok(())
    }
}

impl Watch {
    fn new(loaded: LoadedIntrusion, buses: &[String]) -> Result<Watch, LoadError> {
        let LoadedIntrusion { manifest, digest, features, model, profile } = loaded;
        let found = features.digest.to_hex();
        if manifest.features_digest != found {
            let expected = manifest.features_digest.clone();
            return Err(LoadError::OtherFeatures { model: manifest.name, expected, found });
        }
        let decision = match &manifest.reading {
            Reading::Anomaly { regime, .. } if !regime.is_empty() => {
                let feature = regime[0].feature.clone();
                return Err(LoadError::StrangeBound { model: manifest.name, feature });
            }
            Reading::Anomaly { decision, residual: None, .. } => *decision,
            Reading::Anomaly { .. } | Reading::Estimate(_) => {
                return Err(LoadError::NoVerdict { model: manifest.name });
            }
        };
        let Some(rule) = manifest.rule else {
            return Err(LoadError::NoRule { model: manifest.name });
        };
        let detector = Detector::new(&profile, buses)?;
        let subjects: Vec<String> = detector.subjects().map(Into::into).collect();
        let (channels, n) = (features.features.len(), subjects.len());
        let reference = manifest.reference(&digest);
        Ok(Watch {
            version: manifest.version.clone(),
            scorer: Scorer::plain(reference.clone(), manifest, model, channels, n),
            reference,
            rule,
            judge: Judge::new(decision, n),
            table: FeatureTable::new(channels, n),
            row: vec![0.0; channels],
            standing: vec![UNSEEN; n],
            latest: None,
            subjects,
            detector,
            features,
        })
    }

    pub(super) const fn reference(&self) -> &ModelRef {
        &self.reference
    }

    fn outline(&self) -> ModelOutline {
        ModelOutline {
            model: self.reference.clone(),
            version: self.version.clone(),
            subjects: self.subjects.clone(),
            inputs: Vec::new(),
        }
    }

    pub(super) fn look(&self, view: &mut ModelView) {
        view.window = self.latest;
        view.isolation = self.scorer.isolation;
        view.subjects.clear();
        view.estimates.clear();
        view.subjects.extend_from_slice(&self.standing);
    }

    #[inline]
    pub(super) fn saw(&mut self, frame: &CanFrame) {
        self.detector.saw(frame);
    }

    /// When the second under way ends; `None` before the first frame.
    pub(super) const fn next_deadline(&self) -> Option<MonoTime> {
        self.detector.next_deadline()
    }

    /// Whether there is a second to end, or the first to begin.
    #[inline]
    pub(super) fn is_due(&self, now: MonoTime) -> bool {
        self.next_deadline().is_none_or(|due| due <= now)
    }

    /// Ends the seconds that are over at `now` and judges them. They are not counted as windows: those are of signals.
    pub(super) fn advance(&mut self, now: MonoTime, outcome: &mut Outcome<'_>) {
        let Watch { detector, features, scorer, rule, judge, table, row, standing, .. } = self;
        detector.advance(now, |end, seconds: &Seconds<'_>| {
            self.latest = Some(end);
            for (subject, second) in seconds.heard() {
                second.row(features, row);
                for (channel, value) in row.iter().enumerate() {
                    table.set(channel, subject, *value, *value);
                }
                let state = if second.is_judged() { Ok(()) } else { Err(NoData::NotReceived) };
                table.set_state(subject, state, None);
            }
            outcome.records.extend(scorer.score(end, table, outcome.anchor));
            for (subject, second) in seconds.heard() {
                // The rule sees a single frame too many, the network what is a little odd in many ways; where the
                // network gave nothing, the rule has the word alone.
                let score = match scorer.scores[subject] {
                    _ if !second.is_judged() => Err(IndeterminateReason::WarmingUp),
                    Err(IndeterminateReason::ModelFailed) => Ok(rule.score(second)),
                    score => score.map(|score| score.max(rule.score(second))),
                };
                let judgement = judge.judge(subject, end, score);
                standing[subject] = SubjectView {
                    score,
                    verdict: judgement.verdict,
                    kind: None,
                    since: judge
                        .is_anomalous(subject)
                        .then(|| since_stamp(judge.since(subject), outcome.anchor)),
                };
                let name = &self.subjects[subject];
                if let Some(id) = second.misfit() {
                    // What the bus does is no news any more: it is the profile that is out of date.
                    let reason = IndeterminateReason::OutsideTrainingRegime;
                    let verdict = VerdictCode::Indeterminate(reason);
                    let change = Change { verdict, since: end, since_wall: None };
                    let evidence = vec![family::no_longer_fits(id)];
                    let told = Told { change, score: None, at: end, evidence, departure: None };
                    let event = event(&self.reference, name, told, outcome.anchor);
                    outcome.records.push_back(Record::Verdict(event));
                }
                let Some(change) = judgement.change else { continue };
                let evidence = match change.verdict {
                    VerdictCode::Anomalous => family::evidence(second),
                    _ => Vec::new(),
                };
                let told = Told { change, score: score.ok(), at: end, evidence, departure: None };
                let event = event(&self.reference, name, told, outcome.anchor);
                outcome.records.push_back(Record::Verdict(event));
            }
        });
    }
}
