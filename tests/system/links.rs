//! The whole agent while its interfaces go and come, and while it is reloaded: in the vcan machine, with both buses of the
//! simulated vehicle. Every frame that was sent while a bus was there is in the spool's counts, every change of a link is a
//! record, and nothing is lost.

use crate::spooled::{records, summed};
use crate::{rig, uml};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::Duration;
use telltale_wire::agent_event::AgentChange;
use telltale_wire::bus::{BusReport, BusState};
use telltale_wire::record::Record;

/// The script takes 25 seconds; a busy machine several times that.
const LIMIT: Duration = Duration::from_secs(300);

/// Driving before what is played, so that both buses are awake; and the lines that are played, about two seconds.
const SKIPPED: usize = 4_000;
const PLAYED: usize = 400;

const CONFIG: &str = r#"
vehicle = "bench-01"
catalog = "catalog.toml"
models = []
source = "live"
summary_s = 2
spool = { dir = "spool" }
"#;

/// vcan9 is the pack's bus, vcan1 the powertrain's. `both`, `pack` and `one` play the drive on both buses, on
/// the first or on the second. Each play is counted in `plays`, so that what was sent is known outside.
const SCRIPT: &str = r#"
cd "$1"
telltale=$2
ip() { /bin/busybox ip "$@" || { echo "ip $*"; exit 9; }; }
both() { canplayer -I both.log vcan9=can0 vcan1=can1 || exit 4; echo both $1 >>plays; sleep 0.3; }
pack() { canplayer -I pack.log vcan9=can0 || exit 4; echo pack $1 >>plays; sleep 0.3; }
one() { canplayer -I one.log vcan1=can1 || exit 4; echo one $1 >>plays; sleep 0.3; }
"$telltale" run --config telltale.toml 2>agent.log &
agent=$!
until_said "records wait from before"
sleep 0.5
one before
ip link add dev vcan9 type vcan
ip link set vcan9 up
both plugged
"$telltale" status --config telltale.toml --json >status-plugged.json
ip link set vcan9 down
sleep 0.3
one down
ip link set vcan9 up
both up
ip link set vcan1 down
ip link set vcan1 name vcan8
sleep 0.3
pack renamed
ip link set vcan8 name vcan1
ip link set vcan1 up
both named
ip link del vcan9
sleep 0.3
one deleted
"$telltale" status --config telltale.toml --json >status-deleted.json
"$telltale" status --config telltale.toml >status-deleted.txt
"$telltale" top --once --config telltale.toml >top-deleted.txt
ip link add dev vcan9 type vcan
ip link set vcan9 up
both anew
# Reloaded in the middle of a play: a limit of a signal changes, what is heard does not.
(sleep 1; cp catalog-limit.toml catalog.toml; kill -HUP $agent) &
both reloaded
wait $!
until_said "reloaded telltale.toml"
# A catalog that is wrong changes nothing.
echo "schema = 9" >catalog.toml
kill -HUP $agent
until_said "the reload is refused"
both refused
# One more message is asked for.
cp catalog-more.toml catalog.toml
"$telltale" reload --config telltale.toml || exit 5
both more
# Changes of a bus are told eight in a row and then one in half a minute: the ninth, that it is up again, may yet come.
tries=0
until grep "bus bms:" agent.log | tail -n 1 | grep -q "bus bms: active"; do
    tries=$((tries + 1)); [ $tries -lt 600 ] || { echo "bms is not told to be active"; cat agent.log; exit 3; }
    sleep 0.1
done
kill -TERM $agent
wait $agent
status=$?
cat agent.log
exit $status
"#;

/// Asks for a message that the catalog has no signal of.
const MORE: &str = "\n[[signal]]\nvss = \"Vehicle.Powertrain.TractionBattery.DischargeLimit\"\nbus = \"bms\"\n\
    signal = \"DischargeLimit\"\nunit = \"A\"\nstale_ms = 5000\n";

