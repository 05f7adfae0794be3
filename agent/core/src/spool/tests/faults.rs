//! Damage, caps, a full and a failing disk, and acknowledgements, one at a time.

use super::super::*;
use crate::storage::disk::{Disk, Faults};
use telltale_wire::record::LostRange;

const NOW: Stamp = Stamp { mono: MonoTime(0), wall: None };
const ALL: BatchLimits = BatchLimits { records: 2_000, bytes: 1_000_000 };

fn boot(n: u32) -> BootId {
    BootId::new(n, 9)
}

fn config() -> SpoolConfig {
    SpoolConfig { segment_len: 32 * 1024, lane_caps: [96 * 1024; 4], ..SpoolConfig::default() }
}

fn open(disk: &Disk, n: u32) -> (Spool<Disk>, OpenReport) {
    Spool::open(disk.clone(), config(), boot(n), NOW).unwrap()
}

fn raw(len: usize) -> RawRecord {
    RawRecord { kind: 900, body: vec![7; len] }
}

fn fill(spool: &mut Spool<Disk>, lane: Lane, count: usize, len: usize) {
    for _ in 0..count {
        spool.append_raw(NOW, lane, &raw(len)).unwrap();
    }
    spool.flush(NOW);
}

fn numbers(batches: &[Batch], lane: Lane) -> Vec<u64> {
    let of_lane = batches.iter().filter(|b| b.lane == lane);
    of_lane.flat_map(|b| b.first_seq.0..=b.last_seq().unwrap().0).collect()
}

fn losses(batches: &[Batch]) -> Vec<LossRecord> {
    let records = batches.iter().flat_map(|b| &b.records);
    records
        .filter_map(|raw| if let Ok(Record::Loss(loss)) = raw.parse() { Some(loss) } else { None })
        .collect()
}

#[test]
fn a_change_of_any_byte_of_a_segment_is_accounted_for() {
    let disk = Disk::new(1);
    let mut spool = open(&disk, 1).0;
    fill(&mut spool, Lane::Status, 5, 30);
    let name = disk.names().into_iter().find(|name| name.starts_with("status")).unwrap();
    let used = disk.bytes(&name).iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for at in 0..used {
        let damaged = disk.copy();
        damaged.flip(&name, at);
        let (mut spool, report) = open(&damaged, 2);
        let found = numbers(&spool.next_batch(NOW, ALL), Lane::Status);
        let lost: Vec<LostRange> = report.losses.iter().filter_map(|loss| loss.range).collect();
        for seq in 1..=5 {
            let is_lost = lost.iter().any(|r| (r.first.0..=r.last.0).contains(&seq));
            assert!(found.contains(&seq) != is_lost, "byte {at}: record {seq} found and lost, or neither");
        }
        // The header's damage alone costs nothing, for the file's name says the same.
        assert_eq!(report.losses.is_empty(), at < HEADER_LEN, "byte {at}");
    }
}

#[test]
fn damage_while_running_is_accounted_for_once() {
    let disk = Disk::new(1);
    let mut spool = open(&disk, 1).0;
    fill(&mut spool, Lane::Summary, 5, 100);
    let name = disk.names().into_iter().find(|name| name.starts_with("summary")).unwrap();
    disk.flip(&name, HEADER_LEN + 2 * (ENTRY_OVERHEAD + 104));
    for _ in 0..3 {
        assert_eq!(numbers(&spool.next_batch(NOW, ALL), Lane::Summary), [1, 2, 4, 5]);
        spool.sync(NOW);
    }
    let told = losses(&spool.next_batch(NOW, ALL));
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].stage, told[0].count), (LossStage::SpoolCorrupt, 1));
    assert_eq!(told[0].range, Some(ledger::range(boot(1), Lane::Summary, 3, 3)));
}

#[test]
fn the_cursor_has_a_whole_slot_before_anything_is_stored() {
    let disk = Disk::new(1);
    let mut spool = open(&disk, 1).0;
    assert!(cursor::Cursor::read(&disk.bytes(cursor::NAME)).is_some());
    // The next write of it is torn by a cut: a number that was refused must still show as missing.
    disk.set_faults(Faults { fail_one_in: 1, ..Faults::default() });
    spool.append_raw(NOW, Lane::Status, &raw(9)).unwrap_err();
    disk.set_faults(Faults::default());
    spool.broken_until = None;
    spool.append_raw(NOW, Lane::Status, &raw(9)).unwrap();
    spool.sync_lane(NOW, Lane::Status);
    drop(spool);
    disk.flip(cursor::NAME, 0);
    let report = open(&disk, 2).1;
    assert!(
        report.losses.iter().any(|l| l.range == Some(ledger::range(boot(1), Lane::Status, 1, 1))),
        "{report:?}"
    );
}

