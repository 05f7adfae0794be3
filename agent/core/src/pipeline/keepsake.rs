//! What the loop holds of its subjects beyond a window, as bytes that outlive a restart: verdicts with their hysteresis,
//! the slow trends, the drift's sketches. Bound to the model and the features that it came from; of anything else nothing
//! is taken.

use super::{Pipeline, stamp};
use crate::departure::Trend;
use crate::drift::Sketch;
use crate::verdict::KeptTrack;
use serde::{Deserialize, Serialize};
use telltale_wire::departure::DepartureKind;
use telltale_wire::digest::{Digest, ShortDigest};
use telltale_wire::time::{MonoTime, WallTime};
use thiserror::Error;

#[cfg(test)]
mod tests;

/// What the file is called, beside the spool.
pub const HELD: &str = "held";

/// How the bytes begin: what they are, and the version of their form.
const HEAD: [u8; 8] = *b"ttheld\x00\x01";

/// After so many windows what is held is worth being kept, even if no verdict changed: an hour of operation for
/// windows of five minutes. A cell takes some 110 bytes, so that 96 of them cost 11 kB of flash an hour.
pub const KEEP_AFTER: u64 = 12;

/// What one model holds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) model: ShortDigest,
    pub(super) features: Digest,
    pub(super) name: String,
    /// The end of the latest window, where the wall clock was known.
    pub(super) latest: Option<WallTime>,
    pub(super) tracks: Vec<KeptTrack>,
    pub(super) kinds: Vec<Option<DepartureKind>>,
    pub(super) trends: Vec<Trend>,
    pub(super) drift: Vec<[Sketch; 2]>,
}

/// Why bytes are not what a loop held.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum KeepsakeError {
    /// They begin otherwise.
    #[error("they are not of the form that this agent writes")]
    Strange,
    /// Their checksum does not fit.
    #[error("their checksum does not fit")]
    Torn,
    /// They do not decode.
    #[error("they do not decode: {0}")]
    Malformed(String),
}

/// What became of a model's part of what was held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recalled {
    /// It goes on from it.
    Taken(String),
    /// No model that speaks has this digest and these features; its verdicts begin anew.
    OtherModel(String),
    /// The subjects or sums are not such as this model has.
    Unfit(String),
}

/// How much has happened that is worth being kept: verdicts that changed, and windows judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Happened {
    /// Verdicts that changed since the start.
    pub changes: u64,
    /// Windows judged since the start.
    pub windows: u64,
}

impl Happened {
    /// Whether it is time to keep what is held again.
    #[must_use]
    pub const fn is_worth_keeping(self, kept: Happened) -> bool {
        self.changes != kept.changes || self.windows.abs_diff(kept.windows) >= KEEP_AFTER
    }
}

impl Pipeline {
    /// What the models that speak hold, as bytes for [`Pipeline::recall`] of a later start.
    #[must_use]
    pub fn remember(&self) -> Vec<u8> {
        let at = |mono: MonoTime| stamp(mono, self.anchor).wall;
        let speakers = self.watchers.iter().take(self.speakers);
        let kept: Vec<Kept> = speakers.filter_map(|w| w.mind.keep(w.features, &at)).collect();
        let mut bytes = HEAD.to_vec();
        match postcard::to_extend(&kept, bytes) {
            Ok(encoded) => bytes = encoded,
            Err(error) => {
                // Vectors of plain numbers always encode; without them there is nothing to keep.
                log::error!("what is held was not encoded: {error}");
                return Vec::new();
            }
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// Goes on from what an earlier start remembered. The bytes may come from anywhere: what does not fit is left out,
    /// and told.
    ///
    /// # Errors
    /// [`KeepsakeError`]; nothing was taken then.
    pub fn recall(&mut self, bytes: &[u8]) -> Result<Vec<Recalled>, KeepsakeError> {
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or(KeepsakeError::Strange)?;
        let encoded = body.strip_prefix(&HEAD).ok_or(KeepsakeError::Strange)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
            return Err(KeepsakeError::Torn);
        }
        let kept: Vec<Kept> =
            postcard::from_bytes(encoded).map_err(|e| KeepsakeError::Malformed(e.to_string()))?;
        let speakers = self.speakers;
        let mut recall = |kept: Kept| {
            let name = kept.name.clone();
            let is_same = |w: &&mut super::Watcher| {
                w.mind.reference().digest == kept.model && w.features == kept.features
            };
            match self.watchers.iter_mut().take(speakers).find(is_same) {
                None => Recalled::OtherModel(name),
                Some(watcher) => match watcher.mind.recall(kept) {
                    true => Recalled::Taken(name),
                    false => Recalled::Unfit(name),
                },
            }
        };
        Ok(kept.into_iter().map(&mut recall).collect())
    }

    /// How much has happened so far that is worth being kept.
    #[must_use]
    pub fn happened(&self) -> Happened {
        let minds = || self.watchers.iter().take(self.speakers).map(|w| &w.mind);
        Happened {
            changes: minds().map(super::mind::Mind::changes).sum(),
            windows: minds().map(super::mind::Mind::windows).sum(),
        }
    }
}
