//! How a model's runs went: counts, and how long they took, in buckets of an eighth of their size.

use std::time::Duration;
use telltale_wire::agent_event::ModelFault;
use telltale_wire::update::RunFigures;

/// Buckets of an octave.
const PARTS: u32 = 8;
/// Below it each microsecond has a bucket of its own; above it eight an octave, up to 2^32 us.
const BUCKETS: usize = (30 * PARTS) as usize;

/// What is counted of a model's runs. 1 kB.
pub(super) struct Runs {
    figures: RunFigures,
    buckets: Box<[u32; BUCKETS]>,
}

impl Runs {
    pub(super) fn new() -> Runs {
        Runs { figures: RunFigures::default(), buckets: Box::new([0; BUCKETS]) }
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) {
        self.figures = RunFigures::default();
        self.buckets.fill(0);
    }

    /// One run: what was wrong with it, and how long it took where somebody measured.
    pub(super) fn note(&mut self, fault: Option<ModelFault>, took: Option<Duration>) {
        self.figures.inferences += 1;
        match fault {
            None => {}
            Some(ModelFault::NoOutput) => self.figures.no_output += 1,
            Some(ModelFault::NotFinite) => self.figures.not_finite += 1,
            Some(ModelFault::TooSlow) => self.figures.too_slow += 1,
        }
        let Some(took) = took else { return };
        let us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.figures.max_us = self.figures.max_us.max(us);
        if let Some(count) = self.buckets.get_mut(bucket(us)) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn figures(&self) -> RunFigures {
        let longest = self.figures.max_us;
        RunFigures {
            p50_us: self.quantile(50).min(longest),
            p99_us: self.quantile(99).min(longest),
            ..self.figures
        }
    }

    /// The end of the bucket that this share of the runs, in percent, does not exceed.
    fn quantile(&self, percent: u64) -> u32 {
        let all: u64 = self.buckets.iter().map(|count| u64::from(*count)).sum();
        let mut below = 0;
        for (place, count) in self.buckets.iter().enumerate() {
            below += u64::from(*count);
            if all > 0 && below * 100 >= all * percent {
                return end(place);
            }
        }
        0
    }
}

/// 0 to 7 by themselves, then eight an octave.
fn bucket(us: u32) -> usize {
    match us.checked_ilog2() {
        None | Some(0..=2) => us as usize,
        Some(octave) => ((octave - 2) * PARTS + ((us >> (octave - 3)) & (PARTS - 1))) as usize,
    }
}

/// The highest value of a bucket.
fn end(bucket: usize) -> u32 {
    let (octave, part) = (bucket as u32 / PARTS, bucket as u32 % PARTS);
    match octave {
        0 => part,
        octave => ((u64::from(PARTS + part + 1) << (octave - 1)) - 1).min(u64::from(u32::MAX)) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_that_ends_at_most_an_eighth_above_it() {
        for us in (0..5_000).chain([99_999, 1 << 20, (1 << 30) + 7, u32::MAX - 1, u32::MAX]) {
            let end = end(bucket(us));
            assert!(bucket(us) < BUCKETS && us <= end, "{us}: {end}");
            assert!(u64::from(end) <= u64::from(us) + u64::from(us) / 8, "{us}: {end}");
        }
    }

    #[test]
    fn figures_are_those_of_the_runs() {
        let mut runs = Runs::new();
        for ms in 1..=100 {
            let fault = (ms > 98).then_some(ModelFault::TooSlow);
            runs.note(fault, Some(Duration::from_millis(ms)));
        }
        runs.note(Some(ModelFault::NoOutput), None);
        let figures = runs.figures();
        assert_eq!((figures.inferences, figures.too_slow, figures.no_output), (101, 2, 1));
        assert!((50_000..57_000).contains(&figures.p50_us), "{figures:?}");
        assert!((99_000..=100_000).contains(&figures.p99_us), "{figures:?}");
        assert_eq!(figures.max_us, 100_000);
        runs.clear();
        assert_eq!(runs.figures(), RunFigures::default());
    }
}
