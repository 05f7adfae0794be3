//! The demo's vehicles: who they are, what drifts in one of them, and how their agent is configured.

use super::children::{Children, Workspace};
use super::toml_string;
use crate::shell;
use anyhow::{Context as _, Result};
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// Hours that each vehicle drives.
const HOURS: u32 = 6;
/// The cell that drifts.
const FAULTY_CELL: u32 = 42;

/// One vehicle of the demo.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Vehicle {
    id: String,
    seed: u32,
    faulty_cell: Option<u32>,
}

/// So many vehicles; in the second (the first, if it is alone) a cell drifts.
pub(super) fn fleet(count: u8) -> Vec<Vehicle> {
    let faulty = u32::from(count.min(2));
    let vehicle = |n| Vehicle {
        id: format!("demo-{n:02}"),
        seed: n,
        faulty_cell: (n == faulty).then_some(FAULTY_CELL),
    };
    (1..=u32::from(count)).map(vehicle).collect()
}

impl Vehicle {
    /// Its identity.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What should be found in it, by the name that the cloud shows.
    pub(super) fn fault(&self) -> Option<String> {
        self.faulty_cell.map(|cell| format!("Cell{cell}"))
    }

    /// Starts its simulation and its agent.
    pub(super) fn start(
        &self,
        telltale: &Path,
        workspace: &Workspace,
        children: &mut Children,
        cloud: SocketAddr,
        speed: u32,
    ) -> Result<()> {
        let config = workspace.path(format!("{}.toml", self.id));
        fs::write(&config, self.config(&workspace.path(&self.id), cloud))
            .with_context(|| format!("{} cannot be written", config.display()))?;
        let mut run = Command::new(telltale);
        run.args(["run", "--config"]).arg(config);
        children.start_pipe(&self.id, self.simulate(telltale, speed), run, workspace.log(&self.id)?)
    }

    fn simulate(&self, telltale: &Path, speed: u32) -> Command {
        let mut simulate = Command::new(telltale);
        simulate.arg("simulate").arg(format!("--seed={}", self.seed)).arg(format!("--hours={HOURS}"));
        if let Some(cell) = self.faulty_cell {
            simulate.arg("--fault=cell-drift").arg(format!("--cell={cell}"));
        }
        simulate.arg(format!("--speed={speed}"));
        simulate
    }

    /// `dir` holds what enrolment gave, and the spool.
    fn config(&self, dir: &Path, cloud: SocketAddr) -> String {
        let model = shell::root().join("models/cell-fault");
        format!(
            r#"vehicle = "{id}"
catalog = {catalog}
models = [{model}]
# The simulation sets the pace.
source = {{ log = {{ path = "-", pace = "max" }} }}

[spool]
dir = {spool}

[uplink]
url = "https://{cloud}"
ca = {ca}
cert = {cert}
key = {key}
"#,
            id = self.id,
            catalog = toml_string(&model.join("catalog-sim.toml")),
            model = toml_string(&model),
            spool = toml_string(&dir.join("spool")),
            ca = toml_string(&dir.join("ca.pem")),
            cert = toml_string(&dir.join("vehicle.pem")),
            key = toml_string(&dir.join("vehicle.key")),
        )
    }
}

impl fmt::Display for Vehicle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: drives {HOURS} simulated hours", self.id)?;
        match self.faulty_cell {
            Some(cell) => write!(f, "; cell {cell} begins to drift"),
            None => f.write_str("; all its cells are well"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_vehicle_of_any_fleet_is_faulty() {
        for (count, faulty) in [(1, "demo-01"), (2, "demo-02"), (3, "demo-02"), (9, "demo-02")] {
            let fleet = fleet(count);
            assert_eq!(fleet.len(), usize::from(count));
            let those: Vec<&str> = fleet.iter().filter(|v| v.fault().is_some()).map(Vehicle::id).collect();
            assert_eq!(those, [faulty]);
        }
    }

    #[test]
    fn only_the_faulty_vehicle_simulates_a_fault() {
        let line = |n: usize| shell::describe(&fleet(3)[n].simulate(Path::new("telltale"), 600));
        assert_eq!(line(0), "telltale simulate --seed=1 --hours=6 --speed=600");
        assert_eq!(line(1), "telltale simulate --seed=2 --hours=6 --fault=cell-drift --cell=42 --speed=600");
    }

    #[test]
    fn odd_characters_in_a_path_stay_inside_their_string() {
        let config = fleet(1)[0].config(Path::new("/tmp/a \"b\\c"), "127.0.0.1:8443".parse().unwrap());
        assert!(config.contains(r#"dir = "/tmp/a \"b\\c/spool""#), "{config}");
        assert!(config.contains("url = \"https://127.0.0.1:8443\""), "{config}");
    }
}
