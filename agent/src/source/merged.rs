//! Several live sources as one, with times in order.
//!
//! Each source is asked in turn; what they have is given in the order of its times. A frame that comes later than a
//! younger one of another source was given, such as one that a bridge kept while it had no agent, gets the time of
//! the latest: order is what the pipeline needs, and `clock_steps` tells how often it cost more than a millisecond.

use super::{MAX_BATCH, MIN_BATCH, Source, SourceError, SourceEvent, SourceReport};
use std::time::Duration;
use telltale_core::bus::LinkNews;
use telltale_core::clock::ClockAnchor;
use telltale_core::frame::{BusId, CanFrame, CanId};
use telltale_wire::time::MonoTime;

/// The longest that one source is waited for while another may have frames.
const TURN: Duration = Duration::from_millis(2);

/// A step below this is the way that frames took.
const JITTER: Duration = Duration::from_millis(1);

/// Several sources on one clock, the machine's.
pub struct MergedSource {
    sources: Vec<Box<dyn Source + Send>>,
    batches: Vec<Vec<CanFrame>>,
    /// How many of each batch have been merged.
    taken: Vec<usize>,
    latest: MonoTime,
    clock_steps: u64,
}

impl MergedSource {
    /// These sources as one. All of them are to be live: on the machine's clock, and without an end.
    #[must_use]
    pub fn new(sources: Vec<Box<dyn Source + Send>>) -> MergedSource {
        let batches = sources.iter().map(|_| Vec::with_capacity(MIN_BATCH)).collect();
        let taken = vec![0; sources.len()];
        MergedSource { sources, batches, taken, latest: MonoTime(0), clock_steps: 0 }
    }

    /// Takes the earliest of all batches' next frames, again and again. Each batch is in order by itself.
    fn merge(&mut self, frames: &mut Vec<CanFrame>) {
        self.taken.fill(0);
        loop {
            let heads = self.batches.iter().zip(&self.taken).enumerate();
            let earliest = heads.filter_map(|(n, (batch, taken))| Some((batch.get(*taken)?, n)));
            let Some((frame, source)) = earliest.min_by_key(|(frame, _)| frame.at) else { return };
            let mut frame = *frame;
            self.taken[source] += 1;
            self.clock_steps += u64::from(self.latest.since(frame.at) >= JITTER);
            self.latest = self.latest.max(frame.at);
            frame.at = self.latest;
            frames.push(frame);
        }
    }

    /// Asks every source once; whether all have ended.
    fn ask(&mut self, wait: Duration) -> Result<bool, SourceError> {
        let mut ended = true;
        for (source, batch) in self.sources.iter_mut().zip(&mut self.batches) {
            ended &= source.next(batch, wait)? == SourceEvent::End;
        }
        Ok(ended)
    }
}

impl Source for MergedSource {
    fn next(&mut self, frames: &mut Vec<CanFrame>, wait: Duration) -> Result<SourceEvent, SourceError> {
        frames.clear();
        let room = frames.capacity().clamp(MIN_BATCH, MAX_BATCH);
        // Each source fills a share of what was asked for.
        let share = (room / self.sources.len().max(1)).max(MIN_BATCH);
        self.batches
            .iter_mut()
            .filter(|batch| batch.capacity() < share)
            .for_each(|batch| batch.reserve(share));
        let turns = wait.as_micros().div_ceil(TURN.as_micros() * self.sources.len().max(1) as u128);
        for _ in 0..turns.max(1) {
            if self.ask(wait.min(TURN))? {
                return Ok(SourceEvent::End);
            }
            self.merge(frames);
            if !frames.is_empty() {
                return Ok(SourceEvent::Frames(frames.len()));
            }
        }
        Ok(SourceEvent::Idle)
    }

    fn now(&self) -> MonoTime {
        super::boot_time()
    }

    fn poll_link(&mut self) -> Option<LinkNews> {
        self.sources.iter_mut().find_map(|source| source.poll_link())
    }

