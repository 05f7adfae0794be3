//! A quota that is used up (`EDQUOT`, quotactl(2)) on a disk that is not full: capture goes on to the end of the drive,
//! what is lost is told, and the rest arrives exactly once.

use crate::bench::Bench;
use crate::losses::Account;
use crate::{rig, uml};
use std::fs;
use std::time::Duration;

/// Hours are simulated, replayed and synced, on a machine that has other things to do.
const LIMIT: Duration = Duration::from_secs(400);

/// Starts the agent on a disk with room, gives its user less than it wants for a while, and then the server. The agent
/// runs without the capability by which root is above quotas. `limit` is Q_SETQUOTA of a `struct if_dqblk`, in KiB.
const SCRIPT: &str = r#"
cd "$1"
telltale=$2 cloud=$3 port=$4
limit() {
    perl -e 'my $limit = pack("Q8 L x4", $ARGV[1], $ARGV[1], 0, 0, 0, 0, 0, 0, 1);
        syscall(179, 0x80000800, $ARGV[0], 0, $limit) == 0 or die "quotactl: $!\n";' "$device" "$1" || exit 4
}

modules=/usr/lib/uml/modules/$(uname -r)/kernel
for module in drivers/block/loop fs/quota/quota_tree fs/quota/quota_v2; do
    /bin/busybox insmod $modules/$module.ko || exit 5
done
mkdir -p disk && /bin/busybox mount -t ext4 -o loop,usrquota disk.img disk || exit 6
device=$(while read -r what where rest; do case $where in */disk) echo "$what" ;; esac; done </proc/mounts)
RUST_LOG=info setpriv --bounding-set=-sys_resource "$telltale" run --config quota.toml 2>agent.log &
agent=$!
until_said "records wait from before"
sleep 2
say "a quota of what is used and 400 KiB more"
limit $(($(du -sk disk | cut -f1) + 400))
until_said "Disk quota exceeded"
sleep 3
df -k disk | tail -1
kill -0 $agent || { echo "the agent is gone"; cat agent.log; exit 8; }
say "no quota"; limit 0
sleep 6
say "the server"
RUST_LOG=warn "$cloud" serve --pki pki --db fleet.db --listen 127.0.0.1:$port --dashboard 127.0.0.1:0 2>cloud.log &
server=$!
wait $agent
status=$?
[ $status = 0 ] || cat agent.log
kill -TERM $server; wait $server
exit $status
"#;

#[test]
fn a_quota_that_is_used_up_costs_records_and_no_agent() {
    if let Some(missing) = uml::missing() {
        println!("skipped: {missing}");
        return;
    }
    let bench = Bench::new();
    bench.drive("drive.log", "6");
    bench.configure_on("disk/spool", "quota.toml", "drive.log", "600", 1);
    if !rig::disk_made(&bench.path("disk.img"), "quota,^has_journal", &["-E", "quotatype=usrquota"], "64M") {
        return;
    }
    let port = bench.port.to_string();
    let [agent, cloud] = ["telltale", "telltale-cloud"].map(rig::program);
    let folder = bench.path("");
    let words = [rig::text(&folder), rig::text(&agent), rig::text(&cloud), &port];
    let said = rig::script_in_uml(SCRIPT, &words, LIMIT);
    println!("{said}");
    let log = fs::read_to_string(bench.path("agent.log")).unwrap();
    assert!(log.contains("Disk quota exceeded") && !log.contains("panicked"), "{log}");
    let told = Account::of(&bench);
    assert!(told.by_stage.get("spool write").is_some_and(|lost| *lost > 50), "{told:?}");
    assert!(told.frames_of_last_boot > 0, "{told:?}");
}
