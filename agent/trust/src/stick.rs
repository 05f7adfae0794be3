//! A USB stick: a folder laid out as the server's paths are, and verified by the same code.

use crate::transport::{FetchError, Folder, Transport, read};
use std::path::PathBuf;
use std::sync::Arc;
use telltale_wire::bundle::{Chunk, IndexPath, MAX_INDEX};
use telltale_wire::desired;

/// A folder with `director/`, `image/`, `index/` and `chunk/`.
#[derive(Clone, Debug)]
pub struct Stick {
    path: PathBuf,
}

impl Stick {
    /// The stick that is mounted at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The director's metadata for this vehicle.
    #[must_use]
    pub fn director(&self) -> Arc<dyn Transport> {
        Arc::new(Folder::new(self.path.join("director")))
    }

    /// The image repository's metadata.
    #[must_use]
    pub fn image(&self) -> Arc<dyn Transport> {
        Arc::new(Folder::new(self.path.join("image")))
    }

    /// The file of commands, still to be verified; `None` if it is not there.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn desired_state(&self) -> Result<Option<Vec<u8>>, FetchError> {
        read(&self.path.join("director").join(desired::TARGET), desired::MAX_LEN)
    }

    /// The index at this path, still to be verified; `None` if it is not there.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn index(&self, path: &IndexPath) -> Result<Option<Vec<u8>>, FetchError> {
        read(&self.path.join("index").join(path.to_string()), MAX_INDEX)
    }

    /// The bytes of this chunk, still to be verified; `None` if they are not there.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn chunk(&self, chunk: &Chunk) -> Result<Option<Vec<u8>>, FetchError> {
        read(&self.path.join("chunk").join(chunk.digest.to_hex()), chunk.length)
    }
}
