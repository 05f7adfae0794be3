//! Rollouts in the database: written, approved, started and stopped by people, advanced by the engine.

use super::audit::{self, Entry};
use super::members;
use super::models::named;
use super::{OtaError, commands, keys, refused};
use crate::rollout::freeze::frozen_until;
use crate::rollout::{Act, Decision, Engine, Evidence, OnStop, Person, Phase, Plan, Verb};
use crate::store::{Store, StoreError};
use sqlx::SqliteConnection;
use telltale_wire::time::WallTime;

pub(super) struct Row {
    pub(super) id: i64,
    pub(super) bundle: i64,
    pub(super) path: String,
    pub(super) family: String,
    pub(super) version: String,
    pub(super) release: u32,
    pub(super) plan: String,
    pub(super) salt: Vec<u8>,
    pub(super) author: String,
    pub(super) created: i64,
    pub(super) phase: i64,
    pub(super) wave: Option<i64>,
    pub(super) met_since: Option<i64>,
    pub(super) approved_wave: Option<i64>,
    pub(super) excused_wave: i64,
    pub(super) excused_all: i64,
    pub(super) readings_from: i64,
}

columns!(Row: id bundle path family version release plan salt author created phase wave met_since approved_wave
    excused_wave excused_all readings_from);

/// Rollouts with the names of their models; ends in `$tail`.
macro_rules! rollout_sql {
    ($tail:literal) => {
        concat!(
            "SELECT r.*, b.path, b.family, b.version, b.release FROM rollouts r JOIN bundles b ON b.id = r.bundle ",
            $tail
        )
    };
}

pub(super) use rollout_sql;

impl Row {
    pub(super) fn salt(&self) -> [u8; 16] {
        self.salt.as_slice().try_into().unwrap_or_default()
    }

    pub(super) fn subject(&self) -> String {
        format!("rollout {}", self.id)
    }

    pub(super) fn engine(&self) -> Result<Engine, OtaError> {
        let wave = |wave: Option<i64>| wave.and_then(|wave| usize::try_from(wave).ok());
        let Some(phase) = Phase::of_number(self.phase) else {
            return refused(format!("rollout {} is in a phase of a newer program", self.id));
        };
        Ok(Engine {
            plan: Plan::read(&self.plan)?,
            author: self.author.clone(),
            phase,
            wave: wave(self.wave),
            met_since: self.met_since.map(WallTime),
            approved_wave: wave(self.approved_wave),
            excused: (self.excused_wave.unsigned_abs(), self.excused_all.unsigned_abs()),
        })
    }
}

impl Store {
    /// Writes a rollout of an approved model. It begins nothing.
    ///
    /// # Errors
    /// [`OtaError::Refused`] if the model is not approved, or not above what an earlier rollout brought.
    pub async fn create_rollout(
        &self,
        model: &str,
        plan: &Plan,
        who: &str,
        why: &str,
        now: WallTime,
    ) -> Result<i64, OtaError> {
        let who = named(who)?;
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let found: Option<(i64, String, i64, bool, bool)> = sqlx::query_as(
            "SELECT id, family, release, approved IS NOT NULL, revoked IS NOT NULL FROM bundles WHERE path = ?",
        )
        .bind(model)
        .fetch_optional(&mut *tx)
        .await?;
        let Some((bundle, family, release, is_approved, is_revoked)) = found else {
            return refused(format!("there is no model {model}: `telltale-cloud model list` names them"));
        };
        if is_revoked {
            return refused(format!("{model} is revoked"));
        }
        if !is_approved {
            return refused(format!(
                "{model} is not approved: `telltale-cloud model approve` by a second person"
            ));
        }
        let highest: Option<i64> = sqlx::query_scalar(
            "SELECT max(b.release) FROM rollouts r JOIN bundles b ON b.id = r.bundle \
             WHERE b.family = ? AND r.phase IN (2, 3, 5)",
        )
        .bind(&family)
        .fetch_one(&mut *tx)
        .await?;
        if highest.is_some_and(|highest| highest >= release) {
            return refused(format!(
                "a rollout of {family} has brought release {} already, and vehicles refuse what is not above it",
                highest.unwrap_or_default()
            ));
        }
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO rollouts (bundle, plan, salt, author, created) VALUES (?, ?, randomblob(16), ?, ?) RETURNING id",
        )
        .bind(bundle)
        .bind(plan.to_text())
        .bind(who)
        .bind(now.0)
        .fetch_one(&mut *tx)
        .await?;
        let subject = format!("rollout {id}");
        let why = if why.is_empty() { model } else { why };
        audit::note(&mut tx, now, Entry { who, subject: &subject, act: "created", wave: None, why }).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Does what a person asks of a rollout.
    ///
    /// # Errors
    /// [`OtaError::Refused`], in words for that person; then nothing has changed.
    pub async fn ask_rollout(
        &self,
        id: i64,
        verb: Verb,
        person: Person<'_>,
        now: WallTime,
    ) -> Result<Decision, OtaError> {
        let person = Person { name: named(person.name)?, ..person };
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let row = find(&mut tx, id).await?;
        let mut engine = row.engine()?;
        if verb == Verb::Start {
            may_start(&mut tx, &row).await?;
        }
        if verb == Verb::Resume {
            no_other(&mut tx, &row).await?;
        }
        let evidence = members::evidence(&mut tx, &row, &engine.plan, now).await?;
        let decision = engine.ask(verb, person, &evidence, now)?;
        save(&mut tx, &row, &engine).await?;
        carry_out(&mut tx, &row, &engine, &decision, now).await?;
        tx.commit().await?;
        Ok(decision)
    }

