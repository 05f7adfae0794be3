//! Records: what a vehicle has to say, one thing at a time.
//!
//! On the wire and in the spool a record is a [`RawRecord`]: a kind number and a postcard body. [`RawRecord::parse`]
//! gives the [`Record`], or says that the kind is from a newer vehicle; such a record is kept as it is.

use crate::agent_event::AgentEvent;
use crate::bus::{BusRecord, BusReport};
use crate::command::CommandAck;
use crate::departure::Departure;
use crate::digest::{Digest, ShortDigest};
use crate::drift::DriftRecord;
use crate::estimate::EstimateRecord;
use crate::ids::{BootId, Lane, Seq};
use crate::signals::SignalRecord;
use crate::snapshot::SnapshotPart;
use crate::time::Stamp;
use crate::trip::TripRecord;
use crate::unit::Unit;
use crate::update::{ShadowReport, UpdateEvent};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest body of one record, in bytes. A full cell-by-cell summary of 256 cells is about 800.
pub const MAX_BODY: usize = 64 * 1024;

/// A record as it is stored and sent: the kind and the postcard bytes of its body.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RawRecord {
    /// Which [`Record`] the body is. Kinds are append only.
    pub kind: u16,
    /// The body, postcard. At most [`MAX_BODY`] bytes.
    pub body: Vec<u8>,
}

/// What a vehicle has to say.
#[derive(Clone, PartialEq, Debug)]
pub enum Record {
    /// The agent started.
    Boot(BootRecord),
    /// A verdict began, changed or ended.
    Verdict(VerdictEvent),
    /// What a stretch of time looked like.
    Summary(Summary),
    /// How the agent itself fares.
    Status(Status),
    /// Something was lost, and this is the account of it.
    Loss(LossRecord),
    /// What stood on the buses around a moment: one part of it.
    Snapshot(SnapshotPart),
    /// A bus changed its state, or this is what was counted on it.
    Bus(BusRecord),
    /// What signals, scores and buses looked like, or what they are called.
    Signals(SignalRecord),
    /// Something happened to the agent itself or to a model.
    Agent(AgentEvent),
    /// An update of a model took a step.
    Update(UpdateEvent),
    /// How a new model did beside the one before.
    Shadow(ShadowReport),
    /// What became of a command.
    Command(CommandAck),
    /// What a model takes a quantity of its subjects to be.
    Estimate(EstimateRecord),
    /// What one drive came to.
    Trip(TripRecord),
    /// What a model is fed, or answers, drifted from what it was trained on.
    Drift(DriftRecord),
}

/// Why a body was not read as a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordError {
    /// A kind that this side does not know: keep the bytes.
    UnknownKind(u16),
    /// The body does not decode as its kind.
    Malformed {
        /// The kind of the record.
        kind: u16,
        /// What the decoder said.
        why: String,
    },
    /// The body is longer than [`MAX_BODY`].
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind(kind) => write!(f, "record kind {kind} is not known here (from a newer agent)"),
            Self::Malformed { kind, why } => {
                write!(f, "the body of a record of kind {kind} does not decode: {why}")
            }
            Self::TooLong { len } => {
                write!(f, "a record body of {len} bytes is over the limit of {MAX_BODY}")
            }
        }
    }
}

impl core::error::Error for RecordError {}

impl Record {
    /// The number of this kind of record.
    #[must_use]
    pub const fn kind(&self) -> u16 {
        match self {
            Record::Boot(_) => 1,
            Record::Verdict(_) => 2,
            Record::Summary(_) => 3,
            Record::Status(_) => 4,
            Record::Loss(_) => 5,
            Record::Snapshot(_) => 7,
            Record::Bus(_) => 8,
            Record::Signals(_) => 6,
            Record::Agent(_) => 9,
            Record::Update(_) => 10,
            Record::Shadow(_) => 11,
            Record::Command(_) => 12,
            Record::Estimate(_) => 13,
            Record::Trip(_) => 15,
            Record::Drift(_) => 14,
        }
    }

