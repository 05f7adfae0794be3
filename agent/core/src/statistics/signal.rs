//! One signal, looked at once a step.

use super::STEP;
use super::tap::Tally;
use super::track::{Extremes, Track, decimals};
use crate::catalog::{Catalog, CatalogSignal};
use crate::signal::NoData;
use std::time::Duration;
use telltale_wire::record::IndeterminateReason;
use telltale_wire::signals::{Quality, Series};
use telltale_wire::time::MonoTime;

/// What is updated once a step.
pub(super) struct Signal {
    track: Track,
    stale_after: Duration,
    cycle: Option<Duration>,
    decimals: u8,
    /// Samples with a value at the end of the step before.
    seen: u32,
    gap: u32,
    longest_gap: u32,
    /// Steps without a value, by [`NoData`].
    absent: [u32; 4],
}

impl Signal {
    pub(super) fn new(signal: &CatalogSignal, catalog: &Catalog) -> Signal {
        let (factor, offset) = catalog.resolution(signal).unwrap_or((1.0, 0.0));
        Signal {
            track: Track::new(),
            stale_after: signal.stale_after,
            cycle: signal.cycle,
            decimals: decimals(factor, offset),
            seen: 0,
            gap: 0,
            longest_gap: 0,
            absent: [0; 4],
        }
    }

    /// Ends the step number `step` of the stretch, at `end`. Gives the value that the signal has and its age.
    pub(super) fn tick(&mut self, tally: &mut Tally, step: u32, end: MonoTime) -> Option<(f64, Duration)> {
        self.gap = if tally.samples == self.seen { self.gap.saturating_add(1) } else { 0 };
        self.seen = tally.samples;
        self.longest_gap = self.longest_gap.max(self.gap.min(step));
        match self.standing(tally, end) {
            Ok((value, age)) => {
                tally.widen(value);
                self.track.add(value);
                Some((value, age))
            }
            Err(why) => {
                self.absent[why as usize] += 1;
                None
            }
        }
    }

    fn standing(&self, tally: &Tally, end: MonoTime) -> Result<(f64, Duration), NoData> {
        let age = end.since(tally.heard_at());
        match tally.latest() {
            Err(NoData::NotReceived) => Err(NoData::NotReceived),
            _ if age > self.stale_after => Err(NoData::Stale),
            latest => latest.map(|value| (value, age)),
        }
    }

    /// Ends the stretch of so many steps, and counts it into the quality of all.
    pub(super) fn take(&mut self, tally: &mut Tally, steps: u32, quality: &mut Quality) -> Series {
        let mut absent = [0; IndeterminateReason::ALL.len()];
        for why in [NoData::NotReceived, NoData::Stale, NoData::OutOfRange, NoData::SensorFault] {
            absent[why.reason() as usize] = u64::from(std::mem::take(&mut self.absent[why as usize]));
        }
        let extremes = Extremes { min: tally.min, max: tally.max, last: tally.latest_value() };
        let series = Series {
            samples: u64::from(tally.samples),
            out_of_range: u64::from(tally.out_of_range),
            sensor_fault: u64::from(tally.sensor_fault),
            absent,
            longest_gap: std::mem::take(&mut self.longest_gap),
            values: (tally.min <= tally.max).then(|| self.track.take(self.decimals, extremes)),
        };
        self.seen = 0;
        tally.begin();
        self.account(&series, steps, quality);
        series
    }

    fn account(&self, series: &Series, steps: u32, quality: &mut Quality) {
        let came = series.samples + series.out_of_range + series.sensor_fault;
        quality.signal_steps += u64::from(steps);
        quality.valued_steps += u64::from(steps).saturating_sub(series.absent.iter().sum());
        quality.samples += came;
        quality.plausible += series.samples;
        if let Some(cycle) = self.cycle {
            let expected = (STEP.saturating_mul(steps).as_micros() / cycle.as_micros().max(1)) as u64;
            quality.expected += expected;
            quality.received += came.min(expected);
        }
    }
}
