//! From stored records to the lines of a report.
//!
//! Texts come from vehicles and may be as long as a record: they are clipped here, so that no page grows with them.
//! Markup in them is the pages' concern.

use crate::report::{
    AgentEventLine, BootLine, EvidenceLine, LossLine, MAX_SUBJECTS, ModelView, RangeLine, State, StatusLine,
    SubjectView, VerdictLine, When,
};
use std::collections::HashMap;
use telltale_wire::agent_event::{AgentChange, AgentEvent, ModelFault};
use telltale_wire::ids::{BootId, Lane};
use telltale_wire::record::{
    ABSENT, BootRecord, IndeterminateReason, LossRecord, LossStage, ModelRef, ModelSummary, NO_SCORE, Status,
    VerdictCode, VerdictEvent,
};
use telltale_wire::time::{Stamp, WallTime};

/// The longest name that is shown, in characters.
const NAME: usize = 80;
/// The longest sentence that is shown, in characters.
const SENTENCE: usize = 300;
/// The most evidence of one event that is shown.
const EVIDENCE: usize = 16;
/// A score byte of this stands for 1.
const FULL_SCORE: f32 = 250.0;

/// Where a record stands, and when it came.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) boot: BootId,
    pub(super) seq: u64,
    pub(super) received: i64,
}

pub(super) fn time(unix_us: i64) -> String {
    WallTime(unix_us).to_string()
}

/// `2026-11-22 02:10 UTC`, for sentences.
pub(super) fn minute(unix_us: i64) -> String {
    let time = time(unix_us);
    time.get(..16).map_or_else(|| time.clone(), |minute| format!("{} UTC", minute.replace('T', " ")))
}

pub(super) fn verdict(event: &VerdictEvent, origin: Origin) -> VerdictLine {
    let (verdict, reason) = match event.verdict {
        VerdictCode::Nominal => (State::Nominal, None),
        VerdictCode::Anomalous => (State::Anomalous, None),
        VerdictCode::Indeterminate(reason) => (State::Indeterminate, Some(reason.as_str())),
    };
    VerdictLine {
        when: when(event.at, origin.received),
        since: when(event.since, origin.received),
        received: time(origin.received),
        boot: origin.boot.to_string(),
        seq: origin.seq,
        model: clip(&event.model.name, NAME),
        digest: event.model.digest.to_string(),
        subject: clip(&event.subject, NAME),
        verdict,
        reason,
        score: finite(event.score),
        confidence: finite(event.confidence),
        evidence: event.evidence.iter().take(EVIDENCE).map(evidence).collect(),
        departure: event.departure.as_ref().map(|departure| departure.kind.as_str()),
        numbers: event.departure.iter().flat_map(|d| d.numbers.iter().take(EVIDENCE).map(evidence)).collect(),
    }
}

fn evidence(evidence: &telltale_wire::record::Evidence) -> EvidenceLine {
    EvidenceLine {
        what: clip(&evidence.what, NAME),
        value: finite(evidence.value),
        reference: finite(evidence.reference),
        unit: evidence.unit.symbol(),
    }
}

/// A model's subjects one by one. `reasons` says why a subject is indeterminate, where an event said so.
pub(super) fn model(
    summary: &ModelSummary,
    to: Stamp,
    received: i64,
    reasons: &HashMap<(String, String), IndeterminateReason>,
) -> ModelView {
    let prefix = clip(&summary.prefix, NAME);
    let model = clip(&summary.model.name, NAME);
    let count = summary.deviation.len().max(summary.score.len()).min(MAX_SUBJECTS);
    let subjects = (0..count)
        .map(|index| {
            let name = subject_name(&prefix, index);
            let reason = reasons.get(&(model.clone(), name.clone())).map(|reason| reason.as_str());
            subject(summary, index, name, reason)
        })
        .collect();
    ModelView {
        digest: summary.model.digest.to_string(),
        when: when(to, received),
        reference: finite(summary.reference),
        unit: summary.unit.symbol(),
        model,
        subjects,
        history: Vec::new(),
    }
}

