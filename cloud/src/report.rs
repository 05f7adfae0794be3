//! What is known of the fleet, as the pages and the JSON answers give it. The names of the fields are stable:
//! scripts read them. Times are RFC 3339 in UTC.
//!
//! Absence keeps its reason: a state is `no_data`, `indeterminate`, `nominal` or `anomalous`, each with a sentence, and
//! a number that was not given is `null`, never 0.

use crate::buses::{BusEvent, BusView};
use crate::snapshot::SnapshotLine;
use serde::Serialize;

/// The one word on a vehicle or a subject.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Something is not as expected.
    Anomalous,
    /// Something was heard, and nothing can be said.
    Indeterminate,
    /// Nothing was heard that could be judged.
    NoData,
    /// As expected.
    Nominal,
}

impl State {
    /// The word for a person.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Anomalous => "anomalous",
            Self::Indeterminate => "indeterminate",
            Self::NoData => "no data",
            Self::Nominal => "nominal",
        }
    }
}

/// The fleet, what needs a look first.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FleetReport {
    /// When this was read.
    pub at: String,
    /// How many vehicles there are in all.
    pub vehicles_total: u64,
    /// One line each: the anomalous first, then by last contact; at most [`MAX_VEHICLES`].
    pub vehicles: Vec<VehicleLine>,
}

/// One vehicle in a line.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct VehicleLine {
    /// Its id.
    pub vehicle: String,
    /// The one word.
    pub state: State,
    /// Why that word.
    pub reason: String,
    /// When it called for the first time.
    pub first_contact: Option<String>,
    /// When it called last.
    pub last_contact: Option<String>,
    /// The same in microseconds since the Unix epoch.
    pub last_contact_us: Option<i64>,
    /// Whether it is refused.
    pub revoked: bool,
    /// Boots that were heard of.
    pub boots: u64,
    /// What was counted.
    pub counts: Counters,
    /// How many subjects are anomalous now, by their newest verdict event.
    pub open_total: u64,
    /// Those subjects' events, the latest first; at most [`MAX_OPEN`].
    pub open_anomalies: Vec<VerdictLine>,
    /// The worst drift of an input of its models, `none`, `moderate` or `severe`; `null` while none is told.
    pub drift: Option<&'static str>,
}

/// The most open anomalies that a line tells.
pub const MAX_OPEN: usize = 20;

/// What a vehicle's requests came to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Counters {
    /// Requests that were answered with an acknowledgement.
    pub requests: u64,
    /// Records stored, each once.
    pub records: u64,
    /// Records that came again.
    pub duplicates: u64,
    /// Records whose number was taken by other bytes.
    pub conflicts: u64,
    /// Stored records of a kind from a newer agent.
    pub unknown: u64,
    /// Stored records that do not decode.
    pub malformed: u64,
    /// Frames lost, by the vehicle's account.
    pub lost_frames: u64,
    /// Records lost, by the vehicle's account.
    pub lost_records: u64,
    /// Runs of numbers that never came and that no loss record explains.
    pub unexplained_gaps: u64,
}

/// When something happened.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct When {
    /// The vehicle's wall clock if it knew the time, else the time of arrival.
    pub at: String,
    /// `vehicle` or `received`: whose clock that is.
    pub clock: &'static str,
    /// Seconds on the boot's monotonic clock.
    pub mono_s: f64,
    /// The time in microseconds since the Unix epoch, for charts.
    #[serde(skip)]
    pub unix_us: i64,
}

/// A verdict event.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct VerdictLine {
    /// The window's end.
    pub when: When,
    /// The first window of the run that led here.
    pub since: When,
    /// When it arrived.
    pub received: String,
    /// Its boot.
    pub boot: String,
    /// Its number.
    pub seq: u64,
    /// Who says so.
    pub model: String,
    /// The start of the model's digest.
    pub digest: String,
    /// What about.
    pub subject: String,
    /// What is held.
    pub verdict: State,
    /// For `indeterminate`: why.
    pub reason: Option<&'static str>,
    /// 0 to 1.
    pub score: Option<f32>,
    /// 0 to 1.
    pub confidence: Option<f32>,
    /// What stands out, strongest first.
    pub evidence: Vec<EvidenceLine>,
    /// In which way the subject departs from its peers; `null` where that is not told.
    pub departure: Option<&'static str>,
    /// The numbers that this goes by.
    pub numbers: Vec<EvidenceLine>,
}

