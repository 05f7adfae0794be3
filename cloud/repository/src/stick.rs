//! A USB stick for one vehicle: the repository's files that it needs, and what the director signed for it.

use crate::RepositoryError;
use crate::director::Issued;
use crate::files::{Repository, Side, read_bytes, write};
use std::fs;
use std::path::Path;
use telltale_wire::bundle::{BundleIndex, IndexPath, MAX_INDEX};

impl Repository {
    /// Writes a stick: all metadata, these bundles, and `issued`, which names them for the vehicle.
    ///
    /// # Errors
    /// If a file is missing, or the folder cannot be written.
    pub fn write_stick(
        &self,
        out: &Path,
        issued: &Issued,
        bundles: &[IndexPath],
    ) -> Result<(), RepositoryError> {
        for side in Side::ALL {
            let folder = self.dir.join(side.folder());
            for entry in fs::read_dir(&folder).map_err(RepositoryError::io("list", &folder))? {
                let path = entry.map_err(RepositoryError::io("list", &folder))?.path();
                if let Some(name) =
                    path.file_name().filter(|_| path.extension().is_some_and(|it| it == "json"))
                {
                    copy(&path, &out.join(side.folder()).join(name), u64::MAX)?;
                }
            }
        }
        let director = out.join(Side::Director.folder());
        write(&director.join(format!("{}.targets.json", issued.versions.targets)), &issued.targets)?;
        write(&director.join(format!("{}.snapshot.json", issued.versions.snapshot)), &issued.snapshot)?;
        write(&director.join("timestamp.json"), &issued.timestamp)?;
        for bundle in bundles {
            let from = self.dir.join("index").join(bundle.to_string());
            let to = out.join("index").join(bundle.to_string());
            let bytes = copy(&from, &to, MAX_INDEX as u64 + 1)?;
            let index = BundleIndex::decode(&bytes)
                .map_err(|source| RepositoryError::Bundle { path: from.clone(), source })?;
            for chunk in index.chunks() {
                let name = chunk.digest.to_hex();
                let (from, to) = (self.dir.join("chunk").join(&name), out.join("chunk").join(&name));
                copy(&from, &to, chunk.length as u64 + 1)?;
            }
        }
        Ok(())
    }
}

impl Repository {
    /// Adds the file of commands to a stick: `issued` of [`Repository::write_stick`] must name it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_desired(&self, out: &Path, desired: &[u8]) -> Result<(), RepositoryError> {
        write(&out.join(Side::Director.folder()).join(telltale_wire::desired::TARGET), desired)
    }
}

fn copy(from: &Path, to: &Path, limit: u64) -> Result<Vec<u8>, RepositoryError> {
    let gone = || RepositoryError::Io {
        action: "read",
        path: from.to_owned(),
        source: std::io::ErrorKind::NotFound.into(),
    };
    let bytes = read_bytes(from, limit)?.ok_or_else(gone)?;
    write(to, &bytes)?;
    Ok(bytes)
}
