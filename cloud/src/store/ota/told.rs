//! What vehicles tell of their updates, on its way into the tables.
//!
//! A record is stored once and takes effect once. Within a boot the number decides which is the newer, between boots
//! the arrival, as for verdicts.

use super::commands;
use crate::rollout::Metric;
use crate::rollout::evidence::observations;
use crate::rollout::stage::{self, Stage};
use crate::store::ingest::{Intake, Place};
use crate::store::{Store, StoreError, lines};
use serde::Serialize;
use telltale_wire::command::CommandAck;
use telltale_wire::update::{ShadowReport, UpdateEvent, UpdateStep};

/// The longest family or version that is kept, in bytes.
const MAX_NAME: usize = 64;
/// The longest reason that is kept, in bytes.
const MAX_WHY: usize = 300;
/// The most families that an answer on a vehicle tells.
const MAX_FAMILIES: i64 = 50;

/// A family's model on a vehicle, as the vehicle told it last.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct InstalledLine {
    /// The family.
    pub family: String,
    /// The release that the newest step is about; 0 for the model of the configuration.
    pub release: i64,
    /// Its version.
    pub version: String,
    /// The digest of its index.
    pub bundle: String,
    /// The newest step.
    pub step: String,
    /// Why, where there is a reason.
    pub reason: String,
    /// The release that is the active one, as far as it was told.
    pub committed: Option<i64>,
    /// When that was received.
    pub received: String,
    /// How the release did beside the active one, the newest report.
    pub shadow: Option<ShadowLine>,
}

/// A shadow or trial in figures.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ShadowLine {
    /// Whether the new model was the active one.
    pub is_trial: bool,
    /// Windows that both judged.
    pub windows: i64,
    /// Verdicts compared.
    pub compared: i64,
    /// Verdicts that differ.
    pub differed: i64,
    /// Runs without a good output.
    pub failed: i64,
    /// The 99th percentile of the latency, in microseconds.
    pub p99_us: i64,
}

