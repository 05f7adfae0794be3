//! Where a model comes from and what it is made of, as far as its folder tells, without time or place.

use super::BuildError;
use super::build::{Folder, Options};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use telltale_wire::digest::Digest;

/// The provenance: what the training's folder held, by digest, the data, who answers for it, and with what it was built.
pub(super) fn provenance(folder: &Folder, options: &Options) -> Result<Vec<u8>, BuildError> {
    let mut sources = Vec::new();
    for name in files_of(&folder.path)? {
        let path = folder.path.join(&name);
        sources.push(json!({ "name": name, "sha256": digest_of(&path)?.to_hex() }));
    }
    let mut data = Vec::new();
    for path in &options.data {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        data.push(json!({ "name": name, "sha256": digest_of(path)?.to_hex() }));
    }
    let recipe = folder.path.join("recipe.toml");
    let recipe = recipe.is_file().then(|| digest_of(&recipe)).transpose()?;
    text(&json!({
        "format": 1,
        "model": { "name": folder.manifest.name, "version": folder.manifest.version },
        "author": options.author,
        "recipe_sha256": recipe.map(|digest| digest.to_hex()),
        "data": data,
        "sources": sources,
        "built_by": { "name": "telltale bundle build", "version": env!("CARGO_PKG_VERSION") },
    }))
}

/// A software bill of materials, CycloneDX 1.6: the model and its files, and what trained it, which does not travel.
pub(super) fn sbom(folder: &Folder) -> Result<Vec<u8>, BuildError> {
    let manifest = &folder.manifest;
    let reference = format!("model:{}@{}", manifest.name, manifest.version);
    let mut components: Vec<Value> = folder
        .files()
        .into_iter()
        .map(|(name, bytes)| {
            let hashes = json!([{ "alg": "SHA-256", "content": Digest::of(bytes).to_hex() }]);
            json!({ "type": "file", "bom-ref": format!("file:{name}"), "name": name, "hashes": hashes })
        })
        .collect();
    // A model's own environment, or the one that all models beside it share.
    let pinned = ["requirements.txt", "../requirements.txt"].map(|name| folder.path.join(name));
    let pinned = match pinned.into_iter().find(|path| path.is_file()) {
        Some(path) => fs::read_to_string(&path).map_err(BuildError::io("read", &path))?,
        None => String::new(),
    };
    for (name, version) in pinned.lines().filter_map(requirement) {
        components.push(json!({
            "type": "library",
            "bom-ref": format!("pkg:pypi/{name}@{version}"),
            "name": name,
            "version": version,
            "purl": format!("pkg:pypi/{name}@{version}"),
            "scope": "excluded",
        }));
    }
    let depends: Vec<&Value> = components.iter().filter_map(|it| it.get("bom-ref")).collect();
    let dependencies = json!([{ "ref": reference, "dependsOn": depends }]);
    text(&json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": {
            "type": "machine-learning-model",
            "bom-ref": reference,
            "name": manifest.name,
            "version": manifest.version,
        } },
        "components": components,
        "dependencies": dependencies,
    }))
}

/// `name==version` of a line of requirements.txt; `None` for comments and what pins nothing.
fn requirement(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split('#').next()?.trim().split_once("==")?;
    let version = rest.split([';', ' ']).next()?;
    Some((name.trim(), version.trim()))
}

/// The names of the files in a folder, sorted; folders and hidden files are left out.
pub(super) fn files_of(folder: &Path) -> Result<Vec<String>, BuildError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(BuildError::io("list", folder))? {
        let entry = entry.map_err(BuildError::io("list", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_file() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The digest of a file of any size.
fn digest_of(path: &Path) -> Result<Digest, BuildError> {
    let failed = || BuildError::io("read", path);
    let mut file = File::open(path).map_err(failed())?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed())?;
    Ok(Digest::of(&bytes))
}

/// JSON for people, always the same for the same content: its keys are sorted.
fn text(value: &Value) -> Result<Vec<u8>, BuildError> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|e| BuildError::File { path: "provenance".into(), problem: e.to_string() })?;
    bytes.push(b'\n');
    Ok(bytes)
}
