//! The main job on real input: two electric cars' recordings go onto CAN, through the agent, and the verdicts name
//! the cells that their battery management system later warned of, and no other.

use crate::rig;
use serde_json::Value;
use std::path::Path;

fn replayed(car: &str, folder: &Path) -> Option<Value> {
    let data = rig::recordings("ev_cell_faults")?;
    let csv = folder.join("car.csv");
    rig::unzip(&data.join(format!("{car}_processed.zip")), &csv);
    let log = folder.join("car.log");
    let model = rig::cell_fault();
    rig::telltale_ok(&[
        "encode",
        "--dbc",
        rig::text(&model.join("bms.dbc")),
        "--columns",
        rig::text(&model.join(format!("columns-{car}.toml"))),
        rig::text(&csv),
        "-o",
        rig::text(&log),
    ]);
    let report = rig::replay(&model.join(format!("catalog-{car}.toml")), &log);
    println!("{car}: {report}");
    Some(report)
}

fn every_frame_is_accounted_for(report: &Value) {
    let n = |key: &str| report[key].as_u64().unwrap();
    assert!(n("frames") > 100_000, "{report}");
    assert_eq!(n("decoded") + n("filtered") + n("unknown") + n("malformed"), n("frames"));
    assert_eq!((n("unknown"), n("malformed"), n("lost"), n("bad_lines")), (0, 0, 0, 0));
    assert!(n("windows") > 500, "{report}");
}

#[test]
fn car2_names_cell_82_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let Some(report) = replayed("car2", folder.path()) else { return };
    every_frame_is_accounted_for(&report);
    assert_eq!(rig::subjects(&report), ["Cell82"]);
    // Its battery management system first warned at level 3 on 2019-05-10.
    let event = &report["events"][0];
    assert!(event["at"].as_str().unwrap() < "2019-05-10", "{event}");
    let evidence = &event["evidence"][0];
    assert!(evidence["what"].as_str().unwrap().contains("Cell82"), "{evidence}");
    let below = evidence["reference"].as_f64().unwrap() - evidence["value"].as_f64().unwrap();
    assert!((0.01..0.2).contains(&below), "the cell stands {below} V below the pack: {evidence}");
}

#[test]
fn car3_names_cells_2_and_81_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let Some(report) = replayed("car3", folder.path()) else { return };
    every_frame_is_accounted_for(&report);
    let mut subjects = rig::subjects(&report);
    subjects.sort();
    assert_eq!(subjects, ["Cell2", "Cell81"]);
}
