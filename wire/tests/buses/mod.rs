//! The records of a bus that are pinned: a change of its state, and its statistics, each number telling where it stands.

use crate::{AT, EARLY};
use telltale_wire::bus::*;

pub(crate) fn record(report: BusReport) -> BusRecord {
    BusRecord { at: AT, bus: "drive".into(), state: BusState::Off, since: EARLY, report }
}

pub(crate) fn change() -> BusChange {
    BusChange { before: BusState::Passive, why: "bus-off".into(), suppressed: 300 }
}

pub(crate) fn statistics() -> BusStatistics {
    BusStatistics {
        stretch_us: 60_000_000,
        frames_stretch: 1,
        frames: 2,
        remote: 3,
        short: 4,
        long: 5,
        unknown_frames: 6,
        errors: BusErrors {
            frames: 7,
            warning: 8,
            passive: 9,
            off: 10,
            restarted: 11,
            no_ack: 12,
            arbitration: 13,
            protocol: 14,
            bus: 15,
            transceiver: 16,
            rx_overflow: 17,
            tx_overflow: 18,
            tx_timeout: 19,
        },
        counters: Some(ErrorCounters { tx: 256, rx: 20 }),
        last_error: Some(LastError { at: AT, what: "no acknowledgement".into() }),
        restarts_asked: 21,
        link_losses: 22,
        interface: Some(InterfaceCounters { received: 23, errors: 24, dropped: 25, overruns: 26 }),
        checked: 27,
        suspicious: vec![SuspiciousMessage {
            message: "TCS11".into(),
            ok: 28,
            repeated: 29,
            wrong_sequence: 30,
            wrong_checksum: 31,
        }],
        unknown: vec![UnknownId { id: 0x1FFF_FFFF, extended: true, count: 32, over: 33 }],
        missing_total: 34,
        missing: vec![MissingMessage { message: "MDPS12".into(), silent_ms: Some(35), cycle_ms: None }],
    }
}
