//! `telltale spool inspect`: what stands in a spool, without changing it.

use anyhow::Context as _;
use serde_json::{Value, json};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use telltale_core::spool::{CursorView, Inspection, SegmentView, inspect, records_of};
use telltale_wire::ids::{Lane, Seq};
use telltale_wire::record::{RawRecord, Record};

/// The longest file that is read: a segment has 1 MiB at the most.
const MAX_FILE: u64 = 4 * 1024 * 1024;

const HELP: &str = "\
Reads the segments and the cursor of a spool, of an agent that runs or of one that is gone, and changes nothing. What an
agent is just writing may look torn. With --json one object: segments, cursor, others; with --records one more line for
each record: lane, boot, seq, kind and what it says.

Example:
  telltale spool inspect /var/lib/telltale/spool
  telltale spool inspect spool --lane critical --records";

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Print segments, cursor, and records
    #[command(after_help = HELP)]
    Inspect(Args),
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The spool's folder
    dir: PathBuf,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Only this lane: critical, status, summary or bulk
    #[arg(long, value_parser = lane)]
    lane: Option<Lane>,
    /// The records as well, decoded
    #[arg(long)]
    records: bool,
}

fn lane(text: &str) -> Result<Lane, String> {
    let known = Lane::ALL.into_iter().find(|lane| lane.name() == text);
    known.ok_or_else(|| "one of critical, status, summary, bulk".into())
}

pub(crate) fn main(command: &Command) -> anyhow::Result<()> {
    let Command::Inspect(args) = command;
    let listed = fs::read_dir(&args.dir)
        .and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()
        })
        .with_context(|| format!("{} can't be listed: give the spool's folder", args.dir.display()))?;
    let names = listed.into_iter().filter_map(|name| name.into_string().ok()).collect();
    // A segment that the agent removed since then is none.
    let mut inspection = inspect(names, |name| match read(&args.dir, name) {
        Err(error)
            if error.downcast_ref().is_some_and(|e: &io::Error| e.kind() == io::ErrorKind::NotFound) =>
        {
            Ok(Vec::new())
        }
        read => read,
    })?;
    inspection.segments.retain(|segment| args.lane.is_none_or(|lane| lane == segment.lane));
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", as_json(&inspection))?;
    } else {
        write_text(&mut out, &inspection)?;
    }
    if args.records {
        for segment in &inspection.segments {
            let bytes = read(&args.dir, &segment.name).unwrap_or_default();
            for (seq, record) in records_of(segment, &bytes) {
                write_record(&mut out, args.json, segment, seq, record.as_ref())?;
            }
        }
    }
    Ok(())
}

fn read(dir: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(dir.join(name))?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn as_json(inspection: &Inspection) -> Value {
    let segment = |s: &SegmentView| {
        json!({
            "name": s.name, "lane": s.lane.name(), "index": s.index, "boot": s.boot.to_string(), "bytes": s.bytes,
            "used": s.used, "header": s.header, "first": s.range.map(|range| range.0.0), "last": s.range.map(|range| range.1.0),
            "records": s.records, "acknowledged": s.acknowledged, "missing": s.missing, "torn_tail": s.torn_tail,
        })
    };
    let cursor = |cursor: &CursorView| {
        let lane = |(lane, (index, boot, acked)): (Lane, &(u64, telltale_wire::ids::BootId, Seq))| json!({ "lane": lane.name(), "segment": index, "boot": boot.to_string(), "acknowledged": acked.0 });
        let lanes: Vec<Value> = Lane::ALL.into_iter().zip(&cursor.lanes).map(lane).collect();
        json!({ "generation": cursor.generation, "lanes": lanes, "unwritten_losses": cursor.losses })
    };
    json!({
        "segments": inspection.segments.iter().map(segment).collect::<Vec<_>>(),
        "cursor": inspection.cursor.as_ref().map(cursor),
        "cursor_damaged": inspection.cursor_damaged,
        "others": inspection.others,
    })
}

fn write_text(out: &mut impl Write, inspection: &Inspection) -> io::Result<()> {
    writeln!(
        out,
        "{:<46} {:>8} {:>19} {:>8} {:>8}  remarks",
        "segment", "bytes", "records", "count", "acked"
    )?;
    for segment in &inspection.segments {
        let range = segment.range.map_or_else(|| "-".into(), |(first, last)| format!("{first}..{last}"));
        let mut remarks = Vec::new();
        if !segment.header {
            remarks.push("header damaged".to_owned());
        }
        if segment.missing > 0 {
            remarks.push(format!("{} missing", segment.missing));
        }
        if segment.torn_tail {
            remarks.push(format!("torn behind byte {}", segment.used));
        }
        writeln!(
            out,
            "{:<46} {:>8} {range:>19} {:>8} {:>8}  {}",
            segment.name,
            segment.bytes,
            segment.records,
            segment.acknowledged,
            remarks.join(", ")
        )?;
    }
    match &inspection.cursor {
        Some(cursor) => {
            writeln!(
                out,
                "cursor: generation {}, {} losses to be written",
                cursor.generation,
                cursor.losses.len()
            )?;
            for (lane, (index, boot, acked)) in Lane::ALL.into_iter().zip(&cursor.lanes) {
                writeln!(out, "  {:<9} segment {index:08x}, boot {boot}, done through {acked}", lane.name())?;
            }
            Ok(())
        }
        None if inspection.cursor_damaged => {
            writeln!(out, "cursor: damaged; what was acknowledged is not known")
        }
        None => writeln!(out, "cursor: none yet; nothing was acknowledged"),
    }
}

fn write_record(
    out: &mut impl Write,
    json: bool,
    segment: &SegmentView,
    seq: Seq,
    raw: Option<&RawRecord>,
) -> io::Result<()> {
    let parsed = raw.map(RawRecord::parse);
    let body = match &parsed {
        None => "its bytes are good and hold no record".to_owned(),
        Some(Ok(record)) => format!("{record:?}"),
        Some(Err(error)) => error.to_string(),
    };
    if !json {
        return writeln!(out, "{} {} {seq} {body}", segment.lane, segment.boot);
    }
    let body = match &parsed {
        Some(Ok(record)) => in_full(record).unwrap_or(Value::String(body)),
        _ => Value::String(body),
    };
    let line = json!({
        "lane": segment.lane.name(), "boot": segment.boot.to_string(), "seq": seq.0, "kind": raw.map(|raw| raw.kind),
        "record": body,
    });
    writeln!(out, "{line}")
}

/// The record with its fields; `None` for kinds that are told in Rust's words.
fn in_full(record: &Record) -> Option<Value> {
    match record {
        Record::Boot(body) => serde_json::to_value(body).ok(),
        Record::Verdict(body) => serde_json::to_value(body).ok(),
        Record::Summary(body) => serde_json::to_value(body).ok(),
        Record::Status(body) => serde_json::to_value(body).ok(),
        Record::Loss(body) => serde_json::to_value(body).ok(),
        Record::Bus(body) => serde_json::to_value(body).ok(),
        Record::Agent(body) => serde_json::to_value(body).ok(),
        Record::Update(body) => serde_json::to_value(body).ok(),
        Record::Shadow(body) => serde_json::to_value(body).ok(),
        Record::Command(body) => serde_json::to_value(body).ok(),
        Record::Estimate(body) => serde_json::to_value(body).ok(),
        Record::Trip(body) => serde_json::to_value(body).ok(),
        Record::Drift(body) => serde_json::to_value(body).ok(),
        _ => None,
    }
}