    /// The lane that this record travels in.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self {
            Record::Verdict(_) | Record::Loss(_) => Lane::Critical,
            Record::Bus(bus) => match bus.report {
                BusReport::Change(_) => Lane::Critical,
                BusReport::Statistics(_) => Lane::Status,
            },
            // Without its directory a statistic has no name: it goes with what is dropped late.
            Record::Boot(_)
            | Record::Status(_)
            | Record::Signals(SignalRecord::Directory(_))
            | Record::Agent(_)
            | Record::Update(_)
            | Record::Shadow(_)
            | Record::Command(_)
            | Record::Estimate(_)
            | Record::Trip(_)
            | Record::Drift(_) => Lane::Status,
            Record::Summary(_) | Record::Signals(SignalRecord::Statistics(_)) => Lane::Summary,
            Record::Snapshot(_) => Lane::Bulk,
        }
    }

    /// Encodes the record for the spool and the wire.
    ///
    /// # Errors
    /// [`RecordError::TooLong`] if a caller filled its vectors without bound.
    pub fn to_raw(&self) -> Result<RawRecord, RecordError> {
        let kind = self.kind();
        let body = match self {
            Record::Boot(body) => postcard::to_allocvec(body),
            Record::Verdict(body) => body.to_body(),
            Record::Summary(body) => postcard::to_allocvec(body),
            Record::Status(body) => postcard::to_allocvec(body),
            Record::Loss(body) => postcard::to_allocvec(body),
            Record::Snapshot(body) => postcard::to_allocvec(body),
            Record::Bus(body) => postcard::to_allocvec(body),
            Record::Signals(body) => postcard::to_allocvec(body),
            Record::Agent(body) => postcard::to_allocvec(body),
            Record::Update(body) => postcard::to_allocvec(body),
            Record::Shadow(body) => postcard::to_allocvec(body),
            Record::Command(body) => postcard::to_allocvec(body),
            Record::Estimate(body) => postcard::to_allocvec(body),
            Record::Trip(body) => postcard::to_allocvec(body),
            Record::Drift(body) => postcard::to_allocvec(body),
        };
        let body = body.map_err(|e| RecordError::Malformed { kind, why: alloc::format!("{e}") })?;
        if body.len() > MAX_BODY {
            return Err(RecordError::TooLong { len: body.len() });
        }
        Ok(RawRecord { kind, body })
    }
}

impl RawRecord {
    /// Reads the body as its kind. Bytes behind the known fields are a newer agent's and are ignored.
    ///
    /// # Errors
    /// Every [`RecordError`]; the bytes may come from anyone.
    pub fn parse(&self) -> Result<Record, RecordError> {
        if self.body.len() > MAX_BODY {
            return Err(RecordError::TooLong { len: self.body.len() });
        }
        match self.kind {
            1 => self.body_as().map(Record::Boot),
            2 => self.verdict().map(Record::Verdict),
            3 => self.body_as().map(Record::Summary),
            4 => self.body_as().map(Record::Status),
            5 => self.body_as().map(Record::Loss),
            7 => self.body_as().map(Record::Snapshot),
            8 => self.body_as().map(Record::Bus),
            6 => self.body_as().map(Record::Signals),
            9 => self.body_as().map(Record::Agent),
            10 => self.body_as().map(Record::Update),
            11 => self.body_as().map(Record::Shadow),
            12 => self.body_as().map(Record::Command),
            13 => self.body_as().map(Record::Estimate),
            15 => self.body_as().map(Record::Trip),
            14 => self.body_as().map(Record::Drift),
            kind => Err(RecordError::UnknownKind(kind)),
        }
    }

    /// A verdict, and what newer agents append to it. An appendix of a kind that is not known here is left out.
    fn verdict(&self) -> Result<VerdictEvent, RecordError> {
        let (event, appended) = postcard::take_from_bytes::<VerdictEvent>(&self.body)
            .map_err(|e| RecordError::Malformed { kind: self.kind, why: alloc::format!("{e}") })?;
        let departure = postcard::take_from_bytes(appended).ok().map(|(departure, _)| departure);
        Ok(VerdictEvent { departure, ..event })
    }

    fn body_as<T: DeserializeOwned>(&self) -> Result<T, RecordError> {
        postcard::take_from_bytes(&self.body)
            .map(|(body, _appended)| body)
            .map_err(|e| RecordError::Malformed { kind: self.kind, why: alloc::format!("{e}") })
    }
}

/// Which model spoke.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ModelRef {
    /// The model's name, such as `cell-fault`; `limits` is the rule baseline.
    pub name: String,
    /// The start of its bundle's digest; all zero for rules.
    pub digest: ShortDigest,
}

