//! `cargo xtask models`: training, figures, quantization and parity of a model, each by the script of that name in the
//! model's folder, in one locked Python environment, on features that the vehicle's own code computes.
//!
//! Standard output belongs to the script: `evaluate NAME --json` gives one JSON object there and nothing else.

use crate::{needs, shell};
use anyhow::{Context as _, Result, bail, ensure};
use clap::Subcommand;
use std::env;
use std::path::PathBuf;

/// What all models' scripts need, pinned to the last package.
const REQUIREMENTS: &str = "models/requirements.txt";

#[derive(Subcommand)]
pub(crate) enum Models {
    /// Train from the recordings: writes everything in the model's folder that is made
    ///
    /// Takes minutes on two cores. Two runs on one machine give the same bytes.
    Train {
        /// A folder of models/
        name: String,
    },
    /// Print the model's figures on recordings that it was not trained on
    Evaluate {
        /// A folder of models/
        name: String,
        /// One JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Make the int8 files anew from the f32 weights of the last training
    Quantize {
        /// A folder of models/
        name: String,
    },
    /// Compare the model's outputs in numpy's integers, in ONNX Runtime and in the vehicle's runtime, byte by byte
    ///
    /// Prints before that what its optimised graph computes, in the vehicle and in tract as it comes.
    Parity {
        /// A folder of models/
        name: String,
    },
}

pub(crate) fn run(task: &Models) -> Result<()> {
    match task {
        Models::Train { name } => script(name, "train", &[]),
        Models::Evaluate { name, json } => script(name, "evaluate", if *json { &["--json"] } else { &[] }),
        Models::Quantize { name } => script(name, "quantize", &[]),
        Models::Parity { name } => parity(name),
    }
}

fn script(name: &str, step: &str, more: &[&str]) -> Result<()> {
    let folder = folder(name)?;
    let telltale = telltale()?;
    let work = shell::target_dir().join("models").join(name);
    std::fs::create_dir_all(&work).with_context(|| format!("{} cannot be made", work.display()))?;
    let mut command = shell::program(python()?);
    command.arg(folder.join(step).with_extension("py"));
    command.arg("--telltale").arg(telltale).arg("--work").arg(work);
    let data = recordings();
    if data.is_dir() {
        command.arg("--data").arg(data);
    } else {
        // A model of simulated packs needs none; the others' scripts end here.
        eprintln!("no recordings at {}: TELLTALE_DATA names their folder", data.display());
    }
    shell::run(command.args(more))
}

/// The last of the three runtimes is the vehicle's, whose test holds it to the golden bytes.
fn parity(name: &str) -> Result<()> {
    let file = folder(name)?.join(format!("{name}.int8.onnx"));
    ensure!(file.is_file(), "models/{name} has no network: there is nothing to compare");
    let graph = ["run", "--quiet", "--package=telltale-infer", "--example=graph", "--"];
    shell::run(shell::cargo(graph).arg(file))?;
    let script = shell::root().join("models/parity.py");
    shell::run(shell::program(python()?).arg(script).args(["--model", name]))?;
    shell::run(&mut shell::cargo(["test", "--package=telltale-infer", "--test=golden"]))
}

fn folder(name: &str) -> Result<PathBuf> {
    let models = shell::root().join("models");
    let mut known: Vec<String> = std::fs::read_dir(&models)
        .with_context(|| format!("{} cannot be read", models.display()))?
        .filter_map(|entry| entry.ok().filter(|e| e.path().join("recipe.toml").is_file()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    known.sort();
    match known.iter().any(|model| model == name) {
        true => Ok(models.join(name)),
        false => bail!("models/ has no model {name:?}; it has {}", known.join(", ")),
    }
}

/// The environment's folder below the target folder.
const ENVIRONMENT: &str = "models-venv";

/// The interpreter that has what the scripts import.
pub(crate) fn python() -> Result<PathBuf> {
    needs::packages(&[needs::PYTHON_VENV]);
    needs::python(ENVIRONMENT, &shell::root().join(REQUIREMENTS))
}

/// The same if it has been made already.
pub(crate) fn interpreter() -> Option<PathBuf> {
    Some(shell::target_dir().join(ENVIRONMENT).join("bin/python")).filter(|python| python.exists())
}

fn recordings() -> PathBuf {
    env::var_os("TELLTALE_DATA")
        .map_or_else(|| shell::root().join("../shared/data"), |dir| shell::root().join(dir))
}

/// The binary whose feature code the recordings go through: the one that is named, or a fresh build.
fn telltale() -> Result<PathBuf> {
    if let Some(binary) = env::var_os("TELLTALE_BIN") {
        return Ok(binary.into());
    }
    shell::run(&mut shell::cargo(["build", "--package=telltale-agent"]))?;
    Ok(shell::target_dir().join("debug/telltale"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_is_not_there_is_told_with_those_that_are() {
        let error = folder("cell-falt").unwrap_err().to_string();
        assert!(error.contains("cell-fault") && error.contains("state-of-health"), "{error}");
        assert!(folder("cell-fault").is_ok());
    }

    #[test]
    fn every_model_has_the_scripts_and_every_requirement_is_pinned() {
        for name in [
            "bus-intrusion",
            "cell-fault",
            "powertrain-consistency",
            "state-of-health",
            "state-of-health-sim",
        ] {
            for step in ["train", "evaluate", "quantize"] {
                assert!(folder(name).unwrap().join(step).with_extension("py").is_file(), "{name} {step}");
            }
        }
        let text = std::fs::read_to_string(shell::root().join(REQUIREMENTS)).unwrap();
        let unpinned = |line: &&str| !line.is_empty() && !line.starts_with('#') && !line.contains("==");
        assert_eq!(text.lines().find(unpinned), None);
    }
}
