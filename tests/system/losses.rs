//! Whether all that a vehicle lost is told: in the server's database number by number, and on the vehicle's page as it
//! stands there.

use crate::bench::{Bench, Fleet};
use std::collections::BTreeMap;
use telltale_wire::ids::{BootId, Lane, Seq};
use telltale_wire::record::{LossRecord, LossStage, Record};

/// What arrived and what was told, number by number.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// How many were lost at each stage, by its name on the page.
    pub(crate) by_stage: BTreeMap<String, u64>,
    /// Numbers that are neither here nor told, with their boot and lane.
    untold: Vec<String>,
    pub(crate) frames_of_last_boot: u64,
}

impl Account {
    /// What the database holds, once it has been found complete and the page to say the same.
    pub(crate) fn of(bench: &Bench) -> Account {
        let fleet = bench.fleet();
        let account = Account::in_database(&fleet);
        println!("{account:?}");
        assert_eq!(account.untold, Vec::<String>::new());
        is_on_the_page(&losses(&fleet), &bench.page("/vehicle/v1"));
        account
    }

    fn in_database(fleet: &Fleet) -> Account {
        let mut account = Account::default();
        let losses = losses(fleet);
        for loss in &losses {
            *account.by_stage.entry(name(loss.stage)).or_default() += loss.count;
        }
        let mut expected: BTreeMap<(BootId, Lane), u64> = BTreeMap::new();
        for (boot, lane, Seq(seq)) in fleet.records.keys() {
            let next = expected.entry((*boot, *lane)).or_insert(1);
            for missing in *next..*seq {
                let told = losses.iter().filter_map(|loss| loss.range).any(|range| {
                    (range.boot, range.lane) == (*boot, *lane)
                        && (range.first.0..=range.last.0).contains(&missing)
                });
                if !told {
                    account.untold.push(format!("{boot} {lane} {missing}"));
                }
            }
            *next = seq + 1;
        }
        let last = fleet.records.keys().map(|key| key.0).max();
        account.frames_of_last_boot =
            fleet
                .records
                .iter()
                .filter(|(key, _)| Some(key.0) == last)
                .filter_map(|(_, raw)| {
                    if let Ok(Record::Summary(s)) = raw.parse() { Some(s.counts.frames) } else { None }
                })
                .sum();
        account
    }
}

/// All loss records that arrived.
pub(crate) fn losses(fleet: &Fleet) -> Vec<LossRecord> {
    let losses = fleet.records.values().filter_map(|raw| match raw.parse() {
        Ok(Record::Loss(loss)) => Some(loss),
        _ => None,
    });
    losses.collect()
}

/// Each lane's losses stand on the page with their stage, their count and how often they were told, and no number is
/// missing there without one.
fn is_on_the_page(losses: &[LossRecord], page: &str) {
    let mut totals: BTreeMap<(Option<Lane>, String), (u64, u64)> = BTreeMap::new();
    for loss in losses {
        let total = totals.entry((loss.range.map(|range| range.lane), name(loss.stage))).or_default();
        *total = (total.0 + loss.count, total.1 + 1);
    }
    for ((lane, stage), (count, times)) in totals {
        let lane = lane.map_or("none", Lane::name);
        let row = format!("{lane} {stage} {} records {} times", grouped(count), grouped(times));
        assert!(page.contains(&row), "`{row}` is not on the page: {page}");
    }
    assert!(page.contains("Losses and gaps") && !page.contains("no loss explains"), "{page}");
}

/// What the page calls a stage: `spool write`.
fn name(stage: LossStage) -> String {
    let words = format!("{stage:?}");
    let spaced = words.chars().flat_map(|c| [c.is_uppercase().then_some(' '), Some(c.to_ascii_lowercase())]);
    spaced.flatten().collect::<String>().trim().to_owned()
}

/// `12,345`.
fn grouped(count: u64) -> String {
    match count / 1_000 {
        0 => count.to_string(),
        more => format!("{},{:03}", grouped(more), count % 1_000),
    }
}
