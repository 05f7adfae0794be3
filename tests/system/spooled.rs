//! What an agent that has ended left in its spool, read by the spool's own code.

use crate::bench::{Key, Records};
use std::path::Path;
use telltale_agent::files::Directory;
use telltale_core::spool::{BatchLimits, Spool, SpoolConfig};
use telltale_wire::ids::{BootId, Seq};
use telltale_wire::record::{Counts, RawRecord, Record};
use telltale_wire::sync::Ack;
use telltale_wire::time::{MonoTime, Stamp};

/// Every record of the spool with its key, lane by lane. The spool is empty afterwards.
pub(crate) fn drain(spool: &Path) -> Vec<(Key, RawRecord)> {
    let (me, now) = (BootId::new(u32::MAX, 0), Stamp { mono: MonoTime(0), wall: None });
    let files = Directory::lock(spool).unwrap();
    let (mut spool, report) = Spool::open(files, SpoolConfig::default(), me, now).unwrap();
    assert_eq!(report.losses, [], "records that were in the spool are lost");
    let mut records = Vec::new();
    loop {
        let batches = spool.next_batch(now, BatchLimits { records: 2_000, bytes: 1_000_000 });
        if batches.is_empty() {
            return records;
        }
        let mut acks = Vec::new();
        for batch in batches {
            assert_ne!(batch.boot, me, "opening a spool without losses wrote records");
            let (boot, lane) = (batch.boot, batch.lane);
            acks.push(Ack { boot, lane, through: batch.last_seq().unwrap() });
            let numbered = (batch.first_seq.0..).zip(batch.records);
            records.extend(numbered.map(|(number, raw)| ((boot, lane, Seq(number)), raw)));
        }
        spool.ack(now, &acks);
    }
}

/// Every record of the spool, lane by lane.
pub(crate) fn records(spool: &Path) -> Vec<Record> {
    drain(spool).into_iter().map(|(_, raw)| raw.parse().unwrap()).collect()
}

/// Adds what the spool holds; gives how many records that is. What was known before must say the same.
pub(crate) fn add(held: &mut Records, spool: &Path) -> usize {
    let found = drain(spool);
    let count = found.len();
    for (key, raw) in found {
        let before = held.insert(key, raw.clone());
        assert!(before.is_none_or(|before| before == raw), "{key:?} holds another record than before");
    }
    count
}

/// What the summaries among the records count of frames together.
pub(crate) fn summed(records: &[Record]) -> Counts {
    let mut sum = Counts::default();
    for record in records {
        if let Record::Summary(summary) = record {
            sum.frames += summary.counts.frames;
            sum.decoded += summary.counts.decoded;
            sum.filtered += summary.counts.filtered;
            sum.unknown += summary.counts.unknown;
            sum.malformed += summary.counts.malformed;
            sum.samples += summary.counts.samples;
            sum.lost += summary.counts.lost;
        }
    }
    sum
}
