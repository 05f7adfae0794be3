//! Puts together what the agent tells of itself, from the capture loop, the store, the uplink and the kernel. Lives
//! in the asynchronous half and asks the others by letters.

use crate::mailbox::{Post, Unanswered};
use crate::memory;
use crate::status::{
    AgentFacts, BusFacts, CaptureFacts, DriftFacts, EstimateFacts, LaneFacts, LatencyFacts, MemoryFacts,
    ModelFacts, SignalFacts, SpoolFacts, StatusReport, SubjectFacts, UplinkFacts,
};
use crate::store::{Clock, StoreHandle};
use crate::trips::{ConditionFacts, RangeFacts, TripFacts};
use crate::update::{Depot, UpdateFacts};
use crate::uplink::UplinkView;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use telltale_core::drift::Standing;
use telltale_core::pipeline::{
    BusOutline, BusView, Latency, Latest, ModelOutline, ModelView, Outline, SignalOutline, View,
};
use telltale_core::signal::NoData;
use telltale_core::spool::SpoolStats;
use telltale_core::uplink::Phase;
use telltale_wire::bus::BusState;
use telltale_wire::drift::Horizon;
use telltale_wire::estimate::Interval;
use telltale_wire::ids::{BootId, Lane};
use telltale_wire::record::VerdictCode;
use telltale_wire::time::{MonoTime, Stamp};
use tokio::sync::watch;
use tokio::time::sleep;

/// A rate is taken over at least this long, in the machine's time.
const MIN_INTERVAL: Duration = Duration::from_millis(250);

/// A look before this long ago is no base for a rate of now.
const MAX_INTERVAL: Duration = Duration::from_secs(30);

/// What the observer asks and whom.
pub(crate) struct Observer {
    pub(crate) vehicle: String,
    pub(crate) boot: BootId,
    pub(crate) started: Instant,
    pub(crate) spool_dir: PathBuf,
    pub(crate) uplink_url: Option<String>,
    pub(crate) clock: Clock,
    pub(crate) post: Post,
    pub(crate) store: StoreHandle,
    pub(crate) uplink: watch::Receiver<UplinkView>,
    pub(crate) seen: Seen,
    /// Where updates stand, if there is an `[update]`.
    pub(crate) updates: Option<watch::Receiver<Vec<UpdateFacts>>>,
    /// What knows of the cloud's switches, if there is one.
    pub(crate) depot: Option<Arc<Depot>>,
}

/// What was seen last, by whoever asked.
pub(crate) struct Seen(Mutex<Sighting>);

struct Sighting {
    outline: Arc<Outline>,
    latest: Option<Box<View>>,
    base: Option<Base>,
}

/// The counts that a rate starts from.
#[derive(Clone)]
struct Base {
    when: Instant,
    at: MonoTime,
    frames: u64,
    samples: u64,
    /// Frames of each bus, and for how many nanoseconds it was busy.
    buses: Vec<(u64, u64)>,
}

impl Seen {
    pub(crate) fn nothing(outline: Arc<Outline>) -> Seen {
        Seen(Mutex::new(Sighting { outline, latest: None, base: None }))
    }
}

impl Base {
    fn of(view: &View) -> Base {
        Base {
            when: Instant::now(),
            at: view.at.mono,
            frames: view.totals.frames,
            samples: view.totals.samples,
            buses: view.buses.iter().map(|bus| (bus.frames, bus.busy_nanos)).collect(),
        }
    }
}

impl Observer {
    /// Everything that is known now.
    pub(crate) async fn report(&self) -> StatusReport {
        let (state, view, base) = self.look().await;
        let stats = self.store.stats().await.ok();
        let now = (self.clock)();
        let mut report = StatusReport {
            agent: self.agent(),
            capture: CaptureFacts { state, ..CaptureFacts::default() },
            spool: stats.map(|stats| self.spool(&stats)),
            updates: self.updates(),
            switched_off: self.depot.as_ref().map_or_else(Vec::new, |depot| depot.switches().words()),
            uplink: self.uplink_url.clone().map(|url| uplink(url, &self.uplink.borrow(), now.mono)),
            memory: MemoryFacts { pss_bytes: memory::pss_bytes(), peak_rss_bytes: memory::peak_rss_bytes() },
            ..StatusReport::default()
        };
        if let Some(view) = view {
            report.agent.catalog = view.outline.catalog.to_hex();
            describe(&view, base.as_ref(), &mut report);
        }
        report
    }

    /// Where updates stand.
    pub(crate) fn updates(&self) -> Vec<UpdateFacts> {
        self.updates.as_ref().map_or_else(Vec::new, |facts| facts.borrow().clone())
    }

