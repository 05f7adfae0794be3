//! Who decided what, when and why. Rows are only ever added.

use crate::store::{Store, StoreError, lines};
use serde::Serialize;
use sqlx::SqliteConnection;
use telltale_wire::time::WallTime;

/// The most rows that an answer tells.
pub(super) const MAX_AUDIT: i64 = 500;

/// One decision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AuditLine {
    /// When, RFC 3339.
    pub at: String,
    /// A person, or the rollout engine.
    pub who: String,
    /// What about.
    pub subject: String,
    /// What.
    pub act: String,
    /// The wave that it is about, from 1.
    pub wave: Option<i64>,
    /// Why.
    pub why: String,
}

pub(super) struct Entry<'a> {
    pub(super) who: &'a str,
    pub(super) subject: &'a str,
    pub(super) act: &'a str,
    pub(super) wave: Option<usize>,
    pub(super) why: &'a str,
}

pub(super) async fn note(
    tx: &mut SqliteConnection,
    now: WallTime,
    entry: Entry<'_>,
) -> Result<(), StoreError> {
    log::info!("{}: {} by {}: {}", entry.subject, entry.act, entry.who, entry.why);
    sqlx::query("INSERT INTO audit (at, who, subject, act, wave, why) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(now.0)
        .bind(entry.who)
        .bind(entry.subject)
        .bind(entry.act)
        .bind(entry.wave.map(|wave| wave as i64))
        .bind(entry.why)
        .execute(tx)
        .await?;
    Ok(())
}

type Row = (i64, String, String, String, Option<i64>, String);

/// The newest decisions on a subject.
pub(super) async fn of(
    tx: &mut SqliteConnection,
    subject: &str,
    most: i64,
) -> Result<Vec<AuditLine>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT at, who, subject, act, wave, why FROM audit WHERE subject = ? ORDER BY id DESC LIMIT ?",
    )
    .bind(subject)
    .bind(most)
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(line).collect())
}

fn line((at, who, subject, act, wave, why): Row) -> AuditLine {
    AuditLine { at: lines::time(at), who, subject, act, wave: wave.map(|wave| wave + 1), why }
}

impl Store {
    /// The newest decisions, whatever they are about.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Failed`].
    pub async fn audit(&self) -> Result<Vec<AuditLine>, StoreError> {
        let rows: Vec<Row> =
            sqlx::query_as("SELECT at, who, subject, act, wave, why FROM audit ORDER BY id DESC LIMIT ?")
                .bind(MAX_AUDIT)
                .fetch_all(&self.readers)
                .await?;
        Ok(rows.into_iter().map(line).collect())
    }
}
