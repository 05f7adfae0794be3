//! Records that are in the database already, a page at a time: for an index that an older program did not keep.

use super::StoreError;
use super::ingest::Place;
use sqlx::SqliteConnection;
use telltale_wire::record::RawRecord;

/// Records read at once: 13 MB at the worst.
const PAGE: i64 = 200;

/// A record as it is stored.
pub(super) struct Stored {
    pub(super) vehicle: i64,
    pub(super) place: Place,
    pub(super) received: i64,
    pub(super) record: RawRecord,
}

/// All records of one kind, in the order of their keys.
pub(super) struct Pages {
    kind: u16,
    after: (i64, i64, i64, i64),
}

impl Pages {
    pub(super) const fn of(kind: u16) -> Pages {
        Pages { kind, after: (i64::MIN, i64::MIN, i64::MIN, i64::MIN) }
    }

    /// The next ones; none at the end.
    pub(super) async fn next(&mut self, tx: &mut SqliteConnection) -> Result<Vec<Stored>, StoreError> {
        let rows: Vec<(i64, i64, i64, i64, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT vehicle, boot, lane, seq, received, body FROM records \
             WHERE kind = ? AND (vehicle, boot, lane, seq) > (?, ?, ?, ?) \
             ORDER BY vehicle, boot, lane, seq LIMIT ?",
        )
        .bind(self.kind)
        .bind(self.after.0)
        .bind(self.after.1)
        .bind(self.after.2)
        .bind(self.after.3)
        .bind(PAGE)
        .fetch_all(&mut *tx)
        .await?;
        if let Some((vehicle, boot, lane, seq, ..)) = rows.last() {
            self.after = (*vehicle, *boot, *lane, *seq);
        }
        let stored = |(vehicle, boot, lane, seq, received, body)| Stored {
            vehicle,
            place: Place { boot, lane, seq },
            received,
            record: RawRecord { kind: self.kind, body },
        };
        Ok(rows.into_iter().map(stored).collect())
    }
}