    /// Lets every running rollout decide, and brings vehicles that are new into the completed ones. Safe to call at any
    /// time and as often as one likes.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn advance_rollouts(&self, now: WallTime) -> Result<Vec<(i64, Decision)>, OtaError> {
        let sql = rollout_sql!("WHERE r.phase IN (2, 3, 5) ORDER BY r.id");
        let running: Vec<Row> = sqlx::query_as(sql).fetch_all(&self.readers).await?;
        let mut decided = Vec::new();
        for row in running {
            if row.phase == 5 && !self.has_work(row.id).await? {
                continue;
            }
            let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
            // Read again: a person may have stopped it meanwhile.
            let row = find(&mut tx, row.id).await?;
            let mut engine = row.engine()?;
            members::enlist(&mut tx, &row, &engine.plan).await?;
            loop {
                let is_open = matches!(engine.phase, Phase::Running | Phase::Completed);
                let is_frozen = frozen_until(&engine.plan.freezes, now).is_some();
                if let (Some(wave), true, false) = (engine.wave, is_open, is_frozen) {
                    members::assign(&mut tx, row.id, wave, now).await?;
                }
                keys::pass_over(&mut tx, row.id, row.bundle, now).await?;
                let evidence = members::evidence(&mut tx, &row, &engine.plan, now).await?;
                let Some(decision) = engine.tick(&evidence, now) else { break };
                carry_out(&mut tx, &row, &engine, &decision, now).await?;
                decided.push((row.id, decision));
            }
            save(&mut tx, &row, &engine).await?;
            tx.commit().await?;
        }
        Ok(decided)
    }

    async fn has_work(&self, rollout: i64) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM vehicles WHERE first_contact IS NOT NULL \
                 AND id NOT IN (SELECT vehicle FROM members WHERE rollout = ?1)) \
             OR EXISTS (SELECT 1 FROM members WHERE rollout = ?1 AND stage = 0 AND wave IS NOT NULL) \
             OR EXISTS (SELECT 1 FROM members m JOIN sealing_keys s ON s.vehicle = m.vehicle \
                 WHERE m.rollout = ?1 AND m.stage = 10 AND m.reason = ?2)",
        )
        .bind(rollout)
        .bind(keys::NO_KEY)
        .fetch_one(&self.readers)
        .await?)
    }

    /// Remembers where the server's repository is, for the commands that work on this database.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn set_repository(&self, folder: &std::path::Path) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO settings (name, value) VALUES ('repository', ?) \
             ON CONFLICT DO UPDATE SET value = excluded.value",
        )
        .bind(folder.to_string_lossy().as_ref())
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Where the repository of the server that served this database last is; `None` if it served without one.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn repository(&self) -> Result<Option<std::path::PathBuf>, StoreError> {
        let sql = "SELECT value FROM settings WHERE name = 'repository'";
        let value: Option<String> = sqlx::query_scalar(sql).fetch_optional(&self.readers).await?;
        Ok(value.map(std::path::PathBuf::from))
    }

    /// Puts vehicles into a group, or takes them out.
    ///
    /// # Errors
    /// [`OtaError::Refused`] for a name that no group may have.
    pub async fn set_group(&self, group: &str, vehicles: &[String], is_member: bool) -> Result<(), OtaError> {
        if !crate::rollout::plan::is_group(group) {
            return refused(crate::rollout::plan::GROUP_RULE);
        }
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for vehicle in vehicles {
            let sql = if is_member {
                "INSERT INTO groups (name, vehicle) VALUES (?, ?) ON CONFLICT DO NOTHING"
            } else {
                "DELETE FROM groups WHERE name = ? AND vehicle = ?"
            };
            sqlx::query(sql).bind(group).bind(vehicle).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// All groups with their vehicles.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn groups(&self) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT name, vehicle FROM groups ORDER BY name, vehicle";
        Ok(sqlx::query_as(sql).fetch_all(&self.readers).await?)
    }
}

