//! How a replay reports the buses: what changed, and what was counted on each.

use crate::command::report::time;
use serde::Serialize;
use std::io::{self, Write};
use telltale_wire::bus::{BusRecord, BusReport, BusState, BusStatistics, ErrorCounters, UnknownId};

/// What a replay says of the buses. The keys are append only: scripts read them.
#[derive(Serialize, Debug, Default)]
pub(crate) struct Buses {
    /// Each change of state, in the order of the log.
    bus_changes: Vec<Change>,
    /// What was counted on each bus, in the order of the catalog.
    buses: Vec<Counted>,
}

#[derive(Serialize, Debug)]
struct Change {
    /// RFC 3339 where the wall time is known, else `+seconds` on the log's clock.
    at: String,
    bus: String,
    state: BusState,
    before: BusState,
    why: String,
    suppressed: u32,
}

#[derive(Serialize, Debug)]
struct Counted {
    bus: String,
    state: BusState,
    #[serde(flatten)]
    statistics: BusStatistics,
}

impl Buses {
    /// Takes a record; gives the change of state that it tells, as a line for a person.
    pub(crate) fn take(&mut self, record: BusRecord) -> Option<String> {
        let BusRecord { at, bus, state, report, .. } = record;
        match report {
            BusReport::Change(change) => {
                let at = time(&at);
                let line = format!("{at}  bus {bus}: {state}, was {}: {}", change.before, change.why);
                let (before, why, suppressed) = (change.before, change.why, change.suppressed);
                self.bus_changes.push(Change { at, bus, state, before, why, suppressed });
                Some(line)
            }
            BusReport::Statistics(statistics) => {
                // Each tells everything since the start: the latest is enough.
                self.buses.retain(|known| known.bus != bus);
                self.buses.push(Counted { bus, state, statistics });
                None
            }
        }
    }

    /// A few lines for each bus on which anything came.
    pub(crate) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        for Counted { bus, state, statistics: n } in &self.buses {
            writeln!(out, "bus {bus} ({state})")?;
            writeln!(out, "  {:<10}{:>12}  {} error frames", "frames", n.frames, n.errors.frames)?;
            for (name, count, what) in [
                ("remote", n.remote, "remote frames"),
                ("short", n.short, "too short for their signals: not used"),
                ("long", n.long, "longer than the DBC file says: used"),
                ("checked", n.checked, "by their counter and checksum"),
                ("missing", n.missing_total.into(), "messages of the catalog overdue at the end"),
            ] {
                if count > 0 {
                    writeln!(out, "  {name:<10}{count:>12}  {what}")?;
                }
            }
            for message in &n.suspicious {
                writeln!(
                    out,
                    "    {}: {} good, {} repeated, {} out of sequence, {} with a wrong checksum",
                    message.message,
                    message.ok,
                    message.repeated,
                    message.wrong_sequence,
                    message.wrong_checksum
                )?;
            }
            if !n.unknown.is_empty() {
                let named: Vec<String> = n.unknown.iter().map(|id| unknown(id, n.stretch_us)).collect();
                writeln!(
                    out,
                    "  {:<10}{:>12}  most of them: {}",
                    "unknown",
                    n.unknown_frames,
                    named.join(", ")
                )?;
            }
            if let Some(error) = &n.last_error {
                writeln!(out, "  last error  {}  {}", time(&error.at), error.what)?;
            }
            if let Some(ErrorCounters { tx, rx }) = n.counters {
                writeln!(out, "  error counters: {tx} sending, {rx} receiving")?;
            }
        }
        Ok(())
    }
}

/// `130 (x 697, 99.6/s)`.
fn unknown(id: &UnknownId, stretch_us: u64) -> String {
    let per_s = if stretch_us > 0 { id.count as f64 * 1e6 / stretch_us as f64 } else { 0.0 };
    let digits = if id.extended { 8 } else { 3 };
    format!("{:0digits$X} ({} x, {per_s:.1}/s)", id.id, id.count)
}
