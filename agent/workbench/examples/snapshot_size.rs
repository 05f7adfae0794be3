//! How many bytes a sample takes in a snapshot: `cargo xtask bench snapshot` runs this and prints the table.
//!
//! Each log goes through the vehicle's own recorder, which is triggered again and again; the records that come out are
//! counted whole: names, scales, times and heads included. Each is unpacked and compared with what a second reading of
//! the log gives, to the bit. The very same samples are then packed in other ways:
//!
//! - `protobuf`: a message a sample (signal id, time, double value) as fleet agents send it, then snappy. Its reader
//!   needs the signals' names and scales from elsewhere; ours carries them.
//! - `columns`: protobuf too, but packed columns of differences of the raw integers, then snappy.
//! - `candump`: the frames as text lines.
//!
//! Arguments: `NAME=CATALOG=LOG` for each log, or `NAME=CATALOG=ARCHIVE=COLUMNS=DBC` for a zipped CSV recording that is put
//! onto CAN first. A DBC file in the place of a catalog stands for all of its signals, and `sim` in the place of a log
//! for a simulated drive. Ends with a failure if a sample takes more than 4 bytes or comes out otherwise than it went in.

#![allow(clippy::print_stdout)] // It is a program that reports.

use prost::Message as _;
use std::collections::{BTreeMap, VecDeque};
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use telltale_core::catalog::{self, Catalog};
use telltale_core::dbc::{Database, Disposition};
use telltale_core::frame::CanFrame;
use telltale_core::signal::{NoData, SampleSink, SignalId};
use telltale_core::snapshot::{Packer, Recorder, SLOT, SnapshotConfig, SnapshotRequest};
use telltale_core::trace::{Format, LineParser, MAX_CANDUMP_LINE, write_candump_log};
use telltale_sil::{Spec, Vehicle};
use telltale_wire::record::Record;
use telltale_wire::snapshot::{self, SampleState, SnapshotBlock, SnapshotCause};
use telltale_wire::time::{MonoTime, WallTime};
use telltale_workbench::encode::{self, ColumnMap};

/// Snapshots taken of one log, spread over it.
const SNAPSHOTS: usize = 12;

/// The bytes that a sample takes at most, everything included.
const PROMISE: usize = 4;

