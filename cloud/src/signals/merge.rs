//! Merges the statistics of many stretches into one answer, within bounds that no vehicle can widen.
//!
//! Records come the newest first. What contradicts itself is left out and counted: a vehicle may send any bytes.

use super::{
    AbsenceLine, BusLine, CheckLine, MAX_BUCKETS, MAX_NAMED, MAX_SERIES, Merged, POINT_BUCKETS, POINTS,
    PointLine, QualityLine, Range, RegimeLine, SeriesLine,
};
use std::collections::{BTreeSet, HashMap};
use telltale_wire::record::IndeterminateReason;
use telltale_wire::signals::{
    BusLoad, BusName, CheckName, Directory, Quality, Series, SeriesKind, SeriesName, Statistics,
};
use telltale_wire::sketch::{MAX_COARSENESS, Sketch, accuracy};
use telltale_wire::time::WallTime;
use telltale_wire::unit::Unit;

/// The longest stretch of a record that is believed, in milliseconds: two of the longest that can be configured.
const MAX_STRETCH_MS: u64 = 2 * 86_400_000;

/// A record's place in time: microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) vehicle: i64,
    pub(crate) ends: i64,
}

/// Where what a directory names stands in a gathering.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// By the series' place; `None` for one that is not asked for or that is one too many.
    series: Vec<Slot>,
    buses: Vec<Option<usize>>,
    checks: Vec<Option<usize>>,
    regimes: Vec<Option<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Slot {
    /// Its name has not come.
    #[default]
    Unnamed,
    /// It is not asked for.
    Other,
    /// There are too many.
    LeftOut,
    At(usize),
}

/// The answer as it grows.
pub(crate) struct Gathering {
    /// The signal asked for; all if there is none.
    only: Option<String>,
    range: Range,
    width: i64,
    counts: Merged,
    vehicles: BTreeSet<i64>,
    series: Vec<MergedSeries>,
    places: HashMap<(SeriesKind, String, Unit), usize>,
    buses: Vec<MergedBus>,
    checks: Vec<MergedCheck>,
    regimes: Vec<(String, f64)>,
    quality: Option<MergedQuality>,
}

/// What an answer is made of.
pub(crate) struct Parts {
    pub(crate) merged: Merged,
    pub(crate) signals: Vec<SeriesLine>,
    pub(crate) models: Vec<SeriesLine>,
    pub(crate) buses: Vec<BusLine>,
    pub(crate) quality: Option<QualityLine>,
}

impl Gathering {
    /// For records that end within `spread`, which lies within the range asked for.
    pub(crate) fn new(only: Option<&str>, range: Range, spread: Range, records: u64) -> Gathering {
        let span = spread.to.saturating_sub(spread.from).max(1);
        Gathering {
            only: only.map(str::to_owned),
            range: spread,
            width: span / POINTS as i64 + 1,
            counts: Merged {
                from: WallTime(range.from).to_string(),
                to: WallTime(range.to).to_string(),
                records,
                ..Merged::default()
            },
            vehicles: BTreeSet::new(),
            series: Vec::new(),
            places: HashMap::new(),
            buses: Vec::new(),
            checks: Vec::new(),
            regimes: Vec::new(),
            quality: None,
        }
    }

    /// Gives what a directory's parts name a place here.
    pub(crate) fn name(&mut self, parts: &[Directory]) -> Names {
        let mut names = Names::default();
        for part in parts {
            for (offset, series) in part.series.0.iter().enumerate() {
                let place = usize::from(part.first) + offset;
                if place >= telltale_wire::signals::MAX_SERIES {
                    break;
                }
                if names.series.len() <= place {
                    names.series.resize(place + 1, Slot::Unnamed);
                }
                names.series[place] = self.slot(series);
            }
            if self.only.is_some() || part.first != 0 {
                continue;
            }
            names.buses = place_all(&mut self.buses, &part.buses, MergedBus::is, MergedBus::new);
            names.checks = place_all(&mut self.checks, &part.checks, MergedCheck::is, MergedCheck::new);
            let named = |regime: &(String, f64), name: &String| regime.0 == clip(name);
            names.regimes = place_all(&mut self.regimes, &part.regimes, named, |name| (clip(name), 0.0));
        }
        names
    }

