//! Scenario files: one vehicle, one course of events, what is expected of it, and a matrix of what varies.
//!
//! A matrix crosses its lists, in the order of their names; the last turns fastest. `seed` is the simulator's; a key that is a setting of the vehicle, such as
//! `"thermal.ambient_c"`, sets it; any other key stands for its value wherever `{key}` is written. Lists that vary together
//! are written as one key with tables: `case = [{ fault = "...", by_s = 9000 }, ...]`.

use super::expect::Expectation;
use serde::Deserialize;
use std::path::PathBuf;
use telltale_sil::{Spec, SpecError};
use toml::{Table, Value};

/// Scenarios of one file, and the longest drive of one, in hours.
const MAX_SCENARIOS: usize = 20_000;
const MAX_HOURS: f64 = 2_000.0;
/// Entries of a list of what is expected, and of outages.
const MAX_ENTRIES: usize = 100;

/// One drive and what is to come of it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file.
    pub file: PathBuf,
    /// The file's name and the scenario's number in it, from 1: `cell-faults#17`.
    pub id: String,
    /// What the matrix set, for a person: `seed=3, thermal.ambient_c=-10`.
    pub settings: String,
    /// The place in each axis of the matrix, for shrinking.
    pub(super) coordinates: Vec<usize>,
    /// The seed of all that is drawn.
    pub seed: u64,
    /// The vehicle.
    pub spec: Spec,
    /// Faults of the specification, by their kind.
    pub kinds: Vec<String>,
    pub(super) link: Link,
    pub(super) bus_down: Vec<BusDown>,
    pub(super) expect: Vec<Expectation>,
    pub(super) may: Vec<String>,
    pub(super) drift: Option<Vec<String>>,
    /// Where it was ended early.
    pub(super) cut_hours: Option<f64>,
}

impl Scenario {
    /// The same, ended after so many hours. What was due only later is not asked for any more.
    #[must_use]
    pub fn cut(mut self, hours: f64) -> Scenario {
        if hours < self.spec.hours {
            self.spec.hours = hours;
            self.cut_hours = Some(hours);
            // What has not drifted yet may be about to.
            self.drift = None;
            let (due, later) = self.expect.into_iter().partition(|expected| expected.by_s <= hours * 3_600.0);
            self.expect = due;
            // What is expected later may come before it.
            self.may.extend(later.into_iter().map(|expected: Expectation| expected.subject));
        }
        self
    }
}

/// The line to the cloud.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Link {
    /// Windows without a line, in seconds from the start.
    pub(super) down_s: Vec<[f64; 2]>,
    /// Windows in which the cloud stores but its answers are lost.
    pub(super) deaf_s: Vec<[f64; 2]>,
    /// From a request to its answer, in milliseconds.
    pub(super) answer_ms: u32,
}

/// A time without a bus.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BusDown {
    /// Its place in the catalog: 0 is the BMS's.
    pub(super) bus: u8,
    /// From when, in seconds from the start.
    pub(super) from_s: f64,
    /// Until when.
    pub(super) to_s: f64,
}

/// A file without its matrix.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u32,
    #[allow(dead_code, reason = "for people")]
    about: String,
    #[serde(default)]
    vehicle: Spec,
    #[serde(default)]
    link: Link,
    #[serde(default)]
    bus_down: Vec<BusDown>,
    #[serde(default)]
    expect: Vec<Expectation>,
    #[serde(default)]
    may: Vec<String>,
    drift: Option<Vec<String>>,
}

/// Why a file is no set of scenarios.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct FileError {
    /// The file, and the scenario where it is one of them.
    pub file: String,
    /// What is wrong.
    pub problem: String,
}

/// Reads a file's text into its scenarios. `name` stands in their identities.
///
/// # Errors
/// [`FileError`], with what is wrong in which scenario.
pub fn read(file: PathBuf, name: &str, text: &str) -> Result<Vec<Scenario>, FileError> {
    let fail = |problem: String| FileError { file: file.display().to_string(), problem };
    let mut whole: Table = toml::from_str(text).map_err(|error| fail(error.to_string()))?;
    let axes = match whole.remove("matrix") {
        None => Vec::new(),
        Some(Value::Table(axes)) => axes.into_iter().map(axis).collect::<Result<_, _>>().map_err(fail)?,
        Some(_) => return Err(fail("`matrix` is a table of lists".into())),
    };
    let count = axes.iter().try_fold(1_usize, |count, (_, values)| count.checked_mul(values.len()));
    let count = count.filter(|count| (1..=MAX_SCENARIOS).contains(count));
    let count = count
        .ok_or_else(|| fail(format!("the matrix makes none, or more than {MAX_SCENARIOS} scenarios")))?;
    (0..count)
        .map(|number| {
            let id = format!("{name}#{}", number + 1);
            one(&whole, &axes, number, file.clone(), id.clone())
                .map_err(|problem| FileError { file: format!("{} ({id})", file.display()), problem })
        })
        .collect()
}

type Axis = (String, Vec<Value>);

