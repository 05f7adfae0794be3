//! What happens to a vehicle in a long life: the server is gone for a day, the disk is full, read-only, or takes no
//! larger file, the clock is set by a year either way, a segment is damaged. Capture goes on to the end of the drive,
//! what is lost is told number by number, and the rest arrives exactly once.

use crate::bench::{Bench, PATIENCE};
use crate::losses::{Account, losses};
use crate::{rig, uml};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use telltale_wire::record::{LossRecord, LossStage};

/// A whole day is simulated, replayed and synced, on a machine that has other things to do.
const LIMIT: Duration = Duration::from_secs(400);

/// Starts the agent on a small disk of its own and lets everything happen to it in turn. It finds its server in the
/// end. The machine's clock is its own.
const SCRIPT: &str = r#"
cd "$1"
telltale=$2 cloud=$3 port=$4
set_clock() { /bin/busybox date -s "@$(($(date +%s) + $1))" >/dev/null || exit 4; }

/bin/busybox insmod /usr/lib/uml/modules/$(uname -r)/kernel/drivers/block/loop.ko || exit 5
mkdir -p disk && /bin/busybox mount -t ext4 -o loop disk.img disk || exit 6
RUST_LOG=info "$telltale" run --config faults.toml 2>agent.log &
agent=$!
until_said "records wait from before"
sleep 2
say "a clock ahead by a year"; set_clock 31536000
sleep 1
say "a full disk"
dd if=/dev/zero of=disk/ballast bs=4k 2>/dev/null; df disk | tail -1
until_said "No space left on device"
sleep 2
say "a clock back by two years"; set_clock -63072000
rm disk/ballast
sleep 6
say "a read-only disk"
echo u >/proc/sysrq-trigger; sleep 0.5
touch disk/x 2>/dev/null && { echo "the disk is not read-only"; exit 7; }
until_said "Read-only file system"
sleep 2
kill -0 $agent || { echo "the agent is gone"; cat agent.log; exit 8; }
kill -9 $agent; wait $agent
say "a start on a read-only disk"
RUST_LOG=info "$telltale" run --config tail.toml 2>agent2.log &
agent=$!
sleep 3
kill -0 $agent || { echo "the agent is gone"; cat agent2.log; exit 9; }
/bin/busybox mount -o remount,rw disk || exit 10
set_clock 31536000
say "the server"
RUST_LOG=warn "$cloud" serve --pki pki --db fleet.db --listen 127.0.0.1:$port --dashboard 127.0.0.1:0 2>cloud.log &
server=$!
wait $agent
status=$?
grep -c panicked agent.log agent2.log
[ $status = 0 ] || cat agent2.log
kill -TERM $server; wait $server
exit $status
"#;

#[test]
fn a_full_disk_a_read_only_disk_and_a_clock_that_steps() {
    if let Some(missing) = uml::missing() {
        println!("skipped: {missing}");
        return;
    }
    let bench = Bench::new();
    bench.drive("drive.log", "24");
    bench.drive("tail.log", "1");
    // A summary for each second fills the disk within a few seconds.
    bench.configure_on("disk/spool", "faults.toml", "drive.log", "1000", 1);
    bench.configure_on("disk/spool", "tail.toml", "tail.log", "500", 1);
    if !rig::disk_made(&bench.path("disk.img"), "^has_journal", &[], "4M") {
        return;
    }
    let port = bench.port.to_string();
    let [agent, cloud] = ["telltale", "telltale-cloud"].map(rig::program);
    let folder = bench.path("");
    let words = [rig::text(&folder), rig::text(&agent), rig::text(&cloud), &port];
    let said = rig::script_in_uml(SCRIPT, &words, LIMIT);
    println!("{said}");
    for log in ["agent.log", "agent2.log"] {
        let log = fs::read_to_string(bench.path(log)).unwrap();
        assert!(!log.contains("panicked"), "{log}");
    }
    let told = Account::of(&bench);
    assert!(told.by_stage.contains_key("spool write"), "{told:?}");
    assert!(told.frames_of_last_boot > 0, "the agent that started on a read-only disk stored nothing later");
}

#[test]
fn a_day_without_a_server_and_a_damaged_segment() {
    let bench = Bench::new();
    bench.drive("day.log", "24");
    bench.drive("tail.log", "0.02");
    bench.configure("day.toml", "day.log", "max", 10);
    bench.configure("tail.toml", "tail.log", "max", 10);
    let mut agent = bench.agent("day.toml");
    assert!(agent.says_within(LIMIT, "the log has ended"), "{}", agent.said());
    agent.kill9();
    let whole = Path::new(&bench.path("spool")).to_owned();
    let damaged = fs::read_dir(&whole).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = damaged.filter(|path| rig::text(path).contains("/summary-")).collect();
    segments.sort();
    assert!(segments.len() > 1, "a day fills segments: {segments:?}");
    let mut bytes = fs::read(&segments[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0x5a);
    fs::write(&segments[0], bytes).unwrap();

    let mut cloud = bench.cloud();
    assert_eq!(bench.agent("tail.toml").ended(LIMIT).code(), Some(0), "{}", bench.said("tail.toml"));
    cloud.terminate();
    assert_eq!(cloud.ended(PATIENCE).code(), Some(0), "{}", cloud.said());
    Account::of(&bench);
    let fleet = bench.fleet();
    println!("a day: {} records", fleet.records.len());
    let corrupt: Vec<LossRecord> =
        losses(&fleet).into_iter().filter(|loss| loss.stage == LossStage::SpoolCorrupt).collect();
    assert!((1..=4).contains(&corrupt.iter().map(|loss| loss.count).sum::<u64>()), "{corrupt:?}");
    assert!(fleet.records.len() > 3_000, "{}", fleet.records.len());
}

#[test]
fn a_disk_that_takes_no_larger_file_costs_records_and_no_agent() {
    let bench = Bench::new();
    bench.drive("drive.log", "0.2");
    bench.configure("drive.toml", "drive.log", "max", 10);
    let mut cloud = bench.cloud();
    // 100 kB: the cursor fits, a segment does not.
    let limited = format!(
        "ulimit -f 200; exec {} run --config {}",
        rig::program("telltale").display(),
        bench.path("drive.toml").display()
    );
    let output = Command::new("sh").args(["-c", &limited]).output().unwrap();
    assert!(output.status.success(), "{}: {}", output.status, rig::stderr(&output));
    assert_eq!(bench.agent("drive.toml").ended(PATIENCE).code(), Some(0), "{}", bench.said("drive.toml"));
    cloud.terminate();
    assert_eq!(cloud.ended(PATIENCE).code(), Some(0), "{}", cloud.said());
    let told = Account::of(&bench);
    assert!(told.by_stage.get("spool write").is_some_and(|lost| *lost > 50), "{told:?}");
}