impl Intake<'_> {
    /// An update took a step.
    pub(in crate::store) async fn update(
        &mut self,
        place: Place,
        event: &UpdateEvent,
    ) -> Result<(), StoreError> {
        let reason = match (event.reason, event.why.is_empty()) {
            (None, _) => cut(&event.why, MAX_WHY),
            (Some(reason), true) => reason.to_string(),
            (Some(reason), false) => format!("{reason}: {}", cut(&event.why, MAX_WHY)),
        };
        let committed = match event.step {
            UpdateStep::Committed => Some(i64::from(event.release)),
            _ => None,
        };
        sqlx::query(
            "INSERT INTO installed (vehicle, family, release, version, bundle, step, reason, committed, received, boot, \
                 seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
             ON CONFLICT DO UPDATE SET release = excluded.release, version = excluded.version, \
                 bundle = excluded.bundle, step = excluded.step, reason = excluded.reason, \
                 committed = CASE WHEN excluded.step = ?12 AND excluded.release = installed.committed THEN NULL \
                     ELSE coalesce(excluded.committed, installed.committed) END, received = excluded.received, \
                 boot = excluded.boot, seq = excluded.seq \
             WHERE CASE WHEN excluded.boot = installed.boot THEN excluded.seq > installed.seq \
                 ELSE (excluded.received, excluded.boot) > (installed.received, installed.boot) END",
        )
        .bind(self.vehicle)
        .bind(cut(&event.family, MAX_NAME))
        .bind(event.release)
        .bind(cut(&event.version, MAX_NAME))
        .bind(event.bundle.0.as_slice())
        .bind(event.step.as_str())
        .bind(&reason)
        .bind(committed)
        .bind(self.now.0)
        .bind(place.boot)
        .bind(place.seq)
        .bind(UpdateStep::RolledBack.as_str())
        .execute(&mut *self.tx)
        .await?;
        let Some(stage) = stage::after(event.step, event.reason) else { return Ok(()) };
        let rollouts: Vec<i64> = sqlx::query_scalar(
            "UPDATE members SET stage = ?1, reason = ?2, changed = ?3, boot = ?4, seq = ?5 \
             WHERE vehicle = ?6 AND rollout IN (SELECT r.id FROM rollouts r JOIN bundles b ON b.id = r.bundle \
                 WHERE b.digest = ?7) \
             AND (boot IS NULL OR CASE WHEN boot = ?4 THEN seq < ?5 ELSE (changed, boot) < (?3, ?4) END) \
             RETURNING rollout",
        )
        .bind(stage as i64)
        .bind(&reason)
        .bind(self.now.0)
        .bind(place.boot)
        .bind(place.seq)
        .bind(self.vehicle)
        .bind(event.bundle.0.as_slice())
        .fetch_all(&mut *self.tx)
        .await?;
        if stage.is_executed() {
            for rollout in rollouts {
                let failed = if stage == Stage::Failed { 1.0 } else { 0.0 };
                self.observe(rollout, Metric::Failure, failed).await?;
                self.observe_shadow(rollout, event.bundle.0.as_slice()).await?;
            }
        }
        Ok(())
    }

    /// A shadow or a trial, in figures.
    pub(in crate::store) async fn shadow(
        &mut self,
        place: Place,
        report: &ShadowReport,
    ) -> Result<(), StoreError> {
        let [(_, disagreement), (_, excess)] = observations(report);
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let ran = &report.candidate;
        let failed = ran.no_output.saturating_add(ran.not_finite).saturating_add(ran.too_slow);
        sqlx::query(
            "INSERT INTO shadows (vehicle, bundle, is_trial, windows, compared, differed, failed, p99_us, disagreement, \
                 excess, received, boot, seq) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT DO UPDATE SET is_trial = excluded.is_trial, windows = excluded.windows, \
                 compared = excluded.compared, differed = excluded.differed, failed = excluded.failed, \
                 p99_us = excluded.p99_us, disagreement = excluded.disagreement, excess = excluded.excess, \
                 received = excluded.received, boot = excluded.boot, seq = excluded.seq \
             WHERE CASE WHEN excluded.boot = shadows.boot THEN excluded.seq > shadows.seq \
                 ELSE (excluded.received, excluded.boot) > (shadows.received, shadows.boot) END",
        )
        .bind(self.vehicle)
        .bind(report.bundle.0.as_slice())
        .bind(report.is_trial)
        .bind(number(report.windows))
        .bind(number(report.compared))
        .bind(number(report.disagreements.total()))
        .bind(number(failed))
        .bind(ran.p99_us)
        .bind(disagreement)
        .bind(excess)
        .bind(self.now.0)
        .bind(place.boot)
        .bind(place.seq)
        .execute(&mut *self.tx)
        .await?;
        let rollouts: Vec<(i64, String)> = sqlx::query_as(
            "SELECT r.id, r.plan FROM rollouts r JOIN bundles b ON b.id = r.bundle JOIN members m ON m.rollout = r.id \
             WHERE b.digest = ? AND m.vehicle = ?",
        )
        .bind(report.bundle.0.as_slice())
        .bind(self.vehicle)
        .fetch_all(&mut *self.tx)
        .await?;
        for (rollout, plan) in rollouts {
            let Ok(plan) = crate::rollout::Plan::read(&plan) else { continue };
            if report.compared >= u64::from(plan.gates.min_compared) {
                self.observe_shadow(rollout, report.bundle.0.as_slice()).await?;
            }
        }
        Ok(())
    }

    pub(in crate::store) async fn acknowledge_command(&mut self, ack: &CommandAck) -> Result<(), StoreError> {
        commands::acknowledge(self.tx, self.vehicle, ack, self.now).await
    }

    /// The newest report of a vehicle becomes its one observation: once it has compared enough, or has ended before.
    async fn observe_shadow(&mut self, rollout: i64, bundle: &[u8]) -> Result<(), StoreError> {
        let newest: Option<(Option<f64>, Option<f64>)> =
            sqlx::query_as("SELECT disagreement, excess FROM shadows WHERE vehicle = ? AND bundle = ?")
                .bind(self.vehicle)
                .bind(bundle)
                .fetch_optional(&mut *self.tx)
                .await?;
        let (disagreement, excess) = newest.unwrap_or_default();
        for (metric, value) in [(Metric::Disagreement, disagreement), (Metric::ExcessFailure, excess)] {
            if let Some(value) = value {
                self.observe(rollout, metric, value).await?;
            }
        }
        Ok(())
    }

    /// A vehicle gives one observation of a metric, the first.
    async fn observe(&mut self, rollout: i64, metric: Metric, value: f64) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO observations (rollout, n, metric, vehicle, value, at) \
             SELECT ?1, 1 + coalesce(max(n), 0), ?2, ?3, ?4, ?5 FROM observations WHERE rollout = ?1 \
             ON CONFLICT DO NOTHING",
        )
        .bind(rollout)
        .bind(metric as i64)
        .bind(self.vehicle)
        .bind(value)
        .bind(self.now.0)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}

/// The text, cut to a number of bytes.
pub(super) fn cut(text: &str, most: usize) -> String {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

impl Store {
    /// The models of a vehicle and their updates, as it told them.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn installed(&self, vehicle: &str) -> Result<Vec<InstalledLine>, StoreError> {
        type Row = (String, i64, String, Vec<u8>, String, String, Option<i64>, i64);
        let mut tx = self.readers.begin().await?;
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT family, release, version, bundle, step, reason, committed, received FROM installed \
             WHERE vehicle = (SELECT id FROM vehicles WHERE name = ?) ORDER BY family LIMIT ?",
        )
        .bind(vehicle)
        .bind(MAX_FAMILIES)
        .fetch_all(&mut *tx)
        .await?;
        let mut all = Vec::with_capacity(rows.len());
        for (family, release, version, bundle, step, reason, committed, received) in rows {
            let shadow: Option<(bool, i64, i64, i64, i64, i64)> = sqlx::query_as(
                "SELECT is_trial, windows, compared, differed, failed, p99_us FROM shadows \
                 WHERE vehicle = (SELECT id FROM vehicles WHERE name = ?) AND bundle = ?",
            )
            .bind(vehicle)
            .bind(bundle.as_slice())
            .fetch_optional(&mut *tx)
            .await?;
            let shadow = shadow.map(|(is_trial, windows, compared, differed, failed, p99_us)| ShadowLine {
                is_trial,
                windows,
                compared,
                differed,
                failed,
                p99_us,
            });
            let (bundle, received) = (super::models::hex(&bundle), lines::time(received));
            all.push(InstalledLine {
                family,
                release,
                version,
                bundle,
                step,
                reason,
                committed,
                received,
                shadow,
            });
        }
        Ok(all)
    }
}
