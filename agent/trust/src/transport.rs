//! Where metadata comes from: a server or a folder. Nothing that a transport does is believed; it only must not give
//! more than it was asked for.

use std::fs::File;
use std::future::Future;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;

/// What a [`Transport`] gives: the file's bytes, or that it has none of that name.
pub type Fetched<'a> = Pin<Box<dyn Future<Output = Result<Option<Vec<u8>>, FetchError>> + Send + 'a>>;

/// One repository's files by name, such as `timestamp.json` or `3.cell-fault.json`.
pub trait Transport: Send + Sync {
    /// The file of this name. `Ok(None)` says that there is none, which ends a chain of roots.
    ///
    /// # Errors
    /// [`FetchError::TooLong`] as soon as the file has more than `limit` bytes: the rest must not be read.
    fn fetch<'a>(&'a self, name: &'a str, limit: usize) -> Fetched<'a>;
}

/// Why a file was not fetched.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FetchError {
    /// The other side cannot be reached, or answers with an error.
    #[error("cannot be fetched: {0}")]
    Failed(String),
    /// More bytes than a file of its kind has. Whoever sends it may have no end.
    #[error("has more than {limit} bytes")]
    TooLong {
        /// The most.
        limit: usize,
    },
    /// It did not arrive in time.
    #[error("did not arrive within {seconds} s")]
    TooSlow {
        /// The longest that it may take.
        seconds: u64,
    },
    /// The director's metadata is for another vehicle, or for none.
    #[error("is signed for {}, not for this vehicle", .0.as_deref().unwrap_or("no vehicle"))]
    OtherVehicle(Option<String>),
    /// It lists one key under two names.
    #[error("lists one key under two names, which would count twice")]
    SameKey,
    /// A name that is none of a file.
    #[error("is no name of a metadata file")]
    Name,
}

/// A folder of metadata files: a USB stick, or a repository on disk.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The files in `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Transport for Folder {
    fn fetch<'a>(&'a self, name: &'a str, limit: usize) -> Fetched<'a> {
        let read = if plain(name) { read(&self.path.join(name), limit) } else { Err(FetchError::Name) };
        Box::pin(std::future::ready(read))
    }
}

/// Reads a file, but not more than `limit` bytes of it; `None` if it is not there.
///
/// # Errors
/// [`FetchError::Failed`] or [`FetchError::TooLong`].
pub(crate) fn read(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, FetchError> {
    let failed = |error: std::io::Error| FetchError::Failed(format!("{}: {error}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit { Err(FetchError::TooLong { limit }) } else { Ok(Some(bytes)) }
}

/// Whether this is the name of a file, and of nothing beside or above.
pub(crate) fn plain(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'~' | b'%');
    !matches!(name, "." | "..") && (1..=200).contains(&name.len()) && name.bytes().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_gives_its_own_files_only_and_never_more_than_asked() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("in");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(dir.path().join("secret"), b"x").unwrap();
        std::fs::write(inside.join("a.json"), b"1234").unwrap();
        let folder = Folder::new(&inside);
        assert_eq!(folder.fetch("a.json", 4).await, Ok(Some(b"1234".to_vec())));
        assert_eq!(folder.fetch("a.json", 3).await, Err(FetchError::TooLong { limit: 3 }));
        assert_eq!(folder.fetch("b.json", 3).await, Ok(None));
        for bad in ["../secret", "/etc/passwd", "", ".", "..", "a\0", "in/a.json", "\\", &"x".repeat(201)] {
            assert_eq!(folder.fetch(bad, 100).await, Err(FetchError::Name), "{bad:?}");
        }
        assert!(matches!(Folder::new(dir.path()).fetch("in", 9).await, Err(FetchError::Failed(_))));
    }
}