/// An axis and its values; `seed = "1..8"` is short for the list.
fn axis((key, value): (String, Value)) -> Result<Axis, String> {
    match value {
        Value::Array(values) if !values.is_empty() => Ok((key, values)),
        Value::String(range) => {
            let ends =
                range.split_once("..").and_then(|(a, b)| Some((a.parse::<i64>().ok()?, b.parse().ok()?)));
            match ends {
                Some((first, last)) if first <= last && last - first < MAX_SCENARIOS as i64 => {
                    Ok((key, (first..=last).map(Value::Integer).collect()))
                }
                _ => Err(format!("`matrix.{key}`: {range:?} is no range such as \"1..8\"")),
            }
        }
        _ => Err(format!("`matrix.{key}` is a list of values, or a range such as \"1..8\"")),
    }
}

fn one(whole: &Table, axes: &[Axis], number: usize, file: PathBuf, id: String) -> Result<Scenario, String> {
    let (mut seed, mut settings, mut coordinates) = (1, Vec::new(), Vec::new());
    let mut table = Value::Table(whole.clone());
    // The last axis turns fastest.
    let mut rest = number;
    let mut places: Vec<usize> = Vec::new();
    for (_, values) in axes.iter().rev() {
        places.push(rest % values.len());
        rest /= values.len();
    }
    for ((key, values), place) in axes.iter().zip(places.into_iter().rev()) {
        coordinates.push(place);
        let pairs = match &values[place] {
            Value::Table(case) => case.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            value => vec![(key.clone(), value.clone())],
        };
        for (key, value) in pairs {
            settings.push(format!("{key}={}", shown(&value)));
            if key == "seed" {
                seed = value
                    .as_integer()
                    .and_then(|seed| u64::try_from(seed).ok())
                    .ok_or("`seed` is a number")?;
            } else if key.contains('.') || key == "hours" {
                set(&mut table, &key, value)?;
            } else {
                fill(&mut table, &format!("{{{key}}}"), &value);
            }
        }
    }
    let document: Document = table.try_into().map_err(|error: toml::de::Error| error.to_string())?;
    if document.schema != 1 {
        return Err(format!("schema {} is not known here; write 1", document.schema));
    }
    let Document { vehicle: spec, link, bus_down, expect, may, drift, .. } = document;
    check(&spec, &link, &bus_down, &expect)?;
    let kinds =
        spec.faults.iter().map(|fault| fault.split(':').next().unwrap_or_default().to_owned()).collect();
    let settings = settings.join(", ");
    Ok(Scenario {
        file,
        id,
        settings,
        coordinates,
        seed,
        spec,
        kinds,
        link,
        bus_down,
        expect,
        may,
        drift,
        cut_hours: None,
    })
}

fn check(spec: &Spec, link: &Link, bus_down: &[BusDown], expect: &[Expectation]) -> Result<(), String> {
    let sound: Result<_, SpecError> = telltale_sil::truth(spec);
    sound.map_err(|error| chain(&error))?;
    telltale_sil::Vehicle::new(spec, 1).map_err(|error| chain(&error))?;
    if spec.hours > MAX_HOURS {
        return Err(format!("{} hours are more than {MAX_HOURS}", spec.hours));
    }
    let outages = link.down_s.len() + link.deaf_s.len() + bus_down.len();
    if expect.len() > MAX_ENTRIES || outages > MAX_ENTRIES {
        return Err(format!("more than {MAX_ENTRIES} expectations or outages"));
    }
    let windows = link.down_s.iter().chain(&link.deaf_s).map(|window| (window[0], window[1]));
    for (from, to) in windows.chain(bus_down.iter().map(|down| (down.from_s, down.to_s))) {
        if !(0.0 <= from && from < to && to <= 1e9) {
            return Err(format!("an outage from {from} to {to} s: write the earlier second first"));
        }
    }
    expect.iter().try_for_each(|expected| expected.check(spec.hours * 3_600.0))
}

/// An error with its causes: their sentences name the setting.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}

/// Sets a setting of the vehicle by its dotted path.
fn set(table: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let mut at = table;
    let mut keys = std::iter::once("vehicle").chain(path.split('.')).peekable();
    while let Some(key) = keys.next() {
        let inner = at.as_table_mut().ok_or_else(|| format!("`{path}` is no setting of the vehicle"))?;
        if keys.peek().is_none() {
            inner.insert(key.to_owned(), value);
            return Ok(());
        }
        at = inner.entry(key).or_insert_with(|| Value::Table(Table::new()));
    }
    Ok(())
}

/// Puts a value in its placeholder's places. A text that is the placeholder alone becomes the value itself.
fn fill(at: &mut Value, placeholder: &str, value: &Value) {
    match at {
        Value::String(text) if text == placeholder => *at = value.clone(),
        Value::String(text) => *text = text.replace(placeholder, &shown(value)),
        Value::Array(values) => values.iter_mut().for_each(|inner| fill(inner, placeholder, value)),
        Value::Table(table) => table.iter_mut().for_each(|(_, inner)| fill(inner, placeholder, value)),
        _ => {}
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