/// A value and what it is compared to.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct EvidenceLine {
    /// The signal or feature.
    pub what: String,
    /// Its value.
    pub value: Option<f32>,
    /// What it would be if nothing were wrong.
    pub reference: Option<f32>,
    /// The unit's symbol.
    pub unit: &'static str,
}

/// Everything on one vehicle.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct VehicleReport {
    /// The line of the fleet page.
    #[serde(flatten)]
    pub line: VehicleLine,
    /// Each model's newest summary.
    pub models: Vec<ModelView>,
    /// Verdict events, the latest first; at most [`MAX_EVENTS`].
    pub events: Vec<VerdictLine>,
    /// How many there are in all.
    pub events_total: u64,
    /// What happened to the agent itself, the latest first; at most [`MAX_AGENT_EVENTS`].
    pub agent_events: Vec<AgentEventLine>,
    /// What models estimated, the latest first; at most [`MAX_ESTIMATES`].
    pub estimates: Vec<EstimateLine>,
    /// The drift of the models' inputs, the worst first; at most [`crate::drift::MAX_DRIFTS`].
    pub drift: Vec<crate::drift::DriftLine>,
    /// Its buses, by name; at most [`crate::buses::MAX_BUSES`].
    pub buses: Vec<BusView>,
    /// What happened on them, the latest first; at most [`crate::buses::MAX_BUS_EVENTS`].
    pub bus_events: Vec<BusEvent>,
    /// Snapshots, the latest first; at most [`crate::snapshot::MAX_SNAPSHOTS`].
    pub snapshots: Vec<SnapshotLine>,
    /// Losses that the vehicle told, added up by lane and stage.
    pub loss_totals: Vec<LossTotal>,
    /// Losses that the vehicle told, the latest first; at most [`MAX_LOSSES`].
    pub losses: Vec<LossLine>,
    /// Numbers that never came; at most [`MAX_GAPS`].
    pub gaps: Vec<GapLine>,
    /// Starts of the agent, the latest first; at most [`MAX_BOOTS`].
    pub boots_heard: Vec<BootLine>,
    /// How the agent fares, by its newest status record.
    pub status: Option<StatusLine>,
    /// How far each lane of each boot is acknowledged, the latest boots first; at most [`MAX_STREAMS`].
    pub streams: Vec<StreamLine>,
}

/// The most verdict events of one report.
pub const MAX_EVENTS: usize = 500;
/// The most events of the agent of one report.
pub const MAX_AGENT_EVENTS: usize = 100;
/// The most estimates of one report.
pub const MAX_ESTIMATES: usize = 200;
/// The most losses of one report.
pub const MAX_LOSSES: usize = 500;
/// The most gaps of one report.
pub const MAX_GAPS: usize = 500;
/// The most boots of one report.
pub const MAX_BOOTS: usize = 50;
/// The most lanes of one report.
pub const MAX_STREAMS: usize = 80;
/// The most subjects of one model's view.
pub const MAX_SUBJECTS: usize = 1_024;
/// The most summaries behind a series of scores.
pub const MAX_HISTORY: usize = 500;
/// The most series of one model.
pub const MAX_SERIES: usize = 4;
/// The most vehicles of one fleet report.
pub const MAX_VEHICLES: usize = 1_000;

/// A model's view of its subjects.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ModelView {
    /// The model.
    pub model: String,
    /// The start of its digest.
    pub digest: String,
    /// The end of the stretch that this summary covers.
    pub when: When,
    /// What the subjects are compared with.
    pub reference: Option<f32>,
    /// The unit of the reference.
    pub unit: &'static str,
    /// Subject by subject.
    pub subjects: Vec<SubjectView>,
    /// Scores over time of the subjects that stood out most.
    #[serde(skip)]
    pub history: Vec<Series>,
}