    /// Asks the capture loop; the latest that was seen if it does not answer, and a base for rates if there is one.
    async fn look(&self) -> (String, Option<Box<View>>, Option<Base>) {
        let mut asked = self.post.look(&self.outline()).await;
        let mut base = self.recent_base();
        if let (Ok(first), None) = (&asked, &base) {
            base = Some(Base::of(first));
            sleep(MIN_INTERVAL).await;
            asked = match self.post.look(&self.outline()).await {
                Ok(second) => Ok(second),
                Err(_) => asked,
            };
        }
        let mut seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        match asked {
            Ok(view) => {
                seen.outline = Arc::clone(&view.outline);
                seen.base = Some(Base::of(&view));
                seen.latest = Some(view.clone());
                ("running".into(), Some(view), base)
            }
            Err(why @ (Unanswered::Ended | Unanswered::Silent)) => {
                (why.to_string(), seen.latest.clone(), None)
            }
        }
    }

    fn outline(&self) -> Arc<Outline> {
        Arc::clone(&self.seen.0.lock().unwrap_or_else(PoisonError::into_inner).outline)
    }

    fn recent_base(&self) -> Option<Base> {
        let seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |base: &&Base| (MIN_INTERVAL..MAX_INTERVAL).contains(&base.when.elapsed());
        seen.base.as_ref().filter(recent).cloned()
    }

    fn agent(&self) -> AgentFacts {
        AgentFacts {
            vehicle: self.vehicle.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            boot: self.boot.to_string(),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs_f64(),
            catalog: String::new(),
        }
    }

    fn spool(&self, stats: &SpoolStats) -> SpoolFacts {
        let lane = |(lane, held): (Lane, &telltale_core::spool::LaneStats)| LaneFacts {
            lane: lane.name().into(),
            waiting: held.waiting_records,
            pending: held.pending_records,
            disk_bytes: held.disk_bytes,
            cap_bytes: held.cap_bytes,
            segments: held.segments,
        };
        SpoolFacts {
            dir: self.spool_dir.display().to_string(),
            waiting: stats.waiting_records,
            pending: stats.pending_records,
            disk_bytes: stats.disk_bytes,
            appended: stats.appended,
            lost: stats.lost,
            commits: stats.commits,
            storage_errors: stats.storage_errors,
            lanes: Lane::ALL.into_iter().zip(&stats.lanes).map(lane).collect(),
        }
    }
}

fn uplink(url: String, view: &UplinkView, now: MonoTime) -> UplinkFacts {
    let state = match view.phase {
        Phase::Idle => "idle",
        Phase::Held => "held",
        Phase::Sending => "sending",
    };
    UplinkFacts {
        url,
        state: state.into(),
        due_s: view.due.map(|due| due.since(now).as_secs_f64()),
        taken_age_s: view.taken_at.map(|at| now.since(at).as_secs_f64()),
        trouble: view.trouble.clone(),
        requests: view.stats.requests,
        failures: view.stats.failures,
        refusals: view.stats.refusals,
        acknowledged: view.stats.acknowledged,
        bytes_up: view.stats.bytes_up,
        bytes_down: view.stats.bytes_down,
    }
}

/// Fills in what the capture loop holds.
fn describe(view: &View, base: Option<&Base>, report: &mut StatusReport) {
    let span = base.map_or(0.0, |base| view.at.mono.since(base.at).as_secs_f64());
    let rate = |now: u64, before: Option<u64>| {
        before.filter(|_| span > 0.0).map(|before| now.saturating_sub(before) as f64 / span)
    };
    let counts = &view.totals;
    report.capture = CaptureFacts {
        state: std::mem::take(&mut report.capture.state),
        at: Some(moment(&view.at)),
        frames: counts.frames,
        decoded: counts.decoded,
        filtered: counts.filtered,
        unknown: counts.unknown,
        malformed: counts.malformed,
        samples: counts.samples,
        lost: counts.lost,
        windows: counts.windows,
        nominal: counts.nominal,
        anomalous: counts.anomalous,
        indeterminate: counts.indeterminate,
        frames_per_s: rate(counts.frames, base.map(|base| base.frames)),
        samples_per_s: rate(counts.samples, base.map(|base| base.samples)),
        score_latency: (view.latency.count > 0).then(|| latency(&view.latency)),
    };
    let buses = view.outline.buses.iter().zip(&view.buses).enumerate();
    report.buses = buses
        .map(|(place, (known, held))| {
            let before = base.and_then(|base| base.buses.get(place));
            let load = rate(held.busy_nanos, before.map(|before| before.1)).map(|nanos| nanos / 1e9);
            BusFacts {
                frames_per_s: rate(held.frames, before.map(|before| before.0)),
                load: load.map(|load| load.min(1.0)),
                ..bus(known, held, view.at.mono)
            }
        })
        .collect();
    let now = view.at.mono;
    report.trip = TripFacts::of(&view.trip, &view.at);
    report.range = view.range.as_ref().map(RangeFacts::of);
    report.condition = view.condition.iter().map(ConditionFacts::of).collect();
    report.signals = view
        .outline
        .signals
        .iter()
        .zip(&view.signals)
        .map(|(known, held)| signal(known, *held, now))
        .collect();
    report.models =
        view.outline.models.iter().zip(&view.models).map(|(known, held)| model(known, held, now)).collect();
}

