//! Updates of models over the air, as the vehicle tells of them: each step that one takes, and how a new model did
//! beside the old one.

use crate::digest::Digest;
use crate::record::ModelRef;
use crate::time::Stamp;
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// An update of a model family took a step.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct UpdateEvent {
    /// When.
    pub at: Stamp,
    /// The model family, such as `cell-fault`.
    pub family: String,
    /// The release counter of the bundle; 0 for the model that the configuration names.
    pub release: u32,
    /// The bundle's version text, such as `1.4.0`.
    pub version: String,
    /// The digest of the bundle's index; all zero for the model that the configuration names.
    pub bundle: Digest,
    /// The step that was taken.
    pub step: UpdateStep,
    /// Why, for steps that have a reason: back, refused.
    pub reason: Option<UpdateReason>,
    /// A sentence for a person; empty where the step says all.
    pub why: String,
}

/// The steps of an update, in the order in which they are taken. Append only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum UpdateStep {
    /// Signed metadata offers the bundle, and it fits this vehicle.
    Offered,
    /// Its chunks are being fetched.
    Downloading,
    /// All of it is held, verified.
    Staged,
    /// It gave its golden outputs on this machine, within its budgets.
    SelfTested,
    /// It runs beside the active model and decides nothing.
    Shadow,
    /// It is active on trial; the model before is kept loaded.
    Trial,
    /// It is the active model from now on.
    Committed,
    /// The model before is active again.
    RolledBack,
    /// It is not taken; the active model was not touched.
    Refused,
    /// The family stays at this release until it is unpinned.
    Pinned,
    /// The family follows what is offered again.
    Unpinned,
    /// What was held of the release is deleted, and the release is no longer held to be bad.
    Forgotten,
}

impl UpdateStep {
    /// All of them, in encoding order.
    pub const ALL: [UpdateStep; 12] = [
        Self::Offered,
        Self::Downloading,
        Self::Staged,
        Self::SelfTested,
        Self::Shadow,
        Self::Trial,
        Self::Committed,
        Self::RolledBack,
        Self::Refused,
        Self::Pinned,
        Self::Unpinned,
        Self::Forgotten,
    ];

    /// A few words for a person.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Downloading => "downloading",
            Self::Staged => "staged",
            Self::SelfTested => "self-tested",
            Self::Shadow => "in shadow",
            Self::Trial => "on trial",
            Self::Committed => "committed",
            Self::RolledBack => "rolled back",
            Self::Refused => "refused",
            Self::Pinned => "pinned",
            Self::Unpinned => "unpinned",
            Self::Forgotten => "forgotten",
        }
    }
}

impl fmt::Display for UpdateStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an update was refused or rolled back. Append only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum UpdateReason {
    /// It is not made for this hardware.
    OtherHardware,
    /// It needs a newer agent.
    AgentTooOld,
    /// It was trained on another feature specification than the one that it brings.
    OtherFeatures,
    /// The vehicle's catalog lacks a signal that it needs.
    CatalogLacks,
    /// Its release is not above the one that was committed.
    NotNewer,
    /// It failed on this vehicle before.
    KnownBad,
    /// The family is pinned.
    Pinned,
    /// An update of the family is not confirmed yet.
    Unconfirmed,
    /// Metadata, index or a chunk is not what was signed.
    NotVerified,
    /// It could not be fetched within its budget of time and attempts.
    NotFetched,
    /// The disk does not take it.
    NoSpace,
    /// What is held of it on disk is damaged.
    Damaged,
    /// The model can't be loaded.
    NotLoadable,
    /// It does not give its golden outputs on this machine.
    GoldenDiffers,
    /// It takes longer than its budget.
    TooSlow,
    /// It takes more memory than its budget.
    TooLarge,
    /// It gave no output: an error, or a panic that was caught at its door.
    NoOutput,
    /// It gave an output that is no number.
    NotFinite,
    /// It differs from the model before in more verdicts than it may.
    Disagrees,
    /// The agent ended during its trial as often as it may.
    AttemptsUsed,
    /// A person or the cloud asked for it.
    Asked,
    /// The cloud offers another release, or none.
    Withdrawn,
    /// The vehicle's configuration has no model of the family, and does not name it as one that may come.
    NotConfigured,
    /// It is not sealed, and this vehicle takes sealed ones only.
    NotSealed,
    /// It is sealed, and this vehicle has no sealing key.
    NoSealingKey,
    /// It is sealed, and the director brings no content key for this vehicle.
    NoContentKey,
    /// Its content key was wrapped for another sealing key than this vehicle's.
    OtherSealingKey,
    /// Its wrapped content key does not open, or is not the one that the bundle is sealed with.
    WrongContentKey,
    /// A chunk that is the one that was signed for does not open.
    NotOpened,
}

