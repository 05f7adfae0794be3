//! TUF metadata (specification 1.0) as types, and the envelope that carries signatures over it.

use crate::RepositoryError;
use crate::canonical::canonical;
use crate::key::{KeyId, PublicKey, SigningKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use telltale_wire::bundle::{BundleName, HardwareId};
use telltale_wire::digest::Digest;
use telltale_wire::time::WallTime;

/// The version of TUF's specification that the metadata follows.
pub const SPEC_VERSION: &str = "1.0.31";

/// Metadata of any role.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "_type", rename_all = "lowercase")]
pub enum Metadata {
    /// Which keys sign for which role.
    Root(Root),
    /// Which snapshot is the newest.
    Timestamp(Timestamp),
    /// Which versions of all targets roles belong together.
    Snapshot(Snapshot),
    /// What there is to fetch.
    Targets(Targets),
}

/// Which keys sign for which role.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Root {
    /// TUF's version.
    pub spec_version: String,
    /// Counts from 1; a vehicle follows it step by step.
    pub version: u64,
    /// From then on it counts no more.
    pub expires: Expires,
    /// Whether files carry their version in their name; always.
    pub consistent_snapshot: bool,
    /// The keys.
    pub keys: BTreeMap<KeyId, PublicKey>,
    /// `root`, `targets`, `snapshot` and `timestamp`.
    pub roles: BTreeMap<String, RoleKeys>,
}

/// Who signs for a role.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RoleKeys {
    /// Its keys.
    pub keyids: Vec<KeyId>,
    /// How many of them must.
    pub threshold: usize,
}

/// Which snapshot is the newest.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Timestamp {
    /// TUF's version.
    pub spec_version: String,
    /// Counts from 1.
    pub version: u64,
    /// From then on it counts no more.
    pub expires: Expires,
    /// `snapshot.json`.
    pub meta: BTreeMap<String, MetaFile>,
    /// The vehicle that it is for; only the director's has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle: Option<String>,
}

/// Which versions of all targets roles belong together.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// TUF's version.
    pub spec_version: String,
    /// Counts from 1.
    pub version: u64,
    /// From then on it counts no more.
    pub expires: Expires,
    /// `ROLE.json` of every targets role.
    pub meta: BTreeMap<String, MetaFile>,
    /// The vehicle that it is for; only the director's has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle: Option<String>,
}

/// What there is to fetch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Targets {
    /// TUF's version.
    pub spec_version: String,
    /// Counts from 1.
    pub version: u64,
    /// From then on it counts no more.
    pub expires: Expires,
    /// By path.
    pub targets: BTreeMap<String, Target>,
    /// Roles that sign for a part of the paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegations: Option<Delegations>,
    /// The vehicle that it is for; only the director's has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle: Option<String>,
}

/// A metadata file as another one names it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MetaFile {
    /// Its version.
    pub version: u64,
    /// Its length in bytes.
    pub length: u64,
    /// `sha256` and its digest in hexadecimal.
    pub hashes: BTreeMap<String, String>,
}

/// A file to fetch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Its length in bytes.
    pub length: u64,
    /// `sha256` and its digest in hexadecimal.
    pub hashes: BTreeMap<String, String>,
    /// What both repositories must say alike of a bundle; none for other files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Custom>,
}

/// What is said of a bundle; by both repositories alike, but for the content key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Custom {
    /// The hardware that it is for.
    pub hardware_ids: Vec<HardwareId>,
    /// Its release counter.
    pub release: u32,
    /// Its family.
    pub family: BundleName,
    /// The content key of a sealed bundle, wrapped for one vehicle, in hexadecimal digits. The director's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_key: Option<String>,
}

/// Roles that sign for a part of the paths.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Delegations {
    /// Their keys.
    pub keys: BTreeMap<KeyId, PublicKey>,
    /// In the order of their priority.
    pub roles: Vec<DelegatedRole>,
}

/// A role that signs for a part of the paths.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DelegatedRole {
    /// Its name: the family's.
    pub name: String,
    /// Who signs for it.
    #[serde(flatten)]
    pub keys: RoleKeys,
    /// Whether nobody else is asked for its paths.
    pub terminating: bool,
    /// Its paths.
    pub paths: Vec<String>,
}

impl MetaFile {
    /// How these bytes are named.
    #[must_use]
    pub fn of(bytes: &[u8], version: u64) -> Self {
        Self { version, length: bytes.len() as u64, hashes: hashes(bytes) }
    }
}

impl Target {
    /// A file with these bytes.
    #[must_use]
    pub fn of(bytes: &[u8], custom: Option<Custom>) -> Self {
        Self { length: bytes.len() as u64, hashes: hashes(bytes), custom }
    }
}

fn hashes(bytes: &[u8]) -> BTreeMap<String, String> {
    BTreeMap::from([("sha256".to_owned(), Digest::of(bytes).to_hex())])
}

/// A moment to the second, `2026-06-01T00:00:00Z` in metadata.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expires(i64);

