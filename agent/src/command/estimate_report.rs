//! How a replay reports what models estimate.

use crate::command::report::time;
use serde::Serialize;
use std::io::{self, Write};
use telltale_wire::estimate::{EstimateRecord, SubjectEstimate};

/// What came of one event, such as a charge.
#[derive(Serialize, Debug)]
pub(crate) struct Estimate {
    at: String,
    model: String,
    quantity: &'static str,
    /// Of the values; empty for a share.
    unit: &'static str,
    coverage: f32,
    subjects: Vec<Subject>,
}

#[derive(Serialize, Debug)]
struct Subject {
    subject: String,
    value: Option<f32>,
    low: Option<f32>,
    high: Option<f32>,
    why: Option<&'static str>,
    resistance_ohm: Option<f32>,
}

impl Estimate {
    pub(crate) fn new(record: &EstimateRecord) -> Estimate {
        let subject = |(index, told): (usize, &SubjectEstimate)| {
            let interval = told.value.ok();
            Subject {
                subject: format!("{}{}", record.prefix, index + 1),
                value: interval.map(|i| i.value),
                low: interval.map(|i| i.low),
                high: interval.map(|i| i.high),
                why: told.value.err().map(|why| why.as_str()),
                resistance_ohm: told.resistance_ohm,
            }
        };
        Estimate {
            at: time(&record.at),
            model: record.model.name.clone(),
            quantity: record.quantity.as_str(),
            unit: record.quantity.unit(),
            coverage: record.coverage,
            subjects: record.subjects.iter().enumerate().map(subject).collect(),
        }
    }

    /// One line for a person: the subject that has least.
    pub(crate) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        if let ([only], false) = (&self.subjects[..], self.unit.is_empty()) {
            return self.write_only(out, only);
        }
        write!(out, "{}  {}: {} of ", self.at, self.model, self.quantity)?;
        let valued = self.subjects.iter().filter_map(|s| Some((s, s.value?)));
        match valued.min_by(|a, b| a.1.total_cmp(&b.1)) {
            Some((least, value)) => writeln!(
                out,
                "{} is {value:.3} ({:.3} to {:.3}), the least of {}",
                least.subject,
                least.low.unwrap_or(value),
                least.high.unwrap_or(value),
                self.subjects.len()
            ),
            None => writeln!(
                out,
                "{} subjects can't be told: {}",
                self.subjects.len(),
                self.subjects.iter().find_map(|s| s.why).unwrap_or("no reason given")
            ),
        }
    }

    /// The one subject, with its unit.
    fn write_only(&self, out: &mut impl Write, only: &Subject) -> io::Result<()> {
        write!(out, "{}  {}: {} ", self.at, self.model, self.quantity)?;
        match (only.value, only.low, only.high) {
            (Some(value), Some(low), Some(high)) => {
                writeln!(out, "{value:.4} {} ({low:.4} to {high:.4})", self.unit)
            }
            _ => writeln!(out, "can't be told: {}", only.why.unwrap_or("no reason given")),
        }
    }
}
