//! What is stored of a vehicle's buses (records of kind 8): how each stands, and the accounts that events come from.

use super::bus_events;
use super::read::{Stored, collect};
use super::{StoreError, lines};
use crate::buses::{
    BusCounts, BusEvent, BusView, LastErrorLine, MAX_ACCOUNTS, MAX_BUSES, MAX_CHANGES, MissingLine,
};
use lines::Origin;
use sqlx::SqliteConnection;
use std::collections::{BTreeMap, HashMap};
use telltale_wire::bus::{
    BusChange, BusRecord, BusReport, BusState, BusStatistics, MAX_MISSING, MAX_SUSPICIOUS, MAX_UNKNOWN,
    SuspiciousMessage,
};
use telltale_wire::ids::{BootId, Lane};
use telltale_wire::record::Record;
use telltale_wire::time::Stamp;

/// A record of a bus, and where it stands.
pub(super) struct Told<T> {
    pub(super) at: Stamp,
    pub(super) since: Stamp,
    pub(super) bus: String,
    pub(super) state: BusState,
    pub(super) said: T,
    pub(super) origin: Origin,
}

/// How the buses stand, and what happened on them, the latest first.
pub(super) async fn report(
    tx: &mut SqliteConnection,
    vehicle: i64,
) -> Result<(Vec<BusView>, Vec<BusEvent>), StoreError> {
    let changes = newest(tx, vehicle, Lane::Critical, MAX_CHANGES).await?;
    let changes: Vec<Told<BusChange>> = told(&changes, |report| match report {
        BusReport::Change(change) => Some(change),
        BusReport::Statistics(_) => None,
    });
    let stored = newest(tx, vehicle, Lane::Status, MAX_ACCOUNTS).await?;
    let accounts: Vec<Told<BusStatistics>> = told(&stored, |report| match report {
        BusReport::Statistics(statistics) => Some(statistics),
        BusReport::Change(_) => None,
    });
    let is_all = stored.len() < MAX_ACCOUNTS;
    Ok((views(&changes, &accounts), bus_events::timeline(&changes, accounts, is_all)))
}

/// The newest readable records of one lane, the newest first.
async fn newest(
    tx: &mut SqliteConnection,
    vehicle: i64,
    lane: Lane,
    most: usize,
) -> Result<Vec<Stored>, StoreError> {
    Ok(sqlx::query_as(
        "SELECT boot, seq, received, kind, body FROM records WHERE vehicle = ? AND lane = ? AND kind = 8 AND flaw = 0 \
         ORDER BY received DESC, boot DESC, seq DESC LIMIT ?",
    )
    .bind(vehicle)
    .bind(lane as i64)
    .bind(most as i64)
    .fetch_all(tx)
    .await?)
}

fn told<T>(stored: &[Stored], pick: impl Fn(BusReport) -> Option<T>) -> Vec<Told<T>> {
    collect(stored, |record, origin| match record {
        Record::Bus(BusRecord { at, bus, state, since, report }) => Some(Told {
            at: *at,
            since: *since,
            bus: lines::clip_name(bus),
            state: *state,
            said: pick(report.clone())?,
            origin,
        }),
        _ => None,
    })
}

/// Each bus by its latest record: of the boot that was heard of last, and there by the vehicle's own clock, because
/// lanes arrive out of step.
fn views(changes: &[Told<BusChange>], accounts: &[Told<BusStatistics>]) -> Vec<BusView> {
    let changed = changes.iter().map(|told| (told.at, told.since, &told.bus, told.state, told.origin));
    let counted = accounts.iter().map(|told| (told.at, told.since, &told.bus, told.state, told.origin));
    let all: Vec<_> = changed.chain(counted).collect();
    let mut heard: HashMap<BootId, i64> = HashMap::new();
    for (.., origin) in &all {
        let latest = heard.entry(origin.boot).or_insert(origin.received);
        *latest = origin.received.max(*latest);
    }
    let mut latest = BTreeMap::new();
    for (at, since, bus, state, origin) in all {
        let rank = (heard[&origin.boot], origin.boot, at.mono);
        let known = latest.entry(bus).or_insert((rank, at, since, state, origin));
        if rank > known.0 {
            *known = (rank, at, since, state, origin);
        }
    }
    let view = |(bus, (_, at, since, state, origin)): (&String, (_, Stamp, Stamp, BusState, Origin))| {
        let own = accounts.iter().filter(|told| told.bus == *bus && told.origin.boot == origin.boot);
        BusView {
            bus: bus.clone(),
            state: state.as_str(),
            hears: state.hears(),
            since: lines::when(since, origin.received),
            told: lines::when(at, origin.received),
            boot: origin.boot.to_string(),
            counts: own.max_by_key(|told| told.at.mono).map(counts),
        }
    };
    latest.into_iter().take(MAX_BUSES).map(view).collect()
}

fn counts(told: &Told<BusStatistics>) -> BusCounts {
    let n = &told.said;
    let when = |stamp| lines::when(stamp, told.origin.received);
    let message = |message: &SuspiciousMessage| SuspiciousMessage {
        message: lines::clip_name(&message.message),
        ..message.clone()
    };
    BusCounts {
        at: when(told.at),
        frames: n.frames,
        remote: n.remote,
        short: n.short,
        long: n.long,
        unknown_frames: n.unknown_frames,
        checked: n.checked,
        lost: n.interface.map(|counted| counted.dropped.saturating_add(counted.overruns)),
        errors: n.errors,
        counters: n.counters,
        last_error: n
            .last_error
            .as_ref()
            .map(|error| LastErrorLine { at: when(error.at), what: lines::clip_sentence(&error.what) }),
        restarts_asked: n.restarts_asked,
        link_losses: n.link_losses,
        interface: n.interface,
        suspicious: n.suspicious.iter().take(MAX_SUSPICIOUS).map(message).collect(),
        unknown: n.unknown.iter().take(MAX_UNKNOWN).copied().collect(),
        missing_total: n.missing_total,
        missing: n.missing.iter().take(MAX_MISSING).map(missing).collect(),
    }
}

fn missing(message: &telltale_wire::bus::MissingMessage) -> MissingLine {
    MissingLine {
        message: lines::clip_name(&message.message),
        silent_ms: message.silent_ms,
        cycle_ms: message.cycle_ms,
    }
}
