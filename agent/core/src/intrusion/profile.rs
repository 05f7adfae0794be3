//! The profile of a vehicle type's buses: what their clean traffic looks like, identifier by identifier.
//!
//! A TOML document, written by `telltale bus learn` and named by its digest. It comes from outside: everything in it is
//! bounded and checked before it is used. Payloads are looked at in their first eight bytes.

use crate::document::DocumentError;
use crate::frame::CanId;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use telltale_wire::digest::Digest;

/// The schema that this room reads.
pub const SCHEMA: u32 = 1;
/// The longest document. A full one of four buses has 1.7 MB.
pub const MAX_DOCUMENT: usize = 4 * 1024 * 1024;
/// The most buses of a profile.
pub const MAX_BUSES: usize = 16;
/// The most identifiers of a bus. What the vehicle holds of each is 200 bytes, and 33 kB of a bus for who follows whom.
pub const MAX_IDS: usize = 512;
/// Parities that are checked of each payload: a payload that breaks a rule is seen by 15 in 16.
pub const CHECKS: usize = 4;
/// The longest interval that is taken for a period: an hour.
const MAX_MICROS: u32 = 3_600_000_000;

/// A profile that was read and found sound.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What vehicle type it is of, for people.
    pub name: String,
    /// The digest of the document.
    pub digest: Digest,
    /// Its buses.
    pub buses: Vec<BusProfile>,
}

/// A bus's clean traffic.
#[derive(Clone, PartialEq, Debug)]
pub struct BusProfile {
    /// Its name in the catalog.
    pub name: String,
    /// Whole seconds that it was learned from.
    pub seconds: u32,
    /// The fewest and the most frames in one of them.
    pub frames_per_s: [u32; 2],
    /// The longest time between two of its frames while it was awake, in microseconds.
    pub gap_us: u32,
    /// Whether it has been silent while another bus spoke: then its silence says nothing.
    pub sleeps_alone: bool,
    /// Its identifiers, in ascending order.
    pub ids: Vec<IdProfile>,
}

/// What is known of one identifier.
#[derive(Clone, PartialEq, Debug)]
pub struct IdProfile {
    /// The identifier.
    pub id: CanId,
    /// Frames that it was learned from.
    pub frames: u32,
    /// The shortest and the longest payload, in bytes.
    pub len: [u8; 2],
    /// The fewest and the most frames in one second.
    pub per_s: [u32; 2],
    /// When it comes; `None` if it has no period.
    pub timing: Option<Timing>,
    /// The bits that never changed, the first byte in the highest place.
    pub constant: u64,
    /// The largest change of each byte from one payload to the next that is nothing to speak of.
    pub step: [u8; 8],
    /// Whether a byte goes on from 255 at 0: its changes are then counted the shorter way round.
    pub turns: [bool; 8],
    /// The same payload may come again so many times in a row.
    pub repeats: u32,
    /// Parities that always held.
    pub checks: Vec<Check>,
    /// Whether each identifier of the bus, by its place, has come right behind this one.
    pub after: Vec<bool>,
}

/// When a periodic identifier comes, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// The middle interval.
    pub period_us: u32,
    /// Below this, an interval is outside of the range that is known ...
    pub low_us: u32,
    /// ... and above this.
    pub high_us: u32,
    /// Below this, three frames are too close: one of them does not belong there. 0 where that can't be told.
    pub close_us: u32,
    /// Above this, an interval is too long.
    pub long_us: u32,
}

