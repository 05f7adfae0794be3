//! Why a repository or a target was not believed. Each reason has a variant of its own.

use crate::transport::FetchError;
use std::fmt;
use telltale_seal::SealError;
use telltale_wire::bundle::{BundleError, BundleName, HardwareId};
use telltale_wire::time::WallTime;

/// Which of the two repositories.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// It says what this vehicle shall have.
    Director,
    /// It says what there is.
    Image,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Director => "director",
            Side::Image => "image repository",
        })
    }
}

/// Why a repository's metadata was not believed. What was believed before still is.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("{side}: {reason}")]
pub struct TrustError {
    /// Whose metadata.
    pub side: Side,
    /// Why.
    pub reason: Distrust,
}

/// The reasons not to believe a repository's metadata.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum Distrust {
    /// A file could not be fetched, or was not taken as it came.
    #[error("{file} {error}")]
    Fetch {
        /// Which.
        file: String,
        /// Why.
        error: FetchError,
    },
    /// A file is not there.
    #[error("{file} is not there")]
    Missing {
        /// Which.
        file: String,
    },
    /// A file does not read as the metadata that it should be.
    #[error("its metadata does not read: {why}")]
    Malformed {
        /// In the parser's words.
        why: String,
    },
    /// Too few valid signatures.
    #[error("{role} has {found} valid signatures of {threshold} that it needs")]
    Threshold {
        /// The role.
        role: String,
        /// How many valid ones it has.
        found: usize,
        /// How many it needs.
        threshold: usize,
    },
    /// One key signed twice to count twice.
    #[error("{role} is signed twice by one key")]
    SignedTwice {
        /// The role.
        role: String,
    },
    /// Past its end: either nobody signs any more, or somebody holds the new one back.
    #[error("{role} ended at {expires}: it may be held back, or the server no longer signs")]
    Expired {
        /// The role.
        role: String,
        /// Its end.
        expires: WallTime,
    },
    /// Older than what this vehicle has believed.
    #[error("{role} goes back from version {trusted} to {offered}")]
    Rollback {
        /// The role.
        role: String,
        /// The version that this vehicle has believed.
        trusted: u64,
        /// The version that was offered.
        offered: u64,
    },
    /// A root that does not follow the one before.
    #[error("the root goes from version {trusted} to {offered}: it may only count up by one")]
    RootVersion {
        /// The version that this vehicle believes.
        trusted: u64,
        /// The version that was offered.
        offered: u64,
    },
    /// More roots in a row than a check follows.
    #[error("the root moved on by more than {0} versions: check again to follow further")]
    RootSteps(u32),
    /// A file is not the one that other metadata names: parts of different states were mixed.
    #[error("its parts do not belong together: {why}")]
    Mixed {
        /// Which and how.
        why: String,
    },
    /// The director named more than a vehicle can have.
    #[error("it names {0} targets, at most {max} are taken", max = crate::limits::MAX_TARGETS)]
    TooManyTargets(usize),
    /// The director delegated, which only the image repository does.
    #[error("it delegates to other roles, which a director may not")]
    Delegates,
    /// It is not known what time it is.
    #[error("no time is known yet, so that nothing can be told from what has ended: sync first")]
    NoTime,
    /// What was believed could not be kept, and with it the protection from going back.
    #[error("what was verified cannot be stored: {0}")]
    Store(String),
}

