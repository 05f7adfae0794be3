//! The account of one bus: its state, and what was counted on it.

use super::announce::{Announcement, Announcer};
use super::error_frame::ErrorReport;
use super::link::LinkEvent;
use super::unknown::Sketch;
use telltale_wire::bus::{BusErrors, BusState, ErrorCounters, InterfaceCounters};
use telltale_wire::time::MonoTime;

/// What is known of the interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Link {
    /// Nothing: the frames come from a log.
    Untold,
    Absent,
    Down,
    Up,
}

/// One bus.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) interface: String,
    pub(super) state: BusState,
    pub(super) since: MonoTime,
    link: Link,
    /// What the controller was in last; `Unknown` before it told anything.
    controller: BusState,
    announcer: Announcer,
    pub(super) remote: u64,
    pub(super) short: u64,
    pub(super) long: u64,
    pub(super) unknown_frames: u64,
    pub(super) unknown: Sketch,
    pub(super) errors: BusErrors,
    pub(super) counters: Option<ErrorCounters>,
    pub(super) last_error: Option<(MonoTime, ErrorReport)>,
    pub(super) restarts_asked: u32,
    pub(super) link_losses: u32,
    pub(super) counted: Option<InterfaceCounters>,
    /// How many frames had been heard when the stretch began.
    pub(super) frames_before: u64,
}

impl Account {
    pub(super) fn new(name: String, interface: String) -> Account {
        Account {
            name,
            interface,
            state: BusState::Unknown,
            since: MonoTime(0),
            link: Link::Untold,
            controller: BusState::Unknown,
            announcer: Announcer::new(),
            remote: 0,
            short: 0,
            long: 0,
            unknown_frames: 0,
            unknown: Sketch::new(),
            errors: BusErrors::default(),
            counters: None,
            last_error: None,
            restarts_asked: 0,
            link_losses: 0,
            counted: None,
            frames_before: 0,
        }
    }

    /// Whether a frame may tell something new about the state: it was not heard, or it was off. Where the kernel tells of
    /// the interface, frames decide nothing: they may have waited while the state changed.
    pub(super) fn is_awaited(&self) -> bool {
        !self.state.hears() && matches!(self.link, Link::Untold)
    }

    /// A frame was heard of a bus that was awaited. True if that changed the state.
    pub(super) fn came_alive(&mut self, at: MonoTime) -> bool {
        self.controller = BusState::Active;
        self.settle(at)
    }

    /// An error frame. True if it changed the state.
    pub(super) fn error(&mut self, at: MonoTime, report: ErrorReport) -> bool {
        report.count_into(&mut self.errors);
        self.last_error = Some((at, report));
        self.counters = report.counters().or(self.counters);
        if let Some(state) = report.state() {
            self.controller = state;
        }
        self.settle(at)
    }

    /// What the kernel tells of the interface. True if it changed the state.
    pub(super) fn link(&mut self, at: MonoTime, event: &LinkEvent) -> bool {
        let was_up = self.link == Link::Up;
        match event {
            LinkEvent::Up => {
                if !was_up {
                    // A controller that is brought up starts anew.
                    self.controller = BusState::Active;
                }
                self.link = Link::Up;
            }
            LinkEvent::Down => self.link = Link::Down,
            LinkEvent::Absent(_) => {
                self.link = Link::Absent;
                // What an interface counted goes with it, also what it told after it went down.
                (self.counted, self.counters) = (None, None);
            }
            LinkEvent::Controller { state, counters } => {
                self.controller = *state;
                self.counters = counters.or(self.counters);
            }
            LinkEvent::Counted(counted) => self.counted = Some(*counted),
            LinkEvent::Restarting => self.restarts_asked = self.restarts_asked.saturating_add(1),
        }
        if was_up && self.link != Link::Up {
            self.link_losses = self.link_losses.saturating_add(1);
            self.counted = None;
            self.counters = None;
        }
        self.settle(at)
    }

    fn settle(&mut self, at: MonoTime) -> bool {
        let state = match self.link {
            Link::Absent => BusState::Absent,
            Link::Down => BusState::Down,
            Link::Up | Link::Untold => self.controller,
        };
        if state == self.state {
            return false;
        }
        (self.state, self.since) = (state, at);
        true
    }

    /// Whether the change just made is to be told now.
    pub(super) fn announce(&mut self, at: MonoTime) -> Option<Announcement> {
        self.announcer.changed(at, self.state)
    }

    /// A change that was held back and may be told now.
    pub(super) fn catch_up(&mut self, now: MonoTime) -> Option<Announcement> {
        self.announcer.catch_up(now, self.state)
    }

    pub(super) fn announcement_due(&self) -> Option<MonoTime> {
        self.announcer.due()
    }
}
