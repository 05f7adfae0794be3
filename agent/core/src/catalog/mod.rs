//! The signal catalog: which signals of which buses the vehicle reads, under which VSS paths, in which units and
//! ranges, and when a value goes stale. A TOML file beside its DBC files; see [`init`] for a first one.

mod file;
mod init;
mod messages;
mod names;
mod quality;
mod resolve;

pub use init::init;
pub use quality::{Check, Combination, Condition, MAX_CHECKS, MAX_CONDITIONS, MAX_REGIMES, Regime};

use crate::dbc::{Database, Decoder, Diagnostic, RawMessage, Request, raw_messages};
use crate::e2e::Protection;
use crate::frame::{BusId, CanId};
use crate::signal::SignalId;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use telltale_wire::digest::Digest;
use telltale_wire::unit::Unit;

/// The catalog format that this reads (`schema = 1`).
pub const SCHEMA: i64 = 1;
/// The longest catalog text, in bytes.
pub const MAX_CATALOG_LEN: usize = 1024 * 1024;
/// The most buses. Each costs an 8 kB table in the decoder.
pub const MAX_BUSES: usize = 16;
/// The most signals, expanded ones included. Each costs about 400 bytes here and 64 in the decoder.
pub const MAX_SIGNALS: usize = 4096;
/// The most DBC files, of at most [`crate::dbc::MAX_FILE_LEN`] bytes each.
pub const MAX_DBC_FILES: usize = 64;
/// When a value goes stale, unless the catalog says otherwise.
pub const DEFAULT_STALE_AFTER: Duration = Duration::from_secs(10);
/// The latest that a value may go stale.
pub const MAX_STALE_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The bitrate of a bus, unless the catalog says otherwise: what most vehicles run classic CAN at.
pub const DEFAULT_BITRATE: u32 = 500_000;
/// The bitrate of the data phase of CAN FD frames, unless the catalog says otherwise.
pub const DEFAULT_DATA_BITRATE: u32 = 2_000_000;
/// The bitrates that are taken: those of slow body buses, and the fastest transceiver for CAN FD.
pub const BITRATES: std::ops::RangeInclusive<u32> = 5_000..=8_000_000;

/// A signal catalog with its DBC files, checked and resolved.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// The buses; a [`BusId`] is a place in this list.
    pub buses: Vec<Bus>,
    /// The signals; a [`SignalId`] is a place in this list.
    pub signals: Vec<CatalogSignal>,
    /// Signals that must agree.
    pub checks: Vec<Check>,
    /// Ways of operating; the first whose conditions hold is the one.
    pub regimes: Vec<Regime>,
    /// The messages that they stand in.
    pub messages: Vec<CatalogMessage>,
    /// What was odd in the catalog and its DBC files without keeping them from being used.
    pub diagnostics: Vec<Diagnostic>,
    digest: Digest,
    by_vss: HashMap<String, SignalId>,
}

/// A bus of the vehicle.
#[derive(Clone, Debug)]
pub struct Bus {
    /// Its name in the catalog.
    pub name: String,
    /// The SocketCAN interface that it is on.
    pub interface: String,
    /// How logs name it, the interface included.
    pub channels: Vec<String>,
    /// What its DBC files say, in the order of the catalog.
    pub databases: Vec<Arc<Database>>,
    /// Bits a second.
    pub bitrate: u32,
    /// Bits a second in the data phase of CAN FD frames.
    pub data_bitrate: u32,
}

/// A signal that the vehicle reads.
#[derive(Clone, Debug)]
pub struct CatalogSignal {
    /// Its VSS path.
    pub vss: String,
    /// The unit of its values.
    pub unit: Unit,
    /// Its bus.
    pub bus: BusId,
    /// The identifier of its message.
    pub id: CanId,
    /// The name of its message in the DBC file.
    pub message: String,
    /// Its name in the DBC file.
    pub signal: String,
    /// The smallest physical value that is one; below it the signal is out of range.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Values below this are an anomaly by rule.
    pub low: Option<f64>,
    /// Values above this are an anomaly by rule.
    pub high: Option<f64>,
    /// Raw values by which the sender says "no value".
    pub sentinels: Vec<i64>,
    /// How long after its arrival a value is used.
    pub stale_after: Duration,
    /// How often it is sent, if the catalog says so.
    pub cycle: Option<Duration>,
    /// Whether values are delivered with the opposite sign of the DBC's.
    pub inverted: bool,
    /// Where the catalog lists it, from 1.
    pub line: u32,
    source: Source,
}

