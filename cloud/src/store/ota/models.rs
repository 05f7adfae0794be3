//! Models in the database: imported whole, approved by a second person, revoked.

use super::audit::{self, AuditLine, Entry};
use super::{OtaError, keys, refused, rollouts};
use crate::registry::lineage;
use crate::rollout::Person;
use crate::rollout::engine::is_same_person;
use crate::store::{Store, StoreError, lines};
use serde::Serialize;
use serde_json::Value;
use sqlx::SqliteConnection;
use std::sync::Arc;
use telltale_seal::ContentKey;
use telltale_wire::bundle::BundleIndex;
use telltale_wire::digest::Digest;
use telltale_wire::time::WallTime;

/// The most models that an answer tells.
const MAX_MODELS: i64 = 1_000;

/// A bundle that was read and checked, chunk by chunk.
#[derive(Clone, Debug)]
pub struct NewModel {
    /// The bytes of the index.
    pub body: Vec<u8>,
    /// What they say.
    pub index: BundleIndex,
    /// The chunks, in order.
    pub chunks: Vec<(Digest, Vec<u8>)>,
    /// Where it comes from.
    pub provenance: Option<Value>,
    /// The model card.
    pub card: Option<String>,
    /// Who made it, by its provenance.
    pub author: Option<String>,
    /// What its chunks are sealed with, and were opened with to be read; `None` where they lie open.
    pub key: Option<Arc<ContentKey>>,
}

/// A model, as pages, JSON and the command line give it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ModelLine {
    /// `FAMILY/NAME-RELEASE.index`.
    pub path: String,
    /// The digest of its index.
    pub digest: String,
    /// Its family.
    pub family: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its release counter.
    pub release: u32,
    /// `imported`, `approved` or `revoked`.
    pub state: &'static str,
    /// Who made it.
    pub author: String,
    /// Who imported it.
    pub publisher: String,
    /// When.
    pub imported: String,
    /// Who approved it.
    pub approver: Option<String>,
    /// When.
    pub approved: Option<String>,
    /// When it was revoked.
    pub revoked: Option<String>,
    /// The name of the content key that it is sealed with; `None` where it lies open.
    pub sealed: Option<String>,
    /// Bytes of all parts together.
    pub bytes: u64,
    /// Hardware that it is for.
    pub hardware: Vec<String>,
    /// The oldest agent that runs it.
    pub min_agent: String,
    /// The feature specification that it was trained on.
    pub features: String,
    /// The longest inference that it may take, in microseconds.
    pub latency_us: u32,
    /// The most memory that it may take, in bytes.
    pub memory_bytes: u32,
    /// Where it comes from, as lines.
    pub lineage: Vec<(String, String)>,
    /// The model card.
    pub card: String,
    /// What was decided on it, the newest first; in an answer on one model.
    pub audit: Vec<AuditLine>,
}

struct Row {
    path: String,
    digest: Vec<u8>,
    body: Vec<u8>,
    author: String,
    provenance: String,
    card: String,
    publisher: String,
    imported: i64,
    approver: Option<String>,
    approved: Option<i64>,
    revoked: Option<i64>,
}

columns!(Row: path digest body author provenance card publisher imported approver approved revoked);

