//! One second of a bus: what was counted, as a row of features and for a rule that needs no network.

use super::detector::{ODDITIES, Track};
use crate::document::DocumentError;
use crate::frame::CanId;
use serde::Deserialize;
use telltale_wire::digest::Digest;

/// The specification schema that this room reads.
pub const SCHEMA: u32 = 1;
/// What a specification of seconds says of itself.
pub const KIND: &str = "bus-second";
/// How many things are counted.
pub const COUNTS: usize = 16;
/// A count beyond this is that of something else than one frame too many: features end here, at 8 as logarithms.
const MOST: u32 = 255;

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

/// Which counts a model takes, and how they are scaled: `features.toml` of a model that watches buses.
#[derive(Clone, Debug)]
pub struct SecondSpec {
    /// Its name.
    pub name: String,
    /// The digest of the document.
    pub digest: Digest,
    /// The features, in the order of the model's channels.
    pub features: Vec<SecondFeature>,
}

/// A feature: the binary logarithm of one plus a count, over a scale, clipped.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondFeature {
    /// Its name, a column of the tables that training reads.
    pub name: String,
    /// What is counted.
    pub count: Count,
    /// What is divided by.
    pub scale: f32,
    /// The bound on either side.
    pub clip: f32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u32,
    kind: String,
    name: String,
    feature: Vec<SecondFeature>,
}

impl SecondSpec {
    /// Whether a document says that it is one of these, so that it is not read as features of signals.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        #[derive(Deserialize)]
        struct Kind {
            kind: Option<String>,
        }
        toml::from_str::<Kind>(text).is_ok_and(|doc| doc.kind.as_deref() == Some(KIND))
    }

    /// Reads a specification. `origin` names the file in errors.
    ///
    /// # Errors
    /// [`DocumentError`], with the field at fault.
    pub fn parse(text: &str, origin: &str) -> Result<SecondSpec, DocumentError> {
        let doc: Document = toml::from_str(text)
            .map_err(|e| DocumentError::Syntax { origin: origin.into(), message: e.to_string() })?;
        let fail = |field: &str, problem: &str| DocumentError::Value {
            origin: origin.into(),
            field: field.into(),
            problem: problem.into(),
        };
        if doc.schema != SCHEMA || doc.kind != KIND {
            return Err(fail("schema", "this agent reads schema 1 of kind \"bus-second\""));
        }
        if doc.feature.is_empty() || doc.feature.len() > COUNTS {
            return Err(fail("feature", "one to sixteen features"));
        }
        for (place, feature) in doc.feature.iter().enumerate() {
            if doc.feature[..place].iter().any(|other| other.name == feature.name) {
                return Err(fail("feature", "each name once"));
            }
            let positive = |x: f32| x > 0.0 && x.is_finite();
            if !positive(feature.scale) || !positive(feature.clip) {
                return Err(fail(&format!("feature {}", feature.name), "scale and clip are numbers above 0"));
            }
        }
        Ok(SecondSpec { name: doc.name, digest: Digest::of(text.as_bytes()), features: doc.feature })
    }
}

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

    /// A rule beside the network: 1 if something was counted that clean traffic does not have at all, else 0. Where an
    /// interval was too long as well, the bus was held up, and what waited came at once: that is no frame too many.
    #[must_use]
    pub fn rule(&self) -> f32 {
        let limits = [
            (Count::Unknown, 1),
            (Count::Missing, 1),
            (Count::Excess, 3),
            (Count::Deficit, 3),
            (Count::Step, 6),
        ];
        let too_many = self.count(Count::Close) > self.count(Count::Long);
        f32::from(u8::from(too_many || limits.iter().any(|(count, limit)| self.count(*count) >= *limit)))
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
    use super::*;

    const EXAMPLE: &str = "schema = 1\nkind = \"bus-second\"\nname = \"bus-traffic\"\n\
        [[feature]]\nname = \"unknown\"\ncount = \"unknown\"\nscale = 0.5\nclip = 8.0\n\
        [[feature]]\nname = \"load\"\ncount = \"load\"\nscale = 0.25\nclip = 8.0\n";

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
    fn a_specification_says_what_it_is_and_what_is_wrong_with_it() {
        assert!(SecondSpec::is_one(EXAMPLE) && !SecondSpec::is_one("schema = 1") && !SecondSpec::is_one("["));
        for (from, to, expected) in [
            ("schema = 1", "schema = 2", "s: `schema`"),
            ("scale = 0.5", "scale = 0", "`feature unknown`"),
            ("clip = 8.0", "clip = inf", "`feature unknown`"),
            ("name = \"load\"", "name = \"unknown\"", "each name once"),
            ("count = \"load\"", "count = \"loud\"", "unknown variant"),
        ] {
            let error = SecondSpec::parse(&EXAMPLE.replacen(from, to, 1), "s").unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }

    #[test]
    fn the_rule_tells_a_frame_too_many_from_a_bus_that_was_held_up() {
        assert_eq!(
            of(&[(Count::Close, 3), (Count::Long, 3), (Count::Pair, 200), (Count::Load, 100)]).rule(),
            0.0
        );
        assert_eq!(of(&[(Count::Close, 1)]).rule(), 1.0);
        assert_eq!(of(&[(Count::Unknown, 1)]).rule(), 1.0);
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
