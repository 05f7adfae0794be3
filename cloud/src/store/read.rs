//! What the pages ask of the database. Each report is read in one transaction, so that its parts agree.

use super::losses::{self, gaps};
use super::{Store, StoreError, buses, drift, estimate_lines, lines, snapshots, update_lines};
use crate::report::{
    Counters, FleetReport, MAX_AGENT_EVENTS, MAX_BOOTS, MAX_ESTIMATES, MAX_EVENTS, MAX_HISTORY, MAX_LOSSES,
    MAX_OPEN, MAX_SERIES, MAX_STREAMS, MAX_SUBJECTS, MAX_VEHICLES, ModelView, Series, State, StreamLine,
    VehicleLine, VehicleReport, VerdictLine,
};
use lines::Origin;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _, SqliteConnection};
use std::collections::HashMap;
use telltale_wire::drift::Severity;
use telltale_wire::ids::BootId;
use telltale_wire::record::{IndeterminateReason, RawRecord, Record, Summary, VerdictCode};
use telltale_wire::time::WallTime;

/// The numbers of the record kinds (see [`Record::kind`]).
const BOOT: u16 = 1;
const VERDICT: u16 = 2;
const SUMMARY: u16 = 3;
const STATUS: u16 = 4;
pub(super) const LOSS: u16 = 5;
const AGENT: u16 = 9;
const ESTIMATE: u16 = 13;
const UPDATE: u16 = 10;
const SHADOW: u16 = 11;
const COMMAND: u16 = 12;

/// A vehicle's row with what is counted in other tables; ends in `$tail`.
macro_rules! vehicle_sql {
    ($tail:literal) => {
        concat!(
            "SELECT v.*, \
                (SELECT count(DISTINCT boot) FROM streams WHERE vehicle = v.id) AS boots, \
                (SELECT count(*) FROM subjects WHERE vehicle = v.id AND verdict = 1) AS open, \
                (SELECT count(*) FROM subjects WHERE vehicle = v.id) AS judged, \
                (SELECT coalesce(sum(subjects), 0) FROM models WHERE vehicle = v.id) AS subjects, \
                (SELECT coalesce(sum(scored), 0) FROM models WHERE vehicle = v.id) AS scored, \
                (SELECT coalesce(sum(anomalous), 0) FROM models WHERE vehicle = v.id) AS anomalous, \
                (SELECT max(received) FROM models WHERE vehicle = v.id) AS summarised, \
                (SELECT max(severity) FROM drift d WHERE vehicle = v.id AND digest = (SELECT digest FROM drift n \
                    WHERE n.vehicle = d.vehicle AND n.model = d.model \
                    ORDER BY received DESC, boot DESC, seq DESC LIMIT 1)) AS drift \
             FROM vehicles v ",
            $tail
        )
    };
}

impl Store {
    /// The fleet, what needs a look first.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Failed`].
    pub async fn fleet(&self, now: WallTime) -> Result<FleetReport, StoreError> {
        let mut tx = self.readers.begin().await?;
        let total: i64 = sqlx::query_scalar("SELECT count(*) FROM vehicles").fetch_one(&mut *tx).await?;
        let rows: Vec<VehicleRow> =
            sqlx::query_as(vehicle_sql!("ORDER BY open + anomalous > 0 DESC, last_contact DESC LIMIT ?"))
                .bind(MAX_VEHICLES as i64)
                .fetch_all(&mut *tx)
                .await?;
        let mut vehicles = Vec::with_capacity(rows.len());
        for row in rows {
            vehicles.push(row.line(&mut tx).await?);
        }
        vehicles.sort_by_key(|line| (line.state, std::cmp::Reverse(line.last_contact_us)));
        Ok(FleetReport { at: now.to_string(), vehicles_total: total.cast_unsigned(), vehicles })
    }

