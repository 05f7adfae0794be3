//! What a vehicle-day of summaries takes on the line: `cargo xtask bench summary` runs this and prints the table.
//!
//! Each log goes through the vehicle's own loop. Every minute's summary and statistics (record kinds 3 and 6, the names
//! included) are sealed as a sync request of their own, as the agent sends them by default, and counted whole: envelope,
//! batch and record heads, before TLS. Beside them:
//!
//! - `raw CAN`: all frames of the log, 16 bytes of `struct can_frame` and 8 of time each; `candump`: the same as text.
//! - `protobuf`: the content of the same records as messages (see [`peer`]), each minute through snappy; `json`: the same
//!   messages as JSON, not compressed. Both without envelope and heads.
//!
//! A log shorter than an hour is repeated until it is one, as if the bus never slept; what an hour takes then counts 24
//! times. A longer one is scaled by the time from its first frame to its last. Arguments: `NAME=CATALOG=LOG` for each log,
//! or `NAME=CATALOG=ARCHIVE=COLUMNS=DBC` for a zipped CSV recording that is put onto CAN first. A DBC file in the place of a
//! catalog stands for all of its signals, and `sim` in the place of a log for a simulated day. Ends with a failure if the
//! minutes of a log take more than [`MOST`] bytes.

#![allow(clippy::print_stdout)] // It is a program that reports.

mod peer;

use anyhow::{Context as _, bail};
use peer::Upload;
use prost::Message as _;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;
use telltale_agent::load;
use telltale_agent::source::{LogSource, Pace, Source as _, SourceEvent};
use telltale_core::catalog::{self, Catalog};
use telltale_core::clock::ClockAnchor;
use telltale_core::dbc::Database;
use telltale_core::frame::CanFrame;
use telltale_core::pipeline::{Pipeline, PipelineConfig};
use telltale_core::trace::{MAX_CANDUMP_LINE, write_candump_log};
use telltale_sil::{Spec, Vehicle};
use telltale_wire::envelope;
use telltale_wire::ids::{BootId, Lane, Seq, VehicleId};
use telltale_wire::record::Record;
use telltale_wire::signals::SignalRecord;
use telltale_wire::sync::{Batch, SyncRequest};
use telltale_wire::time::{MonoTime, Stamp, WallTime};
use telltale_workbench::encode::{self, ColumnMap};

/// The bytes of a minute at most, everything included: so many, and so many for each signal. At the most 92% of it was measured.
const MOST: (f64, f64) = (450.0, 9.0);

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

/// A frame in a file of frames: `struct can_frame` and the time.
const RAW_FRAME: u64 = 16 + 8;

fn main() -> anyhow::Result<()> {
    println!(
        "bytes a vehicle-day, and bytes a signal and minute\n{:<10} {:>7} {:>6} {:>7} {:>9} {:>9} {:>10} {:>12} {:>12} {:>8}",
        "log", "signals", "days", "minutes", "ours", "protobuf", "json", "raw CAN", "candump", "a signal"
    );
    for argument in std::env::args().skip(1) {
        measure(&argument).with_context(|| argument.clone())?;
    }
    Ok(())
}

