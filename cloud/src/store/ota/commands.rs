//! Commands to vehicles: written by a person or a stopped rollout, signed by the director, acknowledged once.

use super::audit::{self, Entry};
use super::models::named;
use super::{OtaError, refused};
use crate::store::{Store, StoreError, lines};
use serde::Serialize;
use sqlx::SqliteConnection;
use telltale_wire::command::CommandAck;
use telltale_wire::desired::{Command, MAX_COMMANDS, RawCommand, Rollback};
use telltale_wire::ids::VehicleId;
use telltale_wire::time::WallTime;

/// The most commands that an answer tells.
const MAX_LISTED: i64 = 100;
/// For how long a stopped rollout tells its vehicles to go back: 30 days.
const ROLLBACK_US: i64 = 30 * 86_400_000_000;
/// The longest sentence of a vehicle that is kept, in bytes.
const MAX_TOLD: usize = 300;

/// A command, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CommandLine {
    /// Its id.
    pub id: i64,
    /// What it asks.
    pub what: String,
    /// Who asked.
    pub who: String,
    /// Why.
    pub why: String,
    /// When.
    pub created: String,
    /// From when on it is void.
    pub expires: String,
    /// By the vehicle's acknowledgement; `waiting` and `expired` before it.
    pub outcome: String,
    /// The vehicle's sentence.
    pub told: String,
}

impl Store {
    /// Writes a command for a vehicle.
    ///
    /// # Errors
    /// [`OtaError::Refused`] for a vehicle that never called, one with too many open commands, or an empty name.
    pub async fn command(
        &self,
        vehicle: &VehicleId,
        command: &Command,
        (who, why): (&str, &str),
        expires: WallTime,
        now: WallTime,
    ) -> Result<i64, OtaError> {
        let who = named(who)?;
        let body = command.to_body().map_err(|error| OtaError::Refused(error.to_string()))?;
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let id: Option<i64> = sqlx::query_scalar("SELECT id FROM vehicles WHERE name = ?")
            .bind(vehicle.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        let Some(id) = id else { return refused(format!("no vehicle {vehicle} has ever called")) };
        let open: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM commands WHERE vehicle = ? AND outcome IS NULL AND expires > ?",
        )
        .bind(id)
        .bind(now.0)
        .fetch_one(&mut *tx)
        .await?;
        if open >= MAX_COMMANDS as i64 {
            return refused(format!(
                "{vehicle} has {open} open commands, and no more than {MAX_COMMANDS} are sent"
            ));
        }
        let what = describe(command);
        let number = insert(&mut tx, id, command.kind(), &body, (&what, who, why), (expires, now)).await?;
        let subject = format!("vehicle {vehicle}");
        let act = format!("command {number}: {what}");
        audit::note(&mut tx, now, Entry { who, subject: &subject, act: &act, wave: None, why }).await?;
        tx.commit().await?;
        Ok(number)
    }

    /// A vehicle's commands, the newest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn commands(&self, vehicle: &str, now: WallTime) -> Result<Vec<CommandLine>, StoreError> {
        type Row = (i64, String, String, String, i64, i64, Option<String>, String);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, what, who, why, created, expires, outcome, told FROM commands \
             WHERE vehicle = (SELECT id FROM vehicles WHERE name = ?) ORDER BY id DESC LIMIT ?",
        )
        .bind(vehicle)
        .bind(MAX_LISTED)
        .fetch_all(&self.readers)
        .await?;
        let line = |(id, what, who, why, created, expires, outcome, told): Row| CommandLine {
            id,
            what,
            who,
            why,
            created: lines::time(created),
            expires: lines::time(expires),
            outcome: outcome
                .unwrap_or_else(|| if expires <= now.0 { "expired" } else { "waiting" }.to_owned()),
            told,
        };
        Ok(rows.into_iter().map(line).collect())
    }
}

