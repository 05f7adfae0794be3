//! `cargo xtask bench infer`: what one inference takes, beside ONNX Runtime and stock tract, and how many instructions.
//!
//! `models/speed.py` times, because ONNX Runtime comes with the models' Python environment. Instructions are counted over
//! our convolutions alone, of the same shapes: here by callgrind, for the vehicle's processor by an emulated machine
//! whose clock counts them.

use super::{instructions, per_repetition};
use crate::vm::{Initrd, Machine};
use crate::{cross_build, models, needs, shell};
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A new sample may take so much of ONNX Runtime's whole window, by the least rounds of its fastest format.
const SHARE: f64 = 0.2;
/// Runs of the short and the long count.
const RUNS: (u64, u64) = (20, 120);
/// Runs in the emulated machine.
const EMULATED_RUNS: &str = "200";
/// Booting and some hundred million instructions.
const LIMIT: Duration = Duration::from_secs(600);
/// What runs our convolutions, and is counted.
const OURS: [&str; 2] = ["ours", "stream"];

/// What the script prints.
#[derive(Serialize, Deserialize)]
struct Report {
    onnxruntime: String,
    empty_call_ns: f64,
    models: Vec<Model>,
}

#[derive(Serialize, Deserialize)]
struct Model {
    name: String,
    bytes: u64,
    channels: usize,
    steps: usize,
    parameters: u64,
    /// Of each layer: output channels, input channels, taps, dilation.
    layers: Vec<[usize; 4]>,
    onnxruntime_best: String,
    took: BTreeMap<String, Took>,
}

/// One contestant.
#[derive(Serialize, Deserialize)]
struct Took {
    least_ns: f64,
    median_ns: f64,
    /// With the AVX2 kernel: valgrind does not know VNNI.
    #[serde(default)]
    x86_64_instructions: Option<f64>,
    #[serde(default)]
    aarch64_instructions: Option<f64>,
}

pub(crate) fn run(json: bool) -> Result<()> {
    needs::packages(&[needs::VALGRIND]);
    let machine = Machine::prepare()?.counting();
    let program = example("telltale-infer", "speed", None)?;
    let mut timing = shell::program(models::python()?);
    timing.arg(shell::root().join("models/speed.py")).arg("--program").arg(&program);
    let told = shell::output(timing.arg("--work").arg(shell::target_dir().join("models/speed")))?;
    let mut report: Report = serde_json::from_str(&told).context("models/speed.py printed no figures")?;
    count_here(&mut report.models)?;
    count_there(&machine, &mut report.models)?;
    println!("{}", if json { serde_json::to_string(&report)? } else { table(&report) });
    hold(&report.models)
}

/// An example, built for speed: for this machine or another.
fn example(package: &str, name: &str, target: Option<&str>) -> Result<PathBuf> {
    let mut build = shell::cargo(["build", "--profile=speed", "--package", package, "--example", name]);
    if let Some(target) = target {
        build.arg("--target").arg(target);
    }
    shell::run(&mut build)?;
    let folder = shell::target_dir();
    Ok(target.map_or(folder.clone(), |target| folder.join(target)).join("speed/examples").join(name))
}

/// The words by which the counting example knows a model.
fn words(way: &str, model: &Model) -> Vec<String> {
    let layer =
        |[outputs, inputs, taps, dilation]: &[usize; 4]| format!("{inputs}x{outputs}:{taps}:{dilation}");
    let layers: Vec<String> = model.layers.iter().map(layer).collect();
    vec![way.to_owned(), model.steps.to_string(), layers.join(",")]
}

fn count_here(models: &mut [Model]) -> Result<()> {
    let program = example("telltale-qlinear", "count", None)?;
    for model in models {
        for way in OURS {
            let words = words(way, model);
            let Some(took) = model.took.get_mut(way) else { continue };
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let count = |runs| Ok::<_, anyhow::Error>((runs, instructions(&program, &words, runs)?));
            took.x86_64_instructions = Some(per_repetition(count(RUNS.0)?, count(RUNS.1)?)?);
        }
    }
    Ok(())
}

