//! Rules on the graph of crates: the layers of the house, crates that must not come in, and what a vehicle carries.

use super::Finding;
use crate::shell;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

/// Who may use whom inside the workspace. A crate that is missing here is a finding.
const LAYERS: &[(&str, &[&str])] = &[
    ("telltale-wire", &[]),
    ("telltale-bridge", &["telltale-wire"]),
    ("telltale-firmware", &["telltale-bridge", "telltale-wire"]),
    ("telltale-core", &["telltale-wire"]),
    ("telltale-repository", &["telltale-wire"]),
    ("telltale-seal", &["telltale-wire"]),
    ("telltale-cloud", &["telltale-repository", "telltale-seal", "telltale-wire"]),
    ("telltale-infer", &["telltale-core", "telltale-qlinear", "telltale-wire"]),
    ("telltale-qlinear", &[]),
    ("telltale-trust", &["telltale-seal", "telltale-wire"]),
    ("telltale-sil", &["telltale-core", "telltale-wire"]),
    (
        "telltale-workbench",
        &["telltale-core", "telltale-infer", "telltale-seal", "telltale-sil", "telltale-wire"],
    ),
    (
        "telltale-agent",
        &[
            "telltale-core",
            "telltale-infer",
            "telltale-seal",
            "telltale-sil",
            "telltale-trust",
            "telltale-wire",
            "telltale-workbench",
        ],
    ),
    ("telltale-can-load", &[]),
    ("telltale-package", &[]),
    ("telltale-vm-controller", &[]),
    ("telltale-vm-init", &[]),
    ("telltale-xtask", &[]),
    (
        "telltale-tests",
        &[
            "telltale-agent",
            "telltale-bridge",
            "telltale-cloud",
            "telltale-core",
            "telltale-infer",
            "telltale-repository",
            "telltale-seal",
            "telltale-sil",
            "telltale-trust",
            "telltale-wire",
            "telltale-workbench",
        ],
    ),
];

/// Who may use whom in tests alone: the verifier is held against what the signing side makes.
const ONLY_IN_TESTS: &[(&str, &str)] = &[("telltale-trust", "telltale-repository")];

/// The engineer's rooms, which the agent may carry behind a feature but never plainly.
const OPTIONAL: &[&str] = &["telltale-sil", "telltale-workbench"];

/// Crates that give telltale-core a way to the outside which its source text would not show.
const NOT_IN_THE_CORE: &[&str] = &["libc", "nix", "rustix", "socket2", "tokio", "web-time"];

/// Crates that must not stand in Cargo.lock, with the versions meant (a prefix; empty for all) and the reason.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("openssl", "", "TLS is rustls with ring: one implementation to audit and no C library to ship"),
    ("openssl-sys", "", "TLS is rustls with ring: one implementation to audit and no C library to ship"),
    ("native-tls", "", "TLS is rustls with ring on every machine, the ECU's included"),
    ("aws-lc-rs", "", "one crypto provider: ring, which cross-builds without cmake"),
    ("aws-lc-sys", "", "one crypto provider: ring, which cross-builds without cmake"),
    ("rusqlite", "", "it and sqlx both link SQLite, and their versions exclude each other"),
    (
        "heapless",
        "0.7.",
        "postcard's default features pull it: take postcard with `default-features = false`",
    ),
    ("rumqttc", "0.25.1", "it pulls a rustls-webpki with advisories"),
    ("critical-section", "1.3.0", "this version was yanked: 1.2"),
];

/// Crates of which two incompatible versions must not meet, with the reason.
const ONE_VERSION: &[(&str, &str)] = &[
    ("rustls", "two TLS stacks in one process: align the crates that bring it"),
    ("telltale-wire", "the interface has one version"),
];

/// What a vehicle's build must not carry: the workbench's and the cloud's weight and attack surface.
const NOT_IN_A_VEHICLE: &[&str] = &[
    "telltale-sil",
    "telltale-workbench",
    "telltale-cloud",
    "arrow-array",
    "axum",
    "csv",
    "parquet",
    "sqlx",
    "sqlx-core",
];

