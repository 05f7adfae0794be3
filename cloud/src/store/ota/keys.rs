//! Keys of sealed bundles: content keys, the vehicles' public keys, and one wrapped for the other.
//!
//! The server can read every model that it holds: it has the content keys. What sealing keeps models from is whoever
//! carries them, and whoever finds a vehicle's disk or a stick.

use super::audit::{self, Entry};
use super::models::{hex, named, reasoned};
use super::{OtaError, refused};
use crate::store::{Store, StoreError, lines};
use serde::Serialize;
use sqlx::SqliteConnection;
use std::sync::Arc;
use telltale_seal::{ContentKey, RecipientKey, SealError, WrappedKey};
use telltale_wire::bundle::BundleName;
use telltale_wire::digest::Digest;
use telltale_wire::ids::VehicleId;
use telltale_wire::time::WallTime;

/// Why a vehicle of a rollout does not get its model; the words by which it is found again once a key has come.
pub(super) const NO_KEY: &str = "no sealing key of it is known: it can't get a sealed model";

/// The most keys that an answer tells, and that are held at once.
const MAX_KEYS: i64 = 10_000;

/// What became of a public key that a vehicle told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Introduced {
    /// It is the first: from now on content keys are wrapped for it.
    Taken,
    /// It is the one that is known.
    Known,
    /// Another one is known, which a person has to forget first.
    Other,
}

/// A vehicle's public key, as the command line gives it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SealingKeyLine {
    /// The vehicle.
    pub vehicle: String,
    /// Its public key, 64 hexadecimal digits.
    pub public: String,
    /// When it came.
    pub received: String,
}

impl Store {
    /// Takes the public key that a vehicle told over its own line, if it is the first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn introduce(
        &self,
        vehicle: &VehicleId,
        key: &RecipientKey,
        now: WallTime,
    ) -> Result<Introduced, OtaError> {
        // Each start of each vehicle asks; most bring nothing new.
        if let Some(held) = held(&mut *self.readers.acquire().await?, vehicle).await? {
            return Ok(compared(&held, key));
        }
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        if let Some(held) = held(&mut tx, vehicle).await? {
            return Ok(compared(&held, key));
        }
        sqlx::query("INSERT INTO vehicles (name, revoked) VALUES (?, 0) ON CONFLICT DO NOTHING")
            .bind(vehicle.as_str())
            .execute(&mut *tx)
            .await?;
        sqlx::query("INSERT INTO sealing_keys (vehicle, public, received) SELECT id, ?, ? FROM vehicles WHERE name = ?")
            .bind(key.as_bytes().as_slice())
            .bind(now.0)
            .bind(vehicle.as_str())
            .execute(&mut *tx)
            .await?;
        let (subject, why) = (format!("vehicle {vehicle}"), format!("the first that it told: {key}"));
        let entry = Entry {
            who: vehicle.as_str(),
            subject: &subject,
            act: "sealing key taken",
            wave: None,
            why: &why,
        };
        audit::note(&mut tx, now, entry).await?;
        tx.commit().await?;
        Ok(Introduced::Taken)
    }

    /// Forgets a vehicle's public key, and all that was wrapped for it: the next one that it tells is taken.
    ///
    /// # Errors
    /// [`OtaError::Refused`] without a name or a reason, or if none is known.
    pub async fn forget_sealing_key(
        &self,
        vehicle: &VehicleId,
        who: &str,
        why: &str,
        now: WallTime,
    ) -> Result<(), OtaError> {
        let who = named(who)?;
        reasoned(why)?;
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let Some(key) = held(&mut tx, vehicle).await? else {
            return refused(format!("no sealing key of {vehicle} is known"));
        };
        for sql in [
            "DELETE FROM wrapped_keys WHERE vehicle = (SELECT id FROM vehicles WHERE name = ?)",
            "DELETE FROM sealing_keys WHERE vehicle = (SELECT id FROM vehicles WHERE name = ?)",
        ] {
            sqlx::query(sql).bind(vehicle.as_str()).execute(&mut *tx).await?;
        }
        let (subject, why) = (format!("vehicle {vehicle}"), format!("{}: {}", hex(&key), why.trim()));
        let entry = Entry { who, subject: &subject, act: "sealing key forgotten", wave: None, why: &why };
        audit::note(&mut tx, now, entry).await?;
        Ok(tx.commit().await?)
    }

    /// The public keys of the vehicles.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn sealing_keys(&self) -> Result<Vec<SealingKeyLine>, StoreError> {
        let rows: Vec<(String, Vec<u8>, i64)> = sqlx::query_as(
            "SELECT v.name, s.public, s.received FROM sealing_keys s JOIN vehicles v ON v.id = s.vehicle \
             ORDER BY v.name LIMIT ?",
        )
        .bind(MAX_KEYS)
        .fetch_all(&self.readers)
        .await?;
        let line = |(vehicle, public, received): (String, Vec<u8>, i64)| SealingKeyLine {
            vehicle,
            public: hex(&public),
            received: lines::time(received),
        };
        Ok(rows.into_iter().map(line).collect())
    }

    /// The content keys that models were imported with.
    ///
    /// # Errors
    /// Those of the database; [`OtaError::Refused`] for a damaged one.
    pub async fn content_keys(&self) -> Result<Vec<Arc<ContentKey>>, OtaError> {
        let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT body FROM content_keys LIMIT ?")
            .bind(MAX_KEYS)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(|body| Ok(Arc::new(ContentKey::from_bytes(body).map_err(damaged)?))).collect()
    }

    /// The content key of this name, wrapped for a vehicle: once, so that what the director says stays the same.
    pub(super) async fn wrapped(
        &self,
        (id, vehicle): (i64, &VehicleId),
        family: &BundleName,
        key_id: &Digest,
    ) -> Result<WrappedKey, OtaError> {
        let sql = "SELECT body FROM wrapped_keys WHERE vehicle = ? AND key_id = ?";
        let known = |body: Vec<u8>| WrappedKey::from_bytes(&body).map_err(damaged);
        let query = || sqlx::query_scalar::<_, Vec<u8>>(sql).bind(id).bind(key_id.0.as_slice());
        if let Some(body) = query().fetch_optional(&self.readers).await? {
            return known(body);
        }
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        if let Some(body) = query().fetch_optional(&mut *tx).await? {
            return known(body);
        }
        let keys: Option<(Vec<u8>, Vec<u8>)> = sqlx::query_as(
            "SELECT s.public, c.body FROM sealing_keys s, content_keys c WHERE s.vehicle = ? AND c.key_id = ?",
        )
        .bind(id)
        .bind(key_id.0.as_slice())
        .fetch_optional(&mut *tx)
        .await?;
        let Some((public, content)) = keys else {
            return refused(format!("{vehicle}: a key of the sealed family {family} has gone meanwhile"));
        };
        let content = ContentKey::from_bytes(&content).map_err(damaged)?;
        let recipient = RecipientKey::new(&public).map_err(damaged)?;
        let wrapped = recipient.wrap(&content, vehicle, family).map_err(damaged)?;
        sqlx::query("INSERT INTO wrapped_keys (vehicle, key_id, body) VALUES (?, ?, ?)")
            .bind(id)
            .bind(key_id.0.as_slice())
            .bind(wrapped.to_bytes())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(wrapped)
    }
}