/// The agent started.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BootRecord {
    /// When.
    pub at: Stamp,
    /// The agent's version, such as `0.1.0`.
    pub agent_version: String,
    /// The catalog it decodes by.
    pub catalog: Digest,
    /// The models it runs.
    pub models: Vec<ModelRef>,
}

/// What a model or a rule holds about one subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum VerdictCode {
    /// As expected.
    Nominal,
    /// Not as expected.
    Anomalous,
    /// Nothing can be said, and this is why.
    Indeterminate(IndeterminateReason),
}

/// Why nothing can be said.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum IndeterminateReason {
    /// Not enough has been seen since the start or the last gap.
    WarmingUp,
    /// A signal it needs has never arrived.
    NotReceived,
    /// A signal it needs stopped arriving.
    Stale,
    /// A signal it needs left its physical range.
    OutOfRange,
    /// A sensor reported itself faulty (a sentinel value).
    SensorFault,
    /// The model gave no number.
    ModelFailed,
    /// The input lies outside what the model was trained on.
    OutsideTrainingRegime,
}

impl IndeterminateReason {
    /// All reasons, in encoding order.
    pub const ALL: [IndeterminateReason; 7] = [
        Self::WarmingUp,
        Self::NotReceived,
        Self::Stale,
        Self::OutOfRange,
        Self::SensorFault,
        Self::ModelFailed,
        Self::OutsideTrainingRegime,
    ];

    /// A few words for a person.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WarmingUp => "warming up",
            Self::NotReceived => "signal not received",
            Self::Stale => "signal stale",
            Self::OutOfRange => "signal out of range",
            Self::SensorFault => "sensor fault",
            Self::ModelFailed => "model failed",
            Self::OutsideTrainingRegime => "outside the training regime",
        }
    }
}

impl fmt::Display for IndeterminateReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A verdict on a subject began, changed or ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct VerdictEvent {
    /// The end of the window that decided it.
    pub at: Stamp,
    /// Who says so.
    pub model: ModelRef,
    /// What it is about, such as `Cell82`.
    pub subject: String,
    /// What is held from now on.
    pub verdict: VerdictCode,
    /// The score that decided, 0 to 1.
    pub score: f32,
    /// The calibrated probability that the verdict is right, 0 to 1.
    pub confidence: f32,
    /// The first window of the run that led here.
    pub since: Stamp,
    /// What stands out, strongest first.
    pub evidence: Vec<Evidence>,
    /// In which way the subject departs from its peers. It stands behind the other fields in the body, where a reader
    /// that does not know it passes over it, and an older agent has nothing.
    #[serde(skip)]
    pub departure: Option<Departure>,
}

impl VerdictEvent {
    fn to_body(&self) -> Result<Vec<u8>, postcard::Error> {
        let body = postcard::to_allocvec(self)?;
        match &self.departure {
            None => Ok(body),
            Some(departure) => postcard::to_extend(departure, body),
        }
    }
}

/// One thing that stands out, with what it is compared to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// The signal (VSS path) or the feature of the subject that stands out.
    pub what: String,
    /// Its value over the window.
    pub value: f32,
    /// What it would be if nothing were wrong: the pack's median, the limit, the training mean.
    pub reference: f32,
    /// The unit of both.
    pub unit: Unit,
}

/// What a stretch of time looked like: the counters of the loop, and each model's subjects one by one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Start of the stretch.
    pub from: Stamp,
    /// End of the stretch.
    pub to: Stamp,
    /// Frames and windows of the stretch.
    pub counts: Counts,
    /// One entry a model.
    pub models: Vec<ModelSummary>,
}

/// What became of the frames, and what the windows said. Every frame stands in exactly one of
/// `decoded`, `filtered`, `unknown` and `malformed`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Frames received.
    pub frames: u64,
    /// Frames of which at least one catalog signal was decoded.
    pub decoded: u64,
    /// Frames that a DBC file describes but the catalog asks nothing of.
    pub filtered: u64,
    /// Frames that no DBC file describes.
    pub unknown: u64,
    /// Frames too short for their message, remote frames and error frames.
    pub malformed: u64,
    /// Signal values decoded.
    pub samples: u64,
    /// Frames lost before they were counted above.
    pub lost: u64,
    /// Windows evaluated.
    pub windows: u64,
    /// Verdicts "nominal", one per window and subject.
    pub nominal: u64,
    /// Verdicts "anomalous".
    pub anomalous: u64,
    /// Verdicts "indeterminate".
    pub indeterminate: u64,
}

