//! The signing side of the over-the-air updates, in the shape of Uptane and the metadata of TUF.
//!
//! Two repositories must agree before a vehicle takes a bundle. The **image repository** says which bundles exist: its
//! root and targets keys are offline, and each model family is delegated to keys of its own. The **director**
//! ([`director`]) says which of them one vehicle gets: its key is online and its metadata short-lived. A stolen
//! director key can at worst choose among what was signed offline.
//!
//! [`key`] and [`metadata`] are what both are made of; [`canonical`] the bytes that signatures cover. The vehicle's
//! verifier shares no code with this.

pub mod canonical;
pub mod director;
mod error;
pub mod key;
pub mod metadata;

pub use error::RepositoryError;
