//! The whole agent on a real bus: in the vcan machine, `telltale run` reads what `canplayer` sends, and at its end
//! every frame of the drive is accounted for in its spool.

use crate::{rig, uml};
use std::fs;
use std::path::Path;
use std::time::Duration;
use telltale_agent::files::Directory;
use telltale_core::spool::{BatchLimits, Spool, SpoolConfig};
use telltale_wire::ids::BootId;
use telltale_wire::record::{Counts, Record};
use telltale_wire::sync::Ack;
use telltale_wire::time::{MonoTime, Stamp};

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
tries=0
until grep -q "records wait from before" agent.log; do
    tries=$((tries + 1)); [ $tries -lt 300 ] || { cat agent.log; exit 3; }
    sleep 0.1
done
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

/// What the summaries among the records count together.
pub(crate) fn summed(records: &[Record]) -> Counts {
    let mut sum = Counts::default();
    for record in records {
        if let Record::Summary(summary) = record {
            sum.frames += summary.counts.frames;
            sum.decoded += summary.counts.decoded;
            sum.samples += summary.counts.samples;
            sum.lost += summary.counts.lost;
        }
    }
    sum
}

/// Every record of a spool, lane by lane.
pub(crate) fn records(spool: &Path) -> Vec<Record> {
    let now = Stamp { mono: MonoTime(0), wall: None };
    let files = Directory::lock(spool).unwrap();
    let (mut spool, report) =
        Spool::open(files, SpoolConfig::default(), BootId::new(u32::MAX, 0), now).unwrap();
    assert_eq!(report.losses, []);
    let mut records = Vec::new();
    loop {
        let batches = spool.next_batch(now, BatchLimits { records: 1_000, bytes: 1_000_000 });
        if batches.is_empty() {
            return records;
        }
        records.extend(batches.iter().flat_map(|batch| &batch.records).map(|raw| raw.parse().unwrap()));
        let ack = |b: &telltale_wire::sync::Batch| Ack {
            boot: b.boot,
            lane: b.lane,
            through: b.last_seq().unwrap(),
        };
        spool.ack(now, &batches.iter().map(ack).collect::<Vec<_>>());
    }
}
