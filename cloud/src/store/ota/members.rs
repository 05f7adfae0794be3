//! The vehicles of a rollout: which wave each belongs to, where it stands, and the tallies over them.

use super::rollouts::Row;
use crate::rollout::cohort;
use crate::rollout::stage::Stage;
use crate::rollout::{Evidence, Metric, Plan, Readings, Tally};
use crate::store::{StoreError, lines};
use serde::Serialize;
use sqlx::SqliteConnection;
use std::collections::HashMap;
use telltale_wire::time::WallTime;

/// The most vehicles that an answer on a rollout tells.
const MAX_MEMBERS: i64 = 5_000;
/// Observations that the tests use; by then they have long decided.
pub(super) const MAX_OBSERVATIONS: i64 = 20_000;
const HOUR_US: i64 = 3_600_000_000;

/// A wave, with what its vehicles came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct WaveLine {
    /// Its number, from 1.
    pub wave: usize,
    /// How many of its vehicles stand where.
    #[serde(flatten)]
    pub tally: Tally,
}

/// One vehicle of a rollout.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct MemberLine {
    /// Its id.
    pub vehicle: String,
    /// Its wave, from 1.
    pub wave: i64,
    /// Where it stands.
    pub stage: Stage,
    /// Why, where there is a reason.
    pub reason: String,
    /// Whether it has not called for longer than the plan waits.
    pub is_silent: bool,
    /// When that changed.
    pub changed: Option<String>,
}

/// Puts every vehicle that the rollout has not seen into its wave.
pub(super) async fn enlist(tx: &mut SqliteConnection, rollout: &Row, plan: &Plan) -> Result<u64, StoreError> {
    let fresh: Vec<(i64, String)> = sqlx::query_as(
        "SELECT id, name FROM vehicles WHERE first_contact IS NOT NULL \
         AND id NOT IN (SELECT vehicle FROM members WHERE rollout = ?)",
    )
    .bind(rollout.id)
    .fetch_all(&mut *tx)
    .await?;
    if fresh.is_empty() {
        return Ok(0);
    }
    let mut groups: HashMap<String, Vec<String>> = HashMap::new();
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT vehicle, name FROM groups").fetch_all(&mut *tx).await?;
    for (vehicle, group) in rows {
        groups.entry(vehicle).or_default().push(group);
    }
    for (id, name) in &fresh {
        let of = groups.get(name).map_or(&[][..], Vec::as_slice);
        let wave = cohort::wave_of(plan, &rollout.salt(), name, of);
        sqlx::query("INSERT INTO members (rollout, vehicle, wave) VALUES (?, ?, ?)")
            .bind(rollout.id)
            .bind(id)
            .bind(wave.map(|wave| wave as i64))
            .execute(&mut *tx)
            .await?;
    }
    Ok(fresh.len() as u64)
}

/// Releases the model to the vehicles of all waves up to this one.
pub(super) async fn assign(
    tx: &mut SqliteConnection,
    rollout: i64,
    wave: usize,
    now: WallTime,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE members SET stage = 1, assigned = ?1, changed = ?1 WHERE rollout = ?2 AND stage = 0 AND wave <= ?3",
    )
    .bind(now.0)
    .bind(rollout)
    .bind(wave as i64)
    .execute(tx)
    .await?;
    Ok(done.rows_affected())
}

/// Before this time a vehicle must have been heard of, not to be silent.
fn silence(plan: &Plan, now: WallTime) -> i64 {
    now.0.saturating_sub(i64::from(plan.gates.absent_after_hours) * HOUR_US)
}

/// What the rollout is judged by now.
pub(super) async fn evidence(
    tx: &mut SqliteConnection,
    rollout: &Row,
    plan: &Plan,
    now: WallTime,
) -> Result<Evidence, StoreError> {
    let mut waves = vec![Tally::default(); plan.waves.len()];
    let counted: Vec<(i64, i64, bool, i64)> = sqlx::query_as(
        "SELECT m.wave, m.stage, max(coalesce(v.last_contact, 0), coalesce(m.assigned, ?2)) < ?2, count(*) \
         FROM members m JOIN vehicles v ON v.id = m.vehicle \
         WHERE m.rollout = ?1 AND m.wave IS NOT NULL GROUP BY 1, 2, 3",
    )
    .bind(rollout.id)
    .bind(silence(plan, now))
    .fetch_all(&mut *tx)
    .await?;
    for (wave, stage, is_silent, count) in counted {
        let place = usize::try_from(wave).ok().and_then(|wave| waves.get_mut(wave));
        if let (Some(tally), Some(stage)) = (place, Stage::of_number(stage)) {
            tally.add(stage, is_silent, count.unsigned_abs());
        }
    }
    let seen: Vec<(i64, f64)> = sqlx::query_as(
        "SELECT metric, value FROM observations WHERE rollout = ? AND n > ? ORDER BY n LIMIT ?",
    )
    .bind(rollout.id)
    .bind(rollout.readings_from)
    .bind(MAX_OBSERVATIONS)
    .fetch_all(&mut *tx)
    .await?;
    let mut readings = Readings::default();
    for (metric, value) in seen {
        if let Some(metric) = Metric::of_number(metric) {
            readings.push(metric, value);
        }
    }
    Ok(Evidence { waves, readings })
}

/// The rollout's vehicles, what needs a look first.
pub(super) async fn list(
    tx: &mut SqliteConnection,
    rollout: i64,
    plan: &Plan,
    now: WallTime,
) -> Result<Vec<MemberLine>, StoreError> {
    let rows: Vec<(String, i64, i64, String, bool, Option<i64>)> = sqlx::query_as(
        "SELECT v.name, m.wave, m.stage, m.reason, \
             max(coalesce(v.last_contact, 0), coalesce(m.assigned, ?2)) < ?2 AND m.stage > 0, m.changed \
         FROM members m JOIN vehicles v ON v.id = m.vehicle WHERE m.rollout = ?1 AND m.wave IS NOT NULL \
         ORDER BY m.stage = 9 DESC, m.stage = 0, m.changed DESC, v.name LIMIT ?3",
    )
    .bind(rollout)
    .bind(silence(plan, now))
    .bind(MAX_MEMBERS)
    .fetch_all(&mut *tx)
    .await?;
    let line = |(vehicle, wave, stage, reason, is_silent, changed): (
        String,
        i64,
        i64,
        String,
        bool,
        Option<i64>,
    )| {
        let stage = Stage::of_number(stage)?;
        let changed = changed.map(lines::time);
        Some(MemberLine { vehicle, wave: wave + 1, stage, reason, is_silent, changed })
    };
    Ok(rows.into_iter().filter_map(line).collect())
}