/// Keeps the content key of a model that is imported.
pub(super) async fn keep(
    tx: &mut SqliteConnection,
    key: &ContentKey,
    family: &BundleName,
    who: &str,
    now: WallTime,
) -> Result<(), OtaError> {
    let held: Option<String> = sqlx::query_scalar("SELECT family FROM content_keys WHERE key_id = ?")
        .bind(key.id().0.as_slice())
        .fetch_optional(&mut *tx)
        .await?;
    match held {
        Some(held) if held == family.as_str() => return Ok(()),
        Some(held) => {
            return refused(format!(
                "the content key {} is that of {held}: seal {family} with one of its own",
                key.id().short()
            ));
        }
        None => {}
    }
    sqlx::query("INSERT INTO content_keys (key_id, family, body, who, at) VALUES (?, ?, ?, ?, ?)")
        .bind(key.id().0.as_slice())
        .bind(family.as_str())
        .bind(key.as_bytes().as_slice())
        .bind(who)
        .bind(now.0)
        .execute(tx)
        .await?;
    Ok(())
}

/// Vehicles of a rollout that a sealed model can't be opened by are passed over, and asked again once their key has come.
pub(super) async fn pass_over(
    tx: &mut SqliteConnection,
    rollout: i64,
    bundle: i64,
    now: WallTime,
) -> Result<(), StoreError> {
    for sql in [
        "UPDATE members SET stage = 10, reason = ?1, changed = ?2 WHERE rollout = ?3 AND stage = 1 \
             AND vehicle NOT IN (SELECT vehicle FROM sealing_keys) \
             AND (SELECT key_id IS NOT NULL FROM bundles WHERE id = ?4)",
        "UPDATE members SET stage = 1, reason = '', changed = ?2 WHERE rollout = ?3 AND stage = 10 AND reason = ?1 \
             AND vehicle IN (SELECT vehicle FROM sealing_keys) AND ?4 = ?4",
    ] {
        sqlx::query(sql).bind(NO_KEY).bind(now.0).bind(rollout).bind(bundle).execute(&mut *tx).await?;
    }
    Ok(())
}

async fn held(connection: &mut SqliteConnection, vehicle: &VehicleId) -> Result<Option<Vec<u8>>, StoreError> {
    let sql = "SELECT public FROM sealing_keys WHERE vehicle = (SELECT id FROM vehicles WHERE name = ?)";
    Ok(sqlx::query_scalar(sql).bind(vehicle.as_str()).fetch_optional(connection).await?)
}

fn compared(held: &[u8], key: &RecipientKey) -> Introduced {
    if held == key.as_bytes() { Introduced::Known } else { Introduced::Other }
}

fn damaged(error: SealError) -> OtaError {
    OtaError::Refused(format!("a key in the database is of no use: {error}"))
}
