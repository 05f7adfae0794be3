//! A segment on disk: a header, then entries `[len u32][crc u32][seq u64][payload]`, all little-endian, then zeros.
//!
//! The numbers of one segment are dense, so a hole between two good entries is damage. Behind damage the scan
//! looks for the next good entry: one flipped bit costs one record, not the rest of the segment.

use std::ops::RangeInclusive;
use telltale_wire::ids::{BootId, Lane};
use telltale_wire::record::MAX_BODY;

const MAGIC: [u8; 4] = *b"TTSG";
const VERSION: u16 = 1;

/// Bytes before the first entry.
pub(super) const HEADER_LEN: usize = 44;
/// Bytes of an entry besides its payload.
pub(super) const ENTRY_OVERHEAD: usize = 16;
/// The longest payload: a record body with its kind and its length, each a varint.
pub(super) const MAX_PAYLOAD: usize = MAX_BODY + 8;

/// Which segment: also its file name, so that a damaged header loses nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct SegmentId {
    pub(super) lane: Lane,
    /// Grows by one with each segment of the lane, over all boots: the order of age.
    pub(super) index: u64,
    pub(super) boot: BootId,
}

impl SegmentId {
    /// `critical-00000007-00000003deadbeef.seg`: lane, index, boot.
    pub(super) fn name(self) -> String {
        format!("{}-{:08x}-{:016x}.seg", self.lane, self.index, self.boot.0)
    }

    /// Reads a file name; `None` for files that are not segments.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".seg")?.split('-');
        let (lane, index, boot) = (parts.next()?, parts.next()?, parts.next()?);
        let id = SegmentId {
            lane: Lane::ALL.into_iter().find(|known| known.name() == lane)?,
            index: u64::from_str_radix(index, 16).ok()?,
            boot: BootId(u64::from_str_radix(boot, 16).ok()?),
        };
        // Only the one spelling of a name is ours; `index + 1` must exist.
        (id.name() == name && id.index < u64::MAX).then_some(id)
    }

    /// A checksum that already holds the boot and the lane: an entry of another file, found in recycled flash,
    /// is never taken for one of this file.
    fn hasher(self) -> crc32fast::Hasher {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.boot.0.to_le_bytes());
        hasher.update(&[self.lane as u8]);
        hasher
    }
}

/// What a header says beyond the file name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// The number of the first entry.
    pub(super) first: u64,
    /// Numbers from here up to `first` are accounted for elsewhere (the disk refused them and a loss record says
    /// so). Equal to `first` in the ordinary case.
    pub(super) accounted_from: u64,
}

/// The bytes of a segment's header.
pub(super) fn encode_header(id: SegmentId, header: Header) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[0..4].copy_from_slice(&MAGIC);
    bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
    bytes[6] = id.lane as u8;
    bytes[8..16].copy_from_slice(&id.boot.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&id.index.to_le_bytes());
    bytes[24..32].copy_from_slice(&header.first.to_le_bytes());
    bytes[32..40].copy_from_slice(&header.accounted_from.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..40]);
    bytes[40..44].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The header, if it is whole and of this segment.
pub(super) fn decode_header(id: SegmentId, bytes: &[u8]) -> Option<Header> {
    let bytes = bytes.first_chunk::<HEADER_LEN>()?;
    let header = Header { first: u64_at(bytes, 24)?, accounted_from: u64_at(bytes, 32)? };
    (encode_header(id, header) == *bytes
        && header.accounted_from >= 1
        && header.first >= header.accounted_from)
        .then_some(header)
}

/// The bytes of one entry.
pub(super) fn encode_entry(id: SegmentId, seq: u64, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_le_bytes();
    let mut bytes = Vec::with_capacity(ENTRY_OVERHEAD + payload.len());
    bytes.extend_from_slice(&len);
    bytes.extend_from_slice(&entry_crc(id, &len, &seq.to_le_bytes(), payload).to_le_bytes());
    bytes.extend_from_slice(&seq.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// One good entry of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry<'a> {
    pub(super) seq: u64,
    pub(super) payload: &'a [u8],
}

/// What a segment's bytes hold.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Scan<'a> {
    pub(super) header: Option<Header>,
    /// The good entries, numbers ascending.
    pub(super) entries: Vec<Entry<'a>>,
    /// The end of the last good entry.
    pub(super) end: usize,
    /// Something other than zeros follows: a torn or damaged entry.
    pub(super) damaged_tail: bool,
}

