//! The one way in: a vehicle's request becomes rows in one transaction, each record once.
//!
//! A batch is always taken whole. A record that was stored before is counted, one that does not decode is stored and
//! flagged, numbers that were skipped are noted as a gap: nothing that a vehicle sends can make its lane stand still,
//! because a vehicle deletes only what was acknowledged and would send the same batch for ever.

use super::{Store, StoreError, boot_key, spans};
use sqlx::SqliteConnection;
use telltale_wire::ids::{BootId, Seq, VehicleId};
use telltale_wire::record::{
    LossStage, NO_SCORE, RawRecord, Record, RecordError, Summary, VerdictCode, VerdictEvent,
};
use telltale_wire::sync::{Ack, Batch, SyncRequest};
use telltale_wire::time::WallTime;

/// The highest number a record may have: SQLite's integers are signed.
const MAX_SEQ: u64 = i64::MAX as u64;

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ingested {
    /// One for each batch, in the request's order.
    pub acks: Vec<Ack>,
    /// Records stored for the first time.
    pub stored: u64,
    /// Records that were stored before, byte for byte.
    pub duplicates: u64,
    /// Records whose number is taken by a record with other bytes. They are kept out.
    pub conflicts: u64,
    /// Of the stored: of a kind that is not known here.
    pub unknown: u64,
    /// Of the stored: of a known kind, but not decodable.
    pub malformed: u64,
    lost_frames: u64,
    lost_records: u64,
}

impl Store {
    /// Stores what a request brings, in one transaction, and returns after its commit.
    ///
    /// The caller has checked that the request comes from the vehicle it names. Dropping the future before it is done
    /// takes everything back.
    ///
    /// # Errors
    /// [`StoreError::Revoked`], [`StoreError::Unstorable`] for numbers that no record may have, [`StoreError::Busy`]
    /// and [`StoreError::Failed`]; in every case nothing was stored.
    pub async fn ingest(&self, request: &SyncRequest, now: WallTime) -> Result<Ingested, StoreError> {
        for batch in &request.batches {
            check_numbers(batch)?;
        }
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let vehicle = admit(&mut tx, &request.vehicle).await?;
        let mut intake =
            Intake { tx: &mut tx, name: &request.vehicle, vehicle, now, done: Ingested::default() };
        for batch in &request.batches {
            let through = intake.batch(batch).await?;
            intake.done.acks.push(Ack { boot: batch.boot, lane: batch.lane, through });
        }
        let done = intake.finish().await?;
        tx.commit().await?;
        Ok(done)
    }
}

fn check_numbers(batch: &Batch) -> Result<(), StoreError> {
    if batch.first_seq < Seq::FIRST {
        return Err(StoreError::Unstorable("a batch begins at number 0, sequence numbers begin at 1"));
    }
    let last = if batch.records.is_empty() { Some(batch.first_seq) } else { batch.last_seq() };
    match last {
        Some(last) if last.0 <= MAX_SEQ => Ok(()),
        _ => Err(StoreError::Unstorable("a batch's sequence numbers exceed 2^63 - 1")),
    }
}

/// The vehicle's row, made at its first contact; refuses the revoked.
async fn admit(tx: &mut SqliteConnection, vehicle: &VehicleId) -> Result<i64, StoreError> {
    sqlx::query("INSERT INTO vehicles (name) VALUES (?) ON CONFLICT DO NOTHING")
        .bind(vehicle.as_str())
        .execute(&mut *tx)
        .await?;
    let (id, revoked): (i64, bool) = sqlx::query_as("SELECT id, revoked FROM vehicles WHERE name = ?")
        .bind(vehicle.as_str())
        .fetch_one(&mut *tx)
        .await?;
    if revoked { Err(StoreError::Revoked(vehicle.clone())) } else { Ok(id) }
}

/// One request on its way into the tables.
pub(super) struct Intake<'a> {
    pub(super) tx: &'a mut SqliteConnection,
    name: &'a VehicleId,
    pub(super) vehicle: i64,
    pub(super) now: WallTime,
    done: Ingested,
}

/// Where a record stands within its vehicle.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) boot: i64,
    pub(super) lane: i64,
    pub(super) seq: i64,
}

