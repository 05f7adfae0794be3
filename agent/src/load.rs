//! Reads catalogs and model folders from disk into what the core works with.

use anyhow::{Context as _, bail};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use telltale_core::catalog::Catalog;
use telltale_core::condition::Condition;
use telltale_core::feature::FeatureSpec;
use telltale_core::feature::Layout;
use telltale_core::intrusion::{Profile, Rule, SecondSpec};
use telltale_core::model::{Manifest, Model};
use telltale_core::pipeline::{LoadedIntrusion, LoadedModel};
use telltale_core::range::RangeModel;
use telltale_infer::{Int8Model, MAX_MODEL_BYTES, Shape, StreamedModel};
use telltale_wire::digest::Digest;

/// The largest catalog, DBC, manifest or specification that is read, in bytes. The largest public DBC file is 1 MB.
const MAX_TEXT: u64 = 16 * 1024 * 1024;
/// The largest ONNX file that is read, in bytes: what the runtime takes.
const MAX_ONNX: u64 = MAX_MODEL_BYTES as u64;

/// Reads a file, but no more than `limit` bytes of it.
///
/// # Errors
/// If it can't be read or is larger; the error names it.
pub fn read_bounded(path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    let file = fs::File::open(path).with_context(|| format!("can't open {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).with_context(|| format!("can't read {}", path.display()))?;
    if bytes.len() as u64 > limit {
        bail!("{} is larger than {limit} bytes: is it the right file?", path.display());
    }
    Ok(bytes)
}

/// Reads a text file, UTF-8.
///
/// # Errors
/// As [`read_bounded`], and if it is not UTF-8.
pub fn read_text(path: &Path) -> anyhow::Result<String> {
    String::from_utf8(read_bounded(path, MAX_TEXT)?).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        anyhow::anyhow!("{} is not UTF-8 text (byte {at}): save it as UTF-8", path.display())
    })
}

/// Reads a DBC file; any encoding.
///
/// # Errors
/// As [`read_bounded`].
pub fn read_dbc(path: &Path) -> anyhow::Result<Vec<u8>> {
    read_bounded(path, MAX_TEXT)
}

/// Reads a document of a drive's condition.
///
/// # Errors
/// As [`read_text`], and what is wrong in it.
pub fn condition(path: &Path) -> anyhow::Result<Condition> {
    Ok(Condition::parse(&read_text(path)?, &path.display().to_string())?)
}

/// Reads a model of what a kilometre takes.
///
/// # Errors
/// As [`read_text`], and what is wrong in it.
pub fn range(path: &Path) -> anyhow::Result<RangeModel> {
    Ok(RangeModel::parse(&read_text(path)?, &path.display().to_string())?)
}

