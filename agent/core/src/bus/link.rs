//! What the kernel tells of an interface, as the monitor takes it.

use crate::frame::BusId;
use telltale_wire::bus::{BusState, ErrorCounters, InterfaceCounters};
use telltale_wire::time::MonoTime;

/// Something about the interface of a bus.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkNews {
    /// When it was learnt.
    pub at: MonoTime,
    /// The bus.
    pub bus: BusId,
    /// What.
    pub event: LinkEvent,
}

/// What there is to learn about an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkEvent {
    /// It is there and up.
    Up,
    /// It is there and down.
    Down,
    /// There is none of this name.
    Absent(Absence),
    /// How its controller fares.
    Controller {
        /// [`BusState::Active`], `Warning`, `Passive` or `Off`.
        state: BusState,
        /// Its error counters, where the driver tells them.
        counters: Option<ErrorCounters>,
    },
    /// What it has counted.
    Counted(InterfaceCounters),
    /// The agent asked its controller to restart.
    Restarting,
}

/// Why there is no interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Absence {
    /// It has not been there since the start.
    NeverSeen,
    /// It was removed.
    Removed,
    /// It has another name now.
    Renamed,
}

impl LinkEvent {
    /// A sentence about the interface of this name; empty for what is no change of state.
    #[must_use]
    pub fn tell(&self, interface: &str) -> String {
        match self {
            LinkEvent::Up => format!("interface {interface} is up"),
            LinkEvent::Down => format!("interface {interface} is down"),
            LinkEvent::Absent(Absence::NeverSeen) => format!("there is no interface {interface} yet"),
            LinkEvent::Absent(Absence::Removed) => format!("interface {interface} was removed"),
            LinkEvent::Absent(Absence::Renamed) => format!("interface {interface} was given another name"),
            LinkEvent::Controller { state, counters: Some(ErrorCounters { tx, rx }) } => {
                format!("the controller of {interface} is {state}: tx errors {tx}, rx errors {rx}")
            }
            LinkEvent::Controller { state, counters: None } => {
                format!("the controller of {interface} is {state}")
            }
            LinkEvent::Counted(_) | LinkEvent::Restarting => String::new(),
        }
    }
}
