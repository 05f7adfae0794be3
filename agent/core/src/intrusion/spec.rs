//! `features.toml` of a model that watches buses: which counts become features, and how.

use super::count::{COUNTS, Count};
use crate::document::DocumentError;
use serde::Deserialize;
use telltale_wire::digest::Digest;

/// The specification schema that this room reads.
pub const SCHEMA: u32 = 1;
/// What a specification of seconds says of itself.
pub const KIND: &str = "bus-second";
/// Which counts a model takes, and how they are scaled: `features.toml` of a model that watches buses.
#[derive(Clone, Debug)]
pub struct SecondSpec {
    /// Its name.
    pub name: String,
    /// The digest of the document.
    pub digest: Digest,
    /// The features, in the order of the model's channels.
    pub features: Vec<SecondFeature>,
}

/// A feature: the binary logarithm of one plus a count, over a scale, clipped.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondFeature {
    /// Its name, a column of the tables that training reads.
    pub name: String,
    /// What is counted.
    pub count: Count,
    /// What is divided by.
    pub scale: f32,
    /// The bound on either side.
    pub clip: f32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u32,
    kind: String,
    name: String,
    feature: Vec<SecondFeature>,
}

impl SecondSpec {
    /// Whether a document says that it is one of these, so that it is not read as features of signals.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        #[derive(Deserialize)]
        struct Kind {
            kind: Option<String>,
        }
        toml::from_str::<Kind>(text).is_ok_and(|doc| doc.kind.as_deref() == Some(KIND))
    }

    /// Reads a specification. `origin` names the file in errors.
    ///
    /// # Errors
    /// [`DocumentError`], with the field at fault.
    pub fn parse(text: &str, origin: &str) -> Result<SecondSpec, DocumentError> {
        let doc: Document = toml::from_str(text)
            .map_err(|e| DocumentError::Syntax { origin: origin.into(), message: e.to_string() })?;
        let fail = |field: &str, problem: &str| DocumentError::Value {
            origin: origin.into(),
            field: field.into(),
            problem: problem.into(),
        };
        if doc.schema != SCHEMA || doc.kind != KIND {
            return Err(fail("schema", "this agent reads schema 1 of kind \"bus-second\""));
        }
        if doc.feature.is_empty() || doc.feature.len() > COUNTS {
            return Err(fail("feature", "one to sixteen features"));
        }
        for (place, feature) in doc.feature.iter().enumerate() {
            if doc.feature[..place].iter().any(|other| other.name == feature.name) {
                return Err(fail("feature", "each name once"));
            }
            let positive = |x: f32| x > 0.0 && x.is_finite();
            if !positive(feature.scale) || !positive(feature.clip) {
                return Err(fail(&format!("feature {}", feature.name), "scale and clip are numbers above 0"));
            }
        }
        Ok(SecondSpec { name: doc.name, digest: Digest::of(text.as_bytes()), features: doc.feature })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::intrusion) const EXAMPLE: &str = "schema = 1\nkind = \"bus-second\"\nname = \"bus-traffic\"\n\
        [[feature]]\nname = \"unknown\"\ncount = \"unknown\"\nscale = 0.5\nclip = 8.0\n\
        [[feature]]\nname = \"load\"\ncount = \"load\"\nscale = 0.25\nclip = 8.0\n";

    #[test]
    fn a_specification_says_what_it_is_and_what_is_wrong_with_it() {
        assert!(SecondSpec::is_one(EXAMPLE) && !SecondSpec::is_one("schema = 1") && !SecondSpec::is_one("["));
        for (from, to, expected) in [
            ("schema = 1", "schema = 2", "s: `schema`"),
            ("scale = 0.5", "scale = 0", "`feature unknown`"),
            ("clip = 8.0", "clip = inf", "`feature unknown`"),
            ("name = \"load\"", "name = \"unknown\"", "each name once"),
            ("count = \"load\"", "count = \"loud\"", "unknown variant"),
        ] {
            let error = SecondSpec::parse(&EXAMPLE.replacen(from, to, 1), "s").unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
