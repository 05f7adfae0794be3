//! Each frame against its identifier's profile.
//!
//! A frame costs one look into a table, a handful of comparisons and some bit arithmetic, the same for every frame that is
//! as expected; only what is odd takes the longer way. Nothing is allocated after the start:
//! memory is bounded by the profile's identifiers.

use super::count::Count;
use super::places::Places;
use super::profile::{BusProfile, Profile};
use super::second::{Second, Tally};
use super::track::{PAIR, Track};
use crate::frame::{CanFrame, FrameKind};
use telltale_wire::time::MonoTime;
use thiserror::Error;

/// The grid: counts of one second make a row of features.
pub const SECOND_US: u64 = 1_000_000;
/// Seconds after a bus begins to speak in which nothing is judged: not every identifier has been heard twice.
pub const WARM_UP: u32 = 2;

/// A profile that does not fit the vehicle.
#[derive(Debug, Error)]
pub enum FitError {
    /// The profile has a bus that the catalog lacks.
    #[error(
        "the profile {profile} describes the bus {bus}, and the catalog has no bus of that name: it is of another vehicle type"
    )]
    NoSuchBus {
        /// The profile's name.
        profile: String,
        /// The bus.
        bus: String,
    },
}

/// Watches the buses of a profile.
pub struct Detector {
    /// By [`crate::frame::BusId`]; a bus without a profile is not watched.
    buses: Vec<Option<Box<Bus>>>,
    names: Vec<String>,
    /// The end of the second under way.
    due: Option<MonoTime>,
}

struct Bus {
    /// The place of each identifier in `tracks`.
    places: Places,
    tracks: Vec<Track>,
    /// Who may follow whom: a row of `width` words for each identifier, with a bit for each that came after it. Behind
    /// the identifiers stand the strangers, whom nobody follows, and the beginning, which anybody does.
    pairs: Vec<u64>,
    width: usize,
    /// Where the row of the latest identifier begins.
    row: usize,
    tally: Tally,
    latest: u64,
    /// Longer than this without a frame, and the bus has stopped.
    stops_after: u64,
    sleeps_alone: bool,
    awake: u32,
    second: Second,
}

impl Detector {
    /// A detector for the buses that both a profile and the catalog have.
    ///
    /// # Errors
    /// [`FitError`] if the profile has a bus that is not among `buses`, the catalog's names by [`crate::frame::BusId`].
    pub fn new(profile: &Profile, buses: &[String]) -> Result<Detector, FitError> {
        let stranger = profile.buses.iter().find(|bus| !buses.contains(&bus.name));
        if let Some(bus) = stranger {
            return Err(FitError::NoSuchBus { profile: profile.name.clone(), bus: bus.name.clone() });
        }
        let bus = |name: &String| {
            profile.buses.iter().find(|bus| bus.name == *name).map(|bus| Box::new(Bus::new(bus)))
        };
        Ok(Detector { buses: buses.iter().map(bus).collect(), names: buses.to_vec(), due: None })
    }

    /// The buses that are watched, in the order of [`Detector::advance`].
    pub fn subjects(&self) -> impl Iterator<Item = &str> {
        self.buses.iter().zip(&self.names).filter_map(|(bus, name)| bus.as_ref().map(|_| name.as_str()))
    }

    /// Takes a frame, up to whose time the detector was advanced.
    #[inline]
    pub fn saw(&mut self, frame: &CanFrame) {
        if let Some(Some(bus)) = self.buses.get_mut(usize::from(frame.bus.0)) {
            bus.saw(frame);
        }
    }

    /// When the second under way ends; `None` before the first frame.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<MonoTime> {
        self.due
    }

    /// Turns time to `now`: ends what seconds are over, and hands over each in which a watched bus spoke. Whether it is
    /// called in between changes nothing.
    pub fn advance(&mut self, now: MonoTime, mut over: impl FnMut(MonoTime, &Seconds<'_>)) {
        let Some(mut due) = self.due else {
            self.due = Some(next_end(now));
            return;
        };
        // After one empty second every bus is asleep, and a further one changes nothing.
        for _ in 0..2 {
            if now < due {
                break;
            }
            // Where one speaks, the vehicle is awake, and who stopped did not go to sleep with it.
            let speaks = |bus: &Bus| !bus.has_stopped(due);
            let is_awake = self.buses.iter().flatten().any(|bus| speaks(bus));
            self.buses.iter_mut().flatten().for_each(|bus| bus.close(due, is_awake));
            let seconds = Seconds(&self.buses);
            if seconds.heard().next().is_some() {
                over(due, &seconds);
            }
            due = MonoTime(due.as_micros().saturating_add(SECOND_US));
        }
        self.due = Some(if now < due { due } else { next_end(now) });
    }
}

