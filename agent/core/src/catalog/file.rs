//! The catalog's TOML as it stands in the file. Each entry is read by itself, so that one bad entry hides no other.

use super::{Combination, MAX_CATALOG_LEN, SCHEMA};
use crate::dbc::Findings;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// A `[[bus]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BusEntry {
    pub(super) name: Spanned<String>,
    pub(super) interface: Option<String>,
    #[serde(default)]
    pub(super) channels: Vec<String>,
    pub(super) dbc: Vec<Spanned<String>>,
    pub(super) bitrate: Option<u32>,
    pub(super) data_bitrate: Option<u32>,
}

/// A `[[signal]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignalEntry {
    pub(super) vss: Spanned<String>,
    pub(super) n: Option<Spanned<String>>,
    pub(super) bus: Option<Spanned<String>>,
    pub(super) message: Option<Spanned<String>>,
    pub(super) signal: Spanned<String>,
    pub(super) unit: Option<Spanned<String>>,
    pub(super) range: Option<RangeSource>,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    #[serde(default)]
    pub(super) sentinels: Vec<i64>,
    pub(super) stale_ms: Option<u64>,
    pub(super) cycle_ms: Option<u32>,
    #[serde(default)]
    pub(super) sign: Sign,
}

/// A `[[check]]`: signals that must agree.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckEntry {
    pub(super) name: Spanned<String>,
    pub(super) of: Combination,
    pub(super) signals: Vec<Spanned<String>>,
    pub(super) n: Option<Spanned<String>>,
    pub(super) equals: Spanned<String>,
    pub(super) scale: Option<f64>,
    pub(super) tolerance: f64,
}

/// A `[[regime]]`: a way of operating.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegimeEntry {
    pub(super) name: Spanned<String>,
    pub(super) when: Vec<ConditionEntry>,
}

/// What must hold of one signal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConditionEntry {
    pub(super) signal: Spanned<String>,
    pub(super) above: Option<f64>,
    pub(super) below: Option<f64>,
}

/// A `[[message]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageEntry {
    pub(super) bus: Option<Spanned<String>>,
    pub(super) message: Option<Spanned<String>>,
    pub(super) id: Option<u32>,
    pub(super) cycle_ms: Option<u64>,
    pub(super) profile: Option<ProfileName>,
    pub(super) offset: Option<u8>,
    pub(super) data_id: Option<u16>,
    pub(super) data_id_mode: Option<ModeName>,
    pub(super) data_ids: Option<[u8; 16]>,
    pub(super) counter: Option<Place>,
    pub(super) modulo: Option<u64>,
    pub(super) max_jump: Option<u64>,
    pub(super) checksum: Option<ChecksumEntry>,
    pub(super) tail: Option<Vec<u8>>,
}

/// Where something stands in a message: the name of a signal, or bits as a DBC file writes them.
#[derive(Deserialize)]
pub(super) struct Place(pub(super) String);

/// A checksum that is no profile's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChecksumEntry {
    pub(super) algorithm: String,
    pub(super) at: Place,
}

/// A profile of AUTOSAR E2E.
#[derive(Clone, Copy, Deserialize)]
pub(super) enum ProfileName {
    #[serde(rename = "autosar-1")]
    Autosar1,
    #[serde(rename = "autosar-2")]
    Autosar2,
    #[serde(rename = "autosar-5")]
    Autosar5,
}

/// How the data id takes part in profile 1.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ModeName {
    #[default]
    Both,
    Alternating,
    Low,
    Nibble,
}

/// Where a range comes from that the entry does not spell out.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RangeSource {
    Dbc,
}

/// The sign of values against the DBC's.
#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Sign {
    #[default]
    Normal,
    Inverted,
}

/// The entries of a catalog, each with its line.
#[derive(Default)]
pub(super) struct CatalogFile {
    pub(super) buses: Vec<(u32, BusEntry)>,
    pub(super) signals: Vec<(u32, SignalEntry)>,
    pub(super) checks: Vec<(u32, CheckEntry)>,
    pub(super) regimes: Vec<(u32, RegimeEntry)>,
    pub(super) messages: Vec<(u32, MessageEntry)>,
}

/// Tells the line of a place in the text.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    pub(super) fn at(&self, span: &Range<usize>) -> u32 {
        1 + self.0.partition_point(|newline| *newline < span.start) as u32
    }
}

/// Reads the entries; those that cannot be read are reported and left out.
pub(super) fn read(text: &str, lines: &Lines, findings: &mut Findings) -> CatalogFile {
    let mut file = CatalogFile::default();
    if text.len() > MAX_CATALOG_LEN {
        findings.error(
            0,
            "",
            format!("the catalog has {} bytes, the limit is {MAX_CATALOG_LEN}", text.len()),
        );
        return file;
    }
    let document = match DeTable::parse(text) {
        Ok(document) => document.into_inner(),
        Err(error) => {
            report(&error, &(0..0), "", lines, findings);
            return file;
        }
    };
    let mut has_schema = false;
    for (key, value) in document {
        match key.get_ref().as_ref() {
            "schema" => {
                has_schema = true;
                let found = value.get_ref().as_integer().map(|n| n.as_str().to_owned()).unwrap_or_default();
                if found != SCHEMA.to_string() {
                    findings.error(
                        lines.at(&value.span()),
                        "",
                        format!("this agent reads `schema = {SCHEMA}` only"),
                    );
                }
            }
            "bus" => file.buses = entries(value, "bus", lines, findings),
            "signal" => file.signals = entries(value, "signal", lines, findings),
            "check" => file.checks = entries(value, "check", lines, findings),
            "regime" => file.regimes = entries(value, "regime", lines, findings),
            "message" => file.messages = entries(value, "message", lines, findings),
            other => {
                let text = format!(
                    "unknown key `{other}`: a catalog has `schema`, `[[bus]]`, `[[signal]]`, `[[message]]`, `[[check]]` \
                     and `[[regime]]`"
                );
                findings.error(lines.at(&key.span()), "", text);
            }
        }
    }
    if !has_schema {
        findings.error(0, "", format!("the catalog does not say `schema = {SCHEMA}`"));
    }
    file
}

fn entries<T: DeserializeOwned>(
    value: Spanned<DeValue<'_>>,
    what: &str,
    lines: &Lines,
    findings: &mut Findings,
) -> Vec<(u32, T)> {
    let span = value.span();
    let DeValue::Array(array) = value.into_inner() else {
        findings.error(lines.at(&span), "", format!("`{what}` must be a list: write `[[{what}]]`"));
        return Vec::new();
    };
    let mut list = Vec::new();
    for entry in array {
        let span = entry.span();
        match T::deserialize(ValueDeserializer::from(entry)) {
            Ok(entry) => list.push((lines.at(&span), entry)),
            Err(error) => report(&error, &span, what, lines, findings),
        }
    }
    list
}

fn report(
    error: &toml::de::Error,
    within: &Range<usize>,
    what: &str,
    lines: &Lines,
    findings: &mut Findings,
) {
    let span = error.span().unwrap_or_else(|| within.clone());
    let subject = if what.is_empty() { String::new() } else { format!("[[{what}]]") };
    findings.error(lines.at(&span), &subject, error.message().trim().replace('\n', ", "));
}