/// Reads a catalog and the DBC files that it names, which stand relative to it. Diagnostics that do not hinder are
/// logged.
///
/// # Errors
/// Every problem of the catalog, in one error.
pub fn catalog(path: &Path) -> anyhow::Result<Catalog> {
    let text = read_text(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut load = |name: &str| read_dbc(&folder.join(name)).map_err(|e| format!("{e:#}"));
    let catalog = Catalog::parse(&text, &path.display().to_string(), &mut load)?;
    for diagnostic in &catalog.diagnostics {
        log::debug!("{diagnostic}");
    }
    if !catalog.diagnostics.is_empty() {
        log::info!(
            "{}: {} remarks on its DBC files (`telltale dbc check` lists them)",
            path.display(),
            catalog.diagnostics.len()
        );
    }
    Ok(catalog)
}

/// The model folders to use: the given ones, or else the folder of the catalog if a `model.toml` is beside it.
#[must_use]
pub fn model_folders(given: &[PathBuf], catalog: &Path) -> Vec<PathBuf> {
    let beside = catalog.parent().unwrap_or(Path::new("")).to_owned();
    if given.is_empty() && beside.join(MANIFEST).is_file() { vec![beside] } else { given.to_vec() }
}

/// The file that makes a folder a model's.
const MANIFEST: &str = "model.toml";

/// Reads several model folders, in order.
///
/// # Errors
/// As [`model`], for the first that can't be used.
pub fn models(folders: &[PathBuf], catalog: &Catalog) -> anyhow::Result<Vec<LoadedModel>> {
    folders.iter().map(|folder| model(folder, catalog)).collect()
}

/// Reads a model's folder and prepares it for the subjects that the catalog has.
///
/// # Errors
/// What is missing or wrong, in which file.
pub fn model(folder: &Path, catalog: &Catalog) -> anyhow::Result<LoadedModel> {
    let (manifest_text, manifest) = manifest(folder)?;
    let spec_path = folder.join(&manifest.features);
    let spec_text = read_text(&spec_path)?;
    if SecondSpec::is_one(&spec_text) {
        bail!(
            "{} watches buses, not signals: name it under `[intrusion]`, with the profile of the vehicle type \
             (on the command line --intrusion and --profile)",
            folder.display()
        );
    }
    let features = FeatureSpec::parse(&spec_text, &spec_path.display().to_string())?;
    let onnx_path = folder.join(&manifest.onnx);
    let onnx = read_bounded(&onnx_path, MAX_ONNX)?;
    let mut everything = manifest_text.into_bytes();
    everything.extend_from_slice(spec_text.as_bytes());
    everything.extend_from_slice(&onnx);
    let digest = Digest::of(&everything);
    assemble(manifest, features, &onnx, digest, catalog, &folder.display().to_string())
}

/// Reads the folder of a model that watches buses, and the profile that it watches them by.
///
/// # Errors
/// What is missing or wrong, in which file.
pub fn intrusion(folder: &Path, profile_path: &Path) -> anyhow::Result<LoadedIntrusion> {
    let (manifest_text, manifest) = manifest(folder)?;
    let spec_path = folder.join(&manifest.features);
    let spec_text = read_text(&spec_path)?;
    let features = SecondSpec::parse(&spec_text, &spec_path.display().to_string())?;
    let onnx = read_bounded(&folder.join(&manifest.onnx), MAX_ONNX)?;
    let profile = profile(profile_path)?;
    let shape = Shape {
        channels: features.features.len(),
        subjects: profile.buses.len(),
        output_channel: manifest.output.channel,
    };
    let model = Int8Model::load(&onnx, shape)
        .with_context(|| format!("can't run the model {} from {}", manifest.onnx, folder.display()))?;
    let mut everything = manifest_text.into_bytes();
    everything.extend_from_slice(spec_text.as_bytes());
    everything.extend_from_slice(&onnx);
    everything.extend_from_slice(&profile.digest.0);
    log::info!(
        "model {} {} watches {} buses by the profile {} of {}",
        manifest.name,
        manifest.version,
        profile.buses.len(),
        profile.digest.short(),
        profile.name
    );
    let digest = Digest::of(&everything);
    Ok(LoadedIntrusion { manifest, digest, features, model: Box::new(model), profile })
}

/// Reads the rule of a model that watches buses.
///
/// # Errors
/// What is wrong with the folder's manifest.
pub fn rule(folder: &Path) -> anyhow::Result<Rule> {
    let (_, manifest) = manifest(folder)?;
    manifest.rule.with_context(|| format!("{} has no `rule`: it watches no buses", folder.display()))
}

/// Reads the profile of a vehicle type's buses.
///
/// # Errors
/// What is wrong with it.
pub fn profile(path: &Path) -> anyhow::Result<Profile> {
    let text = read_text(path)?;
    Ok(Profile::parse(&text, &path.display().to_string())?)
}

/// Reads the manifest of a model's folder: its text, and what it says.
///
/// # Errors
/// What is missing or wrong.
pub(crate) fn manifest(folder: &Path) -> anyhow::Result<(String, Manifest)> {
    let path = folder.join(MANIFEST);
    let text = read_text(&path).with_context(|| {
        format!("{} is no model folder: a model folder holds a {MANIFEST}", folder.display())
    })?;
    let manifest = Manifest::parse(&text, &path.display().to_string())?;
    Ok((text, manifest))
}

/// Prepares a model for the subjects that the catalog has. `origin` names where its files came from.
///
/// # Errors
/// If the catalog lacks what it needs, or this runtime can't run it.
pub(crate) fn assemble(
    manifest: Manifest,
    features: FeatureSpec,
    onnx: &[u8],
    digest: Digest,
    catalog: &Catalog,
    origin: &str,
) -> anyhow::Result<LoadedModel> {
    let subjects = Layout::new(&features, catalog)?.members();
    let (channels, output_channel) = (features.features.len(), manifest.output.channel);
    let model: Result<Box<dyn Model>, _> = match manifest.history {
        None => Int8Model::load(onnx, Shape { channels, subjects, output_channel }).map(|m| Box::new(m) as _),
        Some(steps) => {
            let window = Shape { channels, subjects: steps, output_channel };
            StreamedModel::load(onnx, window, subjects).map(|m| Box::new(m) as _)
        }
    };
    let model = model.with_context(|| format!("can't run the model {} from {origin}", manifest.onnx))?;
    log::info!(
        "model {} {} for {subjects} subjects, {} features each, from {origin}",
        manifest.name,
        manifest.version,
        features.features.len()
    );
    Ok(LoadedModel { manifest, digest, features, model })
}
