//! What the agent tells of itself: one document, as `telltale status --json` prints it. The keys are append only,
//! because scripts read them.

use crate::trips::{ConditionFacts, RangeFacts, TripFacts};
use crate::update::UpdateFacts;
#[cfg(feature = "workbench")]
use serde::Deserialize;
use serde::Serialize;

/// Everything that is known at one moment.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct StatusReport {
    /// Who answers.
    pub agent: AgentFacts,
    /// How the capture loop fares.
    pub capture: CaptureFacts,
    /// The buses.
    pub buses: Vec<BusFacts>,
    /// The signals of the catalog.
    pub signals: Vec<SignalFacts>,
    /// The models.
    pub models: Vec<ModelFacts>,
    /// Where the updates of models stand; empty without an `[update]`.
    #[serde(default)]
    pub updates: Vec<UpdateFacts>,
    /// Trips.
    #[serde(default)]
    pub trip: TripFacts,
    /// The range, as of the end of the latest trip; absent before, and where it is not estimated.
    #[serde(default)]
    pub range: Option<RangeFacts>,
    /// The condition of the drive; empty where it is not followed.
    #[serde(default)]
    pub condition: Vec<ConditionFacts>,
    /// What commands of the cloud have switched off.
    #[serde(default)]
    pub switched_off: Vec<String>,
    /// The durable store; absent if its thread has ended.
    pub spool: Option<SpoolFacts>,
    /// The uplink; absent if none is configured.
    pub uplink: Option<UplinkFacts>,
    /// Memory of the process.
    pub memory: MemoryFacts,
}

/// Who answers.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct AgentFacts {
    /// The vehicle.
    pub vehicle: String,
    /// The agent's version.
    pub version: String,
    /// The boot, as records name it.
    pub boot: String,
    /// Its process.
    pub pid: u32,
    /// Since its start, in seconds.
    pub uptime_s: f64,
    /// The catalog's digest, in hexadecimal.
    pub catalog: String,
}

/// How the capture loop fares.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct CaptureFacts {
    /// `running`, or why there is nothing new: the numbers below are the latest that were seen then.
    pub state: String,
    /// The moment of the numbers, on the frames' clock: RFC 3339, or `+seconds` where the wall time is unknown.
    pub at: Option<String>,
    /// Frames read; each of them is in exactly one of the four fields that follow.
    pub frames: u64,
    /// Gave at least one signal of the catalog.
    pub decoded: u64,
    /// Described by a DBC file, not asked for by the catalog.
    pub filtered: u64,
    /// Described by no DBC file.
    pub unknown: u64,
    /// Too short for their message, remote or error frames.
    pub malformed: u64,
    /// Signal values.
    pub samples: u64,
    /// Frames lost before they could be read.
    pub lost: u64,
    /// Windows judged.
    pub windows: u64,
    /// Verdicts, one a window and subject.
    pub nominal: u64,
    /// Likewise.
    pub anomalous: u64,
    /// Likewise.
    pub indeterminate: u64,
    /// Frames a second of the frames' clock, since the look before this one; absent where time stood still.
    pub frames_per_s: Option<f64>,
    /// Signal values a second, likewise.
    pub samples_per_s: Option<f64>,
    /// From the kernel's time of the frame that completed a window to its scores; absent before the first. Of a log it
    /// says nothing.
    #[cfg_attr(feature = "workbench", serde(default))]
    pub score_latency: Option<LatencyFacts>,
}

/// A distribution of latencies.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct LatencyFacts {
    /// How many were measured since the start.
    pub count: u64,
    /// The median in microseconds, told an eighth too high at the most.
    pub p50_us: u64,
    /// The 99th percentile, likewise.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// A bus.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct BusFacts {
    /// Its name in the catalog.
    pub name: String,
    /// The interface that it is on.
    pub interface: String,
    /// Frames read from it.
    pub frames: u64,
    /// Frames a second.
    pub frames_per_s: Option<f64>,
    /// `active`, `error warning`, `error passive`, `bus-off`, `interface down`, `interface absent` or `not heard yet`.
    pub state: String,
    /// For how long it has been in that state, in seconds; absent while it is not known.
    pub state_for_s: Option<f64>,
    /// Its nominal bitrate in bit/s, as the catalog states it or by default.
    pub bitrate: u32,
    /// How much of the time it is busy, 0 to 1, since the look before this one; absent where time stood still.
    pub load: Option<f64>,
    /// Since its latest frame, in seconds; absent before the first.
    pub frame_age_s: Option<f64>,
    /// Error frames read.
    pub error_frames: u64,
    /// The controller's error counters; absent where it does not tell.
    pub tx_errors: Option<u16>,
    /// Likewise.
    pub rx_errors: Option<u16>,
    /// Frames that the controller or its driver lost since the interface was made; absent where the kernel does not tell.
    /// What was lost after that is in `capture.lost`: the buses share that buffer.
    pub lost: Option<u64>,
}

