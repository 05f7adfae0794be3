//! What goes when a lane is full: the policies, the line's budget, and that each drop is told once.

use super::super::*;
use crate::storage::disk::Disk;
use telltale_wire::record::LostRange;

const ALL: BatchLimits = BatchLimits { records: 2_000, bytes: 1_000_000 };
/// Three segments of the bulk lane.
const CAP: u64 = 96 * 1024;
const SEGMENT: u64 = 32 * 1024;
/// With its overhead, so many records of 1,000 bytes fit a segment.
const IN_SEGMENT: u64 = 32;

fn at(seconds: u64) -> Stamp {
    Stamp { mono: MonoTime(seconds * 1_000_000), wall: None }
}

fn open(disk: &Disk, boot: u32, policy: DropPolicy, cap: u64) -> (Spool<Disk>, OpenReport) {
    let (segment_len, lane_caps, drop) = (SEGMENT, [1 << 20, CAP, CAP, cap], [policy; 4]);
    let config = SpoolConfig { segment_len, lane_caps, drop, ..SpoolConfig::default() };
    Spool::open(disk.clone(), config, BootId::new(boot, 9), at(0)).unwrap()
}

/// Appends; gives how many were refused.
fn fill(spool: &mut Spool<Disk>, lane: Lane, count: u64) -> usize {
    let raw = RawRecord { kind: 900, body: vec![7; 1_000] };
    let refused = (0..count).filter(|n| {
        let now = at(n / 100);
        let refused = spool.append_raw(now, lane, &raw).is_err();
        if spool.next_sync_deadline().is_some_and(|due| due <= now.mono) {
            spool.sync(now);
        }
        refused
    });
    refused.count()
}

/// What is in the lane, and what is told as lost of it, in order.
fn contents(spool: &mut Spool<Disk>, lane: Lane) -> (Vec<u64>, Vec<(LossStage, LostRange)>) {
    let batches = spool.next_batch(at(99), ALL);
    let of_lane = batches.iter().filter(|b| b.lane == lane);
    let numbers = of_lane.flat_map(|b| b.first_seq.0..=b.last_seq().unwrap().0).collect();
    let records = batches.iter().flat_map(|b| &b.records);
    let losses = records.filter_map(|raw| match raw.parse() {
        Ok(Record::Loss(loss)) => Some((loss.stage, loss.range?)),
        _ => None,
    });
    (numbers, losses.collect())
}

/// Each of `1..=last` is here or told, and none both.
fn is_whole(numbers: &[u64], losses: &[(LossStage, LostRange)], last: u64) {
    for seq in 1..=last {
        let told = losses.iter().filter(|(_, r)| (r.first.0..=r.last.0).contains(&seq)).count();
        assert_eq!(told + numbers.iter().filter(|n| **n == seq).count(), 1, "{seq}: {losses:?}");
    }
}

#[test]
fn a_lane_that_keeps_its_oldest_records_turns_new_ones_away_and_tells_them_together() {
    let disk = Disk::new(1);
    let mut spool = open(&disk, 1, DropPolicy::Newest, CAP).0;
    let refused = fill(&mut spool, Lane::Bulk, 200) as u64;
    assert_eq!(refused, 200 - 3 * IN_SEGMENT);
    spool.flush(at(3));
    let (numbers, losses) = contents(&mut spool, Lane::Bulk);
    assert_eq!(numbers, (1..=3 * IN_SEGMENT).collect::<Vec<_>>());
    assert_eq!(losses.len(), 1, "{losses:?}");
    assert_eq!(losses[0].0, LossStage::SpoolCap);
    is_whole(&numbers, &losses, 200);
    // Room again: the lane takes records again, and nothing between is told twice at the next start.
    let ack = Ack { boot: spool.boot(), lane: Lane::Bulk, through: Seq(2 * IN_SEGMENT) };
    spool.ack(at(99), &[ack]);
    assert_eq!(fill(&mut spool, Lane::Bulk, 10), 0);
    spool.flush(at(4));
    drop(spool);
    let (mut spool, report) = open(&disk, 2, DropPolicy::Newest, CAP);
    assert_eq!(report.losses, []);
    let (numbers, losses) = contents(&mut spool, Lane::Bulk);
    assert_eq!((numbers[0], *numbers.last().unwrap()), (2 * IN_SEGMENT + 1, 210));
    assert_eq!(losses.len(), 1);
}