/// One model's view at the end of a stretch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ModelSummary {
    /// Which model.
    pub model: ModelRef,
    /// The unit of `reference` and `deviation`.
    pub unit: Unit,
    /// The reference that the subjects are compared with (for cells: the pack's median), in `unit`.
    pub reference: f32,
    /// Each subject's deviation from the reference, in thousandths of `unit`; [`ABSENT`] where there is none.
    pub deviation: Vec<i16>,
    /// Each subject's highest score of the stretch, 0 to 250 for 0 to 1; [`NO_SCORE`] where there is none.
    pub score: Vec<u8>,
    /// The subjects that are anomalous at the end of the stretch, by index.
    pub anomalous: Vec<u16>,
    /// The subjects' names are `prefix` and the index plus one: `Cell1`, `Cell2`, ...
    pub prefix: String,
}

/// No deviation could be given.
pub const ABSENT: i16 = i16::MIN;
/// No score could be given.
pub const NO_SCORE: u8 = 255;

/// How the agent itself fares.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// When.
    pub at: Stamp,
    /// Since the start, everything counted.
    pub totals: Counts,
    /// Bytes that the spool takes on disk.
    pub spool_bytes: u64,
    /// The proportional set size of the process in bytes; 0 where the kernel does not tell.
    pub pss_bytes: u64,
}

/// Something was lost, and this is the account of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LossRecord {
    /// When it was noticed.
    pub at: Stamp,
    /// Where.
    pub stage: LossStage,
    /// How many frames or records.
    pub count: u64,
    /// For lost records: which.
    pub range: Option<LostRange>,
    /// A sentence for a person.
    pub why: String,
}

/// Where something was lost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum LossStage {
    /// Frames, in the kernel's receive buffer.
    Receive,
    /// Records, between the capture loop and the spool.
    Channel,
    /// Records, dropped by the spool to keep its cap.
    SpoolCap,
    /// Records, in a spool segment that could not be read back.
    SpoolCorrupt,
    /// Records, that the disk refused.
    SpoolWrite,
    /// Records, that the cloud could not read and will never take.
    Refused,
    /// Frames, in a firmware bridge or on the line from it.
    Bridge,
    /// Records, dropped by the spool to keep its cap while the line's byte budget made their lane wait.
    Budget,
    /// Snapshots that were not taken, or parts of one that no record could hold.
    Snapshot,
}

/// Records of one lane and boot that are gone, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LostRange {
    /// The boot that wrote them.
    pub boot: BootId,
    /// Their lane.
    pub lane: Lane,
    /// The first.
    pub first: Seq,
    /// The last.
    pub last: Seq,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MonoTime;

    fn loss() -> Record {
        Record::Loss(LossRecord {
            at: Stamp { mono: MonoTime(9), wall: None },
            stage: LossStage::Receive,
            count: 3,
            range: None,
            why: "the receive buffer was full".into(),
        })
    }

    #[test]
    fn a_record_survives_its_bytes() {
        assert_eq!(loss().to_raw().unwrap().parse().unwrap(), loss());
    }

    #[test]
    fn a_kind_from_the_future_is_named_and_not_an_accident() {
        let raw = RawRecord { kind: 999, body: alloc::vec![1, 2, 3] };
        assert_eq!(raw.parse(), Err(RecordError::UnknownKind(999)));
    }

    #[test]
    fn appended_fields_are_skipped_and_cut_bodies_refused() {
        let mut raw = loss().to_raw().unwrap();
        let whole = raw.body.clone();
        raw.body.extend_from_slice(&[7, 7, 7]);
        assert_eq!(raw.parse().unwrap(), loss());
        for len in 0..whole.len() {
            raw.body = whole[..len].to_vec();
            assert!(matches!(raw.parse(), Err(RecordError::Malformed { .. })), "cut at {len}");
        }
    }

    #[test]
    fn a_body_over_the_limit_is_refused_both_ways() {
        let Record::Loss(mut body) = loss() else { unreachable!() };
        body.why = "x".repeat(MAX_BODY);
        assert!(matches!(Record::Loss(body).to_raw(), Err(RecordError::TooLong { .. })));
        let raw = RawRecord { kind: 5, body: alloc::vec![0; MAX_BODY + 1] };
        assert!(matches!(raw.parse(), Err(RecordError::TooLong { .. })));
    }
}
