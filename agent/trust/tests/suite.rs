//! TUF's own conformance suite (theupdateframework/tuf-conformance) drives the verifier's client: its code, its
//! repository, its keys of every kind that the specification names. What `conformance` sets up anew, this runs as it is,
//! with a vehicle's limits.
//!
//! Runs where `TELLTALE_TUF_CONFORMANCE` names one or more checkouts of it (with `:` between), each by the Python of
//! its `env` (`make dev` there), else by the one that `TELLTALE_PYTHON` names. It needs `faketime` on the path.

// Helpers of a test may end it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How many tests a version has, where it is known.
const WHOLE: &[(&str, u32)] = &[("2.2.0", 101)];
/// Fewer of another version are not the suite.
const FEWEST: u32 = 100;

#[test]
fn the_client_passes_the_suite_that_tuf_publishes() {
    let Some(checkouts) = env::var_os("TELLTALE_TUF_CONFORMANCE") else {
        println!("skipped: TELLTALE_TUF_CONFORMANCE names no checkout of theupdateframework/tuf-conformance");
        return;
    };
    for checkout in env::split_paths(&checkouts) {
        let Some(python) = python(&checkout) else {
            println!("skipped: no Python for {}: neither its env nor TELLTALE_PYTHON", checkout.display());
            continue;
        };
        let version = version(&checkout);
        let tally = run(&checkout, &python);
        println!("tuf-conformance {version}: {tally:?}");
        // A test that is left out, or is expected to fail, is not one that passed.
        assert_eq!((tally.failures, tally.errors, tally.skipped), (0, 0, 0), "{version}: {tally:?}");
        match WHOLE.iter().find(|(known, _)| *known == version) {
            Some((_, count)) => assert_eq!(tally.tests, *count, "{version}"),
            None => assert!(tally.tests >= FEWEST, "{version}: {tally:?}"),
        }
    }
}

/// What the suite says of its run.
#[derive(Debug)]
struct Tally {
    tests: u32,
    failures: u32,
    errors: u32,
    skipped: u32,
}

fn run(checkout: &Path, python: &Path) -> Tally {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report.xml");
    let status = Command::new(python)
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "tuf_conformance"])
        .args(["--entrypoint", concat!(env!("CARGO_BIN_EXE_tuf-client"), " --limits vehicle"), "--junitxml"])
        .arg(&report)
        .current_dir(checkout)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .status()
        .unwrap();
    let text = fs::read_to_string(&report)
        .unwrap_or_else(|error| panic!("{}: pytest left no report, {status}: {error}", checkout.display()));
    let suite = text.split_once("<testsuite ").unwrap().1;
    let count = |name: &str| {
        let rest = suite.split_once(&format!(" {name}=\"")).unwrap().1;
        rest.split_once('"').unwrap().0.parse().unwrap()
    };
    Tally {
        tests: count("tests"),
        failures: count("failures"),
        errors: count("errors"),
        skipped: count("skipped"),
    }
}

fn python(checkout: &Path) -> Option<PathBuf> {
    let own = checkout.join("env/bin/python");
    own.exists().then_some(own).or_else(|| env::var_os("TELLTALE_PYTHON").map(PathBuf::from))
}

fn version(checkout: &Path) -> String {
    let path = checkout.join("tuf_conformance/__init__.py");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let version = text.lines().find_map(|line| line.strip_prefix("__version__ = "));
    version.unwrap_or("of no version").trim_matches('"').to_owned()
}