impl Intake<'_> {
    /// Stores a batch and returns what is acknowledged of its lane from now on.
    async fn batch(&mut self, batch: &Batch) -> Result<Seq, StoreError> {
        let (boot, lane) = (boot_key(batch.boot), batch.lane as i64);
        let through = self.acknowledged(boot, lane).await?;
        let Some(Seq(last)) = batch.last_seq() else {
            return Ok(Seq(through));
        };
        let first = batch.first_seq.0;
        for (number, record) in (first..=last).zip(&batch.records) {
            self.record(Place { boot, lane, seq: number as i64 }, record).await?;
        }
        if first > through + 1 {
            log::warn!(
                "{}: boot {}, lane {}: {} to {} were skipped",
                self.name,
                batch.boot,
                batch.lane,
                through + 1,
                first - 1
            );
            self.note_gap(boot, lane, (through + 1, first - 1)).await?;
        } else if first <= through {
            self.close_gaps(boot, lane, (first, last)).await?;
        }
        self.acknowledge(boot, lane, through.max(last)).await
    }

    async fn acknowledged(&mut self, boot: i64, lane: i64) -> Result<u64, StoreError> {
        let through: Option<i64> =
            sqlx::query_scalar("SELECT through FROM streams WHERE vehicle = ? AND boot = ? AND lane = ?")
                .bind(self.vehicle)
                .bind(boot)
                .bind(lane)
                .fetch_optional(&mut *self.tx)
                .await?;
        Ok(through.map_or(0, i64::cast_unsigned))
    }

    async fn acknowledge(&mut self, boot: i64, lane: i64, through: u64) -> Result<Seq, StoreError> {
        sqlx::query(
            "INSERT INTO streams (vehicle, boot, lane, through) VALUES (?, ?, ?, ?) \
             ON CONFLICT DO UPDATE SET through = excluded.through",
        )
        .bind(self.vehicle)
        .bind(boot)
        .bind(lane)
        .bind(through.cast_signed())
        .execute(&mut *self.tx)
        .await?;
        Ok(Seq(through))
    }

    /// Stores one record if its number is free, and lets it take effect only then.
    async fn record(&mut self, place: Place, raw: &RawRecord) -> Result<(), StoreError> {
        let parsed = raw.parse();
        let flaw = match &parsed {
            Ok(_) => 0,
            Err(RecordError::UnknownKind(_)) => 1,
            Err(RecordError::Malformed { .. } | RecordError::TooLong { .. }) => 2,
        };
        let inserted = sqlx::query(
            "INSERT INTO records (vehicle, boot, lane, seq, kind, flaw, received, body) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(self.vehicle)
        .bind(place.boot)
        .bind(place.lane)
        .bind(place.seq)
        .bind(raw.kind)
        .bind(flaw)
        .bind(self.now.0)
        .bind(raw.body.as_slice())
        .execute(&mut *self.tx)
        .await?;
        if inserted.rows_affected() == 0 {
            return self.known_number(place, raw).await;
        }
        self.done.stored += 1;
        match parsed {
            Ok(record) => self.effect(place, &record).await,
            Err(RecordError::UnknownKind(_)) => {
                self.done.unknown += 1;
                Ok(())
            }
            Err(error) => {
                self.done.malformed += 1;
                log::warn!("{}: stored as it is, though {error}", self.name);
                Ok(())
            }
        }
    }

    /// The number is taken: by the same record, or by another one that then stays.
    async fn known_number(&mut self, place: Place, raw: &RawRecord) -> Result<(), StoreError> {
        let same: bool = sqlx::query_scalar(
            "SELECT kind = ? AND body = ? FROM records WHERE vehicle = ? AND boot = ? AND lane = ? AND seq = ?",
        )
        .bind(raw.kind)
        .bind(raw.body.as_slice())
        .bind(self.vehicle)
        .bind(place.boot)
        .bind(place.lane)
        .bind(place.seq)
        .fetch_one(&mut *self.tx)
        .await?;
        if same {
            self.done.duplicates += 1;
        } else {
            self.done.conflicts += 1;
            let boot = BootId(place.boot.cast_unsigned());
            log::warn!(
                "{}: boot {boot}, lane {}, number {} came again with other bytes: the first is kept",
                self.name,
                place.lane,
                place.seq
            );
        }
        Ok(())
    }

    /// What a record changes besides being stored.
    async fn effect(&mut self, place: Place, record: &Record) -> Result<(), StoreError> {
        match record {
            Record::Verdict(event) => self.verdict(place, event).await,
            Record::Summary(summary) => self.summary(place, summary).await,
            Record::Snapshot(part) => self.snapshot(place, part).await,
            Record::Signals(record) => self.signals(place, record).await,
            Record::Update(event) => self.update(place, event).await,
            Record::Shadow(report) => self.shadow(place, report).await,
            Record::Command(ack) => self.acknowledge_command(ack).await,
            Record::Trip(trip) => self.trip(place, trip).await,
            Record::Drift(record) => self.drift(place, record).await,
            Record::Loss(loss) => {
                let total = match loss.stage {
                    LossStage::Receive | LossStage::Bridge => &mut self.done.lost_frames,
                    LossStage::Channel
                    | LossStage::SpoolCap
                    | LossStage::SpoolCorrupt
                    | LossStage::SpoolWrite
                    | LossStage::Refused
                    | LossStage::Budget
                    | LossStage::Snapshot => &mut self.done.lost_records,
                };
                *total = total.saturating_add(loss.count);
                Ok(())
            }
            Record::Boot(_) | Record::Status(_) | Record::Bus(_) | Record::Agent(_) | Record::Estimate(_) => {
                Ok(())
            }
        }
    }

    /// Within a boot the number decides which verdict is the newer, between boots the arrival: a vehicle whose storage
    /// was wiped counts its boots from 1 again.
    async fn verdict(&mut self, place: Place, event: &VerdictEvent) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO subjects (vehicle, model, subject, verdict, received, boot, lane, seq) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT DO UPDATE SET verdict = excluded.verdict, received = excluded.received, \
                 boot = excluded.boot, lane = excluded.lane, seq = excluded.seq \
             WHERE CASE WHEN excluded.boot = subjects.boot THEN excluded.seq > subjects.seq \
                 ELSE (excluded.received, excluded.boot) > (subjects.received, subjects.boot) END",
        )
        .bind(self.vehicle)
        .bind(&event.model.name)
        .bind(&event.subject)
        .bind(verdict_key(event.verdict))
        .bind(self.now.0)
        .bind(place.boot)
        .bind(place.lane)
        .bind(place.seq)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    async fn summary(&mut self, place: Place, summary: &Summary) -> Result<(), StoreError> {
        for model in &summary.models {
            let scored = model.score.iter().filter(|score| **score != NO_SCORE).count();
            sqlx::query(
                "INSERT INTO models (vehicle, model, subjects, scored, anomalous, received, boot, lane, seq) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) \
                 ON CONFLICT DO UPDATE SET subjects = excluded.subjects, scored = excluded.scored, \
                     anomalous = excluded.anomalous, received = excluded.received, boot = excluded.boot, \
                     lane = excluded.lane, seq = excluded.seq \
                 WHERE CASE WHEN excluded.boot = models.boot THEN excluded.seq > models.seq \
                     ELSE (excluded.received, excluded.boot) > (models.received, models.boot) END",
            )
            .bind(self.vehicle)
            .bind(&model.model.name)
            .bind(model.score.len() as i64)
            .bind(scored as i64)
            .bind(model.anomalous.len() as i64)
            .bind(self.now.0)
            .bind(place.boot)
            .bind(place.lane)
            .bind(place.seq)
            .execute(&mut *self.tx)
            .await?;
        }
        Ok(())
    }

    async fn note_gap(&mut self, boot: i64, lane: i64, gap: spans::Span) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO gaps (vehicle, boot, lane, first, last, noticed) VALUES (?, ?, ?, ?, ?, ?)")
            .bind(self.vehicle)
            .bind(boot)
            .bind(lane)
            .bind(gap.0.cast_signed())
            .bind(gap.1.cast_signed())
            .bind(self.now.0)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// A batch that comes late, behind a later one that overtook it, fills what was noted as a gap.
    async fn close_gaps(&mut self, boot: i64, lane: i64, filled: spans::Span) -> Result<(), StoreError> {
        let gaps: Vec<(i64, i64)> = sqlx::query_as(
            "DELETE FROM gaps WHERE vehicle = ? AND boot = ? AND lane = ? AND first <= ? AND last >= ? \
             RETURNING first, last",
        )
        .bind(self.vehicle)
        .bind(boot)
        .bind(lane)
        .bind(filled.1.cast_signed())
        .bind(filled.0.cast_signed())
        .fetch_all(&mut *self.tx)
        .await?;
        for (first, last) in gaps {
            for rest in spans::without((first.cast_unsigned(), last.cast_unsigned()), filled) {
                self.note_gap(boot, lane, rest).await?;
            }
        }
        Ok(())
    }

    /// Brings the vehicle's counters up to date. They saturate: a vehicle names its own losses, and a sum that
    /// overflowed would make its every later request fail.
    async fn finish(mut self) -> Result<Ingested, StoreError> {
        let (lost_frames, lost_records): (i64, i64) =
            sqlx::query_as("SELECT lost_frames, lost_records FROM vehicles WHERE id = ?")
                .bind(self.vehicle)
                .fetch_one(&mut *self.tx)
                .await?;
        let done = std::mem::take(&mut self.done);
        sqlx::query(
            "UPDATE vehicles SET first_contact = coalesce(first_contact, ?1), last_contact = ?1, \
                 requests = requests + 1, records = records + ?2, duplicates = duplicates + ?3, \
                 conflicts = conflicts + ?4, unknown = unknown + ?5, malformed = malformed + ?6, \
                 lost_frames = ?7, lost_records = ?8 WHERE id = ?9",
        )
        .bind(self.now.0)
        .bind(done.stored as i64)
        .bind(done.duplicates as i64)
        .bind(done.conflicts as i64)
        .bind(done.unknown as i64)
        .bind(done.malformed as i64)
        .bind(lost_frames.saturating_add_unsigned(done.lost_frames))
        .bind(lost_records.saturating_add_unsigned(done.lost_records))
        .bind(self.vehicle)
        .execute(&mut *self.tx)
        .await?;
        Ok(done)
    }
}

fn verdict_key(verdict: VerdictCode) -> i64 {
    match verdict {
        VerdictCode::Nominal => 0,
        VerdictCode::Anomalous => 1,
        VerdictCode::Indeterminate(_) => 2,
    }
}
