//! Which kind of departure was told of each subject, and when another is to be told: the first windows of a fault may look
//! like another kind, and a vehicle that has not been parked yet says nothing of what goes on meanwhile.

use crate::departure::{Departures, Moment, Trend};
use crate::feature::{FeatureSpec, Window};
use telltale_wire::departure::{Departure, DepartureKind};
use telltale_wire::record::VerdictCode;
use telltale_wire::time::WallTime;

/// A kind is told anew when the rule has said another one in so many windows in a row.
const REVISE_AFTER: u8 = 6;

/// The kinds of one model's subjects.
pub(super) struct Kinds {
    departures: Option<Departures>,
    told: Vec<Option<DepartureKind>>,
    /// Windows in a row in which the rule said another kind than was told.
    others: Vec<u8>,
    remembered: Option<WallTime>,
}

impl Kinds {
    pub(super) fn new(spec: &FeatureSpec, subjects: usize) -> Kinds {
        let departures = if spec.charge.is_none() { Departures::new(spec, subjects) } else { None };
        Kinds { departures, told: vec![None; subjects], others: vec![0; subjects], remembered: None }
    }

    /// Takes a window.
    pub(super) fn note(&mut self, window: &Window, at: Moment) {
        if let Some(departures) = &mut self.departures {
            departures.note(window, at);
        }
    }

    /// Whether another kind than the one that was told has held for long enough to be told.
    pub(super) fn is_revised(&mut self, subject: usize, verdict: VerdictCode) -> bool {
        if verdict != VerdictCode::Anomalous {
            return false;
        }
        let Some(now) = self.departures.as_mut().and_then(|d| d.kind_of(subject)) else { return false };
        let others = &mut self.others[subject];
        *others = if Some(now) == self.told[subject] { 0 } else { others.saturating_add(1) };
        *others >= REVISE_AFTER
    }

    /// The kind that goes with a verdict, which is told from now on.
    pub(super) fn tell(&mut self, subject: usize, verdict: VerdictCode) -> Option<Departure> {
        let departure = self.departures.as_mut().and_then(|d| d.departure_of(subject, verdict));
        self.told[subject] = departure.as_ref().map(|departure| departure.kind);
        self.others[subject] = 0;
        departure
    }

    pub(super) fn told(&self) -> &[Option<DepartureKind>] {
        &self.told
    }

    pub(super) fn trends(&self) -> &[Trend] {
        self.departures.as_ref().map_or(&[], Departures::trends)
    }

    /// When the window ended that was the latest of an earlier start.
    pub(super) const fn remembered(&self) -> Option<WallTime> {
        self.remembered
    }

    /// Whether trends are such as this model's subjects have.
    pub(super) fn fits(&self, trends: &[Trend]) -> bool {
        trends.len() == self.trends().len() && trends.iter().all(Trend::is_sound)
    }

    /// Goes on from trends that fit, and from kinds of as many subjects.
    pub(super) fn recall(
        &mut self,
        told: Vec<Option<DepartureKind>>,
        trends: Vec<Trend>,
        latest: Option<WallTime>,
    ) {
        self.told = told;
        self.remembered = latest;
        if let Some(departures) = &mut self.departures {
            departures.recall(trends, latest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature::spec::tests::EXAMPLE;

    #[test]
    fn trends_fit_if_there_is_one_a_subject_and_each_is_made_of_numbers() {
        let spec = FeatureSpec::parse(EXAMPLE, "x").unwrap();
        let kinds = Kinds::new(&spec, 3);
        assert!(kinds.fits(&[Trend::default(); 3]));
        assert!(!kinds.fits(&[Trend::default(); 2]));
        let nothing: Trend = postcard::from_bytes(&[0xff; 84]).unwrap();
        assert!(!kinds.fits(&[Trend::default(), nothing, Trend::default()]));
    }
}
