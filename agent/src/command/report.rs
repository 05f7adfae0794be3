//! How a replay reports: lines for a person, or one JSON object for a script.

use crate::command::bus_report::Buses;
use crate::command::drift_report::Drift;
use crate::command::estimate_report::Estimate;
use crate::memory;
use crate::trips::TripLine;
use serde::Serialize;
use std::io::{self, Write};
use std::time::Duration;
use telltale_wire::record::{Counts, Evidence, VerdictCode, VerdictEvent};
use telltale_wire::time::Stamp;

/// The whole of a replay. The keys are append only: scripts read them.
#[derive(Serialize, Debug)]
pub(crate) struct Report {
    /// Frames read; each of them is in exactly one of the four fields that follow.
    frames: u64,
    decoded: u64,
    filtered: u64,
    unknown: u64,
    malformed: u64,
    /// Signal values.
    samples: u64,
    /// Frames that never came to be judged.
    lost: u64,
    /// Lines of a log that hold no frame and are no comment either.
    bad_lines: u64,
    /// How often a log's time stepped back.
    clock_steps: u64,
    windows: u64,
    verdicts: Verdicts,
    /// Each anomaly that began.
    events: Vec<Event>,
    /// What models estimated, one entry an event such as a charge.
    estimates: Vec<Estimate>,
    /// What each drive came to.
    trips: Vec<TripLine>,
    /// Where inputs of models drifted, or a horizon was full for the first time.
    drift: Vec<Drift>,
    /// Each anomaly that ended, and each subject that long had no verdict.
    other_changes: Vec<Event>,
    /// From the first frame to the last, on the log's own clock.
    log_span_s: f64,
    elapsed_s: f64,
    realtime_factor: f64,
    /// Memory of this process at the end: proportional set size, and the highest resident set size.
    pss_bytes: u64,
    peak_rss_bytes: u64,
    #[serde(flatten)]
    buses: Buses,
}

#[derive(Serialize, Debug)]
struct Verdicts {
    nominal: u64,
    anomalous: u64,
    indeterminate: u64,
}

/// A change of verdict.
#[derive(Serialize, Debug, Clone)]
pub(crate) struct Event {
    /// RFC 3339 where the wall time is known, else `+seconds` on the log's clock.
    at: String,
    model: String,
    subject: String,
    verdict: String,
    score: f32,
    confidence: f32,
    since: String,
    evidence: Vec<EventEvidence>,
    /// In which way the subject departs from its peers, by a rule over these numbers.
    departure: Option<&'static str>,
    numbers: Vec<EventEvidence>,
}

#[derive(Serialize, Debug, Clone)]
struct EventEvidence {
    what: String,
    value: f32,
    reference: f32,
    unit: &'static str,
}

/// What the source has to say of itself.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Input {
    pub(crate) bad_lines: u64,
    pub(crate) clock_steps: u64,
    pub(crate) span: Duration,
}

impl Report {
    pub(crate) fn new(
        counts: &Counts,
        (events, estimates, trips, drift): (&[VerdictEvent], Vec<Estimate>, Vec<TripLine>, Vec<Drift>),
        buses: Buses,
        input: Input,
        elapsed: Duration,
    ) -> Report {
        let is_anomaly = |e: &&VerdictEvent| e.verdict == VerdictCode::Anomalous;
        let (span, took) = (input.span.as_secs_f64(), elapsed.as_secs_f64());
        Report {
            frames: counts.frames,
            decoded: counts.decoded,
            filtered: counts.filtered,
            unknown: counts.unknown,
            malformed: counts.malformed,
            samples: counts.samples,
            lost: counts.lost,
            bad_lines: input.bad_lines,
            clock_steps: input.clock_steps,
            windows: counts.windows,
            verdicts: Verdicts {
                nominal: counts.nominal,
                anomalous: counts.anomalous,
                indeterminate: counts.indeterminate,
            },
            estimates,
            trips,
            drift,
            events: events.iter().filter(is_anomaly).map(Event::new).collect(),
            other_changes: events.iter().filter(|e| !is_anomaly(e)).map(Event::new).collect(),
            log_span_s: span,
            elapsed_s: took,
            realtime_factor: if took > 0.0 { span / took } else { 0.0 },
            pss_bytes: memory::pss_bytes(),
            peak_rss_bytes: memory::peak_rss_bytes(),
            buses,
        }
    }