/// One subject in a summary.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SubjectView {
    /// Its name.
    pub name: String,
    /// Its state at the end of the stretch.
    pub state: State,
    /// For `indeterminate`, where a verdict event says it: why.
    pub reason: Option<&'static str>,
    /// Deviation from the reference in thousandths of the unit; `null` if none could be given.
    pub deviation_milli: Option<i16>,
    /// The highest score of the stretch, 0 to 1; `null` if none could be given.
    pub score: Option<f32>,
}

/// A subject's scores over time.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// The subject.
    pub name: String,
    /// Unix microseconds and score, in order of time; `None` where there was no score.
    pub points: Vec<(i64, Option<f32>)>,
}

/// What a model made of one event, such as a charge.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct EstimateLine {
    /// The end of the event.
    pub when: When,
    /// Its boot.
    pub boot: String,
    /// Who says so.
    pub model: String,
    /// The start of the model's digest.
    pub digest: String,
    /// Of what, such as `state of health`.
    pub quantity: &'static str,
    /// Of the values; empty for a share.
    pub unit: &'static str,
    /// The share of events in which the interval holds the truth.
    pub coverage: Option<f32>,
    /// Subject by subject; at most [`MAX_SUBJECTS`].
    pub subjects: Vec<SubjectEstimateLine>,
}

/// One subject's estimate, in the quantity's unit.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SubjectEstimateLine {
    /// Its name.
    pub name: String,
    /// The most likely value; `null` where there is none.
    pub value: Option<f32>,
    /// The interval's lower end.
    pub low: Option<f32>,
    /// The interval's upper end.
    pub high: Option<f32>,
    /// Why there is no value.
    pub reason: Option<&'static str>,
    /// Its internal resistance, where the event showed one.
    pub resistance_ohm: Option<f32>,
}

/// A loss by the vehicle's account.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LossLine {
    /// When it was noticed.
    pub when: When,
    /// Where: `receive`, `channel`, `spool cap`, `spool corrupt`, `spool write`, `refused`, `bridge`,
    /// `budget`.
    pub stage: &'static str,
    /// How many.
    pub count: u64,
    /// `frames` or `records`.
    pub of: &'static str,
    /// Which, for records where the vehicle knows.
    pub range: Option<RangeLine>,
    /// In the vehicle's words.
    pub why: String,
}

/// What was lost of one lane at one stage.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LossTotal {
    /// The lane; `null` for frames, and for records whose lane the vehicle does not know.
    pub lane: Option<&'static str>,
    /// Where, as in [`LossLine`].
    pub stage: &'static str,
    /// `frames` or `records`.
    pub of: &'static str,
    /// How often it was told.
    pub times: u64,
    /// How many in all.
    pub count: u64,
}

/// Numbers of one lane, both ends included.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RangeLine {
    /// The boot.
    pub boot: String,
    /// The lane.
    pub lane: &'static str,
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// Numbers that never came.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct GapLine {
    /// Which.
    #[serde(flatten)]
    pub range: RangeLine,
    /// When the server noticed.
    pub noticed: String,
    /// Whether loss records account for all of it.
    pub explained: bool,
}

/// A start of the agent.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct BootLine {
    /// The boot.
    pub boot: String,
    /// When.
    pub when: When,
    /// The agent's version.
    pub agent_version: String,
    /// The catalog's digest.
    pub catalog: String,
    /// The models it runs, `name digest`.
    pub models: Vec<String>,
}

/// Something happened to the agent or to one of its models.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct AgentEventLine {
    /// When.
    pub when: When,
    /// The boot.
    pub boot: String,
    /// What, in words.
    pub what: String,
    /// Why, in the vehicle's words, where there is something to say.
    pub why: Option<String>,
    /// Whether something does not work as it should.
    pub is_fault: bool,
}

/// How the agent fares.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct StatusLine {
    /// When.
    pub when: When,
    /// The boot that speaks.
    pub boot: String,
    /// Everything counted since its start.
    pub totals: telltale_wire::record::Counts,
    /// Bytes that wait for an acknowledgement.
    pub spool_bytes: u64,
    /// Proportional set size; `null` where the kernel does not tell.
    pub pss_bytes: Option<u64>,
}

/// How far a lane is acknowledged.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct StreamLine {
    /// The boot.
    pub boot: String,
    /// The lane.
    pub lane: &'static str,
    /// The highest number acknowledged.
    pub through: u64,
}
