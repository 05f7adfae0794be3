//! The power is cut at every operation of many random histories. After each cut the spool is opened again and
//! drained; every record that was durable must have arrived, unchanged, or be named by a loss record.
//!
//! A history is its seed: sizes, lanes, acknowledgements, waits, the line's budget, drop policies, and what goes wrong
//! with the disk. `TELLTALE_HISTORIES` says which: `2000` for that many, `1543..1544` for one.

use super::super::*;
use crate::storage::disk::{Dice, Disk, Faults};
use crate::storage::tests::histories;
use std::collections::{BTreeMap, BTreeSet};
use telltale_wire::record::LostRange;

type Key = (BootId, Lane, u64);

/// Everything that was promised, and everything that came of it.
#[derive(Default)]
struct Witness {
    appended: BTreeMap<Key, RawRecord>,
    durable: BTreeSet<Key>,
    delivered: BTreeMap<Key, RawRecord>,
    losses: Vec<LostRange>,
    /// Those that were told as damage.
    damage: Vec<LostRange>,
}

impl Witness {
    fn deliver(&mut self, batches: &[Batch]) -> Vec<Ack> {
        for batch in batches {
            for (i, record) in batch.records.iter().enumerate() {
                let key = (batch.boot, batch.lane, batch.first_seq.0 + i as u64);
                match (self.appended.get(&key), record.parse()) {
                    (Some(appended), _) => assert_eq!(appended, record, "{key:?} changed on the way"),
                    (None, Ok(Record::Loss(loss))) => {
                        self.losses.extend(loss.range);
                        let damage = loss.range.filter(|_| loss.stage == LossStage::SpoolCorrupt);
                        self.damage.extend(damage);
                    }
                    (None, _) => panic!("{key:?} was never appended"),
                }
                let before = self.delivered.insert(key, record.clone());
                assert!(before.is_none_or(|before| before == *record), "the number {key:?} was used twice");
            }
        }
        let ack = |b: &Batch| Ack { boot: b.boot, lane: b.lane, through: b.last_seq().unwrap() };
        batches.iter().map(ack).collect()
    }

    fn is_accounted(&self, key: &Key) -> bool {
        let covers =
            |r: &LostRange| (r.boot, r.lane) == (key.0, key.1) && (r.first.0..=r.last.0).contains(&key.2);
        self.delivered.contains_key(key) || self.losses.iter().any(covers)
    }

    /// Records that arrived and yet are told as damaged.
    fn slandered(&self) -> Option<&Key> {
        let covers = |r: &LostRange, key: &Key| {
            (r.boot, r.lane) == (key.0, key.1) && (r.first.0..=r.last.0).contains(&key.2)
        };
        self.delivered.keys().find(|key| self.damage.iter().any(|range| covers(range, key)))
    }

    /// The durable records of which nothing is known any more.
    fn vanished(&self) -> Vec<Key> {
        self.durable.iter().filter(|key| !self.is_accounted(key)).copied().collect()
    }
}

/// Small enough that caps are reached; every third seed drops in other ways.
fn config(seed: u64) -> SpoolConfig {
    let drop = match seed % 3 {
        0 => [DropPolicy::Oldest; 4],
        1 => [DropPolicy::Oldest, DropPolicy::Newest, DropPolicy::Thin(2), DropPolicy::Newest],
        _ => [DropPolicy::Newest, DropPolicy::Thin(3), DropPolicy::Newest, DropPolicy::Thin(2)],
    };
    SpoolConfig {
        segment_len: 32 * 1024,
        lane_caps: [512 * 1024, 70 * 1024, 100 * 1024, 140 * 1024],
        drop,
        ..SpoolConfig::default()
    }
}

fn stamp(us: u64) -> Stamp {
    Stamp { mono: MonoTime(us), wall: None }
}

