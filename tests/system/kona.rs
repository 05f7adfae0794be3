//! A real car's bus as it is: every frame of a Hyundai Kona log is accounted for, and its state of charge is read.

use crate::rig;
use std::fs;

pub(crate) const LOG: &str = "230112-7-2019-pcan-ccan-power-off-on-ready-off.csv";

#[test]
fn every_frame_of_the_kona_log_is_accounted_for() {
    let Some(data) = rig::recordings("kona_ev_can") else { return };
    let folder = tempfile::tempdir().unwrap();
    let dbc = folder.path().join("pcan.dbc");
    fs::copy(data.join("dbc/pcan.dbc"), &dbc).unwrap();
    let catalog = folder.path().join("catalog.toml");
    fs::write(&catalog, rig::telltale_ok(&["catalog", "init", "--dbc", rig::text(&dbc)])).unwrap();

    let report = rig::replay(&catalog, &data.join(LOG));
    println!("kona: {report}");
    let n = |key: &str| report[key].as_u64().unwrap();
    let lines = fs::read_to_string(data.join(LOG)).unwrap().lines().count() as u64;
    assert_eq!(n("frames"), lines - 1, "every line after the header is a frame");
    assert_eq!(n("decoded") + n("filtered") + n("unknown") + n("malformed"), n("frames"));
    assert_eq!((n("lost"), n("bad_lines")), (0, 0));
    assert!(n("decoded") > n("frames") / 2, "{report}");
    assert!(n("samples") > n("decoded"), "{report}");
}
