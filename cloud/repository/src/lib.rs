//! The signing side of the over-the-air updates, in the shape of Uptane and the metadata of TUF.
//!
//! Two repositories must agree before a vehicle takes a bundle. The **image repository** says which bundles exist: its
//! root and targets keys are offline, and each model family is delegated to keys of its own. The **director**
//! ([`director`]) says which of them one vehicle gets: its key is online and its metadata short-lived. A stolen
//! director key can at worst choose among what was signed offline.
//!
//! [`key`] and [`metadata`] are what both are made of; [`canonical`] the bytes that signatures cover. A [`Repository`] is
//! a folder: a change is staged in it, signed by whoever holds the keys, wherever they are, and published as a whole.
//! CEREMONY.md beside this crate is the procedure. The vehicle's verifier shares no code with this.

pub mod canonical;
mod change;
pub mod director;
mod error;
mod files;
pub mod key;
pub mod metadata;
mod proof;
mod publish;
mod stick;

pub use change::{Holders, ROOT_DAYS, TARGETS_DAYS};
pub use error::RepositoryError;
pub use files::{Repository, Side};
pub use publish::{RoleStatus, SNAPSHOT_DAYS, TIMESTAMP_DAYS};
