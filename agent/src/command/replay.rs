//! `telltale replay`: recordings through the vehicle's own loop.

use crate::command::bus_report::Buses;
use crate::command::drift_report::Drift;
use crate::command::estimate_report::Estimate;
use crate::command::report::{Event, Input, Report};
use crate::drive::drive;
use crate::load;
use crate::mailbox::Mailbox;
use crate::source::{LogSource, Pace, Source as _};
use crate::trips::TripLine;
use anyhow::Context as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use telltale_core::pipeline::{Pipeline, PipelineConfig};
use telltale_core::trace::Format;
use telltale_wire::record::{Record, VerdictEvent};

const HELP: &str = "\
Reads candump (-L and plain), GVRET/SavvyCAN CSV and Vector ASC; the format is detected. Several logs are replayed
one after another. What a replay says does not depend on its pace, to the bit.

Models: those given by --model, else the folder of the catalog if it holds a model.toml.

With --json the last line of standard output is one JSON object:
  frames, decoded, filtered, unknown, malformed, samples, lost, bad_lines, clock_steps, windows,
  verdicts {nominal, anomalous, indeterminate}, events [{at, model, subject, score, evidence, ...}],
  other_changes, log_span_s, elapsed_s, realtime_factor, pss_bytes, peak_rss_bytes,
  bus_changes [{at, bus, state, before, why, suppressed}], buses [{bus, state, frames, errors, checked, suspicious,
  unknown, missing, ...}], estimates [{at, model, quantity, coverage, subjects [{subject, value, low, high, why,
  resistance_ohm}]}], trips [{from, to, end, duration_s, distance_km, moving_s, standing_s, stops, used_kwh,
  recuperated_kwh, kwh_per_100_km, charge_from, charge_to, ambient_c, harsh_braking, harsh_acceleration, ...}]

Example:
  telltale replay --catalog models/cell-fault/catalog-sim.toml drive.log";

/// A bus is told of once, at the end of the log: a hundred years.
const WHOLE_LOG: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The signal catalog
    #[arg(long)]
    catalog: PathBuf,
    /// A model's folder; may be given several times
    #[arg(long)]
    model: Vec<PathBuf>,
    /// What the drive is made of: its condition is followed then (see models/powertrain-consistency)
    #[arg(long)]
    condition: Option<PathBuf>,
    /// What a kilometre takes: the range is estimated after each trip then (see models/range)
    #[arg(long)]
    range: Option<PathBuf>,
    /// The folder of a model that watches the buses
    #[arg(long, requires = "profile")]
    intrusion: Option<PathBuf>,
    /// The profile that it watches them by, of `telltale bus learn`
    #[arg(long, requires = "intrusion")]
    profile: Option<PathBuf>,
    /// The logs; `-` is standard input
    #[arg(required = true)]
    logs: Vec<PathBuf>,
    /// Speed: `max`, or a factor of real time such as 1 or 60
    #[arg(long, default_value = "max")]
    pace: Pace,
    /// The logs' format, where detection is wrong: candump, gvret or asc
    #[arg(long)]
    format: Option<Format>,
    /// One JSON object on the last line instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(args: &Args) -> anyhow::Result<()> {
    let catalog = load::catalog(&args.catalog)?;
    let models = load::models(&load::model_folders(&args.model, &args.catalog), &catalog)?;
    if models.is_empty() && args.condition.is_none() && args.intrusion.is_none() {
        log::warn!(
            "no model: frames are decoded and counted, nothing is judged (--model names a model's folder)"
        );
    }
    let condition = args.condition.as_deref().map(load::condition).transpose()?;
    let range = args.range.as_deref().map(load::range).transpose()?;
    let config = PipelineConfig { bus_period: WHOLE_LOG, condition, range, ..PipelineConfig::default() };
    let mut pipeline = Pipeline::new(&catalog, models, config)?;
    if let (Some(model), Some(profile)) = (&args.intrusion, &args.profile) {
        pipeline.watch_buses(load::intrusion(model, profile)?, &catalog)?;
    }
    let mut source =
        LogSource::open(&args.logs, args.format, args.pace, |channel| catalog.bus_of_channel(channel))?;

    let started = Instant::now();
    let mut out = io::stdout().lock();
    let mut events: Vec<VerdictEvent> = Vec::new();
    let mut written = Ok(());
    let (stop, mailbox) = (AtomicBool::new(false), Mailbox::unused());
    let mut buses = Buses::default();
    let mut estimates: Vec<Estimate> = Vec::new();
    let mut trips: Vec<TripLine> = Vec::new();
    let mut drifts: Vec<Drift> = Vec::new();
    drive(&mut source, &mut pipeline, &stop, &mailbox, |_, record| match record {
        Record::Verdict(event) => {
            if !args.json && written.is_ok() {
                written = Event::new(&event).write_text(&mut out);
            }
            events.push(event);
        }
        Record::Estimate(record) => {
            let estimate = Estimate::new(&record);
            if !args.json && written.is_ok() {
                written = estimate.write_text(&mut out);
            }
            estimates.push(estimate);
        }
        Record::Trip(record) => {
            let trip = TripLine::of(&record);
            if !args.json && written.is_ok() {
                written = writeln!(out, "{}  trip: {}", trip.from, trip.sentence());
            }
            trips.push(trip);
        }
        Record::Drift(record) => {
            let drift = Drift::new(&record);
            if !args.json && written.is_ok() {
                written = drift.write_text(&mut out);
            }
            drifts.push(drift);
        }
        Record::Bus(record) => {
            if let Some(line) = buses.take(record)
                && !args.json
                && written.is_ok()
            {
                written = writeln!(out, "{line}");
            }
        }
        _ => {}
    })
    .context("the replay stopped early")?;
    written?;

    let said = source.report();
    for note in &said.notes {
        log::warn!("{note}");
    }
    let input = Input {
        bad_lines: said.bad_lines,
        clock_steps: said.clock_steps,
        span: Duration::from_micros(source.span_micros()),
    };
    let told = (&events[..], estimates, trips, drifts);
    let report = Report::new(pipeline.totals(), told, buses, input, started.elapsed());
    if args.json {
        report.write_json(&mut out)?;
    } else {
        report.write_text(&mut out)?;
    }
    out.flush()?;
    Ok(())
}
