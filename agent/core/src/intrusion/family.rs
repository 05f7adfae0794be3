//! What kind of attack a second looks like, and by which identifiers.
//!
//! A list of decisions over the counts, because a person has to be able to follow it: the network says how odd the second
//! is, this says why. One second can look like more than one; the first that holds is told.

use super::count::Count;
use super::second::{Second, Top};
use super::track::NO_LONGER_FITS_AFTER;
use crate::frame::CanId;
use telltale_wire::record::Evidence;
use telltale_wire::unit::Unit;

/// Frames of one identifier beyond its most from which they are a flood, if they are also more than twice that.
const FLOOD: u32 = 20;
/// The most evidence of one verdict.
const MOST_EVIDENCE: usize = 4;

/// A kind of attack.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Family {
    /// One identifier takes the bus.
    Flood,
    /// Identifiers that the vehicle type does not have.
    UnknownId,
    /// Frames beside those of the unit, with a content that it never sends.
    Fuzz,
    /// Frames beside those of the unit, with a content that it might send.
    Replay,
    /// Frames that should be there are not.
    Suppression,
    /// The frames come when they should, but their content is not the unit's.
    Masquerade,
    /// Odd, but like none of these.
    Other,
}

impl Family {
    /// All of them.
    pub const ALL: [Family; 7] = [
        Family::Flood,
        Family::UnknownId,
        Family::Fuzz,
        Family::Replay,
        Family::Suppression,
        Family::Masquerade,
        Family::Other,
    ];

    /// What evidence calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Family::Flood => "flood",
            Family::UnknownId => "unknown identifier",
            Family::Fuzz => "fuzzing",
            Family::Replay => "replay",
            Family::Suppression => "suppression",
            Family::Masquerade => "masquerade",
            Family::Other => "odd traffic",
        }
    }

    /// The kind that a second looks like.
    #[must_use]
    pub fn of(second: &Second) -> Family {
        let count = |count| second.count(count);
        let payload = count(Count::Shape) + count(Count::Step) + count(Count::Check) + count(Count::Frozen);
        // Another clock than the unit's, where no frame is too many or missing.
        let clock = count(Count::Jitter);
        let flood = |count| {
            let floods = |top: Top| {
                let beyond = top.value.saturating_sub(top.reference);
                beyond >= FLOOD && beyond > 2 * top.reference
            };
            second.top(count).is_some_and(floods)
        };
        let beside = count(Count::Close) + count(Count::Excess);
        let absent = count(Count::Missing) + count(Count::Deficit) + count(Count::Long);
        if flood(Count::Unknown) || flood(Count::Excess) {
            Family::Flood
        } else if count(Count::Unknown) > 0 && count(Count::Close) <= 2 * count(Count::Unknown) {
            Family::UnknownId
        } else if beside > 0 && beside * 2 >= absent {
            let is_fuzz = count(Count::Shape) * 2 >= count(Count::Close).max(1);
            if is_fuzz { Family::Fuzz } else { Family::Replay }
        } else if count(Count::Missing) + count(Count::Deficit) > 0 || absent > payload {
            Family::Suppression
        } else if payload + clock > 0 {
            Family::Masquerade
        } else {
            Family::Other
        }
    }

    /// The counts that speak for this kind, the first first.
    const fn counts(self) -> &'static [Count] {
        match self {
            Family::Flood => &[Count::Unknown, Count::Excess, Count::Close],
            Family::UnknownId => &[Count::Unknown, Count::Close, Count::Excess],
            Family::Fuzz => &[Count::Shape, Count::Close, Count::Check, Count::Step],
            Family::Replay => &[Count::Close, Count::Excess, Count::Check, Count::Step],
            Family::Suppression => &[Count::Missing, Count::Deficit, Count::Long],
            Family::Masquerade => &[Count::Check, Count::Shape, Count::Step, Count::Jitter, Count::Frozen],
            Family::Other => &[Count::Worst, Count::Pair, Count::Jitter, Count::Long],
        }
    }
}

/// What is told of an identifier that has contradicted its profile for an hour: for how many seconds.
#[must_use]
pub fn no_longer_fits(id: CanId) -> Evidence {
    Evidence {
        what: format!("{id}: the profile no longer fits: learn it anew. Seconds on end with broken parities"),
        value: NO_LONGER_FITS_AFTER as f32,
        reference: 0.0,
        unit: Unit::Second,
    }
}

/// What a second shows, and beside it what clean traffic shows: the kind first, with the frames of the second, then the
/// counts that speak for it, each with the identifier that has the most of it.
#[must_use]
pub fn evidence(second: &Second) -> Vec<Evidence> {
    let family = Family::of(second);
    let told = |what: String, value: u32, reference: u32| Evidence {
        what,
        value: value as f32,
        reference: reference as f32,
        unit: Unit::None,
    };
    let [fewest, most] = second.frames_per_s();
    let frames = second.count(Count::Load);
    let mut all = vec![told(
        format!("looks like {}: frames of the bus in a second", family.as_str()),
        frames,
        frames.clamp(fewest.min(most), most),
    )];
    for count in family.counts() {
        let value = second.count(*count);
        if value == 0 || all.len() == MOST_EVIDENCE {
            continue;
        }
        all.push(match second.top(*count) {
            Some(top) => told(format!("{}: {}", top.id, count.as_str()), top.value, top.reference),
            None => told(count.as_str().into(), value, 0),
        });
    }
    all
}