async fn insert(
    tx: &mut SqliteConnection,
    vehicle: i64,
    kind: u16,
    body: &[u8],
    (what, who, why): (&str, &str, &str),
    (expires, now): (WallTime, WallTime),
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(
        "INSERT INTO commands (vehicle, kind, body, what, who, why, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?) \
         RETURNING id",
    )
    .bind(vehicle)
    .bind(kind)
    .bind(body)
    .bind(what)
    .bind(who)
    .bind(why)
    .bind(now.0)
    .bind(expires.0)
    .fetch_one(tx)
    .await?)
}

/// What a command asks, for a person.
fn describe(command: &Command) -> String {
    match command {
        Command::LogLevel(level) => format!("log at {}", level.filter),
        Command::Snapshot(snapshot) => {
            format!("take a snapshot, {} ms back and {} ms ahead", snapshot.before_ms, snapshot.after_ms)
        }
        Command::Feature(switch) => {
            format!("switch {} {}", switch.feature.name(), if switch.on { "on" } else { "off" })
        }
        Command::Model(switch) => {
            format!("switch the model {} {}", switch.model, if switch.on { "on" } else { "off" })
        }
        Command::Pin(pin) => format!("{} {}", if pin.pinned { "pin" } else { "unpin" }, pin.family),
        Command::Rollback(back) => format!("roll {} back from release {}", back.family, back.release),
        Command::Ahead(ahead) if ahead.is_nothing() => {
            "foretell the range by the vehicle's own trips again".into()
        }
        Command::Ahead(ahead) => {
            format!("foretell the range for {ahead} until {}", lines::time(ahead.until.0))
        }
        Command::Catalog(of) => format!("use the catalog {}", of.digest.short()),
        Command::Campaign(of) => format!("run the campaign {}", of.digest.short()),
    }
}

/// Tells every vehicle that committed a stopped rollout's model to go back.
pub(super) async fn roll_back_committed(
    tx: &mut SqliteConnection,
    rollout: i64,
    family: &str,
    release: u32,
    who: &str,
    why: &str,
    now: WallTime,
) -> Result<(), OtaError> {
    let command = Command::Rollback(Rollback { family: family.to_owned(), release });
    let body = command.to_body().map_err(|error| OtaError::Refused(error.to_string()))?;
    let what = describe(&command);
    let committed: Vec<i64> =
        sqlx::query_scalar("SELECT vehicle FROM members WHERE rollout = ? AND stage = 8")
            .bind(rollout)
            .fetch_all(&mut *tx)
            .await?;
    for vehicle in committed {
        let times = (WallTime(now.0.saturating_add(ROLLBACK_US)), now);
        insert(tx, vehicle, command.kind(), &body, (&what, who, why), times).await?;
    }
    Ok(())
}

/// The commands that a vehicle has not acknowledged, by growing id.
pub(super) async fn open(
    tx: &mut SqliteConnection,
    vehicle: i64,
    now: WallTime,
) -> Result<Vec<RawCommand>, StoreError> {
    let rows: Vec<(i64, i64, u16, Vec<u8>)> = sqlx::query_as(
        "SELECT id, expires, kind, body FROM commands \
         WHERE vehicle = ? AND outcome IS NULL AND expires > ? ORDER BY id LIMIT ?",
    )
    .bind(vehicle)
    .bind(now.0)
    .bind(MAX_COMMANDS as i64)
    .fetch_all(tx)
    .await?;
    let raw = |(id, expires, kind, body): (i64, i64, u16, Vec<u8>)| RawCommand {
        id: id.unsigned_abs(),
        expires: WallTime(expires),
        kind,
        body,
    };
    Ok(rows.into_iter().map(raw).collect())
}

/// The vehicle has dealt with a command. The first word counts; one on another vehicle's command changes nothing.
pub(super) async fn acknowledge(
    tx: &mut SqliteConnection,
    vehicle: i64,
    ack: &CommandAck,
    now: WallTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE commands SET outcome = ?, told = ?, ended = ? WHERE id = ? AND vehicle = ? AND outcome IS NULL",
    )
    .bind(ack.outcome.as_str())
    .bind(super::told::cut(&ack.why, MAX_TOLD))
    .bind(now.0)
    .bind(i64::try_from(ack.id).unwrap_or(i64::MAX))
    .bind(vehicle)
    .execute(tx)
    .await?;
    Ok(())
}