    /// Everything on one vehicle; `None` for one that is not known.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Failed`].
    pub async fn vehicle(&self, name: &str) -> Result<Option<VehicleReport>, StoreError> {
        let mut tx = self.readers.begin().await?;
        let row: Option<VehicleRow> =
            sqlx::query_as(vehicle_sql!("WHERE name = ?")).bind(name).fetch_optional(&mut *tx).await?;
        let Some(row) = row else { return Ok(None) };
        let vehicle = row.id;
        let line = row.line(&mut tx).await?;
        let events = newest(&mut tx, vehicle, VERDICT, MAX_EVENTS).await?;
        let events_total = count(&mut tx, vehicle, VERDICT).await?;
        let losses = newest(&mut tx, vehicle, LOSS, MAX_LOSSES).await?;
        let agent_events = agent_events(&mut tx, vehicle).await?;
        let boots = newest(&mut tx, vehicle, BOOT, MAX_BOOTS).await?;
        let status = newest(&mut tx, vehicle, STATUS, 1).await?;
        let (buses, bus_events) = buses::report(&mut tx, vehicle).await?;
        Ok(Some(VehicleReport {
            buses,
            bus_events,
            models: models(&mut tx, vehicle).await?,
            snapshots: snapshots::list(&mut tx, vehicle).await?,
            events: verdicts(&events),
            agent_events: collect(&agent_events, |record, origin| match record {
                Record::Agent(event) => Some(lines::agent_event(event, origin)),
                Record::Update(event) => Some(update_lines::step(event, origin)),
                Record::Shadow(report) => Some(update_lines::shadow(report, origin)),
                Record::Command(ack) => Some(update_lines::command(ack, origin)),
                _ => None,
            }),
            events_total,
            drift: drift::report(&mut tx, vehicle).await?,
            estimates: collect(
                &newest(&mut tx, vehicle, ESTIMATE, MAX_ESTIMATES).await?,
                |record, origin| match record {
                    Record::Estimate(record) => Some(estimate_lines::line(record, origin)),
                    _ => None,
                },
            ),
            gaps: gaps(&mut tx, vehicle).await?,
            loss_totals: losses::totals(&mut tx, vehicle).await?,
            streams: streams(&mut tx, vehicle).await?,
            line,
            losses: collect(&losses, |record, origin| match record {
                Record::Loss(loss) => Some(lines::loss(loss, origin)),
                _ => None,
            }),
            boots_heard: collect(&boots, |record, origin| match record {
                Record::Boot(boot) => Some(lines::boot(boot, origin)),
                _ => None,
            }),
            status: collect(&status, |record, origin| match record {
                Record::Status(status) => Some(lines::status(status, origin)),
                _ => None,
            })
            .pop(),
        }))
    }
}

/// A row of [`vehicle_sql`].
struct VehicleRow {
    id: i64,
    name: String,
    first_contact: Option<i64>,
    last_contact: Option<i64>,
    revoked: bool,
    boots: u64,
    counts: Counters,
    open: u64,
    judged: u64,
    subjects: u64,
    scored: u64,
    anomalous: u64,
    summarised: Option<i64>,
    drift: Option<i64>,
}

impl FromRow<'_, SqliteRow> for VehicleRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let number = |name: &str| row.try_get::<i64, _>(name).map(|n| u64::try_from(n).unwrap_or(0));
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            first_contact: row.try_get("first_contact")?,
            last_contact: row.try_get("last_contact")?,
            revoked: row.try_get("revoked")?,
            boots: number("boots")?,
            counts: Counters {
                requests: number("requests")?,
                records: number("records")?,
                duplicates: number("duplicates")?,
                conflicts: number("conflicts")?,
                unknown: number("unknown")?,
                malformed: number("malformed")?,
                lost_frames: number("lost_frames")?,
                lost_records: number("lost_records")?,
                unexplained_gaps: 0,
            },
            open: number("open")?,
            judged: number("judged")?,
            subjects: number("subjects")?,
            scored: number("scored")?,
            anomalous: number("anomalous")?,
            summarised: row.try_get("summarised")?,
            drift: row.try_get("drift")?,
        })
    }
}

impl VehicleRow {
    async fn line(self, tx: &mut SqliteConnection) -> Result<VehicleLine, StoreError> {
        let open_anomalies = if self.open > 0 { open_anomalies(tx, self.id).await? } else { Vec::new() };
        let unexplained = gaps(tx, self.id).await?.iter().filter(|gap| !gap.explained).count();
        let reasons = if self.scored > 0 { Reasons::new() } else { indeterminate(tx, self.id).await? };
        let (state, reason) = self.state(&open_anomalies, &reasons);
        Ok(VehicleLine {
            state,
            reason,
            vehicle: self.name,
            first_contact: self.first_contact.map(lines::time),
            last_contact: self.last_contact.map(lines::time),
            last_contact_us: self.last_contact,
            revoked: self.revoked,
            boots: self.boots,
            counts: Counters { unexplained_gaps: unexplained as u64, ..self.counts },
            open_total: self.open,
            drift: self.drift.and_then(|n| Severity::ALL.get(usize::try_from(n).ok()?)).map(|s| s.as_str()),
            open_anomalies,
        })
    }

