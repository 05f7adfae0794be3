//! The scores of one model, of all its subjects, in the stretch under way.

use super::track::{Extremes, Track};
use telltale_wire::record::IndeterminateReason;
use telltale_wire::signals::Series;

/// Decimals of a score.
const DECIMALS: u8 = 3;

/// What a model gave in its windows.
pub(crate) struct Scores {
    track: Track,
    extremes: Option<Extremes>,
    count: u64,
    absent: [u64; IndeterminateReason::ALL.len()],
}

impl Scores {
    pub(crate) const fn new() -> Scores {
        Scores { track: Track::new(), extremes: None, count: 0, absent: [0; IndeterminateReason::ALL.len()] }
    }

    /// One subject in one window.
    pub(crate) fn add(&mut self, score: Result<f32, IndeterminateReason>) {
        match score.map(f64::from) {
            Ok(score) if score.is_finite() => {
                let before = self.extremes.unwrap_or(Extremes { min: score, max: score, last: score });
                let (min, max) = (before.min.min(score), before.max.max(score));
                self.extremes = Some(Extremes { min, max, last: score });
                self.track.add(score);
                self.count += 1;
            }
            Ok(_) => self.absent[IndeterminateReason::ModelFailed as usize] += 1,
            Err(why) => self.absent[why as usize] += 1,
        }
    }

    /// What the stretch came to; begins anew. Absences are of windows and subjects here, not of steps.
    pub(crate) fn take(&mut self, steps: u32) -> Series {
        let (absent, samples) = (std::mem::take(&mut self.absent), std::mem::take(&mut self.count));
        let values = self.extremes.take().map(|extremes| self.track.take(DECIMALS, extremes));
        if values.is_none() && absent.iter().all(|count| *count == 0) {
            return Series::unheard(steps);
        }
        Series { samples, out_of_range: 0, sensor_fault: 0, absent, longest_gap: 0, values }
    }
}