fn step(spool: &mut Spool<Disk>, now: Stamp, dice: &mut Dice, witness: &mut Witness) {
    match dice.below(10) {
        0..=6 => {
            let lane = Lane::ALL[dice.below(4) as usize];
            let body = vec![dice.roll() as u8; dice.below(6_000) as usize];
            let raw = RawRecord { kind: 900 + dice.below(9) as u16, body };
            // A refused record has its number too, and may have reached the flash all the same.
            let (Ok((lane, seq)) | Err(AppendError::Lost { lane, seq })) = spool.append_raw(now, lane, &raw)
            else {
                panic!("refused")
            };
            witness.appended.insert((spool.boot(), lane, seq.0), raw);
        }
        7 => spool.flush(now),
        8 => {
            let limits = BatchLimits { records: 1 + dice.below(20) as usize, bytes: 20_000 };
            // Now and then the budget lets some lanes wait.
            let lanes = [0; 4].map(|_: usize| if dice.one_in(4) { 0 } else { usize::MAX });
            let lanes =
                if dice.one_in(3) { [usize::MAX, lanes[1], lanes[2], lanes[3]] } else { [usize::MAX; 4] };
            let batches = spool.next_batch(now, Allowance { limits, lanes });
            let acks = witness.deliver(&batches);
            // Half of the answers are lost on the way.
            if dice.one_in(2) {
                spool.ack(now, &acks);
            }
        }
        _ => {}
    }
    if spool.next_sync_deadline().is_some_and(|due| due <= now.mono) {
        spool.sync(now);
    }
    for lane in Lane::ALL {
        for seq in 1..=spool.durable_through(lane).map_or(0, |seq| seq.0) {
            let key = (spool.boot(), lane, seq);
            if witness.appended.contains_key(&key) {
                witness.durable.insert(key);
            }
        }
    }
}

/// One boot: opens, works, stops at a cut or after `steps`.
fn live(disk: &Disk, config: &SpoolConfig, boot: u32, steps: u64, dice: &mut Dice, witness: &mut Witness) {
    let Ok((mut spool, _)) = Spool::open(disk.clone(), config.clone(), BootId::new(boot, 7), stamp(0)) else {
        return;
    };
    let mut us = 0;
    for _ in 0..steps {
        if disk.is_cut() {
            return;
        }
        us += dice.below(2_000_000);
        step(&mut spool, stamp(us), dice, witness);
    }
}

/// Opens once more on a disk that works, and delivers everything.
fn drain(disk: &Disk, config: &SpoolConfig, boot: u32, witness: &mut Witness) {
    let (mut spool, _) = Spool::open(disk.clone(), config.clone(), BootId::new(boot, 7), stamp(0)).unwrap();
    spool.flush(stamp(1));
    loop {
        let batches = spool.next_batch(stamp(2), BatchLimits { records: 500, bytes: 100_000 });
        if batches.is_empty() {
            break;
        }
        let acks = witness.deliver(&batches);
        spool.ack(stamp(2), &acks);
        spool.flush(stamp(2));
    }
    assert_eq!(spool.stats().waiting_records, 0);
}

/// One history with a cut in the first boot and one in the second; gives the operations of the first.
fn history(seed: u64, cuts: [Option<u64>; 2], faults: Faults) -> (u64, Witness) {
    let (disk, mut dice, mut witness) = (Disk::new(seed), Dice(!seed), Witness::default());
    let config = config(seed);
    // Some histories are long enough to reach the caps.
    let steps = if seed.is_multiple_of(25) { 240 } else { 60 };
    let mut operations = 0;
    for (boot, cut_at) in (1..).zip(cuts) {
        disk.set_faults(Faults { cut_at, ..faults });
        live(&disk, &config, boot, steps, &mut dice, &mut witness);
        operations = operations.max(disk.operations());
        disk.power_cycle();
    }
    drain(&disk, &config, 3, &mut witness);
    disk.power_cycle();
    drain(&disk, &config, 4, &mut witness);
    (operations, witness)
}

