//! The manifest of an edge node against the schemas of Kubernetes' own API: every field exists there, in its place and of
//! its type. No cluster runs it here.
//!
//! Runs where `TELLTALE_PYTHON` names an interpreter with `tests/oracle/requirements.txt` installed.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

/// The oldest release that k3s still gives fixes to, and the newest whose schemas are there.
const RELEASES: [&str; 2] = ["1.33", "1.37"];

#[test]
fn the_manifest_is_one_that_kubernetes_knows() {
    let Some(python) = std::env::var_os("TELLTALE_PYTHON") else {
        println!("skipped: TELLTALE_PYTHON names no interpreter with tests/oracle/requirements.txt");
        return;
    };
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cross/package/files/daemonset.yaml");
    for release in RELEASES {
        let told = validate(&python, release, &manifest);
        let [out, err] = [&told.stdout, &told.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        assert!(told.status.success(), "Kubernetes {release}: {out}{err}");
    }

    let text = std::fs::read_to_string(&manifest).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (right, wrong) in [
        ("runAsNonRoot: true", "runAsNonroot: true"),
        ("terminationGracePeriodSeconds: 10", "terminationGracePeriodSeconds: 10s"),
    ] {
        assert!(text.contains(right), "{right} is in the manifest");
        let broken = folder.path().join("broken.yaml");
        std::fs::write(&broken, text.replacen(right, wrong, 1)).unwrap();
        assert!(!validate(&python, RELEASES[0], &broken).status.success(), "{wrong} was not noticed");
    }
}

fn validate(python: &OsStr, release: &str, manifest: &Path) -> Output {
    Command::new(python)
        .args(["-m", "kubernetes_validate", "--strict", "-k", release])
        .arg(manifest)
        .output()
        .expect("TELLTALE_PYTHON can be run")
}
