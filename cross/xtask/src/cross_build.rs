//! `cargo xtask build`: the vehicle's binary for a target, without the workbench, and what it weighs.
//!
//! Linkers and compilers per target stand in `.cargo/config.toml`, so that a plain `cargo build --target` works too. This
//! command adds what cargo cannot say: that the cross compiler is there, no path of this machine in a release, so that
//! the same sources give the same bytes in any folder, and the debug symbols apart.

use crate::symbols::{self, Split};
use crate::{needs, shell};
use anyhow::{Context as _, Result, ensure};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The target that an ECU runs: one static file that needs nothing of the host but its kernel.
pub(crate) const VEHICLE: &str = "aarch64-unknown-linux-musl";

/// Builds the agent as a vehicle carries it and prints the binary's place and size.
pub(crate) fn run(target: &str, release: bool, cpu: Option<&str>) -> Result<()> {
    ensure!(release || cpu.is_none(), "--cpu is for --release: what is not optimised fits every processor");
    if !release {
        let binary = build(target, false)?;
        println!("{}: {}", binary.display(), size(&binary)?);
        return Ok(());
    }
    let recipe = Recipe { cpu, ..Recipe::vehicle(target) };
    let Split { binary, debug, build_id } = recipe.build()?;
    println!("{}: {}, stripped, build id {build_id}", binary.display(), size(&binary)?);
    println!("{}: {}, its symbols", debug.display(), size(&debug)?);
    Ok(())
}

/// Builds the agent as a vehicle carries it and gives the binary's place.
pub(crate) fn build(target: &str, release: bool) -> Result<PathBuf> {
    if release {
        return Ok(Recipe::vehicle(target).build()?.binary);
    }
    have(target)?;
    let agent = ["build", "--package=telltale-agent", "--no-default-features", "--bin=telltale"];
    shell::run(shell::cargo(agent).arg("--target").arg(target))?;
    Ok(binary(target, false))
}

fn have(target: &str) -> Result<()> {
    if target.starts_with("aarch64") {
        needs::packages(&[needs::AARCH64_GCC]);
    }
    needs::targets(&[target])
}

/// A release build: of what, for what, and where.
pub(crate) struct Recipe<'a> {
    target: &'a str,
    /// A processor to tune for, as rustc calls it; it may then need what only that one has.
    cpu: Option<&'a str>,
    root: PathBuf,
    target_dir: PathBuf,
}