    fn slot(&mut self, series: &SeriesName) -> Slot {
        let SeriesName { name, kind, unit, cycle_ms } = series;
        if self.only.as_ref().is_some_and(|only| only != name || *kind != SeriesKind::Signal) {
            return Slot::Other;
        }
        let key = (*kind, name.clone(), *unit);
        if let Some(place) = self.places.get(&key) {
            return Slot::At(*place);
        }
        if self.series.len() >= MAX_SERIES {
            return Slot::LeftOut;
        }
        self.series.push(MergedSeries::new(name, *kind, *unit, *cycle_ms));
        self.places.insert(key, self.series.len() - 1);
        Slot::At(self.series.len() - 1)
    }

    /// A record that does not decode.
    pub(crate) fn unreadable(&mut self) {
        self.counts.records_contradictory += 1;
    }

    /// Takes in a record; `names` is empty if its directory has not come.
    pub(crate) fn take(&mut self, statistics: &Statistics, names: &Names, stretch: Stretch) {
        let run = &statistics.series;
        let length_ms = u64::from(run.steps) * u64::from(statistics.step_ms);
        if statistics.step_ms == 0 || length_ms > MAX_STRETCH_MS {
            return self.unreadable();
        }
        let slots: Vec<Slot> = (usize::from(run.first)..)
            .take(run.series.len())
            .map(|place| names.series.get(place).copied().unwrap_or_default())
            .collect();
        let is_other = |slot: &Slot| *slot == Slot::Other;
        if !slots.is_empty() && slots.iter().all(|slot| *slot == Slot::Unnamed) {
            self.counts.records_unnamed += 1;
            return;
        }
        if self.only.is_some() && slots.iter().all(is_other) {
            self.counts.records_of_others += 1;
            return;
        }
        self.counts.records_merged += 1;
        self.vehicles.insert(stretch.vehicle);
        let step_s = f64::from(statistics.step_ms) / 1e3;
        let point = (stretch.ends.saturating_sub(self.range.from) / self.width).clamp(0, POINTS as i64 - 1);
        for (slot, series) in slots.iter().zip(&run.series) {
            match slot {
                Slot::Other => {}
                Slot::At(place) if self.series[*place].takes(series, run.steps) => {
                    self.series[*place].add(series, run.steps, step_s, point as usize);
                }
                Slot::At(_) | Slot::LeftOut | Slot::Unnamed => self.counts.series_left_out += 1,
            }
        }
        let seconds = length_ms as f64 / 1e3;
        for (place, load) in names.buses.iter().zip(&statistics.buses) {
            if let Some(bus) = place.and_then(|place| self.buses.get_mut(place)) {
                bus.add(load, seconds, step_s);
            }
        }
        if let Some(quality) = statistics.quality.as_ref().filter(|_| self.only.is_none()) {
            self.add_quality(quality, names, step_s);
        }
    }

    fn add_quality(&mut self, quality: &Quality, names: &Names, step_s: f64) {
        if !agrees(quality) {
            self.counts.series_left_out += 1;
            return;
        }
        self.quality.get_or_insert_default().add(quality, step_s);
        for (place, check) in names.checks.iter().zip(&quality.checks) {
            let Some(merged) = place.and_then(|place| self.checks.get_mut(place)) else { continue };
            merged.compared += u64::from(check.compared);
            merged.violated += u64::from(check.violated);
            let worst = check.worst.abs();
            if check.compared > 0 && worst.is_finite() {
                merged.worst = Some(merged.worst.map_or(worst, |before| before.max(worst)));
            }
        }
        for (place, steps) in names.regimes.iter().zip(&quality.regimes) {
            if let Some(regime) = place.and_then(|place| self.regimes.get_mut(place)) {
                regime.1 += f64::from(*steps) * step_s;
            }
        }
    }