#[test]
fn a_lane_that_is_thinned_out_covers_its_whole_time_with_holes_that_are_told() {
    let disk = Disk::new(1);
    let cap = 8 * SEGMENT;
    let mut spool = open(&disk, 1, DropPolicy::Thin(3), cap).0;
    let last = 20 * IN_SEGMENT;
    assert_eq!(fill(&mut spool, Lane::Bulk, last), 0);
    spool.flush(at(9));
    let (numbers, losses) = contents(&mut spool, Lane::Bulk);
    is_whole(&numbers, &losses, last);
    assert_eq!(numbers[0], 1, "the oldest segment is one of those that stay");
    let mut holes = numbers.windows(2).filter(|pair| pair[1] - pair[0] > 1).map(|pair| pair[1] - pair[0] - 1);
    assert_eq!(holes.next(), Some(2 * IN_SEGMENT), "two of three segments go");
    let critical = 2 * SEGMENT;
    assert!(spool.stats().disk_bytes <= cap + critical);
    // The loss records are delivered and gone; at the next start the holes are still known for what they are.
    let ack = Ack {
        boot: spool.boot(),
        lane: Lane::Critical,
        through: spool.durable_through(Lane::Critical).unwrap(),
    };
    spool.ack(at(9), &[ack]);
    spool.flush(at(9));
    drop(spool);
    let (mut spool, report) = open(&disk, 2, DropPolicy::Thin(3), cap);
    assert_eq!(report.losses, [], "nothing is told twice");
    assert_eq!(contents(&mut spool, Lane::Bulk).0, numbers);
}

#[test]
fn what_the_cap_costs_while_the_budget_lets_a_lane_wait_is_told_as_the_budgets() {
    let disk = Disk::new(1);
    let mut spool = open(&disk, 1, DropPolicy::Oldest, CAP).0;
    let wait = Allowance { limits: ALL, lanes: [usize::MAX, usize::MAX, usize::MAX, 0] };
    fill(&mut spool, Lane::Summary, 10);
    spool.flush(at(1));
    let batches = spool.next_batch(at(1), wait);
    assert_eq!(batches.iter().map(|b| b.lane).collect::<Vec<_>>(), [Lane::Summary]);
    fill(&mut spool, Lane::Bulk, 200);
    fill(&mut spool, Lane::Summary, 200);
    spool.flush(at(9));
    let losses = contents(&mut spool, Lane::Bulk).1;
    assert!(losses.iter().any(|(_, range)| range.lane == Lane::Summary));
    for (stage, range) in losses {
        let expected = if range.lane == Lane::Bulk { LossStage::Budget } else { LossStage::SpoolCap };
        assert_eq!(stage, expected, "{range:?}");
    }
}

#[test]
fn a_lane_goes_as_far_as_its_bytes_and_the_next_one_follows() {
    let disk = Disk::new(1);
    let mut spool = open(&disk, 1, DropPolicy::Oldest, CAP).0;
    for lane in [Lane::Bulk, Lane::Status, Lane::Summary] {
        fill(&mut spool, lane, 10);
    }
    spool.flush(at(9));
    let lanes = [usize::MAX, 3_500, 1, usize::MAX];
    let batches = spool.next_batch(at(9), Allowance { limits: ALL, lanes });
    let sent: Vec<(Lane, usize)> = batches.iter().map(|b| (b.lane, b.records.len())).collect();
    // However little a lane has left, one record goes.
    assert_eq!(sent, [(Lane::Status, 3), (Lane::Summary, 1), (Lane::Bulk, 10)]);
    let little = BatchLimits { records: 14, bytes: 1_000_000 };
    let sent: usize = spool.next_batch(at(9), little).iter().map(|b| b.records.len()).sum();
    assert_eq!(sent, 14);
}
