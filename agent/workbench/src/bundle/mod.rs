//! Bundles: a model's folder, or a configuration, made into what travels to vehicles, looked into, compared and verified.
//!
//! Building is reproducible: the same folder and options give the same bytes, on any machine and at any time. So
//! nothing in a bundle says when or where it was built; its provenance names what went in by digest.

mod build;
mod configuration;
mod diff;
mod open;
mod provenance;

pub use build::{Built, Examined, Options, build};
pub use configuration::{ConfigurationOptions, build_configuration};
pub use diff::{Difference, PartDifference, difference};
pub use open::Bundle;

use std::path::PathBuf;
use telltale_core::document::DocumentError;
use telltale_seal::SealError;
use telltale_wire::bundle::{BundleError, InvalidName};
use telltale_wire::digest::ShortDigest;

/// Why a bundle was not built or read.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file can't be read or written.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A document of the model's folder has a fault.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Another fault of a file in the model's folder.
    #[error("{}: {problem}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The manifest's name is none for a bundle.
    #[error("the model's name {name:?} cannot name a bundle")]
    Name {
        /// The name.
        name: String,
        /// Which letters it may have.
        source: InvalidName,
    },
    /// No catalog says in which unit a signal is that the features need, or two say different ones.
    #[error("{vss}: {problem}")]
    Need {
        /// The signal's path.
        vss: String,
        /// What the catalogs say of it.
        problem: String,
    },
    /// The index breaks a rule of its type, or a chunk is not the one that the index names.
    #[error("{}: not a bundle that a vehicle takes", .path.display())]
    Bundle {
        /// Which file.
        path: PathBuf,
        /// Which rule.
        source: BundleError,
    },
    /// A chunk could not be sealed, or does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A sealed bundle is to be read, and no key is given.
    #[error("the bundle is sealed with the content key {0}: give its file with --content-key")]
    NoKey(ShortDigest),
    /// The bundle is there already with other content.
    #[error("{} is there with other content: a release never changes, count it up", .0.display())]
    ReleaseTaken(PathBuf),
}

impl BuildError {
    fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

#[cfg(test)]
mod tests;
