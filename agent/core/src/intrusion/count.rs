//! What is counted of a bus in a second.

use serde::Deserialize;

/// How many things are counted.
pub const COUNTS: usize = 16;
/// What is counted in a second. The first eight are oddities of single frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(usize)]
pub enum Count {
    /// Intervals outside of the range known.
    Jitter,
    /// Three frames where two belong.
    Close,
    /// Intervals in which a frame is missing.
    Long,
    /// Payloads of another length, or in which three bits or more change that never did.
    Shape,
    /// Payloads in which a byte jumped further than ever.
    Step,
    /// Payloads that break a parity: a counter or checksum that does not fit.
    Check,
    /// Identifiers whose payload begins to stand still.
    Frozen,
    /// Identifiers that have never followed the one before them.
    Pair,
    /// Frames of an identifier that the profile does not have.
    Unknown,
    /// Identifiers that have gone silent.
    Missing,
    /// Frames beyond the most of each identifier, one allowed.
    Excess,
    /// Frames below the fewest of each identifier, one allowed.
    Deficit,
    /// The odd frames of the identifier that has the most.
    Worst,
    /// Identifiers of which anything was odd, successors aside.
    OddIds,
    /// Identifiers with frames too many in their interval.
    Crowded,
    /// Frames. As a feature: the binary logarithm of their ratio to the most or the fewest that were known.
    Load,
}

impl Count {
    /// All of them, in their order.
    pub const ALL: [Count; COUNTS] = [
        Count::Jitter,
        Count::Close,
        Count::Long,
        Count::Shape,
        Count::Step,
        Count::Check,
        Count::Frozen,
        Count::Pair,
        Count::Unknown,
        Count::Missing,
        Count::Excess,
        Count::Deficit,
        Count::Worst,
        Count::OddIds,
        Count::Crowded,
        Count::Load,
    ];

    /// What evidence calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Count::Jitter => "intervals outside of their range",
            Count::Close => "frames too many in their interval",
            Count::Long => "intervals too long",
            Count::Shape => "changes of constant bits or of the length",
            Count::Step => "jumps of a byte",
            Count::Check => "counters or checksums that do not fit",
            Count::Frozen => "payloads that begin to stand still",
            Count::Pair => "successors never seen",
            Count::Unknown => "frames of an unknown identifier",
            Count::Missing => "identifiers gone silent",
            Count::Excess => "frames above the most of a second",
            Count::Deficit => "frames below the fewest of a second",
            Count::Worst => "odd frames of one identifier",
            Count::OddIds => "identifiers with odd frames",
            Count::Crowded => "identifiers with frames too many",
            Count::Load => "frames",
        }
    }
}
