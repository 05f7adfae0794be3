//! The latest samples of signals that a room asks for by their VSS paths, in SI units, as long as they are not stale.

use crate::catalog::Catalog;
use crate::signal::{NoData, SignalId};
use std::time::Duration;
use telltale_wire::time::MonoTime;
use telltale_wire::unit::Unit;

/// The latest sample of each signal.
pub(crate) trait Latest {
    /// The latest sample, and when the latest value came.
    fn sample(&self, id: SignalId) -> (Result<f64, NoData>, Option<MonoTime>);
}

/// A value that is not stale.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Reading {
    pub(crate) value: f64,
    pub(crate) at: MonoTime,
}

/// One signal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    id: SignalId,
    stale_after: Duration,
    factor: f64,
}

impl Source {
    /// The signal of a path, if its unit is one of these.
    pub(crate) fn find(catalog: &Catalog, path: &str, units: &[(Unit, f64)]) -> Option<Source> {
        let id = catalog.signal_id(path)?;
        let signal = catalog.signal(id)?;
        let found = units.iter().find(|(unit, _)| *unit == signal.unit);
        if found.is_none() {
            log::warn!(
                "{path} is in {:?}, which is no unit for it here: it is not used",
                signal.unit.symbol()
            );
        }
        Some(Source { id, stale_after: signal.stale_after, factor: found?.1 })
    }

    pub(crate) fn read(&self, latest: &impl Latest, now: MonoTime) -> Result<Reading, NoData> {
        let (value, at) = latest.sample(self.id);
        let (value, at) = (value? * self.factor, at.ok_or(NoData::NotReceived)?);
        if now.since(at) > self.stale_after { Err(NoData::Stale) } else { Ok(Reading { value, at }) }
    }
}
