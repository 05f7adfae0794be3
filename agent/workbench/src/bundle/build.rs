//! From a model's folder to an index and chunks.

use super::provenance::{provenance, sbom};
use super::{BuildError, open};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use telltale_core::feature::FeatureSpec;
use telltale_core::model::Manifest;
use telltale_seal::ContentKey;
use telltale_wire::bundle::*;
use telltale_wire::digest::Digest;
use telltale_wire::unit::Unit;

/// What the folder does not say.
#[derive(Clone, Debug)]
pub struct Options {
    /// The family; the model's name if none.
    pub family: Option<BundleName>,
    /// The release counter.
    pub release: u32,
    /// The hardware that it was tested on.
    pub hardware: Vec<HardwareId>,
    /// The oldest agent that runs it.
    pub min_agent: AgentVersion,
    /// What it may take of the vehicle.
    pub budget: Budget,
    /// By how many steps an output may differ from its golden vector.
    pub golden_tolerance: u8,
    /// Who answers for it; stands in the provenance.
    pub author: Option<String>,
    /// The data that it was trained on, named there by digest.
    pub data: Vec<PathBuf>,
    /// What its chunks are sealed with; `None` to leave them open.
    pub content_key: Option<Arc<ContentKey>>,
    /// Runs the model on its golden vectors before anything is written: a sentence on what is wrong.
    pub examine: fn(&Examined<'_>) -> Result<(), String>,
}

/// What a model is examined by.
#[derive(Debug)]
pub struct Examined<'a> {
    /// What it says of itself.
    pub manifest: &'a Manifest,
    /// Its features.
    pub features: &'a FeatureSpec,
    /// The ONNX file.
    pub onnx: &'a [u8],
    /// The text of its golden vectors.
    pub golden: &'a str,
    /// By how many steps an output may differ.
    pub tolerance: u8,
}

/// What was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The index.
    pub index: BundleIndex,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How many chunk files are new in the folder.
    pub new_chunks: usize,
}

/// The files of a model's folder that its bundle is made of.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) manifest: Manifest,
    spec: FeatureSpec,
    model: Vec<u8>,
    manifest_text: Vec<u8>,
    features: Vec<u8>,
    golden: Vec<u8>,
    golden_text: String,
    card: Vec<u8>,
}

/// Builds the bundle of a model's folder into `out`, as `index/FAMILY/NAME-RELEASE.index` and `chunk/DIGEST`. Bundles
/// may share a folder: what two have in common is there once.
///
/// # Errors
/// [`BuildError`]: with the file at fault.
pub fn build(folder: &Path, out: &Path, options: &Options) -> Result<Built, BuildError> {
    let folder = Folder::read(folder)?;
    let golden = folder.path.join("golden.toml");
    let examined = Examined {
        manifest: &folder.manifest,
        features: &folder.spec,
        onnx: &folder.model,
        golden: &folder.golden_text,
        tolerance: options.golden_tolerance,
    };
    (options.examine)(&examined).map_err(|problem| BuildError::File { path: golden, problem })?;
    let name: BundleName = folder
        .manifest
        .name
        .parse()
        .map_err(|source| BuildError::Name { name: folder.manifest.name.clone(), source })?;
    let parts = [
        (PartKind::Model, folder.model.clone()),
        (PartKind::Manifest, folder.manifest_text.clone()),
        (PartKind::Features, folder.features.clone()),
        (PartKind::Golden, folder.golden.clone()),
        (PartKind::Card, folder.card.clone()),
        (PartKind::Provenance, provenance(&folder, options)?),
        (PartKind::Sbom, sbom(&folder)?),
    ];
    let index = BundleIndex {
        family: options.family.clone().unwrap_or_else(|| name.clone()),
        name,
        version: folder.manifest.version.clone(),
        release: options.release,
        hardware: options.hardware.clone(),
        min_agent: options.min_agent,
        features: folder.spec.digest,
        needs: needs(&folder)?,
        budget: options.budget,
        golden_tolerance: options.golden_tolerance,
        chunk_exponent: 0,
        parts: Vec::new(),
        chunks: Vec::new(),
        seal: None,
    };
    write_bundle(&folder.path, out, index, &parts, options.content_key.as_deref())
}

/// Writes the bundle of these parts, sealed if there is a key, and completes its index by them.
pub(super) fn write_bundle(
    from: &Path,
    out: &Path,
    mut index: BundleIndex,
    parts: &[(PartKind, Vec<u8>)],
    key: Option<&ContentKey>,
) -> Result<Built, BuildError> {
    let length: u64 = parts.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    index.hardware.sort();
    index.hardware.dedup();
    index.chunk_exponent = chunk_exponent(length);
    index.seal = key.map(ContentKey::seal_of);
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    for (kind, bytes) in parts {
        let first = chunks.len();
        for content in bytes.chunks(index.content_size()) {
            chunks.push(match key {
                None => content.to_vec(),
                Some(key) => key.seal(&index.family, content)?,
            });
        }
        let length: usize = chunks.iter().skip(first).map(Vec::len).sum();
        index.parts.push(Part { kind: *kind, length: u32::try_from(length).unwrap_or(u32::MAX) });
    }
    index.chunks = chunks.iter().map(|chunk| Digest::of(chunk)).collect();
    let path = out.join("index").join(index.path().to_string());
    let bytes = index.encode().map_err(|source| BuildError::Bundle { path: from.to_owned(), source })?;
    if open::read_if_there(&path)?.is_some_and(|held| held != bytes) {
        return Err(BuildError::ReleaseTaken(path));
    }
    let mut new_chunks = 0;
    for (chunk, digest) in chunks.iter().zip(&index.chunks) {
        let place = out.join("chunk").join(digest.to_hex());
        // A file of this name with other bytes was cut short: it is written again.
        if open::read_if_there(&place)?.as_ref() != Some(chunk) {
            write(&place, chunk)?;
            new_chunks += 1;
        }
    }
    write(&path, &bytes)?;
    Ok(Built { index, bytes, new_chunks })
}

