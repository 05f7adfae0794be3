//! `cargo xtask bench snapshot` and `bench summary`: bytes of what is sent, beside other ways to send the same.
//!
//! The measuring is done by examples of the workbench and of the agent; this finds the recordings for them.

use crate::shell;
use anyhow::Result;
use std::env;
use std::path::PathBuf;

/// Runs the example on a simulated drive and on those recordings that are there. Fails if a sample takes more than
/// promised, or comes out otherwise than it went in.
pub(crate) fn run() -> Result<()> {
    example("telltale-workbench", "snapshot_size")
}

/// The same for the summaries of a day. Fails if a signal takes more bytes a minute than promised.
pub(crate) fn summary() -> Result<()> {
    example("telltale-agent", "summary_size")
}

/// Runs an example that takes logs.
fn example(package: &str, name: &str) -> Result<()> {
    let data =
        env::var_os("TELLTALE_DATA").map_or_else(|| shell::root().join("../shared/data"), PathBuf::from);
    let model = shell::root().join("models/cell-fault");
    let kona = data.join("kona_ev_can");
    let file = |path: PathBuf| path.display().to_string();
    let mut logs = vec![
        vec!["simulated".into(), file(model.join("catalog-sim.toml")), "sim".into()],
        vec![
            "kona-pcan".into(),
            file(kona.join("dbc/pcan.dbc")),
            file(kona.join("230112-7-2019-pcan-ccan-power-off-on-ready-off.csv")),
        ],
        vec![
            "kona-heat".into(),
            file(kona.join("dbc/comp_can.dbc")),
            file(kona.join("250105-1-2020-comp-can-heating.csv")),
        ],
    ];
    for car in ["car2", "car3"] {
        logs.push(vec![
            car.into(),
            file(model.join(format!("catalog-{car}.toml"))),
            file(data.join(format!("ev_cell_faults/{car}_processed.zip"))),
            file(model.join(format!("columns-{car}.toml"))),
            file(model.join("bms.dbc")),
        ]);
    }
    let is_there = |log: &Vec<String>| log[2] == "sim" || PathBuf::from(&log[2]).is_file();
    let (there, absent): (Vec<_>, Vec<_>) = logs.into_iter().partition(is_there);
    for log in absent {
        println!("skipped: {} is not at {} (set TELLTALE_DATA)", log[0], log[2]);
    }
    let mut run = shell::cargo(["run", "--quiet", "--package", package, "--example", name, "--"]);
    run.args(there.iter().map(|log| log.join("=")));
    shell::run(&mut run)
}