/// The windows measured: what is set by default, and an hour, for what comes twice a minute.
const WINDOWS: [(&str, Duration, Duration); 2] = [
    ("60 + 30 s", Duration::from_secs(60), Duration::from_secs(30)),
    ("1 h + 30 s", Duration::from_secs(3_600), Duration::from_secs(30)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!(
        "{:<10} {:<11} {:>9} {:>9} {:>8} {:>9} {:>9} {:>9}  bytes a sample",
        "log", "window", "snapshots", "samples", "ours", "protobuf", "columns", "candump"
    );
    for argument in &arguments {
        if let Err(error) = measure(argument) {
            println!("{argument}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn measure(argument: &str) -> Result<(), String> {
    let parts: Vec<&str> = argument.split('=').collect();
    let (name, catalog, frames) = match parts[..] {
        [name, catalog, "sim"] => (name, read_catalog(Path::new(catalog))?, simulated()?),
        [name, catalog, log] => {
            let catalog = read_catalog(Path::new(catalog))?;
            let frames = read_log(&read(Path::new(log))?, &catalog)?;
            (name, catalog, frames)
        }
        [name, catalog, archive, columns, dbc] => {
            let catalog = read_catalog(Path::new(catalog))?;
            let log = encoded(Path::new(archive), Path::new(columns), Path::new(dbc))?;
            let frames = read_log(&log, &catalog)?;
            (name, catalog, frames)
        }
        _ => return Err("is to be NAME=CATALOG=LOG".into()),
    };
    let (_, decoded) = decode(&catalog, &frames);
    drop(frames);
    let step = decoded.len() / SNAPSHOTS;
    for (window, before, after) in WINDOWS {
        let mut sizes = Sizes::default();
        let mut whole = false;
        for place in (0..SNAPSHOTS).map(|n| step / 2 + n * step) {
            let (records, held) = record(&catalog, &decoded, place, (before, after))?;
            sizes.add(&catalog, &records, held)?;
            whole |= held.len() == decoded.len();
            if whole {
                break;
            }
        }
        sizes.print(name, window);
        if sizes.ours > PROMISE * sizes.samples {
            return Err(format!("a sample takes more than {PROMISE} bytes"));
        }
        if whole {
            break;
        }
    }
    Ok(())
}

/// A catalog, or everything that a DBC file describes.
fn read_catalog(path: &Path) -> Result<Catalog, String> {
    let bytes = read(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let text = if path.extension().is_some_and(|extension| extension == "dbc") {
        let origin = path.file_name().unwrap_or_default().to_string_lossy();
        catalog::init(&[Database::parse(&bytes, &origin).0])
    } else {
        String::from_utf8(bytes).map_err(|error| error.to_string())?
    };
    Catalog::parse(&text, &path.display().to_string(), &mut |name| read(&folder.join(name)))
        .map_err(|error| error.to_string())
}

/// The frames of a log on a clock that begins with it; one that steps back stands still until the log catches up.
fn read_log(bytes: &[u8], catalog: &Catalog) -> Result<Vec<CanFrame>, String> {
    let format = Format::sniff(bytes).ok_or("no log that can be read")?;
    let mut parser = LineParser::new(format);
    let (mut frames, mut first, mut last) = (Vec::new(), None, 0);
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(Some(frame)) = parser.parse(line) else { continue };
        let first = *first.get_or_insert(frame.at_us);
        last = frame.at_us.saturating_sub(first).max(last);
        let bus = catalog.bus_of_channel(frame.channel);
        frames.push(frame.into_frame(MonoTime(last.unsigned_abs()), bus));
    }
    Ok(frames)
}

/// A zipped CSV recording as candump text.
fn encoded(archive: &Path, columns: &Path, dbc: &Path) -> Result<Vec<u8>, String> {
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", archive.display());
    let file = std::fs::File::open(archive).map_err(|error| said(&error))?;
    let mut archive_file = zip::ZipArchive::new(file).map_err(|error| said(&error))?;
    let recording = BufReader::new(archive_file.by_index(0).map_err(|error| said(&error))?);
    let (database, _) = Database::parse(read(dbc)?, &dbc.display().to_string());
    let text = String::from_utf8(read(columns)?).map_err(|error| error.to_string())?;
    let map = ColumnMap::parse(&text, &columns.display().to_string()).map_err(|error| error.to_string())?;
    let channel = "can0".parse().map_err(|_| "can0 is no channel")?;
    let mut log = Vec::new();
    encode::encode(recording, &archive.display().to_string(), &database, &map, &channel, &mut log)
        .map_err(|error| error.to_string())?;
    Ok(log)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn simulated() -> Result<Vec<CanFrame>, String> {
    let vehicle = Vehicle::new(&Spec::default(), 7).map_err(|error| error.to_string())?;
    Ok(vehicle.map(|frame| frame.can).collect())
}

/// A sample as the decoder delivers it: signal, time, value or absence.
type Sample = (SignalId, u64, Result<u64, NoData>);

struct Samples<'a>(u64, &'a mut Vec<Sample>);

impl SampleSink for Samples<'_> {
    fn value(&mut self, signal: SignalId, value: f64) {
        self.1.push((signal, self.0, Ok(value.to_bits())));
    }
    fn absent(&mut self, signal: SignalId, why: NoData) {
        self.1.push((signal, self.0, Err(why)));
    }
}

/// The samples of frames as the capture loop's decoder delivers them, signal by signal, each in the order of arrival;
/// and the frames that have any.
fn decode(catalog: &Catalog, frames: &[CanFrame]) -> (Vec<Sample>, Vec<CanFrame>) {
    let (decoder, mut samples) = (catalog.decoder(), Vec::new());
    let decoded = |frame: &&CanFrame| {
        let disposition = decoder.dispatch(frame, &mut Samples(frame.at.0, &mut samples));
        matches!(disposition, Disposition::Decoded(_))
    };
    let decoded = frames.iter().filter(decoded).copied().collect();
    // Stable: those of one signal stay in their order.
    samples.sort_by_key(|(id, ..)| *id);
    (samples, decoded)
}

/// The records of a snapshot that is triggered by the frame at `place`, and the frames that it is to hold.
fn record<'d>(
    catalog: &Catalog,
    decoded: &'d [CanFrame],
    place: usize,
    (before, after): (Duration, Duration),
) -> Result<(Vec<Record>, &'d [CanFrame]), String> {
    let at = decoded[place].at;
    let (from, until) = (at.0.saturating_sub(before.as_micros() as u64), at.plus(after));
    let first = decoded.partition_point(|frame| frame.at.0 < from);
    let end = place + 1 + decoded[place + 1..].partition_point(|frame| frame.at < until);
    let memory = decoded.len() * 4 * SLOT;
    let config = SnapshotConfig { memory, before, after, ..SnapshotConfig::default() };
    let mut recorder = Recorder::new(Packer::new(catalog), config)?;
    decoded[..=place].iter().for_each(|frame| recorder.keep(frame));
    let cause = SnapshotCause::Command { note: String::new() };
    recorder.trigger(at, cause, &SnapshotRequest::default());
    decoded[place + 1..end].iter().for_each(|frame| recorder.keep(frame));
    let mut records = VecDeque::new();
    recorder.finish(until, None, &mut records);
    Ok((records.into(), &decoded[first..end]))
}

/// What the same samples take in each way, in bytes.
#[derive(Default)]
struct Sizes {
    snapshots: usize,
    samples: usize,
    ours: usize,
    protobuf: usize,
    columns: usize,
    candump: usize,
}

impl Sizes {
    fn add(&mut self, catalog: &Catalog, records: &[Record], held: &[CanFrame]) -> Result<(), String> {
        let mut blocks = Vec::new();
        for record in records {
            let Record::Snapshot(part) = record else { return Err(format!("{record:?}")) };
            let raw = record.to_raw().map_err(|error| error.to_string())?;
            self.ours += raw.body.len() + RECORD_HEAD;
            blocks.push(snapshot::decode(&part.block).map_err(|error| error.to_string())?);
        }
        let (wanted, _) = decode(catalog, held);
        check(catalog, &blocks, &wanted)?;
        self.snapshots += 1;
        self.samples += wanted.len();
        self.protobuf += snappy(&protobuf(&wanted).encode_to_vec())?;
        self.columns += snappy(&columns(&blocks).encode_to_vec())?;
        let mut line = String::with_capacity(MAX_CANDUMP_LINE);
        for frame in held {
            line.clear();
            let wall = WallTime(CANDUMP_EPOCH + frame.at.0 as i64);
            write_candump_log(&mut line, frame, "can0", wall).map_err(|error| error.to_string())?;
            self.candump += line.len();
        }
        Ok(())
    }

    fn print(&self, name: &str, window: &str) {
        let each = |bytes: usize| bytes as f64 / self.samples as f64;
        println!(
            "{name:<10} {window:<11} {:>9} {:>9} {:>8.3} {:>9.2} {:>9.2} {:>9.2}",
            self.snapshots,
            self.samples,
            each(self.ours),
            each(self.protobuf),
            each(self.columns),
            each(self.candump)
        );
    }
}

/// Kind and length of a record in a batch: a postcard number of up to three bytes each.
const RECORD_HEAD: usize = 4;
/// Where candump's times begin, so that they are as long as a real log's.
const CANDUMP_EPOCH: i64 = 1_700_000_000_000_000;

/// Whether the samples that came out are those that went in: time, value and absence, to the bit.
fn check(catalog: &Catalog, blocks: &[SnapshotBlock], wanted: &[Sample]) -> Result<(), String> {
    let mut found: Vec<Sample> = Vec::new();
    for message in blocks.iter().flat_map(|block| &block.messages) {
        for (at, samples) in message.rows() {
            for sample in samples {
                let signal = &message.signals[usize::from(sample.signal)];
                let id = catalog.signal_id(&signal.name).ok_or("a name that the catalog lacks")?;
                let value = match sample.state {
                    SampleState::Value => Ok(signal.physical(sample.raw).to_bits()),
                    SampleState::SensorFault => Err(NoData::SensorFault),
                    SampleState::OutOfRange => Err(NoData::OutOfRange),
                };
                found.push((id, at, value));
            }
        }
    }
    found.sort_by_key(|(id, ..)| *id);
    let differ = wanted.iter().zip(&found).filter(|(a, b)| a != b).count();
    if differ > 0 || wanted.len() != found.len() {
        return Err(format!("{} samples went in, {} came out, {differ} differ", wanted.len(), found.len()));
    }
    Ok(())
}

#[derive(Clone, PartialEq, prost::Message)]
struct VehicleData {
    #[prost(message, repeated, tag = "1")]
    signals: Vec<CapturedSignal>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CapturedSignal {
    #[prost(uint32, tag = "1")]
    signal_id: u32,
    #[prost(sint64, tag = "2")]
    relative_time_us: i64,
    #[prost(double, tag = "3")]
    value: f64,
}

/// Signal by signal, which snappy likes best.
fn protobuf(samples: &[Sample]) -> VehicleData {
    let first = samples.iter().map(|(_, at, _)| *at).min().unwrap_or(0);
    let captured = |(id, at, value): &Sample| CapturedSignal {
        signal_id: u32::from(id.0) + 1,
        relative_time_us: (at - first) as i64,
        value: value.map_or(f64::NAN, f64::from_bits),
    };
    VehicleData { signals: samples.iter().map(captured).collect() }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Columns {
    #[prost(message, repeated, tag = "1")]
    signals: Vec<Column>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Column {
    #[prost(uint32, tag = "1")]
    signal_id: u32,
    #[prost(sint64, repeated, tag = "2")]
    intervals_us: Vec<i64>,
    #[prost(sint64, repeated, tag = "3")]
    changes: Vec<i64>,
}

/// Differences of raw integers and of times, column by column.
fn columns(blocks: &[SnapshotBlock]) -> Columns {
    let mut signals: BTreeMap<String, (Column, i64, i64)> = BTreeMap::new();
    for message in blocks.iter().flat_map(|block| &block.messages) {
        for (at, samples) in message.rows() {
            for sample in samples {
                let name = &message.signals[usize::from(sample.signal)].name;
                let signal_id = signals.len() as u32 + 1;
                let new = || (Column { signal_id, ..Column::default() }, 0, 0);
                let (column, last_at, last) = signals.entry(name.clone()).or_insert_with(new);
                column.intervals_us.push(at as i64 - *last_at);
                column.changes.push((sample.raw as i64).wrapping_sub(*last));
                (*last_at, *last) = (at as i64, sample.raw as i64);
            }
        }
    }
    Columns { signals: signals.into_values().map(|(column, ..)| column).collect() }
}

fn snappy(bytes: &[u8]) -> Result<usize, String> {
    let packed = snap::raw::Encoder::new().compress_vec(bytes).map_err(|error| error.to_string())?;
    Ok(packed.len())
}
