//! Condition monitoring: what wears out, by rules that a person can check. While the vehicle drives, blocks of minutes
//! give one observation a quantity (see `block`); over days they give a level and a trend, each with its interval
//! (see `series`); a level that lies beyond its limit with its whole interval is a verdict.
//!
//! What the drive is made of stands in a document ([`Condition`]): losses, cooling, limits. Observations are few and
//! outlive a restart as a small state of [`MAX_STATE`] bytes at the most. Signals are looked at every [`STEP`] of the
//! frames' own time; nothing is allocated but what is told.

mod block;
mod document;
mod low_voltage;
mod series;
mod signals;
#[cfg(test)]
mod tests;

pub use document::{Condition, Limits};
pub use series::{ENOUGH, Level, RECENT, Series, Trend};

use crate::catalog::Catalog;
use crate::clock::{ClockAnchor, stamp};
use crate::reading::Latest;
use crate::signal::NoData;
use block::Block;
use low_voltage::LowVoltage;
use signals::Signals;
use std::collections::VecDeque;
use std::time::Duration;
use telltale_wire::estimate::{EstimateRecord, Interval, Quantity, SubjectEstimate};
use telltale_wire::record::{Evidence, ModelRef, Record, VerdictCode, VerdictEvent};
use telltale_wire::time::{MonoTime, WallTime};
use telltale_wire::unit::Unit;

/// How often signals are looked at.
pub const STEP: Duration = Duration::from_millis(200);
const STEP_S: f64 = 0.2;
/// The longest state.
pub const MAX_STATE: usize = 16 * 1024;
/// The name under which these rules stand in records.
pub const MODEL_NAME: &str = "condition";
/// The share of cases in which an interval holds the level.
pub const COVERAGE: f32 = 0.9;
/// An estimate is told every so many observations of its quantity.
const TELL_EVERY: u32 = 12;
/// How many quantities there are.
pub const WATCHED: usize = 7;

/// What is watched, with the name of the subject and the unit of its values.
pub const QUANTITIES: [(Quantity, &str, Unit); WATCHED] = [
    (Quantity::TorqueOffset, "Torque", Unit::NewtonMetre),
    (Quantity::CurrentGain, "InverterCurrent", Unit::None),
    (Quantity::MotorTemperatureOffset, "MotorTemperature", Unit::None),
    (Quantity::DriveThermalResistance, "DriveCooling", Unit::None),
    (Quantity::ContactorResistance, "Contactors", Unit::Ohm),
    (Quantity::LowVoltageRest, "LowVoltageBattery", Unit::Volt),
    (Quantity::LowVoltageResistance, "LowVoltageBattery", Unit::Ohm),
];

/// What is held of one quantity.
#[derive(Clone, Debug)]
struct Watch {
    series: Series,
    /// Since when it is beyond its limit.
    beyond: Option<WallTime>,
    untold: u32,
}

/// What is known of one quantity at one moment.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ConditionView {
    /// Which.
    pub quantity: Quantity,
    /// The level with its interval; `None` before there are enough observations.
    pub level: Option<Level>,
    /// How it changes a day; `None` before a day has passed.
    pub trend: Option<Trend>,
    /// How many observations are held.
    pub observations: usize,
    /// Why there is no observation now, where a signal is missing.
    pub absent: Option<NoData>,
    /// Since when it is beyond its limit.
    pub beyond: Option<WallTime>,
}

/// A watch as it is kept: observations, and since when it is beyond its limit.
type KeptWatch = (Vec<(i64, f64)>, Option<i64>);

/// Follows the condition of one vehicle.
pub(crate) struct ConditionMonitor {
    condition: Condition,
    reference: ModelRef,
    signals: Signals,
    next: Option<MonoTime>,
    block: Block,
    low_voltage: LowVoltage,
    watches: Vec<Watch>,
    /// How many observations have come.
    observed: u64,
}

impl ConditionMonitor {
    pub(crate) fn new(condition: Condition, catalog: &Catalog) -> ConditionMonitor {
        let watch = || Watch { series: Series::new(), beyond: None, untold: 0 };
        ConditionMonitor {
            reference: ModelRef { name: MODEL_NAME.into(), digest: condition.digest.short() },
            signals: Signals::new(catalog),
            next: None,
            block: Block::new(),
            low_voltage: LowVoltage::default(),
            watches: (0..WATCHED).map(|_| watch()).collect(),
            observed: 0,
            condition,
        }
    }

    /// When [`ConditionMonitor::advance`] next has something to do.
    pub(crate) fn next_step(&self) -> MonoTime {
        self.next.unwrap_or(MonoTime(0))
    }

    /// Ends the steps that are over at `now`, by the samples that came before it.
    pub(crate) fn advance(
        &mut self,
        now: MonoTime,
        latest: &impl Latest,
        anchor: Option<ClockAnchor>,
        records: &mut VecDeque<Record>,
    ) {
        let mut end = *self.next.get_or_insert(now.plus(STEP));
        let mut heard = true;
        while end <= now {
            // Behind a silence nothing is fresh: its steps are one.
            heard &= self.step(end, latest, anchor, records);
            end = end.plus(STEP);
            if !heard && end < now {
                let behind = now.since(end).as_micros() / STEP.as_micros();
                end = end.plus(STEP.saturating_mul(behind as u32));
                self.block.interrupt();
                heard = true;
            }
        }
        self.next = Some(end);
    }

