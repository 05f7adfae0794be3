//! Writes a first catalog from DBC files: every signal, ready to be thinned out and renamed.

use super::MAX_SIGNALS;
use crate::dbc::{Database, Message, Signal};
use std::collections::HashSet;
use std::fmt::Write as _;
use telltale_wire::unit::Unit;

/// The most value names that are shown of a signal.
const SHOWN_LABELS: usize = 6;

const HEAD: &str = "\
# A signal catalog: which signals the vehicle reads, and under which VSS paths.
# Keep the signals that your models and rules need, and give them their paths of the
# Vehicle Signal Specification (COVESA VSS). The keys of a [[signal]]:
#   vss        its path; with {n} it stands for many, `n = \"1..88\"` gives the numbers ({n:02}: 01, 02, ...)
#   bus        the name of its bus
#   message    its message in the DBC file; may be left out where the signal's name is unique on the bus
#   signal     its name in the DBC file
#   unit       of its values; without it the DBC's
#   min, max   the physical range; values outside are \"out of range\". `range = \"dbc\"` takes the DBC's
#   low, high  limits of normal operation; values outside are an anomaly by rule
#   sentinels  raw values by which the sender says \"no value\", such as [65535]
#   stale_ms   how long a value is used after its arrival (default 10000)
#   cycle_ms   how often it is sent: summaries then say how much of what was expected came
#   sign       \"inverted\" delivers values with the opposite sign of the DBC's
# Signals that must agree, and ways of operating, for the data quality in summaries:
#   [[check]]
#   name = \"cells and pack\"
#   of = \"sum\"                              # or mean, min, max, product
#   signals = [\"Vehicle.Cell{n}.Voltage\"]
#   n = \"1..88\"
#   equals = \"Vehicle.Pack.Voltage\"         # scale = 0.001 would go onto the left side
#   tolerance = 4.0                         # in the unit of `equals`
#   [[regime]]                              # the first whose conditions all hold
#   name = \"charge\"
#   when = [{ signal = \"Vehicle.Pack.Current\", above = 1.0 }, { signal = \"Vehicle.Speed\", below = 0.5 }]
schema = 1
";

/// A commented catalog of everything that the databases describe, one bus each. It parses, with the databases'
/// origins as the paths of their files.
#[must_use]
pub fn init(databases: &[Database]) -> String {
    let mut text = HEAD.to_owned();
    let mut paths = HashSet::new();
    let mut listed = 0;
    let names = bus_names(databases);
    for (place, (database, bus)) in databases.iter().zip(&names).enumerate() {
        let (name, path) = (quoted(bus), quoted(&database.origin));
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            text,
            "\n[[bus]]\nname = {name}\ninterface = \"can{place}\"   # SocketCAN, and in candump logs\n\
             # channels = [\"{place}\"]   # what other logs call it\ndbc = [{path}]\n"
        );
    }
    for (database, bus) in databases.iter().zip(&names) {
        let mut seen = HashSet::new();
        for message in database.messages.iter().filter(|message| !message.signals.is_empty()) {
            let _ = writeln!(
                text,
                "\n# {} {}, {} bytes{}",
                message.id,
                one_line(&message.name),
                message.len,
                comment(message.comment.as_deref())
            );
            for signal in &message.signals {
                let reason = if !message.holds(signal) {
                    Some("runs over its message")
                } else if !seen.insert((message.name.as_str(), signal.name.as_str())) {
                    Some("is described twice")
                } else if listed >= MAX_SIGNALS {
                    Some("is over the limit of a catalog")
                } else {
                    listed += 1;
                    None
                };
                match reason {
                    Some(reason) => {
                        let _ = writeln!(text, "# {} {reason}", one_line(&signal.name));
                    }
                    None => push_signal(&mut text, bus, message, signal, &mut paths),
                }
            }
        }
    }
    text
}

fn push_signal(
    text: &mut String,
    bus: &str,
    message: &Message,
    signal: &Signal,
    paths: &mut HashSet<String>,
) {
    let vss = unique_path(message, signal, paths);
    let _ = writeln!(text, "[[signal]]{}", comment(signal.comment.as_deref()));
    let _ = writeln!(
        text,
        "vss = \"{vss}\"\nbus = {}\nmessage = {}\nsignal = {}",
        quoted(bus),
        quoted(&message.name),
        quoted(&signal.name)
    );
    if Unit::from_symbol(signal.unit.trim()).is_none() {
        let _ = writeln!(text, "unit = \"\"   # the DBC's is {}", quoted(&signal.unit));
    } else if !signal.unit.is_empty() {
        let _ = writeln!(text, "unit = {}", quoted(signal.unit.trim()));
    }
    if let Some((min, max)) = signal.range() {
        let _ = writeln!(text, "range = \"dbc\"   # {min} to {max}");
    }
    if !signal.labels.is_empty() {
        let shown: Vec<String> = signal
            .labels
            .iter()
            .take(SHOWN_LABELS)
            .map(|(value, label)| format!("{value} {}", one_line(label)))
            .collect();
        let more = if signal.labels.len() > SHOWN_LABELS { ", ..." } else { "" };
        let _ = writeln!(text, "# raw values: {}{more}", shown.join(", "));
    }
}

/// Each bus is named after its file.
fn bus_names(databases: &[Database]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for database in databases {
        let file = database.origin.rsplit(['/', '\\']).next().unwrap_or_default();
        let stem = file.split('.').next().unwrap_or_default();
        let mut name = if stem.is_empty() { "bus".to_owned() } else { stem.to_owned() };
        while names.contains(&name) {
            name.push('_');
        }
        names.push(name);
    }
    names
}

/// `Vehicle.<Message>.<Signal>`, numbered where letters that VSS lacks made two names one.
fn unique_path(message: &Message, signal: &Signal, paths: &mut HashSet<String>) -> String {
    let path = format!("Vehicle.{}.{}", word(&message.name), word(&signal.name));
    let mut unique = path.clone();
    let mut number = 2;
    while !paths.insert(unique.clone()) {
        unique = format!("{path}_{number}");
        number += 1;
    }
    unique
}

/// A word of a VSS path: starts with a letter, and is short enough that two of them and a number make a path.
fn word(name: &str) -> String {
    const LONGEST: usize = 100;
    let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let word: String = name.chars().take(LONGEST).map(letter).collect();
    if word.starts_with(|c: char| c.is_ascii_alphabetic()) { word } else { format!("S{word}") }
}

/// A comment behind a line.
fn comment(text: Option<&str>) -> String {
    text.map(|text| format!("   # {}", one_line(text))).unwrap_or_default()
}

/// Text from a DBC file, fit for a TOML comment.
fn one_line(text: &str) -> String {
    let flat: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    flat.trim().to_owned()
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