fn measure(argument: &str) -> anyhow::Result<()> {
    let parts: Vec<&str> = argument.split('=').collect();
    let [name, catalog, log, ref encoding @ ..] = parts[..] else { bail!("is to be NAME=CATALOG=LOG") };
    let folder = Path::new(catalog);
    let catalog = read_catalog(folder)?;
    let models = load::models(&load::model_folders(&[], folder), &catalog)?;
    let mut ledger = Ledger::new(Pipeline::new(&catalog, models, PipelineConfig::default())?);
    match *encoding {
        [] if log == "sim" => {
            let spec = Spec { hours: 24.0, ..Spec::default() };
            for frame in Vehicle::new(&spec, 1)? {
                ledger.take(&frame.can)?;
            }
            // Which ends with a vehicle that is parked.
            ledger.last = ledger.first.map_or(ledger.last, |first| first.plus(DAY));
        }
        [] => ledger.take_log(Path::new(log), &catalog)?,
        [columns, dbc] => {
            let recording = tempfile::NamedTempFile::new()?;
            encode_archive(Path::new(log), Path::new(columns), Path::new(dbc), recording.as_file())?;
            ledger.take_log(recording.path(), &catalog)?;
        }
        _ => bail!("is to be NAME=CATALOG=ARCHIVE=COLUMNS=DBC"),
    }
    ledger.pipeline.finish();
    ledger.send()?;
    ledger.print(name);
    let most = MOST.0 * ledger.minutes as f64 + MOST.1 * ledger.series_minutes;
    let ours = ledger.ours as f64;
    anyhow::ensure!(
        ours <= most,
        "{ours} bytes in {} minutes: more than {} a minute and {} a signal, {most:.0}",
        ledger.minutes,
        MOST.0,
        MOST.1
    );
    Ok(())
}

/// A catalog, or everything that a DBC file describes.
fn read_catalog(path: &Path) -> anyhow::Result<Catalog> {
    if path.extension().is_none_or(|extension| extension != "dbc") {
        return load::catalog(path);
    }
    let origin = path.file_name().unwrap_or_default().to_string_lossy();
    let text = catalog::init(&[Database::parse(&load::read_dbc(path)?, &origin).0]);
    Ok(Catalog::parse(&text, &path.display().to_string(), &mut |_| {
        load::read_dbc(path).map_err(|error| format!("{error:#}"))
    })?)
}

/// A zipped CSV recording as candump text.
fn encode_archive(archive: &Path, columns: &Path, dbc: &Path, log: &File) -> anyhow::Result<()> {
    let mut zipped = zip::ZipArchive::new(File::open(archive)?)?;
    let recording = BufReader::new(zipped.by_index(0)?);
    let (database, _) = Database::parse(load::read_dbc(dbc)?, &dbc.display().to_string());
    let map = ColumnMap::parse(&load::read_text(columns)?, &columns.display().to_string())?;
    let mut out = BufWriter::new(log);
    encode::encode(recording, &archive.display().to_string(), &database, &map, &"can0".parse()?, &mut out)?;
    Ok(out.flush()?)
}

/// What a log takes in each way, in bytes. `signals` counts the models' scores too, and `minutes` are those that were told.
struct Ledger {
    pipeline: Pipeline,
    first: Option<MonoTime>,
    last: MonoTime,
    frames: u64,
    candump: u64,
    line: String,
    sent: [u64; 2],
    signals: usize,
    minutes: u64,
    series_minutes: f64,
    ours: u64,
    protobuf: u64,
    json: u64,
}

/// Where the wall clock stands at the log's first frame, so that times are as long as a real log's.
const EPOCH: WallTime = WallTime(1_700_000_000_000_000);

impl Ledger {
    fn new(pipeline: Pipeline) -> Ledger {
        Ledger {
            pipeline,
            first: None,
            last: MonoTime(0),
            frames: 0,
            candump: 0,
            line: String::with_capacity(MAX_CANDUMP_LINE),
            sent: [0; 2],
            signals: 0,
            minutes: 0,
            series_minutes: 0.0,
            ours: 0,
            protobuf: 0,
            json: 0,
        }
    }