/// All findings on the graph of crates.
pub(super) fn check() -> Result<Vec<Finding>> {
    let metadata =
        shell::output(&mut shell::cargo(["metadata", "--offline", "--no-deps", "--format-version=1"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata did not print JSON")?;
    let lock = fs::read_to_string(shell::root().join("Cargo.lock")).context("Cargo.lock cannot be read")?;
    let vehicle = shell::output(&mut shell::cargo(VEHICLE_TREE))?;

    let mut findings = layers(&metadata);
    findings.extend(lock_file(&lock));
    findings.extend(vehicle_build(&vehicle));
    Ok(findings)
}

/// Lists what a vehicle's build links, one `name version` a line.
const VEHICLE_TREE: [&str; 10] = [
    "tree",
    "--package=telltale-agent",
    "--no-default-features",
    "--edges=normal",
    "--target=aarch64-unknown-linux-musl",
    "--prefix=none",
    "--format={p}",
    "--no-dedupe",
    "--quiet",
    "--color=never",
];

fn layers(metadata: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in array(&metadata["packages"]) {
        let name = text(&package["name"]);
        let mut find = |advice: String| {
            findings.push(Finding { file: manifest_of(package), line: 1, rule: "layers", advice });
        };
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
            find(format!("{name} has no place yet: say in cross/xtask/src/tidy/graph.rs whom it may use"));
            continue;
        };
        for dependency in array(&package["dependencies"]) {
            let used = text(&dependency["name"]);
            let for_tests = dependency["kind"] == "dev";
            if name == "telltale-core" && NOT_IN_THE_CORE.contains(&used) && !for_tests {
                find(format!("{name} may not use {used}: whatever touches the outside lives in agent/src"));
            }
            if !used.starts_with("telltale-") {
                continue;
            }
            let tested = for_tests && ONLY_IN_TESTS.contains(&(name, used));
            if !allowed.contains(&used) && !tested {
                find(format!(
                    "{name} may not use {used}: move what it needs down to a layer that both may use"
                ));
            } else if name == "telltale-agent" && OPTIONAL.contains(&used) && dependency["optional"] != true {
                find(format!(
                    "{used} must be `optional = true` behind a feature: a vehicle does not carry it"
                ));
            }
        }
    }
    findings
}

fn lock_file(lock: &str) -> Vec<Finding> {
    let packages = locked_packages(lock);
    let mut findings = Vec::new();
    let mut find = |line: usize, advice: String| {
        findings.push(Finding { file: "Cargo.lock".into(), line, rule: "forbidden-crate", advice });
    };
    for (line, name, version) in &packages {
        for (forbidden, versions, reason) in FORBIDDEN {
            if name == forbidden && version.starts_with(versions) {
                find(
                    *line,
                    format!(
                        "{name} {version}: {reason} (`cargo tree --workspace --target all --invert {name}` says who brings it)"
                    ),
                );
            }
        }
    }
    for (single, reason) in ONE_VERSION {
        let named = || packages.iter().filter(|(_, name, _)| name == single);
        let kinds: BTreeSet<&str> = named().map(|(_, _, version)| compatibility(version)).collect();
        if kinds.len() > 1
            && let Some((line, ..)) = named().nth(1)
        {
            find(*line, format!("{single} in {} incompatible versions: {reason}", kinds.len()));
        }
    }
    findings
}

/// Line, name and version of each package in a lock file.
fn locked_packages(lock: &str) -> Vec<(usize, &str, &str)> {
    let value = |line: &'_ str, key: &str| -> Option<(usize, usize)> {
        let rest = line.strip_prefix(key)?.strip_prefix(" = \"")?;
        Some((line.len() - rest.len(), line.len() - rest.len() + rest.find('"')?))
    };
    let lines: Vec<&str> = lock.lines().collect();
    let pairs = lines.windows(2).enumerate();
    pairs
        .filter_map(|(at, pair)| {
            let (name, version) = (value(pair[0], "name")?, value(pair[1], "version")?);
            Some((at + 1, &pair[0][name.0..name.1], &pair[1][version.0..version.1]))
        })
        .collect()
}

/// The part of a version that cargo treats as one compatible line: `1`, `0.23`, `0.0.3`.
fn compatibility(version: &str) -> &str {
    let mut end = 0;
    for part in version.split('.') {
        end += part.len();
        if part != "0" {
            break;
        }
        end += 1;
    }
    &version[..end.min(version.len())]
}

fn vehicle_build(tree: &str) -> Vec<Finding> {
    let carried: BTreeSet<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let unwanted = NOT_IN_A_VEHICLE.iter().filter(|name| carried.contains(**name));
    unwanted
        .map(|name| Finding {
            file: "agent/Cargo.toml".into(),
            line: 1,
            rule: "vehicle-build",
            advice: format!("a vehicle's build carries {name}: put it behind the `workbench` feature"),
        })
        .collect()
}

fn manifest_of(package: &Value) -> String {
    let path = text(&package["manifest_path"]);
    let root = shell::root();
    path.strip_prefix(&*root.to_string_lossy()).unwrap_or(path).trim_start_matches('/').to_owned()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn layer_advice(name: &str, used: &str, optional: bool) -> Vec<String> {
        let dependencies =
            json!([{ "name": used, "optional": optional }, { "name": "serde", "optional": false }]);
        let package = json!({ "name": name, "manifest_path": "/x/Cargo.toml", "dependencies": dependencies });
        layers(&json!({ "packages": [package] })).into_iter().map(|finding| finding.advice).collect()
    }

    #[test]
    fn a_dependency_against_the_layers_is_found() {
        for (name, used) in [
            ("telltale-wire", "telltale-core"),
            ("telltale-bridge", "telltale-core"),
            ("telltale-core", "telltale-infer"),
            ("telltale-cloud", "telltale-core"),
            ("telltale-cloud", "telltale-agent"),
            ("telltale-agent", "telltale-cloud"),
            ("telltale-xtask", "telltale-wire"),
        ] {
            let advice = layer_advice(name, used, false);
            assert!(advice.len() == 1 && advice[0].contains(used), "{name} -> {used}: {advice:?}");
        }
        assert_eq!(layer_advice("telltale-core", "libc", false).len(), 1);
        assert_eq!(layer_advice("telltale-agent", "libc", false), [""; 0]);
        assert_eq!(layer_advice("telltale-core", "telltale-wire", false), [""; 0]);
        assert_eq!(layer_advice("telltale-tests", "telltale-cloud", false), [""; 0]);
    }

    #[test]
    fn the_signing_side_comes_into_the_verifier_in_tests_alone() {
        let found = |kind: Value| {
            let dependency = json!({ "name": "telltale-repository", "optional": false, "kind": kind });
            let package =
                json!({ "name": "telltale-trust", "manifest_path": "/x", "dependencies": [dependency] });
            layers(&json!({ "packages": [package] })).len()
        };
        assert_eq!([found(json!("dev")), found(Value::Null)], [0, 1]);
    }

    #[test]
    fn the_agent_carries_an_engineers_room_behind_a_feature_only() {
        for room in OPTIONAL {
            assert!(layer_advice("telltale-agent", room, false)[0].contains("optional"));
            assert_eq!(layer_advice("telltale-agent", room, true), [""; 0]);
        }
    }

    #[test]
    fn a_crate_without_a_place_is_found() {
        assert!(layer_advice("telltale-new", "serde", false)[0].contains("no place yet"));
    }

    fn lock_of(packages: &[(&str, &str)]) -> String {
        packages
            .iter()
            .map(|(name, version)| format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n\n"))
            .collect()
    }

    #[test]
    fn a_forbidden_crate_is_found_at_its_line() {
        for (name, version) in
            [("openssl-sys", "0.9.1"), ("aws-lc-rs", "1.2.3"), ("rusqlite", "0.40.0"), ("heapless", "0.7.17")]
        {
            let findings = lock_file(&lock_of(&[("serde", "1.0.0"), (name, version)]));
            assert_eq!(findings.len(), 1, "{name}");
            assert_eq!(findings[0].line, 6);
            assert!(findings[0].advice.starts_with(name));
        }
        assert_eq!(
            lock_file(&lock_of(&[("heapless", "0.9.3"), ("rustls", "0.23.1"), ("openssl-probe", "0.1.0")])),
            []
        );
    }

    #[test]
    fn a_second_tls_stack_is_found() {
        let findings = lock_file(&lock_of(&[("rustls", "0.21.1"), ("rustls", "0.23.5")]));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, 6);
    }

    #[test]
    fn compatible_lines_are_cut_as_cargo_does() {
        for (version, line) in [("1.2.3", "1"), ("0.23.5", "0.23"), ("0.0.3", "0.0.3"), ("10.0.0", "10")] {
            assert_eq!(compatibility(version), line);
        }
    }

    #[test]
    fn a_vehicle_that_carries_the_workbench_is_found() {
        let tree = "telltale-agent v0.1.0 (/x/agent)\nserde v1.0.0\nparquet v56.0.0\n";
        let findings = vehicle_build(tree);
        assert!(findings.len() == 1 && findings[0].advice.contains("parquet"), "{findings:?}");
        assert_eq!(vehicle_build("telltale-agent v0.1.0\nserde v1.0.0\nparquet-like v1.0.0\n"), []);
    }
}
