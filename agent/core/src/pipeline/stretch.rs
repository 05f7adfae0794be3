//! What the summary of the stretch under way will say of a model's subjects.

use crate::feature::FeatureTable;
use telltale_wire::record::{ABSENT, IndeterminateReason, NO_SCORE};

/// One model's subjects, since the last summary.
pub(super) struct Stretch {
    pub(super) windows: u32,
    pub(super) reference: f32,
    pub(super) deviation: Vec<i16>,
    pub(super) best: Vec<u8>,
}

impl Stretch {
    pub(super) fn new(subjects: usize) -> Stretch {
        Stretch {
            windows: 0,
            reference: 0.0,
            deviation: vec![ABSENT; subjects],
            best: vec![NO_SCORE; subjects],
        }
    }

    pub(super) fn note(
        &mut self,
        subject: usize,
        table: &FeatureTable,
        score: Result<f32, IndeterminateReason>,
    ) {
        if table.state(subject).is_ok() {
            let thousandths = table.deviation(subject) * 1_000.0;
            // ABSENT is the lowest i16: a value never takes its place.
            self.deviation[subject] = thousandths.round().clamp(-32_767.0, 32_767.0) as i16;
        }
        if let Ok(score) = score {
            let score = (score * 250.0).round().clamp(0.0, 250.0) as u8;
            let best = &mut self.best[subject];
            *best = if *best == NO_SCORE { score } else { score.max(*best) };
        }
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) {
        self.best.fill(NO_SCORE);
        self.deviation.fill(ABSENT);
    }
}
