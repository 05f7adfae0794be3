//! The rule beside the network: what is counted over a few seconds, each count against a limit of its own.
//!
//! The limits belong to the model (`[rule]` of its `model.toml`), whose training derives them from clean seconds; none is
//! written here. What a bus that was held up does by itself, intervals that are too long and frames that then come at once,
//! is taken off before: the rule is about single units.

use super::count::Count;
use super::second::Second;
use serde::Deserialize;

/// The most seconds that are summed: no more are kept.
pub const MOST_SECONDS: usize = 4;

/// From which sum on the rule speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Over how many seconds, the judged one last: 1 to [`MOST_SECONDS`].
    pub seconds: usize,
    /// Of each of [`Rule::COUNTS`].
    pub limits: [u32; Rule::COUNTS.len()],
}

impl Rule {
    /// What is summed, in the order of the limits; of [`Count::Close`] what is beyond [`Count::Long`] in each second.
    pub const COUNTS: [Count; 9] = [
        Count::Close,
        Count::Shape,
        Count::Step,
        Count::Check,
        Count::Frozen,
        Count::Unknown,
        Count::Missing,
        Count::Excess,
        Count::Deficit,
    ];

    /// What is wrong with it: the field, and what it should be.
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        if !(1..=MOST_SECONDS).contains(&self.seconds) {
            return Some(("rule.seconds", "1 to 4 seconds"));
        }
        self.limits.contains(&0).then_some(("rule.limits", "at least 1 each"))
    }

    /// 1 if a sum reaches its limit, else 0.
    #[must_use]
    pub fn score(&self, second: &Second) -> f32 {
        let sums = second.sums(self.seconds);
        f32::from(u8::from(sums.iter().zip(self.limits).any(|(sum, limit)| *sum >= limit)))
    }
}

/// What the rule takes of a second's counts.
pub(super) fn taken(counts: &Second) -> [u32; Rule::COUNTS.len()] {
    Rule::COUNTS.map(|count| match count {
        Count::Close => counts.count(count).saturating_sub(counts.count(Count::Long)),
        count => counts.count(count),
    })
}
