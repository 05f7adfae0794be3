//! Names that stand in indexes, in metadata, in paths and in file names at once, and so have few letters.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// Why a text is no such name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvalidName {
    /// What it should have been.
    pub what: &'static str,
    /// What would be right.
    pub rule: &'static str,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is no {}: {}", self.what, self.rule)
    }
}

impl core::error::Error for InvalidName {}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident($what:literal, $most:literal, $extra:pat, $rule:literal);)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The longest, in bytes.
            pub const MAX_LEN: usize = $most;

            /// Takes a text that keeps the rules.
            ///
            /// # Errors
            /// [`InvalidName`].
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                let letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
                let starts = text.bytes().next().is_some_and(letter);
                let all = text.bytes().all(|byte| letter(byte) || matches!(byte, $extra));
                if starts && all && text.len() <= Self::MAX_LEN {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName { what: $what, rule: $rule })
                }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(&text)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

names! {
    /// A model's or a family's name: 1 to 32 of `a-z 0-9 -`, a letter or digit first. It is part of paths, file names
    /// and role names.
    BundleName("name of a model or family", 32, b'-', "1 to 32 of a-z 0-9 -, a letter or digit first");
    /// The hardware that a bundle is for: 1 to 64 of `a-z 0-9 . _ -`, a letter or digit first.
    HardwareId("hardware id", 64, b'-' | b'.' | b'_', "1 to 64 of a-z 0-9 . _ -, a letter or digit first");
}

/// The name of a bundle's index in both repositories: `FAMILY/NAME-RELEASE.index`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IndexPath {
    /// The family.
    pub family: BundleName,
    /// The model.
    pub name: BundleName,
    /// The release, from 1.
    pub release: u32,
}

impl fmt::Display for IndexPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}-{}.index", self.family, self.name, self.release)
    }
}

impl FromStr for IndexPath {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let parts = || {
            let (family, file) = text.split_once('/')?;
            let (name, release) = file.strip_suffix(".index")?.rsplit_once('-')?;
            // One way to write each number: no sign, no leading zero.
            let plain = release.bytes().all(|byte| byte.is_ascii_digit()) && !release.starts_with('0');
            let release = release.parse().ok().filter(|_| plain)?;
            Some(Self { family: family.parse().ok()?, name: name.parse().ok()?, release })
        };
        parts().ok_or(InvalidName { what: "path of an index", rule: "FAMILY/NAME-RELEASE.index" })
    }
}

/// A version of the agent, `MAJOR.MINOR.PATCH`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct AgentVersion {
    /// The first number.
    pub major: u16,
    /// The second.
    pub minor: u16,
    /// The third.
    pub patch: u16,
}

impl fmt::Display for AgentVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for AgentVersion {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let mut numbers = text.split('.').map(|number| number.parse::<u16>().ok());
        match [numbers.next(), numbers.next(), numbers.next(), numbers.next()] {
            [Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None] => {
                Ok(Self { major, minor, patch })
            }
            _ => Err(InvalidName { what: "version of the agent", rule: "MAJOR.MINOR.PATCH, such as 0.1.0" }),
        }
    }
}