impl Row {
    fn line(self, audit: Vec<AuditLine>) -> Result<ModelLine, OtaError> {
        let Ok(index) = BundleIndex::decode(&self.body) else {
            return refused(format!("the stored index of {} does not read: import it again", self.path));
        };
        let provenance = serde_json::from_str::<Value>(&self.provenance).unwrap_or_default();
        Ok(ModelLine {
            path: self.path,
            digest: hex(&self.digest),
            family: index.family.to_string(),
            name: index.name.to_string(),
            version: index.version.clone(),
            release: index.release,
            state: match (self.revoked, self.approved) {
                (Some(_), _) => "revoked",
                (None, Some(_)) => "approved",
                (None, None) => "imported",
            },
            author: self.author,
            publisher: self.publisher,
            imported: lines::time(self.imported),
            approver: self.approver,
            approved: self.approved.map(lines::time),
            revoked: self.revoked.map(lines::time),
            sealed: index.seal.map(|seal| seal.key_id.to_hex()),
            bytes: index.length(),
            hardware: index.hardware.iter().map(ToString::to_string).collect(),
            min_agent: index.min_agent.to_string(),
            features: index.features.to_hex(),
            latency_us: index.budget.latency_us,
            memory_bytes: index.budget.memory_bytes,
            lineage: if provenance.is_null() { Vec::new() } else { lineage(&provenance) },
            card: self.card,
            audit,
        })
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

macro_rules! model_sql {
    ($tail:literal) => {
        concat!(
            "SELECT path, digest, body, author, provenance, card, publisher, imported, approver, approved, revoked \
             FROM bundles ",
            $tail
        )
    };
}

impl Store {
    /// Takes a model in. The same bundle again changes nothing.
    ///
    /// # Errors
    /// [`OtaError::Refused`] if its path or release is taken by other bytes, or nobody is named.
    pub async fn add_model(&self, model: &NewModel, who: &str, now: WallTime) -> Result<bool, OtaError> {
        let who = named(who)?;
        let index = &model.index;
        let (path, digest) = (index.path().to_string(), Digest::of(&model.body));
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let known: Option<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT path, digest FROM bundles WHERE path = ?1 OR (family = ?2 AND release = ?3)",
        )
        .bind(&path)
        .bind(index.family.as_str())
        .bind(index.release)
        .fetch_optional(&mut *tx)
        .await?;
        match known {
            Some((_, held)) if held == digest.0 => return Ok(false),
            Some((held, _)) => {
                let release = index.release;
                return refused(format!(
                    "release {release} of {} is taken by another bundle, {held}: build it again with a higher release",
                    index.family
                ));
            }
            None => {}
        }
        if let Some(key) = &model.key {
            keys::keep(&mut tx, key, &index.family, who, now).await?;
        }
        for (digest, bytes) in &model.chunks {
            sqlx::query("INSERT INTO chunks (digest, body) VALUES (?, ?) ON CONFLICT DO NOTHING")
                .bind(digest.0.as_slice())
                .bind(bytes.as_slice())
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query(
            "INSERT INTO bundles (path, digest, body, family, name, version, release, author, provenance, card, \
                 publisher, imported, key_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&path)
        .bind(digest.0.as_slice())
        .bind(model.body.as_slice())
        .bind(index.family.as_str())
        .bind(index.name.as_str())
        .bind(&index.version)
        .bind(index.release)
        .bind(model.author.as_deref().unwrap_or(who))
        .bind(model.provenance.as_ref().map_or_else(String::new, Value::to_string))
        .bind(model.card.as_deref().unwrap_or_default())
        .bind(who)
        .bind(now.0)
        .bind(index.seal.map(|seal| seal.key_id.0.to_vec()))
        .execute(&mut *tx)
        .await?;
        let subject = format!("model {path}");
        let sealed =
            index.seal.map_or_else(String::new, |seal| format!(", sealed with {}", seal.key_id.short()));
        let why = format!("{} bytes in {} chunks, all checked{sealed}", index.length(), index.chunks.len());
        audit::note(&mut tx, now, Entry { who, subject: &subject, act: "imported", wave: None, why: &why })
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Approves a model for rollouts.
    ///
    /// # Errors
    /// [`OtaError::Refused`] if it was made or imported by the same person, is approved or revoked already, or unknown.
    pub async fn approve_model(
        &self,
        path: &str,
        who: &str,
        why: &str,
        now: WallTime,
    ) -> Result<(), OtaError> {
        let who = named(who)?;
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let model = find(&mut tx, path).await?;
        for name in [&model.author, &model.publisher] {
            if is_same_person(name, who) {
                return refused(format!(
                    "{name} made or imported {path} and can't approve it: a second person must"
                ));
            }
        }
        if model.revoked.is_some() || model.approved.is_some() {
            return refused(format!("{path} was approved or revoked already"));
        }
        sqlx::query("UPDATE bundles SET approver = ?, approved = ? WHERE path = ?")
            .bind(who)
            .bind(now.0)
            .bind(path)
            .execute(&mut *tx)
            .await?;
        let subject = format!("model {path}");
        audit::note(&mut tx, now, Entry { who, subject: &subject, act: "approved", wave: None, why }).await?;
        Ok(tx.commit().await?)
    }

    /// Revokes a model: from now on it is offered to nobody, and its rollouts are stopped.
    ///
    /// # Errors
    /// [`OtaError::Refused`] without a reason, or if there is no such model.
    pub async fn revoke_model(
        &self,
        path: &str,
        who: &str,
        why: &str,
        now: WallTime,
    ) -> Result<(), OtaError> {
        let who = named(who)?;
        reasoned(why)?;
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        find(&mut tx, path).await?;
        sqlx::query("UPDATE bundles SET revoked = coalesce(revoked, ?) WHERE path = ?")
            .bind(now.0)
            .bind(path)
            .execute(&mut *tx)
            .await?;
        let subject = format!("model {path}");
        audit::note(&mut tx, now, Entry { who, subject: &subject, act: "revoked", wave: None, why }).await?;
        let why = format!("the model was revoked: {}", why.trim());
        rollouts::stop_all_of(&mut tx, path, Person { name: who, why: &why }, now).await?;
        Ok(tx.commit().await?)
    }

    /// All models, the newest release of each family first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn models(&self) -> Result<Vec<ModelLine>, OtaError> {
        let rows: Vec<Row> = sqlx::query_as(model_sql!("ORDER BY family, release DESC LIMIT ?"))
            .bind(MAX_MODELS)
            .fetch_all(&self.readers)
            .await?;
        rows.into_iter().map(|row| row.line(Vec::new())).collect()
    }

    /// One model with what was decided on it.
    ///
    /// # Errors
    /// [`OtaError::Refused`] if there is none.
    pub async fn model(&self, path: &str) -> Result<ModelLine, OtaError> {
        let mut tx = self.readers.begin().await?;
        let row = find(&mut tx, path).await?;
        let audit = audit::of(&mut tx, &format!("model {path}"), audit::MAX_AUDIT).await?;
        row.line(audit)
    }

    /// The bytes of a model's index, if it is not revoked.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn index(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT body FROM bundles WHERE path = ? AND revoked IS NULL";
        Ok(sqlx::query_scalar(sql).bind(path).fetch_optional(&self.readers).await?)
    }

    /// The bytes of a chunk.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn chunk(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT body FROM chunks WHERE digest = ?";
        Ok(sqlx::query_scalar(sql).bind(digest.0.as_slice()).fetch_optional(&self.readers).await?)
    }
}

async fn find(tx: &mut SqliteConnection, path: &str) -> Result<Row, OtaError> {
    let row: Option<Row> =
        sqlx::query_as(model_sql!("WHERE path = ?")).bind(path).fetch_optional(&mut *tx).await?;
    row.map_or_else(
        || refused(format!("there is no model {path}: `telltale-cloud model list` names them")),
        Ok,
    )
}

/// Refuses a decision that is given no reason.
pub(super) fn reasoned(why: &str) -> Result<(), OtaError> {
    match why.trim() {
        "" => refused("say why: --why TEXT is kept with the decision"),
        _ => Ok(()),
    }
}

/// A person's name, as it will stand in the audit.
pub(super) fn named(who: &str) -> Result<&str, OtaError> {
    match who.trim() {
        "" => refused("say who you are: --by NAME, or TELLTALE_USER in the environment"),
        name if name.len() > 100 => refused("a name has at most 100 bytes"),
        name => Ok(name),
    }
}
