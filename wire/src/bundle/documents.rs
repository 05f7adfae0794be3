//! The documents of a configuration: a signal catalog and the DBC files that it names, as one part of a bundle.

use super::BundleError;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The most documents: a catalog and 63 DBC files.
pub const MAX_DOCUMENTS: usize = 64;

/// The longest name of a document, in bytes.
const MAX_NAME: usize = 128;

/// A catalog and the DBC files that it names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Documents {
    /// The catalog first, then what it names; at most [`MAX_DOCUMENTS`], no name twice.
    pub files: Vec<Document>,
}

/// One file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Document {
    /// As the catalog names it: a relative path of visible ASCII letters. It is never a path of the vehicle's disk.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

impl Documents {
    /// The bytes of the part.
    ///
    /// # Errors
    /// [`BundleError::Rule`] if a rule of its type is broken.
    pub fn encode(&self) -> Result<Vec<u8>, BundleError> {
        self.check()?;
        postcard::to_allocvec(self).map_err(|_| BundleError::Malformed)
    }

    /// Reads a part.
    ///
    /// # Errors
    /// [`BundleError::Malformed`] or [`BundleError::Rule`]; the bytes may come from anyone.
    pub fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        let (documents, behind) =
            postcard::take_from_bytes::<Self>(bytes).map_err(|_| BundleError::Malformed)?;
        if !behind.is_empty() {
            return Err(BundleError::Malformed);
        }
        documents.check()?;
        Ok(documents)
    }

    /// The document of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|file| file.name == name).map(|file| file.bytes.as_slice())
    }

    fn check(&self) -> Result<(), BundleError> {
        if !(1..=MAX_DOCUMENTS).contains(&self.files.len()) {
            let (what, count) = ("documents", self.files.len());
            return Err(BundleError::Count { what, count, least: 1, most: MAX_DOCUMENTS });
        }
        for (at, file) in self.files.iter().enumerate() {
            let visible = file.name.bytes().all(|byte| byte.is_ascii_graphic());
            if !(1..=MAX_NAME).contains(&file.name.len()) || !visible {
                return Err(BundleError::Rule("a document's name has 1 to 128 visible ASCII letters"));
            }
            if self.files.iter().take(at).any(|before| before.name == file.name) {
                return Err(BundleError::Rule("each document stands there once"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn documents(names: &[&str]) -> Documents {
        let file = |name: &&str| Document { name: (*name).into(), bytes: vec![7; 3] };
        Documents { files: names.iter().map(file).collect() }
    }

    #[test]
    fn documents_survive_their_bytes_and_keep_their_rules() {
        let good = documents(&["catalog.toml", "bms.dbc"]);
        let bytes = good.encode().unwrap();
        assert_eq!(Documents::decode(&bytes).as_ref(), Ok(&good));
        assert_eq!(good.find("bms.dbc"), Some([7, 7, 7].as_slice()));
        for cut in 0..bytes.len() {
            assert!(Documents::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(Documents::decode(&longer), Err(BundleError::Malformed));
        for bad in [&[][..], &["a", "a"], &[""], &["a b"], &["\u{e9}"], &["x"; MAX_DOCUMENTS + 1]] {
            let bytes = postcard::to_allocvec(&documents(bad)).unwrap();
            assert!(documents(bad).encode().is_err() && Documents::decode(&bytes).is_err(), "{bad:?}");
        }
    }
}