    /// One step; whether any signal was there.
    fn step(
        &mut self,
        end: MonoTime,
        latest: &impl Latest,
        anchor: Option<ClockAnchor>,
        records: &mut VecDeque<Record>,
    ) -> bool {
        let sample = self.signals.sample(latest, end);
        if let Some(told) = self.low_voltage.step(&sample) {
            for (place, value) in told {
                self.observe(place, value, end, anchor, records);
            }
        }
        if let Some(told) = self.block.step(&sample, &self.condition, STEP_S) {
            for (place, value) in told.into_iter().enumerate() {
                if let Some(value) = value {
                    self.observe(place, value, end, anchor, records);
                }
            }
        }
        sample.is_heard()
    }

    fn observe(
        &mut self,
        place: usize,
        value: f64,
        at: MonoTime,
        anchor: Option<ClockAnchor>,
        records: &mut VecDeque<Record>,
    ) {
        let (quantity, subject, unit) = QUANTITIES[place];
        let at = stamp(at, anchor);
        let watch = &mut self.watches[place];
        watch.series.push(at.wall, value);
        self.observed += 1;
        watch.untold += 1;
        let level = watch.series.level();
        let limits = self.condition.limits(quantity);
        let turned = level.and_then(|level| limits.turn(&level, watch.beyond.is_some()));
        if let Some(is_beyond) = turned {
            let since = watch.series.since(&limits, is_beyond).or(at.wall).unwrap_or(WallTime(0));
            watch.beyond = is_beyond.then_some(since);
            let level = level.unwrap_or_default();
            records.push_back(Record::Verdict(VerdictEvent {
                at,
                model: self.reference.clone(),
                subject: subject.into(),
                verdict: if is_beyond { VerdictCode::Anomalous } else { VerdictCode::Nominal },
                score: if is_beyond { 1.0 } else { 0.0 },
                confidence: COVERAGE,
                since: telltale_wire::time::Stamp {
                    mono: at.mono,
                    wall: Some(since).filter(|_| at.wall.is_some()),
                },
                evidence: evidence(quantity, unit, &level, watch.series.trend(), &limits),
                departure: None,
            }));
        }
        if watch.untold >= TELL_EVERY || turned.is_some() {
            watch.untold = 0;
            records.extend(self.estimate(place, at));
        }
    }

    fn estimate(&self, place: usize, at: telltale_wire::time::Stamp) -> Option<Record> {
        let (quantity, subject, _) = QUANTITIES[place];
        let level = self.watches[place].series.level()?;
        let interval = Interval { value: level.value as f32, low: level.low as f32, high: level.high as f32 };
        Some(Record::Estimate(EstimateRecord {
            at,
            model: self.reference.clone(),
            quantity,
            coverage: COVERAGE,
            subjects: vec![SubjectEstimate { value: Ok(interval), resistance_ohm: None }],
            prefix: subject.into(),
        }))
    }

    /// How many observations have come: a state is as it was while this is.
    pub(crate) const fn observed(&self) -> u64 {
        self.observed
    }

    /// The observations, for whoever keeps them.
    pub(crate) fn state(&self) -> Vec<u8> {
        let kept: Vec<KeptWatch> = self
            .watches
            .iter()
            .map(|watch| (watch.series.kept(), watch.beyond.map(|since| since.0)))
            .collect();
        postcard::to_allocvec(&(self.condition.digest.0, kept)).unwrap_or_default()
    }

    /// Goes on with observations that were kept, if they are of the same document; says whether they are taken.
    pub(crate) fn restore(&mut self, state: &[u8]) -> bool {
        let Ok((digest, kept)) = postcard::from_bytes::<([u8; 32], Vec<KeptWatch>)>(state) else {
            return false;
        };
        if digest != self.condition.digest.0 || kept.len() != WATCHED || state.len() > MAX_STATE {
            return false;
        }
        for (watch, (observations, beyond)) in self.watches.iter_mut().zip(kept) {
            watch.series = Series::of(&observations);
            watch.beyond = beyond.map(WallTime);
        }
        true
    }

    /// What is known, quantity by quantity.
    pub(crate) fn look(&self, view: &mut Vec<ConditionView>) {
        view.clear();
        let absences = self.signals.absences(&self.block);
        view.extend(self.watches.iter().zip(QUANTITIES).zip(absences).map(
            |((watch, (quantity, ..)), absent)| ConditionView {
                quantity,
                level: watch.series.level(),
                trend: watch.series.trend(),
                observations: watch.series.len(),
                absent,
                beyond: watch.beyond,
            },
        ));
    }
}

/// The level against its limit, then the trend.
fn evidence(
    quantity: Quantity,
    unit: Unit,
    level: &Level,
    trend: Option<Trend>,
    limits: &Limits,
) -> Vec<Evidence> {
    let nearer = limits.nearer(level.value);
    let line = |what: String, value: f64, reference: f64| Evidence {
        what,
        value: value as f32,
        reference: reference as f32,
        unit,
    };
    let name = match (unit, quantity.unit()) {
        (Unit::None, symbol) if !symbol.is_empty() => format!("{quantity}, {symbol}"),
        _ => quantity.to_string(),
    };
    let mut told = vec![line(name, level.value, nearer)];
    if let Some(trend) = trend {
        told.push(line(format!("{quantity}, change a day"), trend.per_day, 0.0));
    }
    told
}