/// Seeds that once lost a durable record untold. They always run.
const REGRESSIONS: [u64; 2] = [1543, 1975];

/// What goes wrong with the disk of a seed besides the cut: nothing, now and then an operation, or it is full.
fn faults(seed: u64) -> Faults {
    match part(seed) {
        0 | 1 => Faults::default(),
        2 => Faults { fail_one_in: 25, ..Faults::default() },
        _ => Faults { capacity: Some(200 * 1024), ..Faults::default() },
    }
}

/// Histories part in four, which run side by side.
fn part(seed: u64) -> u64 {
    (seed / 3) % 4
}

/// Cuts the power at every operation of a seed's history; gives the cuts and those after which a record had
/// vanished.
fn cut_everywhere(seed: u64, faults: Faults) -> (u64, Vec<(u64, u64, Key)>) {
    let (operations, _) = history(seed, [None, None], faults);
    let mut vanished = Vec::new();
    for cut in 1..=operations {
        // The second boot, which repairs, is cut too: early, where it repairs.
        let (_, witness) = history(seed, [Some(cut), Some(1 + cut % 23)], faults);
        if faults == Faults::default() {
            assert_eq!(witness.slandered(), None, "seed {seed}, cut {cut}");
        }
        vanished.extend(witness.vanished().first().map(|key| (seed, cut, *key)));
    }
    (operations, vanished)
}

/// Cuts the power at every operation of these histories.
fn cut_everywhere_in(seeds: impl Iterator<Item = u64>) {
    let (mut cuts, mut count, mut vanished) = (0, 0, Vec::new());
    for seed in seeds {
        let (more, lost) = cut_everywhere(seed, faults(seed));
        (cuts, count) = (cuts + more, count + 1);
        if !lost.is_empty() {
            println!("seed {seed}: a record vanished in {} of {more} cuts, first {:?}", lost.len(), lost[0]);
        }
        vanished.extend(lost);
    }
    println!("{cuts} power cuts in {count} histories, {} records vanished", vanished.len());
    assert!(cuts >= 50 * count, "{cuts}");
    assert_eq!(vanished, []);
}

#[test]
fn nothing_durable_vanishes_on_a_sound_disk_0() {
    cut_everywhere_in(histories(60).filter(|seed| part(*seed) == 0));
}

#[test]
fn nothing_durable_vanishes_on_a_sound_disk_1() {
    cut_everywhere_in(histories(60).filter(|seed| part(*seed) == 1));
}

#[test]
fn nothing_durable_vanishes_on_a_failing_disk() {
    cut_everywhere_in(histories(60).filter(|seed| part(*seed) == 2));
}

#[test]
fn nothing_durable_vanishes_on_a_full_disk() {
    cut_everywhere_in(histories(60).filter(|seed| part(*seed) == 3));
}

#[test]
fn what_once_vanished_does_not() {
    cut_everywhere_in(REGRESSIONS.into_iter());
}

#[test]
fn the_check_sees_a_sync_that_does_nothing() {
    let lie = Faults { syncs_are_lies: true, ..Faults::default() };
    let vanished: usize = (0..3).map(|seed| cut_everywhere(seed, lie).1.len()).sum();
    assert!(vanished > 0, "the negative control passed: the crash tests prove nothing");
}

#[test]
fn without_faults_nothing_is_counted_as_lost_that_arrives() {
    for seed in 300..330 {
        let (disk, mut dice, mut witness) = (Disk::new(seed), Dice(seed), Witness::default());
        let config = config(seed);
        live(&disk, &config, 1, 300, &mut dice, &mut witness);
        let disk = disk.copy();
        drain(&disk, &config, 2, &mut witness);
        for loss in &witness.losses {
            for seq in loss.first.0..=loss.last.0 {
                let key = (loss.boot, loss.lane, seq);
                assert!(witness.durable.contains(&key) || witness.appended.contains_key(&key), "{key:?}");
            }
        }
        assert_eq!(witness.vanished(), []);
    }
}
