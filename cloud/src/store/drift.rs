//! Drift in and out: of each input of a vehicle's models what was told last, whatever order it comes in.

use super::ingest::{Intake, Place};
use super::{StoreError, lines};
use crate::drift::{DriftLine, MAX_DRIFTS};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _, SqliteConnection};
use telltale_wire::drift::{DriftRecord, Horizon, Severity};
use telltale_wire::time::{MonoTime, Stamp, WallTime};

impl Intake<'_> {
    /// Enters what is told of some inputs. A vehicle has no more of them than a report tells.
    pub(super) async fn drift(&mut self, place: Place, record: &DriftRecord) -> Result<(), StoreError> {
        for told in record.inputs.iter().take(MAX_DRIFTS) {
            let number = |x: f32| if x.is_finite() { f64::from(x) } else { 0.0 };
            sqlx::query(
                "INSERT INTO drift (vehicle, model, input, horizon, digest, severity, psi, above, outside, mono, wall, \
                     received, boot, seq) \
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14 \
                 WHERE (SELECT count(*) FROM drift WHERE vehicle = ?1) < ?15 \
                     OR EXISTS (SELECT 1 FROM drift WHERE (vehicle, model, input, horizon) = (?1, ?2, ?3, ?4)) \
                 ON CONFLICT DO UPDATE SET digest = excluded.digest, severity = excluded.severity, psi = excluded.psi, \
                     above = excluded.above, outside = excluded.outside, mono = excluded.mono, wall = excluded.wall, \
                     received = excluded.received, boot = excluded.boot, seq = excluded.seq \
                 WHERE CASE WHEN excluded.boot = drift.boot THEN excluded.seq > drift.seq \
                     ELSE (excluded.received, excluded.boot) > (drift.received, drift.boot) END",
            )
            .bind(self.vehicle)
            .bind(lines::clip_name(&record.model.name))
            .bind(lines::clip_name(&told.input))
            .bind(told.horizon as i64)
            .bind(record.model.digest.to_string())
            .bind(told.severity as i64)
            .bind(number(told.index))
            .bind(number(told.limit))
            .bind(number(told.outside))
            .bind(record.at.mono.0.cast_signed())
            .bind(record.at.wall.map(|wall| wall.0))
            .bind(self.now.0)
            .bind(place.boot)
            .bind(place.seq)
            .bind(MAX_DRIFTS as i64)
            .execute(&mut *self.tx)
            .await?;
        }
        Ok(())
    }
}

/// What a vehicle's models that spoke last have told, the worst first.
pub(super) async fn report(tx: &mut SqliteConnection, vehicle: i64) -> Result<Vec<DriftLine>, StoreError> {
    let rows: Vec<DriftLine> = sqlx::query_as(
        "SELECT * FROM drift d WHERE vehicle = ? AND digest = (SELECT digest FROM drift n \
             WHERE n.vehicle = d.vehicle AND n.model = d.model ORDER BY received DESC, boot DESC, seq DESC LIMIT 1) \
         ORDER BY severity DESC, psi / above DESC, model, input, horizon LIMIT ?",
    )
    .bind(vehicle)
    .bind(MAX_DRIFTS as i64)
    .fetch_all(tx)
    .await?;
    Ok(rows)
}

impl FromRow<'_, SqliteRow> for DriftLine {
    fn from_row(row: &SqliteRow) -> Result<DriftLine, sqlx::Error> {
        let number = |name: &str| row.try_get::<f64, _>(name);
        let at = Stamp {
            mono: MonoTime(row.try_get::<i64, _>("mono")?.cast_unsigned()),
            wall: row.try_get::<Option<i64>, _>("wall")?.map(WallTime),
        };
        let place =
            |name: &str| row.try_get::<i64, _>(name).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        Ok(DriftLine {
            when: lines::when(at, row.try_get("received")?),
            model: row.try_get("model")?,
            digest: row.try_get("digest")?,
            input: row.try_get("input")?,
            horizon: Horizon::ALL.get(place("horizon")?).map_or("", |horizon| horizon.as_str()),
            severity: Severity::ALL.get(place("severity")?).map_or("", |severity| severity.as_str()),
            index: number("psi")?,
            limit: number("above")?,
            outside: number("outside")?,
        })
    }
}