/// A parity over the bits of a payload and of the payload before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Check {
    /// Bits of the payload.
    pub now: u64,
    /// Bits of the payload before it.
    pub before: u64,
    /// Whether an odd number of them is set.
    pub odd: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u32,
    name: String,
    bus: Vec<BusDocument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BusDocument {
    name: String,
    seconds: u32,
    frames_per_s: [u32; 2],
    gap_us: u32,
    sleeps_alone: bool,
    id: Vec<IdDocument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdDocument {
    id: String,
    frames: u32,
    len: [u8; 2],
    per_s: [u32; 2],
    timing: Option<Timing>,
    constant: String,
    step: [u8; 8],
    #[serde(default)]
    turns: [bool; 8],
    repeats: u32,
    checks: Vec<(String, String, bool)>,
    after: String,
}

impl Profile {
    /// Reads a profile. `origin` names the file in errors.
    ///
    /// # Errors
    /// [`DocumentError`], with the field at fault.
    pub fn parse(text: &str, origin: &str) -> Result<Profile, DocumentError> {
        let fail = |field: String, problem: &str| DocumentError::Value {
            origin: origin.into(),
            field,
            problem: problem.into(),
        };
        if text.len() > MAX_DOCUMENT {
            return Err(fail("the document".into(), "longer than 4 MiB: no profile of `telltale bus learn`"));
        }
        let doc: Document = toml::from_str(text)
            .map_err(|e| DocumentError::Syntax { origin: origin.into(), message: e.to_string() })?;
        let name = |name: &str| (1..=64).contains(&name.len()) && !name.chars().any(char::is_control);
        if doc.schema != SCHEMA {
            return Err(fail("schema".into(), "this agent reads schema 1"));
        }
        if !name(&doc.name) {
            return Err(fail("name".into(), "1 to 64 bytes"));
        }
        if !(1..=MAX_BUSES).contains(&doc.bus.len()) {
            return Err(fail("bus".into(), "1 to 16 buses"));
        }
        let mut seen = BTreeSet::new();
        let mut buses = Vec::with_capacity(doc.bus.len());
        for bus in doc.bus {
            let field = |what: &str| format!("bus {}: {what}", bus.name.escape_debug());
            if !name(&bus.name) || !seen.insert(bus.name.clone()) {
                return Err(fail(field("name"), "1 to 64 bytes, each bus once"));
            }
            if !(1..=MAX_IDS).contains(&bus.id.len()) {
                return Err(fail(field("id"), "1 to 512 identifiers"));
            }
            if bus.seconds == 0 || bus.frames_per_s[0] > bus.frames_per_s[1] {
                return Err(fail(field("frames_per_s"), "at least one second; the fewest before the most"));
            }
            let count = bus.id.len();
            let mut ids = Vec::with_capacity(count);
            for id in bus.id {
                let at = field(&format!("id {}", id.id.escape_debug()));
                ids.push(id.read(count).map_err(|problem| fail(at, problem))?);
            }
            if !ids.is_sorted_by(|a: &IdProfile, b| a.id < b.id) {
                return Err(fail(field("id"), "in ascending order, standard before extended, each once"));
            }
            buses.push(BusProfile {
                name: bus.name,
                seconds: bus.seconds,
                frames_per_s: bus.frames_per_s,
                gap_us: bus.gap_us,
                sleeps_alone: bus.sleeps_alone,
                ids,
            });
        }
        Ok(Profile { name: doc.name, digest: Digest::of(text.as_bytes()), buses })
    }
}

impl IdDocument {
    fn read(self, count: usize) -> Result<IdProfile, &'static str> {
        let id =
            identifier(&self.id).ok_or("three hexadecimal digits, or eight of an extended identifier")?;
        let constant = word(&self.constant)?;
        // Twice the way and the byte itself share 16 bits.
        if self.step.iter().zip(self.turns).any(|(step, turns)| turns && *step > 127) {
            return Err("`turns`: a byte that may go half way round or further can't be held to it");
        }
        if self.len[0] > self.len[1] || self.len[1] > 64 {
            return Err("`len`: the shortest before the longest, at most 64");
        }
        if self.per_s[0] > self.per_s[1] {
            return Err("`per_s`: the fewest before the most");
        }
        if self.timing.is_some_and(|t| !t.is_sound()) {
            return Err("`timing`: low <= period <= high <= long, close < three periods, at most an hour");
        }
        if self.checks.len() > CHECKS {
            return Err("`checks`: at most 4");
        }
        let check = |(now, before, odd): &(String, String, bool)| {
            Ok(Check { now: word(now)?, before: word(before)?, odd: *odd })
        };
        let checks = self.checks.iter().map(check).collect::<Result<Vec<_>, &str>>()?;
        if checks.iter().any(|check| check.now == 0) {
            return Err("`checks`: one that does not look at the payload");
        }
        if self.after.len() != count || !self.after.bytes().all(|b| matches!(b, b'0' | b'1')) {
            return Err("`after`: a 0 or 1 for each identifier of the bus");
        }
        Ok(IdProfile {
            id,
            frames: self.frames,
            len: self.len,
            per_s: self.per_s,
            timing: self.timing,
            constant,
            step: self.step,
            turns: self.turns,
            repeats: self.repeats,
            checks,
            after: self.after.bytes().map(|b| b == b'1').collect(),
        })
    }
}

impl Timing {
    const fn is_sound(&self) -> bool {
        self.low_us <= self.period_us
            && 0 < self.period_us
            && self.period_us <= self.high_us
            && self.high_us <= self.long_us
            && self.long_us <= MAX_MICROS
            && (self.close_us as u64) < 3 * self.period_us as u64
    }
}

/// `123` or `00000123`, as candump prints it.
fn identifier(text: &str) -> Option<CanId> {
    let raw = u32::from_str_radix(text, 16).ok().filter(|_| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
    match text.len() {
        3 => CanId::standard(raw),
        8 => CanId::extended(raw),
        _ => None,
    }
}

fn word(text: &str) -> Result<u64, &'static str> {
    let is_word = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let value = u64::from_str_radix(text, 16).ok().filter(|_| is_word);
    value.ok_or("a word of eight bytes is 16 hexadecimal digits")
}