/// A signal.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct SignalFacts {
    /// Its VSS path.
    pub signal: String,
    /// Its latest value, however old, in single precision where a model uses it; absent if its latest sample had none.
    pub value: Option<f64>,
    /// Of the value.
    pub unit: String,
    /// Why there is no value, or why it is not to be used.
    pub absent: Option<String>,
    /// Since its latest value, in seconds; absent if there was none.
    pub age_s: Option<f64>,
}

/// A model.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct ModelFacts {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The start of its digest, in hexadecimal.
    pub digest: String,
    /// Since the end of its latest window, in seconds; absent before the first.
    pub window_age_s: Option<f64>,
    /// Runs that failed, slow ones included.
    pub failures: u64,
    /// Runs that took longer than they may.
    pub slow: u64,
    /// Switched off after failures, for so many seconds more.
    pub off_for_s: Option<f64>,
    /// What is held of each subject; empty for a model that estimates.
    pub subjects: Vec<SubjectFacts>,
    /// What each subject was last estimated to have; empty for a model that judges.
    pub estimates: Vec<EstimateFacts>,
    /// The drift of each input over each horizon; empty without a reference.
    #[cfg_attr(feature = "workbench", serde(default))]
    pub drift: Vec<DriftFacts>,
}

/// What a subject is estimated to have.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct EstimateFacts {
    /// Its name.
    pub subject: String,
    /// The most likely value, a share.
    pub value: Option<f64>,
    /// The interval's lower end.
    pub low: Option<f64>,
    /// The interval's upper end.
    pub high: Option<f64>,
    /// Why there is no value.
    pub why: Option<String>,
}

/// What is held of a subject.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct SubjectFacts {
    /// Its name.
    pub subject: String,
    /// `nominal`, `anomalous` or `indeterminate`.
    pub verdict: String,
    /// The latest window's score, 0 to 1.
    pub score: Option<f64>,
    /// Why there is no score.
    pub why: Option<String>,
    /// In which way it departs from its peers, as it was told last; absent for one that does not.
    #[cfg_attr(feature = "workbench", serde(default))]
    pub departure: Option<String>,
    /// Since when it is held to be anomalous.
    #[cfg_attr(feature = "workbench", serde(default))]
    pub since: Option<String>,
}

/// How far an input of a model has come from what the model was trained on.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct DriftFacts {
    /// The feature, the signals or `score`.
    pub input: String,
    /// `fast` or `slow`.
    pub horizon: String,
    /// `none`, `moderate` or `severe`; absent until the horizon is full.
    pub severity: Option<String>,
    /// The population stability index against the training.
    pub index: f64,
    /// The share beyond everything that training saw.
    pub outside: f64,
}

/// The durable store.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct SpoolFacts {
    /// Its folder.
    pub dir: String,
    /// Durable records that wait for an acknowledgement.
    pub waiting: u64,
    /// Records that are not durable yet.
    pub pending: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Records appended since the start.
    pub appended: u64,
    /// Records counted as lost since the start.
    pub lost: u64,
    /// Syncs since the start.
    pub commits: u64,
    /// Operations that the disk refused since the start.
    pub storage_errors: u64,
    /// The lanes, most urgent first.
    pub lanes: Vec<LaneFacts>,
}

/// One lane of the store.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct LaneFacts {
    /// Its name.
    pub lane: String,
    /// Durable records that wait for an acknowledgement.
    pub waiting: u64,
    /// Records that are not durable yet.
    pub pending: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// The most that it may take.
    pub cap_bytes: u64,
    /// Segment files.
    pub segments: u64,
}

/// The uplink.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct UplinkFacts {
    /// The server.
    pub url: String,
    /// `idle`, `held` (after a failure or at the server's wish) or `sending`.
    pub state: String,
    /// Until it next sends, in seconds.
    pub due_s: Option<f64>,
    /// Since the latest exchange that succeeded, in seconds.
    pub taken_age_s: Option<f64>,
    /// Why the latest exchange failed.
    pub trouble: Option<String>,
    /// Requests since the start.
    pub requests: u64,
    /// Of them without an answer that counts.
    pub failures: u64,
    /// Of them refused.
    pub refusals: u64,
    /// Records acknowledged.
    pub acknowledged: u64,
    /// Bytes of request bodies.
    pub bytes_up: u64,
    /// Bytes of response bodies.
    pub bytes_down: u64,
}

/// Memory of the process.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "workbench", derive(Deserialize))]
pub struct MemoryFacts {
    /// Proportional set size.
    pub pss_bytes: u64,
    /// Highest resident set size.
    pub peak_rss_bytes: u64,
}
