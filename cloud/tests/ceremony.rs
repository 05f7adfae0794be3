//! The ceremony's document, run line by line by the real binary: a procedure that nobody has run is none.

// Helpers of a test may end it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};
use telltale_wire::bundle::*;
use telltale_wire::digest::Digest;

const DOCUMENT: &str = include_str!("../repository/CEREMONY.md");

fn run(line: &str, folder: &Path) -> Output {
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), Some("telltale-cloud"), "{line}");
    Command::new(env!("CARGO_BIN_EXE_telltale-cloud")).args(words).current_dir(folder).output().unwrap()
}

/// The lines between ```sh and ```. What takes a vehicle stands between ```bash and ```: the system test `sealed` does that.
fn lines() -> Vec<&'static str> {
    let blocks = DOCUMENT.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.flat_map(str::lines).collect()
}

fn bundle(folder: &Path) {
    let parts = PartKind::REQUIRED.map(|kind| (kind, vec![u8::from(kind); 1_500]));
    let chunks: Vec<&[u8]> = parts.iter().flat_map(|(_, bytes)| chunks_of(bytes, 10)).collect();
    let index = BundleIndex {
        family: "cell-fault".parse().unwrap(),
        name: "cell-fault".parse().unwrap(),
        version: "1.0.0".into(),
        release: 7,
        hardware: vec!["bench-a".parse().unwrap()],
        min_agent: AgentVersion::default(),
        features: Digest::of(b""),
        needs: vec![],
        budget: Budget { latency_us: 1, memory_bytes: 1 },
        golden_tolerance: 0,
        chunk_exponent: 10,
        parts: parts.iter().map(|(kind, bytes)| Part { kind: *kind, length: bytes.len() as u32 }).collect(),
        chunks: chunks.iter().map(|chunk| Digest::of(chunk)).collect(),
        seal: None,
    };
    std::fs::create_dir_all(folder.join("index/cell-fault")).unwrap();
    std::fs::create_dir_all(folder.join("chunk")).unwrap();
    std::fs::write(folder.join("index").join(index.path().to_string()), index.encode().unwrap()).unwrap();
    for chunk in chunks {
        std::fs::write(folder.join("chunk").join(Digest::of(chunk).to_hex()), chunk).unwrap();
    }
}

#[test]
fn every_line_of_the_ceremony_does_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    bundle(&dir.path().join("bundles"));
    let lines = lines();
    assert!(lines.len() > 20, "{lines:?}");
    for line in lines {
        let output = run(line, dir.path());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}\n{said}{}", String::from_utf8_lossy(&output.stderr));
        if line.contains("repository sign") {
            assert!(said.contains("signed "), "{line} signed nothing");
        }
        if line.contains("repository publish") {
            assert!(said.contains("timestamp.json"), "{line} published nothing: {said}");
        }
    }
    for name in [
        "repo/image/3.root.json",
        "repo/director/1.root.json",
        "stick/director/1.targets.json",
        "stick/image/3.root.json",
        "stick/index/cell-fault/cell-fault-7.index",
    ] {
        assert!(dir.path().join(name).is_file(), "{name}");
    }
    assert_eq!(std::fs::read_dir(dir.path().join("stick/chunk")).unwrap().count(), 8);
    // Nothing is left half done.
    for side in ["image", "director"] {
        let staged = dir.path().join("repo/staged").join(side);
        assert_eq!(std::fs::read_dir(staged).unwrap().count(), 0, "{side}");
    }
}

#[test]
fn one_signature_of_two_publishes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ceremony: Vec<&str> = lines();
    let second = ceremony.iter().position(|line| line.contains("ben/root.pem")).unwrap();
    for line in &ceremony[..second] {
        assert!(run(line, dir.path()).status.success(), "{line}");
    }
    let output = run(ceremony[second + 1], dir.path());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("has 1 of 2 signatures"), "{error}");
    assert!(!dir.path().join("repo/image").exists());
}

#[test]
fn a_key_that_others_may_read_does_not_sign() {
    let dir = tempfile::tempdir().unwrap();
    assert!(run("telltale-cloud keys generate k", dir.path()).status.success());
    let path = dir.path().join("k.pem");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let output = run("telltale-cloud repository sign --dir repo --key k.pem", dir.path());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("chmod 600"), "{error}");
}