    /// The one word and its reason. An anomaly in a summary counts though its event may be missing.
    fn state(&self, open: &[VerdictLine], reasons: &Reasons) -> (State, String) {
        if let Some(first) = open.first() {
            let others = self.open.saturating_sub(1);
            let more = if others > 0 { format!(" and {others} more") } else { String::new() };
            return (
                State::Anomalous,
                format!("{}{more} since {}", first.subject, lines::minute(first.since.unix_us)),
            );
        }
        if self.anomalous > 0 {
            let reason = format!("{} in the newest summary, without a verdict event", self.anomalous);
            return (State::Anomalous, reason);
        }
        if self.scored > 0 {
            let newest = self.summarised.map_or_else(String::new, lines::minute);
            let reason = format!(
                "{} of {} subjects scored, none anomalous; summary of {newest}",
                self.scored, self.subjects
            );
            return (State::Nominal, reason);
        }
        let mut reasons: Vec<&str> = reasons.values().map(|reason| reason.as_str()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        if self.subjects > 0 || !reasons.is_empty() {
            let why = if reasons.is_empty() { "no reason was given".to_owned() } else { reasons.join(", ") };
            return (State::Indeterminate, format!("no subject could be scored: {why}"));
        }
        if self.judged > 0 {
            return (State::Nominal, "the newest verdicts are nominal; no summary yet".to_owned());
        }
        let reason = match (self.last_contact, self.counts.records) {
            (None, _) => "it has never called",
            (Some(_), 0) => "it calls, but has sent no record yet",
            (Some(_), _) => "no model has reported yet",
        };
        (State::NoData, reason.to_owned())
    }
}

/// A record as it is stored, with its place.
pub(super) struct Stored {
    origin: Origin,
    record: RawRecord,
}

impl FromRow<'_, SqliteRow> for Stored {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            origin: Origin {
                boot: BootId(row.try_get::<i64, _>("boot")?.cast_unsigned()),
                seq: row.try_get::<i64, _>("seq")?.cast_unsigned(),
                received: row.try_get("received")?,
            },
            record: RawRecord { kind: row.try_get("kind")?, body: row.try_get("body")? },
        })
    }
}

/// The newest readable records of a kind, the newest first.
pub(super) async fn newest(
    tx: &mut SqliteConnection,
    vehicle: i64,
    kind: u16,
    most: usize,
) -> Result<Vec<Stored>, StoreError> {
    Ok(sqlx::query_as(
        "SELECT boot, seq, received, kind, body FROM records WHERE vehicle = ? AND kind = ? AND flaw = 0 \
         ORDER BY received DESC, boot DESC, seq DESC LIMIT ?",
    )
    .bind(vehicle)
    .bind(kind)
    .bind(most as i64)
    .fetch_all(tx)
    .await?)
}

/// What happened to the agent, its models and their updates, the newest first.
async fn agent_events(tx: &mut SqliteConnection, vehicle: i64) -> Result<Vec<Stored>, StoreError> {
    let mut events = Vec::new();
    for kind in [AGENT, UPDATE, SHADOW, COMMAND] {
        events.append(&mut newest(tx, vehicle, kind, MAX_AGENT_EVENTS).await?);
    }
    events.sort_by_key(|event| {
        let Origin { boot, seq, received } = event.origin;
        std::cmp::Reverse((received, boot, seq))
    });
    events.truncate(MAX_AGENT_EVENTS);
    Ok(events)
}

async fn count(tx: &mut SqliteConnection, vehicle: i64, kind: u16) -> Result<u64, StoreError> {
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM records WHERE vehicle = ? AND kind = ? AND flaw = 0")
            .bind(vehicle)
            .bind(kind)
            .fetch_one(tx)
            .await?;
    Ok(count.cast_unsigned())
}

/// Parses and turns into lines. What was stored without a flaw parses; what did not would be left out.
pub(super) fn collect<T>(stored: &[Stored], line: impl Fn(&Record, Origin) -> Option<T>) -> Vec<T> {
    stored.iter().filter_map(|stored| line(&stored.record.parse().ok()?, stored.origin)).collect()
}

fn verdicts(stored: &[Stored]) -> Vec<VerdictLine> {
    collect(stored, |record, origin| match record {
        Record::Verdict(event) => Some(lines::verdict(event, origin)),
        _ => None,
    })
}

