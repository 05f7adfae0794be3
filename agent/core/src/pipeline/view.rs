//! What the loop holds at one moment, for whoever looks on from outside: numbers, in buffers that the asker brings,
//! so that being looked at costs the loop a copy and no allocation.

use super::{Isolation, Latest};
use crate::catalog::Catalog;
use crate::condition::{ConditionView, WATCHED};
use crate::drift::Standing;
use crate::range::RangeView;
use crate::trip::TripView;
use std::sync::Arc;
use std::time::Duration;
use telltale_wire::bus::{BusState, ErrorCounters, InterfaceCounters};
use telltale_wire::departure::DepartureKind;
use telltale_wire::digest::Digest;
use telltale_wire::estimate::Interval;
use telltale_wire::record::{Counts, IndeterminateReason, ModelRef, VerdictCode};
use telltale_wire::time::{MonoTime, Stamp};
use telltale_wire::unit::Unit;
use telltale_wire::update::RunFigures;

/// What a pipeline consists of: the names to the numbers of a [`View`]. It never changes; a pipeline that is
/// replaced brings its own.
#[derive(Clone, PartialEq, Debug)]
pub struct Outline {
    /// The catalog's digest.
    pub catalog: Digest,
    /// The buses, by their [`crate::frame::BusId`].
    pub buses: Vec<BusOutline>,
    /// The signals, by their [`crate::signal::SignalId`].
    pub signals: Vec<SignalOutline>,
    /// The models.
    pub models: Vec<ModelOutline>,
}

/// A bus.
#[derive(Clone, PartialEq, Debug)]
pub struct BusOutline {
    /// Its name in the catalog.
    pub name: String,
    /// The interface that it is on.
    pub interface: String,
    /// Its nominal bitrate in bit/s, as the catalog states it or by default.
    pub bitrate: u32,
}

/// A signal.
#[derive(Clone, PartialEq, Debug)]
pub struct SignalOutline {
    /// Its VSS path.
    pub vss: String,
    /// The unit of its values.
    pub unit: Unit,
    /// How long after its arrival a value is used.
    pub stale_after: Duration,
}

/// A model.
#[derive(Clone, PartialEq, Debug)]
pub struct ModelOutline {
    /// How records name it.
    pub model: ModelRef,
    /// Its version, for people.
    pub version: String,
    /// What it judges.
    pub subjects: Vec<String>,
    /// The inputs whose drift is watched; none without a reference.
    pub inputs: Vec<String>,
}

impl Outline {
    pub(super) fn new(catalog: &Catalog, models: Vec<ModelOutline>) -> Outline {
        let bus = |bus: &crate::catalog::Bus| BusOutline {
            name: bus.name.clone(),
            interface: bus.interface.clone(),
            bitrate: bus.bitrate,
        };
        let signal = |signal: &crate::catalog::CatalogSignal| SignalOutline {
            vss: signal.vss.clone(),
            unit: signal.unit,
            stale_after: signal.stale_after,
        };
        Outline {
            catalog: catalog.digest(),
            buses: catalog.buses.iter().map(bus).collect(),
            signals: catalog.signals.iter().map(signal).collect(),
            models,
        }
    }
}

impl Outline {
    /// Whether both have the same buses on the same interfaces.
    pub(super) fn has_buses_of(&self, other: &Outline) -> bool {
        let mut pairs = self.buses.iter().zip(&other.buses);
        self.buses.len() == other.buses.len()
            && pairs.all(|(a, b)| (&a.name, &a.interface) == (&b.name, &b.interface))
    }
}

/// What a pipeline holds at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// The names to these numbers.
    pub outline: Arc<Outline>,
    /// The moment, on the clock of the frames.
    pub at: Stamp,
    /// Everything counted since the start.
    pub totals: Counts,
    /// From the frame that completed a window to its scores, as far as that was measured.
    pub latency: Latency,
    /// The buses.
    pub buses: Vec<BusView>,
    /// The latest sample of each signal.
    pub signals: Vec<Latest>,
    /// The models.
    pub models: Vec<ModelView>,
    /// Trips.
    pub trip: TripView,
    /// The condition of the drive; empty where it is not followed.
    pub condition: Vec<ConditionView>,
    /// The range, as of the end of the latest trip.
    pub range: Option<RangeView>,
}

/// A distribution of latencies in four figures; quantiles are told an eighth too high at the most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Half of them took no longer, in microseconds.
    pub p50_us: u32,
    /// 99 of 100 took no longer.
    pub p99_us: u32,
    /// The longest.
    pub max_us: u32,
}

impl Latency {
    pub(super) fn of(figures: &RunFigures) -> Latency {
        let RunFigures { inferences, p50_us, p99_us, max_us, .. } = *figures;
        Latency { count: inferences, p50_us, p99_us, max_us }
    }
}

/// How a bus stands. Counters run since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BusView {
    /// What state it is in.
    pub state: BusState,
    /// Since when; meaningless while the state is unknown.
    pub since: MonoTime,
    /// Frames, error frames aside.
    pub frames: u64,
    /// When the latest of them came.
    pub latest: Option<MonoTime>,
    /// For how long it was busy, in nanoseconds, with as many stuffed bits as random data has.
    pub busy_nanos: u64,
    /// Error frames.
    pub error_frames: u64,
    /// The controller's error counters, as told last.
    pub counters: Option<ErrorCounters>,
    /// What the interface has counted since it was made, where the kernel tells.
    pub interface: Option<InterfaceCounters>,
}

/// What a model holds.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ModelView {
    /// The end of the latest window; `None` before the first.
    pub window: Option<MonoTime>,
    /// How often it failed, and whether it is switched off.
    pub isolation: Isolation,
    /// What is held of each subject; empty for a model that estimates.
    pub subjects: Vec<SubjectView>,
    /// What each subject was last estimated to have, or why not; empty for a model that judges.
    pub estimates: Vec<Result<Interval, IndeterminateReason>>,
    /// The drift of each watched input over the fast and the slow horizon.
    pub drift: Vec<[Standing; 2]>,
}

/// What is held of a subject.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SubjectView {
    /// The latest window's score, 0 to 1, or why there is none.
    pub score: Result<f32, IndeterminateReason>,
    /// What is held.
    pub verdict: VerdictCode,
    /// In which way it departs, as it was told last.
    pub kind: Option<DepartureKind>,
    /// Since when it is held to be anomalous. The monotonic time of an earlier start is 0.
    pub since: Option<Stamp>,
}

impl View {
    /// An empty view with room for everything that a pipeline of this outline holds.
    #[must_use]
    pub fn with_room(outline: &Arc<Outline>) -> View {
        let model = |model: &ModelOutline| ModelView {
            subjects: Vec::with_capacity(model.subjects.len()),
            estimates: Vec::with_capacity(model.subjects.len()),
            drift: Vec::with_capacity(model.inputs.len()),
            ..ModelView::default()
        };
        View {
            at: Stamp { mono: MonoTime(0), wall: None },
            totals: Counts::default(),
            latency: Latency::default(),
            buses: Vec::with_capacity(outline.buses.len()),
            signals: Vec::with_capacity(outline.signals.len()),
            models: outline.models.iter().map(model).collect(),
            trip: TripView::default(),
            condition: Vec::with_capacity(WATCHED),
            range: None,
            outline: Arc::clone(outline),
        }
    }
}
