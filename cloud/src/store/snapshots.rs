//! Snapshots in and out: an index of which there are, and their samples out of the records that hold them.

use super::ingest::{Intake, Place};
use super::{Store, StoreError, lines};
use crate::snapshot::{Gathering, MAX_PARTS, MAX_SNAPSHOTS, SnapshotLine, SnapshotReport, TooMany, Wanted};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _, SqliteConnection};
use telltale_wire::ids::BootId;
use telltale_wire::record::{RawRecord, Record};
use telltale_wire::snapshot::{SnapshotCause, SnapshotPart, decode};
use telltale_wire::time::{MonoTime, Stamp, WallTime};

/// What became of a question for one snapshot.
#[derive(Debug)]
pub(crate) enum Found {
    /// There is none of that number.
    Nothing,
    /// It has more samples than are given at once.
    TooMany(SnapshotLine),
    /// Here it is.
    Snapshot(SnapshotReport),
}

impl Intake<'_> {
    /// Enters a part of a snapshot, in whatever order the parts come.
    pub(super) async fn snapshot(&mut self, place: Place, part: &SnapshotPart) -> Result<(), StoreError> {
        let subject = match &part.cause {
            SnapshotCause::Verdict { subject, .. } => subject.as_str(),
            SnapshotCause::Command { .. } => "",
        };
        sqlx::query(
            "INSERT INTO snapshots (vehicle, n, boot, number, cause, subject, mono, wall, before_ms, after_ms, \
                 missing_ms, merged, parts, received) \
             SELECT ?1, coalesce(max(n), 0) + 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13 \
             FROM snapshots WHERE vehicle = ?1 \
             ON CONFLICT DO NOTHING",
        )
        .bind(self.vehicle)
        .bind(place.boot)
        .bind(part.number)
        .bind(lines::clip_sentence(&part.cause.to_string()))
        .bind(lines::clip_name(subject))
        .bind(part.at.mono.0.cast_signed())
        .bind(part.at.wall.map(|wall| wall.0))
        .bind(part.before_ms)
        .bind(part.after_ms)
        .bind(part.missing_ms)
        .bind(part.merged)
        .bind(part.parts)
        .bind(self.now.0)
        .execute(&mut *self.tx)
        .await?;
        let entered = sqlx::query(
            "INSERT INTO snapshot_parts (vehicle, boot, number, part, lane, seq) VALUES (?, ?, ?, ?, ?, ?) \
             ON CONFLICT DO NOTHING",
        )
        .bind(self.vehicle)
        .bind(place.boot)
        .bind(part.number)
        .bind(part.part)
        .bind(place.lane)
        .bind(place.seq)
        .execute(&mut *self.tx)
        .await?;
        if entered.rows_affected() > 0 {
            sqlx::query(
                "UPDATE snapshots SET samples = samples + ?, bytes = bytes + ? \
                 WHERE vehicle = ? AND boot = ? AND number = ?",
            )
            .bind(part.samples)
            .bind(part.block.len() as i64)
            .bind(self.vehicle)
            .bind(place.boot)
            .bind(part.number)
            .execute(&mut *self.tx)
            .await?;
        }
        Ok(())
    }
}

/// A row of `snapshots` with the number of its parts that arrived.
struct SnapshotRow {
    line: SnapshotLine,
    boot: i64,
    number: i64,
}

