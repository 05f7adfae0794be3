//! Statistics of signals in and out: an index by time of the records that hold them, and what they come to together.

use super::ingest::{Intake, Place};
use super::stored::{Pages, Stored};
use super::{Store, StoreError};
use crate::signals::{
    Asked, FleetSignalReport, Gathering, MAX_BYTES, MAX_RECORDS, Names, Range, SignalsReport, Stretch,
};
use sqlx::SqliteConnection;
use std::collections::HashMap;
use telltale_wire::record::{RawRecord, Record};
use telltale_wire::signals::{Directory, SignalRecord};

/// Records read at once: 13 MB at the worst.
const PAGE: i64 = 200;
/// The most parts of a directory that are read. A part holds about 2,000 names or more.
const MAX_PARTS: i64 = 16;
/// The most directories whose places are held for one answer: 16 bytes a name, 68 MB at the worst.
const MAX_DIRECTORIES: usize = 1_024;
/// How far ahead of this server's clock a vehicle's may be before the fleet's newest time ignores it, in microseconds.
const AHEAD: i64 = 86_400_000_000;

impl Intake<'_> {
    /// Enters a record of kind 6.
    pub(super) async fn signals(&mut self, place: Place, record: &SignalRecord) -> Result<(), StoreError> {
        enter(self.tx, self.vehicle, place, record, self.now.0).await
    }
}

async fn enter(
    tx: &mut SqliteConnection,
    vehicle: i64,
    place: Place,
    record: &SignalRecord,
    received: i64,
) -> Result<(), StoreError> {
    let query = match record {
        SignalRecord::Directory(part) => sqlx::query(
            "INSERT INTO directories (vehicle, boot, lane, seq, directory, first) VALUES (?, ?, ?, ?, ?, ?) \
             ON CONFLICT DO NOTHING",
        )
        .bind(vehicle)
        .bind(place.boot)
        .bind(place.lane)
        .bind(place.seq)
        .bind(part.id.0.to_vec())
        .bind(i64::from(part.first)),
        SignalRecord::Statistics(statistics) => sqlx::query(
            "INSERT INTO statistics (vehicle, boot, lane, seq, directory, ends) VALUES (?, ?, ?, ?, ?, ?) \
             ON CONFLICT DO NOTHING",
        )
        .bind(vehicle)
        .bind(place.boot)
        .bind(place.lane)
        .bind(place.seq)
        .bind(statistics.directory.0.to_vec())
        .bind(statistics.to.wall.map_or(received, |wall| wall.0)),
    };
    query.execute(tx).await?;
    Ok(())
}

/// Enters what was stored by a program that did not know kind 6 yet, or did not index it.
pub(super) async fn index_stored(tx: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut pages = Pages::of(6);
    loop {
        let page = pages.next(tx).await?;
        if page.is_empty() {
            return Ok(());
        }
        for Stored { vehicle, place, received, record } in page {
            if let Ok(Record::Signals(record)) = record.parse() {
                enter(tx, vehicle, place, &record, received).await?;
            }
        }
    }
}

/// A row of the page queries below.
type Row = (i64, i64, i64, i64, i64, Vec<u8>, Vec<u8>);

/// The columns of [`Row`].
macro_rules! page_sql {
    ($which:literal) => {
        concat!(
            "SELECT s.vehicle, s.ends, s.boot, s.lane, s.seq, s.directory, r.body \
             FROM statistics s JOIN records r USING (vehicle, boot, lane, seq) WHERE ",
            $which,
            " AND s.ends > ?2 AND s.ends <= ?3 AND (s.ends, s.vehicle, s.boot, s.lane, s.seq) < (?3, ?4, ?5, ?6, ?7) \
             ORDER BY s.ends DESC, s.vehicle DESC, s.boot DESC, s.lane DESC, s.seq DESC LIMIT ?8"
        )
    };
}

impl Store {
    /// The statistics of one vehicle over a range, by default the last day of its data; `None` for one that is not known.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Failed`].
    pub async fn signals(&self, vehicle: &str, asked: Asked) -> Result<Option<SignalsReport>, StoreError> {
        let mut tx = self.readers.begin().await?;
        let id: Option<i64> = sqlx::query_scalar("SELECT id FROM vehicles WHERE name = ?")
            .bind(vehicle)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(id) = id else { return Ok(None) };
        let newest: Option<i64> = sqlx::query_scalar("SELECT max(ends) FROM statistics WHERE vehicle = ?")
            .bind(id)
            .fetch_one(&mut *tx)
            .await?;
        let range = asked.over(newest.unwrap_or(0));
        let parts = gather(&mut tx, Some(id), None, range).await?.finish();
        let (merged, signals, models) = (parts.merged, parts.signals, parts.models);
        Ok(Some(SignalsReport { merged, signals, models, buses: parts.buses, quality: parts.quality }))
    }