/// The events behind the subjects that are anomalous now, the newest first.
async fn open_anomalies(tx: &mut SqliteConnection, vehicle: i64) -> Result<Vec<VerdictLine>, StoreError> {
    let stored: Vec<Stored> = sqlx::query_as(
        "SELECT r.boot, r.seq, r.received, r.kind, r.body FROM subjects s JOIN records r USING (vehicle, boot, lane, seq) \
         WHERE s.vehicle = ? AND s.verdict = 1 ORDER BY r.received DESC, r.boot DESC, r.seq DESC LIMIT ?",
    )
    .bind(vehicle)
    .bind(MAX_OPEN as i64)
    .fetch_all(tx)
    .await?;
    Ok(verdicts(&stored))
}

/// Why which subject of which model is indeterminate now, by its newest event.
type Reasons = HashMap<(String, String), IndeterminateReason>;

async fn indeterminate(tx: &mut SqliteConnection, vehicle: i64) -> Result<Reasons, StoreError> {
    let stored: Vec<Stored> = sqlx::query_as(
        "SELECT r.boot, r.seq, r.received, r.kind, r.body FROM subjects s JOIN records r USING (vehicle, boot, lane, seq) \
         WHERE s.vehicle = ? AND s.verdict = 2 LIMIT ?",
    )
    .bind(vehicle)
    .bind(MAX_SUBJECTS as i64)
    .fetch_all(tx)
    .await?;
    Ok(collect(&stored, |record, _| match record {
        Record::Verdict(event) => match event.verdict {
            VerdictCode::Indeterminate(reason) => {
                Some(((event.model.name.clone(), event.subject.clone()), reason))
            }
            VerdictCode::Nominal | VerdictCode::Anomalous => None,
        },
        _ => None,
    })
    .into_iter()
    .collect())
}

/// Each model's newest view, with the scores over time of what stood out most.
async fn models(tx: &mut SqliteConnection, vehicle: i64) -> Result<Vec<ModelView>, StoreError> {
    let reasons = indeterminate(tx, vehicle).await?;
    let stored = newest(tx, vehicle, SUMMARY, MAX_HISTORY).await?;
    let summaries = collect(&stored, |record, origin| match record {
        Record::Summary(summary) => Some((summary.clone(), origin)),
        _ => None,
    });
    let mut views: Vec<ModelView> = Vec::new();
    for (summary, origin) in &summaries {
        for model in &summary.models {
            let mut view = lines::model(model, summary.to, origin.received, &reasons);
            if !views.iter().any(|seen| seen.model == view.model) {
                view.history = history(&view, &summaries);
                views.push(view);
            }
        }
    }
    Ok(views)
}

/// The scores over time of the subjects that are anomalous or scored highest, in order of time.
fn history(view: &ModelView, summaries: &[(Summary, Origin)]) -> Vec<Series> {
    let mut stretches: Vec<_> = summaries
        .iter()
        .flat_map(|(summary, origin)| summary.models.iter().map(move |model| (model, summary.to, *origin)))
        .filter(|(model, ..)| lines::clip_name(&model.model.name) == view.model)
        .map(|(model, to, origin)| (lines::when(to, origin.received).unix_us, model))
        .collect();
    stretches.sort_by_key(|(unix_us, _)| *unix_us);
    let highest = |index: usize| {
        stretches.iter().filter_map(|(_, model)| lines::score(model, index)).fold(0.0, f32::max)
    };
    let mut ranked: Vec<(bool, f32, usize)> = view
        .subjects
        .iter()
        .enumerate()
        .map(|(index, subject)| (subject.state == State::Anomalous, highest(index), index))
        .collect();
    ranked.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)));
    ranked
        .into_iter()
        .take(MAX_SERIES)
        .map(|(_, _, index)| Series {
            name: view.subjects[index].name.clone(),
            points: stretches.iter().map(|(unix_us, model)| (*unix_us, lines::score(model, index))).collect(),
        })
        .collect()
}

async fn streams(tx: &mut SqliteConnection, vehicle: i64) -> Result<Vec<StreamLine>, StoreError> {
    let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT boot, lane, through FROM streams WHERE vehicle = ? ORDER BY boot DESC, lane LIMIT ?",
    )
    .bind(vehicle)
    .bind(MAX_STREAMS as i64)
    .fetch_all(tx)
    .await?;
    let line = |(boot, lane, through): (i64, i64, i64)| StreamLine {
        boot: BootId(boot.cast_unsigned()).to_string(),
        lane: lines::lane(lane),
        through: through.cast_unsigned(),
    };
    Ok(rows.into_iter().map(line).collect())
}
