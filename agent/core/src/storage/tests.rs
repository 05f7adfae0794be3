//! The power is cut at every operation of many random histories of small state. What is read afterwards must be whole,
//! and no older than the last that was reported as kept; no start gets the number of one that was counted.

use super::disk::{Dice, Disk, Faults};
use super::state::{self, BOOT, Boot};
use std::ops::Range;
use telltale_wire::ids::BootId;

/// The seeds that `TELLTALE_HISTORIES` asks for: a count, or a range like `1543..1544`.
pub(crate) fn histories(count: u64) -> Range<u64> {
    match std::env::var("TELLTALE_HISTORIES") {
        Err(_) => 0..count,
        Ok(text) => match text.split_once("..") {
            Some((first, end)) => first.parse().unwrap()..end.parse().unwrap(),
            None => 0..text.parse().unwrap(),
        },
    }
}

const NAMES: [&str; 3] = ["budget", "slots", "floors"];

/// What was promised, and how often that was not kept.
#[derive(Default)]
struct Witness {
    /// What may be read of each name: the last that was reported as kept, then what was attempted after it.
    possible: [Vec<Option<Vec<u8>>>; 3],
    /// The highest counter that was reported as durable.
    counted: u32,
    broken: Vec<String>,
}

impl Witness {
    /// Looks at what is on the disk. After a power cut nothing else of it can come back.
    fn look(&mut self, disk: &mut Disk, after_cut: bool) {
        for (name, possible) in NAMES.iter().zip(&mut self.possible) {
            let Ok(found) = state::read(disk, name) else { return };
            if !possible.contains(&found) {
                let len = found.as_ref().map(Vec::len);
                self.broken.push(format!("{name}: {len:?} bytes that are none of {}", possible.len()));
            }
            if after_cut {
                *possible = vec![found];
            }
        }
    }

    /// One start: counts itself and changes its state until the power goes.
    fn live(&mut self, disk: &mut Disk, dice: &mut Dice) {
        // Always the same nonce: the count alone has to keep ids apart.
        let Ok(Boot { id, counted }) = state::next_boot(disk, 7) else { return };
        if id.counter() <= self.counted {
            self.broken.push(format!("{id} was given twice"));
        }
        if counted.is_ok() {
            self.counted = self.counted.max(id.counter());
        }
        for _ in 0..6 {
            let which = dice.below(3) as usize;
            let bytes: Vec<u8> = (0..dice.below(3_000)).map(|_| dice.roll() as u8).collect();
            let kept = state::replace(disk, NAMES[which], &bytes);
            if kept.is_ok() {
                self.possible[which].clear();
            }
            self.possible[which].push(Some(bytes));
            self.look(disk, false);
        }
    }
}

/// One history: a start for each cut and one more, on a disk with these faults; gives the most operations of a start.
fn history(seed: u64, cuts: [Option<u64>; 3], faults: Faults) -> (u64, Witness) {
    let (mut disk, mut dice) = (Disk::new(seed), Dice(!seed));
    let possible = [(); 3].map(|()| vec![None]);
    let mut witness = Witness { possible, ..Witness::default() };
    let mut operations = 0;
    for cut_at in cuts {
        disk.set_faults(Faults { cut_at, ..faults });
        witness.live(&mut disk, &mut dice);
        operations = operations.max(disk.operations());
        disk.power_cycle();
        witness.look(&mut disk, true);
    }
    witness.live(&mut disk, &mut dice);
    (operations, witness)
}

/// What goes wrong besides the cut: nothing, now and then an operation, or the disk is full.
fn faults(seed: u64) -> Faults {
    match seed % 4 {
        0 | 1 => Faults::default(),
        2 => Faults { fail_one_in: 12, ..Faults::default() },
        _ => Faults { capacity: Some(4_000), ..Faults::default() },
    }
}

/// Cuts the power at every operation of a seed's history; gives the cuts and the promises that were broken.
fn cut_everywhere(seed: u64, faults: Faults) -> (u64, Vec<String>) {
    let (operations, _) = history(seed, [None; 3], faults);
    let broken = (1..=operations).flat_map(|cut| {
        // The starts after it are cut too: early, where they count themselves.
        let cuts = [Some(cut), Some(1 + cut % 7), Some(1 + cut % 17)];
        let told = move |what: String| format!("seed {seed}, cut {cut}: {what}");
        history(seed, cuts, faults).1.broken.into_iter().map(told)
    });
    (operations, broken.collect())
}

#[test]
fn state_is_whole_and_no_start_is_counted_twice_whenever_the_power_is_cut() {
    let (mut cuts, mut broken) = (0, Vec::new());
    for seed in histories(1_000) {
        let (more, found) = cut_everywhere(seed, faults(seed));
        cuts += more;
        broken.extend(found);
    }
    println!("{cuts} power cuts, {} broken promises", broken.len());
    assert!(cuts >= 30 * histories(1_000).count() as u64, "{cuts}");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_check_sees_a_sync_that_does_nothing() {
    let lie = Faults { syncs_are_lies: true, ..Faults::default() };
    let broken: Vec<String> = (0..3).flat_map(|seed| cut_everywhere(seed, lie).1).collect();
    assert!(broken.iter().any(|what| what.contains("bytes that are none of")), "{broken:?}");
    assert!(broken.iter().any(|what| what.contains("given twice")), "{broken:?}");
}

#[test]
fn a_damaged_count_does_not_stop_the_agent() {
    let mut disk = Disk::new(1);
    state::replace(&mut disk, BOOT, &[0xff, 0, 9]).unwrap();
    let boot = state::next_boot(&mut disk, 5).unwrap();
    assert_eq!((boot.id, boot.counted), (BootId::new(1, 5), Ok(())));
    assert_eq!(disk.names(), [BOOT], "nothing stays aside");
}

#[test]
fn a_disk_that_takes_nothing_costs_the_count_and_not_the_start() {
    let mut disk = Disk::new(1);
    disk.set_faults(Faults { fail_one_in: 1, ..Faults::default() });
    let boot = state::next_boot(&mut disk, 5).unwrap();
    assert!(boot.id == BootId::new(1, 5) && boot.counted.is_err());
}
