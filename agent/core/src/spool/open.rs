//! Opening the spool of earlier boots: read every segment, keep what is good, account for what is not, wipe torn tails.

use super::cursor::{self, Cursor, LaneCursor};
use super::lane::{Dropped, LaneLog, Segment};
use super::ledger::{self, Ledger};
use super::segment::{self, HEADER_LEN, Header, SegmentId};
use super::{LOSS_RESERVE, MAX_SEGMENT_LEN, Repair, Spool, SpoolConfig, SpoolStats, Storage, StorageError};
use telltale_wire::ids::{BootId, Lane};
use telltale_wire::record::{LossRecord, LossStage, LostRange, RawRecord, Record};
use telltale_wire::time::Stamp;
use thiserror::Error;

/// The most loss records of earlier boots that are looked at while opening (about 600 kB).
const MAX_KNOWN_LOST: usize = 4096;

/// Why a spool was not opened.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum OpenError {
    /// The directory cannot be listed.
    #[error("the spool cannot be opened")]
    Storage(#[from] StorageError),
    /// The spool holds segments of this very boot: numbers would be used twice.
    #[error(
        "the spool already holds segments of boot {0}: each start of the agent needs a boot id of its own"
    )]
    BootReused(BootId),
    /// The configured segments are too small to hold the loss reserve and a record.
    #[error("a segment of {0} bytes is too small: use 32768 or more")]
    SegmentTooSmall(u64),
}

/// What was found in the spool.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct OpenReport {
    /// Records of earlier boots that wait for an acknowledgement.
    pub waiting_records: u64,
    /// Segments that hold them.
    pub segments: usize,
    /// What was found to be lost. The spool writes these as records itself.
    pub losses: Vec<LossRecord>,
    /// The cursor could not be read: records may be sent a second time.
    pub cursor_damaged: bool,
}

impl<S: Storage> Spool<S> {
    /// Opens the spool for a new boot and repairs what the last one left.
    ///
    /// # Errors
    /// See [`OpenError`]. Damage is no error: it is in the report and accounted for.
    pub fn open(
        storage: S,
        mut config: SpoolConfig,
        boot: BootId,
        now: Stamp,
    ) -> Result<(Self, OpenReport), OpenError> {
        config.segment_len = config.segment_len.min(MAX_SEGMENT_LEN);
        if config.segment_len < 2 * LOSS_RESERVE as u64 {
            return Err(OpenError::SegmentTooSmall(config.segment_len));
        }
        let mut opening =
            Opening { storage, now, ledger: Ledger::default(), repairs: Vec::new(), known_lost: Vec::new() };
        let names = opening.storage.list()?;
        let mut ids: Vec<SegmentId> = names.iter().filter_map(|name| SegmentId::parse(name)).collect();
        ids.sort_unstable();
        if ids.iter().any(|id| id.boot == boot) {
            return Err(OpenError::BootReused(boot));
        }
        let (cursor, cursor_file, cursor_damaged) = opening.read_cursor(&names);
        // A segment below the cursor is done; that a cut undid its removal makes it no witness.
        let done = cursor.as_ref().map_or(0, |cursor| cursor.lanes[Lane::Critical as usize].index);
        let critical = |id: &SegmentId| id.lane == Lane::Critical && id.index >= done;
        let found = opening.read_losses(&ids.iter().copied().filter(critical).collect::<Vec<_>>());
        let in_cursor = cursor.as_ref().map_or(&[][..], |cursor| &cursor.losses);
        let (written, untold) = trusted(found, in_cursor);
        let unwritten: Vec<LossRecord> =
            in_cursor.iter().chain(&untold).filter(|loss| !written.contains(loss)).cloned().collect();
        let dropped = cursor.as_ref().map_or_else(Vec::new, |cursor| cursor.dropped.clone());
        opening.take_known(written.iter().chain(&unwritten), &dropped);
        unwritten.into_iter().for_each(|loss| opening.ledger.push(loss));
        let lanes = Lane::ALL.map(|lane| {
            let ids: Vec<_> = ids.iter().copied().filter(|id| id.lane == lane).collect();
            // Where no cursor ever became durable nothing was removed; behind a decayed one the start is unknown.
            let done = cursor.as_ref().map(|cursor| cursor.lanes[lane as usize]);
            let mut log = opening.open_lane(&ids, done, !cursor_damaged);
            log.dropped = dropped.iter().filter(|dropped| dropped.lane == lane).copied().collect();
            log
        });
        let stats = SpoolStats {
            lost: opening.ledger.entries().iter().map(|loss| loss.count).sum(),
            ..SpoolStats::default()
        };
        let report = OpenReport {
            waiting_records: lanes.iter().flat_map(LaneLog::segments).map(Segment::waiting).sum(),
            segments: lanes.iter().map(|lane| lane.sealed.len()).sum(),
            losses: opening.ledger.entries().to_vec(),
            cursor_damaged,
        };
        let mut spool = Spool {
            storage: opening.storage,
            config,
            boot,
            lanes,
            ledger: opening.ledger,
            repairs: opening.repairs,
            cursor_generation: cursor.as_ref().map_or(0, |cursor| cursor.generation),
            cursor_file,
            cursor_dirty_since: None,
            broken_until: None,
            settle_after: None,
            settling: false,
            stats,
        };
        spool.begin(now);
        Ok((spool, report))
    }

