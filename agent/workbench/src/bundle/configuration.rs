//! From a signal catalog and a campaign to the bundle of a configuration.

use super::build::write_bundle;
use super::{BuildError, Built};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use telltale_core::catalog::Catalog;
use telltale_seal::ContentKey;
use telltale_wire::bundle::*;
use telltale_wire::digest::Digest;

/// What a configuration is made of, and what its files do not say.
#[derive(Clone, Debug)]
pub struct ConfigurationOptions {
    /// Its name, such as `winter`.
    pub name: BundleName,
    /// Its version, for people.
    pub version: String,
    /// The signal catalog; the DBC files that it names lie relative to it.
    pub catalog: Option<PathBuf>,
    /// The campaign.
    pub campaign: Option<PathBuf>,
    /// The release counter of the configurations.
    pub release: u32,
    /// The hardware that it was tested on.
    pub hardware: Vec<HardwareId>,
    /// The oldest agent that takes it.
    pub min_agent: AgentVersion,
    /// What its chunks are sealed with; `None` to leave them open.
    pub content_key: Option<Arc<ContentKey>>,
}

/// Builds the bundle of a configuration into `out`, as [`super::build`] does that of a model. The catalog is read as a
/// vehicle reads it.
///
/// # Errors
/// [`BuildError`]: with the file at fault.
pub fn build_configuration(out: &Path, options: &ConfigurationOptions) -> Result<Built, BuildError> {
    let mut parts = Vec::new();
    if let Some(path) = &options.catalog {
        let documents = documents(path)?;
        let bytes = documents.encode().map_err(|source| BuildError::Bundle { path: path.clone(), source })?;
        parts.push((PartKind::Catalog, bytes));
    }
    if let Some(path) = &options.campaign {
        parts.push((PartKind::Campaign, fs::read(path).map_err(BuildError::io("read", path))?));
    }
    let family =
        CONFIGURATION.parse().map_err(|source| BuildError::Name { name: CONFIGURATION.into(), source })?;
    let from = options.catalog.as_ref().or(options.campaign.as_ref()).cloned().unwrap_or_default();
    let index = BundleIndex {
        family,
        name: options.name.clone(),
        version: options.version.clone(),
        release: options.release,
        hardware: options.hardware.clone(),
        min_agent: options.min_agent,
        features: Digest([0; 32]),
        needs: Vec::new(),
        // It runs nothing: the loop that it configures has bounds of its own.
        budget: Budget { latency_us: 1, memory_bytes: 1 },
        golden_tolerance: 0,
        chunk_exponent: 0,
        parts: Vec::new(),
        chunks: Vec::new(),
        seal: None,
    };
    write_bundle(&from, out, index, &parts, options.content_key.as_deref())
}

/// The catalog with all that it names, found sound.
fn documents(path: &Path) -> Result<Documents, BuildError> {
    let bytes = fs::read(path).map_err(BuildError::io("read", path))?;
    let fault = |problem: String| BuildError::File { path: path.to_owned(), problem };
    let text = String::from_utf8(bytes.clone()).map_err(|_| fault("save it as UTF-8".into()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut files = vec![Document { name, bytes }];
    let mut load = |name: &str| {
        let bytes = fs::read(folder.join(name)).map_err(|error| format!("{name}: {error}"))?;
        if files.iter().all(|file| file.name != name) {
            files.push(Document { name: name.to_owned(), bytes: bytes.clone() });
        }
        Ok(bytes)
    };
    Catalog::parse(&text, &path.display().to_string(), &mut load)
        .map_err(|error| fault(error.to_string()))?;
    Ok(Documents { files })
}
