//! Why the signing side could not do something.

use crate::key::KeyId;
use std::io;
use std::path::PathBuf;
use telltale_wire::bundle::BundleError;
use telltale_wire::time::WallTime;

/// Why the signing side could not do something.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// A file could not be read or written.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is there already.
    #[error("{} exists and is not overwritten", .0.display())]
    Exists(PathBuf),
    /// A file holds no key.
    #[error("{} holds no Ed25519 {expected} key in PEM: make one with `telltale-cloud keys generate`", .path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// Private or public.
        expected: &'static str,
    },
    /// A private key that others may read.
    #[error("{} may be read by others (mode {mode:03o}): who could copy it can sign. Replace the key, or `chmod 600` it", .path.display())]
    ExposedKey {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The system gave no random numbers.
    #[error("the system gave no random numbers for a key")]
    NoRandom,
    /// Canonical JSON holds integers only.
    #[error("{0} cannot stand in signed metadata: only integers can")]
    NotCanonical(String),
    /// Metadata that does not read.
    #[error("{name} is no metadata of this kind: {why}")]
    Malformed {
        /// The file.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// A role that does not exist here.
    #[error("there is no role {0:?} in this repository")]
    NoRole(String),
    /// Too few valid signatures.
    #[error("{role} version {version} has {found} of {threshold} signatures that it needs; these keys could sign: {}", list(.missing))]
    NotSigned {
        /// The role.
        role: String,
        /// The version.
        version: u64,
        /// How many good ones there are.
        found: usize,
        /// How many are needed.
        threshold: usize,
        /// Keys of the role that have not signed.
        missing: Vec<KeyId>,
    },
    /// A threshold that the keys cannot meet, or none.
    #[error("{role} cannot need {threshold} signatures of {keys} keys: 1 to that many")]
    Threshold {
        /// The role.
        role: String,
        /// What was asked for.
        threshold: usize,
        /// How many keys there are.
        keys: usize,
    },
    /// The key is not one of the role's.
    #[error("key {key} does not sign for {role}")]
    NotAKeyOf {
        /// The role.
        role: String,
        /// The key.
        key: KeyId,
    },
    /// The repository was not made yet, or not published.
    #[error("there is no published repository in {}: make one with `telltale-cloud repository init`", .0.display())]
    NoRepository(PathBuf),
    /// Something is staged that the change would not see.
    #[error("{0} is staged and not published yet: `repository sign` and publish it, or delete the file")]
    Staged(String),
    /// Metadata whose end has come.
    #[error("{role} ended at {ends}, and vehicles refuse all that it names: `repository publish` or `renew`")]
    Ended {
        /// The role.
        role: String,
        /// When.
        ends: WallTime,
    },
    /// The same release with other content.
    #[error("{0} is published with other content: a release never changes, count it up")]
    ReleaseTaken(String),
    /// A release below the newest.
    #[error("{family} has release {newest} already: the next one counts from {}", .newest + 1)]
    ReleaseOrder {
        /// The family.
        family: String,
        /// The newest that is published.
        newest: u32,
    },
    /// A bundle that is not whole.
    #[error("the bundle in {} cannot be published", .path.display())]
    Bundle {
        /// The file at fault.
        path: PathBuf,
        /// Why.
        source: BundleError,
    },
}

fn list(keys: &[KeyId]) -> String {
    let mut names: Vec<&str> = keys.iter().map(KeyId::short).collect();
    names.sort_unstable();
    names.join(", ")
}

impl RepositoryError {
    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn malformed(name: impl Into<String>, why: impl ToString) -> Self {
        Self::Malformed { name: name.into(), why: why.to_string() }
    }
}
