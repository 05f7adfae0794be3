//! The TUF client beside TUF's reference implementation (PyPI `tuf`), on random repositories and attacks.
//!
//! Runs where `TELLTALE_PYTHON` names an interpreter with `tests/oracle/requirements.txt` installed;
//! `TELLTALE_TUF_HISTORIES` sets how many histories.

// Helpers of a test may end it.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn no_verdict_differs_from_the_reference_implementation() {
    let Some(python) = std::env::var_os("TELLTALE_PYTHON") else {
        println!("skipped: TELLTALE_PYTHON names no interpreter with tests/oracle/requirements.txt");
        return;
    };
    let histories = std::env::var("TELLTALE_TUF_HISTORIES").unwrap_or_else(|_| "40".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle/tuf_differential.py");
    let output = Command::new(python)
        .arg(script)
        .args([env!("CARGO_BIN_EXE_tuf-client"), &histories])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the oracle failed");
    let tally: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("{tally:#}");
    assert_eq!(tally["differences"].as_array().unwrap().len(), 0, "{tally:#}");
    let count = |name: &str| tally[name].as_u64().unwrap();
    assert!(count("accepted") > 100 && count("refused") > 50 && count("files") > 10, "too little compared");
}