    /// The cursor and the critical lane get their files at once: a full disk can then be accounted for.
    fn begin(&mut self, now: Stamp) {
        if !self.cursor_file {
            let written = self.write_cursor();
            self.went_well(written);
        }
        for lane in Lane::ALL {
            self.enforce_cap(now, lane);
        }
        self.create_active(now, Lane::Critical);
        if self.has_unsettled() {
            self.settle(now);
        }
    }
}

/// A loss record of the critical lane.
struct FoundLoss {
    boot: BootId,
    /// Its own number.
    seq: u64,
    loss: LossRecord,
    /// It lies behind the trusted end of its segment, and is not kept there.
    is_beyond: bool,
}

/// Parts the loss records that will be sent from those that will not: they lie behind a trusted end, or are themselves
/// told as lost, by another one or by the cursor. The latter were never promised and yet may be the only ones that tell
/// what they tell.
fn trusted(found: Vec<FoundLoss>, in_cursor: &[LossRecord]) -> (Vec<LossRecord>, Vec<LossRecord>) {
    let told = found.iter().map(|found| &found.loss).chain(in_cursor).filter_map(|loss| loss.range);
    let critical: Vec<LostRange> = told.filter(|range| range.lane == Lane::Critical).collect();
    let is_lost = |found: &FoundLoss| {
        let covers = |range: &LostRange| {
            range.boot == found.boot && (range.first.0..=range.last.0).contains(&found.seq)
        };
        found.is_beyond || critical.iter().any(covers)
    };
    let (lost, written): (Vec<_>, Vec<_>) = found.into_iter().partition(is_lost);
    let records = |found: Vec<FoundLoss>| found.into_iter().map(|found| found.loss);
    let written: Vec<LossRecord> = records(written).collect();
    let untold = records(lost).filter(|loss| !in_cursor.contains(loss)).collect();
    (written, untold)
}

/// The state of opening.
struct Opening<S> {
    storage: S,
    now: Stamp,
    ledger: Ledger,
    repairs: Vec<Repair>,
    /// What is accounted for already, by loss records in the critical lane or by the cursor.
    known_lost: Vec<(BootId, Lane, (u64, u64))>,
}

impl<S: Storage> Opening<S> {
    /// The cursor, whether its file is whole, and whether it was there but unreadable.
    fn read_cursor(&mut self, names: &[String]) -> (Option<Cursor>, bool, bool) {
        if !names.iter().any(|name| name == cursor::NAME) {
            return (None, false, false);
        }
        let bytes = self.storage.read_at(cursor::NAME, 0, cursor::FILE_LEN as usize).unwrap_or_default();
        let cursor = Cursor::read(&bytes);
        let whole = cursor.is_some() && bytes.len() as u64 == cursor::FILE_LEN;
        let damaged = cursor.is_none();
        (cursor, whole, damaged)
    }

    fn read(&mut self, id: SegmentId, len: u64) -> Result<Vec<u8>, StorageError> {
        self.storage.read_at(&id.name(), 0, len as usize)
    }

    /// The loss records in these segments of the critical lane, oldest first.
    fn read_losses(&mut self, ids: &[SegmentId]) -> Vec<FoundLoss> {
        let mut losses = Vec::new();
        for (i, id) in ids.iter().enumerate() {
            let trusted_end = self.trusted_end(*id, ids.get(i + 1));
            let bytes = self.read(*id, MAX_SEGMENT_LEN).unwrap_or_default();
            let entries = segment::scan(*id, &bytes).entries.into_iter();
            losses.extend(entries.filter_map(|entry| {
                let (boot, seq, is_beyond) = (id.boot, entry.seq, entry.seq > trusted_end);
                match postcard::from_bytes::<RawRecord>(entry.payload).ok()?.parse() {
                    Ok(Record::Loss(loss)) => Some(FoundLoss { boot, seq, loss, is_beyond }),
                    _ => None,
                }
            }));
            // The newest are the ones that a cut may have left half done.
            losses.drain(..losses.len().saturating_sub(MAX_KNOWN_LOST));
        }
        losses
    }

