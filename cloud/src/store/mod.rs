//! The fleet's database: SQLite in one file, one writer, a few readers.
//!
//! The journal is write-ahead and every commit reaches the disk (`synchronous=FULL`), because an acknowledgement
//! tells the vehicle to delete its only other copy. [`ingest`](Store::ingest) is the one way in for records. The raw
//! bytes are kept whatever they say; the tables beside them are an index that the pages read.

mod bus_events;
mod buses;
mod drift;
mod estimate_lines;
mod ingest;
mod lines;
mod losses;
pub mod ota;
mod read;
mod signals;
mod snapshots;
mod spans;
mod stored;
mod trips;
mod update_lines;

pub use ingest::Ingested;
pub(crate) use snapshots::Found;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, SqliteConnection};
use std::path::{Path, PathBuf};
use std::time::Duration;
use telltale_wire::ids::VehicleId;

/// The schema, version by version. Append only: a database of version n runs everything from the n-th on.
const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("snapshots.sql"),
    include_str!("signals.sql"),
    include_str!("buses.sql"),
    include_str!("ota.sql"),
    include_str!("trips.sql"),
    include_str!("drift.sql"),
    include_str!("director.sql"),
    include_str!("sealed.sql"),
];

/// The first version that indexes statistics of signals.
const WITH_SIGNALS: i64 = 3;

/// The first version that indexes trips.
const WITH_TRIPS: i64 = 6;

/// The version that this program writes.
const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// Connections for pages. Each has a page cache of about 2 MB.
const READERS: u32 = 4;

/// The database of one fleet.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
}

/// Why the database did not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file could not be opened or made.
    #[error("cannot open the database {}: check that its folder exists and is writable, and that it is a SQLite file", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// A newer program wrote the file.
    #[error("the database {} has schema version {found}, this program knows up to {SCHEMA_VERSION}: \
        run the newer telltale-cloud that wrote it", .path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The version it names.
        found: i64,
    },
    /// The writer is taken, for longer than a request may wait.
    #[error("the database is busy")]
    Busy,
    /// The vehicle was revoked.
    #[error("vehicle {0} is revoked")]
    Revoked(VehicleId),
    /// A request that this database can't hold; the wire's own limits were checked before.
    #[error("{0}")]
    Unstorable(&'static str),
    /// Anything else that SQLite says: a full disk, a damaged file.
    #[error("the database failed")]
    Failed(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // SQLITE_BUSY (5) and SQLITE_LOCKED (6), whatever their extended code says above the low byte.
        let code = error.as_database_error().and_then(|e| e.code()).and_then(|code| code.parse::<u32>().ok());
        let locked = matches!(code.map(|code| code & 0xff), Some(5 | 6));
        if locked || matches!(error, sqlx::Error::PoolTimedOut) { Self::Busy } else { Self::Failed(error) }
    }
}

impl Store {
    /// Opens the database, makes it if there is none, and brings its schema up to date.
    ///
    /// `patience` is how long a write waits for another one.
    ///
    /// # Errors
    /// [`StoreError::Open`] and [`StoreError::NewerSchema`].
    pub async fn open(path: &Path, patience: Duration) -> Result<Self, StoreError> {
        let open_error = |source| StoreError::Open { path: path.to_owned(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(patience);
        let pool = |max| SqlitePoolOptions::new().max_connections(max).acquire_timeout(patience);

        let writer = pool(1).connect_with(options.clone()).await.map_err(open_error)?;
        let mut connection = writer.acquire().await.map_err(open_error)?;
        migrate(&mut connection, path).await?;
        drop(connection);
        let readers = pool(READERS).connect_with(options.read_only(true)).await.map_err(open_error)?;
        Ok(Self { path: path.to_owned(), writer, readers })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Asks the database for a sign of life, on the side that writes.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Failed`].
    pub async fn check(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT version FROM telltale_schema").fetch_one(&self.writer).await?;
        Ok(())
    }

    /// Whether a vehicle is refused.
    pub(crate) async fn is_revoked(&self, vehicle: &VehicleId) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM vehicles WHERE name = ? AND revoked)";
        Ok(sqlx::query_scalar(sql).bind(vehicle.as_str()).fetch_one(&self.readers).await?)
    }

    /// Revokes a vehicle, or takes that back. A vehicle that never called can be revoked too.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Failed`].
    pub async fn set_revoked(&self, vehicle: &VehicleId, revoked: bool) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO vehicles (name, revoked) VALUES (?1, ?2) \
             ON CONFLICT (name) DO UPDATE SET revoked = excluded.revoked",
        )
        .bind(vehicle.as_str())
        .bind(revoked)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Finishes what runs and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS telltale_schema (version INTEGER NOT NULL) STRICT")
        .execute(&mut *tx)
        .await?;
    let found: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM telltale_schema").fetch_one(&mut *tx).await?;
    let found = found.unwrap_or(0);
    let missing = match usize::try_from(found) {
        Ok(done) if done <= MIGRATIONS.len() => &MIGRATIONS[done..],
        _ => return Err(StoreError::NewerSchema { path: path.to_owned(), found }),
    };
    for migration in missing {
        sqlx::raw_sql(*migration).execute(&mut *tx).await?;
    }
    if (1..WITH_SIGNALS).contains(&found) {
        signals::index_stored(&mut tx).await?;
    }
    if (1..WITH_TRIPS).contains(&found) {
        trips::index_stored(&mut tx).await?;
    }
    if !missing.is_empty() {
        sqlx::raw_sql("DELETE FROM telltale_schema").execute(&mut *tx).await?;
        sqlx::query("INSERT INTO telltale_schema (version) VALUES (?)")
            .bind(SCHEMA_VERSION)
            .execute(&mut *tx)
            .await?;
    }
    Ok(tx.commit().await?)
}

/// SQLite's integers are signed: a boot id is stored by its bits.
fn boot_key(boot: telltale_wire::ids::BootId) -> i64 {
    boot.0 as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than a loaded machine needs for a file.
    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_database_is_made_once_and_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet.db");
        let vehicle = VehicleId::new("bench-01").unwrap();
        let store = Store::open(&path, PATIENCE).await.unwrap();
        store.set_revoked(&vehicle, true).await.unwrap();
        store.close().await;
        let store = Store::open(&path, PATIENCE).await.unwrap();
        store.check().await.unwrap();
        let revoked: bool =
            sqlx::query_scalar("SELECT revoked FROM vehicles").fetch_one(&store.readers).await.unwrap();
        assert!(revoked);
    }

    #[tokio::test]
    async fn commits_reach_the_disk_before_they_return() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("fleet.db"), PATIENCE).await.unwrap();
        let full: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&store.writer).await.unwrap();
        let journal: String =
            sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&store.writer).await.unwrap();
        assert_eq!((full, journal.as_str()), (2, "wal"));
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused_with_its_version() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet.db");
        let store = Store::open(&path, PATIENCE).await.unwrap();
        sqlx::raw_sql("UPDATE telltale_schema SET version = 99").execute(&store.writer).await.unwrap();
        store.close().await;
        let error = Store::open(&path, PATIENCE).await.unwrap_err();
        assert!(error.to_string().contains("schema version 99"), "{error}");
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_named() {
        let error = Store::open(Path::new("/nonexistent/fleet.db"), PATIENCE).await.unwrap_err();
        assert!(error.to_string().contains("/nonexistent/fleet.db"), "{error}");
    }
}
