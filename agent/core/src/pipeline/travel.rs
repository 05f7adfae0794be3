//! The loop's trips and the drive's condition: looked at on their own steps, told as records.

use super::{Pipeline, View};
use crate::condition::ConditionMonitor;
use crate::range::{Outlook, RangeEstimator};
use crate::reading::Latest;
use crate::signal::{NoData, SignalId};
use crate::statistics::Statistics;
use telltale_wire::record::Record;
use telltale_wire::time::MonoTime;
use telltale_wire::trip::TripRecord;

/// What of the loop outlives a restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Memory {
    /// The observations of the drive's condition.
    Condition,
    /// The recent trips, for the range.
    Range,
}

impl Memory {
    /// All of them.
    pub const ALL: [Memory; 2] = [Memory::Condition, Memory::Range];

    /// The name of its file.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Memory::Condition => "condition",
            Memory::Range => "range",
        }
    }
}

impl Latest for Statistics {
    fn sample(&self, id: SignalId) -> (Result<f64, NoData>, Option<MonoTime>) {
        self.latest_of(id)
    }
}

impl Pipeline {
    /// Ends the steps of trips and condition that are over at `now`.
    #[inline(never)]
    pub(super) fn travel(&mut self, now: MonoTime) {
        if self.outlook_ends().is_some_and(|end| end <= now) {
            self.look_ahead(now, None);
        }
        if self.trips.next_step() <= now {
            let ended = self.trips.advance(now, &self.statistics, self.anchor);
            self.tell(ended);
        }
        if let Some(condition) = self.condition.as_mut().filter(|condition| condition.next_step() <= now) {
            condition.advance(now, &self.statistics, self.anchor, &mut self.records);
        }
    }

    /// When [`Pipeline::travel`] next has something to do.
    pub(super) fn next_travel(&self) -> MonoTime {
        let condition = self.condition.as_ref().map(ConditionMonitor::next_step);
        let others = condition.into_iter().chain(self.outlook_ends());
        others.fold(self.trips.next_step(), MonoTime::min)
    }

    /// Says what is ahead of the vehicle, until that ends or somebody says otherwise: the range is foretold with it, and
    /// told anew if that is news. Nothing else changes. False where no range is estimated.
    pub fn look_ahead(&mut self, now: MonoTime, outlook: Option<Outlook>) -> bool {
        let at = self.stamp(now);
        let charge = self.trips.charge(&self.statistics, now);
        let Some(range) = &mut self.range else { return false };
        let told = range.look_ahead(outlook, at, charge);
        self.records.extend(told.into_iter().flatten());
        self.plan();
        true
    }

    /// When what the fleet said is ahead holds no longer.
    pub(super) fn outlook_ends(&self) -> Option<MonoTime> {
        self.range.as_ref().and_then(RangeEstimator::outlook).map(|outlook| outlook.until)
    }

    /// Writes down trips and condition.
    pub(super) fn look_at_travel(&self, view: &mut View) {
        view.trip = self.trips.view();
        view.range = self.range.as_ref().and_then(RangeEstimator::view);
        match &self.condition {
            Some(condition) => condition.look(&mut view.condition),
            None => view.condition.clear(),
        }
    }

    /// How often what is to be remembered has changed; `None` where it is not followed. A state is as it was while this
    /// is.
    #[must_use]
    pub fn changes(&self, memory: Memory) -> Option<u64> {
        match memory {
            Memory::Condition => self.condition.as_ref().map(ConditionMonitor::observed),
            Memory::Range => self.range.as_ref().map(RangeEstimator::taken),
        }
    }

    /// What is to be remembered until the next start.
    #[must_use]
    pub fn memory(&self, memory: Memory) -> Option<Vec<u8>> {
        match memory {
            Memory::Condition => self.condition.as_ref().map(ConditionMonitor::state),
            Memory::Range => self.range.as_ref().map(RangeEstimator::state),
        }
    }

    /// Goes on with what was remembered; says whether it is whole, and of the same document.
    pub fn restore(&mut self, memory: Memory, state: &[u8]) -> bool {
        match memory {
            Memory::Condition => self.condition.as_mut().is_some_and(|condition| condition.restore(state)),
            Memory::Range => self.range.as_mut().is_some_and(|range| range.restore(state)),
        }
    }

    /// Ends the trip under way: the input has ended, or the agent stops. A pipeline that another replaces leaves its
    /// trip to that one.
    pub fn end_trip(&mut self) {
        let cut = self.trips.cut(self.anchor);
        self.tell(cut);
    }

    fn tell(&mut self, ended: Option<TripRecord>) {
        let Some(trip) = ended else { return };
        self.records.push_back(Record::Trip(trip));
        if let Some(range) = &mut self.range {
            self.records.extend(range.take(&trip));
        }
    }

    /// Goes on with the trip and the observations of the pipeline before. On another catalog a trip under way ends here.
    pub(super) fn travel_on(&mut self, before: &mut Pipeline) {
        if let Some(state) = before.memory(Memory::Condition) {
            self.restore(Memory::Condition, &state);
        }
        if let (Some(range), Some(before)) = (&mut self.range, &before.range) {
            range.inherit(before);
        }
        if self.outline.catalog == before.outline.catalog {
            self.trips.inherit(&before.trips);
        } else {
            let cut = before.trips.cut(before.anchor);
            self.tell(cut);
        }
    }
}
