//! What the agent's package holds, and where.

use crate::deb::{File, Package};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The model that ships, and what of its folder a vehicle needs.
const MODEL: &str = "models/cell-fault";
const MODEL_FILES: [&str; 4] = ["model.toml", "features.toml", "cell-fault.int8.onnx", "CARD.md"];

/// The agent's package around this binary.
pub(crate) fn agent(root: &Path, binary: &Path, architecture: &str) -> Result<Package> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("{} cannot be read", path.display()));
    let own = |name: &str| read(&root.join("cross/package/files").join(name));
    let example = root.join("agent/telltale.example.toml");
    let mut files: BTreeMap<String, File> = BTreeMap::new();
    let mut put = |path: String, bytes: Vec<u8>, executable| files.insert(path, File { bytes, executable });
    put("usr/bin/telltale".into(), read(binary)?, true);
    put("usr/lib/systemd/system/telltale.service".into(), own("telltale.service")?, false);
    put("usr/lib/sysusers.d/telltale.conf".into(), own("telltale.sysusers")?, false);
    put("usr/lib/sysctl.d/60-telltale.conf".into(), own("60-telltale.conf")?, false);
    put("etc/telltale/telltale.toml".into(), configuration(read(&example)?)?, false);
    put("usr/share/doc/telltale/telltale.example.toml".into(), read(&example)?, false);
    put("usr/share/doc/telltale/copyright".into(), read(&root.join("LICENSE"))?, false);
    for name in MODEL_FILES {
        let bytes = read(&root.join(MODEL).join(name))?;
        put(format!("usr/share/telltale/{MODEL}/{name}"), bytes, false);
    }
    Ok(Package {
        name: "telltale".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        architecture: architecture.into(),
        description: (
            "in-vehicle inference agent for battery health and anomalies".into(),
            "Reads CAN, runs small int8 ONNX models on board and sends verdicts and summaries to a fleet's cloud.".into(),
        ),
        files,
        scripts: [("postinst".into(), own("postinst")?), ("prerm".into(), own("prerm")?)].into(),
        configuration: ["etc/telltale/telltale.toml".into()].into(),
    })
}

/// The example, with the model where the package puts it.
fn configuration(example: Vec<u8>) -> Result<Vec<u8>> {
    let example = String::from_utf8(example).context("the example configuration is no text")?;
    let (beside, installed) =
        (format!("models = [\"{MODEL}\"]"), format!("models = [\"/usr/share/telltale/{MODEL}\"]"));
    ensure!(example.contains(&beside), "the example configuration does not say `{beside}` any more");
    Ok(example.replace(&beside, &installed).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_holds_what_the_service_starts() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let package = agent(&root, &root.join("LICENSE"), "arm64").unwrap();
        let service =
            String::from_utf8(package.files["usr/lib/systemd/system/telltale.service"].bytes.clone())
                .unwrap();
        for path in ["/usr/bin/telltale", "/etc/telltale/telltale.toml"] {
            assert!(service.contains(path) && package.files.contains_key(&path[1..]), "{path}");
        }
        assert!(package.files["usr/bin/telltale"].executable);
        let configuration =
            String::from_utf8(package.files["etc/telltale/telltale.toml"].bytes.clone()).unwrap();
        let model = package.files.keys().find(|path| path.ends_with("model.toml")).unwrap();
        assert!(configuration.contains(&format!("/{}", model.trim_end_matches("/model.toml"))), "{model}");
        assert!(agent(&root, &root.join("no-such-binary"), "arm64").is_err());
    }

    /// The recipe of a Yocto image takes its files out of this package, one by one.
    #[test]
    fn the_recipe_for_an_image_leaves_no_file_of_the_package_out() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let package = agent(&root, &root.join("LICENSE"), "arm64").unwrap();
        let recipe = format!("telltale_{}.bb", package.version);
        let recipes = root.join("cross/yocto/meta-telltale/recipes-telltale/telltale");
        let recipe = fs::read_to_string(recipes.join(recipe)).unwrap();
        // The image's own classes make the account; the licence is the recipe's.
        let by_others = ["usr/lib/sysusers.d/telltale.conf", "usr/share/doc/telltale/copyright"];
        for path in package.files.keys().filter(|path| !by_others.contains(&path.as_str())) {
            let folder = path.rsplit_once('/').unwrap().0;
            let named = recipe.contains(&format!("${{S}}/{path} "))
                || recipe.contains(&format!("${{S}}/{folder}/* "));
            assert!(named, "{path}");
        }
        assert!(recipe.contains("file://telltale_${PV}_arm64.deb"));
    }
}