    /// Takes a log, again and again until it is an hour.
    fn take_log(&mut self, path: &Path, catalog: &Catalog) -> anyhow::Result<()> {
        let bus_of = |channel: &str| catalog.bus_of_channel(channel);
        let mut source = LogSource::open(&[path], None, Pace::AsFastAsPossible, bus_of)?;
        let (mut batch, mut held) = (Vec::new(), Vec::new());
        while let SourceEvent::Frames(_) = source.next(&mut batch, Duration::ZERO)? {
            for frame in &batch {
                self.take(frame)?;
                if self.span() < HOUR {
                    held.push(*frame);
                }
            }
        }
        let pass = source.span_micros() + 1_000;
        for pass in (1..).map(|times| times * pass) {
            if self.span() >= HOUR {
                break;
            }
            for frame in &held {
                let mut again: CanFrame = *frame;
                again.at = frame.at.plus(Duration::from_micros(pass));
                self.take(&again)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, frame: &CanFrame) -> anyhow::Result<()> {
        if self.first.is_none() {
            self.first = Some(frame.at);
            self.pipeline.set_anchor(Some(ClockAnchor { mono: frame.at, wall: EPOCH }));
        }
        self.last = frame.at;
        self.frames += 1;
        self.line.clear();
        let wall = WallTime(EPOCH.as_unix_micros() + self.span().as_micros() as i64);
        write_candump_log(&mut self.line, frame, "can0", wall)?;
        self.candump += self.line.len() as u64;
        self.pipeline.handle_frame(frame);
        self.send()
    }

    fn span(&self) -> Duration {
        self.first.map_or(Duration::ZERO, |first| self.last.since(first))
    }

    /// Sends what has been told: the summary of a minute with its statistics.
    fn send(&mut self) -> anyhow::Result<()> {
        let told = std::iter::from_fn(|| self.pipeline.poll_record());
        let told: Vec<Record> =
            told.filter(|r| matches!(r, Record::Summary(_) | Record::Signals(_))).collect();
        if told.is_empty() {
            return Ok(());
        }
        let stretches = told.iter().filter(|record| matches!(record, Record::Summary(_))).count();
        anyhow::ensure!(stretches == 1, "{stretches} summaries at once: a minute is told by itself");
        self.minutes += 1;
        for record in &told {
            if let Record::Signals(SignalRecord::Statistics(part)) = record {
                self.signals = self.signals.max(usize::from(part.series.first) + part.series.series.len());
                let minutes = f64::from(part.series.steps) * f64::from(part.step_ms) / 60_000.0;
                self.series_minutes += part.series.series.len() as f64 * minutes;
            }
        }
        self.ours += self.sealed(&told)?;
        let upload = Upload::of(&told);
        self.protobuf += snap::raw::Encoder::new().compress_vec(&upload.encode_to_vec())?.len() as u64;
        self.json += serde_json::to_vec(&upload)?.len() as u64;
        Ok(())
    }

    /// The bytes of the records' sync request.
    fn sealed(&mut self, told: &[Record]) -> anyhow::Result<u64> {
        let mut batches = Vec::new();
        for (lane, sent) in [Lane::Status, Lane::Summary].into_iter().zip(&mut self.sent) {
            let of_lane = told.iter().filter(|record| record.lane() == lane);
            let records = of_lane.map(Record::to_raw).collect::<Result<Vec<_>, _>>()?;
            if !records.is_empty() {
                let first_seq = Seq(*sent + 1);
                *sent += records.len() as u64;
                batches.push(Batch { boot: BootId::new(1, 0xf7e6_056e), lane, first_seq, records });
            }
        }
        let wall = WallTime(EPOCH.as_unix_micros() + self.span().as_micros() as i64);
        let sent = Stamp { mono: self.last, wall: Some(wall) };
        let request = SyncRequest { vehicle: VehicleId::new("vehicle-0001")?, sent, batches };
        Ok(envelope::seal(&request)?.len() as u64)
    }

    fn print(&self, name: &str) {
        let days = self.span().as_secs_f64() / DAY.as_secs_f64();
        let a_day = |bytes: u64| (bytes as f64 / days).round();
        println!(
            "{name:<10} {:>7} {days:>6.2} {:>7} {:>9} {:>9} {:>10} {:>12} {:>12} {:>8.2}",
            self.signals,
            self.minutes,
            a_day(self.ours),
            a_day(self.protobuf),
            a_day(self.json),
            a_day(self.frames * RAW_FRAME),
            a_day(self.candump),
            self.ours as f64 / self.series_minutes,
        );
    }
}
