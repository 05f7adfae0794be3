//! What stands in a machine's job folder: binaries, credentials, the model and its catalog, frames, configurations; and the
//! disk beside it.

use super::release::{HARDWARE, Release};
use super::{Bench, HOST};
use crate::shell;
use crate::sil::{Kind, Load, frames};
use anyhow::{Context as _, Result, ensure};
use std::fs::{self, File};
use std::net::SocketAddr;

/// The model and its catalog, on the host.
pub(super) const MODEL: &str = "models/cell-fault";
/// What of the model's folder goes into a bundle beside what the job has of it.
const FOR_THE_BUNDLE: [&str; 4] = ["golden.toml", "CARD.md", "catalog-sim.toml", "bms.dbc"];
/// Room for two spools.
const DISK: u64 = 96 << 20;

/// An agent that takes new models, after watching each for some seconds.
const UPDATE_SETTINGS: &str = "\n[update]\ndir = \"disk/updates\"\ndirector_root = \"director-root.json\"\n\
     image_root = \"image-root.json\"\nshadow = { windows = 160, minutes = 0 }\n\
     trial = { windows = 160, minutes = 0 }\nattempts = 9\n";

/// An agent that hears all of a recorded car, and syncs nothing.
const RECORDING_SETTINGS: &str = "vehicle = \"recorded\"\ncatalog = \"recording-catalog.toml\"\nsource = \"live\"\n\
     bus = { listen = \"all\" }\nspool = { dir = \"disk/recording-spool\" }\n";

impl Bench<'_> {
    /// Everything that stands in the job's folder, and the disk.
    pub(super) fn fill(&mut self, load: &Load, vehicles: SocketAddr) -> Result<()> {
        self.copy(&shell::root().join("cross/machine/job"), "job")?;
        self.copy(&load.vehicle, "telltale")?;
        self.copy(&load.sender, "can-load")?;
        let credentials = self.folder.join("vehicle");
        for name in ["ca.pem", "vehicle.pem", "vehicle.key"] {
            self.copy(&credentials.join(name), name)?;
        }
        self.model()?;
        self.bundle()?;
        let drive = frames::drive(self.programs, &self.folder)?;
        self.write("drive.log", &drive)?;
        self.write("drain.log", &drive.lines().take(10).flat_map(|line| [line, "\n"]).collect::<String>())?;
        let (kinds, heard) = frames::kinds();
        self.heard = heard;
        self.write("kinds.log", &kinds)?;
        self.write("telltale.toml", &self.settings("\"live\"", 10, vehicles.port()))?;
        // A record each second, so that there is always something to sync when the power is cut.
        self.write("cut.toml", &self.settings("\"live\"", 1, vehicles.port()))?;
        let live = self.settings("\"live\"", 1, vehicles.port());
        self.write("update.toml", &(live + &format!("{UPDATE_SETTINGS}hardware = \"{HARDWARE}\"\n")))?;
        let drain = "{ log = { path = \"drain.log\", pace = \"max\" } }";
        self.write("drain.toml", &self.settings(drain, 1, vehicles.port()))?;
        if let Some((log, database)) = frames::recording()? {
            self.write("recording.log", &log)?;
            self.copy(&database, "pcan.dbc")?;
            // From the job's folder, so that the catalog names the file and not its place on this host.
            let mut init = shell::program(&self.programs.telltale);
            init.args(["catalog", "init", "--dbc", "pcan.dbc"]).current_dir(self.job());
            self.write(
                "recording-catalog.toml",
                &shell::output(&mut init)?.replace("\"can0\"", "\"vcan4\""),
            )?;
            self.write("recording.toml", RECORDING_SETTINGS)?;
            self.has_recording = true;
        }
        let disk = self.folder.join("disk.img");
        File::create(&disk)?.set_len(DISK).context("the machine's disk cannot be made")?;
        shell::output(shell::program("/sbin/mkfs.ext4").args(["-q", "-F"]).arg(&disk))?;
        Ok(())
    }

    /// The shipped model with more windows a second, and a catalog of five buses.
    fn model(&self) -> Result<()> {
        let from = shell::root().join(MODEL);
        let read = |name: &str| {
            fs::read_to_string(from.join(name)).with_context(|| format!("{name} cannot be read"))
        };
        let mut features = read("features.toml")?;
        // The shipped model's windows come every five minutes. Here so many a second that a 99th percentile of the scores
        // is not one of them: as fast as the cells' voltages come.
        let period = match self.kind {
            Kind::Uml => "period_s = 0.02",
            Kind::Aarch64 => "period_s = 0.05",
        };
        for (old, new) in [("period_s = 30", period), ("stride = 10", "stride = 1")] {
            ensure!(features.contains(old), "features.toml has no {old}");
            features = features.replace(old, new);
        }
        self.write("model/features.toml", &features)?;
        let sum = shell::output(shell::program("sha256sum").arg(self.job().join("model/features.toml")))?;
        let digest = sum.split(' ').next().unwrap_or_default();
        let replaced = |line: &str| match line.split_once(" = ") {
            Some(("features_digest", _)) => format!("features_digest = \"{digest}\"\n"),
            _ => format!("{line}\n"),
        };
        self.write("model/model.toml", &read("model.toml")?.lines().map(replaced).collect::<String>())?;
        self.copy(&from.join("cell-fault.int8.onnx"), "model/cell-fault.int8.onnx")?;
        self.copy(&from.join("bms.dbc"), "bms.dbc")?;
        let catalog = read("catalog-sim.toml")?.replace("interface = \"can0\"", "interface = \"vcan0\"");
        let more = ["vcan1", "vcan2", "vcan3", "vxcan0"].map(|bus| {
            format!(
                "\n[[bus]]\nname = \"{bus}\"\ninterface = \"{bus}\"\ndbc = [\"bms.dbc\"]\n\n[[signal]]\n\
                 vss = \"Vehicle.Bench.{bus}.Cell{{n}}.Voltage\"\nn = \"1..96\"\nbus = \"{bus}\"\n\
                 signal = \"CellVoltage_{{n}}\"\nunit = \"V\"\n"
            )
        });
        self.write("catalog.toml", &(catalog + &more.concat()))
    }

    /// The same model as a bundle, for the update.
    fn bundle(&self) -> Result<()> {
        let folder = self.folder.join("release");
        fs::create_dir(&folder)?;
        let from = shell::root().join(MODEL);
        let own = ["features.toml", "model.toml", "cell-fault.int8.onnx"]
            .map(|name| (self.job().join("model"), name));
        for (from, name) in FOR_THE_BUNDLE.map(|name| (from.clone(), name)).into_iter().chain(own) {
            fs::copy(from.join(name), folder.join(name))
                .with_context(|| format!("{name} cannot be copied"))?;
        }
        let release = Release { programs: self.programs, folder: &self.folder };
        release.sign(&folder)?;
        release.give_roots(&self.job())
    }

    fn settings(&self, source: &str, period_s: u32, port: u16) -> String {
        format!(
            "vehicle = \"{}\"\ncatalog = \"catalog.toml\"\nmodels = [\"model\"]\nsource = {source}\n\
             summary_s = {period_s}\nstatus_s = {period_s}\nspool = {{ dir = \"disk/spool\" }}\n\n[uplink]\nurl = \"https://{HOST}:{port}\"\n\
             ca = \"ca.pem\"\ncert = \"vehicle.pem\"\nkey = \"vehicle.key\"\n",
            self.kind.name()
        )
    }
}
