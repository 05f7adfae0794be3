//! Two models of a family on the same windows: one speaks, the other is beside it, and what they say is compared. So
//! a candidate runs in shadow before it speaks, and so the model before it stays warm while the candidate is on trial.

use super::Watcher;
use super::appraisal::Estimate;
use std::time::Duration;
use telltale_wire::digest::ShortDigest;
use telltale_wire::record::VerdictCode;
use telltale_wire::time::MonoTime;
use telltale_wire::update::{Disagreements, RunFigures};

/// The longest that two windows lie apart and the time between them still counts as watched: a vehicle that sleeps
/// watches nothing.
const LONGEST_STEP: Duration = Duration::from_secs(15 * 60);

/// How a candidate does beside the model that it is to replace, since the two began.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Comparison {
    /// The start of the candidate's digest.
    pub candidate: ShortDigest,
    /// The start of the other's.
    pub reference: ShortDigest,
    /// Whether the candidate is the one that speaks.
    pub is_trial: bool,
    /// Windows in which at least one of them held a verdict, after both had seen enough to do so.
    pub windows: u64,
    /// Verdicts compared: one a window and subject, unless neither held one.
    pub compared: u64,
    /// Those that differ.
    pub disagreements: Disagreements,
    /// The greatest difference of two scores of a subject, or of two estimates; 0 to 1.
    pub widest_gap: f32,
    /// How long both have been watched, by the windows' time.
    pub ran: Duration,
    /// How the candidate ran.
    pub candidate_ran: RunFigures,
    /// How the reference ran.
    pub reference_ran: RunFigures,
}

/// Two watchers by their place, and what came of them so far.
pub(super) struct Duet {
    pub(super) speaker: usize,
    pub(super) beside: usize,
    /// The place of each of the candidate's subjects among the reference's.
    pairs: Vec<Option<usize>>,
    /// So many windows each has to have judged before its verdicts are held against the other's.
    settled_after: u64,
    comparison: Comparison,
    latest: Option<MonoTime>,
}

impl Duet {
    pub(super) fn new(watchers: &[Watcher], speaker: usize, beside: usize, is_trial: bool) -> Duet {
        let (candidate, reference) = if is_trial { (speaker, beside) } else { (beside, speaker) };
        let (candidate, reference) = (&watchers[candidate].mind, &watchers[reference].mind);
        let place = |name: &str| reference.subject_names().position(|other| other == name);
        // An estimate is said once, and holds: there is nothing to warm up.
        let judges = candidate.estimates().is_none();
        let settled_after = u64::from(candidate.enter_of().max(reference.enter_of()));
        Duet {
            speaker,
            beside,
            pairs: candidate.subject_names().map(place).collect(),
            settled_after: if judges { settled_after } else { 0 },
            comparison: Comparison {
                candidate: candidate.reference().digest,
                reference: reference.reference().digest,
                is_trial,
                ..Comparison::default()
            },
            latest: None,
        }
    }

    /// What came of it so far.
    pub(super) fn comparison(&self, watchers: &[Watcher]) -> Comparison {
        let (candidate, reference) = self.sides();
        let figures =
            |place: usize| watchers.get(place).map_or_else(RunFigures::default, |w| w.mind.figures());
        Comparison { candidate_ran: figures(candidate), reference_ran: figures(reference), ..self.comparison }
    }

    /// Goes on with what the same two, in the same roles, had come to in another pipeline; whether they are the same.
    pub(super) fn inherit(&mut self, before: &Duet) -> bool {
        let roles = |c: &Comparison| (c.candidate, c.reference, c.is_trial);
        let is_same = roles(&self.comparison) == roles(&before.comparison);
        if is_same {
            (self.comparison, self.latest) = (before.comparison, before.latest);
        }
        is_same
    }

    const fn sides(&self) -> (usize, usize) {
        if self.comparison.is_trial { (self.speaker, self.beside) } else { (self.beside, self.speaker) }
    }

    /// Compares what both hold, if the candidate has judged a window since the last time.
    pub(super) fn compare(&mut self, watchers: &[Watcher]) {
        let (candidate, reference) = self.sides();
        let (Some(candidate), Some(reference)) = (watchers.get(candidate), watchers.get(reference)) else {
            return;
        };
        let Some(at) = candidate.mind.latest_window().filter(|at| Some(*at) != self.latest) else { return };
        let step = self.latest.map_or(Duration::ZERO, |before| at.since(before));
        self.latest = Some(at);
        self.comparison.ran += step.min(LONGEST_STEP);
        let judged = candidate.mind.windows().min(reference.mind.windows());
        if judged < self.settled_after {
            return;
        }
        let before = self.comparison.compared;
        if let (Some(new), Some(held)) = (candidate.mind.estimates(), reference.mind.estimates()) {
            for (new, place) in new.iter().zip(&self.pairs) {
                let Some(old) = place.and_then(|place| held.get(place)) else { continue };
                self.comparison.note_estimates(new, old);
            }
        }
        let held = reference.mind.standing();
        for (new, place) in candidate.mind.standing().iter().zip(&self.pairs) {
            let Some(old) = place.and_then(|place| held.get(place)) else { continue };
            // Where neither can say anything, as on a silent bus, they do not agree on anything either.
            if let (VerdictCode::Indeterminate(_), VerdictCode::Indeterminate(_)) = (new.verdict, old.verdict)
            {
                continue;
            }
            self.comparison.compared += 1;
            count(&mut self.comparison.disagreements, new.verdict, old.verdict);
            if let (Ok(new), Ok(old)) = (new.score, old.score) {
                self.comparison.widest_gap = self.comparison.widest_gap.max((new - old).abs());
            }
        }
        self.comparison.windows += u64::from(self.comparison.compared > before);
    }
}

impl Comparison {
    /// Compares what two models estimate of a subject. They disagree where the candidate's value lies outside the
    /// reference's interval: the one that states less counts as the one that finds an anomaly.
    fn note_estimates(&mut self, new: &Estimate, old: &Estimate) {
        let differ = &mut self.disagreements;
        match (new, old) {
            (Err(_), Err(_)) => return,
            (Err(_), Ok(_)) => differ.only_candidate_undecided += 1,
            (Ok(_), Err(_)) => differ.only_reference_undecided += 1,
            (Ok(new), Ok(old)) => {
                self.widest_gap = self.widest_gap.max((new.value - old.value).abs().min(1.0));
                differ.only_candidate_anomalous += u64::from(new.value < old.low);
                differ.only_reference_anomalous += u64::from(new.value > old.high);
            }
        }
        self.compared += 1;
    }
}

fn count(counts: &mut Disagreements, new: VerdictCode, old: VerdictCode) {
    use VerdictCode::{Anomalous, Indeterminate, Nominal};
    match (new, old) {
        (Nominal, Nominal) | (Anomalous, Anomalous) | (Indeterminate(_), Indeterminate(_)) => {}
        (Anomalous, Nominal) => counts.only_candidate_anomalous += 1,
        (Nominal, Anomalous) => counts.only_reference_anomalous += 1,
        (Indeterminate(_), _) => counts.only_candidate_undecided += 1,
        (_, Indeterminate(_)) => counts.only_reference_undecided += 1,
    }
}