    /// The answer.
    pub(crate) fn finish(mut self) -> Parts {
        let counts = &mut self.counts;
        let read = counts.records_merged
            + counts.records_of_others
            + counts.records_unnamed
            + counts.records_contradictory;
        counts.records_left_out = counts.records.saturating_sub(read);
        counts.vehicles = self.vehicles.len() as u64;
        let (first, width) = (self.range.from, self.width);
        let (signals, models): (Vec<_>, Vec<_>) =
            self.series.into_iter().partition(|series| series.kind == SeriesKind::Signal);
        let lines =
            |all: Vec<MergedSeries>| all.into_iter().map(|series| series.line(first, width)).collect();
        let (checks, regimes) = (self.checks, self.regimes);
        Parts {
            merged: self.counts,
            signals: lines(signals),
            models: lines(models),
            buses: self.buses.into_iter().map(MergedBus::line).collect(),
            quality: self.quality.map(|quality| quality.line(checks, regimes)),
        }
    }
}

/// Finds or makes a place for each of a directory's names.
fn place_all<N, M>(
    all: &mut Vec<M>,
    named: &[N],
    is: fn(&M, &N) -> bool,
    new: fn(&N) -> M,
) -> Vec<Option<usize>> {
    let place = |name: &N| {
        if let Some(place) = all.iter().position(|merged| is(merged, name)) {
            return Some(place);
        }
        if all.len() >= MAX_NAMED {
            return None;
        }
        all.push(new(name));
        Some(all.len() - 1)
    };
    named.iter().take(MAX_NAMED).map(place).collect()
}

/// A name as it is kept: the vehicle chose it.
fn clip(name: &str) -> String {
    name.chars().take(80).collect()
}

/// One series, merged.
struct MergedSeries {
    name: String,
    kind: SeriesKind,
    unit: Unit,
    cycle_ms: u32,
    samples: u64,
    out_of_range: u64,
    sensor_fault: u64,
    absent: [u64; IndeterminateReason::ALL.len()],
    longest_gap_s: f64,
    sketch: Sketch,
    bounds: Option<(f64, f64)>,
    last: Option<f64>,
    /// Sum and number of the values behind the mean.
    sum: (f64, f64),
    points: Vec<Sketch>,
}