    /// One signal over all vehicles, by default the last day of the fleet's data.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Failed`].
    pub async fn fleet_signal(
        &self,
        signal: &str,
        asked: Asked,
        now: telltale_wire::time::WallTime,
    ) -> Result<FleetSignalReport, StoreError> {
        let mut tx = self.readers.begin().await?;
        let newest: Option<i64> = sqlx::query_scalar(
            "SELECT coalesce((SELECT max(ends) FROM statistics WHERE ends <= ?), (SELECT max(ends) FROM statistics))",
        )
        .bind(now.0.saturating_add(AHEAD))
        .fetch_one(&mut *tx)
        .await?;
        let range = asked.over(newest.unwrap_or(0));
        let parts = gather(&mut tx, None, Some(signal), range).await?.finish();
        let signal = signal.chars().take(255).collect();
        Ok(FleetSignalReport { signal, merged: parts.merged, series: parts.signals })
    }
}

/// Reads the records of a range, the newest first, as many as one answer may merge.
async fn gather(
    tx: &mut SqliteConnection,
    vehicle: Option<i64>,
    only: Option<&str>,
    range: Range,
) -> Result<Gathering, StoreError> {
    let (total, first, last): (i64, Option<i64>, Option<i64>) = match vehicle {
        Some(vehicle) => {
            sqlx::query_as(
                "SELECT count(*), min(ends), max(ends) FROM statistics WHERE vehicle = ?1 AND ends > ?2 AND ends <= ?3",
            )
            .bind(vehicle)
        }
        None => sqlx::query_as(
            "SELECT count(*), min(ends), max(ends) FROM statistics WHERE ?1 IS NULL AND ends > ?2 AND ends <= ?3",
        )
        .bind(None::<i64>),
    }
    .bind(range.from)
    .bind(range.to)
    .fetch_one(&mut *tx)
    .await?;
    let spread = Range { from: first.unwrap_or(range.from), to: last.unwrap_or(range.to) };
    let mut gathering = Gathering::new(only, range, spread, total.cast_unsigned());
    let mut directories: HashMap<(i64, Vec<u8>), Names> = HashMap::new();
    let mut before = (range.to, i64::MAX, i64::MAX, i64::MAX, i64::MAX);
    let (mut records, mut bytes) = (0, 0);
    while records < MAX_RECORDS && bytes < MAX_BYTES {
        let sql = match vehicle {
            Some(_) => page_sql!("s.vehicle = ?1"),
            None => page_sql!("?1 IS NULL"),
        };
        let rows: Vec<Row> = sqlx::query_as(sql)
            .bind(vehicle)
            .bind(range.from)
            .bind(before.0)
            .bind(before.1)
            .bind(before.2)
            .bind(before.3)
            .bind(before.4)
            .bind(PAGE)
            .fetch_all(&mut *tx)
            .await?;
        let Some((vehicle, ends, boot, lane, seq, ..)) = rows.last() else { break };
        before = (*ends, *vehicle, *boot, *lane, *seq);
        for (vehicle, ends, _, _, _, directory, body) in rows {
            (records, bytes) = (records + 1, bytes + body.len());
            let key = (vehicle, directory);
            if !directories.contains_key(&key) {
                if directories.len() >= MAX_DIRECTORIES {
                    directories.clear();
                }
                let names = gathering.name(&parts(tx, key.0, &key.1).await?);
                directories.insert(key.clone(), names);
            }
            match (RawRecord { kind: 6, body }).parse() {
                Ok(Record::Signals(SignalRecord::Statistics(statistics))) => {
                    gathering.take(&statistics, &directories[&key], Stretch { vehicle, ends });
                }
                _ => gathering.unreadable(),
            }
        }
        // Merging takes a while: others have their turn in between.
        tokio::task::yield_now().await;
    }
    Ok(gathering)
}

/// The parts of a directory that have come.
async fn parts(
    tx: &mut SqliteConnection,
    vehicle: i64,
    directory: &[u8],
) -> Result<Vec<Directory>, StoreError> {
    let bodies: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT r.body FROM directories d JOIN records r USING (vehicle, boot, lane, seq) \
         WHERE d.vehicle = ? AND d.directory = ? ORDER BY d.first LIMIT ?",
    )
    .bind(vehicle)
    .bind(directory)
    .bind(MAX_PARTS)
    .fetch_all(tx)
    .await?;
    let part = |body| match (RawRecord { kind: 6, body }).parse() {
        Ok(Record::Signals(SignalRecord::Directory(part))) => Some(part),
        _ => None,
    };
    Ok(bodies.into_iter().filter_map(part).collect())
}
