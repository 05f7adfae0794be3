//! What of the range outlives a restart: the recent trips, and how far off they were.
//!
//! The file is `R`, the format's number, and the body in postcard. A file of the first format has neither of the two: it
//! begins with the number of its trips, at most 16.

use super::{MAX_STATE, MOST, Track, Travelled};
use serde::{Deserialize, Serialize};
use telltale_wire::digest::ShortDigest;

/// What a file begins with, where it tells its format.
const MAGIC: u8 = b'R';
/// The format that is written.
const FORMAT: u8 = 2;

/// What is kept.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Of the document that the trips were foretold by.
    pub(super) document: ShortDigest,
    /// The oldest first.
    pub(super) trips: Vec<Travelled>,
    pub(super) track: Track,
}

impl Kept {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![MAGIC, FORMAT];
        // A value of plain numbers always encodes.
        bytes.extend(postcard::to_allocvec(self).unwrap_or_default());
        bytes
    }
}

/// The document that trips were foretold by, and how far off they were.
type Known = (ShortDigest, Track);

/// The trips of a file and, where it tells them, the rest; `None` if it is damaged, or of a format that is not known.
pub(super) fn read(bytes: &[u8]) -> Option<(Vec<Travelled>, Option<Known>)> {
    if bytes.len() > MAX_STATE {
        return None;
    }
    let (trips, rest) = match bytes {
        [MAGIC, FORMAT, body @ ..] => {
            let Kept { document, trips, track } = postcard::from_bytes(body).ok()?;
            (trips, Some((document, track)))
        }
        [MAGIC, ..] => return None,
        first => (postcard::from_bytes::<Vec<Travelled>>(first).ok()?, None),
    };
    (trips.len() <= MOST && trips.iter().all(is_sound)).then_some((trips, rest))
}

fn is_sound(trip: &Travelled) -> bool {
    let numbers = [trip.km, trip.wh, trip.kmh, trip.stops, trip.ambient_c.unwrap_or(0.0)];
    numbers.iter().all(|x| x.is_finite()) && trip.km > 0.0 && trip.wh > 0.0 && trip.kmh > 0.0
}
