//! `cargo xtask test`: puts on the machine what the tests need, builds the binaries that the system tests start,
//! then hands over to `cargo test`, whose last line and exit code are this command's own.

use crate::{cross_build, firmware, needs, shell};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The requirements of the oracles, where the tests keep them.
const ORACLE_REQUIREMENTS: &str = "tests/oracle/requirements.txt";

/// Prepares, builds and runs the tests. `args` go to `cargo test`; naming a package there replaces `--workspace`.
/// `vehicle` is a fresh build of the agent for aarch64: if it is there, its verdicts are compared, the simulator's
/// frames, and whole scenarios.
pub(crate) fn run(install: bool, args: &[String], vehicle: Option<&Path>) -> Result<()> {
    if install {
        needs::for_tests()?;
    }
    // `for_tests` has put the target there.
    if install && !names_a_package(args) {
        kernels_of_the_vehicle()?;
    }
    let mut tests = prepared(args)?;
    if let Some(vehicle) = vehicle {
        tests.env("TELLTALE_AARCH64_BIN", vehicle).env("TELLTALE_AARCH64_SIL", cross_build::simulator()?);
        tests.env("TELLTALE_AARCH64_WORKBENCH", cross_build::workbench()?);
    }
    shell::run(&mut tests)
}

/// Builds what the system tests start; gives the `cargo test` that finds it.
pub(crate) fn prepared(args: &[String]) -> Result<Command> {
    let python = oracle();
    shell::run(&mut shell::cargo(["build", "--package=telltale-agent", "--package=telltale-cloud"]))?;
    let firmware = firmware::build()?;

    let mut tests = shell::cargo(["test"]);
    if !names_a_package(args) {
        tests.arg("--workspace");
    }
    tests.args(args);
    tests.env("TELLTALE_BIN", built("telltale")).env("TELLTALE_CLOUD_BIN", built("telltale-cloud"));
    tests.env("TELLTALE_FIRMWARE", firmware);
    if let Some(python) = python {
        tests.env("TELLTALE_PYTHON", python);
    }
    // Whoever has trained here has what a model's figures take; nobody else needs to fetch it for a test.
    if let Some(python) = crate::models::interpreter() {
        tests.env("TELLTALE_MODELS_PYTHON", python);
    }
    Ok(tests)
}

/// The models' arithmetic in aarch64's instructions, under emulation: this machine's own tests never reach them.
fn kernels_of_the_vehicle() -> Result<()> {
    if !needs::QEMU_USER.is_there() {
        println!("skipped: the int8 kernels on aarch64, which need {}", needs::QEMU_USER.name());
        return Ok(());
    }
    let target = format!("--target={}", cross_build::VEHICLE);
    shell::run(&mut shell::cargo(["test", "--package=telltale-qlinear", &target]))
}

/// The interpreter with the oracles. Without it the comparisons are skipped, not the tests.
fn oracle() -> Option<PathBuf> {
    let requirements = shell::root().join(ORACLE_REQUIREMENTS);
    if !requirements.exists() {
        return None;
    }
    match needs::python("oracle-venv", &requirements) {
        Ok(interpreter) => Some(interpreter),
        Err(why) => {
            println!("no oracles: {why:#}\ncomparisons with them are skipped");
            None
        }
    }
}

fn built(binary: &str) -> PathBuf {
    shell::target_dir().join("debug").join(Path::new(binary))
}

fn names_a_package(args: &[String]) -> bool {
    let ours = args.iter().take_while(|arg| *arg != "--");
    ours.into_iter().any(|arg| {
        arg.starts_with("-p")
            || arg.starts_with("--package")
            || arg == "--workspace"
            || arg == "--manifest-path"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_package_replaces_the_workspace() {
        let args = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for named in ["-p telltale-wire", "--package=telltale-wire", "x -ptelltale-core"] {
            assert!(names_a_package(&args(named)), "{named}");
        }
        for unnamed in ["", "record --release", "-- -p x", "-- --package"] {
            assert!(!names_a_package(&args(unnamed)), "{unnamed}");
        }
    }
}