impl FromRow<'_, SqliteRow> for SnapshotRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let count = |name: &str| row.try_get::<i64, _>(name).map(|n| u64::try_from(n).unwrap_or(0));
        let (boot, number): (i64, i64) = (row.try_get("boot")?, row.try_get("number")?);
        let mono = MonoTime(row.try_get::<i64, _>("mono")?.cast_unsigned());
        let wall: Option<i64> = row.try_get("wall")?;
        let (parts, parts_received) = (count("parts")?, count("parts_received")?);
        let line = SnapshotLine {
            n: count("n")?,
            boot: BootId(boot.cast_unsigned()).to_string(),
            number: count("number")?,
            cause: row.try_get("cause")?,
            subject: row.try_get("subject")?,
            when: lines::when(Stamp { mono, wall: wall.map(WallTime) }, row.try_get("received")?),
            merged: count("merged")?,
            before_ms: count("before_ms")?,
            after_ms: count("after_ms")?,
            missing_ms: count("missing_ms")?,
            parts,
            parts_received,
            complete: parts_received >= parts,
            samples: count("samples")?,
            bytes: count("bytes")?,
        };
        Ok(Self { line, boot, number })
    }
}

/// The rows of `snapshots` that `$tail` picks.
macro_rules! snapshot_sql {
    ($tail:literal) => {
        concat!(
            "SELECT s.*, (SELECT count(*) FROM snapshot_parts p WHERE p.vehicle = s.vehicle AND p.boot = s.boot \
                 AND p.number = s.number AND p.part < s.parts) AS parts_received \
             FROM snapshots s ",
            $tail
        )
    };
}

/// A vehicle's snapshots, the newest first.
pub(super) async fn list(tx: &mut SqliteConnection, vehicle: i64) -> Result<Vec<SnapshotLine>, StoreError> {
    let rows: Vec<SnapshotRow> =
        sqlx::query_as(snapshot_sql!("WHERE s.vehicle = ? ORDER BY s.n DESC LIMIT ?"))
            .bind(vehicle)
            .bind(MAX_SNAPSHOTS as i64)
            .fetch_all(tx)
            .await?;
    Ok(rows.into_iter().map(|row| row.line).collect())
}

impl Store {
    /// One snapshot of a vehicle, with the samples of the signals that are wanted.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Failed`].
    pub(crate) async fn snapshot(&self, vehicle: &str, n: u64, wanted: &Wanted) -> Result<Found, StoreError> {
        let mut tx = self.readers.begin().await?;
        let row: Option<(i64,)> = sqlx::query_as("SELECT id FROM vehicles WHERE name = ?")
            .bind(vehicle)
            .fetch_optional(&mut *tx)
            .await?;
        let (Some((vehicle,)), Ok(n)) = (row, i64::try_from(n)) else { return Ok(Found::Nothing) };
        let row: Option<SnapshotRow> = sqlx::query_as(snapshot_sql!("WHERE s.vehicle = ? AND s.n = ?"))
            .bind(vehicle)
            .bind(n)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(SnapshotRow { line, boot, number }) = row else { return Ok(Found::Nothing) };
        let places: Vec<(i64, i64, i64)> = sqlx::query_as(
            "SELECT part, lane, seq FROM snapshot_parts WHERE vehicle = ? AND boot = ? AND number = ? \
             ORDER BY part LIMIT ?",
        )
        .bind(vehicle)
        .bind(boot)
        .bind(number)
        .bind(MAX_PARTS as i64)
        .fetch_all(&mut *tx)
        .await?;
        let (mut gathering, mut unreadable) = (Gathering::default(), Vec::new());
        for (part, lane, seq) in places {
            let (kind, body): (u16, Vec<u8>) = sqlx::query_as(
                "SELECT kind, body FROM records WHERE vehicle = ? AND boot = ? AND lane = ? AND seq = ?",
            )
            .bind(vehicle)
            .bind(boot)
            .bind(lane)
            .bind(seq)
            .fetch_one(&mut *tx)
            .await?;
            let Ok(Record::Snapshot(told)) = (RawRecord { kind, body }).parse() else { continue };
            match decode(&told.block) {
                Err(why) => unreadable.push(format!("part {}: {why}", part + 1)),
                Ok(block) => match gathering.take(&block, wanted) {
                    Ok(()) => {}
                    Err(TooMany) => return Ok(Found::TooMany(line)),
                },
            }
        }
        Ok(Found::Snapshot(SnapshotReport { line, unreadable, signals: gathering.finish() }))
    }
}