/// One second of all watched buses.
pub struct Seconds<'a>(&'a [Option<Box<Bus>>]);

impl Seconds<'_> {
    /// The buses that spoke or should have spoken, by their place among [`Detector::subjects`].
    pub fn heard(&self) -> impl Iterator<Item = (usize, &Second)> {
        let all = self.0.iter().flatten().map(|bus| &bus.second).enumerate();
        all.filter(|(_, second)| second.is_told())
    }
}

const fn next_end(at: MonoTime) -> MonoTime {
    MonoTime((at.as_micros() / SECOND_US + 1).saturating_mul(SECOND_US))
}

impl Bus {
    fn new(profile: &BusProfile) -> Bus {
        let count = profile.ids.len();
        let width = count.div_ceil(64).max(1);
        let mut pairs = vec![0u64; (count + 2) * width];
        for (place, known) in profile.ids.iter().enumerate() {
            for (after, _) in known.after.iter().enumerate().filter(|(_, came)| **came) {
                pairs[place * width + after / 64] |= 1 << (after % 64);
            }
        }
        pairs[(count + 1) * width..].fill(u64::MAX);
        Bus {
            places: Places::of(profile.ids.iter().map(|known| known.id)),
            tracks: profile.ids.iter().map(Track::new).collect(),
            pairs,
            width,
            row: (count + 1) * width,
            tally: Tally::default(),
            latest: 0,
            stops_after: 2 * u64::from(profile.gap_us),
            sleeps_alone: profile.sleeps_alone,
            awake: 0,
            second: Second::new(profile.frames_per_s),
        }
    }

    #[inline]
    fn saw(&mut self, frame: &CanFrame) {
        let place = match frame.kind {
            FrameKind::Classic | FrameKind::Fd => self.places.find(frame.id),
            _ => usize::MAX,
        };
        let Some(track) = self.tracks.get_mut(place) else {
            self.stranger(frame);
            return;
        };
        self.tally.frames += 1;
        self.latest = frame.at.as_micros();
        let known = self.pairs.get(self.row + place / 64).is_some_and(|bits| bits >> (place % 64) & 1 == 1);
        self.row = place * self.width;
        let odd = track.saw(frame) | if known { 0 } else { PAIR };
        if odd != 0 {
            self.note(place, odd);
        }
    }

    /// An identifier that the clean traffic did not have, or a remote frame, which it never has.
    #[inline(never)]
    fn stranger(&mut self, frame: &CanFrame) {
        if frame.kind == FrameKind::Error {
            return;
        }
        self.latest = frame.at.as_micros();
        self.row = self.tracks.len() * self.width;
        self.tally.stranger(frame.id);
    }

    #[inline(never)]
    fn note(&mut self, place: usize, mut odd: u32) {
        while odd != 0 {
            let which = odd.trailing_zeros() as usize;
            odd &= odd - 1;
            self.tracks[place].odd[which] += 1;
            self.tally.odd[which] += 1;
        }
    }

    fn has_stopped(&self, end: MonoTime) -> bool {
        end.as_micros().saturating_sub(self.latest) > self.stops_after
    }

    /// Ends the second that ends at `end`. What a bus still said in the second in which it stopped is judged by the time of
    /// its last frame. The next one, without a frame, is sleep if the others sleep, too, or clean traffic has that; else the
    /// bus was silenced.
    fn close(&mut self, end: MonoTime, is_awake: bool) {
        let stopped = self.has_stopped(end);
        let silenced = self.tally.frames == 0 && is_awake && !self.sleeps_alone && self.awake > 0;
        if self.tally.frames == 0 && !silenced {
            self.second.skip();
            self.sleep();
            return;
        }
        self.awake = self.awake.saturating_add(1);
        let is_cut = stopped && !silenced;
        let until = if is_cut { self.latest } else { end.as_micros() };
        let is_judged = self.awake > WARM_UP;
        let mut misfit = None;
        for track in &mut self.tracks {
            if track.end(until, is_judged) {
                misfit = Some(track.id);
            }
        }
        self.second.close(&mut self.tally, is_cut, is_judged, &mut self.tracks);
        self.second.misfit = misfit;
    }

    /// After a silence of the whole bus, intervals mean nothing.
    fn sleep(&mut self) {
        self.awake = 0;
        self.row = (self.tracks.len() + 1) * self.width;
        self.tracks.iter_mut().for_each(Track::sleep);
    }
}

/// The counts of oddities stand first, in the order of their bits.
const _: () = assert!(Count::Pair as usize == PAIR.trailing_zeros() as usize);
