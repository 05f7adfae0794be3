//! Agent and server end without warning, again and again: every record that was durable in the spool arrives
//! exactly once. And the agent's end with warning: SIGTERM.
//!
//! SIGKILL keeps the page cache, so this proves what the programs do, not what the disk does; the cut of power is
//! proven beside the spool itself.

use crate::bench::{Bench, PATIENCE, Records};
use crate::rig;
use std::thread::sleep;
use std::time::{Duration, Instant};
use telltale_wire::record::Record;

const ROUNDS: u32 = 12;

/// How the agent dies depends on this and on the machine's load.
const SEED: u64 = 42;

/// The pace of the drive: two hours in 2.4 s, so that there is always a next record.
const PACE: &str = "3000";

/// How long an agent may go on without its server.
const GRACE: Duration = Duration::from_millis(300);

/// What an agent says if its connection stood and a request was under way.
const LOST_WHILE_SENDING: &str = "sync failed: the connection was lost";

#[test]
fn every_durable_record_arrives_exactly_once_though_both_sides_are_killed() {
    let bench = drives();
    let mut dice = Dice(SEED);
    let mut held = Records::new();
    let (mut full_kills, mut sending_kills) = (0, 0);
    let mut cloud = Some(bench.cloud());
    for round in 1..=ROUNDS {
        let mut agent = bench.agent("drive.toml");
        // Killed in the round before, and late: the agent has met a server that is not there.
        cloud.get_or_insert_with(|| bench.cloud());
        sleep(Duration::from_millis(dice.between(50, 900)));
        if round.is_multiple_of(3) {
            bench.wait_for_a_commit();
            cloud.take().unwrap().kill9();
            sending_kills += usize::from(agent.says_within(GRACE, LOST_WHILE_SENDING));
        }
        let alive = agent.kill9();
        let found = bench.look_into_the_spool(&mut held);
        full_kills += usize::from(alive && found > 0);
        if cloud.is_none() && round.is_multiple_of(2) {
            cloud = Some(bench.cloud());
        }
    }
    let mut cloud = cloud.unwrap_or_else(|| bench.cloud());
    assert_eq!(bench.agent("tail.toml").ended(PATIENCE).code(), Some(0), "{}", bench.said("tail.toml"));
    assert_eq!(bench.look_into_the_spool(&mut held), 0, "the drained spool holds records");
    cloud.terminate();
    assert_eq!(cloud.ended(PATIENCE).code(), Some(0), "{}", cloud.said());

    let fleet = bench.fleet();
    println!(
        "{} records seen in the spool, {} in the cloud, {} came twice; {full_kills} kills with records in the \
         spool, {sending_kills} kills of the server while the agent was sending",
        held.len(),
        fleet.records.len(),
        fleet.duplicates
    );
    fleet.holds_each_once(&held);
    fleet.has_no_gap();
    // What was just proven is worth something only if enough happened.
    assert!(held.len() > 500 && fleet.records.len() > held.len(), "too little happened");
    assert!(full_kills >= 5, "only {full_kills} kills hit an agent with records in its spool");
    assert!(sending_kills >= 1, "no kill of the server hit while the agent was sending");
    assert!(fleet.duplicates > 0, "no acknowledgement was lost: nothing was sent twice");
}

#[test]
fn sigterm_ends_the_agent_within_three_seconds_with_everything_durable() {
    let bench = drives();
    // One summary for the whole drive: it exists only if the agent closed it at the signal, and the server that
    // would take it is not there.
    let mut agent = bench.agent("one-summary.toml");
    sleep(Duration::from_millis(500));
    agent.terminate();
    let asked = Instant::now();
    let status = agent.ended(PATIENCE);
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(0), "{}", agent.said());
    assert!(took < Duration::from_secs(3), "it took {took:?}:\n{}", agent.said());
    assert!(agent.said().contains("every record is durable"), "{}", agent.said());

    let mut held = Records::new();
    bench.look_into_the_spool(&mut held);
    let records: Vec<Record> = held.values().map(|raw| raw.parse().unwrap()).collect();
    assert!(records.iter().any(|record| matches!(record, Record::Boot(_))), "{records:?}");
    let frames: Vec<u64> = records
        .iter()
        .filter_map(|record| match record {
            Record::Summary(summary) => Some(summary.counts.frames),
            _ => None,
        })
        .collect();
    assert!(matches!(frames[..], [frames] if frames > 1_000), "{frames:?}\n{}", agent.said());
}

#[test]
fn a_second_agent_is_kept_out_of_the_spool_and_told_why() {
    let bench = drives();
    let mut first = bench.agent("one-summary.toml");
    let said = rig::telltale_fails(&["run", "--config", rig::text(&bench.path("one-summary.toml"))]);
    let spool = bench.path("spool");
    assert!(said.contains(&format!("{} is in use by another agent", spool.display())), "{said}");
    first.terminate();
    assert_eq!(first.ended(PATIENCE).code(), Some(0), "the first did not go on: {}", first.said());
}

/// A bench with a long drive and a short one.
fn drives() -> Bench {
    let bench = Bench::new();
    bench.drive("drive.log", "2");
    bench.drive("tail.log", "0.02");
    bench.configure("drive.toml", "drive.log", PACE, 2);
    bench.configure("tail.toml", "tail.log", "max", 2);
    bench.configure("one-summary.toml", "drive.log", PACE, 86_400);
    bench
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        low + (z ^ (z >> 31)) % (high - low)
    }
}
