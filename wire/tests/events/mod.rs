//! The records of what happens to the agent, of updates and of commands: each number tells where it stands.

use super::{AT, Case, EARLY, model, record};
use telltale_wire::agent_event::{AgentChange, AgentEvent, ModelFault};
use telltale_wire::command::{CommandAck, CommandOutcome};
use telltale_wire::digest::Digest;
use telltale_wire::record::Record;
use telltale_wire::update::*;

/// A change that is missing below does not compile.
pub(super) fn agent_events() -> impl Iterator<Item = Case> {
    let label = |change: &AgentChange| match change {
        AgentChange::Reloaded { .. } => "agent-reloaded",
        AgentChange::ReloadRefused { .. } => "agent-reload-refused",
        AgentChange::ModelIsolated { .. } => "agent-model-isolated",
        AgentChange::ModelResumed { .. } => "agent-model-resumed",
    };
    let (fault, why) = (ModelFault::TooSlow, "900 ms".to_owned());
    let changes = vec![
        AgentChange::Reloaded { catalog: Digest(core::array::from_fn(|i| i as u8)), models: vec![model()] },
        AgentChange::ReloadRefused { why: "line 3".into() },
        AgentChange::ModelIsolated { model: model(), fault, failures: 300, retry_after_s: 600, why },
        AgentChange::ModelResumed { model: model() },
    ];
    let case = move |change| record(label(&change), Record::Agent(AgentEvent { at: AT, change }));
    changes.into_iter().map(case)
}

fn bundle() -> Digest {
    Digest(core::array::from_fn(|i| 255 - i as u8))
}

pub(super) fn updates() -> Vec<Case> {
    let event = |step, reason, why: &str| {
        Record::Update(UpdateEvent {
            at: AT,
            family: "cell-fault".into(),
            release: 300,
            version: "1.4.0".into(),
            bundle: bundle(),
            step,
            reason,
            why: why.into(),
        })
    };
    let ran = |first: u64| RunFigures {
        inferences: first,
        no_output: first + 1,
        not_finite: first + 2,
        too_slow: first + 3,
        p50_us: first as u32 + 4,
        p99_us: first as u32 + 5,
        max_us: first as u32 + 6,
    };
    let shadow = ShadowReport {
        from: EARLY,
        to: AT,
        family: "cell-fault".into(),
        release: 300,
        bundle: bundle(),
        reference: model(),
        is_trial: true,
        windows: 1,
        compared: 2,
        disagreements: Disagreements {
            only_candidate_anomalous: 3,
            only_reference_anomalous: 4,
            only_candidate_undecided: 5,
            only_reference_undecided: 6,
        },
        widest_gap: 0.25,
        candidate: ran(7),
        reference_ran: ran(70_000),
    };
    let ack = CommandAck {
        at: AT,
        desired_state: 300,
        id: u64::MAX,
        outcome: CommandOutcome::Expired,
        why: "at 09:00".into(),
    };
    vec![
        record("update-trial", event(UpdateStep::Trial, None, "")),
        record(
            "update-rolled-back",
            event(UpdateStep::RolledBack, Some(UpdateReason::Disagrees), "9 of 100"),
        ),
        record("shadow", Record::Shadow(shadow)),
        record("command", Record::Command(ack)),
    ]
}
