//! The demo's vehicles: who they are, what drifts in one of them, which one charges, and how their agent is configured.

use super::children::{Children, Workspace};
use super::toml_string;
use crate::shell;
use anyhow::{Context as _, Result};
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Hours that each vehicle drives.
const HOURS: u32 = 6;
/// The cell that drifts.
const FAULTY_CELL: u32 = 42;
/// What a new cell of the simulated pack holds, in ampere hours.
const NEW_AH: f64 = 121.0;
/// The vehicle that charges: an aged pack on a warm morning, at the fast charger before it drives. The model of the
/// simulated pack says nothing of charges below 16 degrees or that begin with more in the pack.
const CHARGES: &str = r#"
[pack]
charge = 0.58
age_years = 6.0
cycles = 600.0
[thermal]
ambient_c = 24.0
[usage]
plan = ["idle:300", "dc-charge", "idle:600", "urban:2400", "park:900", "suburban:3600", "park:1200", "rural:3600", "idle:9000"]
"#;

/// One vehicle of the demo.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Vehicle {
    id: String,
    seed: u32,
    faulty_cell: Option<u32>,
    charges: bool,
}

/// So many vehicles; in the second (the first, if it is alone) a cell drifts, and the first charges if it is not alone.
pub(super) fn fleet(count: u8) -> Vec<Vehicle> {
    let faulty = u32::from(count.min(2));
    let vehicle = |n| Vehicle {
        id: format!("demo-{n:02}"),
        seed: n,
        faulty_cell: (n == faulty).then_some(FAULTY_CELL),
        charges: n == 1 && n != faulty,
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

    /// Whether a charge should show its cells' state of health.
    pub(super) const fn charges(&self) -> bool {
        self.charges
    }

    /// The middle of its cells' states of health by the simulator's own account, as a share; once it has begun.
    pub(super) fn health(&self, workspace: &Workspace) -> Option<f64> {
        let cells: serde_json::Value = serde_json::from_slice(&fs::read(self.cells(workspace)).ok()?).ok()?;
        let held = cells.as_array()?.iter().filter_map(|cell| Some(cell["capacity_ah"].as_f64()? / NEW_AH));
        middle(held.collect())
    }

    fn cells(&self, workspace: &Workspace) -> PathBuf {
        workspace.path(format!("{}.cells.json", self.id))
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
        let mut simulate = self.simulate(telltale, speed);
        if self.charges {
            let spec = workspace.path(format!("{}.vehicle.toml", self.id));
            fs::write(&spec, CHARGES).with_context(|| format!("{} cannot be written", spec.display()))?;
            simulate.arg("--spec").arg(spec).arg("--cells").arg(self.cells(workspace));
        }
        children.start_pipe(&self.id, simulate, run, workspace.log(&self.id)?)
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
        let models = shell::root().join("models");
        let model = models.join("cell-fault");
        format!(
            r#"vehicle = "{id}"
catalog = {catalog}
models = [{model}, {health}]
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
            health = toml_string(&models.join("state-of-health-sim")),
            spool = toml_string(&dir.join("spool")),
            ca = toml_string(&dir.join("ca.pem")),
            cert = toml_string(&dir.join("vehicle.pem")),
            key = toml_string(&dir.join("vehicle.key")),
        )
    }
}

/// The median; `None` of nothing.
pub(super) fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

impl fmt::Display for Vehicle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: drives {HOURS} simulated hours", self.id)?;
        match self.faulty_cell {
            Some(cell) => write!(f, "; cell {cell} begins to drift"),
            None if self.charges => f.write_str("; charges first, and all its cells are well"),
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
            let charging: Vec<&str> = fleet.iter().filter(|v| v.charges()).map(Vehicle::id).collect();
            assert_eq!(
                charging,
                if count > 1 { vec!["demo-01"] } else { vec![] },
                "and never the faulty one"
            );
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
