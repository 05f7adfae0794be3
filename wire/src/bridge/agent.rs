//! What the agent says to the microcontroller. Every message may be lost: each is repeated until a beat shows that
//! it arrived.

use crc::{CRC_32_ISCSI, Crc, Table};
use heapless::Vec;
use serde::{Deserialize, Serialize};

/// The most acceptance filters: 640 bytes in the microcontroller, and as many again while a set comes in.
pub const MAX_FILTERS: usize = 64;

/// How many filters one message carries.
const PER_PART: usize = 16;

/// The filters of one message.
pub type FiltersPerPart = Vec<Filter, PER_PART>;

const CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

/// What the agent says. Append only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AgentMessage {
    /// An agent is there: repeated until a beat names its session.
    Open(Open),
    /// Frames have been taken: sent ten times a second at least, so that it tells that the agent lives.
    Grant(Grant),
    /// A part of the acceptance filters: the parts are repeated until a beat names their digest.
    Filters(FilterPart),
}

/// An agent is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Open {
    /// `LINK_VERSION` of the agent.
    pub version: u16,
    /// Differs from opening to opening; not zero.
    #[serde(with = "postcard::fixint::le")]
    pub session: u32,
    /// How many frames may be under way: sent and not yet taken.
    pub window: u32,
}

/// Frames have been taken, or are known to be lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// The session it belongs to.
    #[serde(with = "postcard::fixint::le")]
    pub session: u32,
    /// All numbers below this one.
    pub taken: u64,
}

/// A part of the acceptance filters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FilterPart {
    /// The digest of the whole set.
    #[serde(with = "postcard::fixint::le")]
    pub digest: u32,
    /// Where this part begins in the set.
    pub first: u8,
    /// How many filters the set has, up to [`MAX_FILTERS`].
    pub total: u8,
    /// The filters.
    pub filters: FiltersPerPart,
}

/// Lets frames pass whose identifier has the bits of `id` where `mask` has ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Filter {
    /// The controller that it is for.
    pub channel: u8,
    /// Whether it is for 29-bit identifiers.
    pub extended: bool,
    /// The identifier.
    #[serde(with = "postcard::fixint::le")]
    pub id: u32,
    /// Which of its bits count.
    #[serde(with = "postcard::fixint::le")]
    pub mask: u32,
}

/// Acceptance filters: a frame passes if one of them lets it pass.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FilterSet(pub Vec<Filter, MAX_FILTERS>);

impl Filter {
    /// Whether it lets such a frame pass.
    #[must_use]
    pub const fn passes(&self, channel: u8, extended: bool, id: u32) -> bool {
        self.channel == channel && self.extended == extended && (id ^ self.id) & self.mask == 0
    }
}

impl FilterSet {
    /// Whether such a frame passes.
    #[must_use]
    pub fn passes(&self, channel: u8, extended: bool, id: u32) -> bool {
        self.0.iter().any(|filter| filter.passes(channel, extended, id))
    }

    /// Names the set, so that both sides know which is in force. Not zero.
    #[must_use]
    pub fn digest(&self) -> u32 {
        let mut digest = CRC.digest();
        for filter in &self.0 {
            digest.update(&[filter.channel, u8::from(filter.extended)]);
            digest.update(&filter.id.to_le_bytes());
            digest.update(&filter.mask.to_le_bytes());
        }
        digest.finalize().max(1)
    }

    /// The set in messages.
    pub fn parts(&self) -> impl Iterator<Item = FilterPart> {
        let (digest, total) = (self.digest(), self.0.len() as u8);
        self.0.chunks(PER_PART).enumerate().map(move |(part, filters)| FilterPart {
            digest,
            first: (part * PER_PART) as u8,
            total,
            filters: filters.iter().copied().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXACT: Filter = Filter { channel: 0, extended: false, id: 0x123, mask: 0x7FF };

    #[test]
    fn a_filter_looks_at_channel_format_and_masked_bits() {
        assert!(EXACT.passes(0, false, 0x123));
        assert!(!EXACT.passes(1, false, 0x123));
        assert!(!EXACT.passes(0, true, 0x123));
        assert!(!EXACT.passes(0, false, 0x122));
        assert!(Filter { mask: 0x7F0, ..EXACT }.passes(0, false, 0x12F));
    }

    #[test]
    fn the_parts_are_the_set_and_carry_its_digest() {
        let filters = (0..MAX_FILTERS as u32).map(|id| Filter { id, ..EXACT }).collect();
        let set = FilterSet(filters);
        let parts: std::vec::Vec<_> = set.parts().collect();
        assert_eq!(parts.len(), 4);
        let joined: Vec<Filter, MAX_FILTERS> = parts.iter().flat_map(|part| part.filters.clone()).collect();
        assert_eq!(FilterSet(joined), set);
        assert!(
            parts.iter().all(|part| part.digest == set.digest() && usize::from(part.total) == MAX_FILTERS)
        );
        assert_ne!(FilterSet::default().digest(), 0);
    }

    extern crate std;
}