/// All in one machine, one after the other.
fn count_there(machine: &Machine, models: &mut [Model]) -> Result<()> {
    needs::packages(&[needs::AARCH64_GCC]);
    needs::targets(&[cross_build::VEHICLE])?;
    let mut files = Initrd::default();
    files.file("count", &example("telltale-qlinear", "count", Some(cross_build::VEHICLE))?)?;
    let mut command = vec!["/count".to_owned()];
    for model in &*models {
        for way in model.took.keys().filter(|way| OURS.contains(&way.as_str())) {
            command.extend(words(way, model));
            command.push(EMULATED_RUNS.to_owned());
        }
    }
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let printed = machine.run(files, &command, LIMIT)?;
    let mut counts = printed.lines().filter_map(|line| line.trim().parse::<f64>().ok());
    for (way, took) in models.iter_mut().flat_map(|model| &mut model.took) {
        if OURS.contains(&way.as_str()) {
            let count = counts.next().with_context(|| format!("counts are missing:\n{printed}"))?;
            took.aarch64_instructions = Some(count);
        }
    }
    Ok(())
}

/// The promise to whoever streams.
fn hold(models: &[Model]) -> Result<()> {
    for model in models {
        let Some(stream) = model.took.get("stream") else { continue };
        let window = model.took.get(&model.onnxruntime_best).context("ONNX Runtime was not timed")?;
        let share = stream.least_ns / window.least_ns;
        ensure!(
            share <= SHARE,
            "{}: a new sample takes {share:.2} of ONNX Runtime's window, at most {SHARE}",
            model.name
        );
    }
    Ok(())
}

fn table(report: &Report) -> String {
    let mut text = format!(
        "one thread, least and median us of alternating rounds; ONNX Runtime {}, whose call costs {:.1} us with nothing in it\n",
        report.onnxruntime,
        report.empty_call_ns / 1e3
    );
    for model in &report.models {
        text.push_str(&format!(
            "\n{} [1, {}, {}], {} parameters, {} bytes\n",
            model.name, model.channels, model.steps, model.parameters, model.bytes
        ));
        let of = model.took.get("onnxruntime").map_or(f64::NAN, |took| took.least_ns);
        for (way, took) in &model.took {
            let best = if *way == model.onnxruntime_best { " (its best)" } else { "" };
            let count = |n: Option<f64>| n.map_or("-".to_owned(), |n| format!("{n:.0}"));
            text.push_str(&format!(
                "  {:<28}{:>9.2}{:>9.2} us, {:>5.2} of ONNX Runtime; instructions {:>9} x86_64, {:>9} aarch64\n",
                format!("{way}{best}"),
                took.least_ns / 1e3,
                took.median_ns / 1e3,
                took.least_ns / of,
                count(took.x86_64_instructions),
                count(took.aarch64_instructions),
            ));
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(stream: u32) -> Report {
        let text = r#"{"onnxruntime": "1", "empty_call_ns": 1600.4, "models": [{"name": "n", "bytes": 9, "layers": [[32, 16, 3, 2]],
            "channels": 16, "steps": 128, "parameters": 7, "onnxruntime_best": "onnxruntime_f32", "took": {
            "stream": {"least_ns": STREAM, "median_ns": 900}, "onnxruntime": {"least_ns": 9000, "median_ns": 9100},
            "onnxruntime_f32": {"least_ns": 4000, "median_ns": 4100}}}]}"#;
        serde_json::from_str(&text.replace("STREAM", &stream.to_string())).unwrap()
    }

    #[test]
    fn a_sample_is_held_to_a_fifth_of_the_best_window() {
        hold(&report(800).models).unwrap();
        let error = hold(&report(801).models).unwrap_err().to_string();
        assert!(error.contains("n: a new sample takes 0.20"), "{error}");
    }

    #[test]
    fn a_shape_is_told_in_words() {
        assert_eq!(words("ours", &report(1).models[0]), ["ours", "128", "16x32:3:2"]);
    }

    #[test]
    fn ratios_are_to_the_same_file() {
        let text = table(&report(900));
        assert!(text.contains("0.10 of ONNX Runtime"), "{text}");
        assert!(text.contains("onnxruntime_f32 (its best)"), "{text}");
    }
}
