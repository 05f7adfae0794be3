//! What the tests stand on: where the programs and recordings are, and how a program is run.

use crate::uml;
use serde_json::Value;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The model folder that the product ships.
pub(crate) fn cell_fault() -> PathBuf {
    root().join("models/cell-fault")
}

/// A program of the workspace: from the environment (`cargo xtask test` sets it), else beside this test.
pub(crate) fn program(name: &str) -> PathBuf {
    let variable = format!("{}_BIN", name.to_uppercase().replace('-', "_"));
    if let Some(path) = env::var_os(&variable) {
        return PathBuf::from(path);
    }
    let beside = env::current_exe().unwrap().ancestors().nth(2).unwrap().join(name);
    assert!(beside.is_file(), "{} is missing: run `cargo build` first, or set {variable}", beside.display());
    beside
}

/// What each script of the vcan machine may say: a heading, and to wait until the agent has written a line to `agent.log`.
const SHELL: &str = r#"
say() { echo "== $*"; }
until_said() {
    tries=0
    until grep -q "$1" agent.log; do
        tries=$((tries + 1)); [ $tries -lt 900 ] || { echo "never said: $1"; cat agent.log; exit 3; }
        sleep 0.1
    done
}
"#;

/// Runs a shell script, which must succeed, in the vcan machine, with `words` as `$1`, `$2` and so on; gives what was said.
pub(crate) fn script_in_uml(script: &str, words: &[&str], limit: Duration) -> String {
    let script = format!("{SHELL}{script}");
    let command: Vec<OsString> =
        ["sh", "-c", &script, "script"].iter().chain(words).map(|word| OsString::from(*word)).collect();
    let mut said = Vec::new();
    let status = uml::run_in_uml(&root().join("cross/uml/init"), &command, &mut said, limit);
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(status.unwrap(), 0, "{said}");
    said
}

/// Makes an image of an ext4 disk without a journal, or says `skipped:` where mke2fs cannot.
pub(crate) fn disk_made(image: &Path, features: &str, more: &[&str], size: &str) -> bool {
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-t", "ext4", "-O", features]).args(more).arg(image).arg(size);
    match mke2fs.output() {
        Ok(made) if made.status.success() => true,
        other => {
            println!("skipped: mke2fs (e2fsprogs) makes no such disk: {other:?}");
            false
        }
    }
}

/// `telltale` with these arguments.
pub(crate) fn telltale(args: &[&str]) -> Output {
    Command::new(program("telltale")).args(args).output().unwrap()
}

/// Runs `telltale`, which must succeed, and gives its standard output.
pub(crate) fn telltale_ok(args: &[&str]) -> String {
    let output = telltale(args);
    assert!(output.status.success(), "telltale {args:?}: {}\n{}", output.status, stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `telltale`, which must fail with status 1 and a message, never a panic; gives the message.
pub(crate) fn telltale_fails(args: &[&str]) -> String {
    let output = telltale(args);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "telltale {args:?} did not fail as it should:\n{said}");
    assert!(!said.contains("panicked"), "telltale {args:?} panicked:\n{said}");
    said
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `telltale replay --json` of one log; the object of its last line.
pub(crate) fn replay(catalog: &Path, log: &Path) -> Value {
    let out = telltale_ok(&["replay", "--catalog", text(catalog), text(log), "--json"]);
    serde_json::from_str(out.lines().last().unwrap()).unwrap()
}

/// The lines of a simulated drive that `catalog-sim.toml` names. It has no use for what the BMS says of its limits and
/// its balancing, so filters keep that from the agent.
pub(crate) fn heard(drive: &str) -> impl Iterator<Item = &str> {
    drive.lines().filter(|line| ![" 183#", " 184#"].iter().any(|unnamed| line.contains(unnamed)))
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The subjects of a replay's events, each once, in order of first appearance.
pub(crate) fn subjects(report: &Value) -> Vec<String> {
    let mut subjects = Vec::new();
    for event in report["events"].as_array().unwrap() {
        let subject = event["subject"].as_str().unwrap().to_owned();
        if !subjects.contains(&subject) {
            subjects.push(subject);
        }
    }
    subjects
}

/// A folder of the real recordings: below TELLTALE_DATA, or `shared/data` beside the repository. Prints a line and
/// gives `None` where they are absent.
pub(crate) fn recordings(folder: &str) -> Option<PathBuf> {
    let base = env::var_os("TELLTALE_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    let path = base.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: the recordings are not at {} (set TELLTALE_DATA)", path.display());
    None
}

/// Unpacks the only file of a zip archive.
pub(crate) fn unzip(archive: &Path, to: &Path) {
    let mut archive = zip::ZipArchive::new(fs::File::open(archive).unwrap()).unwrap();
    let mut file = archive.by_index(0).unwrap();
    std::io::copy(&mut file, &mut fs::File::create(to).unwrap()).unwrap();
}
