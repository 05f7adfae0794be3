//! From scores to verdicts: hysteresis for each subject, over the windows in which it has a score.

use crate::model::Decision;
use serde::{Deserialize, Serialize};
use telltale_wire::record::{IndeterminateReason, VerdictCode};
use telltale_wire::time::{MonoTime, WallTime};

/// A subject without a score in this many windows in a row is reported as indeterminate.
pub const REPORT_ABSENCE_AFTER: u16 = 6;

/// A change that is worth a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// What is held from now on.
    pub verdict: VerdictCode,
    /// The end of the first window of the run that led here.
    pub since: MonoTime,
    /// The same where it lies in an earlier start, whose monotonic time means nothing any more.
    pub since_wall: Option<WallTime>,
}

/// What one window says of one subject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// What is held.
    pub verdict: VerdictCode,
    /// Set when a person should hear of it.
    pub change: Option<Change>,
}

/// Holds what is thought of each subject. Reordering, gaps and restarts of the window leave it untouched: only
/// windows with a score count.
pub struct Judge {
    decision: Decision,
    tracks: Vec<Track>,
}

#[derive(Clone, Copy)]
struct Track {
    /// Bit i: whether the score i windows ago spoke for an anomaly.
    history: u32,
    quiet: u16,
    absent: u16,
    anomalous: bool,
    absence_reported: bool,
    since: MonoTime,
    since_wall: Option<WallTime>,
}

/// What of a subject outlives a restart.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct KeptTrack {
    pub(crate) history: u32,
    quiet: u16,
    anomalous: bool,
    since: Option<WallTime>,
}

impl Judge {
    /// A judge of this many subjects, all of them nominal so far.
    #[must_use]
    pub fn new(decision: Decision, subjects: usize) -> Judge {
        let fresh = Track {
            history: 0,
            quiet: 0,
            absent: 0,
            anomalous: false,
            absence_reported: false,
            since: MonoTime(0),
            since_wall: None,
        };
        Judge { decision, tracks: vec![fresh; subjects] }
    }

    /// Over how many windows a verdict is formed.
    #[must_use]
    pub const fn enter_of(&self) -> u8 {
        self.decision.enter_of
    }

    /// Whether the subject is held to be anomalous.
    #[must_use]
    pub fn is_anomalous(&self, subject: usize) -> bool {
        self.tracks[subject].anomalous
    }

    /// The first window of the run that led to what is held; by the wall clock where that was in an earlier start.
    pub(crate) fn since(&self, subject: usize) -> (MonoTime, Option<WallTime>) {
        (self.tracks[subject].since, self.tracks[subject].since_wall)
    }

    /// What is to outlive a restart, given the wall time of a moment of this start.
    pub(crate) fn keep(&self, wall: &dyn Fn(MonoTime) -> Option<WallTime>) -> Vec<KeptTrack> {
        let kept = |track: &Track| KeptTrack {
            history: track.history,
            quiet: track.quiet,
            anomalous: track.anomalous,
            since: track.since_wall.or_else(|| wall(track.since)),
        };
        self.tracks.iter().map(kept).collect()
    }

    /// Whether there are as many subjects, and no more windows behind them than a verdict is formed over.
    pub(crate) fn fits(&self, kept: &[KeptTrack]) -> bool {
        kept.len() == self.tracks.len() && kept.iter().all(|k| k.history & !self.decision.mask() == 0)
    }

    /// Goes on from tracks that fit.
    pub(crate) fn recall(&mut self, kept: &[KeptTrack]) {
        for (track, kept) in self.tracks.iter_mut().zip(kept) {
            let KeptTrack { history, quiet, anomalous, since } = *kept;
            *track = Track { history, quiet, anomalous, since_wall: since, ..*track };
        }
    }

    /// Takes the score of the window that ended at `at`, or why there is none.
    pub fn judge(
        &mut self,
        subject: usize,
        at: MonoTime,
        score: Result<f32, IndeterminateReason>,
    ) -> Judgement {
        let decision = &self.decision;
        let track = &mut self.tracks[subject];
        match score {
            Ok(score) => track.score(decision, at, score),
            Err(reason) => track.absence(at, reason),
        }
    }
}