#[test]
fn links_that_go_and_come_and_reloads_lose_no_frame() {
    if let Some(missing) = uml::missing() {
        println!("skipped: {missing}");
        return;
    }
    if !Path::new("/usr/bin/canplayer").exists() {
        println!("skipped: canplayer not found: run sudo apt-get install can-utils");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let [pack, limits, powertrain] = prepare(folder);
    let agent = rig::program("telltale");
    let said = rig::script_in_uml(SCRIPT, &[rig::text(folder), rig::text(&agent)], LIMIT);
    assert!(!said.contains("panicked"), "{said}");

    let plays = fs::read_to_string(folder.join("plays")).unwrap();
    let on = |which: &str| plays.lines().filter(|line| line.starts_with(which)).count() as u64;
    assert_eq!((on("both"), on("pack"), on("one")), (7, 1, 3), "{plays}");
    let records = records(&folder.join("spool"));
    let counts = summed(&records);
    println!("links: {counts:?}");
    // The last play is heard with one message more.
    let sent = 8 * pack + 10 * powertrain + limits;
    assert_eq!((counts.frames, counts.decoded, counts.lost), (sent, sent, 0), "{said}");
    let losses: Vec<&Record> = records.iter().filter(|record| matches!(record, Record::Loss(_))).collect();
    assert!(losses.is_empty(), "{losses:?}");

    told(&records, &said);
    asked(folder);
}

/// The drive, cut to what is played, and the catalogs. Gives the frames of one play that are heard: of the pack's bus, of its
/// limits once they are asked for, and of the powertrain's.
fn prepare(folder: &Path) -> [u64; 3] {
    let sil = rig::root().join("cross/sil");
    fs::copy(sil.join("powertrain.dbc"), folder.join("powertrain.dbc")).unwrap();
    fs::copy(rig::cell_fault().join("bms.dbc"), folder.join("bms.dbc")).unwrap();
    let catalog = fs::read_to_string(sil.join("catalog.toml")).unwrap();
    let catalog = catalog
        .replace("../../models/cell-fault/", "")
        .replace("interface = \"can0\"", "interface = \"vcan9\"")
        .replace("interface = \"can1\"", "interface = \"vcan1\"")
        .replace(", \"vcan1\"]", "]");
    let limit = catalog.replace("low = 2.5", "low = 2.4");
    assert_ne!(limit, catalog);
    fs::write(folder.join("catalog.toml"), &catalog).unwrap();
    fs::write(folder.join("catalog-limit.toml"), &limit).unwrap();
    fs::write(folder.join("catalog-more.toml"), limit + MORE).unwrap();
    fs::write(folder.join("telltale.toml"), CONFIG).unwrap();

    let log = folder.join("drive.log");
    rig::telltale_ok(&["simulate", "--hours", "0.02", "--powertrain", "can1", "-o", rig::text(&log)]);
    let drive = fs::read_to_string(&log).unwrap();
    let played: Vec<&str> = drive.lines().skip(SKIPPED).take(PLAYED).collect();
    let (pack, powertrain): (Vec<&str>, Vec<&str>) = played.iter().partition(|line| line.contains(" can0 "));
    assert!(played.len() == PLAYED && pack.len() > 50 && powertrain.len() > 50, "{}", pack.len());
    fs::write(folder.join("both.log"), played.join("\n") + "\n").unwrap();
    fs::write(folder.join("pack.log"), pack.join("\n") + "\n").unwrap();
    fs::write(folder.join("one.log"), powertrain.join("\n") + "\n").unwrap();
    let heard = |of: &[&str], catalog: &str| {
        let path = folder.join("heard.log");
        fs::write(&path, of.join("\n").replace("can0", "vcan9").replace("can1", "vcan1") + "\n").unwrap();
        rig::replay(&folder.join(catalog), &path)["decoded"].as_u64().unwrap()
    };
    let (few, all) = (heard(&pack, "catalog.toml"), heard(&pack, "catalog-more.toml"));
    assert!(all > few && few > 0, "{few} {all}");
    [few, all - few, heard(&powertrain, "catalog.toml")]
}

/// Each change of a link, and each reload, is a record.
fn told(records: &[Record], said: &str) {
    let mut changes = Vec::new();
    let (mut reloaded, mut refused) = (0, 0);
    for record in records {
        match record {
            Record::Bus(bus) => {
                if let BusReport::Change(change) = &bus.report {
                    assert_eq!(change.suppressed, 0);
                    changes.push((bus.at.mono, bus.bus.as_str(), bus.state, change.why.as_str()));
                }
            }
            Record::Agent(event) => match event.change {
                AgentChange::Reloaded { .. } => reloaded += 1,
                AgentChange::ReloadRefused { .. } => refused += 1,
                _ => {}
            },
            _ => {}
        }
    }
    changes.sort_by_key(|change| change.0);
    println!("links: {changes:?}");
    // An interface that is made, or has its name again, is down for as long as it takes to bring it up.
    let states = |bus: &str| -> Vec<BusState> {
        let of_bus = changes.iter().filter(|change| change.1 == bus && change.2 != BusState::Down);
        of_bus.map(|change| change.2).collect()
    };
    use BusState::{Absent, Active};
    assert_eq!(states("bms"), [Absent, Active, Active, Absent, Active], "{said}");
    assert_eq!(states("powertrain"), [Active, Absent, Active], "{said}");
    for why in [
        "there is no interface vcan9 yet",
        "interface vcan9 is down",
        "interface vcan1 was given another name",
        "interface vcan9 was removed",
    ] {
        assert!(changes.iter().any(|change| change.3 == why), "{why} is not told: {changes:?}");
    }
    assert_eq!((reloaded, refused), (2, 1), "{said}");
}

/// What the running agent says of its buses.
fn asked(folder: &Path) {
    let status = |name: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
    };
    let plugged = status("status-plugged.json");
    let [bms, powertrain] = [&plugged["buses"][0], &plugged["buses"][1]];
    assert_eq!((&bms["state"], &powertrain["state"]), (&"active".into(), &"active".into()));
    assert_eq!((&bms["lost"], &powertrain["lost"], &bms["bitrate"]), (&0.into(), &0.into(), &500_000.into()));
    assert!(bms["frame_age_s"].as_f64().unwrap() < 60.0 && bms["load"].is_f64(), "{bms}");
    let deleted = status("status-deleted.json");
    let bms = &deleted["buses"][0];
    assert_eq!((&bms["state"], &bms["lost"]), (&"interface absent".into(), &Value::Null), "{bms}");
    let page = fs::read_to_string(folder.join("status-deleted.txt")).unwrap();
    assert!(
        page.contains("bms (vcan9) interface absent") && page.contains("powertrain (vcan1) active"),
        "{page}"
    );
    let top = fs::read_to_string(folder.join("top-deleted.txt")).unwrap();
    assert!(top.contains("interface absent"), "{top}");
    println!("{page}");
}