/// A message that a signal of the catalog stands in.
#[derive(Clone, Debug)]
pub struct CatalogMessage {
    /// Its bus.
    pub bus: BusId,
    /// Its identifier.
    pub id: CanId,
    /// Its name in the DBC file.
    pub name: String,
    /// Its length in bytes, as the DBC file says.
    pub len: usize,
    /// The time between two of them, where the catalog or the DBC file says it.
    pub cycle: Option<Duration>,
    /// When the last of its signals goes stale.
    pub stale_after: Duration,
    /// Its counter and checksum, where the catalog states them.
    pub protection: Option<Protection>,
}

/// A signal's place in the databases of its bus.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Source {
    database: usize,
    message: usize,
    signal: usize,
}

/// The catalog cannot be used, and these are all the reasons.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", list(.problems))]
pub struct CatalogError {
    /// At least one.
    pub problems: Vec<Diagnostic>,
}

fn list(problems: &[Diagnostic]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

impl Catalog {
    /// Reads a catalog. `load` gives the bytes of the DBC files by the paths that the catalog names, which are
    /// relative to it.
    ///
    /// # Errors
    /// [`CatalogError`] with every problem that was found, each with its line.
    pub fn parse(
        text: &str,
        origin: &str,
        load: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Catalog, CatalogError> {
        resolve::resolve(text, origin, load)
    }

    /// Names this catalog exactly: the digest of its text and of its DBC files.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The signal of this VSS path.
    #[must_use]
    pub fn signal_id(&self, vss: &str) -> Option<SignalId> {
        self.by_vss.get(vss).copied()
    }

    /// The signal with this number.
    #[must_use]
    pub fn signal(&self, id: SignalId) -> Option<&CatalogSignal> {
        self.signals.get(id.index())
    }

    /// The step from one value of a signal to the next, and its offset: its DBC scale.
    #[must_use]
    pub fn resolution(&self, signal: &CatalogSignal) -> Option<(f64, f64)> {
        let database = self.buses.get(usize::from(signal.bus.0))?.databases.get(signal.source.database)?;
        let described = database.messages.get(signal.source.message)?.signals.get(signal.source.signal)?;
        Some((described.factor, described.offset))
    }

    /// The bus that a log or an interface calls by this name; [`BusId::UNMAPPED`] if there is none.
    #[must_use]
    pub fn bus_of_channel(&self, channel: &str) -> BusId {
        let claims = |bus: &Bus| bus.channels.iter().any(|name| name == channel);
        self.buses.iter().position(claims).map_or(BusId::UNMAPPED, |place| BusId(place as u8))
    }

    /// The compiled decoder of all signals.
    #[must_use]
    pub fn decoder(&self) -> Decoder {
        let described = self.buses.iter().enumerate().flat_map(|(place, bus)| {
            let messages = bus.databases.iter().flat_map(|database| &database.messages);
            messages.map(move |message| (BusId(place as u8), message.id))
        });
        let mut decoder = Decoder::compile(described, &self.requests());
        for message in self.messages.iter().filter(|message| message.protection.is_some()) {
            decoder.look_closer(message.bus, message.id);
        }
        decoder
    }

    /// All signals by message, to read their raw integers.
    #[must_use]
    pub fn raw_messages(&self) -> Vec<RawMessage> {
        raw_messages(&self.requests())
    }

    fn requests(&self) -> Vec<Request<'_>> {
        let signals = self.signals.iter().enumerate();
        signals.filter_map(|(place, signal)| self.request(place, signal)).collect()
    }

    fn request<'c>(&'c self, place: usize, signal: &'c CatalogSignal) -> Option<Request<'c>> {
        let database = self.buses.get(usize::from(signal.bus.0))?.databases.get(signal.source.database)?;
        Some(Request {
            id: SignalId(place as u16),
            bus: signal.bus,
            message: database.messages.get(signal.source.message)?,
            signal: signal.source.signal,
            sentinels: &signal.sentinels,
            min: signal.min,
            max: signal.max,
            inverted: signal.inverted,
        })
    }
}

#[cfg(test)]
mod tests;
