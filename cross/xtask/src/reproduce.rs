//! `cargo xtask reproduce`: the committed sources built twice, in two folders with names of different lengths, from nothing:
//! binary, symbols, Debian package and container image must be the same to the bit.
//!
//! Who has the sources can thus check that the file in a vehicle is made of them.

use crate::cross_build::Recipe;
use crate::{package, shell};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::{env, fs};

/// The two folders, below a scratch folder.
const PLACES: [&str; 2] = ["a", "another/place-with-a-longer-name"];

/// Builds twice and compares. `quick` builds the small sender of the test machines in the agent's place.
pub(crate) fn run(target: &str, quick: bool) -> Result<()> {
    let scratch = env::temp_dir().join(format!("telltale-reproduce-{}", std::process::id()));
    let compared = PLACES.map(|place| build(&scratch.join(place), target, quick));
    let [one, other] = compared;
    let (one, other) = (one?, other?);
    let _ = fs::remove_dir_all(&scratch);
    for (name, digest) in &one {
        let verdict = if other.get(name) == Some(digest) { "the same twice" } else { "DIFFERS" };
        println!("{digest}  {name}: {verdict}");
    }
    ensure!(
        one == other && !one.is_empty(),
        "the two builds differ: the sources do not say what the file is"
    );
    Ok(())
}

/// Everything that is built of the committed sources in a folder, by name, with its digest.
fn build(folder: &Path, target: &str, quick: bool) -> Result<BTreeMap<String, String>> {
    let root = folder.join("sources");
    eprintln!("== building in {} ==", root.display());
    fs::create_dir_all(&root).with_context(|| format!("{} cannot be made", root.display()))?;
    export(&root)?;
    let target_dir = folder.join("target");
    let recipe = Recipe::elsewhere(target, root.clone(), target_dir.clone());
    let split = if quick { recipe.build_package("telltale-can-load", "can-load") } else { recipe.build() }?;
    let output = folder.join("package");
    let commit = shell::output(shell::program("git").args(["log", "-1", "--format=%ct"]))?;
    let mut files = package::pack(&root, &split.binary, target, &output, Some(commit.trim()))?;
    files.extend([split.binary, split.debug]);
    let digests = files.into_iter().map(|file| Ok((name_of(&file), digest(&file)?)));
    let digests = digests.collect();
    // Gigabytes, of which the next build must not know.
    let _ = fs::remove_dir_all(target_dir);
    digests
}

/// The sources as they are committed, and nothing else.
fn export(to: &Path) -> Result<()> {
    let changed = shell::output(shell::program("git").args(["status", "--porcelain"]))?;
    if !changed.is_empty() {
        eprintln!("what is not committed is left out:\n{changed}");
    }
    let mut archive = shell::program("git");
    archive.args(["archive", "--format=tar", "HEAD"]);
    let mut archive = archive.stdout(Stdio::piped()).spawn().context("git could not be started")?;
    let tar = archive.stdout.take().context("git archive has no output")?;
    let unpacked = shell::program("tar").arg("-x").arg("-C").arg(to).stdin(tar).status()?;
    ensure!(archive.wait()?.success() && unpacked.success(), "the sources could not be exported");
    Ok(())
}

fn digest(file: &Path) -> Result<String> {
    let sum = shell::output(shell::program("sha256sum").arg(file))?;
    Ok(sum.split(' ').next().unwrap_or_default().to_owned())
}

fn name_of(file: &Path) -> String {
    PathBuf::from(file.file_name().unwrap_or_default()).display().to_string()
}