impl Track {
    fn score(&mut self, decision: &Decision, at: MonoTime, score: f32) -> Judgement {
        let recovered = std::mem::take(&mut self.absence_reported);
        self.absent = 0;
        let speaks = score >= decision.enter;
        let mask = decision.mask();
        if !self.anomalous && speaks && self.history & mask == 0 {
            (self.since, self.since_wall) = (at, None);
        }
        self.history = (self.history << 1 | u32::from(speaks)) & mask;
        self.quiet = if score < decision.exit { self.quiet.saturating_add(1) } else { 0 };

        let changed = if self.anomalous {
            self.quiet >= decision.exit_windows
        } else {
            self.history.count_ones() >= u32::from(decision.enter_windows)
        };
        if changed {
            self.anomalous = !self.anomalous;
            self.history = 0;
            self.quiet = 0;
            if !self.anomalous {
                (self.since, self.since_wall) = (at, None);
            }
        }
        let verdict = if self.anomalous { VerdictCode::Anomalous } else { VerdictCode::Nominal };
        let (since, since_wall) =
            if recovered && !changed { (at, None) } else { (self.since, self.since_wall) };
        let change = Change { verdict, since, since_wall };
        Judgement { verdict, change: (changed || recovered).then_some(change) }
    }

    fn absence(&mut self, at: MonoTime, reason: IndeterminateReason) -> Judgement {
        let verdict = VerdictCode::Indeterminate(reason);
        // The subject is there, the model has nothing to say of where the vehicle is: no news of the subject.
        if reason == IndeterminateReason::OutsideTrainingRegime {
            return Judgement { verdict, change: None };
        }
        self.absent = self.absent.saturating_add(1);
        let due = self.absent >= REPORT_ABSENCE_AFTER && !self.absence_reported;
        self.absence_reported |= due;
        Judgement { verdict, change: due.then_some(Change { verdict, since: at, since_wall: None }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECISION: Decision =
        Decision { enter: 0.5, enter_windows: 2, enter_of: 3, exit: 0.2, exit_windows: 2 };
    const GONE: Result<f32, IndeterminateReason> = Err(IndeterminateReason::Stale);

    /// One letter a window (n, a, i), upper case where a change was reported.
    fn run(scores: &[Result<f32, IndeterminateReason>]) -> String {
        let mut judge = Judge::new(DECISION, 1);
        let letter = |(i, s): (usize, &Result<f32, _>)| {
            let judgement = judge.judge(0, MonoTime(i as u64), *s);
            let letter = match judgement.verdict {
                VerdictCode::Nominal => 'n',
                VerdictCode::Anomalous => 'a',
                VerdictCode::Indeterminate(_) => 'i',
            };
            if judgement.change.is_some() { letter.to_ascii_uppercase() } else { letter }
        };
        scores.iter().enumerate().map(letter).collect()
    }

    #[test]
    fn one_high_window_is_not_enough_and_two_of_three_are() {
        assert_eq!(run(&[Ok(0.9), Ok(0.1), Ok(0.1), Ok(0.9), Ok(0.1), Ok(0.9)]), "nnnnnA");
    }

    #[test]
    fn it_takes_a_run_of_low_windows_to_leave() {
        assert_eq!(run(&[Ok(0.9), Ok(0.9), Ok(0.1), Ok(0.3), Ok(0.1), Ok(0.1), Ok(0.9)]), "nAaaaNn");
    }

    #[test]
    fn windows_without_a_score_neither_help_nor_hinder() {
        assert_eq!(run(&[Ok(0.9), GONE, GONE, Ok(0.9), GONE, Ok(0.1)]), "niiAia");
    }

    #[test]
    fn a_long_absence_is_reported_once_and_so_is_its_end() {
        let mut scores = vec![GONE; 8];
        scores.extend([Ok(0.1), Ok(0.1)]);
        assert_eq!(run(&scores), "iiiiiIiiNn");
    }

    #[test]
    fn windows_outside_the_training_regime_are_no_news_of_a_subject() {
        let beyond = Err(IndeterminateReason::OutsideTrainingRegime);
        let mut scores = vec![Ok(0.9)];
        scores.extend([beyond; 10]);
        scores.push(Ok(0.9));
        assert_eq!(run(&scores), "niiiiiiiiiiA");
    }

    #[test]
    fn since_is_the_first_window_of_the_run() {
        let mut judge = Judge::new(DECISION, 1);
        judge.judge(0, MonoTime(1), Ok(0.1));
        judge.judge(0, MonoTime(2), Ok(0.9));
        judge.judge(0, MonoTime(3), Ok(0.1));
        let change = judge.judge(0, MonoTime(4), Ok(0.9)).change.unwrap();
        assert_eq!((change.verdict, change.since), (VerdictCode::Anomalous, MonoTime(2)));
    }
}
