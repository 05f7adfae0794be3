//! How a replay reports drift.

use crate::command::report::time;
use serde::Serialize;
use std::io::{self, Write};
use telltale_wire::drift::{DriftRecord, InputDrift, Severity};

/// What was told at the end of one window.
#[derive(Serialize, Debug)]
pub(crate) struct Drift {
    at: String,
    model: String,
    inputs: Vec<Input>,
}

#[derive(Serialize, Debug)]
struct Input {
    input: String,
    horizon: &'static str,
    severity: &'static str,
    index: f32,
    limit: f32,
    outside: f32,
}

impl Drift {
    pub(crate) fn new(record: &DriftRecord) -> Drift {
        let input = |told: &InputDrift| Input {
            input: told.input.clone(),
            horizon: told.horizon.as_str(),
            severity: told.severity.as_str(),
            index: told.index,
            limit: told.limit,
            outside: told.outside,
        };
        Drift {
            at: time(&record.at),
            model: record.model.name.clone(),
            inputs: record.inputs.iter().map(input).collect(),
        }
    }

    /// One line an input that drifts; that a horizon is full and nothing drifts is in the JSON alone.
    pub(crate) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        for input in self.inputs.iter().filter(|input| input.severity != Severity::None.as_str()) {
            writeln!(
                out,
                "{}  {}: {} drift of {} ({}): index {:.2}, limit {:.2}, {:.0} % beyond what training saw",
                self.at,
                self.model,
                input.severity,
                input.input,
                input.horizon,
                input.index,
                input.limit,
                input.outside * 100.0
            )?;
        }
        Ok(())
    }
}