    /// One JSON object on one line.
    pub(crate) fn write_json(&self, out: &mut impl Write) -> anyhow::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        writeln!(out)?;
        Ok(())
    }

    /// A table for a person.
    pub(crate) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "frames      {:>12}", self.frames)?;
        for (name, n, what) in [
            ("decoded", self.decoded, "gave at least one signal of the catalog"),
            ("filtered", self.filtered, "described by a DBC file, not asked for by the catalog"),
            ("unknown", self.unknown, "described by no DBC file of their bus"),
            ("malformed", self.malformed, "too short for their message, remote or error frames"),
        ] {
            writeln!(out, "  {name:<10}{n:>12}  {what}")?;
        }
        self.buses.write_text(out)?;
        writeln!(out, "lost        {:>12}", self.lost)?;
        writeln!(out, "bad lines   {:>12}", self.bad_lines)?;
        writeln!(out, "samples     {:>12}", self.samples)?;
        writeln!(out, "windows     {:>12}", self.windows)?;
        let v = &self.verdicts;
        writeln!(
            out,
            "verdicts    {:>12} nominal, {} anomalous, {} indeterminate",
            v.nominal, v.anomalous, v.indeterminate
        )?;
        writeln!(out, "anomalies   {:>12}", self.events.len())?;
        let km: f64 = self.trips.iter().map(|trip| trip.distance_km).sum();
        writeln!(out, "trips       {:>12}  {km:.2} km", self.trips.len())?;
        writeln!(
            out,
            "replayed {:.1} s of recording in {:.2} s: {:.0} times real time",
            self.log_span_s, self.elapsed_s, self.realtime_factor
        )
    }
}

impl Event {
    pub(crate) fn new(event: &VerdictEvent) -> Event {
        let evidence = |e: &Evidence| EventEvidence {
            what: e.what.clone(),
            value: e.value,
            reference: e.reference,
            unit: e.unit.symbol(),
        };
        Event {
            at: time(&event.at),
            model: event.model.name.clone(),
            subject: event.subject.clone(),
            verdict: verdict(event.verdict),
            score: event.score,
            confidence: event.confidence,
            since: time(&event.since),
            evidence: event.evidence.iter().map(evidence).collect(),
            departure: event.departure.as_ref().map(|departure| departure.kind.as_str()),
            numbers: event.departure.iter().flat_map(|d| d.numbers.iter().map(evidence)).collect(),
        }
    }

    /// One line for a person.
    pub(crate) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "{}  {} {}: {}", self.at, self.model, self.subject, self.verdict)?;
        write!(
            out,
            " (score {:.3}, confidence {:.0} %, since {})",
            self.score,
            self.confidence * 100.0,
            self.since
        )?;
        self.evidence.iter().try_for_each(|e| e.write_text(out, "    "))?;
        if let Some(departure) = self.departure {
            write!(out, "\n    {departure}")?;
        }
        self.numbers.iter().try_for_each(|e| e.write_text(out, "      "))?;
        writeln!(out)
    }
}

impl EventEvidence {
    fn write_text(&self, out: &mut impl Write, indent: &str) -> io::Result<()> {
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        write!(out, "\n{indent}{} {:.4}{unit}, reference {:.4}{unit}", self.what, self.value, self.reference)
    }
}

fn verdict(code: VerdictCode) -> String {
    match code {
        VerdictCode::Nominal => "nominal".into(),
        VerdictCode::Anomalous => "anomalous".into(),
        VerdictCode::Indeterminate(why) => format!("indeterminate: {why}"),
    }
}

pub(crate) fn time(stamp: &Stamp) -> String {
    match stamp.wall {
        Some(wall) => wall.to_string(),
        None => format!("+{:.3}s", stamp.mono.as_micros() as f64 / 1e6),
    }
}