/// The document of a profile of these buses.
#[must_use]
pub fn document(name: &str, buses: &[BusProfile]) -> String {
    let mut out = format!(
        "# Clean traffic, learned by `telltale bus learn`. Words are the first eight bytes of a payload.\n\
         schema = {SCHEMA}\nname = {name:?}\n"
    );
    for bus in buses {
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "\n[[bus]]\nname = {:?}\nseconds = {}\nframes_per_s = {:?}\ngap_us = {}\nsleeps_alone = {}\n",
            bus.name, bus.seconds, bus.frames_per_s, bus.gap_us, bus.sleeps_alone
        );
        for id in &bus.ids {
            let _ = write!(
                out,
                "\n[[bus.id]]\nid = \"{}\"\nframes = {}\nlen = {:?}\nper_s = {:?}\n",
                id.id, id.frames, id.len, id.per_s
            );
            if let Some(Timing { period_us, low_us, high_us, close_us, long_us }) = id.timing {
                let _ = writeln!(
                    out,
                    "timing = {{ period_us = {period_us}, low_us = {low_us}, high_us = {high_us}, close_us = {close_us}, long_us = {long_us} }}"
                );
            }
            let check = |c: &Check| format!("[\"{:016X}\", \"{:016X}\", {}]", c.now, c.before, c.odd);
            let checks: Vec<String> = id.checks.iter().map(check).collect();
            let after: String = id.after.iter().map(|came| if *came { '1' } else { '0' }).collect();
            let _ = write!(
                out,
                "constant = \"{:016X}\"\nstep = {:?}\nturns = {:?}\nrepeats = {}\nchecks = [{}]\nafter = \"{after}\"\n",
                id.constant,
                id.step,
                id.turns,
                id.repeats,
                checks.join(", ")
            );
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::intrusion) fn example() -> BusProfile {
        let id = |id: u16, period_us: u32| IdProfile {
            id: CanId::Standard(id),
            frames: 900,
            len: [8, 8],
            per_s: [1_000_000 / period_us; 2],
            timing: Some(Timing {
                period_us,
                low_us: period_us - period_us / 4,
                high_us: period_us + period_us / 4,
                close_us: period_us + period_us / 2,
                long_us: period_us + period_us / 2,
            }),
            constant: 0xFF00_0000_0000_0000,
            step: [0, 0, 0, 0, 0, 0, 4, 255],
            turns: [false, false, false, false, false, false, true, false],
            repeats: 3,
            checks: vec![Check { now: 1, before: 1, odd: true }],
            after: vec![false, true],
        };
        BusProfile {
            name: "can0".into(),
            seconds: 90,
            frames_per_s: [108, 112],
            gap_us: 20_000,
            sleeps_alone: false,
            ids: vec![id(0x100, 10_000), id(0x200, 100_000)],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = document("a \"car\"", &[example()]);
        let profile = Profile::parse(&text, "p").unwrap();
        assert_eq!((profile.name.as_str(), &profile.buses), ("a \"car\"", &vec![example()]));
        assert_eq!(profile.digest, Digest::of(text.as_bytes()));
    }

    #[test]
    fn each_fault_is_named_with_its_place() {
        let text = document("car", &[example()]);
        for (from, to, expected) in [
            ("schema = 1", "schema = 2", "p: `schema`"),
            ("name = \"car\"", "name = \"\"", "`name`: 1 to 64"),
            ("seconds = 90", "seconds = 0", "`bus can0: frames_per_s`"),
            ("id = \"200\"", "id = \"100\"", "in ascending order"),
            ("id = \"200\"", "id = \"900\"", "`bus can0: id 900`: three hexadecimal digits"),
            ("id = \"200\"", "id = \"+20\"", "three hexadecimal digits"),
            ("len = [8, 8]", "len = [8, 65]", "`len`"),
            ("low_us = 7500", "low_us = 11000", "`timing`"),
            ("\"FF00000000000000\"", "\"FF0000000000000\"", "16 hexadecimal digits"),
            ("after = \"01\"", "after = \"011\"", "`after`"),
            ("after = \"01\"", "after = \"02\"", "`after`"),
            ("\"0000000000000001\", \"0", "\"0000000000000000\", \"0", "does not look at"),
            ("step = [0, 0, 0, 0, 0, 0, 4,", "step = [0, 0, 0, 0, 0, 0, 128,", "`turns`"),
            ("repeats = 3", "repeat = 3", "unknown field"),
        ] {
            assert!(text.contains(from), "{from}");
            let error = Profile::parse(&text.replacen(from, to, 1), "p").unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
        assert!(Profile::parse(&" ".repeat(MAX_DOCUMENT + 1), "p").is_err());
        let crowd = format!("{text}{}", &text[text.find("\n[[bus]]").unwrap()..]);
        assert!(Profile::parse(&crowd, "p").unwrap_err().to_string().contains("each bus once"));
    }
}