pub(super) async fn find(tx: &mut SqliteConnection, id: i64) -> Result<Row, OtaError> {
    let row: Option<Row> =
        sqlx::query_as(rollout_sql!("WHERE r.id = ?")).bind(id).fetch_optional(&mut *tx).await?;
    row.map_or_else(
        || refused(format!("there is no rollout {id}: `telltale-cloud rollout list` names them")),
        Ok,
    )
}

/// What must hold of the model when its rollout starts.
async fn may_start(tx: &mut SqliteConnection, row: &Row) -> Result<(), OtaError> {
    let revoked: bool = sqlx::query_scalar("SELECT revoked IS NOT NULL FROM bundles WHERE id = ?")
        .bind(row.bundle)
        .fetch_one(&mut *tx)
        .await?;
    if revoked {
        return refused(format!("{} is revoked", row.path));
    }
    no_other(tx, row).await
}

/// Two rollouts of one family at once would offer vehicles two models.
async fn no_other(tx: &mut SqliteConnection, row: &Row) -> Result<(), OtaError> {
    let other: Option<i64> = sqlx::query_scalar(
        "SELECT r.id FROM rollouts r JOIN bundles b ON b.id = r.bundle \
         WHERE b.family = ? AND r.id <> ? AND r.phase IN (2, 3) LIMIT 1",
    )
    .bind(&row.family)
    .bind(row.id)
    .fetch_optional(tx)
    .await?;
    match other {
        Some(other) => refused(format!(
            "rollout {other} of {} is running or paused: one at a time, so stop it or let it complete",
            row.family
        )),
        None => Ok(()),
    }
}

/// Everything that a decision changes beside the state: its audit row, commands, excused observations.
async fn carry_out(
    tx: &mut SqliteConnection,
    row: &Row,
    engine: &Engine,
    decision: &Decision,
    now: WallTime,
) -> Result<(), OtaError> {
    let subject = row.subject();
    let entry = Entry {
        who: &decision.who,
        subject: &subject,
        act: decision.act.word(),
        wave: decision.wave,
        why: &decision.why,
    };
    audit::note(tx, now, entry).await?;
    if decision.act == Act::Resumed {
        sqlx::query(
            "UPDATE rollouts SET readings_from = (SELECT coalesce(max(n), 0) FROM observations WHERE rollout = ?1) \
             WHERE id = ?1",
        )
        .bind(row.id)
        .execute(&mut *tx)
        .await?;
    }
    if decision.act == Act::Stopped && engine.plan.gates.on_stop == OnStop::Rollback {
        let why = format!("rollout {} was stopped: {}", row.id, decision.why);
        commands::roll_back_committed(tx, row.id, &row.family, row.release, &decision.who, &why, now).await?;
    }
    Ok(())
}

/// Stops every rollout of a model that was revoked.
pub(super) async fn stop_all_of(
    tx: &mut SqliteConnection,
    path: &str,
    person: Person<'_>,
    now: WallTime,
) -> Result<(), OtaError> {
    let sql = rollout_sql!("WHERE b.path = ? AND r.phase <> 4");
    let rows: Vec<Row> = sqlx::query_as(sql).bind(path).fetch_all(&mut *tx).await?;
    for row in rows {
        let mut engine = row.engine()?;
        let decision = engine.ask(Verb::Stop, person, &Evidence::default(), now)?;
        save(tx, &row, &engine).await?;
        carry_out(tx, &row, &engine, &decision, now).await?;
    }
    Ok(())
}

async fn save(tx: &mut SqliteConnection, row: &Row, engine: &Engine) -> Result<(), StoreError> {
    let wave = |wave: Option<usize>| wave.map(|wave| wave as i64);
    sqlx::query(
        "UPDATE rollouts SET phase = ?, wave = ?, met_since = ?, approved_wave = ?, excused_wave = ?, \
             excused_all = ? WHERE id = ?",
    )
    .bind(engine.phase as i64)
    .bind(wave(engine.wave))
    .bind(engine.met_since.map(|at| at.0))
    .bind(wave(engine.approved_wave))
    .bind(engine.excused.0.cast_signed())
    .bind(engine.excused.1.cast_signed())
    .bind(row.id)
    .execute(tx)
    .await?;
    Ok(())
}