fn latency(measured: &Latency) -> LatencyFacts {
    let Latency { count, p50_us, p99_us, max_us } = *measured;
    LatencyFacts { count, p50_us: p50_us.into(), p99_us: p99_us.into(), max_us: max_us.into() }
}

/// How a bus stands, but for what is taken over time.
fn bus(known: &BusOutline, held: &BusView, now: MonoTime) -> BusFacts {
    let is_known = held.state != BusState::Unknown;
    BusFacts {
        name: known.name.clone(),
        interface: known.interface.clone(),
        frames: held.frames,
        state: held.state.to_string(),
        state_for_s: is_known.then(|| now.since(held.since).as_secs_f64()),
        bitrate: known.bitrate,
        frame_age_s: held.latest.map(|at| now.since(at).as_secs_f64()),
        error_frames: held.error_frames,
        tx_errors: held.counters.map(|counters| counters.tx),
        rx_errors: held.counters.map(|counters| counters.rx),
        lost: held.interface.map(|counted| counted.dropped.saturating_add(counted.overruns)),
        ..BusFacts::default()
    }
}

fn signal(known: &SignalOutline, held: Latest, now: MonoTime) -> SignalFacts {
    let age = held.at.map(|at| now.since(at));
    let absent = match held.value {
        Ok(_) if age.is_some_and(|age| age > known.stale_after) => Some(NoData::Stale),
        Ok(_) => None,
        Err(why) => Some(why),
    };
    SignalFacts {
        signal: known.vss.clone(),
        value: held.value.ok(),
        unit: known.unit.symbol().into(),
        absent: absent.map(|why| why.to_string()),
        age_s: age.map(|age| age.as_secs_f64()),
    }
}

fn model(known: &ModelOutline, held: &ModelView, now: MonoTime) -> ModelFacts {
    let subjects = known.subjects.iter().zip(&held.subjects).map(|(name, held)| SubjectFacts {
        subject: name.clone(),
        verdict: match held.verdict {
            VerdictCode::Nominal => "nominal",
            VerdictCode::Anomalous => "anomalous",
            VerdictCode::Indeterminate(_) => "indeterminate",
        }
        .into(),
        score: held.score.ok().map(f64::from),
        why: held.score.err().map(|why| why.to_string()),
        departure: held.kind.map(|kind| kind.to_string()),
        since: held.since.as_ref().map(moment),
    });
    let estimates = known.subjects.iter().zip(&held.estimates).map(|(name, held)| {
        let part = |of: fn(&Interval) -> f32| held.as_ref().ok().map(|interval| f64::from(of(interval)));
        EstimateFacts {
            subject: name.clone(),
            value: part(|i| i.value),
            low: part(|i| i.low),
            high: part(|i| i.high),
            why: held.err().map(|why| why.to_string()),
        }
    });
    ModelFacts {
        name: known.model.name.clone(),
        version: known.version.clone(),
        digest: known.model.digest.to_string(),
        window_age_s: held.window.map(|end| now.since(end).as_secs_f64()),
        failures: held.isolation.failures,
        slow: held.isolation.slow,
        off_for_s: held.isolation.until.map(|until| until.since(now).as_secs_f64()),
        subjects: subjects.collect(),
        estimates: estimates.collect(),
        drift: known.inputs.iter().zip(&held.drift).flat_map(|(name, held)| drift(name, held)).collect(),
    }
}

fn drift(name: &str, held: &[Standing; 2]) -> [DriftFacts; 2] {
    Horizon::ALL.map(|horizon| {
        let held = &held[horizon as usize];
        DriftFacts {
            input: name.to_owned(),
            horizon: horizon.to_string(),
            severity: held.is_ripe.then(|| held.severity.to_string()),
            index: f64::from(held.index),
            outside: f64::from(held.outside),
        }
    })
}

/// RFC 3339 where the wall time is known, else seconds on the frames' clock.
fn moment(at: &Stamp) -> String {
    match at.wall {
        Some(wall) => wall.to_string(),
        None => format!("+{:.3}s", at.mono.as_micros() as f64 / 1e6),
    }
}
