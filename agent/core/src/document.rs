//! What the configuration documents of a model (manifest, feature specification) have in common: how they are refused.

use thiserror::Error;

/// A document that can't be used, with the reason.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// The document is not TOML, or has a field too many, too few or of another type.
    #[error("{origin}: {message}")]
    Syntax {
        /// The file.
        origin: String,
        /// The parser's words, with line and column.
        message: String,
    },
    /// A value that makes no sense.
    #[error("{origin}: `{field}`: {problem}")]
    Value {
        /// The file.
        origin: String,
        /// The field.
        field: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}