/// Why a target that the director named was not taken.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum Refusal {
    /// A path that is none of a bundle's index.
    #[error("the path is none of an index: FAMILY/NAME-RELEASE.index")]
    Path,
    /// A repository does not say what it must of a bundle.
    #[error("the {side} says nothing readable of hardware, release and family")]
    Custom {
        /// Which.
        side: Side,
    },
    /// It is not for this vehicle's hardware.
    #[error("the {side} has it for other hardware than {hardware}")]
    Hardware {
        /// Who says so.
        side: Side,
        /// This vehicle's.
        hardware: HardwareId,
    },
    /// Family or release are not those of the path.
    #[error("the {side} says another family or release than the path")]
    Names {
        /// Which.
        side: Side,
    },
    /// The director names what the image repository does not have. Its key may be in wrong hands.
    #[error("the image repository does not have it")]
    NotInImage,
    /// The two repositories say different lengths.
    #[error("the director says {director} bytes, the image repository {image}")]
    Length {
        /// The director's.
        director: u64,
        /// The image repository's.
        image: u64,
    },
    /// The two repositories say different digests, or none of SHA-256.
    #[error("the director and the image repository say different digests, or no SHA-256")]
    Digest,
    /// The two repositories say different releases.
    #[error("the director says release {director}, the image repository {image}")]
    Release {
        /// The director's.
        director: u32,
        /// The image repository's.
        image: u32,
    },
    /// The two repositories say different families.
    #[error("the director says family {director}, the image repository {image}")]
    Family {
        /// The director's.
        director: BundleName,
        /// The image repository's.
        image: BundleName,
    },
    /// Below what this vehicle has committed.
    #[error("release {offered} is below {floor}, which this vehicle has committed")]
    Rollback {
        /// The lowest that it takes.
        floor: u32,
        /// The one that was offered.
        offered: u32,
    },
    /// The file is longer than any of its kind.
    #[error("it has {length} bytes, at most {limit} are taken")]
    TooLong {
        /// The length in bytes.
        length: u64,
        /// The most.
        limit: u64,
    },
    /// The file is not as long as the metadata says.
    #[error("the file has {found} bytes instead of {expected}: it was cut or padded on the way")]
    FileLength {
        /// The length that was signed for.
        expected: u64,
        /// The length that came.
        found: u64,
    },
    /// The file is not the one that was signed for.
    #[error("the file is not the one that was signed for: its digest differs")]
    FileDigest,
    /// The index does not read.
    #[error("{0}")]
    Index(BundleError),
    /// The index says another family, name, release or hardware than the metadata.
    #[error("the index is of another bundle or other hardware than the metadata says")]
    OtherBundle,
    /// It is not sealed as this vehicle demands, or not for this vehicle.
    #[error(transparent)]
    Seal(SealError),
    /// The image repository's metadata for this path was not believed.
    #[error("{0}")]
    Metadata(TrustError),
}

impl Distrust {
    pub(crate) fn by(self, side: Side) -> TrustError {
        TrustError { side, reason: self }
    }

    /// In our words. `missing` is the file that was asked for last and was not there.
    pub(crate) fn of(error: sigstore_tuf::Error, missing: Option<String>, steps: u32) -> Self {
        use sigstore_tuf::Error as Tuf;
        match error {
            Tuf::ThresholdNotMet { role, found, threshold } => Self::Threshold { role, found, threshold },
            Tuf::DuplicateSignature { role, .. } => Self::SignedTwice { role },
            Tuf::Rollback { role, trusted, new } => Self::Rollback { role, trusted, offered: new },
            Tuf::BadRootVersion { trusted, new } => Self::RootVersion { trusted, offered: new },
            Tuf::Expired { role, expires } => {
                Self::Expired { role, expires: WallTime(expires.as_microsecond()) }
            }
            Tuf::IntegrityMismatch(why) => Self::Mixed { why },
            Tuf::Transport { message, source } => {
                match source.map(|source| source.downcast::<FetchError>()) {
                    Some(Ok(error)) => Self::Fetch { file: message, error: *error },
                    Some(Err(other)) => Self::Malformed { why: format!("{message}: {other}") },
                    None => missing.map_or(Self::RootSteps(steps), |file| Self::Missing { file }),
                }
            }
            other => Self::Malformed { why: chain(&other) },
        }
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += ": ";
        text += &error.to_string();
        cause = error.source();
    }
    text
}