    fn retarget(&mut self, wanted: &[(BusId, CanId)]) -> Result<(), SourceError> {
        self.sources.iter_mut().try_for_each(|source| source.retarget(wanted))
    }

    fn anchor(&self) -> Option<ClockAnchor> {
        self.sources.first().and_then(|source| source.anchor())
    }

    fn lost(&self) -> u64 {
        self.sources.iter().map(|source| source.lost()).sum()
    }

    fn lost_in_bridge(&self) -> u64 {
        self.sources.iter().map(|source| source.lost_in_bridge()).sum()
    }

    fn report(&self) -> SourceReport {
        let mut sum = SourceReport { clock_steps: self.clock_steps, ..SourceReport::default() };
        for report in self.sources.iter().map(|source| source.report()) {
            sum.frames += report.frames;
            sum.lost += report.lost;
            sum.bad_lines += report.bad_lines;
            sum.clock_steps += report.clock_steps;
            sum.unclaimed += report.unclaimed;
            sum.first_bad_lines.extend(report.first_bad_lines);
            sum.notes.extend(report.notes);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use telltale_core::frame::{BusId, CanId, FrameKind};

    /// Gives these batches of times, one a call, and ends.
    struct Script(std::vec::IntoIter<Vec<u64>>, u8);

    impl Source for Script {
        fn next(&mut self, frames: &mut Vec<CanFrame>, _: Duration) -> Result<SourceEvent, SourceError> {
            frames.clear();
            let Some(times) = self.0.next() else { return Ok(SourceEvent::End) };
            let frame =
                |at| CanFrame::new(MonoTime(at), BusId(self.1), CanId::Standard(1), FrameKind::Classic, &[]);
            frames.extend(times.into_iter().filter_map(frame));
            Ok(if frames.is_empty() { SourceEvent::Idle } else { SourceEvent::Frames(frames.len()) })
        }
        fn now(&self) -> MonoTime {
            MonoTime(0)
        }
        fn anchor(&self) -> Option<ClockAnchor> {
            None
        }
        fn lost(&self) -> u64 {
            u64::from(self.1)
        }
        fn report(&self) -> SourceReport {
            SourceReport { lost: self.lost(), ..SourceReport::default() }
        }
    }

    #[test]
    fn times_of_all_sources_are_in_order_and_none_is_left_out() {
        let script = |times: &[&[u64]], bus| -> Box<dyn Source + Send> {
            Box::new(Script(times.iter().map(|batch| batch.to_vec()).collect::<Vec<_>>().into_iter(), bus))
        };
        let mut merged = MergedSource::new(vec![
            script(&[&[10, 30], &[], &[6_000]], 1),
            script(&[&[20], &[], &[31, 5_000], &[7_000]], 2),
        ]);
        let mut frames = Vec::new();
        let mut given = Vec::new();
        while merged.next(&mut frames, Duration::from_millis(20)).unwrap() != SourceEvent::End {
            given.extend(frames.iter().map(|frame| (frame.at.as_micros(), frame.bus.0)));
        }
        assert_eq!(given, [(10, 1), (20, 2), (30, 1), (31, 2), (5_000, 2), (6_000, 1), (7_000, 2)]);
        assert_eq!((merged.lost(), merged.report().lost, merged.report().clock_steps), (3, 3, 0));
    }

    #[test]
    fn a_frame_that_comes_late_is_moved_up_and_counted() {
        let late = Script(vec![vec![], vec![100]].into_iter(), 1);
        let young = Script(vec![vec![9_000], vec![]].into_iter(), 2);
        let mut merged = MergedSource::new(vec![Box::new(late), Box::new(young)]);
        let mut frames = Vec::new();
        merged.next(&mut frames, TURN).unwrap();
        merged.next(&mut frames, TURN).unwrap();
        assert_eq!((frames[0].at, frames[0].bus), (MonoTime(9_000), BusId(1)));
        assert_eq!(merged.report().clock_steps, 1);
    }
}
