//! From kept frames to a block of samples: the only place where a snapshot is decoded.

use super::Selection;
use crate::catalog::Catalog;
use crate::dbc::{RawKind, RawMessage, RawSignal};
use crate::frame::{BusId, CanFrame, CanId};
use crate::signal::{NoData, SignalId};
use std::collections::HashMap;
use telltale_wire::snapshot::{
    Number, SampleState, SnapshotBlock, SnapshotMessage, SnapshotRow, SnapshotSample, SnapshotSignal,
};

/// Reads the signals of a catalog out of frames as raw integers. About 300 bytes a signal.
pub struct Packer {
    messages: Vec<RawMessage>,
    /// What a snapshot says of each signal of each message.
    signals: Vec<Vec<SnapshotSignal>>,
    by_id: HashMap<(BusId, CanId), usize>,
}

impl Packer {
    /// For all signals of a catalog.
    #[must_use]
    pub fn new(catalog: &Catalog) -> Packer {
        let messages = catalog.raw_messages();
        let signals =
            messages.iter().map(|m| m.signals.iter().map(|s| describe(catalog, s)).collect()).collect();
        let by_id = messages.iter().enumerate().map(|(place, m)| ((m.bus, m.id), place)).collect();
        Packer { messages, signals, by_id }
    }

    /// The signals that these patterns name: VSS paths, or the beginning of one with `*` behind it. All of them if
    /// there is no pattern.
    ///
    /// # Errors
    /// The first pattern that no signal of the catalog fits.
    pub fn select<'p>(&self, patterns: &'p [String]) -> Result<Selection, &'p str> {
        if patterns.is_empty() {
            return Ok(Selection::all());
        }
        let mut selection = Selection::none();
        for pattern in patterns {
            let fits = |name: &str| match pattern.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == pattern,
            };
            let named = self.messages.iter().zip(&self.signals);
            let named = named.flat_map(|(message, signals)| message.signals.iter().zip(signals));
            let mut found = false;
            for (raw, _) in named.filter(|(_, signal)| fits(&signal.name)) {
                selection.add(raw.id());
                found = true;
            }
            if !found {
                return Err(pattern);
            }
        }
        Ok(selection)
    }

    /// The samples of the selected signals in these frames, which come in the order of their arrival. Messages
    /// without any are left out.
    #[must_use]
    pub fn block(&self, frames: impl IntoIterator<Item = CanFrame>, selection: &Selection) -> SnapshotBlock {
        let mut messages = vec![SnapshotMessage::default(); self.messages.len()];
        for frame in frames {
            let Some(place) = self.by_id.get(&(frame.bus, frame.id)) else { continue };
            let (raw, message) = (&self.messages[*place], &mut messages[*place]);
            let before = message.samples.len();
            let wanted = raw.signals.iter().filter(|signal| selection.contains(signal.id()));
            for (signal, raw) in wanted.enumerate() {
                if let Some((raw, value)) = raw.read(&frame) {
                    let state = state(value);
                    message.samples.push(SnapshotSample { signal: signal as u16, state, raw });
                }
            }
            if message.samples.len() > before {
                message.rows.push(SnapshotRow { at: frame.at.0, end: message.samples.len() as u32 });
            }
        }
        for (place, message) in
            messages.iter_mut().enumerate().filter(|(_, message)| !message.rows.is_empty())
        {
            let described = self.messages[place].signals.iter().zip(&self.signals[place]);
            let wanted = described.filter(|(raw, _)| selection.contains(raw.id()));
            message.signals = wanted.map(|(_, signal)| signal.clone()).collect();
        }
        messages.retain(|message| !message.rows.is_empty());
        SnapshotBlock { messages }
    }
}

fn state(value: Result<f64, NoData>) -> SampleState {
    match value {
        Ok(_) => SampleState::Value,
        Err(NoData::OutOfRange) => SampleState::OutOfRange,
        // A frame that is there was received, and is not stale.
        Err(NoData::SensorFault | NoData::NotReceived | NoData::Stale) => SampleState::SensorFault,
    }
}

fn describe(catalog: &Catalog, raw: &RawSignal) -> SnapshotSignal {
    let (kind, bits) = raw.kind();
    let (factor, offset) = raw.scale();
    let described = catalog.signal(raw.id());
    SnapshotSignal {
        name: described.map(|signal| signal.vss.clone()).unwrap_or_default(),
        number: match kind {
            RawKind::Unsigned => Number::Unsigned,
            RawKind::Signed => Number::Signed,
            RawKind::Float => Number::Float,
            RawKind::Double => Number::Double,
        },
        bits: bits as u8,
        unit: described.map(|signal| signal.unit).unwrap_or_default(),
        factor,
        offset,
    }
}

/// A place in a selection's bits.
pub(super) const fn bit(signal: SignalId) -> (usize, u64) {
    (signal.index() / 64, 1 << (signal.index() % 64))
}
