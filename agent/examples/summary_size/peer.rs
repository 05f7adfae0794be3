//! The content of summaries as others would send it: protobuf messages, and the same messages as JSON.
//!
//! As small as a schema makes them without packing bits: numbers are scaled integers of variable length, extremes are
//! differences, a sketch's keys are the gaps between them, and names are sent once, in the directory.

use serde::Serialize;
use telltale_wire::record::{Counts, ModelSummary, Record, Summary};
use telltale_wire::signals::{Directory, Quality, Series, SignalRecord, Statistics};
use telltale_wire::time::Stamp;

/// What is sent at once.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub(crate) struct Upload {
    #[prost(message, repeated, tag = "1")]
    summaries: Vec<PeerSummary>,
    #[prost(message, repeated, tag = "2")]
    statistics: Vec<PeerStatistics>,
    #[prost(message, repeated, tag = "3")]
    names: Vec<PeerName>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize)]
struct Span {
    #[prost(uint64, tag = "1")]
    from_us: u64,
    #[prost(int64, tag = "2")]
    from_wall_us: i64,
    #[prost(uint64, tag = "3")]
    length_us: u64,
}

#[derive(Clone, PartialEq, prost::Message, Serialize)]
struct PeerSummary {
    #[prost(message, optional, tag = "1")]
    span: Option<Span>,
    /// The eleven counts, in their order.
    #[prost(uint64, repeated, tag = "2")]
    counts: Vec<u64>,
    #[prost(message, repeated, tag = "3")]
    models: Vec<PeerModel>,
}

#[derive(Clone, PartialEq, prost::Message, Serialize)]
struct PeerModel {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    digest: Vec<u8>,
    #[prost(string, tag = "3")]
    unit: String,
    #[prost(float, tag = "4")]
    reference: f32,
    #[prost(sint32, repeated, tag = "5")]
    deviation: Vec<i32>,
    #[prost(bytes = "vec", tag = "6")]
    score: Vec<u8>,
    #[prost(uint32, repeated, tag = "7")]
    anomalous: Vec<u32>,
    #[prost(string, tag = "8")]
    prefix: String,
}

#[derive(Clone, PartialEq, prost::Message, Serialize)]
struct PeerStatistics {
    #[prost(message, optional, tag = "1")]
    span: Option<Span>,
    #[prost(bytes = "vec", tag = "2")]
    directory: Vec<u8>,
    #[prost(uint32, tag = "3")]
    step_ms: u32,
    #[prost(message, repeated, tag = "4")]
    buses: Vec<PeerNumbers>,
    #[prost(message, optional, tag = "5")]
    quality: Option<PeerNumbers>,
    #[prost(uint32, tag = "6")]
    steps: u32,
    #[prost(uint32, tag = "7")]
    first: u32,
    #[prost(message, repeated, tag = "8")]
    series: Vec<PeerSeries>,
}

/// Counts in the order of the fields that they stand for, and figures that are no integers.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
struct PeerNumbers {
    #[prost(uint64, repeated, tag = "1")]
    counts: Vec<u64>,
    #[prost(float, repeated, tag = "2")]
    worst: Vec<f32>,
}

#[derive(Clone, PartialEq, prost::Message, Serialize)]
struct PeerSeries {
    #[prost(uint64, tag = "1")]
    samples: u64,
    #[prost(uint64, tag = "2")]
    out_of_range: u64,
    #[prost(uint64, tag = "3")]
    sensor_fault: u64,
    /// By reason; empty where every step has a value.
    #[prost(uint64, repeated, tag = "4")]
    absent: Vec<u64>,
    #[prost(uint32, tag = "5")]
    longest_gap: u32,
    #[prost(uint32, tag = "6")]
    decimals: u32,
    #[prost(sint64, tag = "7")]
    min: i64,
    #[prost(uint64, tag = "8")]
    max_above_min: u64,
    #[prost(uint64, tag = "9")]
    last_above_min: u64,
    #[prost(uint64, tag = "10")]
    mean_above_min: u64,
    #[prost(uint32, tag = "11")]
    coarseness: u32,
    #[prost(sint32, repeated, tag = "12")]
    key_gaps: Vec<i32>,
    #[prost(uint64, repeated, tag = "13")]
    bucket_counts: Vec<u64>,
}

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize)]
struct PeerName {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    unit: String,
    #[prost(uint32, tag = "3")]
    cycle_ms: u32,
}

impl Upload {
    /// The content of these records; other kinds than summaries and statistics add nothing.
    pub(crate) fn of(records: &[Record]) -> Upload {
        let mut upload = Upload::default();
        for record in records {
            match record {
                Record::Summary(summary) => upload.summaries.push(summary.into()),
                Record::Signals(SignalRecord::Statistics(part)) => upload.statistics.push(part.into()),
                Record::Signals(SignalRecord::Directory(part)) => upload.names.extend(names(part)),
                _ => {}
            }
        }
        upload
    }
}