impl UpdateReason {
    /// All of them, in encoding order.
    pub const ALL: [UpdateReason; 29] = [
        Self::OtherHardware,
        Self::AgentTooOld,
        Self::OtherFeatures,
        Self::CatalogLacks,
        Self::NotNewer,
        Self::KnownBad,
        Self::Pinned,
        Self::Unconfirmed,
        Self::NotVerified,
        Self::NotFetched,
        Self::NoSpace,
        Self::Damaged,
        Self::NotLoadable,
        Self::GoldenDiffers,
        Self::TooSlow,
        Self::TooLarge,
        Self::NoOutput,
        Self::NotFinite,
        Self::Disagrees,
        Self::AttemptsUsed,
        Self::Asked,
        Self::Withdrawn,
        Self::NotConfigured,
        Self::NotSealed,
        Self::NoSealingKey,
        Self::NoContentKey,
        Self::OtherSealingKey,
        Self::WrongContentKey,
        Self::NotOpened,
    ];

    /// A few words for a person.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OtherHardware => "not for this hardware",
            Self::AgentTooOld => "needs a newer agent",
            Self::OtherFeatures => "trained on another feature specification",
            Self::CatalogLacks => "the catalog lacks a signal",
            Self::NotNewer => "not newer than what was committed",
            Self::KnownBad => "failed here before",
            Self::Pinned => "the family is pinned",
            Self::Unconfirmed => "another update is not confirmed yet",
            Self::NotVerified => "not what was signed",
            Self::NotFetched => "could not be fetched",
            Self::NoSpace => "no space",
            Self::Damaged => "damaged on disk",
            Self::NotLoadable => "can't be loaded",
            Self::GoldenDiffers => "golden outputs differ",
            Self::TooSlow => "too slow",
            Self::TooLarge => "too much memory",
            Self::NoOutput => "no output",
            Self::NotFinite => "an output that is no number",
            Self::Disagrees => "disagrees with the model before",
            Self::AttemptsUsed => "trial attempts used up",
            Self::Asked => "asked for",
            Self::Withdrawn => "withdrawn",
            Self::NotConfigured => "the vehicle has no model of the family",
            Self::NotSealed => "not sealed",
            Self::NoSealingKey => "the vehicle has no sealing key",
            Self::NoContentKey => "no content key for this vehicle",
            Self::OtherSealingKey => "wrapped for another sealing key",
            Self::WrongContentKey => "not its content key",
            Self::NotOpened => "does not open",
        }
    }
}

impl fmt::Display for UpdateReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a candidate did beside the model that it is to replace, on the same windows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ShadowReport {
    /// Start of the span: the shadow's, or the trial's.
    pub from: Stamp,
    /// End of the span.
    pub to: Stamp,
    /// The model family.
    pub family: String,
    /// The candidate's release counter.
    pub release: u32,
    /// The digest of the candidate's bundle index.
    pub bundle: Digest,
    /// The last known good model, which it is compared with.
    pub reference: ModelRef,
    /// Whether the candidate was the active one (trial) or the one beside it (shadow).
    pub is_trial: bool,
    /// Windows that both judged.
    pub windows: u64,
    /// Verdicts compared: one a window and subject.
    pub compared: u64,
    /// Verdicts that differ, by kind.
    pub disagreements: Disagreements,
    /// The greatest difference of two scores of the same subject and window, 0 to 1.
    pub widest_gap: f32,
    /// How the candidate ran.
    pub candidate: RunFigures,
    /// How the reference ran.
    pub reference_ran: RunFigures,
}

/// Verdicts that differ. Each compared pair is counted once at the most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Disagreements {
    /// Anomalous by the candidate, nominal by the reference.
    pub only_candidate_anomalous: u64,
    /// Anomalous by the reference, nominal by the candidate.
    pub only_reference_anomalous: u64,
    /// Indeterminate by the candidate, decided by the reference.
    pub only_candidate_undecided: u64,
    /// Indeterminate by the reference, decided by the candidate.
    pub only_reference_undecided: u64,
}

impl Disagreements {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.only_candidate_anomalous
            .saturating_add(self.only_reference_anomalous)
            .saturating_add(self.only_candidate_undecided)
            .saturating_add(self.only_reference_undecided)
    }
}

/// How a model ran. Latencies are those of one inference over all subjects, in microseconds, and quantiles of them
/// are stated no finer than a bucket of an eighth of their size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RunFigures {
    /// Inferences.
    pub inferences: u64,
    /// Of those: gave no output, by an error or a panic.
    pub no_output: u64,
    /// Of those: gave an output that is no number.
    pub not_finite: u64,
    /// Of those: overran the agent's limit.
    pub too_slow: u64,
    /// Median latency.
    pub p50_us: u32,
    /// 99th percentile of the latency.
    pub p99_us: u32,
    /// The longest.
    pub max_us: u32,
}
