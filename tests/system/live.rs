//! The whole agent on a real bus: in the vcan machine, `telltale run` reads what `canplayer` sends, and at its end
//! every frame of the drive is accounted for in its spool.

use crate::spooled::{records, summed};
use crate::{rig, uml};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The drive takes nine seconds of real time; a busy machine several times that.
const LIMIT: Duration = Duration::from_secs(180);

/// Nine seconds of driving.
const HOURS: &str = "0.0025";

const CONFIG: &str = r#"
vehicle = "bench-01"
catalog = "catalog.toml"
models = ["."]
source = "live"
summary_s = 2
spool = { dir = "spool" }
"#;

/// Starts the agent, waits until it listens, plays the drive, and ends the agent as systemd would.
const SCRIPT: &str = r#"
cd "$1"
"$2" run --config telltale.toml 2>agent.log &
agent=$!
until_said "records wait from before"
sleep 0.5
canplayer -I drive.log vcan0=can0 || exit 4
sleep 0.5
kill -TERM $agent
wait $agent
status=$?
cat agent.log
exit $status
"#;

#[test]
fn the_agent_accounts_for_every_frame_of_a_live_bus() {
    if let Some(missing) = uml::missing() {
        println!("skipped: {missing}");
        return;
    }
    if !Path::new("/usr/bin/canplayer").exists() {
        println!("skipped: canplayer not found: run sudo apt-get install can-utils");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let sent = prepare(folder.path());
    let agent = rig::program("telltale");
    let said = rig::script_in_uml(SCRIPT, &[rig::text(folder.path()), rig::text(&agent)], LIMIT);

    let counts = summed(&records(&folder.path().join("spool")));
    println!("live: {counts:?}");
    assert_eq!((counts.frames, counts.decoded, counts.lost), (sent, sent, 0), "{said}");
    assert!(counts.samples > sent, "{counts:?}");
}

/// A catalog whose bus is vcan0, the model beside it, and a drive; gives the frames of the drive that are to be heard.
fn prepare(folder: &Path) -> u64 {
    for entry in fs::read_dir(rig::cell_fault()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    let catalog = fs::read_to_string(folder.join("catalog-sim.toml")).unwrap();
    let live = catalog.replace("interface = \"can0\"", "interface = \"vcan0\"");
    assert_ne!(live, catalog);
    fs::write(folder.join("catalog.toml"), live).unwrap();
    fs::write(folder.join("telltale.toml"), CONFIG).unwrap();
    let log = folder.join("drive.log");
    rig::telltale_ok(&["simulate", "--hours", HOURS, "-o", rig::text(&log)]);
    rig::heard(&fs::read_to_string(log).unwrap()).count() as u64
}
