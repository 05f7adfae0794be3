//! The people who release a model to the machine's vehicle: keys, a signed repository, a bundle, a rollout. Each step is a
//! command of the product, as a person would give it (`cloud/repository/CEREMONY.md`).

use crate::shell;
use crate::sil::Programs;
use anyhow::{Context as _, Result};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What this vehicle's hardware is called.
pub(super) const HARDWARE: &str = "bench-a";
/// The family of the configured model, and the index of its first release.
const FAMILY: &str = "cell-fault";
const INDEX: &str = "cell-fault/cell-fault-1.index";
/// Where the repository and the director's key stand in the machine's folder.
pub(super) const REPOSITORY: &str = "repository";
pub(super) const DIRECTOR_KEY: &str = "director.pem";
/// All vehicles at once, and done when one has committed.
const PLAN: &str = "[[wave]]\npercent = 100\nmin_executed = 1\nsuccess = 1.0\nhold_minutes = 0\n";
/// A machine is emulated, and the host is busy: what is tried here is not the model's speed.
const BUDGET: [&str; 2] = ["--latency-us=2000000", "--memory-bytes=268435456"];

/// A release of the model, from its keys to its rollout, in the machine's folder.
pub(super) struct Release<'a> {
    pub(super) programs: &'a Programs,
    pub(super) folder: &'a Path,
}

impl Release<'_> {
    /// Keys and the first roots, which the vehicle is built with; the server needs them to start.
    pub(super) fn found(&self) -> Result<()> {
        let keys = ["root", "root-2", "targets", "models", "snapshot", "timestamp", "director"];
        self.cloud(["keys", "generate"].into_iter().chain(keys))?;
        let roots = ["--root=root.pub", "--root=root-2.pub", "--targets=targets.pub"];
        let online = ["--snapshot=snapshot.pub", "--timestamp=timestamp.pub", "--director=director.pub"];
        self.repository("init", roots.into_iter().chain(online))?;
        self.repository("sign", ["--key=root.pem", "--key=root-2.pem", "--key=targets.pem"])?;
        self.publish()?;
        self.repository("delegate", ["--family", FAMILY, "--signer=models.pub"])?;
        self.repository("sign", ["--key=targets.pem"])?;
        self.publish()
    }

    /// The roots, for the job's folder.
    pub(super) fn give_roots(&self, job: &Path) -> Result<()> {
        for side in ["director", "image"] {
            let from = self.folder.join(REPOSITORY).join(side).join("1.root.json");
            fs::copy(&from, job.join(format!("{side}-root.json")))
                .with_context(|| format!("{} cannot be copied", from.display()))?;
        }
        Ok(())
    }

    /// A bundle of a model's folder, signed and published.
    pub(super) fn sign(&self, model: &Path) -> Result<()> {
        let mut build = Command::new(&self.programs.telltale);
        build.args(["bundle", "build", "--output=bundles", "--release=1", "--hardware", HARDWARE]);
        shell::output(build.args(BUDGET).arg(model).current_dir(self.folder))?;
        self.repository("add", ["--from=bundles", INDEX])?;
        self.repository("sign", ["--key=models.pem"])?;
        self.publish()
    }

    /// Brings it to the fleet, which is one vehicle.
    pub(super) fn roll_out(&self) -> Result<()> {
        let plan = self.folder.join("plan.toml");
        fs::write(&plan, PLAN).with_context(|| format!("{} cannot be written", plan.display()))?;
        let by = |who: &'static str| ["--db=fleet.db", "--by", who];
        self.cloud(["model", "import"].into_iter().chain(by("ann")).chain(["bundles"]))?;
        self.cloud(["model", "approve"].into_iter().chain(by("ben")).chain([INDEX]))?;
        let of = ["--model", INDEX, "--plan=plan.toml"];
        self.cloud(["rollout", "create"].into_iter().chain(by("ann")).chain(of))?;
        self.cloud(["rollout", "approve"].into_iter().chain(by("ben")).chain(["1"]))?;
        self.cloud(["rollout", "start"].into_iter().chain(by("ann")).chain(["1"]))
    }

    fn publish(&self) -> Result<()> {
        // The family's metadata is signed anew by those who hold its key, once it is delegated.
        self.repository("publish", ["--key=models.pem", "--key=snapshot.pem", "--key=timestamp.pem"])
    }

    fn repository<'a>(&self, verb: &'a str, words: impl IntoIterator<Item = &'a str>) -> Result<()> {
        self.cloud(["repository", verb, "--dir", REPOSITORY].into_iter().chain(words))
    }

    fn cloud<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let mut command = Command::new(&self.programs.cloud);
        command.args(words.into_iter().map(OsStr::new)).current_dir(self.folder).env("RUST_LOG", "warn");
        shell::output(&mut command).map(drop)
    }
}
