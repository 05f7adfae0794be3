//! Looks at a spool without changing it, whether an agent runs on it or not. What an agent writes at the same moment
//! may look torn: it is not durable yet.

use super::cursor::{self, Cursor};
use super::segment::{self, SegmentId};
use telltale_wire::ids::{BootId, Lane, Seq};
use telltale_wire::record::{LossRecord, RawRecord};

/// A spool as its files have it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Inspection {
    /// The cursor; `None` if there is none or it can't be read.
    pub cursor: Option<CursorView>,
    /// The cursor's file is there, but neither of its slots is whole.
    pub cursor_damaged: bool,
    /// The segments: by lane, oldest first.
    pub segments: Vec<SegmentView>,
    /// Files that are none of the spool's segments, such as the lock.
    pub others: Vec<String>,
}

/// How far the cloud has acknowledged.
#[derive(Clone, PartialEq, Debug)]
pub struct CursorView {
    /// Grows with each write.
    pub generation: u64,
    /// One entry a lane: the oldest segment that is still wanted, its boot, and the number up to which all is done.
    pub lanes: [(u64, BootId, Seq); 4],
    /// Losses that are not written as records yet.
    pub losses: Vec<LossRecord>,
}

/// One segment file.
#[derive(Clone, PartialEq, Debug)]
pub struct SegmentView {
    /// Its file.
    pub name: String,
    /// Its lane.
    pub lane: Lane,
    /// Its place in the lane.
    pub index: u64,
    /// The boot that wrote it.
    pub boot: BootId,
    /// The size of the file.
    pub bytes: u64,
    /// The bytes up to the end of the last good record.
    pub used: u64,
    /// Whether its header is whole.
    pub header: bool,
    /// The first and the last good record; `None` if there is none.
    pub range: Option<(Seq, Seq)>,
    /// Good records.
    pub records: u64,
    /// Of these, acknowledged.
    pub acknowledged: u64,
    /// Numbers of the range that are missing.
    pub missing: u64,
    /// Something other than zeros follows the last good record: torn by a cut, damaged, or just being written.
    pub torn_tail: bool,
}

impl SegmentView {
    fn new(id: SegmentId, bytes: &[u8], cursor: Option<&Cursor>) -> SegmentView {
        let scan = segment::scan(id, bytes);
        let range = scan
            .entries
            .first()
            .zip(scan.entries.last())
            .map(|(first, last)| (Seq(first.seq), Seq(last.seq)));
        let records = scan.entries.len() as u64;
        let done = cursor.map(|cursor| &cursor.lanes[id.lane as usize]);
        let is_done = |seq: u64| {
            done.is_some_and(|done| id.index < done.index || (id.boot == done.boot && seq <= done.acked))
        };
        SegmentView {
            name: id.name(),
            lane: id.lane,
            index: id.index,
            boot: id.boot,
            bytes: bytes.len() as u64,
            used: scan.end as u64,
            header: scan.header.is_some(),
            range,
            records,
            acknowledged: scan.entries.iter().filter(|entry| is_done(entry.seq)).count() as u64,
            missing: range.map_or(0, |(first, last)| last.0 + 1 - first.0 - records),
            torn_tail: scan.damaged_tail,
        }
    }
}

/// Looks at a spool: the names of its files, and how to read one of them whole.
///
/// # Errors
/// Those of `read`.
pub fn inspect<E>(
    names: Vec<String>,
    mut read: impl FnMut(&str) -> Result<Vec<u8>, E>,
) -> Result<Inspection, E> {
    let mut inspection = Inspection::default();
    let mut ids = Vec::new();
    for name in names {
        match SegmentId::parse(&name) {
            Some(id) => ids.push(id),
            None => inspection.others.push(name),
        }
    }
    let mut cursor = None;
    if inspection.others.iter().any(|name| name == cursor::NAME) {
        let bytes = read(cursor::NAME)?;
        cursor = Cursor::read(&bytes);
        inspection.cursor_damaged = cursor.is_none() && bytes.iter().any(|byte| *byte != 0);
    }
    ids.sort_unstable_by_key(|id| (id.lane, id.index));
    for id in ids {
        let bytes = read(&id.name())?;
        inspection.segments.push(SegmentView::new(id, &bytes, cursor.as_ref()));
    }
    inspection.cursor = cursor.map(|cursor| CursorView {
        generation: cursor.generation,
        lanes: cursor.lanes.map(|lane| (lane.index, lane.boot, Seq(lane.acked))),
        losses: cursor.losses,
    });
    Ok(inspection)
}

/// The records of a segment, with their numbers; `None` for one whose bytes are good and hold no record.
#[must_use]
pub fn records_of(segment: &SegmentView, bytes: &[u8]) -> Vec<(Seq, Option<RawRecord>)> {
    let id = SegmentId { lane: segment.lane, index: segment.index, boot: segment.boot };
    let entries = segment::scan(id, bytes).entries;
    entries.iter().map(|entry| (Seq(entry.seq), postcard::from_bytes(entry.payload).ok())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{BatchLimits, Spool, SpoolConfig};
    use super::*;
    use crate::storage::disk::Disk;
    use std::convert::Infallible;
    use telltale_wire::sync::Ack;
    use telltale_wire::time::{MonoTime, Stamp};

    const NOW: Stamp = Stamp { mono: MonoTime(0), wall: None };

    fn look(disk: &Disk) -> Inspection {
        inspect(disk.names(), |name| Ok::<_, Infallible>(disk.bytes(name))).unwrap_or_default()
    }

    #[test]
    fn a_spool_is_described_as_its_files_have_it_and_left_as_it_was() {
        let disk = Disk::new(1);
        let boot = BootId::new(3, 9);
        let mut spool = Spool::open(disk.clone(), SpoolConfig::default(), boot, NOW).unwrap().0;
        for n in 0..5 {
            spool.append_raw(NOW, Lane::Status, &RawRecord { kind: 900, body: vec![n; 30] }).unwrap();
        }
        spool.flush(NOW);
        let all = BatchLimits { records: 100, bytes: 100_000 };
        assert_eq!(spool.next_batch(NOW, all).len(), 1);
        spool.ack(NOW, &[Ack { boot, lane: Lane::Status, through: Seq(2) }]);
        spool.flush(NOW);
        let operations = disk.operations();

        let seen = look(&disk);
        let segment = seen.segments.iter().find(|segment| segment.lane == Lane::Status).unwrap();
        assert_eq!(segment.range, Some((Seq(1), Seq(5))));
        assert_eq!((segment.records, segment.acknowledged, segment.missing), (5, 2, 0));
        assert!(segment.header && !segment.torn_tail && segment.boot == boot);
        assert_eq!(seen.cursor.as_ref().map(|cursor| cursor.lanes[1].2), Some(Seq(2)));
        let records = records_of(segment, &disk.bytes(&segment.name));
        assert_eq!(records[4], (Seq(5), Some(RawRecord { kind: 900, body: vec![4; 30] })));
        assert_eq!(disk.operations(), operations, "looking changed the disk");

        // A byte of the third record: it is missing; behind the last: the tail is torn.
        let name = segment.name.clone();
        let third = 44 + 2 * (segment.used as usize - 44) / 5 + 20;
        disk.flip(&name, third);
        disk.flip(&name, segment.used as usize + 100);
        let seen = look(&disk);
        let segment = seen.segments.iter().find(|segment| segment.name == name).unwrap();
        assert_eq!((segment.records, segment.missing, segment.torn_tail), (4, 1, true));
    }
}