#[test]
fn the_cap_drops_the_oldest_and_says_which() {
    let disk = Disk::new(1);
    let mut spool = open(&disk, 1).0;
    fill(&mut spool, Lane::Bulk, 200, 1_000);
    let batches = spool.next_batch(NOW, ALL);
    let (kept, told) = (numbers(&batches, Lane::Bulk), losses(&batches));
    let lost: u64 = told.iter().map(|loss| loss.count).sum();
    assert!(told.iter().all(|loss| loss.stage == LossStage::SpoolCap));
    assert_eq!(kept, (lost + 1..=200).collect::<Vec<_>>());
    assert!(lost > 0 && kept.len() > 60, "{lost} lost");
    let on_disk: usize =
        disk.names().iter().filter(|n| n.starts_with("bulk")).map(|n| disk.bytes(n).len()).sum();
    assert!(on_disk as u64 <= config().lane_caps[3]);
    assert_eq!(spool.stats().lost, lost);
}

#[test]
fn a_full_disk_costs_bulk_first_and_capture_goes_on() {
    let disk = Disk::new(1);
    let mut spool = open(&disk, 1).0;
    fill(&mut spool, Lane::Bulk, 60, 1_000);
    disk.set_faults(Faults { capacity: Some(5 * 32 * 1024), ..Faults::default() });
    fill(&mut spool, Lane::Summary, 40, 1_000);
    let batches = spool.next_batch(NOW, ALL);
    let told = losses(&batches);
    assert!(
        told.iter().all(|l| l.stage == LossStage::SpoolWrite && l.range.unwrap().lane == Lane::Bulk),
        "{told:?}"
    );
    assert!(!told.is_empty());
    assert_eq!(numbers(&batches, Lane::Summary).len(), 40);
}

#[test]
fn a_dead_disk_is_not_asked_at_every_record_and_all_is_told_when_it_lives() {
    let disk = Disk::new(1);
    let mut spool = open(&disk, 1).0;
    fill(&mut spool, Lane::Status, 3, 10);
    disk.set_faults(Faults { fail_one_in: 1, ..Faults::default() });
    let before = disk.operations();
    for _ in 0..1_000 {
        let refused = spool.append_raw(NOW, Lane::Status, &raw(10));
        assert!(matches!(refused, Err(AppendError::Lost { lane: Lane::Status, .. })));
    }
    assert!(disk.operations() - before < 10);
    disk.set_faults(Faults::default());
    let later = Stamp { mono: MonoTime(0).plus(RETRY_AFTER), wall: None };
    assert!(spool.next_sync_deadline().is_some_and(|due| due <= later.mono));
    spool.append_raw(later, Lane::Status, &raw(10)).unwrap();
    spool.flush(later);
    let batches = spool.next_batch(later, ALL);
    assert_eq!(numbers(&batches, Lane::Status), [1, 2, 3, 1_004]);
    let told = losses(&batches);
    assert_eq!(told.iter().map(|loss| loss.count).sum::<u64>(), 1_000);
    assert_eq!(told.last().unwrap().range, Some(ledger::range(boot(1), Lane::Status, 4, 1_003)));
}

#[test]
fn only_durable_records_are_handed_out_and_commits_are_grouped() {
    let disk = Disk::new(1);
    let mut spool = open(&disk, 1).0;
    for n in 1..=9 {
        spool.append_raw(NOW, Lane::Summary, &raw(10)).unwrap();
        spool.sync(NOW);
        assert!(spool.next_batch(NOW, ALL).is_empty(), "record {n} was handed out before its sync");
    }
    assert_eq!(spool.next_sync_deadline(), Some(MonoTime(5_000_000)));
    spool.append_raw(NOW, Lane::Summary, &raw(10)).unwrap();
    spool.sync(NOW);
    assert_eq!(numbers(&spool.next_batch(NOW, ALL), Lane::Summary).len(), 10);
    assert_eq!(spool.stats().commits, 1);
    spool.append_raw(NOW, Lane::Critical, &raw(10)).unwrap();
    assert_eq!(spool.next_sync_deadline(), Some(MonoTime(0)), "a critical record is due at once");
}