impl Folder {
    fn read(path: &Path) -> Result<Self, BuildError> {
        let read = |name: &str| {
            let file = path.join(name);
            fs::read(&file).map_err(BuildError::io("read", &file))
        };
        let text = |name: &str, bytes: &[u8]| {
            let fault = |_| BuildError::File { path: path.join(name), problem: "save it as UTF-8".into() };
            String::from_utf8(bytes.to_vec()).map_err(fault)
        };
        let manifest_text = read("model.toml")?;
        let manifest = Manifest::parse(&text("model.toml", &manifest_text)?, "model.toml")?;
        let features = read(&manifest.features)?;
        let spec = FeatureSpec::parse(&text(&manifest.features, &features)?, &manifest.features)?;
        if spec.digest.to_hex() != manifest.features_digest {
            let problem = format!(
                "its digest is {}, but the model was trained on {}: train it again, or restore the file",
                spec.digest, manifest.features_digest
            );
            return Err(BuildError::File { path: path.join(&manifest.features), problem });
        }
        let golden = read("golden.toml")?;
        let golden_text = text("golden.toml", &golden)?;
        let vectors: toml::Table = toml::from_str(&golden_text).unwrap_or_default();
        if vectors.get("vector").and_then(toml::Value::as_array).is_none_or(Vec::is_empty) {
            let problem = "it holds no golden vector: a vehicle could not test the model".into();
            return Err(BuildError::File { path: path.join("golden.toml"), problem });
        }
        let (model, card) = (read(&manifest.onnx)?, read("CARD.md")?);
        let path = path.to_owned();
        Ok(Self { path, manifest, spec, model, manifest_text, features, golden, golden_text, card })
    }

    /// The parts that came from files, with their names.
    pub(super) fn files(&self) -> [(&str, &[u8]); 5] {
        [
            (&self.manifest.onnx, &self.model),
            ("model.toml", &self.manifest_text),
            (&self.manifest.features, &self.features),
            ("golden.toml", &self.golden),
            ("CARD.md", &self.card),
        ]
    }
}

/// The signals that the features are made of, each with the unit that every catalog of the folder gives it.
fn needs(folder: &Folder) -> Result<Vec<SignalNeed>, BuildError> {
    let units = units(&folder.path)?;
    let paths = std::iter::once(&folder.spec.members.signal)
        .chain(folder.spec.context.iter().map(|context| &context.vss));
    paths
        .map(|vss| {
            let fault = |problem: String| BuildError::Need { vss: vss.clone(), problem };
            let found = units.get(vss).map(Vec::as_slice).unwrap_or_default();
            match found {
                [] => Err(fault("no catalog*.toml beside the model says in which unit it is".into())),
                [unit] => {
                    let known = Unit::from_symbol(unit)
                        .ok_or_else(|| fault(format!("{unit:?} is none of the units that travel")))?;
                    Ok(SignalNeed { vss: vss.clone(), unit: known })
                }
                several => Err(fault(format!("the catalogs beside the model say {}", several.join(" and ")))),
            }
        })
        .collect()
}

/// By path, the units that the folder's catalogs give it, each once.
fn units(folder: &Path) -> Result<BTreeMap<String, Vec<String>>, BuildError> {
    let mut units = BTreeMap::<String, Vec<String>>::new();
    for name in super::provenance::files_of(folder)? {
        if !(name.starts_with("catalog") && name.ends_with(".toml")) {
            continue;
        }
        let path = folder.join(&name);
        let text = fs::read_to_string(&path).map_err(BuildError::io("read", &path))?;
        let table: toml::Table = toml::from_str(&text)
            .map_err(|e| BuildError::File { path: path.clone(), problem: e.message().to_owned() })?;
        for signal in table.get("signal").and_then(toml::Value::as_array).into_iter().flatten() {
            let word = |key: &str| signal.get(key).and_then(toml::Value::as_str);
            let (Some(vss), unit) = (word("vss"), word("unit").unwrap_or_default()) else { continue };
            let said = units.entry(vss.to_owned()).or_default();
            if said.iter().all(|other| other != unit) {
                said.push(unit.to_owned());
            }
        }
    }
    Ok(units)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(BuildError::io("make", folder))?;
    fs::write(path, bytes).map_err(BuildError::io("write", path))
}
