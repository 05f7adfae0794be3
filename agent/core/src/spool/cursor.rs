//! The cursor: how far each lane is acknowledged, and the losses that are not yet written as records. Two slots,
//! each on flash pages of its own, are written in turn, so that a torn write leaves the older one. A cursor that
//! is behind costs a second sending, never a record.
//!
//! The file is reserved once and overwritten in place: on a full disk a loss can still be made durable here
//! before anything is removed to make room.

use super::lane::Dropped;
use serde::{Deserialize, Serialize};
use telltale_wire::ids::BootId;
use telltale_wire::record::LossRecord;

/// The cursor's file.
pub(super) const NAME: &str = "cursor";
/// What it is called until it holds its first slot.
pub(super) const ASIDE: &str = "cursor.new";
/// Room for a full ledger.
const SLOT_STRIDE: usize = 32 * 1024;
/// Both slots.
pub(super) const FILE_LEN: u64 = 2 * SLOT_STRIDE as u64;

const MAGIC: [u8; 4] = *b"TTCU";

/// How far one lane is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct LaneCursor {
    /// Segments with a lower index are done: acknowledged, or lost and accounted for.
    pub(super) index: u64,
    /// The boot of that segment.
    pub(super) boot: BootId,
    /// Everything of that boot up to here is done.
    pub(super) acked: u64,
}

/// All lanes at one moment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// Grows with each write; its parity chooses the slot.
    pub(super) generation: u64,
    pub(super) lanes: [LaneCursor; 4],
    /// The ledger: losses without a durable record.
    pub(super) losses: Vec<LossRecord>,
    /// What is missing between the segments and told already. Cursors of earlier versions end before this.
    pub(super) dropped: Vec<Dropped>,
}

impl Cursor {
    /// Where this generation is written.
    pub(super) fn offset(&self) -> u64 {
        (self.generation % 2) * SLOT_STRIDE as u64
    }

    /// A slot: `"TTCU"`, the length and the checksum of what follows, and the cursor in postcard. `None` if it does
    /// not fit, which a bounded ledger rules out.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let body = postcard::to_allocvec(self).ok()?;
        let mut slot = MAGIC.to_vec();
        slot.extend_from_slice(&(body.len() as u32).to_le_bytes());
        slot.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        slot.extend_from_slice(&body);
        (slot.len() <= SLOT_STRIDE).then_some(slot)
    }

    /// The newer of the two slots that are whole.
    pub(super) fn read(file: &[u8]) -> Option<Self> {
        let second = file.get(SLOT_STRIDE..).and_then(Self::decode);
        [Self::decode(file), second].into_iter().flatten().max_by_key(|cursor| cursor.generation)
    }

    fn decode(slot: &[u8]) -> Option<Self> {
        let ([m0, m1, m2, m3, l0, l1, l2, l3, crc @ ..], rest) = slot.split_first_chunk::<12>()?;
        let body = rest.get(..u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize)?;
        let whole = [*m0, *m1, *m2, *m3] == MAGIC && crc32fast::hash(body) == u32::from_le_bytes(*crc);
        if !whole {
            return None;
        }
        postcard::from_bytes(body).ok().or_else(|| {
            let (generation, lanes, losses) = postcard::from_bytes(body).ok()?;
            Some(Self { generation, lanes, losses, dropped: Vec::new() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::lane::MAX_DROPPED;
    use super::super::ledger::{Ledger, range};
    use super::*;
    use telltale_wire::ids::Lane;
    use telltale_wire::record::LossStage;
    use telltale_wire::time::{MonoTime, Stamp, WallTime};

    fn cursor(generation: u64) -> Cursor {
        let lane = |i| LaneCursor { index: i, boot: BootId(40 + i), acked: generation };
        Cursor {
            generation,
            lanes: [lane(0), lane(1), lane(2), lane(3)],
            losses: Vec::new(),
            dropped: Vec::new(),
        }
    }

    fn file(cursors: &[Cursor]) -> Vec<u8> {
        let mut file = vec![0; FILE_LEN as usize];
        for c in cursors {
            let at = c.offset() as usize;
            let slot = c.encode().unwrap();
            file[at..at + slot.len()].copy_from_slice(&slot);
        }
        file
    }

    #[test]
    fn the_newer_slot_counts_and_a_damaged_one_leaves_the_older() {
        let whole = file(&[cursor(4), cursor(5)]);
        assert_eq!(Cursor::read(&whole), Some(cursor(5)));
        for at in 0..cursor(5).encode().unwrap().len() {
            let mut torn = whole.clone();
            torn[SLOT_STRIDE + at] ^= 1;
            assert_eq!(Cursor::read(&torn), Some(cursor(4)), "byte {at}");
        }
        assert_eq!(Cursor::read(&[0; 64]), None);
        assert_eq!(Cursor::read(&file(&[])), None);
    }

    #[test]
    fn a_full_ledger_fits() {
        let mut ledger = Ledger::default();
        for n in 0..1_000 {
            let at = Stamp { mono: MonoTime(u64::MAX), wall: Some(WallTime(i64::MIN)) };
            let range = range(BootId(u64::MAX), Lane::Bulk, u64::MAX - 2 * n, u64::MAX - 2 * n);
            ledger.add_range(at, LossStage::SpoolWrite, range, &"x".repeat(500));
        }
        let boot = BootId(u64::MAX);
        let gone = Dropped { lane: Lane::Bulk, index: u64::MAX, boot, first: u64::MAX, last: u64::MAX };
        let full = Cursor {
            losses: ledger.entries().to_vec(),
            dropped: vec![gone; 3 * MAX_DROPPED],
            ..cursor(u64::MAX)
        };
        assert!(full.encode().is_some());
    }

    #[test]
    fn a_cursor_of_an_earlier_version_is_read() {
        let now = cursor(7);
        let body = postcard::to_allocvec(&(now.generation, now.lanes, &now.losses)).unwrap();
        let mut slot = MAGIC.to_vec();
        slot.extend_from_slice(&(body.len() as u32).to_le_bytes());
        slot.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        slot.extend_from_slice(&body);
        assert_eq!(Cursor::read(&slot), Some(now));
    }
}