fn span(from: &Stamp, to: &Stamp) -> Option<Span> {
    let from_wall_us = from.wall.map_or(0, |wall| wall.as_unix_micros());
    let length = to.mono.since(from.mono).as_micros();
    Some(Span { from_us: from.mono.as_micros(), from_wall_us, length_us: length as u64 })
}

impl From<&Summary> for PeerSummary {
    fn from(summary: &Summary) -> PeerSummary {
        let Counts { frames, decoded, filtered, unknown, malformed, samples, lost, .. } = summary.counts;
        let Counts { windows, nominal, anomalous, indeterminate, .. } = summary.counts;
        PeerSummary {
            span: span(&summary.from, &summary.to),
            counts: vec![
                frames,
                decoded,
                filtered,
                unknown,
                malformed,
                samples,
                lost,
                windows,
                nominal,
                anomalous,
                indeterminate,
            ],
            models: summary.models.iter().map(PeerModel::from).collect(),
        }
    }
}

impl From<&ModelSummary> for PeerModel {
    fn from(model: &ModelSummary) -> PeerModel {
        PeerModel {
            name: model.model.name.clone(),
            digest: model.model.digest.0.to_vec(),
            unit: model.unit.symbol().into(),
            reference: model.reference,
            deviation: model.deviation.iter().map(|deviation| i32::from(*deviation)).collect(),
            score: model.score.clone(),
            anomalous: model.anomalous.iter().map(|subject| u32::from(*subject)).collect(),
            prefix: model.prefix.clone(),
        }
    }
}

impl From<&Statistics> for PeerStatistics {
    fn from(part: &Statistics) -> PeerStatistics {
        let load = |bus: &telltale_wire::signals::BusLoad| PeerNumbers {
            counts: vec![
                bus.frames,
                bus.nominal_bits,
                bus.worst_bits,
                bus.nominal_load.into(),
                bus.nominal_peak.into(),
                bus.worst_load.into(),
                bus.worst_peak.into(),
                bus.longest_silence.into(),
            ],
            worst: Vec::new(),
        };
        PeerStatistics {
            span: span(&part.from, &part.to),
            directory: part.directory.0.to_vec(),
            step_ms: part.step_ms,
            buses: part.buses.iter().map(load).collect(),
            quality: part.quality.as_ref().map(quality),
            steps: part.series.steps,
            first: part.series.first.into(),
            series: part.series.series.iter().map(PeerSeries::from).collect(),
        }
    }
}

fn quality(quality: &Quality) -> PeerNumbers {
    let mut counts = vec![
        quality.signal_steps,
        quality.valued_steps,
        quality.expected,
        quality.received,
        quality.samples,
        quality.plausible,
        quality.other_regime.into(),
        quality.unknown_regime.into(),
        quality.oldest_ms.into(),
        // Zero is "no window".
        quality.judged_after_ms.map_or(0, |late| u64::from(late) + 1),
    ];
    counts.extend(quality.regimes.iter().map(|steps| u64::from(*steps)));
    counts.extend(quality.checks.iter().flat_map(|check| [check.compared, check.violated]).map(u64::from));
    PeerNumbers { counts, worst: quality.checks.iter().map(|check| check.worst).collect() }
}

impl From<&Series> for PeerSeries {
    fn from(series: &Series) -> PeerSeries {
        let is_whole = series.absent.iter().all(|steps| *steps == 0);
        let mut peer = PeerSeries {
            samples: series.samples,
            out_of_range: series.out_of_range,
            sensor_fault: series.sensor_fault,
            absent: if is_whole { Vec::new() } else { series.absent.to_vec() },
            longest_gap: series.longest_gap,
            ..PeerSeries::default()
        };
        if let Some(values) = &series.values {
            let above = |scaled: i64| scaled.abs_diff(values.min);
            peer.decimals = values.decimals.into();
            peer.min = values.min;
            (peer.max_above_min, peer.last_above_min) = (above(values.max), above(values.last));
            peer.mean_above_min = above(values.mean);
            peer.coarseness = values.sketch.coarseness().into();
            let mut before = 0;
            for (key, count) in values.sketch.buckets() {
                peer.key_gaps.push(i32::from(*key) - before);
                peer.bucket_counts.push(*count);
                before = i32::from(*key);
            }
        }
        peer
    }
}

fn names(part: &Directory) -> impl Iterator<Item = PeerName> {
    part.series.0.iter().map(|series| PeerName {
        name: series.name.clone(),
        unit: series.unit.symbol().into(),
        cycle_ms: series.cycle_ms,
    })
}
