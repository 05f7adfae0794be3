//! `cargo xtask package`: the vehicle's binary as a Debian package, checked with what this machine has to check it.

use crate::{cross_build, shell};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// The service, whose sandbox is rated.
const SERVICE: &str = "cross/package/files/telltale.service";

/// The exposure that systemd may see in it, from 0 to 10 ("OK" is below 5).
const MAX_EXPOSURE: f64 = 2.5;

/// Packs the binary given, or else the vehicle's release build for the target.
pub(crate) fn run(target: &str, binary: Option<PathBuf>) -> Result<()> {
    let binary = match binary {
        // Relative to where the developer stands.
        Some(path) => fs::canonicalize(&path).with_context(|| format!("{} is not there", path.display()))?,
        None => cross_build::build(target, true)?,
    };
    let packages = pack(&shell::root(), &binary, target, &shell::target_dir().join("package"), None)?;
    for package in &packages {
        let bytes =
            fs::metadata(package).with_context(|| format!("{} is not there", package.display()))?.len();
        println!("{}: {:.2} MB", package.display(), bytes as f64 / 1e6);
    }
    check_package(packages.first().context("nothing was packed")?)?;
    check_service()
}

/// Packs a binary with the files of a workspace; gives the package, then the image. `epoch` is the time that their files
/// are given, in seconds, instead of that of the environment's SOURCE_DATE_EPOCH, or zero.
pub(crate) fn pack(
    root: &Path,
    binary: &Path,
    target: &str,
    output: &Path,
    epoch: Option<&str>,
) -> Result<Vec<PathBuf>> {
    let architecture = match target.split('-').next() {
        Some("aarch64") => "arm64",
        Some("x86_64") => "amd64",
        _ => bail!("Debian's name of {target} is not known here: aarch64 or x86_64"),
    };
    let pack = ["run", "--quiet", "--package=telltale-package", "--", "--architecture", architecture];
    let mut packing = shell::cargo(pack);
    packing.arg("--binary").arg(binary).arg("--root").arg(root).arg("--output").arg(output);
    if let Some(epoch) = epoch {
        packing.env("SOURCE_DATE_EPOCH", epoch);
    }
    Ok(shell::output(&mut packing)?.lines().map(PathBuf::from).collect())
}

/// What dpkg makes of it, where there is one.
fn check_package(package: &Path) -> Result<()> {
    if shell::find_program("dpkg-deb").is_none() {
        println!("not checked: dpkg-deb is not here");
        return Ok(());
    }
    let listed = shell::output(shell::program("dpkg-deb").arg("--contents").arg(package))?;
    ensure!(
        listed.lines().any(|line| line.ends_with(" usr/bin/telltale")),
        "the package holds no agent:\n{listed}"
    );
    println!("dpkg-deb reads it: {} entries", listed.lines().count());
    Ok(())
}

/// What systemd makes of the sandbox, where there is one.
fn check_service() -> Result<()> {
    if shell::find_program("systemd-analyze").is_none() {
        println!("not rated: systemd-analyze is not here");
        return Ok(());
    }
    let rate = ["security", "--offline=true", "--no-pager"];
    let rated = shell::output(shell::program("systemd-analyze").args(rate).arg(SERVICE))?;
    let exposure = exposure(&rated).with_context(|| format!("systemd-analyze rated nothing:\n{rated}"))?;
    println!("telltale.service: exposure {exposure} of 10 (systemd-analyze security)");
    ensure!(exposure <= MAX_EXPOSURE, "the service is more open than {MAX_EXPOSURE}:\n{rated}");
    Ok(())
}

/// The figure in the closing line, `Overall exposure level for telltale.service: 1.3 OK`.
fn exposure(rated: &str) -> Option<f64> {
    let line = rated.lines().find(|line| line.contains("Overall exposure level"))?;
    line.rsplit(": ").next()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exposure_is_the_figure_of_the_closing_line() {
        let rated = "  x PrivateTmp= 0.2\n\n→ Overall exposure level for telltale.service: 1.3 OK :-)\n";
        assert_eq!(exposure(rated), Some(1.3));
        assert_eq!(exposure("x PrivateTmp= 0.2\n"), None);
    }
}