impl MergedSeries {
    fn new(name: &str, kind: SeriesKind, unit: Unit, cycle_ms: u32) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            unit,
            cycle_ms,
            samples: 0,
            out_of_range: 0,
            sensor_fault: 0,
            absent: [0; IndeterminateReason::ALL.len()],
            longest_gap_s: 0.0,
            sketch: Sketch::default(),
            bounds: None,
            last: None,
            sum: (0.0, 0.0),
            points: vec![Sketch::default(); POINTS],
        }
    }

    /// Whether the numbers of a series agree with each other: each step of a signal has a value or a reason.
    fn takes(&self, series: &Series, steps: u32) -> bool {
        let values = series.values.as_ref().map_or(0, |values| values.sketch.count());
        let accounted = series.absent.iter().fold(values, |sum, absent| sum.saturating_add(*absent));
        match self.kind {
            SeriesKind::Signal => accounted == u64::from(steps) && series.longest_gap <= steps,
            SeriesKind::Score => values == series.samples || *series == Series::unheard(steps),
        }
    }

    fn add(&mut self, series: &Series, steps: u32, step_s: f64, point: usize) {
        if self.kind == SeriesKind::Score && *series == Series::unheard(steps) {
            // No window ended: of a score, absences are of windows.
            return;
        }
        self.samples = self.samples.saturating_add(series.samples);
        self.out_of_range = self.out_of_range.saturating_add(series.out_of_range);
        self.sensor_fault = self.sensor_fault.saturating_add(series.sensor_fault);
        for (sum, absent) in self.absent.iter_mut().zip(series.absent) {
            *sum = sum.saturating_add(absent);
        }
        self.longest_gap_s = self.longest_gap_s.max(f64::from(series.longest_gap) * step_s);
        let Some(values) = &series.values else { return };
        let [min, max, last, mean] =
            [values.min, values.max, values.last, values.mean].map(|scaled| values.physical(scaled));
        let bounds = self.bounds.unwrap_or((min, max));
        self.bounds = Some((bounds.0.min(min), bounds.1.max(max)));
        self.last = self.last.or(Some(last));
        let count = values.sketch.count() as f64;
        self.sum = (self.sum.0 + mean * count, self.sum.1 + count);
        self.sketch.merge(&values.sketch);
        self.sketch.coarsen_to_fit(MAX_BUCKETS, MAX_COARSENESS);
        if let Some(sketch) = self.points.get_mut(point) {
            sketch.merge(&values.sketch);
            sketch.coarsen_to_fit(POINT_BUCKETS, MAX_COARSENESS);
        }
    }

    fn line(self, first: i64, width: i64) -> SeriesLine {
        let absent = IndeterminateReason::ALL.iter().zip(self.absent).filter(|(_, steps)| *steps > 0);
        let absent = absent.map(|(reason, steps)| AbsenceLine { reason: reason.as_str(), steps }).collect();
        let [p1, p50, p99] = [0.01, 0.5, 0.99].map(|q| self.sketch.quantile(q));
        let point = |(number, sketch): (usize, &Sketch)| {
            let offset = width.saturating_mul(number as i64).saturating_add(width / 2);
            let unix_us = first.saturating_add(offset);
            Some(PointLine {
                at: WallTime(unix_us).to_string(),
                unix_us,
                values: sketch.count(),
                p1: sketch.quantile(0.01)?,
                p50: sketch.quantile(0.5)?,
                p99: sketch.quantile(0.99)?,
                relative_error: accuracy(sketch.coarseness()),
            })
        };
        SeriesLine {
            unit: self.unit.symbol(),
            cycle_ms: Some(self.cycle_ms).filter(|ms| *ms > 0),
            values: self.sketch.count(),
            samples: self.samples,
            out_of_range: self.out_of_range,
            sensor_fault: self.sensor_fault,
            min: self.bounds.map(|(min, _)| min),
            p1,
            p50,
            p99,
            max: self.bounds.map(|(_, max)| max),
            mean: (self.sum.1 > 0.0).then(|| self.sum.0 / self.sum.1),
            last: self.last,
            relative_error: accuracy(self.sketch.coarseness()),
            absent,
            longest_gap_s: self.longest_gap_s,
            points: self.points.iter().enumerate().filter_map(point).collect(),
            name: self.name,
        }
    }
}

/// One bus, merged.
struct MergedBus {
    line: BusLine,
    seconds: f64,
    /// Load times seconds: nominal, worst.
    loaded: (f64, f64),
}

impl MergedBus {
    fn new(bus: &BusName) -> Self {
        let line = BusLine { name: clip(&bus.name), bitrate: bus.bitrate, ..BusLine::default() };
        Self { line, seconds: 0.0, loaded: (0.0, 0.0) }
    }

    fn is(&self, bus: &BusName) -> bool {
        self.line.name == clip(&bus.name) && self.line.bitrate == bus.bitrate
    }

    fn add(&mut self, load: &BusLoad, seconds: f64, step_s: f64) {
        let share = |thousandths: u16| f64::from(thousandths) / 1e3;
        let line = &mut self.line;
        line.frames = line.frames.saturating_add(load.frames);
        line.bits = line.bits.saturating_add(load.nominal_bits);
        line.bits_worst = line.bits_worst.saturating_add(load.worst_bits);
        line.peak = line.peak.max(share(load.nominal_peak));
        line.peak_worst = line.peak_worst.max(share(load.worst_peak));
        let silence = (f64::from(load.longest_silence) * step_s).min(seconds);
        line.longest_silence_s = line.longest_silence_s.max(silence);
        self.seconds += seconds;
        self.loaded.0 += share(load.nominal_load) * seconds;
        self.loaded.1 += share(load.worst_load) * seconds;
    }

