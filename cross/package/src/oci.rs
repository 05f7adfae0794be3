//! The agent as a container image, without a daemon: an OCI image layout (OCI Image Format 1.1) in one `tar`, as
//! `skopeo copy oci-archive:...` and `k3s ctr images import` read it.
//!
//! One layer with the static binary and the model, nothing else: no shell, no libc, no package manager. The process
//! runs as a number, not as root.

use crate::deb::{Package, Tar};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// What goes from the package into the image; the rest is for a machine with systemd.
const IN_THE_IMAGE: [&str; 3] = ["usr/bin/", "usr/share/telltale/", "usr/share/doc/telltale/"];

/// Nobody's number, which no account of the machine has.
const USER: &str = "65532:65532";

/// The image as bytes of a `tar`; its files have this time, in seconds of Unix.
pub(crate) fn write(package: &Package, epoch: u64) -> Result<Vec<u8>> {
    let mut layer = Tar::uncompressed(epoch);
    let files =
        package.files.iter().filter(|(path, _)| IN_THE_IMAGE.iter().any(|part| path.starts_with(part)));
    for (path, file) in files {
        layer.file(path, &file.bytes, file.executable)?;
    }
    let layer = layer.finish()?;
    let platform = platform(package)?;
    let config = json!({
        "architecture": platform,
        "os": "linux",
        "config": {
            "User": USER,
            "Entrypoint": ["/usr/bin/telltale"],
            "Cmd": ["run", "--config", "/etc/telltale/telltale.toml"],
            "Labels": {
                "org.opencontainers.image.title": package.name,
                "org.opencontainers.image.version": package.version,
                "org.opencontainers.image.licenses": "Apache-2.0",
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex(&layer))] },
    });
    let mut blobs = BTreeMap::new();
    let layer = blob(&mut blobs, layer, "application/vnd.oci.image.layer.v1.tar");
    let config = blob(&mut blobs, config.to_string().into(), "application/vnd.oci.image.config.v1+json");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer] });
    let mut manifest = blob(&mut blobs, manifest.to_string().into(), kind);
    manifest["platform"] = json!({ "architecture": platform, "os": "linux" });
    let name = format!("telltale:{}", package.version);
    manifest["annotations"] =
        json!({ "org.opencontainers.image.ref.name": package.version, "io.containerd.image.name": name });

    let mut image = Tar::uncompressed(epoch);
    image.file("oci-layout", json!({ "imageLayoutVersion": "1.0.0" }).to_string().as_bytes(), false)?;
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    image.file("index.json", index.to_string().as_bytes(), false)?;
    for (digest, bytes) in &blobs {
        image.file(&format!("blobs/sha256/{digest}"), bytes, false)?;
    }
    image.finish()
}

/// Go's name of the architecture, which OCI uses, is Debian's for these.
fn platform(package: &Package) -> Result<&str> {
    let known = ["amd64", "arm64"].contains(&package.architecture.as_str());
    ensure!(known, "an image for {} is not known here: amd64 or arm64", package.architecture);
    Ok(&package.architecture)
}

/// Keeps the bytes under their digest and gives their descriptor.
fn blob(blobs: &mut BTreeMap<String, Vec<u8>>, bytes: Vec<u8>, kind: &str) -> Value {
    let digest = hex(&bytes);
    let descriptor = json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len() });
    blobs.insert(digest, bytes);
    descriptor
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deb::File;
    use std::io::Read as _;

    fn package(architecture: &str) -> Package {
        let file = |text: &str, executable| File { bytes: text.into(), executable };
        let files = [
            ("usr/bin/telltale".to_owned(), file("#!", true)),
            ("etc/telltale/telltale.toml".to_owned(), file("x", false)),
        ];
        Package {
            name: "telltale".into(),
            version: "1".into(),
            architecture: architecture.into(),
            description: (String::new(), String::new()),
            files: files.into(),
            scripts: BTreeMap::new(),
            configuration: Default::default(),
        }
    }

    fn entries(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let (path, mut bytes) = (entry.path().unwrap().display().to_string(), Vec::new());
            entry.read_to_end(&mut bytes).unwrap();
            (path, bytes)
        });
        entries.collect()
    }

    #[test]
    fn every_descriptor_leads_to_its_bytes_down_to_the_binary() {
        let image = entries(&write(&package("arm64"), 0).unwrap());
        let follow = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let bytes = &image[&format!("blobs/sha256/{digest}")];
            assert_eq!(
                (hex(bytes), Some(bytes.len() as u64)),
                (digest.to_owned(), descriptor["size"].as_u64())
            );
            bytes.clone()
        };
        let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let index = read(&image["index.json"]);
        let manifest = read(&follow(&index["manifests"][0]));
        let config = read(&follow(&manifest["config"]));
        let layer = follow(&manifest["layers"][0]);
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(&layer)));
        assert_eq!(config["architecture"], "arm64");
        assert_eq!(entries(&layer).keys().collect::<Vec<_>>(), ["usr/bin/telltale"]);
    }

    #[test]
    fn the_same_contents_are_the_same_bytes_and_an_unknown_machine_is_refused() {
        assert_eq!(write(&package("amd64"), 0).unwrap(), write(&package("amd64"), 0).unwrap());
        assert!(write(&package("all"), 0).is_err());
    }
}
