//! The same drives judged in the machine and on this host: by the file that ships, on its own kernel and processor, and by
//! the engineer's build. Everything that a replay reports but time and memory must be the same to the bit.

use super::{BOOT, Bench, STEP};
use crate::shell;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::fs;

/// Drives by name: a sound pack, and faults that are found within the time.
const DRIVES: [(&str, &[&str]); 3] = [
    ("sound", &["--seed=11"]),
    ("drift", &["--seed=12", "--fault=cell-drift:cell=42,onset=600,mv_per_hour=90"]),
    ("short", &["--seed=13", "--fault=internal-short:cell=7,onset=600,ohm=1"]),
];
const HOURS: &str = "--hours=3";
/// Where the logs, the shipped model and its catalog stand in the job's folder.
pub(super) const FOLDER: &str = "parity";
const FILES: [&str; 5] =
    ["catalog-sim.toml", "bms.dbc", "model.toml", "features.toml", "cell-fault.int8.onnx"];
/// What differs from run to run.
const NOT_COMPARED: [&str; 4] = ["elapsed_s", "realtime_factor", "pss_bytes", "peak_rss_bytes"];

impl Bench<'_> {
    /// Boots the machine once more, lets it replay the drives, and compares. Gives how many were the same.
    pub(super) fn same_verdicts(&self) -> Result<u64> {
        let folder = self.job().join(FOLDER);
        fs::create_dir_all(&folder)?;
        let model = shell::root().join(super::job::MODEL);
        for name in FILES {
            fs::copy(model.join(name), folder.join(name))
                .with_context(|| format!("{name} cannot be copied"))?;
        }
        let mut here = Vec::new();
        for (name, faults) in DRIVES {
            let log = folder.join(format!("{name}.log"));
            let mut simulate = shell::program(&self.programs.telltale);
            simulate.args(["simulate", "--quiet", HOURS]).args(faults).arg("--output").arg(&log);
            shell::output(&mut simulate)?;
            let mut replay = shell::program(&self.programs.telltale);
            replay.args(["replay", "--json", "--catalog"]).arg(folder.join(FILES[0])).arg(&log);
            here.push(report(&shell::output(&mut replay)?)?);
        }
        let names = DRIVES.map(|(name, _)| name).join(" ");
        self.write("plan", &format!("PHASE=replay DRIVES=\"{names}\"\n"))?;
        let mut machine = self.boot()?;
        machine.console.expect("up", BOOT)?;
        for ((name, faults), here) in DRIVES.iter().zip(&here) {
            let told = machine.console.expect("replayed", STEP)?.rest;
            let there = report(told.strip_prefix(*name).context("another drive than expected")?)?;
            ensure!(&there == here, "{name}: in the machine {there}, and here {here}");
            let is_faulty = faults.len() > 1;
            let found = here["events"].as_array().map_or(0, Vec::len);
            ensure!(is_faulty == (found > 0), "{name}: {found} verdicts came here: the drive shows nothing");
        }
        machine.console.expect("done", STEP)?;
        machine.wait(STEP)?;
        fs::remove_dir_all(&folder)?;
        Ok(DRIVES.len() as u64)
    }
}

/// What is compared of a replay's last line.
fn report(said: &str) -> Result<Value> {
    let line = said.trim().lines().last().context("a replay that reports nothing")?;
    let mut report: Value = serde_json::from_str(line).with_context(|| format!("a replay reports {line}"))?;
    let object = report.as_object_mut().context("a replay reports no object")?;
    NOT_COMPARED.iter().for_each(|key| drop(object.remove(*key)));
    ensure!(object.contains_key("frames"), "a replay counts no frames: {line}");
    Ok(report)
}
