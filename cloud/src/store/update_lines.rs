//! What a vehicle tells of updates and commands, in words, as lines among the events of its agent.

use super::lines::{Origin, clip_name, clip_sentence, when};
use crate::report::AgentEventLine;
use telltale_wire::command::{CommandAck, CommandOutcome};
use telltale_wire::time::Stamp;
use telltale_wire::update::{RunFigures, ShadowReport, UpdateEvent, UpdateStep};

/// A step of an update.
pub(super) fn step(event: &UpdateEvent, origin: Origin) -> AgentEventLine {
    let reason = event.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let which = match event.release {
        0 => format!("the configured model {}", clip_name(&event.version)),
        release => format!("release {release}, version {}", clip_name(&event.version)),
    };
    let what = format!("{}: {which}: {}{reason}", clip_name(&event.family), event.step);
    let is_fault = matches!(event.step, UpdateStep::RolledBack | UpdateStep::Refused);
    line(event.at, origin, what, &event.why, is_fault)
}

/// How a candidate did so far.
pub(super) fn shadow(report: &ShadowReport, origin: Origin) -> AgentEventLine {
    let ran = |ran: &RunFigures| {
        let failed = ran.no_output.saturating_add(ran.not_finite).saturating_add(ran.too_slow);
        format!(
            "{failed} of {} runs failed, median {} us, longest {} us",
            ran.inferences, ran.p50_us, ran.max_us
        )
    };
    let place = if report.is_trial { "on trial" } else { "in shadow" };
    let what = format!(
        "{}: release {} {place}: {} of {} verdicts differ in {} windows",
        clip_name(&report.family),
        report.release,
        report.disagreements.total(),
        report.compared,
        report.windows,
    );
    let why =
        format!("the new one: {}; the one before: {}", ran(&report.candidate), ran(&report.reference_ran));
    line(report.to, origin, what, &why, false)
}

/// What became of a command.
pub(super) fn command(ack: &CommandAck, origin: Origin) -> AgentEventLine {
    let what = format!("command {} of desired state {}: {}", ack.id, ack.desired_state, ack.outcome);
    line(ack.at, origin, what, &ack.why, ack.outcome != CommandOutcome::Done)
}

fn line(at: Stamp, origin: Origin, what: String, why: &str, is_fault: bool) -> AgentEventLine {
    AgentEventLine {
        when: when(at, origin.received),
        boot: origin.boot.to_string(),
        what,
        why: (!why.is_empty()).then(|| clip_sentence(why)),
        is_fault,
    }
}