/// `Cell` and 0 give `Cell1`.
pub(super) fn subject_name(prefix: &str, index: usize) -> String {
    format!("{prefix}{}", index + 1)
}

fn subject(summary: &ModelSummary, index: usize, name: String, reason: Option<&'static str>) -> SubjectView {
    let deviation_milli = summary.deviation.get(index).copied().filter(|milli| *milli != ABSENT);
    let score = score(summary, index);
    let anomalous = summary.anomalous.iter().any(|subject| usize::from(*subject) == index);
    let state = match (anomalous, score, deviation_milli) {
        (true, _, _) => State::Anomalous,
        (false, Some(_), _) => State::Nominal,
        (false, None, Some(_)) => State::Indeterminate,
        (false, None, None) => State::NoData,
    };
    let reason = if score.is_none() { reason } else { None };
    SubjectView { name, state, reason, deviation_milli, score }
}

/// A subject's score, 0 to 1, if the model gave one.
pub(super) fn score(summary: &ModelSummary, index: usize) -> Option<f32> {
    let byte = summary.score.get(index).copied().filter(|byte| *byte != NO_SCORE)?;
    Some((f32::from(byte) / FULL_SCORE).min(1.0))
}

pub(super) fn loss(loss: &LossRecord, origin: Origin) -> LossLine {
    let (stage, of) = stage(loss.stage);
    let range = loss.range.map(|lost| range(lost.boot, lost.lane.name(), (lost.first.0, lost.last.0)));
    let why = clip(&loss.why, SENTENCE);
    LossLine { when: when(loss.at, origin.received), stage, count: loss.count, of, range, why }
}

/// Where something was lost, and what.
pub(super) const fn stage(stage: LossStage) -> (&'static str, &'static str) {
    match stage {
        LossStage::Receive => ("receive", "frames"),
        LossStage::Channel => ("channel", "records"),
        LossStage::SpoolCap => ("spool cap", "records"),
        LossStage::SpoolCorrupt => ("spool corrupt", "records"),
        LossStage::SpoolWrite => ("spool write", "records"),
        LossStage::Refused => ("refused", "records"),
        LossStage::Bridge => ("bridge", "frames"),
        LossStage::Budget => ("budget", "records"),
        LossStage::Snapshot => ("snapshot", "snapshots"),
    }
}

pub(super) fn range(boot: BootId, lane: &'static str, span: (u64, u64)) -> RangeLine {
    RangeLine { boot: boot.to_string(), lane, first: span.0, last: span.1 }
}

pub(super) fn boot(boot: &BootRecord, origin: Origin) -> BootLine {
    let named = |model: &ModelRef| format!("{} {}", clip(&model.name, NAME), model.digest);
    BootLine {
        boot: origin.boot.to_string(),
        when: when(boot.at, origin.received),
        agent_version: clip(&boot.agent_version, NAME),
        catalog: boot.catalog.to_hex(),
        models: boot.models.iter().take(EVIDENCE).map(named).collect(),
    }
}

/// What happened to the agent, in words.
pub(super) fn agent_event(event: &AgentEvent, origin: Origin) -> AgentEventLine {
    let named = |model: &ModelRef| clip(&model.name, NAME);
    let (what, why, is_fault) = match &event.change {
        AgentChange::Reloaded { models, .. } => {
            let names: Vec<String> = models.iter().take(EVIDENCE).map(named).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            (format!("configuration reloaded, models: {names}"), None, false)
        }
        AgentChange::ReloadRefused { why } => {
            ("reload refused, the configuration before goes on".to_owned(), Some(why), true)
        }
        AgentChange::ModelIsolated { model, fault, failures, retry_after_s, why } => {
            let model = named(model);
            let how = match fault {
                ModelFault::NoOutput => "no output",
                ModelFault::NotFinite => "an output that is no number",
                ModelFault::TooSlow => "too slow",
            };
            let what = format!(
                "{model} switched off after {failures} failures in a row ({how}), tried again in {retry_after_s} s"
            );
            (what, Some(why), true)
        }
        AgentChange::ModelResumed { model } => (format!("{} runs again", named(model)), None, false),
    };
    AgentEventLine {
        when: when(event.at, origin.received),
        boot: origin.boot.to_string(),
        what,
        why: why.map(|why| clip(why, SENTENCE)),
        is_fault,
    }
}

