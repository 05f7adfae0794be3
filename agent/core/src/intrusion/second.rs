//! One second of a bus: what was counted, as a row of features and for a rule that needs no network.

use super::count::{COUNTS, Count};
use super::rule::{self, MOST_SECONDS, Rule};
use super::spec::SecondSpec;
use super::track::{ODDITIES, Track};
use crate::frame::CanId;

/// A count beyond this is that of something else than one frame too many: features end here, at 8 as logarithms.
const MOST: u32 = 255;

/// One second of one bus.
#[derive(Clone, Debug)]
pub struct Second {
    /// By [`Count`].
    pub counts: [u32; COUNTS],
    /// Of each count of identifiers, the one that has the most of it.
    tops: [Option<Top>; COUNTS],
    frames_per_s: [u32; 2],
    is_told: bool,
    is_judged: bool,
    /// Whether the bus stopped in it, so that what is not there says nothing.
    is_cut: bool,
    /// What the rule sums, of this second and those before, the latest first.
    taken: [[u32; Rule::COUNTS.len()]; MOST_SECONDS],
    /// Whose profile has not fitted for an hour, and is given up in part from now on.
    pub(super) misfit: Option<CanId>,
}

/// An identifier that stands out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Top {
    /// Which.
    pub id: CanId,
    /// How much of it.
    pub value: u32,
    /// How much is known of clean traffic.
    pub reference: u32,
}

impl Second {
    pub(super) const fn new(frames_per_s: [u32; 2]) -> Second {
        Second {
            counts: [0; COUNTS],
            tops: [None; COUNTS],
            frames_per_s,
            is_told: false,
            is_judged: false,
            is_cut: false,
            taken: [[0; Rule::COUNTS.len()]; MOST_SECONDS],
            misfit: None,
        }
    }

    /// Whether there is something to judge: frames, of a bus that has spoken long enough.
    #[must_use]
    pub const fn is_judged(&self) -> bool {
        self.is_judged
    }

    /// Whether there was a frame, or should have been one.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        self.is_told
    }

    /// One count.
    #[must_use]
    pub const fn count(&self, count: Count) -> u32 {
        self.counts[count as usize]
    }

    /// The identifier that has the most of a count, if the count is one of identifiers.
    #[must_use]
    pub const fn top(&self, count: Count) -> Option<Top> {
        self.tops[count as usize]
    }

    /// The fewest and the most frames that a second of clean traffic had.
    #[must_use]
    pub const fn frames_per_s(&self) -> [u32; 2] {
        self.frames_per_s
    }

    /// The row, as a model takes it.
    pub fn row(&self, spec: &SecondSpec, out: &mut [f32]) {
        for (feature, out) in spec.features.iter().zip(out) {
            let value = match feature.count {
                Count::Load => self.load(),
                count => log2(1 + self.count(count).min(MOST)),
            };
            *out = (value / feature.scale).clamp(-feature.clip, feature.clip);
        }
    }

    /// The identifier whose profile has been contradicted in every second of an hour: what of it did not fit is held
    /// against nothing any more. Told in one second.
    #[must_use]
    pub const fn misfit(&self) -> Option<CanId> {
        self.misfit
    }

    /// What the rule takes, summed over this and the seconds before.
    pub(super) fn sums(&self, seconds: usize) -> [u32; Rule::COUNTS.len()] {
        let mut sums = [0u32; Rule::COUNTS.len()];
        for taken in self.taken.iter().take(seconds) {
            sums.iter_mut().zip(taken).for_each(|(sum, one)| *sum = sum.saturating_add(*one));
        }
        sums
    }

    fn load(&self) -> f32 {
        let [fewest, most] = self.frames_per_s;
        let frames = self.count(Count::Load);
        match frames {
            _ if frames > most => log2(1 + frames) - log2(1 + most),
            _ if frames < fewest && !self.is_cut => log2(1 + frames) - log2(1 + fewest),
            _ => 0.0,
        }
    }

    /// A second in which the bus sleeps.
    pub(super) const fn skip(&mut self) {
        self.is_told = false;
        self.is_judged = false;
        self.misfit = None;
        self.taken = [[0; Rule::COUNTS.len()]; MOST_SECONDS];
    }

    /// Takes over what was counted of single frames, and looks at every identifier as a whole.
    pub(super) fn close(&mut self, tally: &mut Tally, is_cut: bool, is_judged: bool, tracks: &mut [Track]) {
        let Tally { odd, unknown, stranger, frames } = std::mem::take(tally);
        self.is_told = true;
        self.is_cut = is_cut;
        self.is_judged = is_judged;
        self.counts = [0; COUNTS];
        self.tops = [None; COUNTS];
        self.counts[..ODDITIES].copy_from_slice(&odd);
        self.counts[Count::Unknown as usize] = unknown;
        self.counts[Count::Load as usize] = frames;
        if let Some((id, _)) = stranger {
            self.tops[Count::Unknown as usize] = Some(Top { id, value: unknown, reference: 0 });
        }
        for track in tracks {
            let odd = std::mem::take(&mut track.odd);
            let seen = std::mem::take(&mut track.seen);
            if is_judged {
                self.look_at(track, seen, &odd);
            }
        }
        if is_judged {
            self.take();
        }
    }

    /// Moves the seconds that the rule sums on by this one.
    fn take(&mut self) {
        self.taken.rotate_right(1);
        self.taken[0] = rule::taken(self);
    }

    fn look_at(&mut self, track: &Track, seen: u32, odd: &[u32; ODDITIES]) {
        let id = track.id;
        for (count, value) in Count::ALL.into_iter().zip(odd) {
            self.note_top(count, Top { id, value: *value, reference: 0 });
        }
        let [fewest, most] = track.per_s;
        self.note_top(Count::Missing, Top { id, value: u32::from(track.is_missing), reference: 0 });
        self.counts[Count::Missing as usize] += u32::from(track.is_missing);
        let excess = seen.saturating_sub(most + 1);
        let deficit = if self.is_cut { 0 } else { fewest.saturating_sub(seen + 1) };
        for (count, beyond, reference) in [(Count::Excess, excess, most), (Count::Deficit, deficit, fewest)] {
            self.counts[count as usize] += beyond;
            // Told as what was seen and what is known; the one that is furthest from it stands out.
            let further = |top: Top| beyond > top.value.abs_diff(top.reference).saturating_sub(1);
            if beyond > 0 && self.top(count).is_none_or(further) {
                self.tops[count as usize] = Some(Top { id, value: seen, reference });
            }
        }
        let all: u32 = odd.iter().take(ODDITIES - 1).sum();
        self.counts[Count::OddIds as usize] += u32::from(all > 0);
        self.counts[Count::Crowded as usize] += u32::from(odd[Count::Close as usize] > 0);
        self.note_top(Count::Worst, Top { id, value: all, reference: 0 });
        self.counts[Count::Worst as usize] = self.counts[Count::Worst as usize].max(all);
    }

    fn note_top(&mut self, count: Count, top: Top) {
        let held = &mut self.tops[count as usize];
        if top.value > held.map_or(0, |held| held.value) {
            *held = Some(top);
        }
    }
}