#[test]
fn batches_go_by_lane_then_by_age_within_their_limits() {
    let disk = Disk::new(1);
    let mut spool = open(&disk, 1).0;
    fill(&mut spool, Lane::Bulk, 3, 10);
    fill(&mut spool, Lane::Status, 3, 10);
    drop(spool);
    let mut spool = open(&disk, 2).0;
    fill(&mut spool, Lane::Status, 3, 10);
    let order =
        |batches: &[Batch]| batches.iter().map(|b| (b.lane, b.boot, b.records.len())).collect::<Vec<_>>();
    let all = spool.next_batch(NOW, ALL);
    assert_eq!(
        order(&all),
        [(Lane::Status, boot(1), 3), (Lane::Status, boot(2), 3), (Lane::Bulk, boot(1), 3)]
    );
    let some = spool.next_batch(NOW, BatchLimits { records: 4, ..ALL });
    assert_eq!(order(&some), [(Lane::Status, boot(1), 3), (Lane::Status, boot(2), 1)]);
    let bytes = spool.next_batch(NOW, BatchLimits { records: 9, bytes: 1 });
    assert_eq!(order(&bytes), [(Lane::Status, boot(1), 1)], "one record goes whatever its size");
}

#[test]
fn acknowledgements_hold_over_a_restart_and_strange_ones_do_no_harm() {
    let disk = Disk::new(1);
    let mut spool = open(&disk, 1).0;
    fill(&mut spool, Lane::Status, 5, 10);
    let ack = |boot, lane, through| Ack { boot, lane, through: Seq(through) };
    spool.ack(
        NOW,
        &[ack(boot(1), Lane::Status, 3), ack(boot(1), Lane::Bulk, 9), ack(boot(44), Lane::Status, 9)],
    );
    spool.ack(NOW, &[ack(boot(1), Lane::Status, 2)]);
    spool.flush(NOW);
    drop(spool);
    let (mut spool, report) = open(&disk, 2);
    assert_eq!((report.waiting_records, report.losses.len()), (2, 0));
    assert_eq!(numbers(&spool.next_batch(NOW, ALL), Lane::Status), [4, 5]);
    spool.ack(NOW, &[ack(boot(1), Lane::Status, u64::MAX)]);
    assert_eq!(spool.stats().waiting_records, 0);
    assert!(!disk.names().iter().any(|name| name.starts_with("status")), "a segment that is done is removed");
}

#[test]
fn a_discarded_record_is_told_as_refused_and_not_sent_again() {
    let disk = Disk::new(1);
    let mut spool = open(&disk, 1).0;
    fill(&mut spool, Lane::Status, 3, 10);
    spool.discard(NOW, boot(1), Lane::Status, Seq(1), "the cloud cannot read it");
    spool.discard(NOW, boot(1), Lane::Status, Seq(1), "the cloud cannot read it");
    let batches = spool.next_batch(NOW, ALL);
    assert_eq!(numbers(&batches, Lane::Status), [2, 3]);
    assert_eq!(
        losses(&batches).iter().map(|l| (l.stage, l.count)).collect::<Vec<_>>(),
        [(LossStage::Refused, 1)]
    );
}

#[test]
fn a_damaged_cursor_sends_twice_and_loses_nothing() {
    let disk = Disk::new(1);
    let mut spool = open(&disk, 1).0;
    fill(&mut spool, Lane::Status, 5, 10);
    spool.ack(NOW, &[Ack { boot: boot(1), lane: Lane::Status, through: Seq(3) }]);
    spool.flush(NOW);
    for at in [1, 32 * 1024 + 1] {
        disk.flip(cursor::NAME, at);
    }
    let (mut spool, report) = open(&disk, 2);
    assert!(report.cursor_damaged && report.losses.is_empty());
    assert_eq!(numbers(&spool.next_batch(NOW, ALL), Lane::Status), [1, 2, 3, 4, 5]);
}

#[test]
fn a_boot_id_is_not_used_twice_and_records_that_do_not_fit_are_refused() {
    let disk = Disk::new(1);
    let mut spool = open(&disk, 1).0;
    let too_long = spool.append_raw(NOW, Lane::Bulk, &raw(20_000));
    assert!(matches!(too_long, Err(AppendError::TooLong { segment_len: 32_768, .. })));
    assert_eq!(spool.append_raw(NOW, Lane::Bulk, &raw(10)), Ok((Lane::Bulk, Seq(1))), "no number was used");
    spool.flush(NOW);
    let again = Spool::open(disk, config(), boot(1), NOW);
    assert!(matches!(again, Err(OpenError::BootReused(_))));
}