pub(super) fn status(status: &Status, origin: Origin) -> StatusLine {
    StatusLine {
        when: when(status.at, origin.received),
        boot: origin.boot.to_string(),
        totals: status.totals,
        spool_bytes: status.spool_bytes,
        pss_bytes: Some(status.pss_bytes).filter(|bytes| *bytes > 0),
    }
}

/// The name of a lane as it is stored.
pub(super) fn lane(index: i64) -> &'static str {
    u8::try_from(index).ok().and_then(Lane::from_index).map_or("unknown", Lane::name)
}

pub(super) fn when(stamp: Stamp, received: i64) -> When {
    let (unix_us, clock) = stamp.wall.map_or((received, "received"), |wall| (wall.0, "vehicle"));
    When { at: time(unix_us), clock, mono_s: stamp.mono.0 as f64 / 1e6, unix_us }
}

pub(super) fn finite(value: f32) -> Option<f32> {
    Some(value).filter(|value| value.is_finite())
}

/// The name as it is shown, and compared by.
pub(super) fn clip_name(name: &str) -> String {
    clip(name, NAME)
}

/// A sentence as it is shown.
pub(super) fn clip_sentence(text: &str) -> String {
    clip(text, SENTENCE)
}

fn clip(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use telltale_wire::digest::ShortDigest;
    use telltale_wire::time::MonoTime;
    use telltale_wire::unit::Unit;

    fn summary() -> ModelSummary {
        ModelSummary {
            model: ModelRef { name: "cell-fault".into(), digest: ShortDigest([1; 8]) },
            unit: Unit::Volt,
            reference: 3.9,
            deviation: vec![-2, -80, ABSENT, 4],
            score: vec![10, 240, NO_SCORE, NO_SCORE],
            anomalous: vec![1],
            prefix: "Cell".into(),
        }
    }

    fn view(summary: &ModelSummary) -> ModelView {
        let reason = IndeterminateReason::WarmingUp;
        let reasons = HashMap::from([(("cell-fault".to_owned(), "Cell4".to_owned()), reason)]);
        model(summary, Stamp { mono: MonoTime(0), wall: None }, 5, &reasons)
    }

    #[test]
    fn absence_is_neither_zero_nor_nominal() {
        let cells = view(&summary()).subjects;
        let states: Vec<_> = cells.iter().map(|cell| cell.state).collect();
        assert_eq!(states, [State::Nominal, State::Anomalous, State::NoData, State::Indeterminate]);
        assert_eq!((cells[2].deviation_milli, cells[2].score), (None, None));
        assert_eq!((cells[3].name.as_str(), cells[3].reason), ("Cell4", Some("warming up")));
    }

    #[test]
    fn a_vehicle_cannot_make_a_page_grow_without_bound() {
        let mut wide = summary();
        wide.prefix = "é".repeat(30_000);
        wide.score = vec![0; 30_000];
        let cells = view(&wide).subjects;
        assert_eq!(cells.len(), MAX_SUBJECTS);
        assert!(cells[0].name.chars().count() < 90);
    }

    #[test]
    fn a_time_says_whose_clock_it_is() {
        let known = Stamp { mono: MonoTime(1_500_000), wall: Some(WallTime(0)) };
        let line = when(known, 9);
        assert_eq!((line.at.as_str(), line.clock, line.mono_s), ("1970-01-01T00:00:00.000Z", "vehicle", 1.5));
        let unknown = when(Stamp { wall: None, ..known }, 1_000_000);
        assert_eq!((unknown.at.as_str(), unknown.clock), ("1970-01-01T00:00:01.000Z", "received"));
    }
}
