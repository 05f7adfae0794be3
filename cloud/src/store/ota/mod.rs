//! Over the air, in the database: models, rollouts, commands and what each vehicle is to have.
//!
//! Whatever a person or the engine decides is one transaction with its row in the audit: who, when, what, and why.

/// Reads a struct from a row, field by field, by the columns' names.
macro_rules! columns {
    ($name:ident: $($field:ident)+) => {
        impl sqlx::FromRow<'_, sqlx::sqlite::SqliteRow> for $name {
            fn from_row(row: &sqlx::sqlite::SqliteRow) -> Result<Self, sqlx::Error> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?),+ })
            }
        }
    };
}

mod ahead;
mod audit;
mod commands;
mod issues;
mod keys;
mod members;
mod models;
mod reports;
mod rollouts;
mod told;
mod wanted;

pub use ahead::AheadLine;
pub use audit::AuditLine;
pub use commands::CommandLine;
pub(crate) use issues::Issue;
pub use keys::{Introduced, SealingKeyLine};
pub use members::{MemberLine, WaveLine};
pub use models::{ModelLine, NewModel};
pub use reports::{RolloutLine, RolloutReport, TestLine};
pub use told::{InstalledLine, ShadowLine};
pub(crate) use wanted::{Wanted, WantedBundle};

use super::StoreError;
use crate::rollout::{PlanError, Refused};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum OtaError {
    /// It may not be done, or there is no such thing; in words for a person.
    #[error("{0}")]
    Refused(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for OtaError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Refused> for OtaError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused.to_string())
    }
}

impl From<PlanError> for OtaError {
    fn from(error: PlanError) -> Self {
        Self::Refused(error.to_string())
    }
}

fn refused<T>(why: impl Into<String>) -> Result<T, OtaError> {
    Err(OtaError::Refused(why.into()))
}