impl Expires {
    /// This many days after `now`.
    #[must_use]
    pub fn after(now: WallTime, days: u32) -> Self {
        Self(now.as_unix_micros().div_euclid(1_000_000).saturating_add(i64::from(days) * 86_400))
    }

    /// The moment.
    #[must_use]
    pub const fn at(self) -> WallTime {
        WallTime(self.0.saturating_mul(1_000_000))
    }
}

impl From<Expires> for String {
    fn from(expires: Expires) -> String {
        jiff::Timestamp::from_second(expires.0).unwrap_or(jiff::Timestamp::MAX).to_string()
    }
}

impl TryFrom<String> for Expires {
    type Error = jiff::Error;
    fn try_from(text: String) -> Result<Self, jiff::Error> {
        text.parse::<jiff::Timestamp>().map(|at| Self(at.as_second()))
    }
}

macro_rules! each {
    ($self:expr, $role:ident => $field:expr) => {
        match $self {
            Metadata::Root($role) => $field,
            Metadata::Timestamp($role) => $field,
            Metadata::Snapshot($role) => $field,
            Metadata::Targets($role) => $field,
        }
    };
}

impl Metadata {
    /// Its version.
    #[must_use]
    pub const fn version(&self) -> u64 {
        each!(self, role => role.version)
    }

    /// From then on it counts no more.
    #[must_use]
    pub const fn expires(&self) -> Expires {
        each!(self, role => role.expires)
    }

    /// The same as the next version, with a new end.
    #[must_use]
    pub fn next(mut self, expires: Expires) -> Self {
        each!(&mut self, role => { role.version += 1; role.expires = expires; });
        self
    }
}

/// Metadata and the signatures over it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Envelope {
    signatures: Vec<Signature>,
    signed: Value,
}

/// One signature.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Signature {
    keyid: KeyId,
    sig: String,
}

impl Envelope {
    /// Metadata without signatures.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn new(metadata: &Metadata) -> Result<Self, RepositoryError> {
        let signed = serde_json::to_value(metadata).map_err(|e| RepositoryError::malformed("metadata", e))?;
        Ok(Self { signatures: Vec::new(), signed })
    }

    /// Metadata with the signatures of these keys, as bytes.
    ///
    /// # Errors
    /// As [`Envelope::new`].
    pub fn signed<'a>(
        metadata: &Metadata,
        keys: impl IntoIterator<Item = &'a SigningKey>,
    ) -> Result<Vec<u8>, RepositoryError> {
        let mut envelope = Self::new(metadata)?;
        for key in keys {
            envelope.sign(key)?;
        }
        envelope.to_bytes()
    }

    /// Reads an envelope. `name` is said in errors.
    ///
    /// # Errors
    /// [`RepositoryError::Malformed`].
    pub fn parse(bytes: &[u8], name: &str) -> Result<Self, RepositoryError> {
        serde_json::from_slice(bytes).map_err(|e| RepositoryError::malformed(name, e))
    }

    /// What was signed.
    ///
    /// # Errors
    /// [`RepositoryError::Malformed`].
    pub fn metadata(&self) -> Result<Metadata, RepositoryError> {
        serde_json::from_value(self.signed.clone()).map_err(|e| RepositoryError::malformed("metadata", e))
    }

    /// Signs it; a key that signed before signs anew.
    ///
    /// # Errors
    /// If the metadata has no canonical form.
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), RepositoryError> {
        let sig = key.sign(&canonical(&self.signed)?);
        self.signatures.retain(|signature| signature.keyid != key.id());
        self.signatures.push(Signature { keyid: key.id(), sig });
        self.signatures.sort_unstable_by(|a, b| a.keyid.cmp(&b.keyid));
        Ok(())
    }

    /// Whether enough keys of the role signed it.
    ///
    /// # Errors
    /// [`RepositoryError::NotSigned`], with the keys that could.
    pub fn verify(
        &self,
        role: &str,
        who: &RoleKeys,
        keys: &BTreeMap<KeyId, PublicKey>,
    ) -> Result<(), RepositoryError> {
        let message = canonical(&self.signed)?;
        let good = |id: &&KeyId| {
            let by_it = self.signatures.iter().filter(|signature| signature.keyid == **id);
            keys.get(*id).is_some_and(|key| by_it.into_iter().any(|s| key.verifies(&message, &s.sig)))
        };
        let signers: BTreeSet<&KeyId> = who.keyids.iter().filter(good).collect();
        if signers.len() >= who.threshold.max(1) {
            return Ok(());
        }
        Err(RepositoryError::NotSigned {
            role: role.to_owned(),
            version: self.metadata()?.version(),
            found: signers.len(),
            threshold: who.threshold,
            missing: who.keyids.iter().filter(|id| !signers.contains(id)).cloned().collect(),
        })
    }

    /// Its bytes, always the same for the same content.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RepositoryError> {
        // Not the canonical form, which writes control characters as they are and so is not always JSON.
        serde_json::to_vec(self).map_err(|e| RepositoryError::malformed("metadata", e))
    }
}
