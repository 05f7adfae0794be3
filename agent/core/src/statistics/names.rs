//! The directory: what the series, buses, checks and regimes of a pipeline are called, in parts that fit into records.

use crate::catalog::Catalog;
use telltale_wire::digest::{Digest, ShortDigest};
use telltale_wire::signals::{BusName, CheckName, Directory, MAX_SERIES, Names, SeriesKind, SeriesName};
use telltale_wire::time::Stamp;
use telltale_wire::unit::Unit;

/// Bytes of names in one record: half of what a record holds, since each name brings a few more.
const PART_BYTES: usize = telltale_wire::record::MAX_BODY / 2;

/// All the names, and their id.
pub(super) struct NamesBook {
    pub(super) id: ShortDigest,
    series: Vec<SeriesName>,
    buses: Vec<BusName>,
    checks: Vec<CheckName>,
    regimes: Vec<String>,
}

impl NamesBook {
    /// The catalog's signals in their order, then the models' scores. Series over the wire's limit are left out.
    pub(super) fn new(catalog: &Catalog, models: &[String]) -> NamesBook {
        let signals = catalog.signals.iter().map(|signal| SeriesName {
            name: signal.vss.clone(),
            kind: SeriesKind::Signal,
            unit: signal.unit,
            cycle_ms: signal.cycle.map_or(0, |cycle| cycle.as_millis() as u32),
        });
        let scores = models.iter().map(|model| SeriesName {
            // A manifest's name has no bound of its own.
            name: model.chars().take(60).collect(),
            kind: SeriesKind::Score,
            unit: Unit::None,
            cycle_ms: 0,
        });
        let buses = catalog.buses.iter().map(|bus| BusName {
            name: bus.name.clone(),
            bitrate: bus.bitrate,
            data_bitrate: bus.data_bitrate,
        });
        let checks = catalog.checks.iter().map(|check| CheckName {
            name: check.name.clone(),
            unit: check.unit,
            tolerance: check.tolerance as f32,
        });
        let mut book = NamesBook {
            id: ShortDigest([0; 8]),
            series: signals.chain(scores).take(MAX_SERIES).collect(),
            buses: buses.collect(),
            checks: checks.collect(),
            regimes: catalog.regimes.iter().map(|regime| regime.name.clone()).collect(),
        };
        let named = (Names(book.series.clone()), &book.buses, &book.checks, &book.regimes);
        // Names of bounded length always encode.
        book.id = Digest::of(&postcard::to_allocvec(&named).unwrap_or_default()).short();
        book
    }

    /// The records that tell it.
    pub(super) fn parts(&self, at: Stamp) -> Vec<Directory> {
        let mut parts: Vec<Directory> = Vec::new();
        let mut bytes = 0;
        for (place, series) in self.series.iter().enumerate() {
            bytes += series.name.len();
            match parts.last_mut() {
                Some(part) if bytes <= PART_BYTES => part.series.0.push(series.clone()),
                _ => {
                    bytes = series.name.len();
                    parts.push(self.part(at, place, vec![series.clone()], parts.is_empty()));
                }
            }
        }
        if parts.is_empty() {
            parts.push(self.part(at, 0, Vec::new(), true));
        }
        parts
    }

    fn part(&self, at: Stamp, first: usize, series: Vec<SeriesName>, is_first: bool) -> Directory {
        let (buses, checks, regimes) = if is_first {
            (self.buses.clone(), self.checks.clone(), self.regimes.clone())
        } else {
            Default::default()
        };
        Directory {
            at,
            id: self.id,
            total: self.series.len() as u16,
            first: first as u16,
            series: Names(series),
            buses,
            checks,
            regimes,
        }
    }
}