    fn line(self) -> BusLine {
        let mean = |loaded: f64| (self.seconds > 0.0).then(|| loaded / self.seconds);
        BusLine { load: mean(self.loaded.0), load_worst: mean(self.loaded.1), ..self.line }
    }
}

struct MergedCheck {
    name: String,
    unit: Unit,
    tolerance: f32,
    compared: u64,
    violated: u64,
    worst: Option<f32>,
}

impl MergedCheck {
    fn new(check: &CheckName) -> Self {
        let CheckName { name, unit, tolerance } = check;
        Self { name: clip(name), unit: *unit, tolerance: *tolerance, compared: 0, violated: 0, worst: None }
    }

    /// A catalog that changes a check's tolerance makes it another one.
    fn is(&self, check: &CheckName) -> bool {
        let same_tolerance = self.tolerance.to_bits() == check.tolerance.to_bits();
        self.name == clip(&check.name) && self.unit == check.unit && same_tolerance
    }
}

/// Whether the parts of a whole are not more than it.
fn agrees(quality: &Quality) -> bool {
    quality.valued_steps <= quality.signal_steps
        && quality.received <= quality.expected
        && quality.plausible <= quality.samples
        && quality.checks.iter().all(|check| check.violated <= check.compared)
}

/// Parts and wholes of the shares.
#[derive(Default)]
struct MergedQuality {
    complete: (u64, u64),
    covered: (u64, u64),
    plausible: (u64, u64),
    other_regime_s: f64,
    unknown_regime_s: f64,
    oldest_ms: u32,
    judged_after_ms: Option<u32>,
}

impl MergedQuality {
    fn add(&mut self, quality: &Quality, step_s: f64) {
        let add = |sum: &mut (u64, u64), part: u64, whole: u64| {
            *sum = (sum.0.saturating_add(part), sum.1.saturating_add(whole));
        };
        add(&mut self.complete, quality.received, quality.expected);
        add(&mut self.covered, quality.valued_steps, quality.signal_steps);
        add(&mut self.plausible, quality.plausible, quality.samples);
        self.other_regime_s += f64::from(quality.other_regime) * step_s;
        self.unknown_regime_s += f64::from(quality.unknown_regime) * step_s;
        self.oldest_ms = self.oldest_ms.max(quality.oldest_ms);
        self.judged_after_ms = self.judged_after_ms.max(quality.judged_after_ms);
    }

    fn line(self, checks: Vec<MergedCheck>, regimes: Vec<(String, f64)>) -> QualityLine {
        let share = |(part, whole): (u64, u64)| (whole > 0).then(|| part as f64 / whole as f64);
        let compared = checks.iter().fold(0u64, |sum, check| sum.saturating_add(check.compared));
        let violated = checks.iter().fold(0u64, |sum, check| sum.saturating_add(check.violated));
        let check = |check: MergedCheck| CheckLine {
            name: check.name,
            unit: check.unit.symbol(),
            tolerance: Some(check.tolerance).filter(|tolerance| tolerance.is_finite()),
            compared: check.compared,
            violated: check.violated,
            worst: check.worst,
        };
        QualityLine {
            completeness: share(self.complete),
            coverage: share(self.covered),
            plausibility: share(self.plausible),
            consistency: share((compared.saturating_sub(violated), compared)),
            checks: checks.into_iter().map(check).collect(),
            regimes: regimes.into_iter().map(|(name, seconds)| RegimeLine { name, seconds }).collect(),
            other_regime_s: self.other_regime_s,
            unknown_regime_s: self.unknown_regime_s,
            oldest_ms: self.oldest_ms,
            judged_after_ms: self.judged_after_ms,
        }
    }
}