    fn take_known<'a>(&mut self, losses: impl Iterator<Item = &'a LossRecord>, dropped: &[Dropped]) {
        let told = losses.filter_map(|loss| loss.range).map(|r| (r.boot, r.lane, (r.first.0, r.last.0)));
        let dropped = dropped.iter().map(|d| (d.boot, d.lane, (d.first, d.last)));
        self.known_lost = told.chain(dropped).collect();
        self.known_lost.sort_unstable();
    }

    /// Opens the segments of one lane, oldest first. `whole` if a missing start would be a loss.
    fn open_lane(&mut self, ids: &[SegmentId], cursor: Option<LaneCursor>, whole: bool) -> LaneLog {
        let after_last = ids.last().map_or(0, |id| id.index + 1);
        let mut log = LaneLog::new(after_last.max(cursor.map_or(0, |cursor| cursor.index)));
        let mut previous: Option<(BootId, u64)> = None;
        for (i, id) in ids.iter().enumerate() {
            if cursor.is_some_and(|cursor| id.index < cursor.index) {
                // Done before the cut, only not yet removed.
                self.repairs.push(Repair::Remove(id.name()));
                continue;
            }
            let expected = match (previous, cursor) {
                (Some((boot, last)), _) if boot == id.boot => Some(last + 1),
                (_, Some(cursor)) if cursor.boot == id.boot => Some(cursor.acked + 1),
                _ => whole.then_some(1),
            };
            let Some(mut segment) = self.open_segment(*id, ids.get(i + 1), expected) else { continue };
            if let Some(cursor) = cursor.filter(|cursor| cursor.boot == id.boot) {
                segment.acked = cursor.acked.clamp(segment.first - 1, segment.last.max(segment.first - 1));
            }
            previous = Some((id.boot, segment.last));
            if segment.is_done() {
                self.repairs.push(Repair::Remove(id.name()));
            } else {
                log.sealed.push(segment);
            }
        }
        log
    }

    /// Reads one segment; `None` if there is nothing in it to keep. `expected` is the number that should come first.
    fn open_segment(
        &mut self,
        id: SegmentId,
        next: Option<&SegmentId>,
        expected: Option<u64>,
    ) -> Option<Segment> {
        let bytes = self.read(id, MAX_SEGMENT_LEN).unwrap_or_else(|error| {
            log::error!("spool: {error}");
            Vec::new()
        });
        let scan = segment::scan(id, &bytes);
        let Some(first) = scan.header.map(|h| h.first).or(scan.entries.first().map(|e| e.seq)) else {
            if scan.damaged_tail {
                self.lose_unknown("a spool segment is damaged beyond reading");
            }
            self.repairs.push(Repair::Remove(id.name()));
            return None;
        };
        let accounted_from = scan.header.map_or(first, |header| header.accounted_from);
        if let Some(expected) = expected.filter(|expected| *expected < accounted_from) {
            self.lose(id, (expected, accounted_from - 1), "records between two spool segments are missing");
        }
        let trusted_end = self.trusted_end(id, next);
        let last = scan.entries.last().map_or(first - 1, |entry| entry.seq).min(trusted_end);
        let end = scan.end as u64;
        let mut segment =
            Segment { id, first, last, end, disk_len: end, acked: first - 1, holes: Vec::new() };
        segment.holes = self.known_within(id, (first, last));
        let found = scan.entries.iter().map(|entry| entry.seq).filter(|seq| *seq <= last);
        for hole in segment.note_missing(found) {
            self.lose(id, hole, "a spool segment is damaged");
        }
        if scan.damaged_tail && next.is_none_or(|next| next.boot != id.boot) {
            self.lose(id, (last + 1, last + 1), "a record at the end of a spool segment is torn or damaged");
        }
        if bytes.len() > scan.end {
            self.repairs.push(Repair::Truncate(id.name(), end));
        }
        Some(segment)
    }

    /// The last number that counts in a segment. A sync that failed may have left entries behind it; the segment that
    /// comes after has them, or a loss record.
    fn trusted_end(&mut self, id: SegmentId, next: Option<&SegmentId>) -> u64 {
        let next = next.filter(|next| next.boot == id.boot);
        next.and_then(|next| self.header_of(*next)).map_or(u64::MAX, |header| header.accounted_from - 1)
    }

    fn header_of(&mut self, id: SegmentId) -> Option<Header> {
        segment::decode_header(id, &self.read(id, HEADER_LEN as u64).ok()?)
    }

    /// What is accounted for of these numbers, as ascending ranges that are apart.
    fn known_within(&self, id: SegmentId, (first, last): (u64, u64)) -> Vec<(u64, u64)> {
        let of_lane = self.known_lost.iter().filter(|known| (known.0, known.1) == (id.boot, id.lane));
        let clipped = of_lane.map(|known| (known.2.0.max(first), known.2.1.min(last)));
        let mut apart: Vec<(u64, u64)> = Vec::new();
        for (first, last) in clipped.filter(|(first, last)| first <= last) {
            match apart.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => apart.push((first, last)),
            }
        }
        apart
    }

    /// Accounts for a range, except for what is accounted for already.
    fn lose(&mut self, id: SegmentId, (first, last): (u64, u64), why: &str) {
        let mut next = first;
        let known = self.known_within(id, (first, last));
        for (known_first, known_last) in known.into_iter().chain([(last + 1, last + 1)]) {
            if next < known_first {
                let range = ledger::range(id.boot, id.lane, next, known_first - 1);
                self.ledger.add_range(self.now, LossStage::SpoolCorrupt, range, why);
            }
            next = next.max(known_last.saturating_add(1));
        }
    }

    fn lose_unknown(&mut self, why: &str) {
        let (at, stage) = (self.now, LossStage::SpoolCorrupt);
        self.ledger.push(LossRecord { at, stage, count: 1, range: None, why: why.to_owned() });
    }
}