/// Reads everything that is good in a segment's bytes. The bytes may be anything.
pub(super) fn scan(id: SegmentId, bytes: &[u8]) -> Scan<'_> {
    let header = decode_header(id, bytes);
    let mut scan =
        Scan { header, entries: Vec::new(), end: HEADER_LEN.min(bytes.len()), damaged_tail: false };
    let zeros_from = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
    let mut at = HEADER_LEN;
    // Without a header the first number is unknown: any good entry may begin.
    let mut expected = header.map(|h| h.first);
    let mut highest = header.map_or(u64::MAX, |h| h.first);
    while at < zeros_from {
        match entry_at(id, bytes, at, expected.unwrap_or(1)..=highest) {
            Some(entry) => {
                at += ENTRY_OVERHEAD + entry.payload.len();
                expected = entry.seq.checked_add(1);
                highest = entry.seq.saturating_add(1);
                scan.entries.push(entry);
                scan.end = at;
            }
            None => {
                // Damage: step on. A skipped entry takes its overhead at least, which bounds how far numbers jump.
                at += 1;
                let damaged = (at - scan.end).div_ceil(ENTRY_OVERHEAD) as u64;
                highest = expected.map_or(u64::MAX, |e| e.saturating_add(damaged));
            }
        }
    }
    scan.damaged_tail = scan.end < zeros_from;
    scan
}

/// The good entry at `at`, if its number is one of `numbers` (looked at first: it spares most checksums in damage).
fn entry_at(id: SegmentId, bytes: &[u8], at: usize, numbers: RangeInclusive<u64>) -> Option<Entry<'_>> {
    let rest = bytes.get(at..)?;
    let (head, body) = rest.split_first_chunk::<ENTRY_OVERHEAD>()?;
    let len = u32_at(head, 0)? as usize;
    let seq = u64_at(head, 8)?;
    if len == 0 || len > MAX_PAYLOAD || !numbers.contains(&seq) {
        return None;
    }
    let payload = body.get(..len)?;
    let crc = entry_crc(id, &head[0..4], &head[8..16], payload);
    (crc == u32_at(head, 4)?).then_some(Entry { seq, payload })
}

fn entry_crc(id: SegmentId, len: &[u8], seq: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = id.hasher();
    hasher.update(len);
    hasher.update(seq);
    hasher.update(payload);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SegmentId = SegmentId { lane: Lane::Summary, index: 7, boot: BootId(0x0000_0003_dead_beef) };

    fn segment(count: u64) -> Vec<u8> {
        let mut bytes = encode_header(ID, Header { first: 11, accounted_from: 11 }).to_vec();
        for seq in 11..11 + count {
            bytes.extend(encode_entry(ID, seq, format!("record {seq}").as_bytes()));
        }
        bytes.resize(bytes.len() + 64, 0);
        bytes
    }

    #[test]
    fn names_are_read_back_and_foreign_ones_left_alone() {
        assert_eq!(ID.name(), "summary-00000007-00000003deadbeef.seg");
        assert_eq!(SegmentId::parse(&ID.name()), Some(ID));
        for foreign in
            ["lock", "cursor", "summary-7-3.seg", "other-00000007-00000003deadbeef.seg", ".seg", "--.seg"]
        {
            assert_eq!(SegmentId::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn what_was_written_is_scanned() {
        let bytes = segment(3);
        let scan = scan(ID, &bytes);
        assert_eq!(scan.entries.iter().map(|e| e.seq).collect::<Vec<_>>(), [11, 12, 13]);
        assert_eq!(scan.entries[2].payload, b"record 13");
        assert_eq!((scan.end, scan.damaged_tail), (bytes.len() - 64, false));
    }

    #[test]
    fn a_change_of_any_byte_costs_at_most_its_own_record_and_shows() {
        let good = segment(4);
        let end = good.len() - 64;
        let whole = scan(ID, &good);
        for at in 0..end {
            let mut bad = good.clone();
            bad[at] ^= 0x41;
            let found = scan(ID, &bad);
            assert!(found.entries.len() >= 3, "byte {at} cost more than one record");
            assert!(found.entries.iter().all(|e| whole.entries.contains(e)), "byte {at} invented a record");
            let shows = found.header.is_none() || found.entries.len() == 3;
            assert!(shows, "a change of byte {at} went unseen");
            let last_hit = found.entries.last().is_some_and(|e| e.seq == 13);
            assert_eq!(found.damaged_tail, last_hit, "byte {at}");
        }
    }

    #[test]
    fn a_cut_at_any_length_keeps_what_is_whole() {
        let good = segment(4);
        for len in 0..good.len() {
            let found = scan(ID, &good[..len]);
            assert!(found.end <= len.max(HEADER_LEN.min(len)));
            assert!(found.entries.iter().enumerate().all(|(i, e)| e.seq == 11 + i as u64));
        }
    }

    #[test]
    fn entries_of_another_boot_are_not_taken() {
        let other = SegmentId { boot: BootId(9), ..ID };
        assert!(scan(other, &segment(3)).entries.is_empty());
    }
}