/// What is counted while a second is under way.
#[derive(Clone, Default, Debug)]
pub(super) struct Tally {
    pub(super) odd: [u32; ODDITIES],
    unknown: u32,
    /// The stranger that most frames were of, by a majority vote, and its votes.
    stranger: Option<(CanId, u32)>,
    pub(super) frames: u32,
}

impl Tally {
    pub(super) fn stranger(&mut self, id: CanId) {
        self.frames += 1;
        self.unknown += 1;
        self.stranger = match self.stranger {
            Some((held, votes)) if held == id => Some((held, votes + 1)),
            Some((held, votes)) if votes > 1 => Some((held, votes - 1)),
            _ => Some((id, 1)),
        };
    }
}

/// In software, so that every machine gives the same bits.
fn log2(x: u32) -> f32 {
    libm::log2f(x as f32)
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::EXAMPLE;
    use super::*;

    fn of(counts: &[(Count, u32)]) -> Second {
        let mut second = Second::new([90, 110]);
        counts.iter().for_each(|(count, value)| second.counts[*count as usize] = *value);
        second
    }

    #[test]
    fn a_row_is_logarithms_scaled_and_clipped() {
        let spec = SecondSpec::parse(EXAMPLE, "s").unwrap();
        let mut row = [0.0; 2];
        of(&[(Count::Unknown, 3), (Count::Load, 100)]).row(&spec, &mut row);
        assert_eq!(row, [4.0, 0.0]);
        of(&[(Count::Unknown, 4_000), (Count::Load, 900)]).row(&spec, &mut row);
        assert_eq!(row, [8.0, 8.0], "the clip");
        of(&[(Count::Load, 44)]).row(&spec, &mut row);
        assert!((-4.2..-3.9).contains(&row[1]), "fewer than ever: {row:?}");
    }

    #[test]
    fn the_rule_tells_a_frame_too_many_from_a_bus_that_was_held_up() {
        let rule = Rule { seconds: 2, limits: [2; 9] };
        let mut held_up = of(&[(Count::Close, 3), (Count::Long, 3), (Count::Pair, 200), (Count::Load, 100)]);
        held_up.take();
        assert_eq!(rule.score(&held_up), 0.0);
        for count in [Count::Close, Count::Unknown, Count::Check] {
            let mut second = of(&[(count, 1)]);
            second.take();
            assert_eq!(rule.score(&second), 0.0, "one may be chance");
            second.take();
            assert_eq!(rule.score(&second), 1.0, "one in each of two seconds is not");
            second.counts = [0; COUNTS];
            second.take();
            assert_eq!((rule.score(&second), Rule { seconds: 3, ..rule }.score(&second)), (0.0, 1.0));
        }
        assert_eq!(Rule { seconds: 5, ..rule }.fault().unwrap().0, "rule.seconds");
        assert_eq!(Rule { limits: [1, 1, 1, 1, 1, 1, 1, 1, 0], ..rule }.fault().unwrap().0, "rule.limits");
    }

    #[test]
    fn the_stranger_of_most_frames_is_named() {
        let mut tally = Tally::default();
        [1, 7, 7, 2, 7].iter().for_each(|id| tally.stranger(CanId::Standard(*id)));
        let mut second = Second::new([1, 1]);
        second.close(&mut tally, false, true, &mut []);
        let top = second.top(Count::Unknown).unwrap();
        assert_eq!((top.id, top.value, second.count(Count::Load)), (CanId::Standard(7), 5, 5));
    }
}