impl<'a> Recipe<'a> {
    /// Of the workspace's sources, for every processor of the target.
    pub(crate) fn vehicle(target: &'a str) -> Recipe<'a> {
        Recipe { target, cpu: None, root: shell::root(), target_dir: shell::target_dir() }
    }

    /// Of sources elsewhere, into a folder elsewhere.
    pub(crate) fn elsewhere(target: &'a str, root: PathBuf, target_dir: PathBuf) -> Recipe<'a> {
        Recipe { target, cpu: None, root, target_dir }
    }

    /// The agent.
    pub(crate) fn build(&self) -> Result<Split> {
        self.build_package("telltale-agent", "telltale")
    }

    /// A binary of a package, without its default features.
    pub(crate) fn build_package(&self, package: &str, bin: &str) -> Result<Split> {
        have(self.target)?;
        let mut build = shell::cargo(["rustc", "--release", "--locked", "--no-default-features"]);
        build.args(["--package", package, "--bin", bin, "--target", self.target]);
        build.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target_dir);
        // A person's flags for other builds would take the place of these.
        build.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        let renamed = self.renamed()?;
        let mut flags: Vec<String> =
            renamed.iter().map(|(from, to)| format!("--remap-path-prefix={from}={to}")).collect();
        flags.extend(self.cpu.map(|cpu| format!("-Ctarget-cpu={cpu}")));
        build.arg("--config").arg(setting(self.target, &flags)?);
        let c_flags: Vec<String> =
            renamed.iter().map(|(from, to)| format!("-ffile-prefix-map={from}={to}")).collect();
        build.env(format!("CFLAGS_{}", self.target.replace('-', "_")), c_flags.join(" "));
        // Line tables for the file of symbols; none of it is in the one that ships.
        build
            .env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only")
            .env("CARGO_PROFILE_RELEASE_STRIP", "none");
        // A tenth smaller than thin, for two minutes more: worth it for the one binary that goes over the air.
        build.env("CARGO_PROFILE_RELEASE_LTO", "fat").arg("--");
        if self.target == VEHICLE {
            // Functions with the same machine code become one; nothing here compares the addresses of functions.
            build.args(["-Clink-arg=--icf=all", "-Clink-arg=--build-id=sha1"]);
        } else {
            build.arg("-Clink-arg=-Wl,--build-id=sha1");
        }
        shell::run(&mut build)?;
        let built = self.target_dir.join(self.target);
        symbols::split(&built.join("release").join(bin), &built.join("vehicle"))
    }

    /// Folders of this machine, and what stands in their place in the binary. The last that fits is taken.
    fn renamed(&self) -> Result<Vec<(String, String)>> {
        let home = env::var_os("HOME").map(PathBuf::from).context("HOME is not set")?;
        let cargo = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
        let sysroot = shell::output(shell::program("rustc").args(["--print", "sysroot"]))?;
        let version = shell::output(shell::program("rustc").arg("-vV"))?;
        let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: ")).unwrap_or("unknown");
        let rust = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
        let places = [
            (cargo, "/cargo".to_owned()),
            (self.root.clone(), "/telltale".to_owned()),
            (self.target_dir.clone(), "/target".to_owned()),
            // Rust's own sources, where they are installed, as they are called where they are not.
            (rust, format!("/rustc/{commit}")),
        ];
        places
            .map(|(from, to)| {
                let from = from.to_str().context("a folder's name is no text")?.to_owned();
                ensure!(!from.contains(['\'', ' ']), "{from}: a folder with a space or a quote in its name");
                Ok((from, to))
            })
            .into_iter()
            .collect()
    }
}

/// Flags for a target, beside those of `.cargo/config.toml`.
fn setting(target: &str, flags: &[String]) -> Result<String> {
    ensure!(flags.iter().all(|flag| !flag.contains('\'')), "a flag with a quote: {flags:?}");
    let flags: Vec<String> = flags.iter().map(|flag| format!("'{flag}'")).collect();
    Ok(format!("target.{target}.rustflags=[{}]", flags.join(",")))
}

/// The target of this machine's own kernel, whose name keeps its build apart.
pub(crate) const HOST: &str = "x86_64-unknown-linux-gnu";

/// Builds the agent as a vehicle carries it, but for x86_64 and without optimising the whole once more, which takes minutes:
/// for a machine that runs native code.
pub(crate) fn for_this_machine() -> Result<PathBuf> {
    let mut build = shell::cargo(["build", "--release", "--package=telltale-agent", "--no-default-features"]);
    build.args(["--bin=telltale", "--target", HOST]);
    build.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    shell::run(&mut build)?;
    Ok(shell::target_dir().join(HOST).join("release/telltale"))
}

/// Builds the simulator's example for the vehicle's machine, unoptimised, and gives its place: its digest is compared.
pub(crate) fn simulator() -> Result<PathBuf> {
    needs::targets(&[VEHICLE])?;
    let example = ["build", "--package=telltale-sil", "--example=hour", "--target", VEHICLE];
    shell::run(&mut shell::cargo(example))?;
    Ok(shell::target_dir().join(VEHICLE).join("debug/examples/hour"))
}

/// Builds the engineer's agent for the vehicle's machine, unoptimised, and gives its place: its scenarios are compared.
pub(crate) fn workbench() -> Result<PathBuf> {
    needs::targets(&[VEHICLE])?;
    shell::run(&mut shell::cargo([
        "build",
        "--package=telltale-agent",
        "--bin=telltale",
        "--target",
        VEHICLE,
    ]))?;
    Ok(binary(VEHICLE, false))
}

/// Where the agent's binary for a target stands once it is built: a release apart from what cargo linked, which has its
/// symbols still.
pub(crate) fn binary(target: &str, release: bool) -> PathBuf {
    shell::target_dir().join(target).join(if release { "vehicle" } else { "debug" }).join("telltale")
}

fn size(file: &Path) -> Result<String> {
    let bytes = fs::metadata(file).with_context(|| format!("{} is not there", file.display()))?.len();
    Ok(format!("{:.2} MB", bytes as f64 / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_a_setting_that_is_added_to_the_targets_own() {
        let flags = ["--remap-path-prefix=/x=/y".to_owned(), "-Ctarget-cpu=cortex-a72".to_owned()];
        assert_eq!(
            setting(VEHICLE, &flags).unwrap(),
            "target.aarch64-unknown-linux-musl.rustflags=['--remap-path-prefix=/x=/y','-Ctarget-cpu=cortex-a72']"
        );
        assert!(setting(VEHICLE, &["it's".to_owned()]).is_err());
    }

    #[test]
    fn every_folder_of_this_machine_has_another_name_in_a_release() {
        let recipe =
            Recipe { root: "/w/src".into(), target_dir: "/w/out".into(), ..Recipe::vehicle(VEHICLE) };
        let places = recipe.renamed().unwrap();
        for (from, to) in [("/w/src", "/telltale"), ("/w/out", "/target")] {
            assert!(places.contains(&(from.to_owned(), to.to_owned())), "{places:?}");
        }
        assert!(places.iter().any(|(_, to)| to.starts_with("/rustc/") && to.len() > 40), "{places:?}");
        assert!(Recipe { root: "/w/a b".into(), ..recipe }.renamed().is_err());
    }
}
